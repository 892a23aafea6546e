"""What several laws need."""

from collections.abc import Iterator, Sequence
from typing import Any

from recon.testing.simulation.oracle.facts import Delivery, Ended, Facts, Shown
from recon.testing.simulation.oracle.history import History, Values

WHOLE = ("run",)
"""Orders that look at a whole domain and send what they find."""
DAY = 86_400.0


def equal(one: Values, other: Values, fields: Sequence[str]) -> bool:
    """Whether the two are alike in the fields that count."""
    if one is None or other is None:
        return one is None and other is None
    return all(one.get(name) == other.get(name) for name in fields)


def fields_at(facts: Facts, process: int) -> tuple[str, ...]:
    """The fields that counted for this process."""
    return next((one.fields for one in facts.ended if one.process == process), ("status", "amount"))


def names(delivery: Delivery) -> str:
    """The event, for a message."""
    return f"{delivery.event['type']} {delivery.event['data']['key']} {delivery.id[:8]}:{delivery.emission} by p{delivery.process} at {when(delivery.at)}"


def when(at: float) -> str:
    """`d03 03:00:12`."""
    day, rest = divmod(int(at), int(DAY))
    return f"d{day:02d} {rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"


def both(source: History, target: History, key: str, begin: float, end: float) -> Iterator[tuple[float, Values, Values]]:
    """What both sides held of the key, at every instant from `begin` to `end` at which either changed."""
    times = sorted({at for history in (source, target) for at, _ in history.during(key, begin, end)})
    for at in times:
        # Two writes at one instant: each of them stood, however shortly.
        sources = [state for since, state in source.during(key, begin, end) if since == at] or [source.at(key, at)]
        targets = [state for since, state in target.during(key, begin, end) if since == at] or [target.at(key, at)]
        yield from ((at, one, other) for one in sources for other in targets)


def born(facts: Facts, delivery: Delivery) -> float | None:
    """When the run began that found first what the event tells; None for a run that nobody saw."""
    row = facts.rows.get(str(delivery.event["reconrunid"]))
    return row.started if row is not None else None


def first_look(facts: Facts, run: Ended) -> float:
    """The earliest instant that the run's first look may have been of."""
    return facts.rows[run.run].started - facts.listing_lag


def looks(facts: Facts, domain: str, process: int, place: str) -> list[Shown]:
    """The answers that this process got for the domain."""
    return [one for one in facts.shown if one.process == process and one.domain == domain and one.place == place]


def whole_runs(facts: Facts, domain: str) -> list[Ended]:
    """The runs of the whole domain that came to their end, in order."""
    return [one for one in facts.ended if one.domain == domain and one.order in WHOLE and one.how == "ended" and one.run]


def ended_hold(run: Ended) -> bool:
    """Whether the run says that its plan was held, and was rejected or expired since."""
    return (run.figures.get("plan") or {}).get("state") in {"rejected", "expired"}


def acknowledged(facts: Facts, domain: str, key: str, at: float) -> bool:
    """Whether a person had acknowledged the key at this time."""
    return any(
        act.kind == "ack" and act.taken and act.domain == domain and act.key == key and act.ended <= at <= act.until for act in facts.acts
    )


def number(figures: Any, *path: str) -> int:
    """A count of the figures, 0 where they have none."""
    value = figures
    for name in path:
        value = (value or {}).get(name)
    return int(value or 0)
