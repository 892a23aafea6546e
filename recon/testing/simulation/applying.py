"""Consumers behind a broker: the application's, with the real `recon.consume`, and one beside it that reads the first version only."""

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, StaticPool, create_engine, text

from recon.consume import Applied as Answer
from recon.consume import AppliedKind, Applier, Received, Version, Versions, consume
from recon.event import Event
from recon.testing.simulation.application import Application, words
from recon.testing.simulation.broker import WorldReader
from recon.testing.simulation.migration import NAMES, raised
from recon.testing.simulation.oracle.facts import Answered, Applied

if TYPE_CHECKING:
    from recon.testing.simulation.consumers import Consumer
    from recon.testing.simulation.third_party import Change
    from recon.testing.simulation.world import Universe

FAILS = 0.06
"""The share of side effects that fail at a first try."""


class Applying:
    """The application's end as the docs advise it: an Applier, its loop, and its door for the ordinary webhooks."""

    versions: frozenset[int] | None = None

    def __init__(self, universe: "Universe", application: Application) -> None:
        self._universe = universe
        self._application = application
        self._engine = create_engine(f"sqlite:///{application.file}", poolclass=StaticPool)
        migrates = universe.world.migrates
        self._applier = Applier(
            self._engine,
            table=application.table,
            key=application.key,
            version="version",
            columns={NAMES[1]: NAMES[0]} if migrates else None,
            versions=Versions(2, (Version(number=1, up=raised),)) if migrates else None,
            clock=universe.database_clock,
        )
        self._applier.create_tables()
        with self._engine.begin() as connection:
            connection.execute(text("create table effects (id text)"))
        self._failed: set[str] = set()
        application.door = self.webhook

    def read(self, reader: WorldReader) -> None:
        """The real loop, until nothing is there."""

        def effect(connection: Connection, event: Event) -> None:
            connection.execute(text("insert into effects (id) values (:id)"), {"id": event.id})
            reader.strikes("in the effect")
            if event.id not in self._failed and self._universe.chance.happens("effect fails", FAILS, reader.name, event.id):
                self._failed.add(event.id)
                msg = "the mail could not be sent"
                raise RuntimeError(msg)

        consume(
            reader, self._applier, stop=lambda: reader.over, effect=effect, told=lambda one, answer: self._note(reader.name, one, answer)
        )

    def webhook(self, change: "Change") -> None:
        """An ordinary webhook, through the guarded door."""
        before = self._application.rows.get(change.key)
        if change.state is None:
            answer = self._applier.delete(change.key, change.version)
        else:
            names = {NAMES[0]: NAMES[1]} if self._universe.world.migrates else {}
            answer = self._applier.upsert(
                change.key, {names.get(name, name): value for name, value in change.state.items()}, change.version
            )
        after = self._application.seen(change.key)
        self._universe.chance.reach(f"door {answer.kind}")
        self._universe.story.tell("door", f"{change.key} v{change.version} {answer.kind}: {words(before)} becomes {words(after)}")

    def _note(self, name: str, received: Received, answer: Answer) -> None:
        universe, application = self._universe, self._application
        event: dict[str, Any] = json.loads(received.body)
        before = application.rows.get(answer.key)
        after = application.seen(answer.key)
        replay = "recon-replay-id" in received.headers
        universe.chance.reach(f"applier {answer.kind}")
        universe.facts.answered.append(
            Answered(
                at=universe.time.at,
                consumer=name,
                domain=application.domain,
                id=event["id"],
                key=event["partitionkey"],
                version=event["dataversion"],
                kind=str(answer.kind),
                replay=replay,
                before=before,
                after=after,
            )
        )
        if answer.kind is AppliedKind.APPLIED:
            universe.facts.applied.append(
                Applied(
                    at=universe.time.at,
                    domain=application.domain,
                    id=event["id"],
                    key=answer.key,
                    before=before,
                    after=after,
                    careful=True,
                )
            )
        again = " of a replay" if replay else ""
        universe.story.tell(
            "applier",
            f"{answer.key} {event['id'][:8]}{again} {answer.kind}: {words(before)} becomes {words(after)} {answer.reason}".rstrip(),
        )

    def close(self, name: str) -> None:
        """What is left to be seen: the effects that ran. Lets go of the database."""
        with self._engine.connect() as connection:
            self._universe.facts.effects[name] = list(connection.execute(text("select id from effects order by rowid")).scalars())
        self._engine.dispose()


class Reading:
    """A consumer without recon's help: whatever it reads it tells `consumer`, where there is one, and settles it."""

    def __init__(
        self, universe: "Universe", application: Application, consumer: "Consumer | None", *, versions: frozenset[int] | None = None
    ) -> None:
        self.versions = versions
        self._universe = universe
        self._application = application
        self._consumer = consumer

    def read(self, reader: WorldReader) -> None:
        """One after the other."""
        while received := reader.receive(5, 0.0):
            for one in received:
                event: dict[str, Any] = json.loads(one.body)
                if self.versions is not None and event["dataversion"] not in self.versions:
                    continue
                key = event["partitionkey"]
                before = self._application.rows.get(key)
                if self._consumer is not None:
                    self._consumer.apply(event)
                else:
                    self._universe.story.tell("consumer", f"{reader.name} reads {event['type']} {key} {event['id'][:8]}")
                self._universe.facts.answered.append(
                    Answered(
                        at=self._universe.time.at,
                        consumer=reader.name,
                        domain=self._application.domain,
                        id=event["id"],
                        key=key,
                        version=event["dataversion"],
                        kind="read",
                        replay="recon-replay-id" in one.headers,
                        before=before,
                        after=self._application.rows.get(key),
                    )
                )
            reader.done(received)

    def close(self, name: str) -> None:
        """Nothing is open."""
