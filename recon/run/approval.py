"""A person's decision over a held plan: approved, it is read again and sent; rejected, it never goes out."""

from recon.clock import Clock
from recon.confirm import confirm
from recon.errors import ProviderError, StalePlan
from recon.files import private_folder
from recon.ledger import Ledger
from recon.plan import Plans
from recon.progress import Progress
from recon.project import Project
from recon.report.figures import RunFigures
from recon.run.account import Account, controls_of, stored
from recon.run.night import Night
from recon.run.shelf import shelve
from recon.state.database import State
from recon.state.lease import owner
from recon.state.run import Claim, Run, RunState
from recon.state.runs import Runs


def approve(project: Project, state: State, run: str, *, plan: str, reason: str, by: str, clock: Clock, progress: Progress) -> RunFigures:
    """Approves exactly the plan with this checksum, then sends it: items that have gone away drop out, none may join.

    Raises StalePlan where the approval does not fit, BadRequest for one without a reason, and leases' and the project's errors; what goes wrong after the
    approval stands in the figures, and the approved run is finished by the next `recon run`.
    """
    held = _waiting(state, run)
    job = project.job(held.domain)
    runs = Runs(state)
    claim = runs.resume(held.id, owner())
    try:
        with state.begin() as conn:
            Plans(state).approve_in(conn, claim.run, plan, by, reason)
            claim = runs.advance_in(conn, claim, RunState.APPROVED)
    except BaseException:
        runs.release(claim)
        raise
    account = Account(domain=job.domain, job=job, clock=clock, started_at=held.started_at, trigger=held.trigger)
    night = resumed(project, state, account, claim, progress=progress)
    return shelve(project, state, night.run(lambda: send_approved(night)))


def reject(state: State, run: str, *, reason: str, by: str) -> None:
    """Turns a held plan down. Raises BadRequest or StalePlan where there is nothing to decide."""
    held = _waiting(state, run)
    runs = Runs(state)
    claim = runs.resume(held.id, owner())
    try:
        with state.begin() as conn:
            Plans(state).reject_in(conn, claim.run, by, reason)
            runs.advance_in(conn, claim, RunState.REJECTED, reason=f"rejected by {by}: {reason}")
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
    """The flow after an approval; answers the exit code."""
    run = night.claim.run
    ledger, plans = Ledger(night.state), Plans(night.state)
    planned = plans.figure(run.id)
    found = confirm(
        night.second_look(),
        ledger.discrepancies(run.id),
        controls=controls_of(run),
        file=private_folder(night.folder) / "approved.jsonl",
        total=planned.events if planned is not None else 0,
        progress=night.progress,
        whole=True,
    )
    night.account.confirmation = found
    taken_up, in_plan = ledger.took_up(run.id), set(plans.keys(run.id))
    with night.state.begin() as conn:
        if not taken_up:
            # Held before its second look: only now is there something that the ledger may believe.
            night.account.ledger = ledger.record_in(
                conn, run, night.job, found.discrepancies(), unknown_keys=found.unknown_keys, complete=False, touch=True
            )
        # A job may have chosen no event for some of what it found; those were never in the plan.
        night.account.plan = plans.narrow_in(conn, run, [one.key for one in found.discrepancies() if one.key in in_plan])
        night.emit_in(conn)
    night.account.plan = plans.figure(run.id)
    if planned is not None and planned.events and found.unconfirmed and not found.confirmed:
        why, count = found.unconfirmed.most_common(1)[0]
        msg = f"{run.domain}: approved, but not one of {planned.events:,} items could be proven at the second look ({count:,}: {why}); nothing was sent"
        raise ProviderError(msg, hint=f"once the provider answers for single items again: recon run {run.domain}")
    return night.publish()


def _waiting(state: State, prefix: str) -> Run:
    runs = Runs(state)
    runs.expire()
    run = runs.get(prefix)
    if run.state is not RunState.HELD:
        because = f" ({run.reason})" if run.reason else ""
        msg = f"run {run.id} of {run.domain} is {run.state}{because}; there is nothing to decide"
        raise StalePlan(msg, hint="recon held lists what waits for a decision")
    return run
