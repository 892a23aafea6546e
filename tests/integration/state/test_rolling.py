"""What went out in the last days, counted on SQLite and PostgreSQL: facts and not tellings, unseen ones only, and by one at a time."""

import threading
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import select, update

from recon.plan.rolling import Rolling, day_in, week_in
from recon.state.database import State
from recon.state.runs import Claim, RunState
from recon.state.tables import events, outbox
from recon.testing.clock import FixedClock
from tests.integration.state.test_plan import TRIPPED
from tests.integration.state.world import WAY, Nights, changed, extra, job, missing


def planned(nights: Nights, *keys: str) -> None:
    """A run that found these keys changed and made its plan."""
    nights.look([changed(key) for key in keys])
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, nights.claim.run, nights.job)


def delivered(nights: Nights, *keys: str) -> None:
    """A night that found these keys changed, and whose events arrived."""
    nights.night([changed(key) for key in keys])
    confirmed(nights)


def confirmed(nights: Nights) -> None:
    """What waits has arrived."""
    with nights.state.begin() as conn:
        told = select(outbox.c.event_id).where(outbox.c.state == "waiting")
        conn.execute(update(events).where(events.c.id.in_(told)).values(confirmed_at=nights.clock.now()))
        conn.execute(update(outbox).where(outbox.c.state == "waiting").values(state="sent", attempts=1))


def week(nights: Nights) -> Rolling:
    """As the run at hand would count it."""
    with nights.state.begin() as conn:
        return week_in(nights.state, conn, nights.claim.run)


def day(nights: Nights) -> Rolling:
    """The same over all domains."""
    with nights.state.begin() as conn:
        return day_in(nights.state, conn, nights.claim.run)


def approved(nights: Nights, *keys: str) -> None:
    """A night that was held, approved and sent."""
    planned(nights, *keys)
    with nights.state.begin() as conn:
        later = nights.clock.now() + timedelta(hours=1)
        plan = nights.plans.judge_in(conn, nights.claim.run, TRIPPED, expires_at=later)
        nights.claim = nights.runs.advance_in(conn, nights.claim, RunState.HELD, hold_expires_at=later)
        nights.plans.approve_in(conn, nights.claim.run, plan.checksum, "alice", "seen")
        nights.claim = nights.runs.advance_in(conn, nights.claim, RunState.APPROVED)
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus")
        nights.claim = nights.runs.advance_in(conn, nights.claim, RunState.EMITTED)
    nights.end()


def test_a_fact_told_every_night_counts_once(nights: Nights) -> None:
    """Three nights that tell the same two facts are two; the plan adds only the one that was never told."""
    for _ in range(3):
        delivered(nights, "1", "2")
    planned(nights, "1", "2", "3")

    assert week(nights) == Rolling(emitted=2, added=1)


def test_what_is_older_than_the_window_counts_no_more(nights: Nights) -> None:
    """Eight nights on, the first night's fact is out of the week; a day on, yesterday's is out of the day."""
    delivered(nights, "old")
    for _ in range(6):
        delivered(nights, "mid")
    planned(nights, "new")
    assert week(nights) == Rolling(emitted=1, added=1)
    nights.runs.release(nights.claim)

    assert day(nights) == Rolling(emitted=0, added=1)


def test_what_a_person_approved_is_counted_neither_then_nor_when_told_again(nights: Nights) -> None:
    """An approved plan leaves the week as it was, and its facts found again the next night add nothing."""
    approved(nights, "1", "2", "3")
    planned(nights, "1", "2", "3", "4")

    assert week(nights) == Rolling(emitted=0, added=1)


def test_a_correction_told_anew_under_a_new_id_is_the_same_one(nights: Nights) -> None:
    """A consumer that does nothing gets new ids, which supersede one another: four nights are one fact each, and the next id adds none."""
    for _ in range(4):
        delivered(nights, "1", "2")
    ids = {sent.event for sent in nights.ledger.story("orders", "1").sent}
    planned(nights, "1", "2", "3")

    assert (len(ids), nights.event("1") in ids) == (2, False)
    assert week(nights) == Rolling(emitted=2, added=1)


def test_a_correction_told_anew_after_an_approval_was_looked_at(nights: Nights) -> None:
    """What a person let out counts no more when its consumer did not act and it gets a new id, neither in the plan nor once that went out."""
    approved(nights, "1", "2")
    confirmed(nights)
    for _ in range(2):
        delivered(nights, "1", "2")
    planned(nights, "1", "2", "3")

    assert len({sent.event for sent in nights.ledger.story("orders", "1").sent}) == 2
    assert week(nights) == Rolling(emitted=0, added=1)


def test_another_fact_on_a_key_that_was_told_counts(nights: Nights) -> None:
    """The source says something else by now, or the discrepancy healed and came back: that counts, though the first names what it replaces."""
    delivered(nights, "1", "2")
    nights.night([changed("1", source="refunded")])
    confirmed(nights)
    assert nights.ledger.story("orders", "2").open is False
    nights.look([changed("1", source="shipped"), changed("2")])
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, nights.claim.run, nights.job)

    assert week(nights) == Rolling(emitted=3, added=2)


def test_what_was_withdrawn_before_it_was_tried_never_went_out(nights: Nights) -> None:
    """An event that the next night found untrue while it still waited is not counted."""
    nights.night([changed("1"), changed("2")])
    delivered(nights, "2")
    planned(nights, "3")

    assert week(nights) == Rolling(emitted=1, added=1)


