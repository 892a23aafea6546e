"""What is told of a held plan, and when: a paragraph and fields without a value of a record, at times that make sense."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from recon.notify import lost
from recon.notify.notice import expired, held
from recon.notify.reminding import next_time
from recon.report.figures import GuardFigure, PlanFigure, Verdict
from tests.unit import figures_fixture as made

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
EXPIRES = NOW + timedelta(hours=36)
GUARD = GuardFigure(
    name="extra",
    count=44_392,
    of=184_201,
    share=0.241,
    limit=0.02,
    floor=20,
    tripped=True,
    message="guard extra: 24.10% > 2.00% (44,392 of 184,201)",
    hint="a cut fetch?",
)
PLAN = PlanFigure(checksum="9f3c1ab2" * 8, events=60, by_type={"order.secretly_for_alice": 60}, state="held", expires_at=EXPIRES)


def waiting():
    """A held night with records, money and transitions in its figures."""
    return replace(made.figures(60), verdict=Verdict.HELD, guards=(GUARD,), plan=PLAN)


def test_a_held_plan_is_told_with_figures_limit_and_every_way_on() -> None:
    """The paragraph alone is enough to decide: what tripped, by how much, the commands with run and checksum, until when, which key."""
    figures = waiting()
    document = held(figures, now=NOW, count=0).document("shop", 0)

    for part in (
        "24.10% > 2.00% (44,392 of 184,201) (a cut fetch?)",
        "60 events wait",
        f"recon show {figures.run}",
        f'recon approve {figures.run} --plan 9f3c1ab2 --reason "…"',
        f"recon reject {figures.run}",
        "2026-11-24T14:00:00Z",
        "extra = 0.25 under",
    ):
        assert part in document["text"], part
    assert (document["schema"], document["id"]) == ("recon.notice/1", f"held:{figures.run}:0")
    assert document["commands"]["approve"] in document["text"]
    assert document["guards"][0]["raise"].startswith("extra = 0.25")
    assert "reminder 2, 9h 00m left" in held(figures, now=EXPIRES - timedelta(hours=9), count=2).document("shop", 2)["text"]


def test_nothing_of_a_record_is_told() -> None:
    """Values, keys, transitions, amounts and event types stand in the figures and not in the message."""
    figures = waiting()
    told = json.dumps([held(figures, now=NOW, count=1).document("shop", 1), expired(figures, "nobody decided in time").document("shop", 2)])

    values = {value for one in figures.transitions for value in (one.before, one.after) if len(value) > 3}
    assert values
    for value in [*values, "secretly_for_alice", *figures.controls]:
        assert value not in told, value


def test_a_lost_night_is_told_with_its_next_commands() -> None:
    """What a scheduler says of a night that was given up has a way on in it."""
    told = lost("orders", "2026-11-23T02:00:00Z", "given up after 4 tries, the last was incomplete (exit 75)").document("shop", 0)

    assert told["text"] == (
        "[shop] orders: given up after 4 tries, the last was incomplete (exit 75). look: recon runs orders, run: recon run orders."
    )
    assert told["kind"] == "failed"


def test_reminders_come_each_remind_once_at_the_last_quarter_and_at_the_end() -> None:
    """Held for 36 hours and reminded every 12: at 12, 24, 27 and 36 hours, then never."""
    at, times = NOW, []
    while (at := next_time(NOW, at, EXPIRES, 12 * 3600.0)) is not None and at <= EXPIRES:
        times.append((at - NOW) / timedelta(hours=1))
        if at == EXPIRES:
            break

    assert times == [12, 24, 27, 36]


@given(st.integers(0, 200_000), st.integers(1, 200_000), st.integers(0, 100_000))
def test_the_next_time_lies_ahead_and_never_past_the_end(gone: int, life: int, remind: int) -> None:
    """Whenever it is asked, also long after a machine slept: one time, later than now, not beyond the expiry."""
    now, expires = NOW + timedelta(seconds=gone), NOW + timedelta(seconds=life)

    at = next_time(NOW, now, expires, float(remind))

    assert at is None or at > now
    if now < expires:
        assert at is not None
        assert at <= expires
