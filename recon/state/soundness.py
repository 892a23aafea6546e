"""Whether a state is sound: its file, its rows, and what must be true of them whatever was killed when.

Nothing is changed and nothing migrated, so that a state may be looked at before a newer version touches it.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, text

from recon.errors import BadRequest
from recon.state import engine as engines
from recon.state import faults, upgrade
from recon.state.tables import HEAD, metadata

ROOM_LOW = 1024**3
ROOM_OUT = 100 * 1024**2

SILENT = "'planned', 'fetching', 'sealed', 'diffed', 'confirming', 'held', 'approved', 'rejected', 'expired'"
ORPHANS = (
    ("recon_findings", "run_id", "recon_runs", "id"),
    ("recon_doubts", "run_id", "recon_runs", "id"),
    ("recon_plans", "run_id", "recon_runs", "id"),
    ("recon_plan_events", "run_id", "recon_runs", "id"),
    ("recon_outbox", "run_id", "recon_runs", "id"),
    ("recon_outbox", "event_id", "recon_events", "id"),
    ("recon_ledger", "last_run", "recon_runs", "id"),
    ("recon_runs", "domain", "recon_leases", "domain"),
)
"""Table and column, and what the value must be found in."""

LAWS = {
    "nothing waits of a run that sent nothing": f"""
        SELECT o.run_id || ' (' || r.state || ')' FROM recon_outbox o JOIN recon_runs r ON r.id = o.run_id WHERE r.state IN ({SILENT})""",
    "what was sent had passed its guards": """
        SELECT r.id || ' (plan ' || p.state || ')' FROM recon_runs r JOIN recon_plans p ON p.run_id = r.id
        WHERE r.state IN ('emitted', 'done') AND NOT r.dry_run AND p.state IN ('planned', 'held', 'rejected', 'expired')""",
    "an enqueued plan's events are all there": """
        SELECT e.run_id || ' ' || e.key FROM recon_plan_events e JOIN recon_plans p ON p.run_id = e.run_id
        JOIN recon_runs r ON r.id = e.run_id
        WHERE p.state = 'enqueued' AND r.updated_at > (SELECT max(updated_at) FROM recon_runs) - 604800000000
        AND NOT EXISTS (SELECT 1 FROM recon_outbox o WHERE o.event_id = e.event_id AND o.state = 'waiting')
        AND NOT EXISTS (SELECT 1 FROM recon_outbox o WHERE o.event_id = e.event_id AND o.state <> 'waiting')""",
    "fences only grow": """
        SELECT r.id || ' (fence ' || r.fence || ' of ' || l.fence || ')' FROM recon_runs r JOIN recon_leases l ON l.domain = r.domain
        WHERE r.fence > l.fence""",
    "one fence, one run": """
        SELECT domain || ' fence ' || fence FROM recon_runs GROUP BY domain, fence HAVING count(*) > 1""",
    "a held run has a held plan": """
        SELECT r.id FROM recon_runs r LEFT JOIN recon_plans p ON p.run_id = r.id WHERE r.state = 'held' AND coalesce(p.state, '') <> 'held'""",
    "an event waits once for a destination, in each version": """
        SELECT event_id || ' to ' || publisher FROM recon_outbox WHERE state = 'waiting'
        GROUP BY event_id, publisher, version HAVING count(*) > 1""",
}
"""What must be true -> a query for what breaks it. Of events that went out over a week ago some are removed by age, so those are not asked for."""

LEFT = """
    SELECT r.domain FROM recon_runs r JOIN recon_leases l ON l.domain = r.domain
    WHERE r.state IN ('planned', 'fetching', 'sealed', 'diffed', 'confirming', 'approved', 'emitted') AND l.fence = r.fence
    AND (l.owner IS NULL OR l.expires_at <= :now) ORDER BY r.domain"""


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `hint` says what to do where it is not OK."""

    name: str
    level: Level
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """A table's rows, and the bytes on disk that it takes with its indexes."""

    table: str
    rows: int
    bytes: int


def examine(url: str) -> tuple[list[Finding], list[TableSize]]:
    """Every finding on the state behind `url`, and the size of its tables.

    Raises StateTooNew for a newer state, BadRequest where there is none, StateError and LocalFault where it cannot be read at all.
    """
    engine = engines.make(url)
    shown = engine.url.render_as_string(hide_password=True)
    file = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
    if file is not None and not file.is_file():
        msg = f"there is no state yet: {file}"
        raise BadRequest(msg, hint="the first run makes it; [state] url says where")
    try:
        with faults.translated(shown), engine.connect() as conn:
            # One state of the database for all questions: what is written meanwhile must not look like a contradiction.
            options = {} if file is not None else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            conn.execution_options(**options).begin()
            stored = upgrade.revision(conn)
            if stored is None:
                msg = f"{shown} holds no state of recon's"
                raise BadRequest(msg, hint="the first run makes it; [state] url says where")
            upgrade.refuse_newer(conn, stored, shown)
            findings = [_revision(stored), *_integrity(conn, file)]
            if stored == HEAD:
                findings += [*_laws(conn), *_orphans(conn), *_left(conn)]
            return findings + _room(file), _sizes(conn)
    finally:
        engine.dispose()