def test_the_week_is_of_one_domain_and_the_day_of_all(nights: Nights, clock: FixedClock) -> None:
    """Another domain's events count for the total alone."""
    planned(nights, "1")
    other = Nights(nights.state, clock, job(domain="refunds"))
    other.clock.advance(-86_400)
    other.night([missing("a"), extra("b")])

    assert week(nights) == Rolling(emitted=0, added=1)
    assert day(nights) == Rolling(emitted=2, added=1)


def test_of_two_domains_at_once_the_second_counts_what_the_first_adds(state_url: str, clock: FixedClock) -> None:
    """While one transaction has counted and not ended, another one waits; then it sees what the first put into the outbox."""
    with State.open(state_url, clock=clock) as one, State.open(state_url, clock=clock) as two:
        first, second = Nights(one, clock), Nights(two, clock, job(domain="refunds"))
        planned(first, "1", "2")
        planned(second, "a")
        counted: list[Rolling] = []
        begun = threading.Event()

        def count() -> None:
            begun.set()
            counted.append(day(second))

        thread = threading.Thread(target=count)
        with one.begin() as conn:
            assert day_in(one, conn, first.claim.run) == Rolling(emitted=0, added=2)
            thread.start()
            begun.wait(10)
            waits = blocked(state_url)
            first.plans.judge_in(conn, first.claim.run, (), expires_at=clock.now())
            first.outbox.enqueue_in(conn, first.claim, first.claim.run.id, "bus")
            first.claim = first.runs.advance_in(conn, first.claim, RunState.EMITTED)
            assert counted == []
        thread.join(30)

    assert waits
    assert counted == [Rolling(emitted=2, added=1)]


def blocked(url: str) -> bool:
    """Whether somebody waits for a lock; on SQLite a second writer always does."""
    if url.startswith("sqlite"):
        return True
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(1000):
            found = connection.execute("select count(*) from pg_locks where not granted").fetchone()
            if found is not None and found[0]:
                return True
            connection.execute("select pg_sleep(0.01)")
    return False


# -- the measure of a shrunken source, and the older held plan -------------------------------------------------------------


def whole(nights: Nights, records: int, *, approved_by: str | None = None) -> None:
    """A believed night whose source held so many."""
    planned(nights, "1")
    with nights.state.begin() as conn:
        if approved_by is None:
            nights.plans.judge_in(conn, nights.claim.run, (), expires_at=nights.clock.now())
        else:
            later = nights.clock.now() + timedelta(hours=1)
            plan = nights.plans.judge_in(conn, nights.claim.run, TRIPPED, expires_at=later)
            nights.plans.approve_in(conn, nights.claim.run, plan.checksum, approved_by, "seen")
    nights.claim = nights.runs.advance(
        nights.runs.advance(nights.claim, RunState.EMITTED), RunState.DONE, whole=True, source_records=records, verdict="discrepancies"
    )
    nights.runs.release(nights.claim)


def test_the_measure_is_the_most_of_seven_days(nights: Nights) -> None:
    """A source that shrinks a little each night is held against what it held a week ago, not against last night."""
    assert nights.runs.largest_source("orders") is None
    for records in (1000, 900, 810, 730):
        whole(nights, records)
    assert nights.runs.largest_source("orders") == 1000

    nights.clock.advance(4.5 * 86_400)
    assert nights.runs.largest_source("orders") == 900
    nights.clock.advance(30 * 86_400)
    assert nights.runs.largest_source("orders") == 730


def test_after_an_approval_the_measure_begins_anew(nights: Nights) -> None:
    """A loss that a person approved is not held against the next night again."""
    whole(nights, 1000)
    whole(nights, 600, approved_by="alice")
    whole(nights, 590)

    assert nights.runs.largest_source("orders") == 600


def held(nights: Nights, domain: str = "orders", **options) -> Claim:
    """A run that waits for a person."""
    nights.clock.advance(3600)
    claim = nights.runs.start(domain, trigger="cli", owner="host:1", **options)
    for step in WAY:
        claim = nights.runs.advance(claim, step)
    claim = nights.runs.advance(claim, RunState.HELD, hold_expires_at=nights.clock.now() + timedelta(days=2))
    nights.runs.release(claim)
    return claim


@pytest.mark.parametrize("key", [None, "42"])
def test_a_newer_look_ends_the_older_plan_of_the_same_scope(nights: Nights, key: str | None) -> None:
    """A whole night ends every older plan of the domain; a look at one item ends only that of the same item; a dry run none."""
    same = held(nights, key="42")
    other = held(nights, key="7")
    domain = held(nights)
    elsewhere = held(nights, domain="refunds")
    dry = held(nights, dry_run=True)
    newer = nights.begin(key=key)

    with nights.state.begin() as conn:
        ended = nights.runs.supersede_in(conn, newer.run)

    wanted = {same.run.id, other.run.id, domain.run.id} if key is None else {same.run.id}
    assert {run.id for run in ended} == wanted
    assert {run.id for run in nights.runs.held("orders")} == {same.run.id, other.run.id, domain.run.id} - wanted
    for run in ended:
        found = nights.runs.get(run.id)
        assert (found.state, found.reason) == (RunState.EXPIRED, f"run {newer.run.id} has looked since")
    assert nights.runs.get(elsewhere.run.id).state is RunState.HELD
    assert nights.runs.get(dry.run.id).state is RunState.HELD
