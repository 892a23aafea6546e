"""A person's decision over a held plan: approved, it is read again and sent; rejected, it never goes out."""

from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from recon.clock import Clock, iso
from recon.confirm import Confirmation, confirm
from recon.errors import StalePlan, Unconfirmed
from recon.files import private_folder
from recon.job import Job
from recon.ledger import Ledger
from recon.ledger.acks import active_in
from recon.plan import Plans
from recon.plan.terms import changed_terms
from recon.progress import Progress
from recon.project import Project
from recon.report.figures import PlanFigure, RunFigures
from recon.run import looking, partial
from recon.run.account import Account, controls_of, stored
from recon.run.guarding import terms
from recon.run.night import Night
from recon.run.shelf import shelve
from recon.state.database import State
from recon.state.lease import check, owner
from recon.state.run import Claim, Run, RunState
from recon.state.runs import Runs


def approve(project: Project, state: State, run: str, *, plan: str, reason: str, by: str, clock: Clock, progress: Progress) -> RunFigures:
    """Approves exactly the plan with this checksum, then sends it: items that have gone away drop out, none may join.

    Raises StalePlan where the approval does not fit, BadRequest for one without a reason, and leases' and the project's errors; what goes wrong after the
    approval stands in the figures, and the approved run is finished by the next `recon run`.
    """
    held = _waiting(state, run)
    job = project.job(held.domain)
    _refuse_changed(project, job, held)
    runs = Runs(state)
    claim = runs.resume(held.id, owner())
    try:
        with state.begin() as conn:
            check(conn, claim.lease)
            Plans(state).approve_in(conn, claim.run, plan, by, reason)
            claim = runs.advance_in(conn, claim, RunState.APPROVED)
    except BaseException:
        runs.release(claim)
        raise
    account = Account(domain=job.domain, job=job, clock=clock, started_at=held.started_at, trigger=held.trigger)
    night = resumed(project, state, account, claim, progress=progress)
    return shelve(project, state, night.run(lambda: send_approved(night)))


def reject(state: State, run: str, *, reason: str, by: str) -> None:
    """Turns a held plan down, and with it what was approved of an earlier one and is not sent. Raises BadRequest or StalePlan where there is nothing to decide."""
    held = _waiting(state, run)
    runs = Runs(state)
    claim = runs.resume(held.id, owner())
    try:
        with state.begin() as conn:
            check(conn, claim.lease)
            Plans(state).reject_in(conn, claim.run, by, reason)
            runs.advance_in(conn, claim, RunState.REJECTED, reason=f"rejected by {by}: {reason}")
            runs.overrule_in(conn, claim.run)
    finally:
        runs.release(claim)


def resumed(project: Project, state: State, account: Account, claim: Claim, *, progress: Progress) -> Night:
    """A night that goes on with a run: what that had written down is where its account starts."""
    account.run = claim.run
    account.before = stored(claim.run)
    account.started_at, account.slot, account.trigger = claim.run.started_at, claim.run.slot, claim.run.trigger
    account.only_key, account.dry_run = claim.run.key, claim.run.dry_run
    return Night(project, state, account, claim, clock=account.clock, progress=progress)


