"""Runs: the flow of a night, what a person decides over it, and what it left to be read.

`run_domain` is the one way a domain is worked on, whoever asks: the command line, the schedule, a test.
"""

import functools
from collections.abc import Iterator

from recon.clock import Clock, iso
from recon.errors import BadRequest, LeaseHeld, ReconError, SlotTaken
from recon.heartbeat import Heartbeat, beating
from recon.outbox import Outbox
from recon.outbox.delivery import drain
from recon.outbox.manner import Manner
from recon.outbox.standing import standings
from recon.progress import Progress
from recon.project import Project
from recon.redact import redact
from recon.report.figures import DeliveryFigure, Item, RunFigures
from recon.report.words import fell_short
from recon.run.account import Account, stored
from recon.run.approval import approve, reject, resumed, send_approved
from recon.run.attic import Pruned, prune, tidy
from recon.run.delivering import PUBLISH_SECONDS, with_backlog
from recon.run.night import Night
from recon.run.order import Order, claim, left_to_finish
from recon.run.shelf import items, shelve, veil_of
from recon.run.single import look_at_one
from recon.run.verifying import unverifiable, verify
from recon.state.database import State
from recon.state.lease import owner
from recon.state.run import VERIFIED, RunState
from recon.state.runs import Runs

__all__ = [
    "VERIFIED",
    "Order",
    "Pruned",
    "approve",
    "figures_of",
    "items_of",
    "prune",
    "publish",
    "reject",
    "run_domain",
    "shelve",
    "unverifiable",
    "veil_of",
]

UNSENT = frozenset({"approved", "expired"})
"""States of an approved run that could not be sent: tonight's run goes ahead all the same, and the next tries the approved one again."""


def run_domain(project: Project, state: State, order: Order, *, clock: Clock, progress: Progress) -> RunFigures:
    """One run, from the claim to the report, with its heartbeat pings around it: not for a dry run, nor for a look at one key.

    What concerns the domain does not raise: it stands in the figures as `problem`, with the verdict and the exit code. A signal
    (KeyboardInterrupt, SystemExit) passes through and leaves the run where the next one can go on with it.
    """
    if order.dry_run or order.key is not None:
        return _run(project, state, order, clock=clock, progress=progress, beat=None)
    with beating(Heartbeat.of(project.settings, order.domain, clock=clock, say=progress.note)) as beat:
        return _run(project, state, order, clock=clock, progress=progress, beat=beat)


def _run(project: Project, state: State, order: Order, *, clock: Clock, progress: Progress, beat: Heartbeat | None) -> RunFigures:
    account = Account(
        domain=order.domain,
        clock=clock,
        started_at=clock.now(),
        trigger=order.trigger,
        slot=order.slot,
        dry_run=order.dry_run,
        only_key=order.key,
    )
    try:
        account.job = project.job(order.domain)
        unfinished = left_to_finish(state, order)
        if unfinished is not None:
            progress.note(f"run {unfinished.id} had not ended; finishing it first")
            earlier = Account(
                domain=order.domain, job=account.job, clock=clock, started_at=unfinished.started_at, trigger=unfinished.trigger
            )
            finished = _finish(resumed(project, state, earlier, Runs(state).resume(unfinished.id, owner()), progress=progress))
            # One that fell short has only told what it had: tonight's work is still to be done.
            own = order.slot is not None and order.slot == unfinished.slot
            if (own or (finished.problem is not None and finished.state not in UNSENT)) and not fell_short(finished):
                return _told(beat, finished)
        night = resumed(project, state, account, claim(state, order, progress), progress=progress)
    except SlotTaken as taken:
        served = stored(Runs(state).get(taken.run))
        if served is not None and served.state not in {"fetching", "sealed", "diffed", "confirming"}:
            # The slot had its run: asked again, the answer is the same, and nothing is done twice.
            progress.note(taken.message)
            return served
        account.fail(taken)
        return account.figures(state, standing="not started", exit_code=taken.exit_code)
    except LeaseHeld as held:
        # Whoever is at work on the domain pings for it.
        account.fail(held)
        return account.figures(state, standing="not started", exit_code=held.exit_code)
    except ReconError as error:
        account.fail(error)
        return _told(beat, account.figures(state, standing="not started", exit_code=error.exit_code))
    if beat is not None:
        beat.start()
    return _told(beat, _finish(night))


