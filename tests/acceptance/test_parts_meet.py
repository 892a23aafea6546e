"""Where the parts of a night meet: a slot and a newer run, a delivery and its own lease, an approval and a later decision."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recon import Guard
from recon.fetch.page import LookupStatus
from recon.ledger import Ledger
from recon.outbox.delivery import LEASE_SECONDS, drain
from recon.plan.plan import short
from recon.progress import Silent
from recon.publishers.base import Message, Outcome
from recon.report.figures import RunFigures
from recon.run import approve, figures_of, reject
from recon.schedule.due import find_one
from recon.schedule.overdue import find_overdue
from recon.schedule.trigger import Timetable
from recon.state.runs import Runs
from recon.state.slots import NotTaken, Slots
from recon.testing import RecordingPublisher
from recon.testing.publisher import CONFIRMED
from tests.acceptance.nights import GUARD, Nights, job

SLOT = datetime(2026, 1, 4, 3, 0, tzinfo=UTC)


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """Twenty items that agree, and a guard that lets three corrections pass."""
    made = Nights(tmp_path, job(guard=Guard(floor=3, week=1.0)))
    made.both(*(f"k{n:02}" for n in range(20)))
    yield made
    made.close()


def differ(nights: Nights, *numbers: int) -> None:
    for n in numbers:
        nights.there[f"k{n:02}"] = nights.record(f"k{n:02}", "refunded")


def away(nights: Nights) -> None:
    nights.third_party.answers = dict.fromkeys(nights.there, LookupStatus.UNKNOWN)


def back(nights: Nights) -> None:
    nights.third_party.answers = {}


def approved(nights: Nights, held: RunFigures) -> RunFigures:
    assert held.plan is not None
    words = {"plan": short(held.plan.checksum), "reason": "seen", "by": "anna"}
    return approve(nights.project, nights.state, held.run, clock=nights.clock, progress=Silent(), **words)


def test_a_slot_whose_run_was_overtaken_is_not_run_again(nights: Nights) -> None:
    """Its run was incomplete and a newer run has looked at everything since: asked for again, the slot is answered by that one, whose held plan stands."""
    differ(nights, 1)
    away(nights)
    first = nights.night(slot=SLOT)
    back(nights)
    differ(nights, *range(10))
    newer = nights.night(hours=7)
    again = nights.night(hours=1, slot=SLOT)

    assert (first.verdict.value, newer.verdict.value) == ("incomplete", "held")
    assert again.run == newer.run
    assert [run.id for run in Runs(nights.state).held("orders")] == [newer.run]
    assert Runs(nights.state).get(first.run).resumes == 0


def test_a_delivery_taken_over_leaves_the_run_its_report(nights: Nights) -> None:
    """A publisher hangs past the delivery's lease and another process delivers: the run still ends with its report and says what happened."""
    differ(nights, 1)
    other = RecordingPublisher(name="bus")

    class Hanging(RecordingPublisher):
        def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
            nights.clock.advance(LEASE_SECONDS + 1)
            drain(nights.state, other, name="bus", domain="orders", clock=nights.clock)
            return [CONFIRMED] * len(batch)

    nights.project.parts["publisher"] = Hanging(name="bus")
    figures = nights.night()

    assert len(other.messages) == 1
    assert Runs(nights.state).get(figures.run).state == "done"
    assert (nights.project.reports_folder / figures.run / "index.html").is_file()
    assert figures.problem is None or figures.problem.kind != "LostLease"
    assert figures.exit_code == 0


def test_a_rejection_holds_against_an_earlier_approval(nights: Nights) -> None:
    """Approved while the third party was away, then held again by the next night and rejected: nothing of either goes out."""
    differ(nights, *range(10))
    held = nights.night()
    away(nights)
    assert approved(nights, held).state == "approved"
    nights.moments.at["listing 2"] = [lambda: back(nights)]
    newer = nights.night(hours=2)
    assert newer.verdict.value == "held"
    reject(nights.state, newer.run, reason="a mistake of theirs", by="anna")
    nights.night(hours=2)
    overruled = figures_of(nights.state, held.run)

    assert nights.events == []
    assert (overruled.state, overruled.plan.state if overruled.plan else "") == ("expired", "expired")