def send_approved(night: Night) -> int:
    """The flow after an approval; answers the exit code.

    Where the third party answers nothing, nothing is sent and the approval stands: the next `recon run` tries again, until it expires.
    """
    run = night.claim.run
    if run.hold_expires_at is not None and run.hold_expires_at <= night.state.now():
        return _too_late(night)
    ledger, plans = Ledger(night.state), Plans(night.state)
    planned = plans.figure(run.id)
    if changed := _changed(night.project, night.job, run):
        return _ended(night, f"approved, but {changed} since its plan was shown")
    taken_up = ledger.took_up(run.id)
    if not taken_up:
        looking.settle_held(night)
    found = confirm(
        looking.second_look(night, looking.APPROVED, before=looking.records_before(night)),
        ledger.discrepancies(run.id),
        controls=controls_of(run),
        file=private_folder(night.folder) / "approved.jsonl",
        total=planned.events if planned is not None else 0,
        progress=night.progress,
        whole=True,
        veil=night.veil,
    )
    night.account.confirmation = found
    if planned is not None and planned.events and found.unanswered and not found.confirmed:
        night.account.plan = planned
        raise _unproven(run, planned, found)
    in_plan = set(plans.keys(run.id))
    with night.fenced() as conn:
        if not taken_up:
            # Held before its second look: only now is there something that the ledger may believe.
            night.account.ledger = ledger.record_in(
                conn, run, night.job, found.discrepancies(), unknown_keys=found.unknown_keys, complete=False, touch=True
            )
        # A job may have chosen no event for some of what it found; those were never in the plan.
        wanted = in_plan - _silenced(conn, night, found)
        night.account.plan = plans.narrow_in(conn, run, [one.key for one in found.discrepancies() if one.key in wanted])
        night.emit_in(conn)
    night.account.plan = plans.figure(run.id)
    if planned is not None and planned.events and found.unconfirmed and not found.confirmed:
        why, count = found.unconfirmed.most_common(1)[0]
        msg = f"{run.domain}: approved, but not one of {planned.events:,} items could be proven at the second look ({count:,}: {why}); nothing was sent"
        raise Unconfirmed(msg, hint=f"recon run {run.domain} looks at everything again")
    return partial.exit_code(night, night.publish())


def _silenced(conn: Connection, night: Night, found: Confirmation) -> set[str]:
    """The keys that a person has acknowledged as they are: perhaps only since the plan was shown."""
    acks = active_in(conn, night.job.domain)
    today = night.state.now(conn).astimezone(ZoneInfo(night.job.timezone)).date()
    return {one.key for one in found.discrepancies() if (ack := acks.get(one.key)) is not None and ack.end(one, today) is None}


def _unproven(run: Run, planned: PlanFigure, found: Confirmation) -> Unconfirmed:
    why, count = found.unconfirmed.most_common(1)[0]
    until = f" until {iso(run.hold_expires_at.replace(microsecond=0))}" if run.hold_expires_at is not None else ""
    msg = (
        f"{run.domain}: approved, but not one of {planned.events:,} items could be proven at the second look ({count:,}: {why}); "
        f"nothing was sent, and the approval stands{until}"
    )
    return Unconfirmed(msg, hint=f"recon run {run.domain}")


def _too_late(night: Night) -> int:
    """Ends a run whose approved plan could not be held against the third party before its time was over."""
    expired = night.claim.run.hold_expires_at
    assert expired is not None
    return _ended(night, f"approved, and not to be proven before it expired at {iso(expired.replace(microsecond=0))}")


def _ended(night: Night, reason: str) -> int:
    """Ends a run whose plan was approved and can no longer be sent; answers the exit code."""
    run = night.claim.run
    with night.fenced() as conn:
        night.account.plan = Plans(night.state).expire_in(conn, run, reason)
        night.claim = night.runs.advance_in(conn, night.claim, RunState.EXPIRED, reason=reason)
    error = StalePlan(f"{run.domain}: the plan of run {run.id} was {reason}; nothing was sent", hint=f"recon run {run.domain}")
    night.account.fail(error)
    return error.exit_code


def _waiting(state: State, prefix: str) -> Run:
    runs = Runs(state)
    runs.expire()
    run = runs.get(prefix)
    if run.state is not RunState.HELD:
        because = f" ({run.reason})" if run.reason else ""
        msg = f"run {run.id} of {run.domain} is {run.state}{because}; there is nothing to decide"
        newer = [one for one in runs.held(run.domain) if one.key == run.key]
        hint = f"the plan that waits now is that of run {newer[-1].id}: recon show {newer[-1].id}" if newer else ""
        raise StalePlan(msg, hint=hint or "recon held lists what waits for a decision")
    return run


def _refuse_changed(project: Project, job: Job, held: Run) -> None:
    if changed := _changed(project, job, held):
        msg = f"{held.domain}: {changed} since the plan of run {held.id} was shown; nothing was approved"
        raise StalePlan(msg, hint=f"recon run {held.domain} looks again and makes a new plan; or put the job back as it was")


def _changed(project: Project, job: Job, run: Run) -> str:
    """What of the job is not as it was when the run's plan was shown, in words; empty where all is."""
    shown = stored(run)
    parts = changed_terms(shown.plan.terms if shown is not None and shown.plan is not None else None, terms(project, job))
    return f"the job has changed ({', '.join(parts)})" if parts else ""
