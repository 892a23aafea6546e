"""The wheel: what it puts where, and that it works with nothing of the checkout in reach."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def run(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=170, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the locked dependencies and the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    home = folder / "env"
    venv.create(home, with_pip=True)
    pip = (home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements/runtime.lock")
    before = {p.name for p in site(home).iterdir()}
    run(*pip, "--no-deps", next(folder.glob("nightly_recon-*.whl")))
    (folder / "added").write_text("\n".join(sorted({p.name for p in site(home).iterdir()} - before)))
    return folder


def site(home: Path) -> Path:
    return next((home / "lib").glob("python3*/site-packages"))


def test_only_recon_comes_into_site_packages(clean: Path) -> None:
    """Installing adds the package `recon` and its metadata, and no other top-level name."""
    added = (clean / "added").read_text().split()

    assert [name for name in added if not name.endswith(".dist-info")] == ["recon"]


def test_shipped_files_are_found(clean: Path, tmp_path: Path) -> None:
    """`recon list` in an empty project, far from the checkout, shows the shipped providers with their files."""
    (tmp_path / "recon.toml").write_text(
        '[jobs.stripe_charges]\n[providers.stripe]\napi_key = { env = "STRIPE_API_KEY" }\n[stores.main]\nurl = "sqlite:///shop.db"\n'
    )

    out = run(clean / "env/bin/recon", "list", cwd=tmp_path).stdout

    assert "stripe" in out
    assert "stripe_charges" in out
    assert "_bundled" in out


@pytest.mark.timeout(300)
def test_demo_runs_from_the_wheel(clean: Path, tmp_path: Path) -> None:
    """`recon demo` of the installed wheel goes through its five nights and leaves a report."""
    done = run(clean / "env/bin/recon", "demo", tmp_path / "demo", cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})

    assert list((tmp_path / "demo").rglob("index.html")), done.stdout
