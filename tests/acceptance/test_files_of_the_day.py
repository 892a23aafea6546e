"""Files named by the day: which day a run stands for, in its job's timezone, and that a late try of a slot asks for the slot's files."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from providers.files import Files
from tests.acceptance.nights import Nights, job
from tests.providers.sections import section

ZONE = "Pacific/Auckland"


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """A third party that delivers a file for each of its own days, far east of UTC."""
    made = Nights(tmp_path, job(timezone=ZONE))
    table = {"folder": str(tmp_path / "in"), "resources": {"items": {"files": "{date:%Y%m%d}.csv"}}}
    made.project.parts["provider"] = Files(section("providers.shop", table))
    (tmp_path / "in").mkdir()
    yield made
    made.close()


def deliver(folder: Path, day: datetime, key: str) -> None:
    (folder / "in" / f"{day:%Y%m%d}.csv").write_text(f"id,status,amount,updated\n{key},paid,1,2025-01-01T00:00:00Z\n")


def local(nights: Nights, *, hours: float) -> datetime:
    """The local time so many hours from now."""
    return (nights.clock.now() + timedelta(hours=hours)).astimezone(ZoneInfo(ZONE))


def test_a_run_asks_for_its_own_day(nights: Nights, tmp_path: Path) -> None:
    """By hand, the day is that of the job's timezone when the run began, and not UTC's."""
    today = local(nights, hours=24)
    deliver(tmp_path, today, "k1")
    deliver(tmp_path, today - timedelta(days=1), "k0")

    figures = nights.night()

    assert figures.coverage is not None
    assert figures.coverage.scope["filters"] == f"{{date:%Y%m%d}}.csv of {today:%Y-%m-%d}"
    assert nights.told() == [("k1", "created")]


def test_a_late_try_asks_for_the_day_of_its_slot(nights: Nights, tmp_path: Path) -> None:
    """A slot just before midnight whose run comes an hour later: the files are those of the slot's day."""
    midnight = local(nights, hours=48).replace(hour=0, minute=0, second=0, microsecond=0)
    slot = midnight - timedelta(minutes=10)
    deliver(tmp_path, slot, "k1")

    late = (midnight + timedelta(minutes=50)) - nights.clock.now()
    figures = nights.night(hours=late.total_seconds() / 3600, slot=slot)

    assert figures.coverage is not None
    assert figures.coverage.whole, figures.coverage.proof
    assert nights.told() == [("k1", "created")]
