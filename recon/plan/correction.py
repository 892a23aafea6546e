"""The event that corrects one discrepancy: what is said, of what type, with which id."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from recon.clock import iso, parse_iso
from recon.discrepancy import Discrepancy
from recon.errors import BadDefinition
from recon.event import Event
from recon.job import Correction, Job
from recon.ledger import source_of
from recon.ledger.life import OPERATIONS
from recon.state.run import Run

TYPE_LIMIT = 128
"""EventBridge takes a detail-type of at most 128 characters; every transport carries that much.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
"""


def event_of(
    job: Job, run: Run, found: Discrepancy, *, event_id: str, first_run: str, generation: int, supersedes: str | None
) -> Event | None:
    """The event for a confirmed discrepancy; None where the job's `correct=` wants none.

    Its time is the source record's own time of change where the job names that field, else the run's logical start.
    Raises BadDefinition, naming job and key, where `correct=` fails or answers something that is no correction.
    """
    op = OPERATIONS[found.kind]
    type_ = f"{job.event or job.domain}.{op}"
    state = found.source
    if job.correct is not None:
        answer = _asked(job, found)
        if answer is None:
            return None
        type_ = answer.type
        state = answer.state if answer.state is not None else state
    observed = run.watermark or run.started_at
    data = {
        "op": op,
        "key": found.key,
        "state": state,
        "before": found.target,
        "changed": list(found.changed),
        "precondition": {"fingerprint": found.target_token, **_version(job, found.target)},
        "observed": {"fingerprint": found.source_token, "at": iso(observed), **_version(job, found.source)},
    }
    if supersedes is not None:
        data["supersedes"] = supersedes
    return Event(
        id=event_id,
        type=type_,
        source=source_of(job),
        subject=f"{job.event or job.domain}/{found.key}",
        time=_time(job, run, found),
        recorded=run.logical_start,
        dataversion=job.event_version,
        partitionkey=found.key,
        run=first_run,
        generation=generation,
        data=data,
        account=job.account,
        region=job.region,
    )


def encoded(job: Job, event: Event) -> bytes:
    """The event's bytes; raises BadDefinition where a text in it is none that JSON can carry."""
    try:
        return event.encode()
    except (msgspec.EncodeError, TypeError, ValueError) as error:
        msg = f"{job.domain} {_named(job, event.partitionkey)}: its event cannot be written as JSON{_said(job, error)}"
        raise BadDefinition(msg) from error


def _asked(job: Job, found: Discrepancy) -> Correction | None:
    assert job.correct is not None
    where = f"{job.domain}: correct() for {found.kind} key {_named(job, found.key)}"
    try:
        answer: Any = job.correct(found)
    except Exception as error:  # A job's own code may raise anything; the message must name the job and the key.
        msg = f"{where} raised {error.__class__.__name__}{_said(job, error)}"
        raise BadDefinition(
            msg, hint="mend the job's correct function; nothing was sent, and the run goes on when it is run again"
        ) from error
    if answer is None:
        return None
    if not isinstance(answer, Correction):
        msg = f"{where} answered {type(answer).__name__}"
        raise BadDefinition(msg, hint="it returns a Correction, or None for no event")
    if not answer.type or len(answer.type) > TYPE_LIMIT:
        msg = f"{where}: an event type has 1 to {TYPE_LIMIT} characters, not {len(answer.type)}"
        raise BadDefinition(msg)
    if answer.state is not None:
        try:
            # The standard library's encoder is the strict one: no dates, no decimals, no NaN.
            json.dumps(answer.state, allow_nan=False, check_circular=True)
        except (TypeError, ValueError, RecursionError) as error:
            msg = f"{where}: its state is not JSON{_said(job, error)}"
            raise BadDefinition(msg, hint="texts, numbers, booleans, null, lists and objects; write times and decimals as text") from error
    return answer


def _named(job: Job, key: str) -> str:
    return "(personal)" if job.personal_key else key


def _said(job: Job, error: Exception) -> str:
    """The words of an error, which quote a value as a rule: none where any is personal."""
    return "" if job.personal else f": {error}"


def _version(job: Job, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """A side's own version of the item: its time of change, where the job names that field and the side has it."""
    name = job.versioned
    value = record.get(name) if name is not None and record is not None else None
    return {} if value is None else {"version": value}


def _time(job: Job, run: Run, found: Discrepancy) -> datetime:
    value = found.source.get(job.updated) if job.updated is not None and found.source is not None else None
    try:
        return parse_iso(value) if isinstance(value, str) else run.logical_start
    except ValueError:
        return run.logical_start
