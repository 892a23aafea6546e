"""What comes after a partial night: the slot's next try, the monitor's question, a kill in the middle, events that were not delivered."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recon import Guard
from recon.errors import InvalidPage
from recon.heartbeat import words_of_run
from recon.notify import notice
from recon.plan.plan import short
from recon.progress import Silent
from recon.publishers.base import Message, Outcome, OutcomeKind
from recon.report.figures import RunFigures
from recon.report.text import plain, summary
from recon.run import approve, figures_of, reject
from recon.schedule.overdue import find_overdue
from recon.schedule.trigger import Timetable
from recon.state.database import State
from recon.state.runs import Runs
from recon.testing import RecordingPublisher
from tests.acceptance.nights import Nights, job

SLOT = datetime(2026, 1, 4, 3, 0, tzinfo=UTC)
TABLE = {"orders": Timetable("0 3 * * *")}
FETCHED = [("k03", "updated"), ("k05", "created")]


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """Twenty items; one differs, one is new, one is gone, and of the listing the last pages never come."""
    made = Nights(tmp_path)
    made.both(*(f"k{n:02}" for n in range(20)))
    made.there["k03"] = made.record("k03", "refunded")
    del made.here["k05"]
    del made.there["k07"]
    breaks_off(made)
    yield made
    made.close()


def breaks_off(nights: Nights) -> None:
    nights.third_party.fail_page = {8: InvalidPage("GET /items -> a login page")}


def mended(nights: Nights) -> None:
    nights.third_party.fail_page = {}


def receiver(nights: Nights, decide: Callable[[Message], Outcome]) -> None:
    """One that answers so."""
    nights.publisher = nights.project.parts["publisher"] = RecordingPublisher(name="bus", decide=decide)


def fell_short(figures: RunFigures) -> bool:
    return (figures.state, figures.verdict.value, figures.exit_code) == ("done", "incomplete", 75)


def test_the_slot_s_next_try_fetches_anew(nights: Nights) -> None:
    """Asked again, a slot whose night was partial gets a run that asks the third party anew; once that is whole, the slot has had its night."""
    first = nights.night(slot=SLOT)
    second = nights.night(hours=0.1, slot=SLOT)
    mended(nights)
    third = nights.night(hours=0.2, slot=SLOT)
    listings = nights.third_party.listings
    fourth = nights.night(hours=0.2, slot=SLOT)

    assert fell_short(first)
    assert fell_short(second)
    assert len({first.run, second.run, third.run}) == 3
    assert (third.exit_code, third.verdict.value, third.extra) == (0, "discrepancies", 1)
    assert (fourth.run, nights.third_party.listings) == (third.run, listings)
    assert {Runs(nights.state).get(one.run).logical_start for one in (first, second, third)} == {SLOT}, (
        "one night, however often it is tried"
    )
    assert set(nights.told()) == {*FETCHED, ("k07", "deleted")}


def test_a_try_that_was_broken_off_is_gone_on_with(nights: Nights) -> None:
    """The second try of a partial night's slot is interrupted after some pages: the third goes on with that run."""
    nights.night(slot=SLOT)
    mended(nights)
    nights.moments.at["page 6"] = [interrupted]
    with pytest.raises(KeyboardInterrupt):
        nights.night(hours=0.1, slot=SLOT)
    broken = Runs(nights.state).recent("orders", 1)[0]

    done = nights.night(hours=0.2, slot=SLOT)

    assert done.run == broken.id
    assert done.coverage is not None
    assert (done.coverage.resumed, done.coverage.whole, done.exit_code, done.extra) == (True, True, 0, 1)


def interrupted() -> None:
    raise KeyboardInterrupt


def test_a_partial_night_is_overdue_until_a_whole_one(nights: Nights) -> None:
    """Done, and yet no night for the monitor, not even where events were refused as well; the next run by hand is."""
    nights.clock.advance((SLOT - nights.clock.now()).total_seconds())
    receiver(nights, lambda _: Outcome(kind=OutcomeKind.REJECTED, reason="schema unknown"))
    refused = nights.night(hours=0.01, slot=SLOT)
    later = nights.clock.now() + timedelta(hours=2)
    late = find_overdue(TABLE, nights.state, now=later, allowed=3600)
    mended(nights)
    nights.night(hours=0.5)

    assert refused.delivery is not None
    assert (refused.delivery.dead, refused.exit_code) == (2, 75)
    assert "refused for good" in plain(summary(refused))
    assert [one.domain for one in late] == ["orders"]
    assert "recon run orders" in late[0].way_out
    assert find_overdue(TABLE, nights.state, now=later, allowed=3600) == []


def test_the_ping_says_that_it_was_partial(nights: Nights) -> None:
    """The heartbeat's line has the verdict, what was found and why it is not over."""
    said = words_of_run(nights.night())

    for words in ("orders: incomplete, ", "2 discrepancies", "exit 75", "login page"):
        assert words in said


