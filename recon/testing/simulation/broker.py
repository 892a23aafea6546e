"""A broker between the outbox and the application: it takes events or not, drops repeats within a window, and hands them on in order per key."""

import json
from typing import TYPE_CHECKING, Any, Protocol

from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.testing.reader import Kept, MemoryReader, MemorySubscription
from recon.testing.simulation.consumers import WorldPublisher
from recon.testing.simulation.migration import read_by_all
from recon.testing.simulation.oracle.facts import Delivery, Taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recon.consume.reader import Received
    from recon.testing.simulation.world import Universe

BROKER_MOODS = {
    "prompt": 3.0,
    "down": 1.5,
    "unknown": 2.0,
    "partial": 2.0,
    "forgetting": 1.5,
    "repeating": 1.5,
    "behind": 1.5,
    "refusing": 0.7,
}
"""How a broker is for a night, by weight."""

WINDOW = 2 * 3600.0
"""For so many seconds it remembers a dedupe token."""

FATES = ("before", "in the effect", "before done", "after done")
"""Where a consumer may die."""


class Died(BaseException):
    """The consumer was killed. As with a process of the reconciler, nothing catches it that would not survive a kill."""


class Reads(Protocol):
    """A consumer: it takes from the reader what is there, and settles it. `versions` are those that it reads, None for all."""

    versions: frozenset[int] | None

    def read(self, reader: "WorldReader") -> None:
        """Until nothing is left, or it gives something back."""
        ...

    def close(self, name: str) -> None:
        """Leaves behind what is to be seen, and lets go."""
        ...


class WorldReader(MemoryReader):
    """One life of a consumer: `fate` is where it ends early, `over` when there is no more to be taken now."""

    def __init__(self, source: MemorySubscription, name: str, fate: str) -> None:
        super().__init__(source, name=name)
        self.fate = fate
        self.over = False

    def receive(self, most: int, wait: float) -> "Sequence[Received]":
        """What is there; a world's time does not pass over it."""
        del wait
        found = super().receive(self._one_of_each_key(most), 0.0)
        if found:
            self.strikes("before")
        else:
            self.over = True
        return found

    def _one_of_each_key(self, most: int) -> int:
        """How many of those that are there: no key comes twice in what is applied at once, so that it can be seen what each made of its item."""
        keys: set[str] = set()
        for taken, one in enumerate(self.subscription.waiting(self, most)):
            if one.key in keys:
                return taken
            keys.add(one.key)
        return most

    def done(self, received: "Sequence[Received]") -> None:
        """Settled, if it lives to say so."""
        self.strikes("before done")
        super().done(received)
        self.strikes("after done")

    def again(self, received: "Sequence[Received]") -> None:
        """Given back: enough for this time."""
        self.over = True
        super().again(received)

    def strikes(self, where: str) -> None:
        """Dies here, if that is the fate."""
        if self.fate == where:
            raise Died(where)


class Subscription:
    """One consumer's queue. It outlives the consumer's lives, which begin when something is there."""

    def __init__(self, universe: "Universe", name: str, consumer: Reads) -> None:
        self.name = name
        self.kept = MemorySubscription()
        self.consumer = consumer
        self._universe = universe
        self._lives = 0
        self._planned = False
        universe.facts.readers[name] = consumer.versions

    def put(self, message: Message, mood: str) -> None:
        """One message more. Behind, its consumer comes to it hours later; repeating, it is handed over once more when it was done."""
        universe, number = self._universe, len(self.kept.messages)
        headers = {"content-type": "application/cloudevents+json"}
        if message.replay is not None:
            headers["recon-replay-id"] = message.replay
        self.kept.put(message.body, key=message.partitionkey, headers=headers)
        chance = universe.chance
        self._plan(chance.between(1800, 9 * 3600.0, "behind", self.name, number) if mood == "behind" else 0.0)
        if mood == "repeating" and chance.between(0, 1, "repeats", self.name, number) < 0.5:
            delay = chance.between(60, 30 * 3600.0, "repeated", self.name, number)
            universe.time.later(universe.time.at + delay, lambda: self._repeat(self.kept.messages[number]))

    def _repeat(self, kept: Kept) -> None:
        if kept.done:
            kept.done = False
            self._plan(0.0)

    def _plan(self, delay: float) -> None:
        if not self._planned:
            self._planned = True
            time, chance = self._universe.time, self._universe.chance
            time.later(time.at + delay + chance.between(0.1, 5.0, "polls", self.name, self._lives), self._live)

    def _live(self) -> None:
        """One life: to the end of what is there, or to its own."""
        universe, chance = self._universe, self._universe.chance
        self._planned = False
        self._lives += 1
        fate = ""
        if chance.happens("consumer dies", universe.world.consumer_crashes, self.name, self._lives):
            fate = chance.one_of(FATES, "fate", self.name, self._lives)
        reader = WorldReader(self.kept, self.name, fate)
        try:
            self.consumer.read(reader)
        except Died as died:
            chance.reach(f"consumer dies {died}")
            universe.story.tell("consumer", f"{self.name} is killed {died}")
        reader.close()
        if self.kept.left:
            self._plan(chance.between(5, 1800, "back", self.name, self._lives))


