"""Between the webhook publisher and the application's endpoint: each POST is a step, takes time, and is answered, or not, or wrongly."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recon.project import Project
from recon.project.neighbours import Neighbours
from recon.publishers.base import Capabilities, Message, Outcome
from recon.publishers.post import Answer
from recon.publishers.webhook import WebhookPublisher
from recon.testing.simulation.clock import moment
from recon.testing.simulation.endpoint import FILE, ID, TOPIC, TOPICS, Took, fits, stamp_of
from recon.testing.simulation.oracle.facts import Delivery, Posted
from recon.testing.simulation.oracle.history import Values
from recon.testing.simulation.process import CURRENT, Process

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

ENDPOINT_MOODS = {
    "prompt": 5.0,
    "down": 1.5,
    "failing": 1.5,
    "unanswered": 1.5,
    "losing": 1.5,
    "slow": 1.5,
    "refusing": 1.5,
    "gone": 1.5,
}
"""How the endpoint is for a night, by weight."""

AWAY = {"down": Answer(sent=False, failure="ConnectError: refused"), "gone": Answer(status=410)}
"""What comes where there is no endpoint."""
UNREAD = {"refusing": (0.5, Answer(status=422, body=b"no such customer")), "losing": (0.7, Answer(status=200))}
"""What is answered to a share of them of which nothing is written."""


class Relay:
    """What `[publishers.bus]` stands for where events go out as the third party's webhooks: the real publisher, seen from outside."""

    name = "bus"

    def __init__(self, universe: "Universe", process: Process, project: Project) -> None:
        self._universe = universe
        self._process = process
        section = project.settings.section("publishers", self.name)
        section.take("type")
        section.beside = Neighbours(project)
        self._real = WebhookPublisher(section, clock=process.clock)
        self.capabilities: Capabilities = self._real.capabilities

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        """One call, which may read and post for several of them."""
        process, universe = self._process, self._universe
        process.calls += 1
        universe.hosts.glance()
        process.called, process.in_hand = universe.time.at, {one.partitionkey: one for one in batch}
        before = len(universe.facts.posted)
        for number, message in enumerate(batch):
            self._touch("changed since the plan", message, process.calls, number)
        try:
            outcomes = self._real.publish(batch, deadline)
        finally:
            process.in_hand = {}
        mine = {one.event for one in universe.facts.posted[before:] if one.process == process.number}
        for message, outcome in zip(batch, outcomes, strict=True):
            if message.id not in mine:
                universe.chance.reach("letter not sent")
                universe.story.tell(process.name, f"{message.type} {message.partitionkey} {message.id[:8]} is not posted: {outcome.kind}")
        return outcomes

    def _touch(self, what: str, message: Message, *where: object) -> None:
        """Perhaps the item changes just now."""
        universe, named = self._universe, (self._process.number, *where)
        if universe.chance.happens(what, universe.world.moves, *named):
            universe.parties[message.domain].touch(message.partitionkey, what, *named)

    def health(self) -> str:
        """It is what it is."""
        return "an endpoint of the world"

    def close(self) -> None:
        """Nothing is open."""


