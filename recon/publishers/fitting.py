"""Events that are too large for a transport: refused before they are sent, so that they cost themselves and not their batch."""

from collections.abc import Callable, Sequence

from recon.publishers.base import Message, Outcome, OutcomeKind


def fitting(batch: Sequence[Message], limit: int, send: Callable[[Sequence[Message]], Sequence[Outcome]]) -> list[Outcome]:
    """`send`'s outcomes for what has at most `limit` bytes, REJECTED with the figures for the rest; one for each, in order."""
    small = [message for message in batch if len(message.body) <= limit]
    found = iter(send(small) if small else ())
    return [next(found) if len(message.body) <= limit else _refused(message, limit) for message in batch]


def _refused(message: Message, limit: int) -> Outcome:
    return Outcome(kind=OutcomeKind.REJECTED, reason=f"the event has {len(message.body):,} bytes, and at most {limit:,} are taken")
