"""Events into the outbox and out of it, and memory with a million waiting.

`python bench/outbox.py`. The outbox is filled from a plan that passed, in the transaction that a night does it in, and drained
into a destination that confirms at once: what is measured is ours alone, and the database's. Each step is a process of its own.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recon.clock import SystemClock  # noqa: E402 - found by the line above
from recon.event import Event  # noqa: E402
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind  # noqa: E402

OUTBOX_EVENTS = 100_000
MANY = 1_000_000
RUNS = 3
WANTED = {"sqlite": 30_000, "postgresql": 50_000}
FLAT = 1.25
#: As a database that is in earnest; the tests turn these off.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}
DAY = datetime(2026, 11, 25, 3, tzinfo=UTC)
RUN = "01M835H6W3SC1M85WSM3FJ364Y"


def event(number: int) -> Event:
    """An event of about a kilobyte, of an item of its own."""
    state = {"status": "paid", "amount": number, "email": f"buyer{number}@example.com", "note": "x" * 160}
    return Event(
        id=f"00000000-0000-5000-8000-{number:012d}",
        type="order.updated",
        source="/recon/shop/orders",
        subject=f"order/o{number}",
        time=DAY,
        recorded=DAY,
        dataversion=1,
        partitionkey=f"o{number}",
        run=RUN,
        generation=1,
        data={
            "op": "updated",
            "key": f"o{number}",
            "state": state,
            "before": {**state, "status": "open"},
            "changed": ["status"],
            "precondition": {"fingerprint": f"{number:032x}"},
            "observed": {"fingerprint": f"{number + 1:032x}", "at": "2026-11-25T03:00:00Z"},
        },
    )


@dataclass
class AtOnce:
    """A destination that confirms whatever it is given."""

    name: str = "bus"
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(batch=500))

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:  # noqa: ARG002 - the protocol's signature
        return [Outcome(kind=OutcomeKind.CONFIRMED)] * len(batch)

    def health(self) -> str:
        return "takes everything"

    def close(self) -> None:
        """Nothing is kept."""


def plan(url: str, count: int) -> None:
    """A run with a plan of `count` events that has passed its guards."""
    from sqlalchemy import insert

    from recon.state import lease
    from recon.state.bulk import Bulk
    from recon.state.database import State
    from recon.state.runs import Runs
    from recon.state.tables import plan_events, plans

    with State.open(url) as state:
        runs = Runs(state)
        claim = runs.start("orders", owner=lease.owner(), trigger="cli")
        with state.begin() as conn:
            bulk = Bulk(conn, insert(plan_events), plan_events.columns.keys())
            for start in range(0, count, 1000):
                rows = []
                for number in range(start, min(start + 1000, count)):
                    one = event(number)
                    rows.append(
                        {
                            "run_id": claim.run.id,
                            "event_id": one.id,
                            "position": number,
                            "key": one.partitionkey,
                            "type": one.type,
                            "subject": one.subject,
                            "partitionkey": one.partitionkey,
                            "source_token": "a",
                            "target_token": "b",
                            "body": one.encode(),
                        }
                    )
                bulk.write(rows)
            values = {"run_id": claim.run.id, "state": "passed", "checksum": "c" * 64, "events": count, "by_type": {"order.updated": count}}
            conn.execute(insert(plans), values)
        began = time.perf_counter()
        with state.begin() as conn:
            from recon.outbox import Outbox

            Outbox(state).enqueue_in(conn, claim, claim.run.id, "bus")
        print(json.dumps({"seconds": time.perf_counter() - began}))


def drained(url: str) -> None:
    """Everything that waits, delivered; prints the seconds, those of this process's processor among them, and the peak of memory."""
    from recon.outbox.delivery import drain
    from recon.state.database import State

    with State.open(url) as state:
        began, spent = time.perf_counter(), time.process_time()
        figure = drain(state, AtOnce(), name="bus", clock=SystemClock(), deadline=900.0)
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
    assert figure.waiting == 0, f"{figure.waiting} still wait: {figure.last_reason}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": spent, "events": figure.confirmed, "rss_mb": peak}))


def child(*words: str) -> dict:
    """What a step in a process of its own printed."""
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def databases() -> Iterator[dict[str, Callable[[], str]]]:
    """How to come by a fresh state database of each kind."""
    from tests.servers.postgres import PostgresServer

    with tempfile.TemporaryDirectory() as folder, PostgresServer(settings=DURABLE) as postgres:
        numbers = iter(range(1000))
        yield {"sqlite": lambda: f"sqlite:///{folder}/state{next(numbers)}.db", "postgresql": postgres.new_database}


def outbox() -> dict:
    """Events a second into the outbox and out of it, on each database; medians."""
    found: dict = {"events": OUTBOX_EVENTS, "runs": RUNS}
    with databases() as fresh:
        for kind, url_of in fresh.items():
            into, out = [], []
            for _ in range(RUNS):
                url = url_of()
                into.append(OUTBOX_EVENTS / child("plan", url, str(OUTBOX_EVENTS))["seconds"])
                one = child("drain", url)
                out.append(one["events"] / one["seconds"])
            found[kind] = {"insert": median(into), "drain": median(out)}
        url = fresh["postgresql"]()
        child("plan", url, str(OUTBOX_EVENTS))
        few = child("drain", url)
        url = fresh["postgresql"]()
        child("plan", url, str(MANY))
        many = child("drain", url)
        found["memory"] = {
            "few_mb": few["rss_mb"],
            "many_mb": many["rss_mb"],
            "many": MANY,
            "ratio": many["rss_mb"] / few["rss_mb"],
            "drain": MANY / many["seconds"],
        }
    return found


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["plan", url, count]:
            plan(url, int(count))
        case ["drain", url]:
            drained(url)
        case _:
            print(json.dumps(outbox()))