class WorldPoster:
    """Stands where `recon.publishers.post.Poster` does, for the process that makes it."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        del url, headers
        self._process = process = CURRENT[-1]
        self._universe = universe = process.universe
        #: The secret that the process was given.
        self._given = (universe.folder / process.host / FILE).read_text()

    def post(self, body: bytes, headers: dict[str, str], seconds: float) -> Answer:
        """One POST: a step before it leaves, one after it arrived and before its answer is there."""
        process, universe = self._process, self._universe
        process.posts += 1
        made, clock = universe.time.at, process.clock.now().timestamp()
        process.step("publish")
        self._on_the_way(json.loads(body))
        process.passes(universe.chance.between(0.01, 2.0, "post", process.number, process.posts))
        answer, took = self._arrives(body, headers, seconds)
        self._note(body, headers, answer, took, made=made, clock=clock)
        if answer.status is None and answer.sent:
            process.passes(seconds)
        process.step("published")
        return answer

    def reach(self, seconds: float) -> str | None:
        """It can be reached."""
        del seconds
        return None

    def close(self) -> None:
        """Nothing is open."""

    def _on_the_way(self, event: dict[str, Any]) -> None:
        """Perhaps the item changes while its webhook is under way, and its own webhook is sent."""
        universe, named = self._universe, (self._process.number, self._process.posts)
        domain, key = event["event"].partition(".")[0], str(event["data"]["id"])
        if universe.chance.happens("changed on the way", universe.world.moves, *named):
            universe.parties[domain].touch(key, "on the way", *named)

    def _arrives(self, body: bytes, headers: Mapping[str, str], seconds: float) -> tuple[Answer, Took | None]:
        """What is answered, and what the endpoint made of it; None where it does not come to it, or not yet."""
        universe, mood = self._universe, self._universe.consumer_mood()
        drawn = universe.chance.between(0, 1, "endpoint", self._process.number, self._process.posts)
        if mood in AWAY:
            return AWAY[mood], None
        if mood == "unanswered" and drawn < 0.6:
            failure = f"no answer within {seconds:.0f} s"
            return Answer(failure=failure), universe.endpoint.take(headers, body) if drawn < 0.4 else None
        refused = universe.endpoint.refused(headers, body)
        if refused is not None:
            return Answer(status=refused.status, body=refused.why.encode()), refused
        return self._handled(body, headers, mood, drawn)

    def _handled(self, body: bytes, headers: Mapping[str, str], mood: str, drawn: float) -> tuple[Answer, Took | None]:
        """The same for one that the endpoint knows to be genuine."""
        universe, where = self._universe, (self._process.number, self._process.posts)
        if mood == "failing" and drawn < 0.7:
            wait = {"retry-after": str(universe.chance.count(1, 20, "retry after", *where))} if drawn < 0.2 else {}
            # Half of them die after they have written.
            return Answer(status=503 if wait else 500, headers=wait), universe.endpoint.handle(headers, body) if drawn < 0.35 else None
        if mood == "slow":
            delay = universe.chance.between(300, 9 * 3600.0, "slow", *where)
            universe.time.later(universe.time.at + delay, lambda: self._later(headers, body))
            return Answer(status=202), None
        share, answer = UNREAD.get(mood, (0.0, Answer()))
        if drawn < share:
            return answer, None
        took = universe.endpoint.handle(headers, body)
        return Answer(status=took.status, body=took.why.encode()), took

    def _later(self, headers: Mapping[str, str], body: bytes) -> None:
        took = self._universe.endpoint.handle(headers, body)
        self._universe.story.tell("endpoint", f"{headers[ID][:8]} {took.verdict}, hours after it was taken in")

    def _note(self, body: bytes, headers: Mapping[str, str], answer: Answer, took: Took | None, *, made: float, clock: float) -> None:
        universe, process = self._universe, self._process
        event: dict[str, Any] = json.loads(body)
        domain, _, word = headers[TOPIC].partition(".")
        key = str(event["data"]["id"])
        record: Values = None if word == TOPICS["deleted"] else {name: value for name, value in event["data"].items() if name != "id"}
        message = process.in_hand.get(key)
        verdict = took.verdict if took is not None else ""
        posted = Posted(
            at=universe.time.at,
            called=process.called,
            made=made,
            process=process.number,
            domain=domain,
            key=key,
            event=message.id if message is not None else "",
            op=message.type.rpartition(".")[2] if message is not None else "",
            webhook=headers.get(ID, ""),
            record=record,
            status=answer.status,
            verdict=verdict,
            why=took.why if took is not None else "",
            after=took.after if took is not None else None,
            off=abs(stamp_of(headers) - clock),
            skew=abs(clock - moment(made).timestamp()),
            fits=fits(self._given, headers, body),
            current=self._given in universe.seal.taken(),
        )
        universe.facts.posted.append(posted)
        self._reached(posted)
        told = str(answer.status or ("unanswered" if answer.sent else "not sent"))
        said = f"posts {headers[TOPIC]} {key} {posted.webhook[:8]} -> {told} {verdict} {posted.why}".rstrip()
        universe.story.tell(process.name, f"{said} ({universe.consumer_mood()})")
        if message is not None:
            self._deliver(message, domain, answer)

    def _reached(self, posted: Posted) -> None:
        reach = self._universe.chance.reach
        if posted.verdict:
            reach(f"letter {posted.verdict}{f': {posted.why}' if posted.verdict == 'refused' else ''}")
        if posted.op != "deleted" and posted.record is None:
            reach("gone since the plan")
        if posted.op == "deleted" and posted.record is not None:
            reach("back since the plan")

    def _deliver(self, message: Message, domain: str, answer: Answer) -> None:
        """The event that it stands for, as every other destination notes it."""
        if answer.status is None:
            outcome = "unknown" if answer.sent else "retry"
        else:
            outcome = "confirmed" if 200 <= answer.status < 300 else "rejected" if answer.status == 422 else "retry"
        self._universe.facts.deliveries.append(
            Delivery(
                at=self._universe.time.at,
                process=self._process.number,
                domain=domain,
                id=message.id,
                emission=message.emission,
                body=message.body,
                event=json.loads(message.body),
                outcome=outcome,
                call=self._process.calls,
                lane=message.version,
                replay=message.replay is not None,
            )
        )