def _revision(stored: str) -> Finding:
    if stored == HEAD:
        return Finding(name="revision", level=Level.OK, message=f"{stored}, this version's own")
    message = f"{stored}; this version's is {HEAD}, so its rows were not looked at"
    return Finding(name="revision", level=Level.WARN, message=message, hint="recon state backup first; any other command then upgrades it")


def _integrity(conn: Connection, file: Path | None) -> Iterator[Finding]:
    if file is None:
        yield Finding(name="integrity", level=Level.OK, message="PostgreSQL sees to its own pages and foreign keys")
        return
    said = list(conn.execute(text("PRAGMA integrity_check(3)")).scalars())
    damaged = "" if said == ["ok"] else "; ".join(said)
    yield _judged("integrity", [damaged] if damaged else [], "every page and index of the file is whole", RESTORE)
    broken = [f"{row[0]} row {row[1]} -> {row[2]}" for row in conn.execute(text("PRAGMA foreign_key_check"))]
    yield _judged("foreign keys", broken, "every reference leads to a row", RESTORE)


RESTORE = "stop what runs, restore the last good backup (docs/state.md), then look at the disk"
REPORT = "this should not be possible: recon state backup, then report it with that file's output of recon state check --json"


def _laws(conn: Connection) -> Iterator[Finding]:
    for law, query in LAWS.items():
        yield _judged(law, list(conn.execute(text(query)).scalars()), "holds", REPORT)


def _orphans(conn: Connection) -> Iterator[Finding]:
    lost: list[str] = []
    for table, column, home, key in ORPHANS:
        query = f"SELECT {column} FROM {table} WHERE {column} NOT IN (SELECT {key} FROM {home})"
        lost += [f"{table}.{column} {value}" for value in conn.execute(text(query)).scalars()]
    yield _judged("orphans", lost, "every row belongs to a run that is there", REPORT)


def _left(conn: Connection) -> Iterator[Finding]:
    """Runs that were left unfinished: no damage, since the next one goes on with them; but somebody killed them."""
    from recon.state.database import State

    now = State(conn.engine).now(conn)
    domains = list(conn.execute(text(LEFT), {"now": int(now.timestamp() * 1_000_000)}).scalars())
    if not domains:
        yield Finding(name="unfinished", level=Level.OK, message="no run was left without a process at work on it")
        return
    message = f"{len(domains):,} runs were left without a process at work on them: {', '.join(domains[:5])}"
    yield Finding(
        name="unfinished", level=Level.WARN, message=message, hint=f"recon run {domains[0]}; recon runs says what goes on with each"
    )


def _room(file: Path | None) -> list[Finding]:
    if file is None:
        return []
    free, used = shutil.disk_usage(file.parent).free, file.stat().st_size
    message = f"{size_words(free)} free beside a state of {size_words(used)}"
    level = Level.FAIL if free < ROOM_OUT else Level.WARN if free < max(ROOM_LOW, used) else Level.OK
    hint = (
        "" if level is Level.OK else f"make room in {file.parent}: without it nothing can be written down, and a backup takes as much again"
    )
    return [Finding(name="room", level=level, message=message, hint=hint)]


def _sizes(conn: Connection) -> list[TableSize]:
    """The largest first."""
    found = []
    for name in sorted(table.name for table in metadata.sorted_tables):
        if conn.dialect.name == "sqlite":
            there = conn.execute(text("SELECT 1 FROM sqlite_master WHERE name = :name"), {"name": name}).first()
            taken = "SELECT coalesce(sum(s.pgsize), 0) FROM dbstat s JOIN sqlite_master m ON m.name = s.name WHERE m.tbl_name = :name"
        else:
            there = conn.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar()
            taken = "SELECT pg_total_relation_size(CAST(:name AS regclass))"
        if there is None:
            continue
        rows = conn.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
        found.append(TableSize(table=name, rows=rows, bytes=int(conn.execute(text(taken), {"name": name}).scalar_one())))
    return sorted(found, key=lambda one: -one.bytes)


def size_words(count: int) -> str:
    """Bytes for a person: `1.4 MiB`."""
    amount, unit = float(count), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{count:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"


def _judged(name: str, broken: list[str], well: str, hint: str) -> Finding:
    if not broken:
        return Finding(name=name, level=Level.OK, message=well)
    more = f" and {len(broken) - 3:,} more" if len(broken) > 3 else ""
    return Finding(name=name, level=Level.FAIL, message=f"broken {len(broken):,} times: {', '.join(broken[:3])}{more}", hint=hint)
