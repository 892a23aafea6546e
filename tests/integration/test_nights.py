"""Single nights in this process, each with one thing that a night must not get wrong; quick enough to be run without each safety mechanism in turn."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recon.outbox import Outbox
from recon.progress import Silent
from recon.project import Project
from recon.report.figures import RunFigures
from recon.run import Order, approve, run_domain
from recon.state.database import State
from recon.state.runs import Runs
from recon.testing.clock import START, FixedClock

SETTINGS = """[providers.shop]
file = "shop.json"
[stores.main]
url = "sqlite:///app.db"
[publishers.bus]
type = "file"
path = "events.jsonl"
[jobs.orders]
publisher = "bus"
"""
JOB = """from recon import Field, Guard, Job, Table, Timestamp

orders = Job(
    domain="orders", provider="shop", resource="orders", table=Table(name="orders"), event="order", settle=60,
    fields=(Field("status"), Field("total", "integer"), Field("updated", Timestamp(), compare=False)), {extra}
)
"""
PROVIDER = '''"""A third party that is a JSON file, in pages of four."""

import json

from recon import End, Listing, Lookup, LookupStatus, Meter, Page
from recon.errors import Unreachable

SIZE = 4


class Shop:
    def __init__(self, section):
        self.name, self.meter = section.name, Meter()
        self.path = section.folder / section.text("file")
        section.finish()

    def _read(self):
        return json.loads(self.path.read_text())

    def resources(self):
        return ["orders"]

    def key_path(self, resource):
        return "id"

    def fetch(self, listing: Listing):
        body = self._read()
        rows = [row for row in body["orders"] if row["id"] not in body["hidden"]]
        starts = range(listing.resume["at"] if listing.resume else 0, len(rows), SIZE)
        for number, start in enumerate(starts, start=1):
            last = start == starts[-1]
            items = [json.dumps(row).encode() for row in rows[start : start + SIZE]]
            yield Page(items=items, end=End("the last page") if last else None, next=None if last else {"at": start + SIZE})
            if number == body["breaks_after"]:
                raise Unreachable("the listing broke off")

    def can_get(self, resource):
        return True

    def get_many(self, resource, keys, *, clock):
        body = self._read()
        rows = {} if body["blind"] else {row["id"]: row for row in body["orders"]}
        for key in keys:
            if key in rows:
                yield Lookup(key=key, status=LookupStatus.FOUND, item=json.dumps(rows[key]).encode())
            else:
                yield Lookup(key=key, status=LookupStatus.NOT_FOUND, why="404")

    def link(self, resource, key):
        return None

    def warnings(self):
        return []

    def close(self):
        pass
'''


class Clock(FixedClock):
    """Time that a sleep moves, and during which something may happen."""

    meanwhile: Callable[[], None] | None = None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            happens()


class Shop:
    """Ten orders, equal on both sides; `world` is what the third party's file says beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.rows = [{"id": f"o{n}", "status": "paid", "total": 100 + n, "updated": "2026-01-01T00:00:00Z"} for n in range(10)]
        self.world: dict[str, Any] = {"hidden": [], "breaks_after": None, "blind": False}
        for place in ("jobs", "providers"):
            (folder / place).mkdir()
        (folder / "recon.toml").write_text(SETTINGS)
        (folder / "providers/shop.py").write_text(PROVIDER)
        self.job()
        with sqlite3.connect(folder / "app.db") as database:
            database.execute("create table orders (id text primary key, status text, total integer, updated text)")
            database.executemany("insert into orders values (:id, :status, :total, :updated)", self.rows)
        database.close()
        self.state = State.open(f"sqlite:///{folder}/state.db", clock=self.clock)

    def job(self, extra: str = "") -> None:
        """The job's file, with what a test adds."""
        (self.folder / "jobs/orders.py").write_text(JOB.format(extra=extra))

    def sql(self, statement: str) -> None:
        """A change in the store."""
        with sqlite3.connect(self.folder / "app.db") as database:
            database.execute(statement)
        database.close()

    def project(self) -> Project:
        """The project as its files are now."""
        (self.folder / "shop.json").write_text(json.dumps({"orders": self.rows, **self.world}))
        return Project.find(self.folder)

    def night(self, **options: Any) -> RunFigures:
        """One run, from its claim to its figures; the next one is a day later."""
        with self.project() as project:
            figures = run_domain(project, self.state, Order(domain="orders", **options), clock=self.clock, progress=Silent())
        self.clock.advance(86_400)
        return figures

    @property
    def sent(self) -> list[str]:
        """`type key` of every event that went out."""
        file = self.folder / "events.jsonl"
        events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return sorted(f"{event['type']} {event['data']['key']}" for event in events)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop on a clock of its own."""
    monkeypatch.setenv("RECON_PLUGINS", "none")
    made = Shop(tmp_path)
    yield made
    made.state.close()


def test_drift_of_each_kind_is_corrected_once(shop: Shop) -> None:
    """The measure of all that follows: what really differs goes out."""
    shop.sql("delete from orders where id = 'o1'")
    shop.sql("update orders set status = 'open' where id = 'o2'")
    shop.sql("insert into orders values ('o99', 'paid', 1, '2026-01-01T00:00:00Z')")

    figures = shop.night()

    assert figures.problem is None
    assert shop.sent == ["order.created o1", "order.deleted o99", "order.updated o2"]


def test_the_watermark_is_older_than_the_first_page(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching takes time; the run's watermark is from before it."""
    from recon.run import listing

    real, began = listing.land, []

    def land(*args: Any, **options: Any) -> Any:
        began.append(shop.clock.now())
        shop.clock.advance(30)
        return real(*args, **options)

    monkeypatch.setattr(listing, "land", land)
    figures = shop.night()

    watermark = Runs(shop.state).get(figures.run).watermark
    assert watermark is not None
    assert watermark <= began[0]


