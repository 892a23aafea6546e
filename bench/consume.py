"""Corrections into an application's table: one by one, and as the loop takes them, on SQLite and on PostgreSQL.

`python bench/consume.py`. An application's table of a hundred thousand rows, corrections of a kilobyte: half of them items that are missing,
half that differ. Applied one by one, many at once, and many at once with a side effect that writes a row. Each way is a process of its
own, on a database of its own.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from outbox import databases, event  # noqa: E402 - found by the line above

from recon.event import Event  # noqa: E402

ROWS = 100_000
RUNS = 3
#: Each way, how many events it is given; and how many are handed over at once, as by the loop unless it is told otherwise.
WAYS = {"single": 2_000, "many": 40_000, "effect": 8_000}
HANDED = 100
DDL = "CREATE TABLE orders (id varchar(40) PRIMARY KEY, status text, amount bigint, email text, note text)"


def corrections(count: int) -> list[Event]:
    """Of rows that are there, which differ, and of ones that are not."""
    found = [event(number) for number in range(count // 2)]
    missing = [event(ROWS + number) for number in range(count - count // 2)]
    for number, one in enumerate(missing):
        missing[number] = replace(one, type="order.created", data={**one.data, "op": "created", "before": None})
    return [one for pair in zip(found, missing, strict=True) for one in pair]


def filled(url: str) -> object:
    """An engine whose table has its rows, all of them as before."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text(DDL))
        connection.execute(text("CREATE TABLE mails (id text)"))
        statement = text("INSERT INTO orders VALUES (:id, :status, :amount, :email, :note)")
        for first in range(0, ROWS, 10_000):
            rows = [{"id": one.partitionkey, **one.data["before"]} for one in map(event, range(first, first + 10_000))]
            connection.execute(statement, rows)
    return engine


def applied(url: str, way: str) -> None:
    """One way, timed; prints the seconds, and those of this process's processor."""
    from sqlalchemy import Connection, text

    from recon.consume import Applied, Applier

    def effect(connection: Connection, one: Event) -> None:
        connection.execute(text("INSERT INTO mails VALUES (:id)"), {"id": one.id})

    applier = Applier(filled(url), table="orders")  # type: ignore[arg-type]  # An engine, which is imported where it is made.
    applier.create_tables()
    applier.check()
    events = corrections(WAYS[way])
    answers: list[Applied] = []
    began, spent = time.perf_counter(), time.process_time()
    if way == "single":
        answers = [applier.apply_event(one) for one in events]
    else:
        for first in range(0, len(events), HANDED):
            answers += applier.apply_many(events[first : first + HANDED], effect=effect if way == "effect" else None)
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    assert {one.kind for one in answers} == {"applied"}, {one.reason for one in answers}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": spent, "events": len(events), "rss_mb": peak}))


def child(words: Sequence[str]) -> dict:
    """What a way in a process of its own printed."""
    path = os.pathsep.join((str(ROOT), str(Path(__file__).parent)))
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    return json.loads(done.stdout.splitlines()[-1])


def consume() -> dict:
    """Events a second, each way on each database; medians."""
    found: dict = {"events": WAYS, "rows": ROWS, "handed": HANDED, "runs": RUNS}
    with databases() as fresh:
        for kind, url_of in fresh.items():
            times: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(RUNS):
                for way in WAYS:
                    one = child([url_of(), way])
                    times[way].append(one["events"] / one["seconds"])
            found[kind] = {way: median(rates) for way, rates in times.items()}
    return found


if __name__ == "__main__":
    if sys.argv[1:]:
        applied(*sys.argv[1:])
    else:
        print(json.dumps(consume()))
