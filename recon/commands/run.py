"""`recon run`."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import click

from recon.commands.collector import relax
from recon.commands.frame import Frame, framed
from recon.commands.several import Several, chosen
from recon.commands.work import Work, finish, show_sql, slot_text
from recon.duration import words_of
from recon.errors import BadRequest

if TYPE_CHECKING:
    from recon.report.figures import RunFigures
    from recon.schedule.due import Due
    from recon.state.database import State
    from recon.state.slots import Slots


@click.command()
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every domain that is on.")
@click.option("--due", is_flag=True, help="Every domain whose scheduled time has come and has had no run yet: for cron, every few minutes.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Compare and confirm, and show the events that would go out; emit nothing, and touch no discrepancy's life.",
)
@click.option("--resume", metavar="RUN", help="Go on with an interrupted run from its last page.")
@click.option("--id", "key", metavar="KEY", help="Look at this one item only.")
@click.option("--slot", metavar="TIME", help="The scheduled instant this run is for, as the service names it; one slot has one run.")
@click.option(
    "--verify",
    is_flag=True,
    help="After delivery and `verify_after`, read again what was corrected; without DOMAIN, only that, of every domain.",
)
@click.option("--exit-code", "on_discrepancies", is_flag=True, help="Exit with 3 where there are discrepancies.")
@click.option("--show-sql", "sql", is_flag=True, help="Print the SQL that the stores would be asked, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def run(
    frame: Frame,
    *,
    domains: tuple[str, ...],
    every: bool,
    due: bool,
    dry_run: bool,
    resume: str | None,
    key: str | None,
    slot: str | None,
    verify: bool,
    on_discrepancies: bool,
    sql: bool,
    as_json: bool,
) -> int:
    """Reconcile each DOMAIN: fetch, compare, look again at every suspect, emit what corrects it, report.

    Each domain runs on its own: one that fails leaves the others unharmed, and the exit code is the most severe of all.
    """
    # Before the imports: they make the first hundred thousand objects.
    relax()
    from recon.run import Order

    if due and (domains or every or resume or key or slot):
        msg = "--due decides by itself which domains run; it goes with no DOMAIN, --all, --resume, --id or --slot"
        raise BadRequest(msg)
    if verify and (due or dry_run or key):
        msg = "--verify looks at what a run has delivered; it goes with no --due, --dry-run or --id"
        raise BadRequest(msg)
    instant = _instant(slot)
    with frame.project() as project:
        if sql:
            return show_sql(frame, project, chosen(project, domains, every=every, console=frame.console))
        several = Several(frame.console, exit_on_discrepancies=on_discrepancies)
        with frame.state(project) as state:
            work = Work(frame, project, state, as_json)
            if due:
                return _due(work, several, dry_run=dry_run)
            if verify and not (domains or every or resume or slot):
                several.each(project.domains, lambda name: _verified(work, name))
                return finish(frame, several, as_json=as_json)
            names = chosen(project, domains or _resumed(state, resume), every=every, console=frame.console)
            single = {"--id": key, "--resume": resume, "--slot": slot}
            if len(names) != 1 and any(single.values()):
                msg = f"{next(name for name, value in single.items() if value)} goes with one domain, not {len(names)}"
                raise BadRequest(msg)
            trigger: Literal["cli", "schedule"] = "schedule" if instant else "cli"
            several.each(
                names, lambda name: work.order(Order(domain=name, trigger=trigger, slot=instant, dry_run=dry_run, resume=resume, key=key))
            )
            if verify:
                several.each(names, lambda name: _verified(work, name))
        return finish(frame, several, as_json=as_json)


def _verified(work: Work, domain: str) -> "RunFigures | None":
    """A look at what was corrected of this domain; None where there is nothing to look at, which is said."""
    from recon.run import VERIFIED, Order, unverifiable

    why = unverifiable(work.project, work.state, domain)
    if why is not None:
        work.frame.console.say(why)
        return None
    return work.order(Order(domain=domain, key=VERIFIED))


def _resumed(state: "State", resume: str | None) -> tuple[str, ...]:
    """The domain of the run to resume, so that it need not be typed."""
    if resume is None:
        return ()
    from recon.state.runs import Runs

    return (Runs(state).get(resume).domain,)


def _instant(slot: str | None) -> datetime | None:
    if slot is None:
        return None
    from recon.clock import parse_iso

    try:
        return parse_iso(slot)
    except ValueError as error:
        raise BadRequest(f"--slot {slot}: {error}", hint="write it as 2026-01-03T03:00:00Z") from None


def _due(work: Work, several: Several, *, dry_run: bool) -> int:
    """Runs what is due and seen to by nobody else, and notes of each slot what became of it."""
    from recon.run import Order
    from recon.schedule.due import find_due, shared_now
    from recon.state.slots import Slots

    project, slots = work.project, Slots(work.state)
    now = shared_now(work.state, work.frame.clock)
    for due in find_due(project.jobs, slots, now=now, catch_up=project.settings.schedule.catch_up):
        if due.skipped:
            work.frame.console.complain(f"{due.domain}: {due.skipped}")
        _run_due(work, several, slots, due, dry_run=dry_run)
    # A domain that cannot run has no schedule that could be read; that nothing ran for it must not pass in silence.
    several.each([broken.domain for broken in project.broken], lambda name: work.order(Order(domain=name, trigger="due", dry_run=dry_run)))
    if not dry_run:
        work.remind(overdue=True)
    if not several.ended and not work.as_json:
        work.frame.console.say("nothing is due")
    return finish(work.frame, several, as_json=work.as_json)


def _run_due(work: Work, several: Several, slots: "Slots", due: "Due", *, dry_run: bool) -> None:
    from recon.run import Order
    from recon.schedule.due import RETRY_SECONDS
    from recon.schedule.settle import Kept, settle
    from recon.state.lease import owner
    from recon.state.slots import NotTaken

    console, who = work.frame.console, owner()
    missed = f", which stands for {due.missed} missed before it" if due.missed else ""
    order = Order(domain=due.domain, trigger="due", slot=due.slot, dry_run=dry_run)
    if dry_run:
        console.say(f"{due.domain}: due at {slot_text(due.slot)}{missed}")
        several.each([due.domain], lambda _: work.order(order))
        return
    taken = slots.take(due.domain, due.slot, who, tries=1 + len(RETRY_SECONDS))
    if isinstance(taken, NotTaken):
        tell = console.complain if taken.given_up else console.say
        tell(f"{due.domain}: due at {slot_text(due.slot)}{missed}, not run: {taken.why}")
        return
    console.say(f"{due.domain}: due at {slot_text(due.slot)}{missed}")
    with Kept(slots, due.domain, due.slot, who):
        several.each([due.domain], lambda _: work.order(order))
    ended = several.ended[-1]
    run_id = ended.figures.run if ended.figures is not None and ended.figures.run else None
    # With --exit-code a good end may be a 3, which settles the slot as well.
    settled = settle(slots, due.domain, due.slot, who=who, tries=taken.tries, code=ended.exit_code, run=run_id)
    if settled.outcome == "again":
        console.say(f"{due.domain}: {slot_text(due.slot)} {settled.words}; recon run --due tries it again after {words_of(settled.wait)}")
    elif settled.outcome == "given up":
        console.complain(f"{due.domain}: GIVEN UP for {slot_text(due.slot)} after {taken.tries} tries: the last {settled.words}")
