"""What became of corrections: those that were delivered are read again by id, once they have had their time. Nothing else is looked at, and nothing sent."""

from datetime import datetime

from recon.confirm.rereading import reread
from recon.duration import words_of
from recon.errors import BadRequest
from recon.files import private_folder
from recon.ledger import Ledger
from recon.project import Project
from recon.run import looking
from recon.run.account import controls_of
from recon.run.night import Night
from recon.state.database import State
from recon.state.run import RunState


def unverifiable(project: Project, state: State, domain: str) -> str | None:
    """Why there is nothing to verify of the domain, in words; None where there is. Raises the error of a domain that cannot run."""
    job, count = project.job(domain), len(Ledger(state).delivered(domain))
    if not count:
        return f"{domain}: no correction that was delivered is open"
    if project.provider(job.provider).can_get(job.resource):
        return None
    open_ = f"{count:,} delivered correction{'s' if count > 1 else ''}"
    return f"{domain}: {job.resource} cannot be read by id at {job.provider}: the next night says what became of {open_}"


def verify(night: Night) -> int:
    """The flow of a run for `VERIFIED`; answers the exit code."""
    if (why := unverifiable(night.project, night.state, night.job.domain)) is not None:
        raise BadRequest(why, hint=f"recon run {night.job.domain}")
    known = night.ledger.delivered(night.job.domain)
    private_folder(night.folder)
    _wait(night, max((one.confirmed_at for one in known.values()), default=None))
    # What was confirmed by now, and no later, was looked at after it was delivered.
    night.advance(RunState.FETCHING, watermark=night.state.now())
    for state in (RunState.SEALED, RunState.DIFFED, RunState.CONFIRMING):
        night.advance(state)
    with night.stage("verify"):
        found = reread(
            looking.by_id(night),
            {key: (one.kind, one.source_token, one.target_token) for key, one in known.items()},
            controls=controls_of(night.runs.last_whole(night.job.domain)),
            file=night.folder / "found.jsonl",
            advance=night.progress.advance,
        )
    night.account.confirmation = found
    if found.unanswered and found.unanswered == len(known):
        return looking.leave_open(night, found, found.unknown_keys, only_keys=list(known))
    night.take_note(found, list(known))
    return 0


def _wait(night: Night, delivered: datetime | None) -> None:
    """Until the youngest delivery is as old as the job wants it; its age is told by the state database's clock."""
    if delivered is None:
        return
    age = max(0.0, (night.state.now() - delivered).total_seconds())
    if (wait := night.job.verify_seconds - age) > 0:
        with night.stage("wait"):
            night.progress.note(f"waiting {words_of(wait)} before looking at what became of the corrections")
            night.clock.sleep(wait)
