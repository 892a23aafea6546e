"""Deletions over several nights: reported at once, told once the absence was confirmed on as many nights as the job asks for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recon import Guard
from recon.fetch.page import LookupStatus
from recon.ledger import Ledger
from recon.plan.plan import short
from recon.progress import Silent
from recon.report.text import listing, plain, summary
from recon.run import approve, items_of
from tests.acceptance.commands import recon
from tests.acceptance.nights import GUARD, Nights, job
from tests.acceptance.shop import Shop
from tests.servers.fault_server import FaultServer


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """Ten items that agree; a deletion waits for a second night."""
    made = two_nights(tmp_path, GUARD)
    yield made
    made.close()


def two_nights(folder: Path, guard: Guard, count: int = 10) -> Nights:
    made = Nights(folder, job(delete_nights=2, guard=guard))
    made.both(*(f"k{n:02}" for n in range(count)))
    return made


def test_an_absence_is_told_on_its_second_night(nights: Nights) -> None:
    """The first night reports it and sends nothing, whatever is asked that night; the second sends one event, and the other kinds wait for nothing."""
    del nights.there["k03"]
    nights.there["k04"] = nights.record("k04", "refunded")

    first = nights.night()
    again = nights.night(hours=1)
    told = nights.told()
    second = nights.night(hours=23)

    assert [(each.extra, each.waiting, each.verdict) for each in (first, again, second)] == [
        (1, 1, "discrepancies"),
        (1, 1, "discrepancies"),
        (1, 0, "discrepancies"),
    ]
    assert told == [("k04", "updated")] * 2
    assert sorted(nights.told()[2:]) == [("k03", "deleted"), ("k04", "updated")]


def test_the_report_says_what_waits(nights: Nights) -> None:
    """The block after the run and `recon show` say that it waits for a second night, one of two; on the second they say it no more."""
    del nights.there["k03"]

    first = nights.night()
    shown = plain(listing(first, items_of(nights.state, first.run, nights.project)))
    second = nights.night()

    assert "no event was emitted; 1 deletion waits for another night" in plain(summary(first))
    assert "waits for a second night (1 of 2)" in shown
    assert "1 deletion not told yet: each is once it was confirmed on 2 nights" in nights.page(first)
    assert "waits" not in plain(listing(second, items_of(nights.state, second.run, nights.project)))


def test_what_comes_back_in_between_starts_over(nights: Nights) -> None:
    """Gone, back with another value, gone again: the third night is the first of its absence, and the fourth tells it."""
    record = nights.there.pop("k03")
    nights.night()
    nights.there["k03"] = {**record, "status": "refunded"}
    nights.night()
    del nights.there["k03"]
    third = nights.night()
    assert nights.told() == [("k03", "updated")]
    nights.night()

    assert (third.extra, third.waiting) == (1, 1)
    assert nights.told() == [("k03", "updated"), ("k03", "deleted")]


def test_what_comes_back_whole_starts_over(nights: Nights) -> None:
    """Gone, back as it was, gone again: resolved in between, and never told on the third night."""
    record = nights.there.pop("k03")
    nights.night()
    nights.there["k03"] = record
    assert nights.night().resolved == 1
    del nights.there["k03"]

    assert (nights.night().waiting, nights.events) == (1, [])


def test_a_night_that_cannot_say_does_not_count(nights: Nights) -> None:
    """A 403 on the second night is no confirmation: the third one is the second."""
    del nights.there["k03"]
    nights.there["k04"] = nights.record("k04", "refunded")
    nights.night()
    nights.third_party.answers = {"k03": LookupStatus.FORBIDDEN}
    nights.night()
    assert {key for key, _ in nights.told()} == {"k04"}
    nights.third_party.answers = {}
    nights.night()

    assert ("k03", "deleted") in nights.told()


def test_what_waits_is_guarded_once(tmp_path: Path) -> None:
    """Eight of a hundred gone, more than the guard lets pass: the first night reports them, the second holds them, and the approval sends just these."""
    nights = two_nights(tmp_path, Guard(floor=3), 100)
    for n in range(8):
        del nights.there[f"k{n:02}"]
    first, second = nights.night(), nights.night()
    assert second.plan is not None
    del nights.there["k50"]
    approve(
        nights.project, nights.state, second.run, plan=short(second.plan.checksum), reason="yes", by="anna", clock=nights.clock, progress=Silent()
    )  # fmt: skip
    nights.close()

    assert (first.verdict, first.exit_code, first.waiting) == ("discrepancies", 0, 8)
    assert (second.verdict, second.plan.events) == ("held", 8)
    assert sorted(nights.told()) == [(f"k{n:02}", "deleted") for n in range(8)]


def test_a_blank_third_party_is_held_on_its_first_night(nights: Nights) -> None:
    """An empty source is held at once, with a plan in which no deletion is; approved, nothing goes out."""
    nights.there.clear()

    held = nights.night()

    assert (held.verdict, held.waiting) == ("held", 10)
    assert held.plan is not None
    assert held.plan.events == 0


def test_the_ledger_has_it_from_the_first_night(nights: Nights) -> None:
    """What waits is open in the ledger, with the night it was first seen, and never emitted."""
    del nights.there["k03"]
    nights.night()

    story = Ledger(nights.state).story("orders", "k03")

    assert (story.open, story.nights, story.sent) == (True, 1, ())


def test_the_same_on_postgresql(tmp_path: Path, database: str) -> None:
    """With the state in PostgreSQL: a deletion waits for its second night, and a wrong clock is believed on its second."""
    nights = Nights(tmp_path, job(delete_nights=2, updated="updated"), state=database)
    nights.both(*(f"k{n:02}" for n in range(10)))
    del nights.there["k03"]
    nights.there["k04"] = nights.record("k04", "refunded", age=-400 * 86400)
    found = [nights.night(), nights.night()]
    told = sorted(nights.told())
    nights.close()

    assert [(each.waiting, each.in_flight) for each in found] == [(1, 1), (0, 0)]
    assert told == [("k03", "deleted"), ("k04", "updated")]


def test_explain_and_settings(tmp_path: Path) -> None:
    """From recon.toml: `recon explain` says that the deletion waits for a second night, one of two."""
    with FaultServer() as server:
        shop = Shop(tmp_path, server)
        toml = tmp_path / "recon.toml"
        toml.write_text(toml.read_text() + "delete_nights = 2\n")
        shop.serve("bad", shop.records[:29])
        night = shop.night("bad")
        told = recon("explain", "bad", "k29", cwd=tmp_path, env=shop.env).stdout

    assert (night.code, night.bad["waiting"], night.events) == (0, 1, [])
    assert "waits for a second night (1 of 2) before its deletion is told" in told
