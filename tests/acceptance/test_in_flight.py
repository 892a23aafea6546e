"""Settle and confirm: nothing that moves while a night looks at it is corrected, and nothing is hidden for ever by a wrong clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recon.errors import Unreachable
from recon.fetch.page import LookupStatus
from recon.report.figures import AGREE, MOVED
from recon.report.text import plain, summary
from recon.state.tables import runs
from tests.acceptance.nights import Nights, job


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """Ten items that agree, and one that the store has with an older status."""
    made = Nights(tmp_path, job(updated="updated"))
    made.both(*(f"k{n}" for n in range(10)))
    yield made
    made.close()


def test_what_changed_during_the_fetch_is_in_flight(nights: Nights) -> None:
    """Changed at the provider while its pages came: counted and named, no event, not new, not clean; the next night corrects it."""

    def refund() -> None:
        nights.there["k3"] = nights.record("k3", "refunded", age=0)

    nights.moments.at["page 1"] = [refund]
    first = nights.night()

    assert (first.in_flight, [one.key for one in first.in_flight_keys], first.new) == (1, ["k3"], 0)
    assert (first.verdict, nights.events) == ("discrepancies", [])
    assert "in flight" in plain(summary(first))
    assert "k3" in plain(summary(first))
    assert "1 suspect in flight" in nights.page(first)
    assert nights.night().missing == 0
    assert nights.told() == [("k3", "updated")]


@pytest.mark.parametrize("side", ["there", "here"])
def test_either_side_may_say_that_it_moved(nights: Nights, side: str) -> None:
    """Three minutes before the night a side changed its own state: within the lag of five minutes, so nothing is said of it."""
    nights.clock.advance(86400)
    getattr(nights, side)["k3"] = nights.record("k3", "refunded", age=180)

    figures = nights.night(hours=0)

    assert (figures.in_flight, nights.events) == (1, [])


def test_the_longer_lag_holds(tmp_path: Path) -> None:
    """Changed a quarter of an hour ago: judged with the job's own five minutes, in flight where the provider declares twenty."""
    for declared, in_flight in ((None, 0), (1200.0, 1)):
        folder = tmp_path / str(declared)
        folder.mkdir()
        nights = Nights(folder, job(updated="updated"))
        if declared is not None:
            nights.third_party.lag = lambda _, seconds=declared: seconds  # type: ignore[attr-defined]
        nights.both("k1", "k2")
        nights.clock.advance(86400)
        nights.there["k1"] = nights.record("k1", "refunded", age=900)

        assert nights.night(hours=0).in_flight == in_flight
        nights.close()


def test_what_has_arrived_by_the_second_look_is_no_doubt(nights: Nights) -> None:
    """In flight at the first look, and both sides agree by the second: dismissed, and the night is clean."""
    nights.there["k3"] = nights.record("k3", "refunded", age=-86400)
    nights.there["k4"] = nights.record("k4", "refunded")

    def arrive() -> None:
        nights.here["k3"], nights.here["k4"] = nights.there["k3"], nights.there["k4"]

    nights.moments.at["settle"] = [arrive]
    figures = nights.night()

    assert (figures.dismissed, figures.in_flight, figures.verdict) == ({AGREE: 2}, 0, "clean")


def test_a_clock_far_ahead_hides_nothing_for_ever(nights: Nights) -> None:
    """Said to have changed next year: in flight tonight, believed and corrected tomorrow when it has not moved, and told once more as the same fact after."""
    nights.there["k3"] = nights.record("k3", "refunded", age=-400 * 86400)

    found = [nights.night() for _ in range(3)]

    assert [each.in_flight for each in found] == [1, 0, 0]
    assert [each.changed for each in found] == [0, 1, 1]
    assert len({event["id"] for event in nights.events}) == 1


def test_what_moves_each_night_stays_in_flight(nights: Nights) -> None:
    """A wrong clock beside a value that is another one every night: never believed, and said every night."""
    for status in ("open", "held", "refunded"):
        nights.there["k3"] = nights.record("k3", status, age=-400 * 86400)
        assert nights.night().in_flight == 1

    assert nights.events == []


def test_two_runs_of_one_night_do_not_make_two_nights(nights: Nights) -> None:
    """Run again an hour later on the same date: still in flight."""
    nights.there["k3"] = nights.record("k3", "refunded", age=-400 * 86400)

    assert [nights.night(hours=hours).in_flight for hours in (24, 1)] == [1, 1]


@pytest.mark.parametrize("moment", ["settle", "get", "rows"])
@pytest.mark.parametrize("side", ["there", "here"])
def test_what_moves_between_the_looks_is_dismissed(tmp_path: Path, side: str, moment: str) -> None:
    """Changed on either side while the night waits or looks again, with no time of change to go by: no event, whatever it became."""
    nights = Nights(tmp_path)
    nights.both("k1", "k2", "k3")
    nights.there["k3"] = nights.record("k3", "refunded")
    # At the provider, what changes after its own second read is not seen by it; the application's row says so where it was told.
    sides = [nights.here] if side == "here" or moment == "rows" else [nights.there]

    def move() -> None:
        sides[0]["k3"] = nights.record("k3", "held")

    nights.moments.at[moment] = [move]
    figures = nights.night()
    nights.close()

    assert figures.dismissed == {MOVED: 1}
    assert (nights.events, figures.verdict) == ([], "discrepancies")


