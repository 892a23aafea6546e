"""A project in a minute: what init, new domain and new provider write, works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from recon.scaffold.write import PROJECT_FILES
from tests.acceptance.cli_project import Shell, Shop


@pytest.fixture
def recon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Command lines in an empty folder."""
    return Shell(Shop(tmp_path), monkeypatch, capsys)


@pytest.fixture
def inside(recon: Shell) -> Shell:
    """Command lines in a project that `recon init` wrote."""
    assert recon("init", "shop").code == 0
    return Shell(Shop(recon.shop.folder / "shop"), recon.monkeypatch, recon.capsys)


def test_a_project_in_a_minute(recon: Shell, tmp_path: Path) -> None:
    """`recon init shop && cd shop && pytest && recon list` works as it is written in the README."""
    shop = Shop(tmp_path)
    made = shop.recon("init", "shop")
    project = Shop(tmp_path / "shop")
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    listed = project.recon("list")

    assert made.returncode == 0
    assert {str(p.relative_to(project.folder)) for p in project.folder.rglob("*") if p.is_file()} >= set(PROJECT_FILES)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "1 passed" in tested.stdout
    assert listed.returncode == 0
    assert re.search(r"^job +orders +on +jobs/orders\.py", listed.stdout, re.MULTILINE)
    assert "broken" not in listed.stdout
    del recon


def test_the_written_test_can_fail(inside: Shell) -> None:
    """The test that init writes really tries the job: with another mapping in it, it fails."""
    job = inside.shop.folder / "jobs/orders.py"
    job.write_text(job.read_text().replace('"succeeded": "paid"', '"succeeded": "done"'))
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=inside.shop.folder,
        env=inside.shop.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert tested.returncode == 1


def test_what_init_wrote_is_sound(inside: Shell) -> None:
    """The project's settings hold, the provider and its resource resolve, and the doctor misses only the secrets."""
    inside.shop.environ.update(SHOP_TOKEN="t", DATABASE_URL="sqlite:///missing.db", RECON__PROVIDERS__SHOP__TRIES="1")
    inside.shop.environ["RECON__PROVIDERS__SHOP__BASE_URL"] = "http://127.0.0.1:9/"

    said = inside("doctor", "orders")
    config = inside("config", "show")

    assert re.search(r"ok +job +4 fields, shop\.orders against store main", said.out)
    assert re.search(r"ok +secrets +2 of 2", said.out)
    assert re.search(r"FAIL  store", said.out)
    assert "stores.main.url" in config.out
    assert '{ env = "DATABASE_URL" }' in config.out


def test_init_overwrites_nothing(inside: Shell) -> None:
    """Where one of its files is there already, init writes none at all, and names it."""
    (inside.shop.folder / "README.md").write_text("mine")
    (inside.shop.folder / "recon.toml").unlink()

    said = inside("init")

    assert said.code == 2
    assert "README.md" in said.err
    assert "nothing is overwritten" in said.err
    assert not (inside.shop.folder / "recon.toml").exists()
    assert (inside.shop.folder / "README.md").read_text() == "mine"


def test_a_domain_after_a_shipped_job(inside: Shell) -> None:
    """A new domain --from stripe.charges copies the shipped job under a name of one's own, fields and table and all, and it loads."""
    said = inside("new", "domain", "charges", "--from", "stripe.charges")

    assert said.code == 0
    text = (inside.shop.folder / "jobs/charges.py").read_text()
    assert 'domain="charges"' in text
    assert "stripe_charges = " not in text
    assert "create table" in text
    listed = inside("list").out
    assert re.search(r"^job +charges +on +jobs/charges\.py +stripe\.charges", listed, re.MULTILINE)
    assert re.search(r"^job +stripe_charges +off", listed, re.MULTILINE)


def test_a_domain_on_a_provider_of_ones_own(inside: Shell) -> None:
    """A new domain knows the resources of the project's own providers, in Python and declared, and offers the near miss."""
    with (inside.shop.folder / "recon.toml").open("a") as file:
        file.write('[providers.crm]\ntype = "rest"\nbase_url = "https://crm.example/"\n')
        file.write('[providers.crm.resources.contacts]\npath = "contacts"\nrecords = "data"\npaging = { rule = "none" }\n')

    assert inside("new", "domain", "contacts", "--from", "crm.contacts").code == 0
    assert inside("new", "domain", "more_orders", "--from", "shop.orders").code == 0
    assert inside("new", "domain", "plain").code == 0
    missed = inside("new", "domain", "other", "--from", "crm.contact")

    assert missed.code == 2
    assert "did you mean crm.contacts?" in missed.err
    listed = inside("list").out
    assert re.search(r"^job +contacts +on +jobs/contacts\.py +crm\.contacts", listed, re.MULTILINE)
    assert re.search(r"^job +more_orders +on +jobs/more_orders\.py +shop\.orders", listed, re.MULTILINE)


def test_a_provider_that_loads(inside: Shell) -> None:
    """A new provider is a class that is found, and can be made once its table is there."""
    assert inside("new", "provider", "acme_pay").code == 0
    with (inside.shop.folder / "recon.toml").open("a") as file:
        file.write('[providers.acme_pay]\nbase_url = "https://pay.example/"\n')
    assert inside("new", "domain", "pays", "--from", "acme_pay.items").code == 0

    assert re.search(r"^provider +acme_pay +defined +providers/acme_pay\.py", inside("list").out, re.MULTILINE)
    said = inside("run", "pays", "--show-sql")
    assert "DATABASE_URL" in said.err
