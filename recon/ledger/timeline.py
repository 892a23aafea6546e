"""A key's story in the order of time: what each run saw, what was told to whom, what came of it, and what a person said."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from recon.duration import words_of
from recon.ledger.acks import Ack
from recon.ledger.story import Sent, Story, Told

#: Moments of one instant, in the order in which they follow from one another.
ORDER = ("seen", "acknowledged", "ended", "enqueued", "tried", "sent", "dead", "withdrawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened. `what` is `seen` (by a run), `enqueued`, `tried`, `sent` (confirmed), `dead`, `withdrawn`, `acknowledged` or `ended`.

    No value of a record is in `text`. A withdrawal stands at the last try, or where there was none, when it was enqueued: its own time is not kept.
    """

    at: datetime
    what: str
    text: str
    run: str | None = None
    event: str | None = None
    #: The destination; None where it is of several, or of none.
    publisher: str | None = None
    #: Every destination that it is of: an event is put into the outbox for all of them at once.
    publishers: tuple[str, ...] = ()


def timeline(story: Story) -> tuple[Moment, ...]:
    """Every moment of the story, the oldest first."""
    moments = [_seen(story, told) for told in story.told]
    moments += _enqueued(story.sent)
    moments += [_now(sent) for sent in story.sent]
    moments += _said(story.ack) if story.ack is not None else []
    return tuple(sorted(moments, key=lambda one: (one.at, ORDER.index(one.what))))


def _seen(story: Story, told: Told) -> Moment:
    how = {"verify": ", looking at what was corrected", "item": ", looking at this item"}.get(told.look, "")
    fields = f": {', '.join(told.changed)}" if told.changed and told.standing != "resolved" else ""
    return Moment(
        at=told.at,
        what="seen",
        text=f"run {told.run}{how}  {told.kind.value}, {told.standing}{fields}{_healing(story, told)}",
        run=told.run,
    )


def _healing(story: Story, told: Told) -> str:
    """Of a discrepancy that was seen to be gone: how long after the last delivery before that."""
    before = [sent.sent_at for sent in story.sent if sent.sent_at is not None and sent.state == "sent" and sent.sent_at <= told.at]
    if told.standing != "resolved" or not before:
        return ""
    return f", {words_of((told.at - max(before)).total_seconds())} after its correction was delivered"


def _enqueued(sent: Sequence[Sent]) -> Iterator[Moment]:
    """Events that were put into the outbox: one moment for all destinations that one was put there for together."""

    def occasion(one: Sent) -> tuple[datetime, str, int, int, str]:
        return one.enqueued_at, one.event, one.version, one.emission, one.replay or ""

    for _, rows in groupby(sorted(sent, key=lambda one: (occasion(one), one.publisher)), key=occasion):
        together = list(rows)
        first = together[0]
        names = tuple(dict.fromkeys(one.publisher for one in together))
        again = f", replay {first.replay}" if first.replay else f", for the {_ordinal(first.emission)} time" if first.emission > 1 else ""
        yield Moment(
            at=first.enqueued_at,
            what="enqueued",
            text=f"{_which(first)} to {_listed(names)}: enqueued{again}",
            run=first.run,
            event=first.event,
            publisher=names[0] if len(names) == 1 else None,
            publishers=names,
        )


def _now(sent: Sent) -> Moment:
    """What has become of an event at one destination."""
    why = f" ({sent.reason})" if sent.reason else ""
    tries = f"{sent.attempts:,} {'try' if sent.attempts == 1 else 'tries'}"
    if sent.state == "sent":
        known = ", known there already" if sent.duplicate else ""
        what, text = "sent", f"sent, confirmed after {tries}{known}{why}"
    elif sent.state in {"dead", "withdrawn"}:
        what, text = sent.state, f"{'dead, refused for good' if sent.state == 'dead' else 'withdrawn'}, {tries}{why}"
    else:
        what, text = "tried", f"waiting, {tries}{why}"
    return Moment(
        at=sent.sent_at or sent.tried_at or sent.enqueued_at,
        what=what,
        text=f"{_which(sent)} to {sent.publisher}: {text}",
        run=sent.run,
        event=sent.event,
        publisher=sent.publisher,
        publishers=(sent.publisher,),
    )


def _which(sent: Sent) -> str:
    return f"event {sent.event}  {sent.type}{f' in version {sent.version}' if sent.version else ''}"


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _said(ack: Ack) -> Iterator[Moment]:
    yield Moment(at=ack.created_at, what="acknowledged", text=f"acknowledged: {ack.words()}")
    if ack.ended_at is not None:
        yield Moment(at=ack.ended_at, what="ended", text=f"the acknowledgement ended: {ack.ended_why}")


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
