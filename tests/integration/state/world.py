"""What the tests of the state share: a fresh database of each kind, a job, and short ways to make a night."""

import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.job import Field, Job, Table
from recon.kind import Money, Timestamp
from recon.ledger import Ledger
from recon.ledger.findings import LedgerSummary
from recon.outbox import Outbox
from recon.plan import Plans
from recon.state.database import State
from recon.state.runs import Claim, Runs, RunState
from recon.state.tables import meta, metadata
from recon.testing.clock import FixedClock
from tests.servers.postgres import PostgresServer

START = datetime(2026, 1, 3, 3, 0, tzinfo=UTC)
WAY = (RunState.FETCHING, RunState.SEALED, RunState.DIFFED, RunState.CONFIRMING)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a fresh, empty database of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("database"))
    return f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db"


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands in for the database's."""
    return FixedClock(START)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied: a fresh state for each test without a migration for each test."""
    path = tmp_path_factory.mktemp("template") / "state.db"
    State.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def migrated_url(postgres: PostgresServer) -> str:
    """A migrated PostgreSQL database, emptied for each test."""
    url = postgres.new_database()
    State.open(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a migrated, empty state of each kind."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("state") / "state.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("migrated_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE " + ", ".join(table.name for table in metadata.sorted_tables if table is not meta))
        # What is remembered there of a domain or a destination is of another test.
        connection.execute("DELETE FROM recon_meta WHERE name LIKE '%:%'")
    return url


@pytest.fixture
def state(state_url: str, clock: FixedClock) -> Iterator[State]:
    """An open state of each kind, on the test's clock."""
    with State.open(state_url, clock=clock) as opened:
        yield opened


def job(**changes) -> Job:
    """Orders at a shop, with money and times."""
    fields = (
        Field("status"),
        Field("amount", Money(currency="currency")),
        Field("currency"),
        Field("created", Timestamp()),
        Field("updated", Timestamp()),
    )
    standard = {
        "created": "created",
        "updated": "updated",
        "money": "amount",
        "event": "order",
        "table": Table(name="orders"),
        "timezone": "Europe/Paris",
    }
    return Job(**{"domain": "orders", "provider": "shop", "resource": "orders", "fields": fields, **standard, **changes})


def record(status: str = "paid", amount: int = 1999, minute: int = 10) -> dict[str, object]:
    """A record as a side holds it."""
    return {
        "status": status,
        "amount": amount,
        "currency": "eur",
        "created": f"2026-01-02T02:{minute:02d}:00Z",
        "updated": "2026-01-02T05:00:00Z",
    }


def changed(key: str, source: str = "paid", target: str = "open", **values) -> Discrepancy:
    """An order whose status differs."""
    return Discrepancy(
        kind=DiscrepancyKind.CHANGED,
        key=key,
        source=record(source, **values),
        target=record(target, **values),
        changed=("status",),
        source_token=f"s-{source}",
        target_token=f"t-{target}",
    )


def missing(key: str, **values) -> Discrepancy:
    """An order that the target lacks."""
    return Discrepancy(kind=DiscrepancyKind.MISSING, key=key, source=record(**values), target=None, source_token="s-paid")


def extra(key: str) -> Discrepancy:
    """An order that the source lacks."""
    return Discrepancy(kind=DiscrepancyKind.EXTRA, key=key, source=None, target=record(), target_token="t-paid")


class Nights:
    """Nights of the domain `orders`, each one a run: `look` records what was found, `send` plans and enqueues it."""

    def __init__(self, state: State, clock: FixedClock, the_job: Job | None = None) -> None:
        self.state = state
        self.clock = clock
        self.job = the_job or job()
        self.runs = Runs(state)
        self.ledger = Ledger(state)
        self.plans = Plans(state)
        self.outbox = Outbox(state)
        self.claim: Claim

    def begin(self, **options) -> Claim:
        """A run that has come to the second look, a day after the one before."""
        self.clock.advance(86_400)
        claim = self.runs.start(self.job.domain, trigger="cli", owner="host:1", **options)
        for step in WAY:
            claim = self.runs.advance(claim, step, **({"watermark": self.clock.now()} if step is RunState.FETCHING else {}))
        self.claim = claim
        return claim

    def look(self, found: Iterable[Discrepancy], *, begin: bool = True, **options) -> LedgerSummary:
        """Records what one night found, and gives the domain back."""
        if begin:
            self.begin()
        with self.state.begin() as conn:
            return self.ledger.record_in(conn, self.claim.run, self.job, found, **{"complete": True, **options})

    def send(self, publisher: str = "bus", **options) -> int:
        """Plans, judges without a guard, enqueues."""
        with self.state.begin() as conn:
            self.plans.make_in(conn, self.claim.run, self.job)
            self.plans.judge_in(conn, self.claim.run, (), expires_at=self.clock.now())
            count = self.outbox.enqueue_in(conn, self.claim, self.claim.run.id, publisher, **options)
            self.claim = self.runs.advance_in(conn, self.claim, RunState.EMITTED)
        return count

    def end(self) -> None:
        """The run is done and the domain free."""
        self.claim = self.runs.advance(self.claim, RunState.DONE)
        self.runs.release(self.claim)

    def night(self, found: Iterable[Discrepancy], **options) -> LedgerSummary:
        """A whole night, sent and ended."""
        summary = self.look(found, **options)
        self.send()
        self.end()
        return summary

    def event(self, key: str) -> str:
        """The event id that the ledger holds for the key."""
        event = self.ledger.story("orders", key).event
        assert event is not None
        return event


@pytest.fixture
def nights(state: State, clock: FixedClock) -> Nights:
    """Nights on each kind of database."""
    return Nights(state, clock)


def later(seconds: float) -> datetime:
    """A time after the start."""
    return START + timedelta(seconds=seconds)
