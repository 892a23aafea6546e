"""An approval that the third party's outage falls upon is not used up: it stands until it expires."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recon import Guard
from recon.fetch.page import LookupStatus
from recon.plan.plan import short
from recon.progress import Silent
from recon.report.figures import RunFigures
from recon.report.text import plain, summary
from recon.run import approve, figures_of
from tests.acceptance.nights import Nights, job


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """Twenty items, ten of which differ: more than the guard lets pass."""
    made = Nights(tmp_path, job(guard=Guard(floor=3)))
    made.both(*(f"k{n:02}" for n in range(20)))
    for n in range(10):
        made.there[f"k{n:02}"] = made.record(f"k{n:02}", "refunded")
    yield made
    made.close()


def approved(nights: Nights, held: RunFigures) -> RunFigures:
    assert held.plan is not None
    checksum = short(held.plan.checksum)
    return approve(
        nights.project, nights.state, held.run, plan=checksum, reason="seen", by="anna", clock=nights.clock, progress=Silent()
    )  # fmt: skip


def away(nights: Nights) -> None:
    nights.third_party.answers = dict.fromkeys(nights.there, LookupStatus.UNKNOWN)


def test_the_approval_stands_until_the_third_party_is_back(nights: Nights) -> None:
    """Approved during an outage: exit 75, nothing sent, the run still approved; the next run sends exactly the plan, then has its own night."""
    held = nights.night()
    away(nights)
    tried = approved(nights, held)
    nights.third_party.answers = {}
    nights.night(hours=1)
    sent = figures_of(nights.state, held.run)

    assert (tried.exit_code, tried.state, tried.plan.state if tried.plan else "") == (75, "approved", "approved")
    assert tried.problem is not None
    assert "the approval stands until 2026-01-05T15:00:00Z" in tried.problem.message
    assert tried.problem.hint == "recon run orders"
    assert "10 events approved, and not sent yet" in plain(summary(tried))
    assert (sent.state, sent.exit_code, sent.plan.state if sent.plan else "") == ("done", 0, "enqueued")
    assert sorted(nights.told())[:10] == [(f"k{n:02}", "updated") for n in range(10)]


def test_an_outage_that_lasts_lets_the_approval_expire(nights: Nights) -> None:
    """Still away when its time is over: the run expires with the reason, nothing of it is ever sent, and the night after has its own run."""
    held = nights.night()
    away(nights)
    approved(nights, held)
    blocked = nights.night(hours=12)
    after = nights.night(hours=30)
    expired = figures_of(nights.state, held.run)

    assert blocked.run != held.run
    assert after.run != held.run
    assert (expired.state, expired.plan.state if expired.plan else "") == ("expired", "expired")
    assert "expired at" in (expired.problem.message if expired.problem else "")
    assert nights.events == []


def test_half_an_outage_sends_the_proven_half(nights: Nights) -> None:
    """Five of ten get no answer at emission: the other five go out, once, and the five drop out until the next night."""
    held = nights.night()
    nights.third_party.answers = {f"k{n:02}": LookupStatus.UNKNOWN for n in range(5)}

    sent = approved(nights, held)

    assert (sent.exit_code, sent.state) == (0, "done")
    assert sorted(key for key, _ in nights.told()) == [f"k{n:02}" for n in range(5, 10)]
