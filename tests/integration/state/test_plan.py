"""The plan on SQLite and PostgreSQL: made of what was found, judged, decided once and exactly, narrowed and never widened."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from recon.errors import BadRequest, Held, PlanError, StalePlan
from recon.guard import evaluate
from recon.job import Guard
from recon.plan import Plans, short
from recon.report.figures import PlanFigure
from recon.state.database import State
from recon.state.runs import RunState
from recon.state.tables import outbox
from recon.testing.clock import FixedClock
from tests.integration.state.world import Nights, changed, extra, job, missing

TRIPPED = evaluate(
    Guard(), stage="after", missing=0, extra=1, changed=0, target_rows=1, source_rows=0, previous_source_rows=None, by_field={}, compared=0
)


def make(nights: Nights) -> PlanFigure:
    """The plan of the run at hand."""
    with nights.state.begin() as conn:
        return nights.plans.make_in(conn, nights.claim.run, nights.job)


def hold(nights: Nights, seconds: float = 3600) -> PlanFigure:
    """Three findings, held by a guard."""
    nights.look([changed("1"), missing("2"), extra("3")])
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, nights.claim.run, nights.job)
        expires = nights.clock.now() + timedelta(seconds=seconds)
        figure = nights.plans.judge_in(conn, nights.claim.run, TRIPPED, expires_at=expires)
        nights.claim = nights.runs.advance_in(conn, nights.claim, RunState.HELD, hold_expires_at=expires)
    return figure


def approve(nights: Nights, checksum: str, reason: str = "the account was closed") -> PlanFigure:
    """A person's word."""
    with nights.state.begin() as conn:
        return nights.plans.approve_in(conn, nights.claim.run, checksum, "alice", reason)


def rows_in_outbox(state: State) -> int:
    """Everything that could ever be claimed."""
    with state.read() as conn:
        return conn.execute(select(func.count()).select_from(outbox)).scalar_one()


def test_one_event_for_each_unacknowledged_finding(nights: Nights) -> None:
    """Counted by type, in the order found, under the ids of the ledger."""
    nights.night([changed("known")])
    nights.ledger.ack("orders", "known", by="alice", reason="known")
    nights.look([changed("known"), changed("1"), missing("2"), extra("3")])
    figure = make(nights)

    assert (figure.events, figure.state) == (3, "planned")
    assert figure.by_type == {"order.updated": 1, "order.created": 1, "order.deleted": 1}
    planned = list(nights.plans.events(nights.claim.run.id))
    assert [event.key for event in planned] == ["1", "2", "3"]
    assert [event.id for event in planned] == [nights.event(key) for key in "123"]
    assert nights.plans.figure(nights.claim.run.id) == figure


def test_the_checksum_is_of_the_facts_and_not_of_the_run(nights: Nights) -> None:
    """The same facts in another order on another night give the same checksum; one fact more gives another."""
    nights.look([changed("1"), missing("2")])
    first = make(nights)
    nights.runs.release(nights.claim)
    nights.look([missing("2"), changed("1")])
    second = make(nights)
    nights.runs.release(nights.claim)
    nights.look([missing("2"), changed("1"), extra("3")])
    third = make(nights)

    assert first.checksum == second.checksum != third.checksum
    assert len(first.checksum) == 64


def test_nothing_found_makes_no_plan(nights: Nights) -> None:
    """State `none`: nothing is judged into going out."""
    nights.look([])
    assert make(nights).state == "none"
    with nights.state.begin() as conn:
        assert nights.plans.judge_in(conn, nights.claim.run, (), expires_at=nights.clock.now()).state == "none"
        assert nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus") == 0


def test_a_plan_above_the_limit_is_refused_whole(nights: Nights) -> None:
    """The message has both figures; nothing was planned."""
    nights.look([changed("1"), changed("2"), changed("3")])

    with pytest.raises(PlanError, match=r"3 discrepancies are more than a plan may hold \(2\)"), nights.state.begin() as conn:
        Plans(nights.state, limit=2).make_in(conn, nights.claim.run, nights.job)

    assert nights.plans.figure(nights.claim.run.id) is None


def test_before_the_guards_have_passed_nothing_can_be_claimed(nights: Nights) -> None:
    """Planned or held, the outbox is empty, and enqueueing is refused with the reason."""
    nights.look([changed("1")])
    make(nights)
    with pytest.raises(StalePlan, match="is planned"), nights.state.begin() as conn:
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus")
    nights.runs.release(nights.claim)

    assert hold(nights).state == "held"
    with pytest.raises(Held, match="is held; nothing was sent"), nights.state.begin() as conn:
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus")
    assert rows_in_outbox(nights.state) == 0
    assert nights.plans.guards(nights.claim.run.id) == TRIPPED


