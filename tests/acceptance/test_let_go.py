"""Another account's listing that a person let go: what it brought must not vouch for the next one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recon import Guard
from recon.plan.plan import short
from recon.progress import Silent
from recon.report.figures import RunFigures
from recon.run import approve
from tests.acceptance.nights import Nights, job

OWN = tuple(f"k{n:02}" for n in range(10))
STRANGE = ("x1", "x2", "x3")


@pytest.fixture(params=[True, False], ids=["by id", "by listing"])
def nights(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nights]:
    """Ten items that agreed on one night already, under guards that hold everything unusual."""
    made = Nights(tmp_path, job(guard=Guard(floor=0)))
    made.third_party.get = request.param
    made.both(*OWN)
    assert made.night().verdict == "clean"
    yield made
    made.close()


def let_go(nights: Nights, held: RunFigures) -> RunFigures:
    """A person approves what is held."""
    assert held.plan is not None
    assert held.plan.state == "held"
    return approve(
        nights.project,
        nights.state,
        held.run,
        plan=short(held.plan.checksum),
        reason="seen",
        by="anna",
        clock=nights.clock,
        progress=Silent(),
    )


def become_another_account(nights: Nights) -> None:
    nights.there.clear()
    nights.there.update({key: nights.record(key) for key in STRANGE})


def apply(nights: Nights) -> None:
    """The application takes what was told."""
    for key, operation in nights.told():
        if operation == "deleted":
            nights.here.pop(key, None)
        else:
            nights.here[key] = nights.there[key]


def test_what_was_let_go_is_no_known_item(nights: Nights) -> None:
    """Two nights in another account, both approved: its items are created, and of one's own not one is deleted on their word."""
    become_another_account(nights)
    let_go(nights, nights.night())
    apply(nights)
    assert set(STRANGE) <= nights.here.keys()

    second = let_go(nights, nights.night())

    assert second.unconfirmed == len(OWN)
    assert {operation for _, operation in nights.told()} == {"created"}
    assert "known item k0" in str(second.unconfirmed_why)


def test_one_s_own_account_is_known_again(nights: Nights) -> None:
    """Back in one's own account the known items of earlier nights are there again: what another account had brought is deleted."""
    become_another_account(nights)
    let_go(nights, nights.night())
    apply(nights)
    nights.there.clear()
    # Of one's own only one is left that an earlier night knew; the store has lost them all.
    nights.there[OWN[0]] = nights.record(OWN[0])
    for key in OWN:
        del nights.here[key]

    let_go(nights, nights.night())

    assert [key for key, operation in nights.told() if operation == "deleted"] == list(STRANGE)


def test_what_a_first_night_brought_is_known(tmp_path: Path) -> None:
    """A store that was filled by an approved plan knows its items: before it there was nothing to be held against it."""
    nights = Nights(tmp_path, job(guard=Guard(floor=0)))
    nights.there.update({key: nights.record(key) for key in OWN})
    let_go(nights, nights.night())
    apply(nights)
    del nights.there[OWN[0]]

    let_go(nights, nights.night())
    nights.close()

    assert (OWN[0], "deleted") in nights.told()


def test_a_week_later_it_is_known(nights: Nights) -> None:
    """What stood on both sides for a week is a known item like any other."""
    become_another_account(nights)
    let_go(nights, nights.night())
    apply(nights)

    let_go(nights, nights.night(hours=24 * 7 + 1))

    assert [key for key, operation in nights.told() if operation == "deleted"] == list(OWN)
