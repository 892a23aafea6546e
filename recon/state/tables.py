"""The tables of the reconciler's own database, as SQLAlchemy Core knows them.

Times are whole microseconds since the epoch, UTC, the same on every database; JSON is text that is only ever read by this
program. Every table's name begins with `recon_`, so that the state may live in a database that has other tenants.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    literal_column,
    text,
)

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every revision of the schema that this version knows, oldest first; a test holds it equal to the migration files."""

HEAD = REVISIONS[-1]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Whole microseconds since the epoch; ValueError for a time without a zone, which would be read in the machine's own."""
    if moment.tzinfo is None:
        msg = f"time without a zone: {moment!r}"
        raise ValueError(msg)
    return (moment - EPOCH) // MICROSECOND


def moment(value: int) -> datetime:
    """The reverse of `micros`."""
    return EPOCH + timedelta(microseconds=value)


class Instant(TypeDecorator[datetime]):
    """An aware time, stored as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else moment(value)


class Document(TypeDecorator[Any]):
    """A JSON value, stored as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


metadata = MetaData()

OPEN: ColumnElement[str] = literal_column("'open'")
"""The state of an open entry of the ledger, as a literal, for the same reason as `WAITS` below."""

meta = Table(
    "recon_meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

leases = Table(
    "recon_leases",
    metadata,
    Column("domain", Text, primary_key=True),
    # NULL while nobody holds it; the row stays, so that the fence only ever grows.
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False),
    Column("acquired_at", Instant, nullable=False),
    Column("renewed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

runs = Table(
    "recon_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("slot", Instant),
    Column("dry_run", Boolean, nullable=False),
    Column("key", Text),
    Column("owner", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("logical_start", Instant, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("watermark", Instant),
    Column("folder", Text),
    Column("host", Text),
    Column("coverage", Document),
    Column("figures", Document),
    Column("verdict", Text),
    Column("exit_code", Integer),
    Column("whole", Boolean),
    Column("source_records", BigInteger),
    Column("target_records", BigInteger),
    Column("compared", BigInteger),
    Column("discrepancies", BigInteger),
    Column("plan_checksum", Text),
    Column("hold_expires_at", Instant),
    Column("consistent_as_of", Instant),
    Column("reason", Text),
    Column("resumes", Integer, nullable=False, server_default=text("0")),
    Column("version", Text, nullable=False),
    # When its findings and events were removed by age; its figures stay.
    Column("pruned_at", Instant),
    Index("recon_runs_by_domain", "domain", "started_at"),
    Index("recon_runs_by_state", "state"),
    Index("recon_runs_one_per_slot", "domain", "slot", unique=True),
)

slots = Table(
    "recon_slots",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("state", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("reason", Text),
    Column("run_id", Text),
    # Runs that were started for it, and not before when the next one may be.
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("again_at", Instant),
    # The service that sees to it, and until when if nothing more is heard of that.
    Column("taken_by", Text),
    Column("taken_until", Instant),
    Index("recon_slots_by_state", "state"),
)

notices = Table(
    "recon_notices",
    metadata,
    # What is told (`held`, `overdue`, …) of whom: a run's id, or a domain.
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant),
    # How often it was told, and when it is to be told again; NULL once there is nothing more to say.
    Column("count", Integer, nullable=False),
    Column("next_at", Instant),
    Index("recon_notices_by_next", "next_at"),
)

ledger = Table(
    "recon_ledger",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("source_token", Text, nullable=False),
    Column("target_token", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("supersedes", Text),
    Column("first_run", Text, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("last_run", Text, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("nights", Integer, nullable=False),
    # The local date of the last night counted, so that two runs of one night count once.
    Column("last_night", Text, nullable=False),
    # Nights on which it was found again although its event had been confirmed before.
    Column("unheeded", Integer, nullable=False),
    Column("emissions", Integer, nullable=False),
    Column("emitted_at", Instant),
    Column("resolved_at", Instant),
    Column("resolved_run", Text),
    # Of the open ones only: an index on the domain alone would tempt PostgreSQL away from the primary key in look-ups by key.
    Index("recon_ledger_open", "domain", sqlite_where=text("state = 'open'"), postgresql_where=text("state = 'open'")),
    Index("recon_ledger_by_event", "event_id"),
)

acks = Table(
    "recon_acks",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("source_token", Text, nullable=False),
    Column("target_token", Text, nullable=False),
    # The last local date on which it holds; NULL for as long as nothing changes.
    Column("until", Text),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_why", Text),
)

findings = Table(
    "recon_findings",
    metadata,
    Column("run_id", Text, ForeignKey("recon_runs.id"), primary_key=True),
    # The order in which they were found, which is the order of the report.
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("domain", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("standing", Text, nullable=False),
    Column("changed", Document, nullable=False),
    Column("source", Document),
    Column("target", Document),
    Column("source_token", Text, nullable=False),
    Column("target_token", Text, nullable=False),
    Column("first_run", Text, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("nights", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("supersedes", Text),
    Column("created_at", Instant),
    Column("money", BigInteger),
    Column("currency", Text),
    Column("acknowledged", Text),
    Index("recon_findings_by_key", "key", "run_id", unique=True),
)

doubts = Table(
    "recon_doubts",
    metadata,
    Column("run_id", Text, ForeignKey("recon_runs.id"), primary_key=True),
    Column("key", Text, primary_key=True),
)

plans = Table(
    "recon_plans",
    metadata,
    Column("run_id", Text, ForeignKey("recon_runs.id"), primary_key=True),
    Column("state", Text, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False, server_default=text("0")),
    Column("by_type", Document, nullable=False),
    Column("guards", Document),
    Column("expires_at", Instant),
    Column("decided_by", Text),
    Column("decided_at", Instant),
    Column("reason", Text),
)

plan_events = Table(
    "recon_plan_events",
    metadata,
    Column("run_id", Text, ForeignKey("recon_runs.id"), primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("partitionkey", Text, nullable=False),
    Column("source_token", Text, nullable=False),
    Column("target_token", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

events = Table(
    "recon_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("partitionkey", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("emissions", Integer, nullable=False),
    # When a receiver first confirmed it, as revisions before 0006 wrote it down; since then the outbox says so (state/confirmed.py).
    Column("confirmed_at", Instant),
    Index("recon_events_by_key", "domain", "key"),
    Index("recon_events_by_time", "created_at"),
)

WAITING = text("state = 'waiting'")
WAITS: ColumnElement[str] = literal_column("'waiting'")
"""The state of a row that waits, as a literal: SQLite uses a partial index only where it sees the value in the statement."""

ENDED = text("state <> 'waiting'")

ONE_WAITING = ("event_id", "publisher", "version")
"""What waits once: an event, for one destination, in one version of its data."""

outbox = Table(
    "recon_outbox",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    # No foreign key: it would be looked up for every row that comes, and the soundness check holds as much.
    Column("event_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("publisher", Text, nullable=False),
    Column("partitionkey", Text, nullable=False),
    Column("emission", Integer, nullable=False),
    # waiting, sent, dead or withdrawn.
    Column("state", Text, nullable=False),
    Column("enqueued_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("tried_at", Instant),
    Column("sent_at", Instant),
    Column("duplicate", Boolean, nullable=False),
    Column("reason", Text),
    # The replay that it belongs to; NULL for what a run found.
    Column("replay", Text),
    # The older version of its data that is sent; 0 for the newest, as it is stored.
    Column("version", Integer, nullable=False, server_default=text("0")),
    # Of what was sent: whether that counts as delivered, in the newest version and to a destination that heals; NULL before revision 0006.
    Column("heals", Boolean),
    # Only what waits is indexed for the drain, so the index stays small however long the history grows. The domain comes first, since the
    # ledger asks for what waits of it, whatever the destination.
    Index("recon_outbox_waiting", "domain", "publisher", "seq", sqlite_where=WAITING, postgresql_where=WAITING),
    Index("recon_outbox_one_waiting", *ONE_WAITING, unique=True, sqlite_where=WAITING, postgresql_where=WAITING),
    Index("recon_outbox_by_run", "run_id"),
    # What waits has one of its own, so whoever looks an event up asks twice: of what waits, and of what does not.
    Index("recon_outbox_by_event", "event_id", sqlite_where=ENDED, postgresql_where=ENDED),
)
