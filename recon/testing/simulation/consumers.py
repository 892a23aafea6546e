"""The destination of corrective events: a publisher for the code under test, and behind it consumers of several characters."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.testing.simulation.application import Application, Handler, words
from recon.testing.simulation.oracle.facts import Applied, Delivery
from recon.testing.simulation.oracle.history import Values
from recon.testing.simulation.process import Process

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

MOODS = {
    "prompt": 8.0,
    "slow": 2.0,
    "down": 1.5,
    "unknown": 1.5,
    "raising": 0.7,
    "losing": 1.0,
    "twice": 1.5,
    "late": 1.5,
    "refusing": 0.5,
    "miscounting": 0.5,
}
"""How a destination is for a night, by weight."""


class Consumer:
    """One domain's consumer. `careful`: it looks whether the row is still as the event found it, as the docs advise; else it goes by ids alone."""

    def __init__(self, universe: "Universe", application: Application, *, careful: bool, handle: Handler | None) -> None:
        self._universe = universe
        self._application = application
        self._careful = careful
        self._handle = handle
        self._inbox: set[str] = set()

    def apply(self, event: dict[str, Any]) -> None:
        """Makes the event's correction, by its own lights."""
        application, universe = self._application, self._universe
        data = event["data"]
        key, before = data["key"], application.rows.get(data["key"])
        if self._handle is not None:
            application.handled(event, self._handle)
            after = application.rows[key]
            universe.story.tell("handler", f"{key}: {words(before)} becomes {words(after)} by {event['id'][:8]}")
            self._note(event, before, after)
            return
        if self._careful:
            if not same(before, data["before"], universe.compared):
                universe.story.tell("consumer", f"{key}: no longer as the event found it, left alone")
                return
        elif event["id"] in self._inbox:
            universe.story.tell("consumer", f"{key}: {event['id'][:8]} was here before, dropped")
            return
        self._inbox.add(event["id"])
        state: Values = None if data["op"] == "deleted" else {"currency": "EUR", **data["state"]}
        application.write(key, state)
        if state is not None and state["version"] is not None:
            application.told[key] = max(application.told.get(key, 0), state["version"])
        universe.story.tell("consumer", f"{key}: {words(before)} becomes {words(state)} by {event['id'][:8]}")
        self._note(event, before, state)

    def _note(self, event: dict[str, Any], before: Values, after: Values) -> None:
        at, domain = self._universe.time.at, self._application.domain
        self._universe.facts.applied.append(
            Applied(at=at, domain=domain, id=event["id"], key=event["data"]["key"], before=before, after=after, careful=self._careful)
        )


def same(row: Values, before: Values, fields: Sequence[str]) -> bool:
    """Whether the row is as the event says that it found it, in the fields that count."""
    if row is None or before is None:
        return row is None and before is None
    return all(row[name] == before.get(name, row[name]) for name in fields)


class WorldPublisher:
    """What `[publishers.bus]` stands for in the world, for one process."""

    name = "bus"
    capabilities = Capabilities(batch=3)

    def __init__(self, universe: "Universe", process: Process) -> None:
        self._universe = universe
        self._process = process
        self.capabilities = Capabilities(batch=universe.world.batch)

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:  # noqa: ARG002 - the protocol's signature
        """One call: a step before it, one after it was taken and before its answer is there."""
        process, universe = self._process, self._universe
        process.calls += 1
        process.step("publish")
        universe.hosts.glance()
        mood = universe.consumer_mood()
        process.passes(universe.chance.between(0.01, 0.4, "publish", process.number, process.calls))
        outcomes = [self._one(message, mood, number) for number, message in enumerate(batch)]
        if mood == "raising":
            universe.story.tell(process.name, f"publish of {len(batch)} raises")
            msg = "the library gave up"
            raise ConnectionError(msg)
        process.step("published")
        return outcomes[:-1] if mood == "miscounting" else outcomes

    def _one(self, message: Message, mood: str, number: int) -> Outcome:
        universe, process = self._universe, self._process
        chance, where = universe.chance, (process.number, process.calls, number)
        event = json.loads(message.body)
        domain = event["source"].rsplit("/", 1)[-1]
        consumer = universe.consumers[domain]
        outcome, delays = Outcome(kind=OutcomeKind.CONFIRMED), [0.0]
        if mood == "down":
            after = chance.between(1, 30, "after", *where) if chance.between(0, 1, "asks", *where) < 0.3 else None
            outcome, delays = Outcome(kind=OutcomeKind.RETRY, reason="down", after=after), []
        elif mood in {"unknown", "raising", "miscounting"}:
            outcome = Outcome(kind=OutcomeKind.UNKNOWN, reason="no answer")
            delays = [0.0] if chance.between(0, 1, "arrived", *where) < 0.5 else []
        elif mood == "slow":
            delays = [chance.between(300, 9 * 3600.0, "slow", *where)]
        elif mood == "late":
            delays = [chance.between(1800, 40 * 3600.0, "late", *where)]
        elif mood == "losing":
            delays = []
        elif mood == "twice":
            delays = [0.0, chance.between(0, 6 * 3600.0, "again", *where)]
        elif mood == "refusing" and chance.between(0, 1, "refused", *where) < 0.5:
            outcome, delays = Outcome(kind=OutcomeKind.REJECTED, reason="no such customer"), []
        told = "raised" if mood == "raising" else str(outcome.kind)
        universe.facts.deliveries.append(
            Delivery(
                at=universe.time.at,
                process=process.number,
                domain=domain,
                id=message.id,
                emission=message.emission,
                body=message.body,
                event=event,
                outcome=told,
                call=process.calls,
            )
        )
        data = event["data"]
        universe.story.tell(process.name, f"publishes {event['type']} {data['key']} {message.id[:8]}:{message.emission} -> {told} ({mood})")
        for delay in delays:
            if delay:
                universe.time.later(universe.time.at + delay, lambda: consumer.apply(event))
            else:
                consumer.apply(event)
        return outcome

    def health(self) -> str:
        """It is what it is."""
        return "a destination of the world"

    def close(self) -> None:
        """Nothing is open."""
