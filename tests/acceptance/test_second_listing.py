"""A third party that reads no single items: a second sealed listing takes the place of the reads by id."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recon import Guard
from recon.errors import Unreachable
from recon.plan.plan import short
from recon.progress import Silent
from recon.report.figures import AGREE
from recon.report.text import plain, summary
from recon.run import approve
from tests.acceptance.nights import GUARD, Nights, job


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """Twenty items that agree, at a third party that only lists."""
    made = listing_only(tmp_path)
    yield made
    made.close()


def listing_only(folder: Path, guard: Guard = GUARD) -> Nights:
    made = Nights(folder, job(guard=guard))
    made.third_party.get = False
    made.both(*(f"k{n:02}" for n in range(20)))
    return made


def drift(nights: Nights) -> None:
    """One missing, one extra, one changed."""
    del nights.here["k01"]
    del nights.there["k02"]
    nights.there["k03"] = nights.record("k03", "refunded")


def test_both_listings_must_agree(nights: Nights) -> None:
    """One missing, one extra, one changed, the same in both listings: three events, after settling, and both certificates in the report."""
    drift(nights)

    figures = nights.night()

    assert sorted(nights.told()) == [("k01", "created"), ("k02", "deleted"), ("k03", "updated")]
    assert (nights.third_party.listings, sum(nights.clock.slept)) == (2, 120)
    assert figures.coverage is not None
    assert figures.second is not None
    assert (figures.coverage.whole, figures.second.whole, figures.second.records) == (True, True, 19)
    assert "again" in plain(summary(figures))
    assert "Second listing:" in nights.page(figures)
    assert "looked at again in a second listing" in nights.page(figures)


def test_a_clean_night_lists_once(nights: Nights) -> None:
    """Without a suspect there is no second listing."""
    assert nights.night().verdict == "clean"
    assert nights.third_party.listings == 1


@pytest.mark.parametrize("side", ["there", "here"])
def test_what_moves_between_the_listings_is_dismissed(nights: Nights, side: str) -> None:
    """All three suspects move on one side while the night waits: nothing is emitted."""
    drift(nights)

    def move() -> None:
        held = getattr(nights, side)
        for key in ("k01", "k02", "k03"):
            held[key] = nights.record(key, "held", amount=7)

    nights.moments.at["settle"] = [move]
    figures = nights.night()

    assert nights.events == []
    assert sum((figures.dismissed or {}).values()) == 3


def test_an_item_that_the_first_listing_skipped_is_not_gone(nights: Nights) -> None:
    """A row deleted on a page already read shifts another one out of the first listing; the second one has it: dismissed, and nothing is told."""
    nights.moments.at["page 2"] = [lambda: nights.there.pop("k00")]

    figures = nights.night()

    assert (figures.suspects, figures.dismissed) == (1, {AGREE: 1})
    assert nights.events == []


def fails(nights: Nights) -> None:
    nights.third_party.fail_page = {5: Unreachable("GET /items -> 503")}


def test_a_second_listing_that_fails_confirms_nothing(nights: Nights) -> None:
    """It breaks off at page 5: exit 75, incomplete, loud, nothing emitted; the next try goes on from that page, with the first listing as it was."""
    drift(nights)
    nights.moments.at["listing 2"] = [lambda: fails(nights)]
    broken = nights.night()
    nights.third_party.fail_page = {}
    before = nights.third_party.meter.requests
    figures = nights.night(hours=0.1)

    assert (broken.exit_code, broken.verdict) == (75, "incomplete")
    assert broken.second is not None
    assert not broken.second.whole
    assert "none confirmed; nothing was emitted" in plain(summary(broken))
    assert figures.run == broken.run
    assert figures.second is not None
    assert figures.second.resumed
    assert nights.third_party.meter.requests - before == 6
    assert len(nights.told()) == 3


def test_a_second_listing_goes_on_beside_its_own_first_look(nights: Nights) -> None:
    """An item changes on both sides, with its webhook, after its page of a second listing that broke off: it is no suspect of the run gone on with."""
    drift(nights)
    nights.moments.at["listing 2"] = [lambda: fails(nights)]
    nights.night()
    # Page 1 of both listings has it as it was; a store read anew would have it as it is.
    nights.there["k00"] = nights.here["k00"] = nights.record("k00", "refunded")
    nights.third_party.fail_page = {}

    figures = nights.night(hours=0.1)

    assert figures.suspects == 3
    assert sorted(key for key, _ in nights.told()) == ["k01", "k02", "k03"]


def shrink(nights: Nights) -> None:
    for n in range(4, 12):
        nights.there.pop(f"k{n:02}")


def swap(nights: Nights) -> None:
    """Another account: as many items, and none that is known."""
    kept = {f"x{n:02}": {**record, "id": f"x{n:02}"} for n, record in enumerate(nights.there.values())}
    nights.there.clear()
    nights.there.update(kept)


def count(nights: Nights) -> None:
    nights.third_party.total = 60


def poison(nights: Nights) -> None:
    nights.there["bad"] = {"status": "paid"}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(shrink, "where the first held 19"), (swap, "known item"), (count, "of 60 by the API's own count"), (poison, "key cannot be read")],
)
def test_absence_needs_a_second_listing_beyond_doubt(tmp_path: Path, spoil: Callable[[Nights], None], why: str) -> None:
    """A second listing that shrank, is another account's, is short by the API's own count or has an item without key: a deletion stays unconfirmed."""
    nights = listing_only(tmp_path, Guard(missing=1.0, extra=1.0, changed=1.0, same_field=1.0))
    del nights.there["k02"]
    nights.moments.at["listing 2"] = [lambda: spoil(nights)]

    figures = nights.night()
    nights.close()

    assert nights.events == []
    assert (figures.exit_code, figures.verdict, figures.unconfirmed) == (75, "incomplete", 1)
    assert why in str(figures.unconfirmed_why)


def test_open_keys_are_settled_by_the_second_listing(nights: Nights) -> None:
    """Missing last night and left out of tonight's first listing: a second one is made for it, finds it, and it stays open; healed, none is made."""
    del nights.here["k01"]
    nights.night()
    record = nights.there.pop("k01")
    nights.moments.at["listing 4"] = [lambda: nights.there.update(k01=record)]
    nights.moments.at["listing 3"] = []

    left_out = nights.night()

    assert (left_out.suspects, left_out.resolved, left_out.unconfirmed) == (0, 0, 1)
    assert nights.third_party.listings == 4
    nights.here["k01"] = record
    healed = nights.night()
    assert (healed.resolved, healed.verdict, nights.third_party.listings) == (1, "clean", 5)


