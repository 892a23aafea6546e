"""A datasette for tests: a third party that nobody here wrote, over a SQLite file, with keyset pages and a Link header.

    from tests.servers.datasette import datasette  # a module's fixture; skips, saying why, where it is not installed

It listens on a port of its own choosing, which its first words name, and is ended by its process id.
"""

import importlib.util
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROWS = 50_000
READY_SECONDS = 30.0
LISTENS = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


class Datasette:
    """One running server over `shop.db`, whose table `orders` holds 50,000 rows; `database` is the file."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, database: Path) -> None:
        self.process = process
        self.url = url
        self.database = database


def _filled(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, created INTEGER, region TEXT, amount INTEGER)")
        rows = ((f"o{n:05}", 1_700_000_000 + n * 60, ("eu", "us", "ap")[n % 3], n) for n in range(ROWS))
        base.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
        base.execute("CREATE INDEX orders_created ON orders (created)")
    base.close()


@pytest.fixture(scope="module")
def datasette(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """One server for a module."""
    if importlib.util.find_spec("datasette") is None:
        pytest.skip("datasette is not installed: pip install -r requirements/dev.lock")
    database = tmp_path_factory.mktemp("datasette") / "shop.db"
    _filled(database)
    words = ["serve", str(database), "-h", "127.0.0.1", "-p", "0", "--setting", "max_returned_rows", "1000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "datasette", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    # A child that hangs before it says anything is ended, which ends the reading below.
    watchdog = threading.Timer(READY_SECONDS, process.kill)
    watchdog.start()
    said = ""
    try:
        while (found := LISTENS.search(said)) is None:
            line = process.stdout.readline()
            assert line, f"datasette ended without listening: {said}"
            said += line
        watchdog.cancel()
        # What it says of every request must not fill the pipe.
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        yield Datasette(process, found.group(1), database)
    finally:
        watchdog.cancel()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        process.stdout.close()
