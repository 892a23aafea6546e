"""What is to be run, and the claim that a run works under: the run named, one that can be gone on with, or a new one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from recon.clock import iso
from recon.errors import BadRequest, SlotTaken
from recon.progress import Progress
from recon.state.database import State
from recon.state.lease import owner
from recon.state.run import EARLY, Claim, Run, RunState
from recon.state.runs import Runs

RESUME_WITHIN = timedelta(hours=6)
"""How old an interrupted run may be for the next one to go on with it unasked: as long as its pages may be gone on from."""

INCOMPLETE = 75
"""The exit code of a night that is over and fell short: another try fetches anew."""

NEWER = 50
"""How many of the newest runs are asked whether one has gone over the domain since."""

SENT = frozenset({RunState.EMITTED, RunState.APPROVED})
"""States whose events are out, or are allowed out: such a run is finished by its own way, never fetched again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be run. `key` restricts it to one item, read by id; `resume` names the run to go on with."""

    domain: str
    trigger: Literal["cli", "schedule", "due"] = "cli"
    slot: datetime | None = None
    dry_run: bool = False
    resume: str | None = None
    key: str | None = None


def left_to_finish(state: State, order: Order) -> Run | None:
    """An earlier run whose events are out or approved and whose end was not written down: it is finished before a new one starts."""
    if order.resume is not None:
        return None
    left = Runs(state).resumable(order.domain, dry_run=order.dry_run, key=order.key)
    return left if left is not None and left.state in SENT else None


def claim(state: State, order: Order, progress: Progress) -> Claim:
    """The domain's lease and the run it is for.

    Raises LeaseHeld while another process is at work, SlotTaken where the slot has had its run, BadRequest for a run that cannot be
    gone on with.
    """
    runs = Runs(state)
    if order.resume is not None:
        return _named(runs, order, order.resume)
    left = runs.resumable(order.domain, dry_run=order.dry_run, key=order.key, unsent=True)
    fits = left is not None and order.key is None and (order.slot in {None, left.slot} or _stands_for(left, order.slot))
    if left is not None and fits and state.now() - left.started_at < RESUME_WITHIN:
        progress.note(f"going on with run {left.id}, begun {iso(left.started_at)}")
        return runs.resume(left.id, owner())
    # A dry run, or a look at one item, serves no slot: the real run is still to come.
    slot = None if order.dry_run or order.key is not None else order.slot
    try:
        return runs.start(order.domain, trigger=order.trigger, owner=owner(), slot=slot, dry_run=order.dry_run, key=order.key)
    except SlotTaken as taken:
        # A slot whose run failed or broke off gets no second run: that one goes on, unless a newer one has been over the domain since.
        run = runs.get(taken.run)
        newer = _overtaken(runs, run)
        if _fell_short(newer or run):
            # What it had is told, so it cannot go on; the same night is tried again by a run of its own.
            return runs.start(order.domain, trigger=order.trigger, owner=owner(), logical_start=order.slot)
        if newer is not None:
            how = "fell short" if _fell_short(run) else "never ended"
            msg = f"{run.domain}: run {run.id} of this slot {how}, and run {newer.id} has looked at everything since"
            raise SlotTaken(msg, run=newer.id, hint=f"recon show {newer.id}") from taken
        if run.state in EARLY | {RunState.FAILED}:
            return runs.resume(run.id, owner())
        raise


def _fell_short(run: Run) -> bool:
    """Whether a run is over whose night is not: its fetch was partial, or nothing of it could be read."""
    return run.state is RunState.DONE and run.exit_code == INCOMPLETE


def _stands_for(run: Run, slot: datetime | None) -> bool:
    """Whether it is another try of a slot whose own run fell short."""
    return slot is not None and run.slot is None and run.logical_start == slot


def _overtaken(runs: Runs, run: Run) -> Run | None:
    """The newest run that came to its end over the domain since this one broke off, failed or fell short; None where there is none."""
    if run.state not in EARLY | {RunState.FAILED} and not _fell_short(run):
        return None
    past = EARLY | {RunState.FAILED}
    newer = (one for one in runs.recent(run.domain, NEWER) if one.id > run.id and one.key is None and not one.dry_run)
    return next((one for one in newer if one.state not in past), None)


def _named(runs: Runs, order: Order, prefix: str) -> Claim:
    run = runs.get(prefix)
    if run.domain != order.domain:
        msg = f"run {run.id} is of {run.domain}, not of {order.domain}"
        raise BadRequest(msg, hint=f"recon run {run.domain} --resume {run.id}")
    if run.state is RunState.HELD:
        msg = f"run {run.id} of {run.domain} is held, and waits for a decision"
        raise BadRequest(msg, hint=f"recon show {run.id}, then recon approve {run.id} or recon reject {run.id}")
    if order.dry_run != run.dry_run:
        kind = "a dry run" if run.dry_run else "no dry run"
        msg = f"run {run.id} of {run.domain} was begun as {kind}, and goes on as what it was"
        raise BadRequest(msg, hint=f"recon run {run.domain} --resume {run.id}{' --dry-run' if run.dry_run else ''}")
    newer = _overtaken(runs, run)
    if newer is not None:
        msg = f"run {run.id} of {run.domain} is older than run {newer.id}, which has looked at everything since"
        raise BadRequest(msg, hint=f"recon run {run.domain}")
    return runs.resume(run.id, owner())
