"""Whole nights over lists with a fault in them: what is told to the consumers is what truly differs, and clean is said of nothing less."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recon.report.figures import LEFT_OUT, Verdict
from recon.report.words import doubts
from recon.testing.faultlab import FAULTS, Outcome
from recon.testing.faultlab.trial import Servers, servers
from tests.fetch_matrix.kinds import CONNECTIONS, KINDS, subject
from tests.fetch_matrix.nights import DRIFT, night

#: Faults whose nights differ in what may be inferred: lists that lie unseen, that drift, that heal, that stop.
NAMED = (
    "an end marker too early",
    "an item that is held back",
    "a page that holds its items back",
    "a count that is too low",
    "an item of an earlier page is deleted",
    "an item is inserted before the page",
    "every item is updated",
    "the order turns round",
    "the items of another account",
    "an item twice on a page",
    "the page before again, once",
    "an item with half a surrogate pair",
    "an item with null for an item",
    "401, for ever",
    "404, for ever",
    "500, for ever",
    "429, a pause of a day, for ever",
    "a login page with status 200, for ever",
    "200 with an error body, for ever",
    "an empty body with status 200, for ever",
    "the record path is null",
    "no end marker",
    "a next URL on another host",
    "410 for the cursor",
    "JSON that is cut, with an honest length, for ever",
)
#: The third party's records themselves change in these.
MOVING = ("every item is updated", "an item of an earlier page is deleted")


@pytest.fixture(scope="module")
def lab() -> Iterator[Servers]:
    """The servers of all nights."""
    with servers() as both:
        yield both


def _tried() -> list[tuple[str, str, str]]:
    """Each of those faults, in a kind and on a page where it strikes: they take turns."""
    subjects = {kind: subject(kind) for kind in (*KINDS, *CONNECTIONS)}
    found = []
    for turn, name in enumerate(NAMED):
        (fault,) = (one for one in FAULTS if one.name == name)
        kinds = [kind for kind, one in subjects.items() if one.places(fault) and kind != "single"]
        kind = kinds[turn % len(kinds)]
        places = subjects[kind].places(fault)
        found.append((name, kind, places[turn % len(places)]))
    return found


@pytest.mark.parametrize(("name", "kind", "place"), _tried(), ids=lambda value: value.replace(" ", "-"))
def test_a_night_tells_what_differs_and_nothing_else(name: str, kind: str, place: str, lab: Servers, tmp_path: Path) -> None:
    """Three things differ: no other event goes out, whatever the listing left out; where the listing is not whole no absence is told, and never clean."""
    (fault,) = (one for one in FAULTS if one.name == name)
    told = night(subject(kind), fault, place, lab, tmp_path / "night", drift=True)
    coverage = told.figures.coverage
    whole = coverage is not None and coverage.whole

    # What moved between the two looks waits for another night.
    sure = DRIFT - {("o12", "updated")} - ({("o06", "created")} if name in MOVING else set())
    if name == "every item is updated" and subject(kind).declared.drifts:
        # After a second pass nothing is as the table has it, so no known item vouches for the reads by id: no deletion is told.
        sure -= {("x99", "deleted")}
    true = DRIFT | ({(key, "updated") for key in _keys()} if name == "every item is updated" else set())
    true |= {("o01", "deleted")} if name == "an item of an earlier page is deleted" else set()
    assert told.events <= true, told.figures.dismissed
    assert told.figures.verdict is not Verdict.CLEAN
    if not whole:
        assert not {event for event in told.events if event[1] == "deleted"}
        assert told.figures.verdict in (Verdict.INCOMPLETE, Verdict.FAILED, Verdict.DISCREPANCIES)
    if fault.outcome(subject(kind).kind, place) is Outcome.HEALS and not told.figures.unreadable_items:
        assert told.events >= sure
    assert lab.foreign.requests == []


@pytest.mark.parametrize(
    ("name", "kind", "place"), [one for one in _tried() if one[0] not in MOVING][::3], ids=lambda value: value.replace(" ", "-")
)
def test_a_night_without_drift_sends_nothing(name: str, kind: str, place: str, lab: Servers, tmp_path: Path) -> None:
    """Both sides are the same: nothing goes out, and clean is only said of a listing that is whole."""
    (fault,) = (one for one in FAULTS if one.name == name)
    told = night(subject(kind), fault, place, lab, tmp_path / "night", drift=False)

    assert told.events == set()
    assert told.figures.verdict is not Verdict.CLEAN or (told.figures.coverage is not None and told.figures.coverage.whole)


LOSING = ("an end marker too early", "an item that is held back", "a page that holds its items back")


@pytest.mark.parametrize("name", LOSING)
def test_a_listing_that_called_itself_whole_and_was_not_is_never_clean(name: str, lab: Servers, tmp_path: Path) -> None:
    """Both sides are the same, and the listing left items out that had not changed for weeks: by id they are there, so it was not whole."""
    ((_, kind, _),) = (one for one in _tried() if one[0] == name)
    (fault,) = (one for one in FAULTS if one.name == name)
    told = night(subject(kind), fault, "first", lab, tmp_path / "night", drift=False)

    assert told.events == set()
    assert (told.figures.dismissed or {}).get(LEFT_OUT, 0) > 0
    assert told.figures.verdict is not Verdict.CLEAN
    assert told.figures.consistent_as_of is None
    assert "left out of a listing that called itself whole" in "; ".join(doubts(told.figures))


def _keys() -> list[str]:
    return [f"o{n:02}" for n in range(1, 18)]
