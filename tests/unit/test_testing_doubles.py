"""The doubles that users test their jobs with."""

from datetime import UTC, datetime
from decimal import Decimal as Number
from pathlib import Path

import pytest

import recon.testing
from recon.errors import StoreMismatch, Unreachable
from recon.fetch.page import LookupStatus
from recon.job import Field, Job, Sql, Table
from recon.kind import Money, Timestamp
from recon.provider import Listing, Provider
from recon.publishers.base import Message, Outcome, OutcomeKind, Publisher
from recon.secret import Secret
from recon.stores.base import Selection, Store
from recon.testing import FakeProvider, FixedClock, MemoryStore, RecordingPublisher, reconcile_in_memory, section, sqlite_store

ORDERS = Job(
    domain="orders",
    provider="shop",
    resource="orders",
    table=Table(name="orders"),
    fields=(
        Field("status"),
        Field("total", Money(currency="currency"), path="amount"),
        Field("currency"),
        Field("created", Timestamp(), path="created_at", column="created_at"),
    ),
)


def record(key: str, **changes: object) -> dict:
    return {"id": key, "status": "paid", "amount": 1999, "currency": "EUR", "created_at": "2026-01-02T03:04:05Z"} | changes


def row(key: str, **changes: object) -> dict:
    return {
        "id": key,
        "status": "paid",
        "total": 1999,
        "currency": "EUR",
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    } | changes


def test_a_job_is_compared_in_six_lines() -> None:
    """The real comparison finds what is missing, extra and changed between two lists, and nothing else."""
    found = reconcile_in_memory(
        ORDERS,
        provider=[record("1"), record("2"), record("3", status="refunded")],
        store=[row("1"), row("3"), row("4")],
    )
    assert (found.missing, found.extra, found.changed) == (["2"], ["4"], ["3"])
    assert found.of("3").changed == ("status",)
    assert (found.compared, found.equal, found.clean) == (2, 1, False)
    assert reconcile_in_memory(ORDERS, provider=[record("1")], store=[row("1")]).clean


def test_duplicates_and_broken_records_are_shown() -> None:
    """What comes twice and what cannot be read is told, and is no discrepancy."""
    found = reconcile_in_memory(
        ORDERS, provider=[record("1"), record("1"), b'{"id": "2", "status": nope}'], store=[row("5"), row("5"), row("2")]
    )
    assert {(d.place, d.key) for d in found.duplicates} == {("provider", "1"), ("store", "5")}
    assert len(found.unreadable) == 1
    assert not found.clean


def test_sql_of_its_own_runs_on_sqlite(tmp_path: Path) -> None:
    """A job with an SQL text is compared over a real SQLite file, and a MemoryStore says that it cannot."""
    job = ORDERS.with_settings(
        table=Sql(text="select id as key, upper(status) as status, total, currency, created_at as created_at from orders")
    )
    store = sqlite_store(tmp_path / "s.db", [row("1", status="paid"), row("2", total=5)])
    try:
        found = reconcile_in_memory(job, provider=[record("1", status="PAID"), record("2", status="PAID")], store=store)
    finally:
        store.close()
    assert found.changed == ["2"]
    with pytest.raises(StoreMismatch, match="SQL of its own"):
        reconcile_in_memory(job, provider=[], store=[row("1")])


def test_doubles_are_what_they_stand_for() -> None:
    """Each double satisfies its protocol."""
    assert isinstance(FakeProvider([]), Provider)
    assert isinstance(MemoryStore(), Store)
    assert isinstance(RecordingPublisher(), Publisher)


def test_every_name_is_there() -> None:
    """Everything that `recon.testing` offers can be had, and an unknown name is an AttributeError."""
    for name in recon.testing.__all__:
        assert getattr(recon.testing, name) is not None
    with pytest.raises(AttributeError):
        recon.testing.nothing  # noqa: B018 - the look-up is the test


def test_fake_provider_pages_resumes_and_fails() -> None:
    """Pages end with positive proof, go on from a checkpoint, and fail where the test says so."""
    provider = FakeProvider([record(str(n)) for n in range(5)], page_size=2)
    pages = list(provider.fetch(Listing(resource="items")))
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert [page.end is not None for page in pages] == [False, False, True]
    assert [len(page.items) for page in provider.fetch(Listing(resource="items", resume=pages[0].next))] == [2, 1]

    provider.fail_page[3] = Unreachable("gone")
    with pytest.raises(Unreachable):
        list(provider.fetch(Listing(resource="items")))
    assert [page.end is not None for page in FakeProvider([]).fetch(Listing(resource="items"))] == [True]


def test_fake_provider_answers_by_id() -> None:
    """A read by id answers each key once: found, deleted, absent, or as the test says."""
    provider = FakeProvider([record("1"), record("2")], deleted=["3"], answers={"2": LookupStatus.FORBIDDEN}, dashboard="https://x/{key}")
    answers = {a.key: a.status for a in provider.get_many("items", ["1", "2", "3", "4"], clock=FixedClock())}
    assert answers == {"1": LookupStatus.FOUND, "2": LookupStatus.FORBIDDEN, "3": LookupStatus.DELETED, "4": LookupStatus.NOT_FOUND}
    assert provider.link("items", "1") == "https://x/1"


def test_memory_store_reads_any_column_type() -> None:
    """Columns of one type keep it, mixtures and empty columns go as text, and a missing column is named."""
    selection = Selection(relation=Table(name="t"), columns={"a": ("a", None), "b": ("b", None), "c": ("c", None)})
    store = MemoryStore([{"id": 1, "a": Number("1.50"), "b": None, "c": 1}, {"id": 2, "a": None, "b": None, "c": "x"}])
    with store.scan(selection) as scan:
        table = scan.reader.read_all()
    assert table.column("c").to_pylist() == ["1", "x"]
    assert table.column("b").to_pylist() == [None, None]
    assert scan.key_unique
    assert store.get_many(selection, ["2"]).column("key").to_pylist() == [2]
    store.rows.append({"id": 3})
    with pytest.raises(StoreMismatch, match="'a'"):
        store.get_many(selection, ["3"])


def test_clock_moves_only_when_told() -> None:
    """Sleeping moves it, and is written down; a naive start is refused."""
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock.sleep(90)
    clock.advance(10)
    assert (clock.now(), clock.monotonic(), clock.slept) == (datetime(2026, 1, 1, 0, 1, 40, tzinfo=UTC), 100.0, [90])
    with pytest.raises(ValueError, match="aware"):
        FixedClock(datetime(2026, 1, 1))


def test_recording_publisher_follows_its_script() -> None:
    """Outcomes are taken in order, then everything is confirmed; a function may decide instead."""
    message = Message(id="1", type="t", subject="s", partitionkey="k", body=b"{}")
    retry = Outcome(kind=OutcomeKind.RETRY)
    publisher = RecordingPublisher([retry])
    assert [o.kind for o in publisher.publish([message, message], 1)] == ["retry", "confirmed"]
    assert len(publisher.messages) == 2
    assert RecordingPublisher(decide=lambda m: retry).publish([message], 1) == [retry]


def test_section_reads_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section built in a test resolves secrets as one from the file does, and refuses what nobody took."""
    monkeypatch.setenv("RECON_TEST_TOKEN", "abc")
    made = section("x", url="https://a", token={"env": "RECON_TEST_TOKEN"}, plain=Secret("p"), path="also a key")
    assert made.secret("token") == Secret("abc")
    assert made.secret("plain").reveal() == "p"
    assert made.text("path") == "also a key"
    with pytest.raises(Exception, match="url"):
        made.finish()
