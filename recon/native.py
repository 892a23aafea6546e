"""A third party's own webhooks: what a provider declares so that a correction can be sent as one of them.

The vendor's facts (topics, shapes, headers, the signature) stand beside the provider; the webhook publisher reads the item again by id,
has it rendered, and posts it (`recon.publishers.natively`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec

from recon.clock import Clock
from recon.fetch.page import Lookup
from recon.fetch.path import ABSENT, at_path
from recon.job import Operation
from recon.section import Section

JSON = "application/json"


class NoWebhook(Exception):
    """The third party has no webhook that would tell this; the message says which, and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What a webhook is to tell: one corrective event, and its item as the third party has it now.

    `op` is of now: an item that was deleted since the event was made is a deletion. `topic` is the one that the settings chose, None for
    the third party's usual one.
    """

    #: The corrective event's id, a UUID: the same on every repeat.
    id: str
    #: The logical start of the run that found it.
    at: datetime
    key: str
    resource: str
    op: Operation
    #: The record, byte for byte; None where the item is deleted.
    record: bytes | None
    topic: str | None = None
    #: What the target held of that which differs, by path in the record, where it is of the same JSON type as the record's own.
    before: Mapping[str, Any] = field(default_factory=dict)
    #: The paths of all that differs.
    changed: frozenset[str] = frozenset()
    #: The paths of all that is compared.
    paths: tuple[str, ...] = ()
    #: An earlier event of this item was delivered and did not heal it.
    renewed: bool = False

    @property
    def now(self) -> Any:
        """The record, decoded; None where the item is deleted."""
        return None if self.record is None else msgspec.json.decode(self.record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What is posted, all but the signature, which is made for each try. `id` is the corrective event's; `headers` by lower-case names."""

    id: str
    topic: str
    body: bytes
    headers: Mapping[str, str]


class Native(Protocol):
    """One third party's webhooks.

    Must: `render` gives the same ids for the same event, however often. Must not: put a secret into a body, change what was read.
    """

    #: How the third party is called, for people.
    name: str
    #: Whether its signature can be made with several secrets at once, while one is being changed for another.
    several: bool
    #: The headers that are its own, in lower case.
    headers: frozenset[str]
    #: How a topic is written, and one to show.
    shape: re.Pattern[str]
    example: str

    def topics(self, resource: str) -> Mapping[str, Sequence[str]]:
        """By operation (created, updated, deleted) the topics that may be sent; what is not in it is told by no webhook."""
        ...

    def read(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """Each key's item as its webhooks show it, byte for byte; as of `Provider.get_many`."""
        ...

    def render(self, happened: Happened, *, clock: Clock) -> Webhook:
        """The webhook. Raises NoWebhook, and ProviderError where more has to be read for it and cannot be."""
        ...

    def sign(self, webhook: Webhook, secrets: Sequence[str], *, now: datetime) -> Mapping[str, str]:
        """The headers that prove who sends, by lower-case names; `secrets` is not empty, the newest first."""
        ...

    def notes(self, resource: str) -> Sequence[str]:
        """What `recon doctor` should say beside the topics."""
        ...


class Renders(Protocol):
    """What a provider has whose third party's webhooks can be sent."""

    def native(self, section: Section) -> Native:
        """Its webhooks; takes keys of its own from the publisher's table."""
        ...


def agree(one: Any, other: Any, paths: Sequence[str]) -> bool:
    """Whether two decoded records hold the same at each of these paths."""
    return all(at_path(one, path) == at_path(other, path) for path in paths)


def alike(record: Any, path: str, value: Any) -> bool:
    """Whether a value could have stood at this path of the record: null, or of the JSON type that is there now."""
    found = at_path(record, path)
    if found is ABSENT:
        return False
    return value is None or found is None or type(value) is type(found)


def whole(parts: Mapping[str, Any]) -> bytes:
    """A JSON object out of values; a record that was read goes in byte for byte, as `msgspec.Raw`."""
    return msgspec.json.encode(parts)
