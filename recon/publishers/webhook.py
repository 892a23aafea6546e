"""`type = "webhook"`: events by HTTP POST, as CloudEvents JSON signed after Standard Webhooks, or as a third party's own webhooks."""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from recon.clock import Clock, SystemClock
from recon.errors import DeliveryError
from recon.event import binary, decode
from recon.event.cloudevents import BATCHED, STRUCTURED
from recon.event.eventbridge import delivered
from recon.job import Job
from recon.native import Webhook
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.natively import BATCH, Natively, unquoted
from recon.publishers.post import Answer, Poster
from recon.publishers.signing import key_of, sign
from recon.publishers.verdict import ENDPOINT_SECONDS, of_answer
from recon.secret import Secret, SecretRef
from recon.section import Section

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
#: Headers that are ours to set.
RESERVED = {"content-type", "content-length", "host", "webhook-id", "webhook-timestamp", "webhook-signature", "recon-replay-id"}
FORMS = ("structured", "binary", "eventbridge")
RENDERS = ("events", "native")
TIMEOUT_SECONDS = 15.0
#: How long an endpoint that answered 410 is left alone.
GONE_SECONDS = 3600.0
MAKE_ONE = "make one: python -c \"import base64,secrets;print('whsec_'+base64.b64encode(secrets.token_bytes(32)).decode())\""
Made = TypeVar("Made", str, bytes)


