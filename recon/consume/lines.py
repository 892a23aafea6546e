"""What the log says of a message at the application's end: for whoever is on call, and without anything of its data.

An event is named by type, id, item and place. What it says of its item is masked wherever somebody's words quote it, secrets as well.
"""

from collections.abc import Iterator
from pathlib import PurePath
from traceback import extract_tb
from typing import Any

from recon.consume.applied import Applied, AppliedKind
from recon.consume.reader import Received
from recon.event import Event
from recon.inert import terminal
from recon.redact import redact

SHORTEST = 3
"""Shorter values are not masked: they would blot out half of every text."""
HIDDEN = "…"


def named(event: Event | None, one: Received, *, keys: bool) -> str:
    """Which event it is; `keys` whether its item's key may be shown."""
    if event is None:
        return terminal(f"the message at {one.place or '?'}")
    item = f" of item {event.partitionkey}" if keys else ""
    place = f" at {one.place}" if one.place else ""
    replay = " (a replay)" if "recon-replay-id" in one.headers else ""
    return terminal(f"{event.type} {event.id}{item}{place}{replay}")


def veiled(words: str, event: Event | None, *, keys: bool) -> str:
    """The words without what the event says of its item, and without secrets."""
    values = set() if event is None else {text for name in ("state", "before") for text in _texts(event.data.get(name))}
    if event is not None:
        values -= {event.partitionkey} if keys else set()
        values |= set() if keys else {event.partitionkey}
    for value in sorted((one for one in values if len(one) >= SHORTEST), key=len, reverse=True):
        words = words.replace(value, HIDDEN)
    return terminal(redact(words))


def place_of(error: Exception) -> str:
    """Where it was raised: ` (mails.py:12, send)`; a traceback would quote the data, with the statement that failed."""
    cause = error.__cause__ or error
    frames = [frame for frame in extract_tb(cause.__traceback__) if "sqlalchemy" not in frame.filename]
    return f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno}, {frames[-1].name})" if frames else ""


def outcome(event: Event | None, one: Received, answer: Applied, *, keys: bool) -> str:
    """What became of it."""
    words = f"{named(event, one, keys=keys)}: {answer.kind.value}"
    said = f", {veiled(answer.reason, event, keys=keys)}" if answer.reason else ""
    match answer.kind:
        case AppliedKind.CONFLICT:
            return f"{words}{said}; it is in applier.conflicts(), and the next night settles it"
        case AppliedKind.DEAD:
            return f"{words}{said}; it is in applier.dead_letters(), and applier.retry_dead() takes it once more"
        case _:
            return words + said + (", its effect ran" if answer.effect else "")


def _texts(value: Any) -> Iterator[str]:
    """Every value, however deep, as a text."""
    match value:
        case dict():
            for one in value.values():
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)
        case bool() | None:
            return
        case _:
            yield str(value)
