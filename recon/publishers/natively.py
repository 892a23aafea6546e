"""`render = "native"`: each correction as the third party's own webhook, out of the item as it stands there now.

An event carries what is compared; a webhook carries the whole item. So the item is read again by its id, within the provider's rate, just
before it is sent, and what is sent is what the third party says now:

| the event says   | the third party has it            | is sent                                                       |
|------------------|-----------------------------------|---------------------------------------------------------------|
| created, updated | as it says, or otherwise by now   | the item as it is now                                         |
| created, updated | deleted, and says so              | the deletion                                                  |
| created, updated | 404                               | nothing, RETRY: it may be out of sight; the next night tells  |
| the same, replay | 404                               | nothing, REJECTED: no night takes a replay back               |
| deleted          | deleted, or 404                   | the deletion                                                  |
| deleted          | there again                       | an update with the item as it is now                          |
| any              | no answer, no leave to read       | nothing, RETRY                                                |
| any              | so that the job cannot read it    | nothing, RETRY: the next night takes the event back           |
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from recon.clock import Clock
from recon.errors import ReconError, Unreachable
from recon.event import Event, decode
from recon.fetch.page import Lookup, LookupStatus
from recon.job import Job, Operation
from recon.native import Happened, Native, NoWebhook, Webhook, alike
from recon.provider import Provider
from recon.publishers.base import Message, Outcome, OutcomeKind
from recon.redact import SHORTEST, forms_of
from recon.section import Section

#: So many items are read and then posted at a time: a reading is never older than it takes to post so many.
BATCH = 10
LATE = "not sent: the time for this delivery was over before the item could be read again"


class Neighbours(Protocol):
    """What a publisher may know of the project around it."""

    def provider(self, name: str) -> Provider:
        """The provider of that name; raises UnknownName."""
        ...

    def job(self, domain: str) -> Job | None:
        """The job of a domain; None where none is on."""
        ...

    def unreadable(self, job: Job, items: Mapping[str, bytes]) -> Mapping[str, str]:
        """Which of these raw records, by key, the job cannot read, and why; nothing of one in another shape than the job declares."""
        ...

    def provider_types(self, method: str) -> Sequence[str]:
        """The types of providers that have such a method."""
        ...


class Natively:
    """Makes webhooks of corrections. Settings: `provider`, `topics` (event type = topic), and what the provider's own webhooks take."""

    def __init__(self, section: Section, clock: Clock) -> None:
        self.publisher = section.name
        self.provider_name: str = section.text("provider")
        if section.beside is None:
            raise section.bad("render", "native rendering needs a project around the publisher, which gives it the provider")
        self._beside: Neighbours = section.beside
        self._provider = self._beside.provider(self.provider_name)
        make = getattr(self._provider, "native", None)
        if make is None:
            able = ", ".join(self._beside.provider_types("native")) or "none"
            why = f"{self.provider_name!r} cannot render its third party's webhooks; types that can: {able}"
            raise section.bad("provider", why, hint='leave out render and provider, and events go out as CloudEvents; or form = "binary"')
        self.native: Native = make(section)
        self._topics: Mapping[str, str] = _topics(section, self.native)
        self._clock = clock

    def letters(self, batch: Sequence[Message], seconds: float) -> list[Webhook | Outcome]:
        """For each message the webhook to post, or its outcome where there is none to post now; within about `seconds`."""
        clock = Bounded(self._clock, seconds)
        found: dict[int, Webhook | Outcome] = {}
        asked: dict[str, list[tuple[int, Event, Job]]] = {}
        for index, message in enumerate(batch):
            event = _decoded(message)
            job, why = self._job(message.domain)
            if event is None:
                found[index] = Outcome(kind=OutcomeKind.REJECTED, reason="this is no corrective event: it names no item by its key")
            elif job is None:
                found[index] = _retry(why)
            else:
                asked.setdefault(job.resource, []).append((index, event, job))
        for resource, told in asked.items():
            read = self._read(resource, [str(event.data["key"]) for _, event, _ in told], clock)
            read = self._understood(read, told)
            for index, event, job in told:
                # More may have to be read for it, and one request may take as long as a whole delivery.
                item = read[str(event.data["key"])]
                found[index] = _retry(LATE) if clock.over else self._letter(event, batch[index], job, item, clock)
        return [found[index] for index in range(len(batch))]

    def says(self, job: Job) -> str:
        """What would go out for a job's events, for people; raises NoWebhook where nothing would."""
        known, why = self._fits(job)
        if known is None:
            raise NoWebhook(why)
        if not self._provider.can_get(job.resource):
            msg = f"{job.resource} of {self.provider_name} cannot be read by id, and a webhook has the whole item"
            raise NoWebhook(msg)
        topics = self.native.topics(job.resource)
        event = job.event or job.resource
        chosen = {op: self._topics.get(f"{event}.{op}") for op in ("created", "updated", "deleted")}
        lines = [f"{event}.{op} as {chosen[op] or ' or '.join(topics[op])}" for op in chosen if chosen[op] or topics.get(op)]
        if not lines:
            raise NoWebhook(self._none(job.resource, event))
        unsaid = [f"{event}.{op}" for op in chosen if not chosen[op] and not topics.get(op)]
        rest = f"; no webhook tells {', '.join(unsaid)}, which would wait" if unsaid else ""
        return "; ".join([f"in {self.native.name}'s own shape: {', '.join(lines)}{rest}", *self.native.notes(job.resource)])

    def _job(self, domain: str) -> tuple[Job | None, str]:
        """The job that an event is of, or why there is none that fits."""
        job = self._beside.job(domain)
        if job is None:
            return None, f"no job of the domain {domain!r} is on, so it is not known which item this is; switch it on, then: recon publish"
        try:
            return self._fits(job)
        except ReconError as error:
            return None, f"not sent: {error}"

    def _fits(self, job: Job) -> tuple[Job | None, str]:
        if job.direction != "inbound":
            return None, f"{job.domain} corrects the third party, which is not told by its own webhooks; name another publisher for it"
        other = job.provider != self.provider_name
        if other and type(self._beside.provider(job.provider)) is not type(self._provider):
            why = f"{job.domain} compares with {job.provider}, and {self.publisher} renders webhooks of {self.provider_name}"
            return None, f"{why}; give [jobs.{job.domain}] a publisher of its own"
        return job, ""

    def _read(self, resource: str, keys: Sequence[str], clock: "Bounded") -> Mapping[str, Lookup]:
        """Each key's item; UNKNOWN with the reason for those that could not be read in time."""
        wanted = list(dict.fromkeys(keys))
        why = LATE
        found: dict[str, Lookup] = {}
        try:
            for one in self.native.read(resource, wanted, clock=clock):
                found[one.key] = one
                if clock.over:
                    break
        except ReconError as error:
            why = str(error)
        return {key: found.get(key) or Lookup(key=key, status=LookupStatus.UNKNOWN, why=why) for key in wanted}

    def _understood(self, read: Mapping[str, Lookup], told: Sequence[tuple[int, Event, Job]]) -> Mapping[str, Lookup]:
        """What was read, with UNKNOWN for what the job of the event cannot read: nobody can say that this would correct anything."""
        found = dict(read)
        for job in {job.domain: job for _, _, job in told}.values():
            keys = [str(event.data["key"]) for _, event, one in told if one.domain == job.domain]
            items = {key: item for key in keys if (item := read[key].item) is not None}
            for key, why in self._beside.unreadable(job, items).items():
                found[key] = Lookup(key=key, status=LookupStatus.UNKNOWN, why=f"it cannot be read: {why}")
        return found

    def _letter(self, event: Event, message: Message, job: Job, read: Lookup, clock: Clock) -> Webhook | Outcome:
        unshown = self._unshown(event, message, read)
        if unshown is not None:
            return unshown
        op, kind = _op(event, read), message.type
        topic = self._topics.get(kind if op == event.operation else f"{kind.rpartition('.')[0]}.{op}")
        try:
            happened = self._happened(event, job, op, topic, read.item if op != "deleted" else None)
            return self.native.render(happened, clock=clock)
        except NoWebhook as error:
            return _retry(f"not sent: {error}")
        except ReconError as error:
            return _retry(f"not sent: {self.provider_name}: {error}")
        except (msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
            return _retry(f"not sent: {self.provider_name} answered an item that cannot be rendered: {error}")

    def _unshown(self, event: Event, message: Message, read: Lookup) -> Outcome | None:
        """What becomes of an event whose item cannot be shown; None where it can."""
        if read.status in {LookupStatus.UNKNOWN, LookupStatus.FORBIDDEN}:
            why = f"not sent: {self.provider_name} could not be asked for the item as it is now: {read.why}"
            return _retry(LATE if read.why == LATE else why)
        if read.status is LookupStatus.NOT_FOUND and event.operation != "deleted":
            why = f"not sent: the event says {event.operation}, and {self.provider_name} does not find the item any more ({read.why})"
            if message.replay is None:
                return _retry(f"{why}; the next night tells whether it is gone")
            # No night takes a replay back: it would be asked for every night, for good.
            return Outcome(kind=OutcomeKind.REJECTED, reason=f"{why}, so that there is nothing to tell again; then: recon dead discard")
        return None

    @staticmethod
    def _happened(event: Event, job: Job, op: Operation, topic: str | None, record: bytes | None) -> Happened:
        before: dict[str, Any] = {}
        changed = [one for one in job.fields if one.name in event.data.get("changed", ())]
        if op == "updated" and record is not None:
            now, held = msgspec.json.decode(record), event.data.get("before") or {}
            # What was translated or normalized is in the store's words, which the third party's own webhook would not use.
            plain = [one for one in changed if not one.mapping and one.normalize is None]
            before = {one.at: held[one.name] for one in plain if one.name in held and alike(now, one.at, held[one.name])}
        return Happened(
            id=event.id,
            at=event.recorded,
            key=str(event.data["key"]),
            resource=job.resource,
            op=op,
            record=record,
            topic=topic,
            before=before,
            changed=frozenset(one.at for one in changed),
            paths=tuple(one.at for one in job.compared),
            renewed=bool(event.data.get("supersedes")),
        )

    def _none(self, resource: str, event: str) -> str:
        return f'{self.native.name} has no webhook for {resource}; choose one: topics = {{ "{event}.updated" = "{self.native.example}" }}'


class Bounded:
    """A clock on which nobody sleeps past the end of a delivery: a provider that is down must not hold the outbox up."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._until = clock.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self._clock.monotonic() >= self._until

    def now(self) -> datetime:
        """As of the clock below."""
        return self._clock.now()

    def monotonic(self) -> float:
        """As of the clock below."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Raises Unreachable instead of a sleep that would end too late."""
        if self._clock.monotonic() + seconds > self._until:
            msg = f"it would have to be asked again in {seconds:.0f} s, and the time for this delivery is over before that"
            raise Unreachable(msg)
        self._clock.sleep(seconds)


def unquoted(answer: bytes, letter: Webhook, key: str) -> bytes:
    """A receiver's answer without what it quotes of the item: that is whole, with more of a person in it than any job compares.

    The key stays, which the event's own veil hides where it is personal.
    """
    text = answer.decode("utf-8", "replace")
    plain = {key, letter.topic, *re.split(r"\W", letter.topic)}
    for value in sorted(set(_texts(msgspec.json.decode(letter.body))) - plain, key=len, reverse=True):
        for form in forms_of(value) if len(value) >= SHORTEST else ():
            text = text.replace(form, "…")
    return text.encode()


def _decoded(message: Message) -> Event | None:
    """The event in a message; None where there is none with an item's key in it."""
    try:
        event = decode(message.body)
    except ValueError:
        return None
    return event if isinstance(event.data, dict) and isinstance(event.data.get("key"), str) else None


def _texts(value: Any) -> list[str]:
    """Every text inside a decoded value."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def _op(event: Event, read: Lookup) -> Operation:
    """What is told: what the event says, as far as it is so still."""
    if read.status is not LookupStatus.FOUND:
        return "deleted"
    return "created" if event.operation == "created" else "updated"


def _topics(section: Section, native: Native) -> Mapping[str, str]:
    table: Mapping[str, Any] = section.mapping("topics", {})
    for kind, topic in table.items():
        if not isinstance(topic, str) or not native.shape.fullmatch(topic):
            raise section.bad(
                f"topics.{kind}", f"wants a topic as {native.name} writes it, not {topic!r}", hint=f'such as "{native.example}"'
            )
    return dict(table)


def _retry(reason: str) -> Outcome:
    return Outcome(kind=OutcomeKind.RETRY, reason=reason)
