"""What becomes of a run that has not come to its end: who is at work on it, or what goes on with it, and the exact command."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from recon.report.words import moment
from recon.run.order import RESUME_WITHIN, SENT
from recon.state import lease
from recon.state.database import State
from recon.state.run import OPEN, Run, RunState
from recon.state.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """One unfinished run: where it stands, who has it, and what brings it on. Times are UTC, from the database's clock."""

    run: str
    domain: str
    state: str
    started_at: datetime
    #: The process that is at work on it, or was last: `host:pid`.
    owner: str
    #: Whether that process is at work on it now: its lease has not run out.
    at_work: bool
    #: Since when it is at work, else since when nothing was heard of it.
    since: datetime
    #: When its lease was last renewed, and when it ends unless renewed; None where nobody holds one.
    renewed_at: datetime | None
    lease_until: datetime | None
    #: What goes on with it, in words.
    next: str
    #: What a person types to bring it on now; None where there is nothing to type.
    command: str | None

    def lines(self) -> tuple[str, str]:
        """For the terminal: where it stands, and what is next."""
        since = moment(self.since)
        if self.at_work:
            heard = f"; last renewed {moment(self.renewed_at)}" if self.renewed_at else ""
            until = f"; its lease ends {moment(self.lease_until)} unless renewed" if self.lease_until else ""
            return f"{self.owner} is at work on it since {since}{heard}{until}", self.next
        if self.state == RunState.HELD:
            return f"held since {since}", self.next
        return f"nobody is at work on it since {since}; last by {self.owner}", self.next


def outlooks(state: State, found: Iterable[Run]) -> list[Outlook]:
    """Of these runs, the ones that have something left to do or wait for a person, in the same order."""
    return [told for run in found if (told := outlook(state, run)) is not None]


def outlook(state: State, run: Run) -> Outlook | None:
    """What becomes of this run; None for one that has come to its end."""
    if run.state not in OPEN | {RunState.HELD, RunState.FAILED} or (run.state is RunState.HELD and run.dry_run):
        return None
    with state.read() as conn:
        holder, now = lease.holder(state, conn, run.domain), state.now(conn)
    mine = holder if holder is not None and holder.fence == run.fence else None
    if run.state is RunState.FAILED and (mine is not None or not _taken_up(state, run, now)):
        return None
    next_, command = ("it goes on by itself", None) if mine is not None else _next(state, run, now)
    if holder is not None and mine is None and run.state is not RunState.HELD:
        next_ = f"{holder.owner} is at work on {run.domain} until {moment(holder.expires_at)} unless renewed; then {next_}"
    return Outlook(
        run=run.id,
        domain=run.domain,
        state=run.state.value,
        started_at=run.started_at,
        owner=run.owner,
        at_work=mine is not None,
        since=mine.acquired_at if mine is not None else _left_at(run),
        renewed_at=mine.renewed_at if mine is not None else None,
        lease_until=mine.expires_at if mine is not None else None,
        next=next_,
        command=command,
    )


def _left_at(run: Run) -> datetime:
    """When it came to where it stands: a held one when its night ended, since an approval that is refused writes its row anew."""
    ended = (run.figures or {}).get("finished_at") if run.state is RunState.HELD else None
    return datetime.fromisoformat(ended) if isinstance(ended, str) else run.updated_at


def _next(state: State, run: Run, now: datetime) -> tuple[str, str | None]:
    """What brings on a run that nobody is at work on; the same rules as `recon.run.order`, which claims it."""
    again = f"recon run {run.domain} --resume {run.id}{' --dry-run' if run.dry_run else ''}"
    if run.state is RunState.HELD:
        return _decision(run, now)
    if run.key is not None:
        return "nothing does unasked, it looks at one item", again
    if run.state in SENT:
        left = "reads its approved plan again and sends it" if run.state is RunState.APPROVED else "delivers and reports"
        return f"the next run of {run.domain} {left}, before its own work", f"recon run {run.domain}"
    if _taken_up(state, run, now):
        word = "check" if run.dry_run else "run"
        return f"the next {word} of {run.domain} goes on with it", f"recon {word} {run.domain}"
    old = now - run.started_at >= RESUME_WITHIN
    why = f"it is older than {RESUME_WITHIN.total_seconds() / 3600:g} hours, the next run starts anew" if old else "a newer run has begun"
    return f"nothing does unasked: {why}", again


def _decision(run: Run, now: datetime) -> tuple[str, str]:
    if run.hold_expires_at is not None and run.hold_expires_at <= now:
        return "its time has passed; the next run looks again", f"recon run {run.domain}"
    until = f" until {moment(run.hold_expires_at)}" if run.hold_expires_at else ""
    return f"it waits for a person{until}: recon approve or recon reject", f"recon show {run.id}"


def _taken_up(state: State, run: Run, now: datetime) -> bool:
    """Whether the next run of the domain goes on with it unasked: the newest of its sort, young enough, and for want of an answer only."""
    if run.key is not None or now - run.started_at >= RESUME_WITHIN:
        return False
    newest = next((one for one in Runs(state).recent(run.domain, 50) if one.dry_run == run.dry_run and one.key is None), None)
    return newest is not None and newest.id == run.id and (run.state is not RunState.FAILED or run.verdict == "incomplete")
