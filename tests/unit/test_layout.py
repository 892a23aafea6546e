"""The house holds: imports point one way, files stay small, nothing is left half done, each test says what it proves."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ENGINE = ROOT / "recon"

# Each floor may import from the floors before it, and from its own package.
FLOORS = [
    "errors clock duration currency",
    "inert files secret kind progress",
    "section discrepancy redact versions",
    "job",
    "event",
    "fetch",
    "provider stores dumps native",
    "upsert",
    "http_provider publishers",
    "graphql_provider consume",
    "report",
    "compare state",
    "personal",
    "guard ledger confirm",
    "plan",
    "outbox",
    "settings",
    "project heartbeat",
    "run",
    "notify",
    "schedule",
    "doctor scaffold",
    "demo",
    "testing",
    "commands",
    "__main__",
]
LEVEL = {room: level for level, floor in enumerate(FLOORS) for room in floor.split()}
FILES = sorted(p for p in ENGINE.rglob("*.py") if "_bundled" not in p.parts and p.name != "cli.py")


def room_of(module: str) -> str:
    """The room a dotted module below `recon` belongs to."""
    parts = module.split(".")
    two = ".".join(parts[:2])
    return two if two in LEVEL else parts[0]


def imports_of(path: Path) -> list[tuple[str, str]]:
    """(module, name) of every import from the engine, wherever in the file it stands."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "recon":
                found += [(alias.name, alias.name) for alias in node.names]
            elif (node.module or "").startswith("recon."):
                found += [(node.module.removeprefix("recon."), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name.removeprefix("recon."), "") for alias in node.names if alias.name.startswith("recon.")]
    return found


def name_of(path: Path) -> str:
    relative = path.relative_to(ENGINE).with_suffix("")
    return ".".join(relative.parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    """A file imports only from floors below its own, or from its own package."""
    own = room_of(name_of(path))
    if own == "__init__":
        return
    assert own in LEVEL, f"{path.name}: give the room {own!r} a floor"

    up = [
        module
        for module, name in imports_of(path)
        if module != "__version__" and name != "__version__"
        if (room := room_of(module)) != own and module.split(".")[0] != own.split(".")[0]
        if LEVEL.get(room, 99) >= LEVEL[own]
    ]

    assert up == [], f"{name_of(path)} (floor {LEVEL[own]}) reaches up to {up}"


def test_engine_knows_no_job_provider_or_cli() -> None:
    """Nothing in the engine imports from jobs/, providers/ or cli.py, but the one door."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for module in modules:
                assert module.split(".")[0] not in {"jobs", "providers"}, f"{path}: {module}"
                if module in {"cli", "recon.cli"}:
                    assert path.name == "__main__.py", f"{path}: {module}"


@pytest.mark.parametrize("folder", ["jobs", "providers"])
def test_shipped_files_import_only_the_engine(folder: str) -> None:
    """A shipped job or provider file imports `recon` and the standard library, as a user's would."""
    for path in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in {"jobs", "providers", "cli", "tests"}, path


def test_no_file_is_too_long() -> None:
    """No file of the product grows past 420 lines."""
    definitions = [path for room in ("jobs", "providers") for path in (ROOT / room).glob("*.py")]
    long = {str(p.relative_to(ROOT)): n for p in [*FILES, *definitions, ROOT / "cli.py"] if (n := len(p.read_text().splitlines())) > 420}

    assert long == {}


def test_nothing_is_marked_unfinished() -> None:
    """No mark of unfinished work stands in the product's code."""
    marks = re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError|pragma: no cover")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*FILES, ROOT / "cli.py", *(ROOT / "jobs").glob("*.py"), *(ROOT / "providers").glob("*.py")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]

    assert found == []


def test_every_test_says_what_it_proves() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "node_modules" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert silent == []


def test_each_ignore_has_its_reason() -> None:
    """A lint or type ignore names its code and says why on the same line."""
    bare = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*FILES, ROOT / "cli.py", *(ROOT / "jobs").glob("*.py"), *(ROOT / "providers").glob("*.py")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*(noqa|type:\s*ignore)", line)
        and not re.search(r"#\s*(noqa:\s*[A-Z0-9, ]+|type:\s*ignore\[[a-z-, ]+\]).*\w{3,}.*\w{2,}", line.split("#", 1)[1].join(["#", ""]))
    ]

    assert bare == []