def _told(beat: Heartbeat | None, figures: RunFigures) -> RunFigures:
    """The figures, after the heartbeat was given them. A run that another process goes on with ends there, and not here."""
    if beat is not None and not (figures.problem is not None and figures.problem.kind == "LostLease"):
        beat.ended(figures)
    return figures


def _finish(night: Night) -> RunFigures:
    """The run by the flow that fits where it stands, then its report on the shelf."""
    key = night.claim.run.key
    if night.claim.run.state is RunState.APPROVED:
        figures = night.run(lambda: send_approved(night))
    elif key is not None and night.claim.run.state is not RunState.EMITTED:
        figures = night.run(lambda: verify(night) if key == VERIFIED else look_at_one(night, key))
    else:
        figures = night.run()
    if figures.problem is not None and figures.problem.kind == "LostLease":
        # Another process goes on with this run; its report is not ours to write.
        return figures
    for older in night.superseded:
        if (told := stored(older)) is not None:
            shelve(night.project, night.state, told)
    shelved = shelve(night.project, night.state, figures)
    tidy(night.project, night.state, figures.domain, clock=night.clock, progress=night.progress)
    return shelved


def publish(project: Project, state: State, domain: str | None, *, clock: Clock, progress: Progress) -> list[DeliveryFigure]:
    """Delivers what waits in the outbox, of one domain or of all; one figure for each publisher that something waits for.

    A publisher that cannot be made, such as one that recon.toml does not name any more, keeps no other from its events; one that was in
    trouble before has its turn last, since it may take all the time that it is given. The figures are in the order of the names.
    """
    Outbox(state).hurry(domain)
    waiting = Outbox(state).waiting(domain)
    done = []
    troubled = {*standings(state), *(one.publisher for one in waiting if one.attempts)}
    for name in sorted({one.publisher for one in waiting}, key=lambda name: (name in troubled, name)):
        progress.stage(f"publish to {name}")
        try:
            publisher = project.publisher(name)
        except ReconError as error:
            left = sum(one.count for one in waiting if one.publisher == name)
            done.append(DeliveryFigure(publisher=name, waiting=left, last_reason=redact(str(error))))
            continue
        figure = drain(
            state,
            publisher,
            name=name,
            domain=domain,
            clock=clock,
            deadline=PUBLISH_SECONDS,
            manners=functools.partial(_manner, project, state, name),
            on_wait=progress.note,
        )
        done.append(figure)
    return with_backlog(project, state, sorted(done, key=lambda one: one.publisher))


def _manner(project: Project, state: State, publisher: str, domain: str) -> Manner:
    """How this publisher is told: it heals where it is the first that the job names.

    Where the job is not there to ask, events are told as they are stored, and the publisher heals if no night ever told another one: too
    little said is made good by the next night.
    """
    job = project.jobs.get(domain)
    heals = Outbox(state).destinations(domain) <= {publisher} if job is None else job.publishers[:1] == (publisher,)
    return Manner(veil=veil_of(project, state, domain), versions=None if job is None else job.chain, heals=heals)


def figures_of(state: State, run: str) -> RunFigures:
    """The figures of a run, by its id or the beginning of it. Raises BadRequest for one that has none yet, or whose findings were pruned."""
    found = Runs(state).get(run)
    if found.pruned_at is not None:
        msg = f"run {found.id} of {found.domain}: its discrepancies were removed by age at {iso(found.pruned_at)}"
        raise BadRequest(msg, hint=f"recon runs {found.domain} still has its counts; [retention] findings says how long the rest is kept")
    figures = stored(found)
    if figures is None:
        msg = f"run {found.id} of {found.domain} is {found.state} and has no figures yet"
        raise BadRequest(msg, hint=f"recon run {found.domain} --resume {found.id} goes on with it")
    return figures


def items_of(state: State, run: str, project: Project | None = None) -> Iterator[Item]:
    """The discrepancies of a run, in order, then what it saw resolved; with a project, each with its link to the third party."""
    found = stored(Runs(state).get(run))
    return items(project, state, found if found is not None else figures_of(state, run))
