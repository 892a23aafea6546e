"""Whole nights by the command line between settlement files on an SFTP server and a SQLite table: the files of the how-to."""

import hashlib
import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import figures, recon
from tests.acceptance.documents import files_in, write_files
from tests.servers.sftp import PASSWORD, SftpServer, sftp_server

__all__ = ["sftp_server"]
PAGE = "howto/settlement-files.md"
DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")
HEAD = "reference;status;amount;currency;settled_on;merchant"
Payment = tuple[str, str, str, str, str, str]


def payment(number: int, day: str, status: str = "SETTLED") -> Payment:
    """A payment as the acquirer writes it."""
    merchant = ("Café Nord", '"Müller; Söhne"', "Straße 9")[number % 3]
    return (f"P-{number:05d}", status, f"{number % 97}.{number % 10}0", "EUR", day, merchant)


def row(one: Payment) -> tuple[Any, ...]:
    """The same payment as the application books it."""
    reference, status, amount, currency, day, merchant = one
    return (reference, status.lower(), int(Decimal(amount) * 100), currency, day, merchant.strip('"'))


class World:
    """The acquirer's folder, the table, and the project between them."""

    def __init__(self, folder: Path, server: SftpServer) -> None:
        self.folder = folder
        self.server = server
        self.outgoing = server.folder / "outgoing"
        self.outgoing.mkdir()
        write_files(PAGE, folder)
        self.days = {day: [payment(n, day) for n in range(start, start + 100)] for start, day in zip((1, 101, 201), DAYS, strict=True)}
        # A refund of a payment that was settled before: the later file counts.
        self.days[DAYS[2]].append(payment(5, DAYS[2], "REFUNDED"))
        for day in DAYS:
            self.deliver(day)
        booked = {one[0]: row(one) for day in DAYS for one in self.days[day]}
        with closing(sqlite3.connect(folder / "app.db")) as db:
            db.executescript(files_in(PAGE)["settlements.sql"])
            db.executemany("insert into settlements values (?, ?, ?, ?, ?, ?)", booked.values())
            db.commit()

    def deliver(self, day: str, *, keep: int | None = None) -> None:
        """Writes a day's file and the sums of all; `keep` lines of it only, as a transfer that was cut leaves it."""
        total = sum(Decimal(one[2]) for one in self.days[day])
        lines = [HEAD, *(";".join(one) for one in self.days[day]), f"TRAILER;{len(self.days[day])};{total}"]
        text = ("\r\n".join(lines[:keep]) + "\r\n").encode("cp1252")
        (self.outgoing / f"SETTLE_{day}.csv").write_bytes(text)
        sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(self.outgoing.glob("*.csv")))
        (self.outgoing / "SHA256SUMS").write_text("".join(sums))

    def recon(self, *words: str) -> Any:
        """One command."""
        env = {
            "ACQUIRER_PASSWORD": PASSWORD,
            "RECON__PROVIDERS__ACQUIRER__HOST": "127.0.0.1",
            "RECON__PROVIDERS__ACQUIRER__PORT": str(self.server.port),
            "RECON__PROVIDERS__ACQUIRER__FINGERPRINT": self.server.fingerprint,
        }
        return recon(*words, cwd=self.folder, env=env)

    def run(self) -> dict[str, Any]:
        """One night."""
        return figures(self.recon("run", "settlements", "--json"))

    def execute(self, statement: str) -> None:
        """Changes the application's table."""
        with closing(sqlite3.connect(self.folder / "app.db")) as db:
            db.execute(statement)
            db.commit()

    @property
    def events(self) -> list[tuple[str, str]]:
        """What was published: type and key."""
        path = self.folder / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return sorted((event["type"], event["data"]["key"]) for event in map(json.loads, lines))


@pytest.fixture
def world(tmp_path: Path, sftp_server: SftpServer) -> World:
    """An acquirer and an application that agree about 300 payments."""
    folder = tmp_path / "project"
    folder.mkdir()
    return World(folder, sftp_server)


def test_a_night_finds_what_differs_and_no_more(world: World) -> None:
    """A payment lost, one booked wrongly and one that no file has are told; the night before, with a reissue and quoted semicolons, was clean."""
    first = world.run()
    assert first["verdict"] == "clean", json.dumps(first["problem"])
    assert first["coverage"]["finished"] == 3

    world.execute("delete from settlements where reference = 'P-00007'")
    world.execute("update settlements set amount_cents = amount_cents + 1 where reference = 'P-00042'")
    world.execute("insert into settlements values ('P-99999', 'settled', 100, 'EUR', '2026-11-01', 'nobody')")
    world.run()

    assert world.events == [("settlement.created", "P-00007"), ("settlement.deleted", "P-99999"), ("settlement.updated", "P-00042")]
    assert PASSWORD not in "".join(path.read_text(errors="replace") for path in (world.folder / ".recon").rglob("*.html"))


def test_a_file_cut_on_its_way_deletes_nothing(world: World) -> None:
    """The last file lacks half of its lines, under a sum that fits: the trailer is missing, the night is partial, and what is booked stays."""
    world.deliver(DAYS[2], keep=51)
    world.execute("update settlements set amount_cents = amount_cents + 1 where reference = 'P-00042'")

    told = world.run()

    assert told["coverage"]["whole"] is False
    assert "the trailer is missing" in told["coverage"]["proof"]
    assert told["verdict"] != "clean"
    assert all(kind != "settlement.deleted" for kind, _ in world.events)


def test_doctor_reads_the_first_file(world: World) -> None:
    """It signs in, reads and finds nothing wrong; a server that shows another key is named."""
    done = world.recon("doctor", "settlements")
    assert done.returncode == 0, done.stdout + done.stderr
    world.server.fingerprint = "SHA256:" + "A" * 43
    done = world.recon("doctor", "settlements")
    assert done.returncode != 0
    assert "which is not the one of fingerprint" in done.stdout + done.stderr
