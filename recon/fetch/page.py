"""What travels from a provider to the engine: pages of raw records, and answers to reads by id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Checkpoint = Mapping[str, Any]
"""Where a listing goes on after a page, as JSON: only the provider that wrote it reads it.

Two checkpoints that are equal but for keys starting with `_` (counters) are the same place: a listing that comes to one twice runs
in a circle.
"""


@dataclass(frozen=True, slots=True)
class End:
    """Positive proof that a listing is finished, in words for the certificate: `has_more = false on page 42`."""

    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """An item of a page that could not be cut out or understood: counted and kept, never taken for missing."""

    raw: bytes
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page: the items as the third party wrote them (one JSON object each, no line ends inside), in order.

    Exactly one of `next` (the checkpoint of the page after this one) and `end` is set.
    `total` is what the API itself says the listing holds, where it says so. `left_out` counts the items that stood on the page and are
    none of the resource's. The first `overlap` items are those that the page before ended with. `notes` say what this page came through, for the certificate.
    `scope` is what the answer itself said of whom and what it was for: the account, the credential's rights, the API's version.
    """

    items: list[bytes]
    next: Checkpoint | None = None
    end: End | None = None
    unread: tuple[Unread, ...] = ()
    total: int | None = None
    bytes_read: int = 0
    left_out: int = 0
    overlap: int = 0
    notes: tuple[str, ...] = ()
    scope: Mapping[str, str] = field(default_factory=dict)


class LookupStatus(StrEnum):
    """What a read by id proved."""

    #: There it is.
    FOUND = "found"
    #: The third party says outright that it was deleted (410, `deleted: true`).
    DELETED = "deleted"
    #: 404: absent, provided that a known item is found under the same credential.
    NOT_FOUND = "not_found"
    #: 401 or 403: nothing is known.
    FORBIDDEN = "forbidden"
    #: No usable answer: nothing is known.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The answer to one read by id; `item` is the raw record where it was found, `why` is for the report."""

    key: str
    status: LookupStatus
    item: bytes | None = None
    why: str = ""