@pytest.mark.parametrize("moment", ["page 5", "scan", "scanned", "settle", "get", "rows", "publish"])
def test_killed_at_any_stage_it_is_partial_still(nights: Nights, moment: str) -> None:
    """Killed with -9, the next run goes on with it, or fetches anew where its events were out: what was had is told once, nothing is taken for gone."""
    killed(nights, moment)
    left = Runs(nights.state).recent("orders", 1)[0]

    done = nights.night(hours=0.1)

    assert (done.run == left.id) is (moment != "publish"), left.state
    assert all(fell_short(figures_of(nights.state, run.id)) for run in Runs(nights.state).recent("orders"))
    assert sorted(set(nights.told())) == FETCHED
    assert len({event["id"] for event in nights.events}) == 2


def killed(nights: Nights, moment: str) -> None:
    """A night in a process of its own that dies at that moment."""
    child = os.fork()
    if child == 0:
        try:
            # A connection is not to be shared with the parent.
            nights.state = State.open(f"sqlite:///{nights.project.settings.folder}/state.db", clock=nights.clock)
            if moment == "publish":
                receiver(nights, die)
            nights.moments.at[moment] = [die]
            nights.night()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    # What the process that is gone did to the doubles.
    nights.third_party.listings = 1
    nights.clock.advance(24 * 3600 + 300)


def die(*_: Message) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_what_became_of_a_held_part_does_not_make_it_whole(tmp_path: Path) -> None:
    """A partial night that a guard holds says so where it is told; rejected it is incomplete, as it is when it is approved."""
    nights = Nights(tmp_path, job(guard=Guard(floor=0, changed=0.01, week=1.0)))
    nights.both(*(f"k{n:02}" for n in range(20)))
    nights.there["k03"] = nights.record("k03", "refunded")
    breaks_off(nights)
    first = nights.night()
    reject(nights.state, first.run, reason="no", by="anna")
    second = nights.night()
    assert second.plan is not None
    words = {"plan": short(second.plan.checksum), "reason": "seen", "by": "anna"}
    sent = approve(nights.project, nights.state, second.run, clock=nights.clock, progress=Silent(), **words)

    assert first.verdict.value == "held"
    text = notice.held(first, now=nights.clock.now(), count=0).text
    assert "The fetch was partial: 6 store rows could not be judged." in text
    assert "login page" not in text
    turned_down = figures_of(nights.state, first.run)
    assert (turned_down.verdict.value, turned_down.state) == ("incomplete", "rejected")
    assert "rejected" in plain(summary(turned_down))
    assert fell_short(sent)
    assert nights.told() == [("k03", "updated")]
    nights.close()


@pytest.mark.parametrize("which", ["first", "second"])
def test_values_need_both_listings_and_absence_two_whole_ones(nights: Nights, which: str) -> None:
    """Where nothing is read by id and one of the listings is partial, what both show is told, and no deletion; nobody calls it clean."""
    nights.third_party.get = False
    if which == "second":
        mended(nights)
    other = mended if which == "first" else breaks_off
    nights.moments.at["listing 2"] = [lambda: other(nights)]

    figures = nights.night()

    assert sorted(nights.told()) == FETCHED
    assert figures.second is not None
    assert figures.coverage is not None
    assert (figures.coverage.whole, figures.second.whole) == ((False, True) if which == "first" else (True, False))
    assert figures.verdict.value == ("incomplete" if which == "first" else "discrepancies")


def test_a_second_listing_in_part_leaves_no_night_clean(nights: Nights) -> None:
    """Whatever differed agrees by the time of the second listing, which breaks off behind it: not proven clean, and why."""
    nights.third_party.get = False
    mended(nights)
    nights.there["k07"] = nights.here["k07"]
    nights.moments.at["settle"] = [lambda: nights.here.update({key: nights.there[key] for key in ("k03", "k05")})]
    nights.moments.at["listing 2"] = [lambda: breaks_off(nights)]

    figures = nights.night()

    assert (figures.discrepancies, figures.unconfirmed, figures.verdict.value) == (0, 0, "discrepancies")
    assert "the second listing came in part" in plain(summary(figures))


@pytest.mark.parametrize("rows", ["there", "here"])
def test_a_night_of_which_nothing_can_be_read_is_incomplete(tmp_path: Path, rows: str) -> None:
    """Twenty items, and on one side not one that can be read: an agreement of nothing with nothing is none, exit 75, tried again."""
    nights = Nights(tmp_path)
    nights.both(*(f"k{n:02}" for n in range(20)))
    held = getattr(nights, rows)
    held.update({key: {**record, "amount": "a lot"} for key, record in held.items()})

    figures = nights.night(slot=SLOT)
    again = nights.night(hours=0.1, slot=SLOT)

    assert fell_short(figures)
    assert figures.problem is not None
    assert figures.problem.kind == "NothingReadable"
    assert "of 20 items not one could be read" in figures.problem.message
    assert "amount" in figures.problem.message
    assert (figures.consistent_as_of, nights.events) == (None, [])
    assert again.run != figures.run
    nights.close()
