"""The facts that the oracle judges by: what the world saw, never what the code under test thinks of itself, but for what it told people.

Times are seconds of the world. A process is a number; every process has one order, such as "the night's run of a domain".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recon.testing.simulation.oracle.history import History, Values

UNREADABLE: Mapping[str, Any] = {"unreadable": True}
"""Stands for an item that the third party wrote so that nobody can read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One usable answer of the third party: a page of the listing, or one item by id (None: it said that there is none)."""

    at: float
    process: int
    domain: str
    place: str  # "listing", "item", or "letter": an item that is read to be told of in a webhook
    #: What was wrong with it, by the fault's name; "" for an honest answer.
    fault: str
    items: tuple[tuple[str, Values], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event that reached the destination, decoded, and what was answered: confirmed, retry, rejected, unknown."""

    at: float
    process: int
    domain: str
    id: str
    emission: int
    body: bytes
    event: Mapping[str, Any]
    outcome: str
    #: The number of the call of the publisher that carried it, in its process.
    call: int
    #: The older version of its data that it was told in, 0 for the newest.
    lane: int = 0
    replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An order that a process carried out to its end or its death: what it said of it.

    `order` is run, dry, item, publish, approve or reject; `how` is ended, crashed or raised; the figures are as the JSON report has them.
    """

    process: int
    began: float
    ended: float
    domain: str
    order: str
    how: str
    fields: tuple[str, ...]
    exit_code: int = 0
    verdict: str = ""
    run: str = ""
    problem: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    #: The version of the events' data that its job had.
    schema: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as `recon runs` lists it."""

    id: str
    domain: str
    state: str
    slot: str | None
    started: float
    dry: bool
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A plan that waits for a person, as it was shown: the ids of its events, its checksum, and until when."""

    at: float
    domain: str
    run: str
    checksum: str
    expires: float
    ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a person did: `kind` is approve, reject or ack; `process` carried it out; `taken` says whether it was accepted.

    `taken` is None where the process died over it.
    """

    at: float
    ended: float
    process: int
    kind: str
    domain: str
    run: str = ""
    checksum: str = ""
    key: str = ""
    until: float = float("inf")
    taken: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A process stood still from `at` until `until`, and woke; `calls` is how many calls of the publisher it had begun before."""

    process: int
    at: float
    until: float
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One thing that passed between a process and the gateway: `what` is request, throttled (then `until` is when it may ask again), token, token refused."""

    at: float
    process: int
    what: str
    until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A part of the listing was refused to a process, as it is to everybody all night."""

    at: float
    process: int
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEnd:
    """The last page of what a process asked for: `low <= born < high`, or a shard; None is open."""

    at: float
    process: int
    domain: str
    low: int | None
    high: int | None
    shard: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a consumer made of an event: the row before and after. `careful`: it follows the advice and looks at the row first."""

    at: float
    domain: str
    id: str
    key: str
    before: Values
    after: Values
    careful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One message that a broker took in: in `version` of the data, sent as the older version `lane`, 0 for the newest."""

    at: float
    domain: str
    id: str
    key: str
    lane: int
    version: int
    replay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One message that a consumer behind a broker took in for good, with the row before and after; `kind` is what it made of it."""

    at: float
    consumer: str
    domain: str
    id: str
    key: str
    version: int
    kind: str
    replay: bool
    before: Values
    after: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One webhook in the third party's shape that a process posted: what it says, and what became of it."""

    #: When it arrived, when the publisher was called with its event, and when it was signed and sent off.
    at: float
    called: float
    made: float
    process: int
    domain: str
    key: str
    #: The corrective event that it stands for, and what that says happened; "" where the publisher was given none of this key.
    event: str
    op: str
    #: The id in its headers.
    webhook: str
    #: What it says of the item; None: that it was deleted.
    record: Values
    #: What it was answered, None where no answer came.
    status: int | None
    #: What the endpoint made of it: applied, older, seen, strange, refused (`why` says for what); "" where it did not come to it.
    verdict: str
    why: str = ""
    after: Values = None
    #: By how many seconds the time in its signature is off the sender's clock, and that clock off the world's.
    off: float = 0.0
    skew: float = 0.0
    #: Whether the signature is of these bytes and of the secret that the sender was given, and whether the endpoint takes that one.
    fits: bool = True
    current: bool = True


@dataclass(slots=True, kw_only=True)
class Queued:
    """One row of the outbox, with each look at which it stood otherwise than before: the time, and its state (gone: it was not there any more)."""

    seq: int
    run: str
    id: str
    domain: str
    key: str
    publisher: str
    version: int
    replay: bool
    #: The emissions that it stood for: a later night that finds the same counts it up.
    emissions: set[int] = field(default_factory=set)
    looks: list[tuple[float, str]] = field(default_factory=list)

    @property
    def lane(self) -> int:
        """The line within its key: each older version has its own."""
        return max(self.version, 0)

    def at(self, at: float) -> str:
        """How it stood at the last look before; "" where it had not been seen."""
        return next((state for since, state in reversed(self.looks) if since <= at), "")

    def after(self, at: float) -> str:
        """How it stood at the next look at which it was seen otherwise, else as at the last one."""
        return next((state for since, state in self.looks if since > at), self.looks[-1][1])


@dataclass(slots=True)
class Facts:
    """Everything that happened in a world, in order."""

    source: dict[str, History] = field(default_factory=dict)
    target: dict[str, History] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    rows: dict[str, RunRow] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    frozen: list[Frozen] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    parts: list[PartEnd] = field(default_factory=list)
    #: Lease name to its fences, as they were seen, in order.
    fences: dict[str, list[int]] = field(default_factory=dict)
    #: When it was first seen in the database that an emission (id, number, older version) was delivered: from then on nobody has a reason to send it again.
    marked: dict[tuple[str, int, int], float] = field(default_factory=dict)
    #: The rows of the outbox, by their numbers.
    outbox: dict[int, Queued] = field(default_factory=dict)
    #: The events of plans that went into the outbox, by run and id.
    enqueued: set[tuple[str, str]] = field(default_factory=set)
    #: Whether a broker stands between the destination and the consumers.
    broker: bool = False
    taken: list[Taken] = field(default_factory=list)
    #: The consumers behind it, by name (domain/consumer), with the versions that they read, None for all.
    readers: dict[str, frozenset[int] | None] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)
    #: How the application's endpoint takes the third party's webhooks, where corrections come to it as such: by versions, or the last one wins.
    native: str = ""
    posted: list[Posted] = field(default_factory=list)
    #: How a read by id says that an item is gone: 404, 410 or marker.
    absence: str = "404"
    #: The ids whose side effect ran, by consumer, once for each time.
    effects: dict[str, list[str]] = field(default_factory=dict)
    #: When events were raised to a second version, and when the first one's last day is over.
    raised: float = float("inf")
    sunset: float = float("inf")
    #: When each process that died, died.
    dead: dict[int, float] = field(default_factory=dict)
    #: Keys that the application holds twice, by domain, with since when and until when.
    doubled: list[tuple[str, str, float, float]] = field(default_factory=list)
    #: By how many seconds the third party's listing may be behind: an old state that is shown as a whole looks like a true one.
    listing_lag: float = 0.0
    #: On how many nights a deletion must have been seen before it is told.
    delete_nights: int = 1
    #: How many shards make the whole, 0 where the listing has none.
    shards: int = 0
    #: From when on nothing goes wrong any more.
    calm: float = float("inf")
