"""`recon record`: what the third party wrote that night, found again among what was fetched."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import recon
from tests.acceptance.shop import Shop, record
from tests.servers.fault_server import FaultServer


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A night of two domains, one of whose items has a name with an escape in it."""
    with FaultServer() as server:
        shop = Shop(tmp_path, server)
        shop.serve("bad", [record(n, **({"note": 'a "quoted"\u2028 \x1b[31mred'} if n == 12 else {})) for n in range(30)])
        assert shop.night().code == 0
        yield shop


def test_the_record_is_printed_with_where_it_stood(shop: Shop) -> None:
    """Pretty, with its page and run; `--raw` is the very record; nothing in it reaches the terminal as a command."""
    told = recon("record", "bad", "k12", cwd=shop.folder, env=shop.env)
    raw = recon("record", "bad", "k12", "--raw", cwd=shop.folder, env=shop.env)

    assert told.returncode == raw.returncode == 0
    assert "page 2" in told.stderr
    assert "\x1b" not in told.stdout
    assert json.loads(raw.stdout)["id"] == json.loads(told.stdout)["id"] == "k12"


def test_what_cannot_be_shown_is_said(shop: Shop) -> None:
    """A key that the listing had not, a run that never was, pages that are gone: each with its exit code and the way out."""
    absent = recon("record", "bad", "k99", cwd=shop.folder, env=shop.env)
    assert absent.returncode == 3
    assert "not in the listing of run" in absent.stderr
    assert recon("record", "bad", "k12", "--run", "01ZZZZ", cwd=shop.folder, env=shop.env).returncode == 2
    assert "in part" not in absent.stderr, "the listing was whole"
    shutil.rmtree(shop.folder / ".recon" / "runs")
    gone = recon("record", "bad", "k12", cwd=shop.folder, env=shop.env)
    assert gone.returncode == 2
    assert "are not on this disk any more" in gone.stderr


def test_personal_fields_are_hashed(shop: Shop) -> None:
    """Of a job with a personal field the declared fields alone are shown, that one by its hash, and --raw is refused."""
    job = shop.folder / "jobs/bad.py"
    job.write_text(
        job.read_text().replace('Field("status")', 'Field("status"), Field("note", personal=True, compare=False, missing_is_null=True)')
    )
    shop.sql("alter table bad add column note text")

    told = recon("record", "bad", "k12", cwd=shop.folder, env=shop.env)

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["note"].startswith("hmac:")
    assert "quoted" not in told.stdout
    assert recon("record", "bad", "k12", "--raw", cwd=shop.folder, env=shop.env).returncode == 2
