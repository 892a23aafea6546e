"""docs/versions.md, run from top to bottom: each block in its order, against a real project, on the days that the page names."""

import importlib
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recon.clock import SystemClock
from recon.state.database import State
from recon.stores.sqlite import SqliteStore
from tests.acceptance.cli_project import ROOT, Shell, Shop

PAGE = ROOT / "docs" / "versions.md"
PIECE = re.compile(r"^```(\w*)\n(.*?)^```$|^<!-- (clock|shop): (.*?) -->$", re.MULTILINE | re.DOTALL)


class Walk:
    """The project on its way through the page."""

    def __init__(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shell = shell
        self.rows = [{"id": f"o{n:03}", "status": "paid", "total": 100 + n} for n in range(10)]
        self.names: dict[str, Any] = {"told": self.told}
        self.read = 0
        self.said = ""
        self.ahead = timedelta()
        real_clock, real_state, real_store = SystemClock.now, State.now, SqliteStore._now
        monkeypatch.setattr(SystemClock, "now", lambda clock: real_clock(clock) + self.ahead)
        monkeypatch.setattr(State, "now", lambda state, conn=None: real_state(state, conn) + self.ahead)
        monkeypatch.setattr(SqliteStore, "_now", lambda store, connection: real_store(store, connection) + self.ahead)

    def told(self) -> list[bytes]:
        """What was sent since the last time that the page asked."""
        lines = (self.shell.shop.folder / "events.jsonl").read_bytes().splitlines()
        fresh, self.read = lines[self.read :], len(lines)
        return fresh

    def clock(self, day: str) -> None:
        """It is three o'clock in the night of that day."""
        self.ahead = datetime.fromisoformat(f"{day}T03:00:00Z") - datetime.now(UTC)

    def shop(self, words: str) -> None:
        """The third party changes one value."""
        key, name, value = words.split()
        for row in self.rows:
            if row["id"] == key:
                row[name] = int(value)
        self.shell.shop.third_party(orders=self.rows, refunds=self.rows)

    def block(self, kind: str, text: str, line: int) -> None:
        """One block: a file to write, Python to run, commands to type, or words that they said."""
        if kind == "python" and (named := re.match(r"# (\S+\.py)\n", text)):
            self.shell.shop.write(named[1], text)
            # It is deployed anew.
            sys.modules.pop(Path(named[1]).stem, None)
            importlib.invalidate_caches()
        elif kind == "python":
            exec(compile("\n" * line + text, str(PAGE), "exec"), self.names)
        elif kind == "text":
            assert [line for line in text.splitlines() if line not in self.said] == [], self.said
        else:
            said = [self.shell(*line.split()[1:]) for line in text.splitlines()]
            self.said = "".join(one.out + one.err for one in said)
            assert [one.code for one in said] == [0] * len(said), self.said


def test_the_migration_on_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Consumers first, both versions at once, the sunset, and the end: every command succeeds, and every assertion of the page holds."""
    walk = Walk(Shell(Shop.made(tmp_path), monkeypatch, capsys), monkeypatch)
    (tmp_path / "mirror.db").write_bytes((tmp_path / "app.db").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    page = PAGE.read_text()
    pieces = list(PIECE.finditer(page))
    try:
        for piece in pieces:
            if piece[3] is None:
                walk.block(piece[1], piece[2], page.count("\n", 0, piece.start(2)))
            else:
                getattr(walk, piece[3])(piece[4])
    finally:
        for name in ("consumer", "mirror"):
            sys.modules.pop(name, None)

    assert (len(pieces), walk.read) == (32, 9)
