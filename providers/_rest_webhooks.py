"""The webhooks of a third party that `type = "rest"` declares: `[providers.NAME.webhooks]`, for those that sign with an HMAC (docs/native-webhooks.md)."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from recon import Section
from recon.clock import Clock, iso
from recon.fetch.page import Lookup
from recon.fetch.path import segments
from recon.native import JSON, Happened, NoWebhook, Webhook, whole

if TYPE_CHECKING:
    from .rest import Rest

PLACE = re.compile(r"\{(\w*)\}")
RECORD = "{record}"
IN_BODY = frozenset({"topic", "id", "time", "timestamp", "key", "op", "record"})
IN_SIGNED = frozenset({"body", "timestamp", "id"})
IN_VALUE = frozenset({"signature", "timestamp"})
HASHES = ("sha256", "sha512", "sha1")
OPERATIONS = ("created", "updated", "deleted")
HEADER = re.compile(r"[A-Za-z0-9-]+")


class RestWebhooks:
    """What the table says: topics by resource, headers, the body around the record, and how it is signed."""

    several = False
    shape = re.compile(r"\S+")
    example = "order.updated"

    def __init__(self, provider: "Rest", section: Section) -> None:
        self._provider = provider
        self.name = provider.name
        self._topics = {name: _topics(section.sub("topics"), name) for name in section.mapping("topics")}
        for name in self._topics:
            if name not in provider.catalogue:
                raise section.bad(
                    f"topics.{name}", "is no resource of this provider", hint=f"it has {', '.join(sorted(provider.catalogue))}"
                )
        self._topic_header, self._id_header, self._time_header = (_header(section, f"{one}_header") for one in ("topic", "id", "timestamp"))
        self._body: Any = _filled(section, "body", RECORD)
        self._gone: Any = _filled(section, "gone", None)
        self._signature = Signature(section.sub("signature"))
        section.take("signature")
        section.finish()
        named = (self._topic_header, self._id_header, self._time_header, self._signature.header)
        self.headers = frozenset(filter(None, named))

    def topics(self, resource: str) -> Mapping[str, Sequence[str]]:
        """As of `recon.native.Native`."""
        return {op: [topic] for op, topic in self._topics.get(resource, {}).items()}

    def read(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """The items, by id."""
        return self._provider.get_many(resource, keys, clock=clock)

    def render(self, happened: Happened, *, clock: Clock) -> Webhook:
        """The body as the table has it, with the record in it byte for byte."""
        del clock
        topic = happened.topic or self._topics.get(happened.resource, {}).get(happened.op)
        if topic is None:
            place = f"[providers.{self.name}.webhooks.topics.{happened.resource}]"
            raise NoWebhook(f"{place} names no topic for what was {happened.op}")
        values = {
            "topic": topic,
            "id": happened.id,
            "time": iso(happened.at),
            "timestamp": int(happened.at.timestamp()),
            "key": happened.key,
            "op": happened.op,
            "record": msgspec.Raw(happened.record) if happened.record is not None else self._deleted(happened),
        }
        names = {self._topic_header: topic, self._id_header: happened.id}
        headers = {"content-type": JSON, **{name: value for name, value in names.items() if name}}
        return Webhook(id=happened.id, topic=topic, body=whole(_put(self._body, values)), headers=headers)

    def sign(self, webhook: Webhook, secrets: Sequence[str], *, now: datetime) -> Mapping[str, str]:
        """The signature, and the time where it has a header of its own."""
        stamp = int(now.timestamp())
        made = {self._signature.header: self._signature.value(webhook, secrets[0], stamp)}
        return {**made, self._time_header: str(stamp)} if self._time_header else made

    def notes(self, resource: str) -> Sequence[str]:
        """Nothing beside the topics."""
        del resource
        return ()

    def _deleted(self, happened: Happened) -> Any:
        """What stands for the record of a deleted item: what the table says, else its key where a record has it."""
        if self._gone is not None:
            return _put(self._gone, {"key": happened.key, "id": happened.id, "time": iso(happened.at)})
        made: Any = happened.key
        for name in reversed(segments(self._provider.key_path(happened.resource))):
            made = {name: made}
        return made


class Signature:
    """`signature = { header, over, value, encoding, hash, key }`: an HMAC over `over`, written as `value`."""

    def __init__(self, table: Section) -> None:
        self.header: str = _header(table, "header", required=True) or ""
        self._over = _places(table, "over", "{body}", IN_SIGNED)
        self._value = _places(table, "value", "{signature}", IN_VALUE)
        self._hex: bool = table.choice("encoding", ("hex", "base64"), "hex") == "hex"
        self._hash: str = table.choice("hash", HASHES, "sha256")
        self._decoded: bool = table.choice("key", ("text", "base64"), "text") == "base64"
        table.finish()
        if "{body}" not in self._over:
            raise table.bad(
                "over", "leaves the body out, so that anybody could change it on the way", hint='write over = "{timestamp}.{body}"'
            )
        if "{signature}" not in self._value:
            raise table.bad("value", "leaves the signature out", hint='write value = "sha256={signature}"')

    def value(self, webhook: Webhook, secret: str, stamp: int) -> str:
        """The header's value; raises ValueError for a secret that is no base64 where it has to be (the text is not in the message)."""
        before, _, after = self._over.partition("{body}")
        values = {"timestamp": stamp, "id": webhook.id}
        signed = _text(before, values).encode() + webhook.body + _text(after, values).encode()
        digest = hmac.digest(self._key(secret), signed, getattr(hashlib, self._hash))
        made = digest.hex() if self._hex else base64.b64encode(digest).decode()
        return _text(self._value, {"signature": made, "timestamp": stamp})

    def _key(self, secret: str) -> bytes:
        if not self._decoded:
            return secret.encode()
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            msg = "the secret is no base64, which signature.key asks for"
            raise ValueError(msg) from None