def test_the_second_look_waits_for_the_settle_time(shop: Shop) -> None:
    """A minute goes by between the looks where there is a suspect."""
    shop.sql("delete from orders where id = 'o1'")

    shop.night()

    assert sum(shop.clock.slept) >= 59


def test_what_healed_between_the_looks_is_not_sent(shop: Shop) -> None:
    """A late webhook put the row right while the suspect settled."""
    shop.sql("update orders set status = 'open' where id = 'o2'")
    shop.clock.meanwhile = lambda: shop.sql("update orders set status = 'paid' where id = 'o2'")

    figures = shop.night()

    assert figures.suspects == 1
    assert shop.sent == []


def test_what_moved_between_the_looks_is_left_alone(shop: Shop) -> None:
    """The row differs at both looks, in different ways: somebody is at work on it."""
    shop.sql("update orders set status = 'open' where id = 'o2'")
    shop.clock.meanwhile = lambda: shop.sql("update orders set status = 'failed' where id = 'o2'")

    shop.night()

    assert shop.sent == []


def test_what_changed_after_the_fetch_began_is_left_alone(shop: Shop) -> None:
    """By its own word the item changed just now: its webhook may be on its way."""
    shop.job('updated="updated",')
    shop.sql("delete from orders where id in ('o1', 'o3')")
    shop.rows[1]["updated"] = START.isoformat()

    shop.night()

    assert shop.sent == ["order.created o3"]


def test_a_404_beside_a_control_that_is_gone_too_proves_nothing(shop: Shop) -> None:
    """A credential that sees no single item any more: what the listing leaves out is not said to be deleted."""
    shop.world |= {"hidden": ["o1"], "blind": True}

    figures = shop.night()

    assert shop.sent == []
    assert figures.unconfirmed == 1


def test_a_deletion_of_two_nights_is_not_told_on_the_first(shop: Shop) -> None:
    """With `delete_nights=2` an item that is gone is told gone on the second night, and not before."""
    shop.job("delete_nights=2,")
    shop.sql("insert into orders values ('o99', 'paid', 1, '2026-01-01T00:00:00Z')")

    shop.night()
    first = shop.sent
    shop.night()

    assert first == []
    assert shop.sent == ["order.deleted o99"]


def test_an_open_key_that_the_listing_leaves_out_is_not_resolved(shop: Shop) -> None:
    """The store lacks the item, and tonight the listing leaves it out: the sides seem to agree, and do not."""
    shop.sql("delete from orders where id = 'o1'")
    shop.night()
    shop.world["hidden"] = ["o1"]

    figures = shop.night()

    assert figures.resolved == 0
    assert figures.verdict != "clean"


def test_a_listing_that_breaks_off_tells_of_no_deletion(shop: Shop) -> None:
    """Four items are gone, and after the first page nothing more comes: nothing is sent, and the run has come to no verdict."""
    shop.rows = shop.rows[:6]
    shop.world["breaks_after"] = 1

    figures = shop.night()

    assert figures.problem is not None
    assert figures.verdict == "incomplete"
    assert shop.sent == []


def test_a_mass_change_is_held_and_nothing_can_be_claimed(shop: Shop) -> None:
    """Half of the table is gone: the plan waits for a person, and the outbox has no row of it."""
    shop.job("guard=Guard(floor=2),")
    shop.sql("delete from orders where id >= 'o5'")

    figures = shop.night()

    assert (figures.exit_code, figures.verdict) == (4, "held")
    assert Outbox(shop.state).waiting() == []
    assert shop.sent == []


def test_what_healed_after_it_was_held_is_not_sent(shop: Shop) -> None:
    """Approved, the plan is read again, and what is in order by then drops out."""
    shop.job("guard=Guard(floor=2),")
    shop.sql("delete from orders where id >= 'o5'")
    with shop.project() as project:
        held = run_domain(project, shop.state, Order(domain="orders"), clock=shop.clock, progress=Silent())
        shop.clock.advance(600)
        shop.sql("insert into orders values ('o5', 'paid', 105, '2026-01-01T00:00:00Z')")
        assert held.plan is not None
        approve(project, shop.state, held.run, plan=held.plan.checksum, reason="seen", by="ann", clock=shop.clock, progress=Silent())

    assert shop.sent == [f"order.created o{n}" for n in range(6, 10)]


def test_a_dry_run_emits_nothing(shop: Shop) -> None:
    """Drift is found and nothing of it is claimable, or sent."""
    shop.sql("delete from orders where id = 'o1'")

    figures = shop.night(dry_run=True)

    assert figures.discrepancies == 1
    assert Outbox(shop.state).waiting() == []
    assert shop.sent == []


def test_clean_is_not_said_of_a_night_with_an_unreadable_item(shop: Shop) -> None:
    """All that could be read agrees; one item could not be read."""
    shop.rows[3]["total"] = "many"  # type: ignore[assignment]  # that is what is wrong with it

    figures = shop.night()

    assert figures.unreadable_items == 1
    assert figures.verdict != "clean"
    assert shop.sent == []


def test_a_process_that_dies_while_it_fills_the_outbox_has_emitted_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's state and its events are one transaction: the run stands where it stood before, and goes on from there to send each once."""
    shop.sql("delete from orders where id = 'o1'")

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "_queue", die)
        with shop.project() as project, pytest.raises(KeyboardInterrupt):
            run_domain(project, shop.state, Order(domain="orders"), clock=shop.clock, progress=Silent())
    left = Runs(shop.state).recent("orders")[0]
    shop.night()

    assert left.state == "confirming"
    assert shop.sent == ["order.created o1"]
