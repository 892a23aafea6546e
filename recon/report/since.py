"""What has become since of events that a run had not delivered when it ended: said beside its report, which stays as it was."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from recon.report.figures import RunFigures
from recon.report.verdict import Statement, Step, undelivered
from recon.report.words import moment, plural

PUBLISH = "recon publish"
"""What delivered events that no run did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """One destination as it stands now, of the events that a run told and had not delivered to it; each version of an event counts."""

    publisher: str
    delivered: int = 0
    #: When the last of those was confirmed, and by what they were delivered: `run 01M8…` or `recon publish`.
    last_at: datetime | None = None
    by: tuple[str, ...] = ()
    waiting: int = 0
    #: Refused for good since, or then already.
    dead: int = 0
    #: Found otherwise by a later night, or let go by a person.
    withdrawn: int = 0

    @property
    def lacking(self) -> int:
        """What is still not delivered, and is to be."""
        return self.waiting + self.dead


def words(one: Since, timezone: str = "UTC") -> str:
    """`bus: 3 events delivered since, the last 2026-11-25 07:12:00Z by recon publish; 1 event still waits`."""
    parts = []
    if one.delivered and one.last_at is not None:
        last = f"the last {moment(one.last_at, timezone)}" if one.delivered > 1 else f"at {moment(one.last_at, timezone)}"
        parts.append(f"{plural(one.delivered, 'event')} delivered since, {last}, by {' and '.join(one.by)}")
    if one.withdrawn:
        parts.append(f"{plural(one.withdrawn, 'event')} withdrawn")
    if one.waiting:
        parts.append(f"{plural(one.waiting, 'event')} still wait{'s' if one.waiting == 1 else ''}")
    if one.dead:
        parts.append(f"{plural(one.dead, 'event')} refused for good")
    return f"{one.publisher}: {'; '.join(parts) or 'nothing waits for it any more'}"


WHEN = {"NOT DELIVERED": "not delivered when it ended: ", "ENQUEUED": "when it was cut off: "}


def amended(told: Statement, figures: RunFigures, since: Sequence[Since]) -> Statement:
    """The statement of a run, and what has become of its events since. Where nothing is left to deliver, nothing is said to be done about it."""
    if not since:
        return told
    now = tuple(Step("since", words(one, figures.timezone)) for one in since)
    if any(one.lacking for one in since):
        return replace(told, steps=(*told.steps, *now))
    word = "DELIVERED SINCE" if any(one.delivered for one in since) else "SETTLED SINCE"
    return replace(
        told,
        word=word if told.word in {"NOT DELIVERED", "ENQUEUED"} else told.word,
        sentence=WHEN.get(told.word, "") + told.sentence,
        steps=(*now, *_left(told, figures)),
    )


def _left(told: Statement, figures: RunFigures) -> Iterator[Step]:
    """The lines that hold still: why it was not delivered, and whatever is of something else."""
    over = [step for step in undelivered(figures) if step.label != "reason"]
    return (step for step in told.steps if step not in over and step.label != "send")