def _put(template: Any, values: Mapping[str, Any]) -> Any:
    """A template with its places filled; a text that is one place alone becomes the value as it is."""
    if isinstance(template, Mapping):
        return {name: _put(inner, values) for name, inner in template.items()}
    if isinstance(template, list):
        return [_put(inner, values) for inner in template]
    if not isinstance(template, str):
        return template
    alone = PLACE.fullmatch(template)
    return values[alone[1]] if alone else _text(template, values)


def _text(template: str, values: Mapping[str, Any]) -> str:
    return PLACE.sub(lambda place: str(values[place[1]]), template)


def _filled(section: Section, key: str, default: Any) -> Any:
    """A text or table with known places only; the record stands alone, since it is no text."""
    template = section.typed(key, (str, dict), default, words="a text or a table")
    allowed = IN_BODY if key == "body" else frozenset({"key", "id", "time"})
    for text in _texts(template):
        names = set(PLACE.findall(text))
        if names - allowed:
            raise section.bad(
                key, f"has {{{min(names - allowed)}}}", hint=f"there are {', '.join(f'{{{name}}}' for name in sorted(allowed))}"
            )
        if "record" in names and text != RECORD:
            raise section.bad(key, f"has {RECORD} inside a longer text; it stands alone", hint=f'write data = "{RECORD}"')
    if key == "body" and RECORD not in _texts(template):
        raise section.bad(key, f"leaves {RECORD} out, which is what it is sent for")
    return template


def _texts(template: Any) -> list[str]:
    if isinstance(template, Mapping):
        return [text for inner in template.values() for text in _texts(inner)]
    if isinstance(template, list):
        return [text for inner in template for text in _texts(inner)]
    return [template] if isinstance(template, str) else []


def _places(section: Section, key: str, default: str, allowed: frozenset[str]) -> str:
    text: str = section.text(key, default)
    strange = set(PLACE.findall(text)) - allowed
    if strange or text.count("{body}") > 1:
        known = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        raise section.bad(key, f"{text!r} has a place that it cannot have, or one twice", hint=f"there are {known}")
    return text


def _header(section: Section, key: str, *, required: bool = False) -> str | None:
    name: str | None = section.text(key) if required else section.text(key, None)
    if name is not None and not HEADER.fullmatch(name):
        raise section.bad(key, f"{name!r} is no name of a header")
    return None if name is None else name.lower()


def _topics(section: Section, resource: str) -> Mapping[str, str]:
    table = section.sub(resource)
    found = {op: table.text(op, None) for op in OPERATIONS}
    table.finish()
    return {op: topic for op, topic in found.items() if topic is not None}