class WebhookPublisher:
    """POSTs events to one URL; each try is signed anew, the id and the body stay the same.

    `form` is how an event is written: `structured` CloudEvents JSON, `binary` (the data as the body, the attributes as `ce-` headers), or
    `eventbridge` (the shape that a target of AWS EventBridge is given). `batch = 1` (the default) sends `application/cloudevents+json`; more sends `application/cloudevents-batch+json`, a JSON array of
    at most so many. A receiver of batches may answer 2xx with `[{"id": …, "status": …, "reason": …}]`: then each event has the
    outcome of its own status, and one that is not listed is UNKNOWN. A batch refused with a 4xx is sent again one by one, so that one bad event
    does not condemn its neighbours. After an event that did not arrive, later ones of the same key are not sent in the same call, so
    order per key holds. `recon.publishers.verdict` has the table of status to outcome.

    `render = "native"` sends each correction as the webhook of the third party that `provider` names, in its shape and with its
    signature (`recon.publishers.natively`); `secret` is then the text that the third party signs with.
    """

    def __init__(self, section: Section, *, clock: Clock | None = None) -> None:
        self.name = section.name
        self.url = _url(section)
        self.batch: int = section.integer("batch", 1, low=1)
        self.form: str = section.choice("form", FORMS, "structured")
        if self.form != "structured" and self.batch > 1:
            raise section.bad("batch", f"is {self.batch}, and only the structured form has batches", hint="leave out batch, or form")
        self._timeout: float = section.duration("timeout", TIMEOUT_SECONDS)
        self._clock = clock or SystemClock()
        self._gone_until = 0.0
        self._natively: Natively | None = None
        self._keys: list[bytes] = []
        self._secrets: list[str] = []
        if section.choice("render", RENDERS, "events") == "native":
            self._natively = _native(section, self._clock)
            self._secrets = _secrets(section, _signing_text, hint=None)
            # The item as it is now has one version: the third party's.
            self.capabilities = Capabilities(batch=BATCH, ordered=True, versions=False)
        else:
            self._keys = _secrets(section, key_of, hint=MAKE_ONE)
            self.capabilities = Capabilities(batch=max(100, self.batch), ordered=True)
        if self._natively is not None and len(self._secrets) > 1 and not self._natively.native.several:
            why = f"{self._natively.native.name} signs with one secret at a time"
            raise section.bad("secrets", why, hint="write secret with the one that the endpoint checks now")
        if self._natively is not None and self._secrets:
            try:
                self._natively.native.sign(Webhook(id="", topic="", body=b"", headers={}), self._secrets, now=self._clock.now())
            except ValueError as error:
                raise section.bad("secret", str(error)) from None
        headers = _headers(section, self._natively.native.headers if self._natively is not None else frozenset())
        section.finish()
        self._poster = Poster(self.url, headers)
        self._calls = threading.Lock()

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._calls:
            return self._published(batch, deadline)

    def _published(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = self._clock.monotonic() + deadline
        outcomes: dict[int, Outcome] = {}
        stuck: set[str] = set()
        stop: Outcome | None = None
        waiting = list(range(len(batch)))
        letters = self._natively.letters(batch, deadline) if self._natively is not None else []
        while waiting:
            index = waiting[0]
            letter = letters[index] if letters else None
            if stop is not None:
                outcomes[waiting.pop(0)] = stop
            elif batch[index].partitionkey in stuck:
                reason = f"an earlier event of {batch[index].subject} has to arrive first"
                outcomes[waiting.pop(0)] = Outcome(kind=OutcomeKind.RETRY, reason=reason)
            elif isinstance(letter, Outcome):
                outcomes[waiting.pop(0)] = letter
                stuck.add(batch[index].partitionkey)
            else:
                chunk = self._chunk(batch, waiting, stuck)
                found, stop = self._send([batch[i] for i in chunk], until, letter)
                for i, outcome in zip(chunk, found, strict=True):
                    outcomes[i] = outcome
                    if outcome.kind in {OutcomeKind.RETRY, OutcomeKind.UNKNOWN}:
                        stuck.add(batch[i].partitionkey)
                waiting = [i for i in waiting if i not in outcomes]
        return [outcomes[i] for i in range(len(batch))]

    def health(self) -> str:
        """A connection is made and nothing is sent: an empty POST would be an event to some receivers."""
        failure = self._poster.reach(self._timeout)
        if failure is not None:
            msg = f"publisher {self.name}: {_origin(self.url)}: {failure}"
            raise DeliveryError(msg, hint="check the url, the network from this machine, and the receiver's certificate")
        return f"{_origin(self.url)} takes connections"

    def says(self, job: Job) -> str | None:
        """What goes out for a job's events where that is not the events themselves; raises NoWebhook where nothing would."""
        return self._natively.says(job) if self._natively is not None else None

    def close(self) -> None:
        with self._calls:
            self._poster.close()

    def _chunk(self, batch: Sequence[Message], waiting: Sequence[int], stuck: set[str]) -> list[int]:
        free = [i for i in waiting if batch[i].partitionkey not in stuck]
        return free[: self.batch]

    def _send(self, messages: Sequence[Message], until: float, letter: Webhook | None = None) -> tuple[list[Outcome], Outcome | None]:
        """One POST: each message's outcome, and the outcome for all that follow where going on makes no sense."""
        left = min(self._timeout, until - self._clock.monotonic())
        if self._clock.monotonic() < self._gone_until:
            gone = Outcome(kind=OutcomeKind.RETRY, reason=GONE, after=self._gone_until - self._clock.monotonic())
            return [gone] * len(messages), gone
        if left <= 0:
            late = Outcome(kind=OutcomeKind.RETRY, reason="not sent: the time for this delivery was over")
            return [late] * len(messages), late
        answer = self._post(messages, left) if letter is None else self._post_native(messages[0], letter, left)
        if answer.status == 410:
            self._gone_until = self._clock.monotonic() + GONE_SECONDS
            gone = Outcome(kind=OutcomeKind.RETRY, reason=GONE, after=GONE_SECONDS)
            return [gone] * len(messages), gone
        outcomes, stop = of_answer(answer, [m.id for m in messages], now=self._clock.now())
        if letter is not None and answer.status == 400:
            return [_doubted(outcomes[0])], None
        if len(messages) > 1 and answer.status is not None and 400 <= answer.status < 500 and stop is None and outcomes[0].after is None:
            # Which of them it meant is not known: a 409 may be about one of them, as may a 400.
            return self._one_by_one(messages, until)
        return outcomes, stop

    def _one_by_one(self, messages: Sequence[Message], until: float) -> tuple[list[Outcome], Outcome | None]:
        outcomes: list[Outcome] = []
        stop: Outcome | None = None
        for message in messages:
            if stop is not None:
                outcomes.append(stop)
                continue
            found, stop = self._send([message], until)
            outcomes += found
        return outcomes, stop

    def _post(self, messages: Sequence[Message], seconds: float) -> Answer:
        extra: dict[str, str] = {}
        if self.batch == 1:
            message_id, body, kind = messages[0].id, messages[0].body, STRUCTURED
            if self.form == "binary":
                extra, body = binary(decode(body))
                kind = extra.pop("content-type")
            elif self.form == "eventbridge":
                body, kind = msgspec.json.encode(delivered(decode(body)), order="sorted"), "application/json"
        else:
            message_id = "batch_" + hashlib.sha256("\n".join(m.copy for m in messages).encode()).hexdigest()[:32]
            body, kind = b"[" + b",".join(m.body for m in messages) + b"]", BATCHED
        headers = {**extra, "content-type": f"{kind}; charset=utf-8", "webhook-id": message_id}
        replays = {m.replay for m in messages if m.replay is not None}
        if replays:
            headers["recon-replay-id"] = ",".join(sorted(replays))
        stamp = int(self._clock.now().timestamp())
        headers["webhook-timestamp"] = str(stamp)
        if self._keys:
            headers["webhook-signature"] = sign(self._keys, message_id=message_id, timestamp=stamp, body=body)
        return self._poster.post(body, headers, seconds)

    def _post_native(self, message: Message, letter: Webhook, seconds: float) -> Answer:
        """The third party's webhook, signed for this try. What the receiver says of it is kept without what it quotes of the item."""
        assert self._natively is not None
        signed: Mapping[str, str] = {}
        if self._secrets:
            signed = self._natively.native.sign(letter, self._secrets, now=self._clock.now())
        replay = {} if message.replay is None else {"recon-replay-id": message.replay}
        answer = self._poster.post(letter.body, {**letter.headers, **signed, **replay}, seconds)
        if answer.status is not None and 200 <= answer.status < 300:
            # An ordinary handler may answer anything: a list in it is none of statuses.
            return replace(answer, body=b"")
        return replace(answer, body=unquoted(answer.body, letter, message.partitionkey))


def _native(section: Section, clock: Clock) -> Natively:
    """The rendering of webhooks; what has no meaning beside it is refused."""
    for key in ("form", "batch"):
        if key in section.table:
            raise section.bad(key, 'has no meaning beside render = "native": the third party sends one event at a time, in its own form')
    return Natively(section, clock)


def _doubted(outcome: Outcome) -> Outcome:
    """A handler of webhooks answers 400 to a signature that it does not take, as the vendors' examples do: not the event's fault."""
    why = (
        f"{outcome.reason} (a handler says so of a signature that it does not take: check the secret in recon.toml, and the receiver's log)"
    )
    return Outcome(kind=OutcomeKind.RETRY, reason=why, after=outcome.after or ENDPOINT_SECONDS)


GONE = (
    "the receiver answered 410: this endpoint is gone for good. Nothing more is sent there for an hour; the events wait in the outbox and "
    "none is lost. Set the new url in recon.toml, then: recon publish"
)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _url(section: Section) -> str:
    url: str = section.text_or_secret("url")
    insecure: bool = section.flag("insecure", False)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise section.bad("url", "is not a URL") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise section.bad("url", "wants https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise section.bad("url", "carries a user or password", hint='write headers = { Authorization = { env = "NAME" } } instead')
    if parts.scheme == "http" and host not in LOOPBACK and not insecure:
        hint = "write https://, or insecure = true where the network itself is trusted"
        raise section.bad("url", "is http:// to another machine: the events would be readable on the way", hint=hint)
    return url


def _secrets(section: Section, made: Callable[[str], Made], *, hint: str | None) -> list[Made]:
    """What is signed with: `secret`, or `secrets` while one is being changed for another, the newest first; none where `unsigned`."""
    one = section.secret("secret", None)
    many = section.typed("secrets", list, [], words="a list of secrets by reference")
    unsigned: bool = section.flag("unsigned", False)
    if (one is not None) + bool(many) + unsigned != 1:
        ways = 'secret = { env = "HOOK_SECRET" }; while changing it secrets = [{ env = "NEW" }, { env = "OLD" }]; or unsigned = true'
        raise section.bad("secret", "exactly one of secret, secrets and unsigned is wanted", hint=ways)
    found = [] if one is None else [one]
    for item in many:
        secret = item
        if isinstance(item, dict):
            secret = SecretRef(item, where=section.where("secrets"), folder=section.folder)
        if isinstance(secret, SecretRef):
            secret = secret.get()
        if not isinstance(secret, Secret):
            raise section.bad("secrets", "a secret is given by reference only", hint='write [{ env = "NEW" }, { env = "OLD" }]')
        found.append(secret)
    try:
        return [made(secret.reveal()) for secret in found]
    except ValueError as error:
        raise section.bad("secrets" if many else "secret", str(error), hint=hint) from None


def _signing_text(secret: str) -> str:
    """A third party's secret, which is a text as it stands."""
    if not secret.strip():
        msg = "is empty: anybody could sign with it"
        raise ValueError(msg)
    return secret


def _headers(section: Section, own: frozenset[str]) -> dict[str, str]:
    sub = section.sub("headers")
    headers: dict[str, str] = {}
    for name in sub.table:
        if name.lower() in RESERVED | own:
            raise sub.bad(name, "is set by the publisher itself")
        value = sub.text_or_secret(name)
        if (
            not value.isascii()
            or any(ord(c) < 32 or ord(c) == 127 for c in value)
            or not name.isascii()
            or not name.replace("-", "").isalnum()
        ):
            raise sub.bad(name, "is no header: plain ASCII without control characters is wanted")
        headers[name.lower()] = value
    return headers