class Broker:
    """The broker of a world: one for all its processes, which it outlives."""

    def __init__(self, universe: "Universe") -> None:
        self._universe = universe
        self._tokens: dict[str, float] = {}
        self.subscriptions: dict[str, list[Subscription]] = {domain: [] for domain in universe.domains}

    def subscribe(self, domain: str, name: str, consumer: Reads) -> None:
        """From now on this consumer has a queue of the domain's events."""
        self.subscriptions[domain].append(Subscription(self._universe, f"{domain}/{name}", consumer))

    def close(self) -> None:
        """The end: what the consumers leave to be seen."""
        for one in (one for found in self.subscriptions.values() for one in found):
            one.consumer.close(one.name)

    def take(self, message: Message, domain: str, mood: str) -> bool:
        """Takes a message in; False for one that it knows by its token."""
        universe = self._universe
        now, since = universe.time.at, self._tokens.get(message.dedupe)
        if since is not None and now - since < WINDOW:
            if mood != "forgetting":
                universe.chance.reach("broker drops a repeat")
                return False
            universe.chance.reach("broker takes a repeat")
        self._tokens[message.dedupe] = now
        version = json.loads(message.body)["dataversion"]
        universe.facts.taken.append(
            Taken(
                at=now,
                domain=domain,
                id=message.id,
                key=message.partitionkey,
                lane=message.version,
                version=version,
                replay=message.replay is not None,
            )
        )
        for one in self.subscriptions[domain]:
            one.put(message, mood)
        return True


class BrokerPublisher(WorldPublisher):
    """What `[publishers.bus]` stands for where the world has a broker."""

    capabilities = Capabilities(batch=3, dedupe_seconds=WINDOW)

    def _one(self, message: Message, mood: str, number: int) -> Outcome:
        universe, process = self._universe, self._process
        where = (process.number, process.calls, number)
        event: dict[str, Any] = json.loads(message.body)
        domain = event["source"].rsplit("/", 1)[-1]
        outcome, arrives = self._answer(message, mood, where)
        if arrives and not universe.broker.take(message, domain, mood) and outcome.kind is OutcomeKind.CONFIRMED:
            outcome = Outcome(kind=OutcomeKind.CONFIRMED, duplicate=True)
        universe.facts.deliveries.append(
            Delivery(
                at=universe.time.at,
                process=process.number,
                domain=domain,
                id=message.id,
                emission=message.emission,
                body=message.body,
                event=read_by_all(event),
                outcome=str(outcome.kind),
                call=process.calls,
                lane=message.version,
                replay=message.replay is not None,
            )
        )
        if message.version:
            universe.chance.reach("told in an older version")
        lane = f" in version {message.version}" if message.version else ""
        again = f" of a replay{lane}" if message.replay is not None else lane
        told = f"{event['type']} {message.partitionkey} {message.id[:8]}:{message.emission}{again}"
        universe.story.tell(process.name, f"publishes {told} -> {outcome.kind}{'' if arrives else ', not taken'} ({mood})")
        return outcome

    def _answer(self, message: Message, mood: str, where: tuple[int, int, int]) -> tuple[Outcome, bool]:
        """What is answered, and whether it arrived."""
        chance = self._universe.chance
        drawn = chance.between(0, 1, "arrived", *where)
        if mood == "down":
            after = chance.between(1, 30, "after", *where) if drawn < 0.3 else None
            return Outcome(kind=OutcomeKind.RETRY, reason="down", after=after), False
        if mood in {"unknown", "forgetting"} and chance.between(0, 1, "unanswered", *where) < 0.6:
            return Outcome(kind=OutcomeKind.UNKNOWN, reason="no answer"), drawn < 0.6
        if mood == "partial" and drawn < 0.5:
            if drawn < 0.2:
                return Outcome(kind=OutcomeKind.UNKNOWN, reason="no answer"), drawn < 0.1
            return Outcome(kind=OutcomeKind.RETRY, reason="this one not now"), False
        if mood == "refusing" and chance.between(0, 1, "poison", message.id, self._universe.night) < 0.5:
            return Outcome(kind=OutcomeKind.REJECTED, reason="poison"), False
        return Outcome(kind=OutcomeKind.CONFIRMED), True