def test_there_and_back_between_the_looks_is_seen_by_its_time(nights: Nights) -> None:
    """A, B, A at the provider while the night waits: the values are as before, its own time of change is not, so nothing is emitted."""
    nights.there["k3"] = nights.record("k3", "refunded")
    nights.moments.at["settle"] = [lambda: nights.there.update(k3=nights.record("k3", "refunded", age=10))]

    figures = nights.night()

    assert (figures.dismissed, nights.events) == ({MOVED: 1}, [])


def test_the_wait_counts_from_the_first_look(nights: Nights) -> None:
    """A store that takes half a minute to read, and a clock stepped by an hour meanwhile: two minutes lie between the looks all the same."""
    nights.there["k3"] = nights.record("k3", "refunded")
    nights.moments.at["scanned"] = [lambda: nights.clock.advance(30)]

    nights.night()

    assert nights.clock.slept == [60.0, 60.0]


def test_a_run_killed_in_the_wait_waits_again(nights: Nights) -> None:
    """Killed half-way through the wait: the next run takes up its pages, compares anew and waits in full before it looks again."""
    nights.there["k3"] = nights.record("k3", "refunded")

    def killed() -> None:
        raise KeyboardInterrupt

    nights.moments.at["settle"] = [killed]
    with pytest.raises(KeyboardInterrupt):
        nights.night()
    nights.clock.slept.clear()
    figures = nights.night(hours=0.1)

    assert (nights.third_party.listings, nights.clock.slept) == (1, [60.0, 60.0])
    assert figures.coverage is not None
    assert figures.coverage.resumed
    assert nights.told() == [("k3", "updated")]


def test_a_second_look_without_an_answer_is_tried_again(nights: Nights) -> None:
    """The third party goes away after the listing: exit 75, incomplete, nothing sent; the slot's next try looks again at the same snapshot, after settling."""
    nights.there["k3"] = nights.record("k3", "refunded")
    slot = nights.clock.now()
    nights.third_party.answers = dict.fromkeys(nights.there, LookupStatus.UNKNOWN)
    away = nights.night(slot=slot)
    again = nights.night(hours=0.1, slot=slot)
    nights.third_party.answers = {}
    nights.clock.slept.clear()
    well = nights.night(hours=0.1, slot=slot)

    assert [(each.exit_code, each.verdict, each.state) for each in (away, again)] == [(75, "incomplete", "failed")] * 2
    assert away.problem is not None
    assert f"recon run orders --resume {away.run}" in away.problem.hint
    assert (well.run, well.exit_code, well.state) == (away.run, 0, "done")
    assert (nights.third_party.listings, sum(nights.clock.slept)) == (1, 120)
    assert nights.told() == [("k3", "updated")]


def test_pages_of_before_another_hosts_fetch_are_fetched_again(nights: Nights) -> None:
    """Another host has fetched this run since, and its watermark is newer than the pages here: they are not taken for what it saw."""
    nights.third_party.fail_page = {3: Unreachable("GET /items -> 503")}
    broken = nights.night()
    nights.clock.advance(60)
    with nights.state.begin() as conn:
        conn.execute(runs.update().where(runs.c.id == broken.run).values(host="another", watermark=nights.clock.now()))
    nights.third_party.fail_page = {}
    before = nights.third_party.listings
    figures = nights.night(hours=0.1)

    assert figures.run == broken.run
    assert nights.third_party.listings - before == 1
    assert figures.coverage is not None
    assert not figures.coverage.resumed
    assert figures.consistent_as_of == nights.clock.now()


def test_one_item_alone_may_be_in_flight(nights: Nights) -> None:
    """`--id` of an item that changed a minute ago sends nothing; of one that gets no answer it ends with exit 75."""
    nights.clock.advance(86400)
    nights.there["k3"] = nights.record("k3", "refunded", age=60)
    moving = nights.night(hours=0, key="k3")
    nights.third_party.answers = {"k3": LookupStatus.UNKNOWN}
    unknown = nights.night(hours=1, key="k3")
    nights.third_party.answers = {}
    told = nights.night(hours=1, key="k3")

    assert (moving.in_flight, moving.verdict) == (1, "discrepancies")
    assert (unknown.exit_code, unknown.verdict) == (75, "incomplete")
    assert (told.exit_code, nights.told()) == (0, [("k3", "updated")])


def test_an_outage_of_half_the_reads_sends_the_other_half(nights: Nights) -> None:
    """One of two suspects gets no answer: the other is corrected, the run is done, and clean is not said."""
    for key in ("k3", "k4"):
        nights.there[key] = nights.record(key, "refunded")
    nights.third_party.answers = {"k4": LookupStatus.UNKNOWN}

    figures = nights.night()

    assert (figures.exit_code, figures.unconfirmed, figures.verdict) == (0, 1, "discrepancies")
    assert nights.told() == [("k3", "updated")]


def test_a_fetch_that_fails_says_nothing_of_what_is_open(nights: Nights) -> None:
    """With a listing that breaks off, nothing is compared, and what was in flight before stays remembered."""
    nights.there["k3"] = nights.record("k3", "refunded", age=-400 * 86400)
    nights.night()
    nights.third_party.fail_page = {2: Unreachable("GET /items -> 503")}
    assert nights.night().exit_code == 75
    nights.third_party.fail_page = {}

    assert nights.night(hours=24).changed == 1
