"""A key's story in the order of time: what each run saw, what was told to whom, what came of it, and what a person said."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

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
    publisher: str | None = None


def timeline(story: Story) -> tuple[Moment, ...]:
    """Every moment of the story, the oldest first."""
    moments = [_seen(story, told) for told in story.told]
    moments += [moment for sent in story.sent for moment in _sent(sent)]
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


def _sent(sent: Sent) -> Iterator[Moment]:
    which = f"event {sent.event}  {sent.type}{f' in version {sent.version}' if sent.version else ''} to {sent.publisher}: "
    why = f" ({sent.reason})" if sent.reason else ""
    tries = f"{sent.attempts:,} {'try' if sent.attempts == 1 else 'tries'}"
    again = f", replay {sent.replay}" if sent.replay else f", for the {_ordinal(sent.emission)} time" if sent.emission > 1 else ""

    def moment(at: datetime, what: str, text: str) -> Moment:
        return Moment(at=at, what=what, text=which + text, run=sent.run, event=sent.event, publisher=sent.publisher)

    yield moment(sent.enqueued_at, "enqueued", f"enqueued{again}")
    last = sent.sent_at or sent.tried_at
    if sent.state == "sent":
        known = ", known there already" if sent.duplicate else ""
        yield moment(last or sent.enqueued_at, "sent", f"sent, confirmed after {tries}{known}{why}")
    elif sent.state in {"dead", "withdrawn"}:
        word = "dead, refused for good" if sent.state == "dead" else "withdrawn"
        yield moment(last or sent.enqueued_at, sent.state, f"{word}, {tries}{why}")
    else:
        yield moment(last or sent.enqueued_at, "tried", f"waiting, {tries}{why}")


def _said(ack: Ack) -> Iterator[Moment]:
    yield Moment(at=ack.created_at, what="acknowledged", text=f"acknowledged: {ack.words()}")
    if ack.ended_at is not None:
        yield Moment(at=ack.ended_at, what="ended", text=f"the acknowledgement ended: {ack.ended_why}")


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
