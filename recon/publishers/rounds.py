"""Order within a key, on transports that take many events at once: of each key only one is on its way at a time.

A server may take the second of two events and not the first. Where their order counts the second waits for the first one's outcome.
"""

from collections.abc import Callable, Sequence

from recon.publishers.base import Message, Outcome, OutcomeKind

STUCK = {OutcomeKind.RETRY, OutcomeKind.UNKNOWN}


def in_rounds(batch: Sequence[Message], send: Callable[[Sequence[Message]], Sequence[Outcome]]) -> list[Outcome]:
    """`send`'s outcomes, one for each, in order; it is called with events of different keys only, once unless a key occurs twice.

    What follows an event that did not arrive, in its key, is RETRY and not sent.
    """
    if len({message.partitionkey for message in batch}) == len(batch):
        return list(send(batch)) if batch else []
    outcomes: dict[int, Outcome] = {}
    stuck: set[str] = set()
    waiting: list[int] = list(range(len(batch)))
    while waiting:
        now: dict[str, int] = {}
        later: list[int] = []
        for index in waiting:
            key = batch[index].partitionkey
            if key in stuck:
                reason = f"an earlier event of {batch[index].subject} has to arrive first"
                outcomes[index] = Outcome(kind=OutcomeKind.RETRY, reason=reason)
            elif key in now:
                later.append(index)
            else:
                now[key] = index
        chosen = list(now.values())
        for index, outcome in zip(chosen, send([batch[index] for index in chosen]) if chosen else (), strict=True):
            outcomes[index] = outcome
            if outcome.kind in STUCK:
                stuck.add(batch[index].partitionkey)
        waiting = later
    return [outcomes[index] for index in range(len(batch))]