def test_an_approval_covers_exactly_the_plan_that_was_shown(nights: Nights) -> None:
    """The first eight characters of its checksum are enough, another's are not, and the refusal gives the exact next command."""
    figure = hold(nights)
    for wrong in ("deadbeef", "0" * 64):
        with pytest.raises(StalePlan, match=f"is {short(figure.checksum)} \\(3 events\\), not {wrong}") as refused:
            approve(nights, wrong)
        assert f"recon approve {nights.claim.run.id} --plan {short(figure.checksum)}" in (refused.value.hint or "")
    with pytest.raises(StalePlan, match="at least 8 characters"):
        approve(nights, figure.checksum[:7])
    with pytest.raises(BadRequest, match="needs a reason"):
        approve(nights, figure.checksum, reason=" ")

    approved = approve(nights, f" {figure.checksum[:8].upper()} ")

    assert (approved.state, approved.approved_by, approved.reason) == ("approved", "alice", "the account was closed")


def test_an_approval_works_once(nights: Nights) -> None:
    """The second hears who approved it, when and why."""
    figure = hold(nights)
    approve(nights, figure.checksum)

    with pytest.raises(StalePlan, match=r"is approved by alice at 2026-01-04T03:00:00Z \(the account was closed\) and does not wait"):
        approve(nights, figure.checksum)


def test_an_approval_comes_in_time_or_not_at_all(nights: Nights, clock: FixedClock) -> None:
    """At the very second it has expired; the way out is another look."""
    figure = hold(nights, seconds=60)
    clock.advance(60)

    with pytest.raises(StalePlan, match="expired at 2026-01-04T03:01:00Z") as refused:
        approve(nights, figure.checksum)
    assert "recon run orders" in (refused.value.hint or "")
    nights.runs.expire()
    assert nights.plans.figure(nights.claim.run.id).state == "expired"


def test_a_rejected_plan_is_never_sent(nights: Nights) -> None:
    """Neither approved afterwards, nor enqueued."""
    figure = hold(nights)
    with nights.state.begin() as conn:
        rejected = nights.plans.reject_in(conn, nights.claim.run, "bob", "their outage")
    assert (rejected.state, rejected.approved_by) == ("rejected", None)

    with pytest.raises(StalePlan, match="is rejected by bob"):
        approve(nights, figure.checksum)
    with pytest.raises(StalePlan, match="is rejected"), nights.state.begin() as conn:
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus")


def test_a_dry_runs_plan_is_shown_and_never_sent(nights: Nights) -> None:
    """Not even by a person's word."""
    nights.begin(dry_run=True)
    nights.look([changed("1")], begin=False, touch=False)
    make(nights)
    with nights.state.begin() as conn:
        figure = nights.plans.judge_in(conn, nights.claim.run, TRIPPED, expires_at=nights.clock.now() + timedelta(1))

    with pytest.raises(StalePlan, match="was a dry run"):
        approve(nights, figure.checksum)


def test_items_may_drop_out_and_never_join(nights: Nights) -> None:
    """What did not stand up to being read again is gone; a key that was not approved is refused, and the checksum stays."""
    figure = hold(nights)
    approve(nights, figure.checksum)

    with pytest.raises(StalePlan, match=r"1 items were not in the plan of run .* \(such as 9\)"), nights.state.begin() as conn:
        nights.plans.narrow_in(conn, nights.claim.run, ["1", "9"])
    with nights.state.begin() as conn:
        narrowed = nights.plans.narrow_in(conn, nights.claim.run, ["1", "3"])
        nights.claim = nights.runs.advance_in(conn, nights.claim, RunState.APPROVED)
        assert nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus") == 2

    assert (narrowed.events, narrowed.checksum, narrowed.by_type) == (2, figure.checksum, {"order.updated": 1, "order.deleted": 1})
    assert rows_in_outbox(nights.state) == 2
    assert nights.plans.figure(nights.claim.run.id).state == "enqueued"


def test_a_held_plan_is_not_narrowed_before_it_is_approved(nights: Nights) -> None:
    """What a person is shown does not change under their eyes."""
    hold(nights)

    with pytest.raises(StalePlan, match="is held and is not cleared to go out"), nights.state.begin() as conn:
        nights.plans.narrow_in(conn, nights.claim.run, ["1"])


def test_a_plan_goes_out_once(nights: Nights) -> None:
    """Enqueued, it is neither enqueued nor made again."""
    nights.look([changed("1")])
    nights.send()

    with pytest.raises(StalePlan, match="is enqueued"), nights.state.begin() as conn:
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus")
    with pytest.raises(StalePlan, match="cannot be made again"):
        make(nights)


def test_a_run_without_a_plan_says_so(nights: Nights) -> None:
    """A run that never came so far has nothing to approve."""
    nights.begin()

    with pytest.raises(StalePlan, match="is confirming and made no plan"):
        approve(nights, "deadbeef")


def test_a_correction_that_fails_plans_nothing(nights: Nights) -> None:
    """The job's own function may end the run, never half a plan."""
    nights.job = job(correct=lambda found: {}["colour"])
    nights.look([changed("1")])

    with pytest.raises(Exception, match="raised KeyError"):
        make(nights)
    assert nights.plans.figure(nights.claim.run.id) is None