def test_guards_are_asked_before_the_second_listing(tmp_path: Path) -> None:
    """A mass change is held after one listing; its approval lists again and sends what still stands."""
    nights = listing_only(tmp_path, Guard(floor=3))
    for n in range(10):
        nights.there[f"k{n:02}"] = nights.record(f"k{n:02}", "refunded")
    held = nights.night()
    listings = nights.third_party.listings
    nights.here["k00"] = nights.there["k00"]
    assert held.plan is not None
    sent = approve(
        nights.project,
        nights.state,
        held.run,
        plan=short(held.plan.checksum),
        reason="seen",
        by="anna",
        clock=nights.clock,
        progress=Silent(),
    )
    nights.close()

    assert (held.verdict, listings) == ("held", 1)
    # Approved at once, it waits for the rest of the settle time before it looks.
    assert sum(nights.clock.slept) == 120
    assert (sent.exit_code, nights.third_party.listings, len(nights.told())) == (0, 2, 9)


def test_one_item_alone_cannot_be_asked_for(nights: Nights) -> None:
    """`--id` says that this third party reads no single items, and what to run instead."""
    figures = nights.night(key="k01")

    assert figures.exit_code == 2
    assert figures.problem is not None
    assert "cannot be read by id" in figures.problem.message
    assert figures.problem.hint == "recon run orders"
