"""What the program is made of, what is known against it, and what its source may not do."""

import ast
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LOCK = ROOT / "requirements/runtime.lock"
SOURCES = sorted([*(ROOT / "recon").rglob("*.py"), *(ROOT / "jobs").glob("*.py"), *(ROOT / "providers").glob("*.py"), ROOT / "cli.py"])
#: Names that run what they are given, or read formats that do.
RUNNING = {"eval", "exec", "compile", "__import__"}
READING = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "joblib"}


def locked() -> dict[str, tuple[str, set[str]]]:
    """Name to version and hashes, of the runtime's lock."""
    found = {}
    for block in re.split(r"\n(?=[a-z0-9])", LOCK.read_text()):
        if head := re.match(r"([a-z0-9-]+)==([^\s;]+)", block):
            found[head[1]] = (head[2], set(re.findall(r"sha256:([0-9a-f]{64})", block)))
    return found


def test_the_lists_of_parts_name_every_locked_package(tmp_path: Path) -> None:
    """The SBOM is CycloneDX, and has each package of the lock with its version and every hash."""
    pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom is not installed: make lint installs what is locked")
    out = tmp_path / "sbom.cdx.json"
    words = ["requirements", str(LOCK), "--output-reproducible", "--of", "JSON", "-o", str(out)]
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *words], check=True, capture_output=True)
    document = json.loads(out.read_text())
    parts = {one["name"]: one for one in document["components"]}

    assert document["bomFormat"] == "CycloneDX"
    assert len(locked()) > 20
    for name, (version, hashes) in locked().items():
        listed = {each["content"] for ref in parts[name].get("externalReferences", ()) for each in ref.get("hashes", ())}
        assert parts[name]["version"] == version
        assert hashes <= listed, name


@pytest.mark.parametrize("lock", ["runtime.lock", "dev.lock"])
def test_every_locked_package_has_hashes_and_no_host(lock: str) -> None:
    """Each line of a lock pins a version and carries hashes; none names a place to load it from."""
    text = (ROOT / "requirements" / lock).read_text()
    blocks = [block for block in re.split(r"\n(?=[a-z0-9])", text) if "==" in block]

    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)


def test_an_audit_that_could_not_look_says_so_and_a_finding_fails() -> None:
    """Packages that could not be looked up are no success and no failure; one known vulnerability fails."""
    judged = runpy.run_path(str(ROOT / "scripts/audit.py"), run_name="audit")["judged"]
    clean, skipped = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}
    bad = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-2026-1"}]}

    assert judged(LOCK, [clean]) == (0, "audited: runtime.lock: 1 packages, no known vulnerability")
    assert judged(LOCK, [clean, skipped])[0] == 0
    assert judged(LOCK, [clean, skipped])[1].startswith("NOT AUDITED: runtime.lock: 1 of 2")
    assert judged(LOCK, [])[1].startswith("NOT AUDITED")
    assert judged(LOCK, [clean, skipped, bad]) == (1, "VULNERABLE: runtime.lock: c 2: PYSEC-2026-1")


def calls() -> list[tuple[str, ast.Call]]:
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def test_nothing_runs_what_it_reads() -> None:
    """No eval, exec, pickle, yaml or shell anywhere in the product; the built-in compile is not called either."""
    imported = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if name.split(".")[0] in READING
    ]
    run = [where for where, call in calls() if isinstance(call.func, ast.Name) and call.func.id in RUNNING]
    shells = [where for where, call in calls() for word in call.keywords if word.arg == "shell"]
    systems = [
        where
        for where, call in calls()
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and (call.func.value.id, call.func.attr) in {("os", "system"), ("os", "popen"), ("subprocess", "getoutput")}
    ]

    assert len(calls()) > 5000
    assert imported == run == shells == systems == []