def test_what_is_acknowledged_while_a_plan_waits_drops_out_of_it(nights: Nights) -> None:
    """An approval sends nothing that a person has silenced since the plan was made."""
    nights.project.given = job(guard=replace(GUARD, floor=3, week=0.05))
    differ(nights, 15)
    nights.night()
    nights.here["k15"] = nights.there["k15"]
    differ(nights, 1, 2, 3, 4, 5)
    held = nights.night()
    Ledger(nights.state).ack("orders", "k02", by="anna", reason="known")
    sent = approved(nights, held)

    assert [guard.name for guard in held.guards if guard.tripped] == ["week"]
    assert sorted(key for key, _ in nights.told()) == ["k01", "k03", "k04", "k05", "k15"]
    assert (sent.exit_code, sent.plan.events if sent.plan else 0) == (0, 4)


def test_a_watermark_of_a_clock_that_was_ahead_hides_no_change(nights: Nights) -> None:
    """Killed after its fetch while the database's clock was a day ahead, the run is gone on with under a watermark of the right clock."""
    nights.clock.advance(86400)
    away(nights)
    differ(nights, 1)
    first = nights.night()
    nights.clock.advance(-86400)
    back(nights)
    nights.there["k02"] = nights.record("k02", "refunded", age=0)
    second = nights.night(hours=1)
    run = Runs(nights.state).get(second.run)

    assert first.verdict.value == "incomplete"
    assert run.watermark is not None
    assert run.watermark <= nights.clock.now() + timedelta(seconds=1)


def test_what_a_broken_off_try_resolved_stands_in_the_runs_report(nights: Nights) -> None:
    """The first try resolves one key and gets no answer for another; the second try of the same run still says that one was resolved."""
    differ(nights, 1)
    nights.night()
    nights.here["k01"] = nights.there["k01"]
    differ(nights, 2)
    nights.third_party.answers = {"k02": LookupStatus.UNKNOWN}
    broken = nights.night()
    back(nights)
    whole = nights.night(hours=1)

    assert (broken.verdict.value, broken.resolved) == ("incomplete", 1)
    assert whole.run == broken.run
    assert (whole.new, whole.resolved) == (1, 1)
    assert figures_of(nights.state, whole.run).resolved == 1


def test_a_year_ahead_and_back_hides_neither_nights_nor_what_they_find(nights: Nights) -> None:
    """The clock was a year ahead for one night that was clean: set right, the next slots are due, an unserved one is overdue, and nobody says consistent as of next year."""
    slots, table = Slots(nights.state), Timetable("0 3 * * *", "UTC")

    def due() -> datetime | None:
        now = nights.clock.now()
        found = find_one("orders", table, slots, now=now, catch_up=86_400)
        return found.slot if found is not None else None

    nights.clock.advance(365 * 86_400)
    ahead = due()
    assert ahead is not None
    assert nights.night(hours=0, slot=ahead).verdict.value == "clean"
    slots.finish("orders", ahead)
    nights.clock.advance(-365 * 86_400)

    first = due()
    assert first is not None
    assert first <= nights.clock.now()
    taken = slots.take("orders", first, "host:1", tries=4)
    assert not isinstance(taken, NotTaken), taken.why
    slots.finish("orders", first)
    nights.clock.advance(86_400 + 7200)
    assert due() == first + timedelta(days=1)
    late = find_overdue({"orders": table}, nights.state, now=nights.clock.now(), allowed=3600)
    assert [one.slot for one in late] == [first + timedelta(days=1)]
    assert Runs(nights.state).consistent_as_of("orders") is None
    differ(nights, 1)
    assert nights.night(hours=0).consistent_as_of is None


def test_a_correction_told_while_the_clock_was_ahead_is_still_followed_up(nights: Nights) -> None:
    """Told and confirmed while the clock was a year ahead, and lost by its consumer: set right, it gets a new id after two more nights, as always."""
    differ(nights, 1)
    nights.clock.advance(365 * 86_400)
    nights.night()
    nights.clock.advance(-365 * 86_400)
    for _ in range(4):
        nights.night()
    ids = [event["id"] for event in nights.events]

    assert ids == [ids[0]] * 3 + [ids[3]] * 2
    assert ids[3] != ids[0]
