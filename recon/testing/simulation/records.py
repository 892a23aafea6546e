"""What anybody can read in the state database between two steps: the runs, the plans that wait, the fences. Read with plain SQL."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recon.testing.simulation.clock import second
from recon.testing.simulation.oracle.facts import Held, Queued, RunRow

if TYPE_CHECKING:
    from recon.testing.simulation.people import People
    from recon.testing.simulation.world import Universe


class Records:
    """Turns what the database shows into facts; people hear of what is held."""

    def __init__(self, universe: "Universe", people: "People") -> None:
        self._universe = universe
        self._people = people

    def read(self, file: Path) -> None:
        """One look."""
        universe = self._universe
        facts, chance = universe.facts, universe.chance
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            for id_, domain, state, slot, started, dry, key in database.execute(
                "select id, domain, state, slot, started_at, dry_run, key from recon_runs"
            ).fetchall():
                before = facts.rows.get(id_)
                if before is None or before.state != state:
                    chance.reach(f"run {state}")
                    if state == "expired":
                        chance.reach("held -> expired")
                facts.rows[id_] = RunRow(
                    id=id_,
                    domain=domain,
                    state=state,
                    slot=None if slot is None else str(slot),
                    started=_second(started),
                    dry=bool(dry),
                    key=key,
                )
            for name, fence in database.execute("select domain, fence from recon_leases").fetchall():
                facts.fences.setdefault(name, []).append(fence)
            self._read_outbox(database)
            held = "select p.run_id, r.domain, p.checksum, p.expires_at from recon_plans p join recon_runs r on r.id = p.run_id where p.state = 'held' and r.state = 'held' and not r.dry_run"
            for run, domain, checksum, expires in database.execute(held).fetchall():
                if run not in facts.held:
                    ids = database.execute("select event_id from recon_plan_events where run_id = ?", (run,)).fetchall()
                    facts.held[run] = Held(
                        at=universe.time.at,
                        domain=domain,
                        run=run,
                        checksum=checksum,
                        expires=_second(expires),
                        ids=frozenset(one for (one,) in ids),
                    )
                    self._people.hear(facts.held[run])

    def glance(self, file: Path) -> None:
        """A look at the outbox alone, as it stands when something is about to leave it."""
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            self._read_outbox(database)

    def _read_outbox(self, database: sqlite3.Connection) -> None:
        facts, now = self._universe.facts, self._universe.time.at
        left = set(facts.outbox)
        for seq, run, id_, emission, domain, key, publisher, version, replay, state in database.execute(
            "select seq, run_id, event_id, emission, domain, partitionkey, publisher, version, replay, state from recon_outbox"
        ).fetchall():
            left.discard(seq)
            if seq not in facts.outbox:
                facts.outbox[seq] = Queued(
                    seq=seq, run=run, id=id_, domain=domain, key=key, publisher=publisher, version=version, replay=replay is not None
                )
            row = facts.outbox[seq]
            row.emissions.add(emission)
            if not row.looks or row.looks[-1][1] != state:
                row.looks.append((now, state))
            if state == "sent":
                facts.marked.setdefault((id_, emission, row.lane), now)
        for seq in left:
            if facts.outbox[seq].looks[-1][1] != "gone":
                facts.outbox[seq].looks.append((now, "gone"))
        told = "select e.run_id, e.event_id from recon_plan_events e join recon_plans p on p.run_id = e.run_id where p.state = 'enqueued'"
        facts.enqueued.update(database.execute(told).fetchall())


def plan_state(file: Path, run: str) -> str:
    """Where the plan of a run stands."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        row = database.execute("select state from recon_plans where run_id = ?", (run,)).fetchone()
    return str(row[0]) if row else ""


def _second(micros: int) -> float:
    return second(datetime.fromtimestamp(0, UTC)) + micros / 1_000_000
