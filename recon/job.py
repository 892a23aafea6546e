"""A job: what one domain compares, how strictly, and what to say when the sides differ.

A job file declares one `Job`. It names its provider, store and publisher; nothing here imports them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from recon.discrepancy import Discrepancy
from recon.duration import seconds_of
from recon.kind import SIMPLE, Kind, Money, Text, Timestamp
from recon.kind import Decimal as DecimalKind
from recon.kind import Integer as IntegerKind
from recon.versions import Version, Versions

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
MOST_NIGHTS = 30
"""On how many nights at most a deletion may have to be confirmed: longer than that, nobody would know any more why it waits."""

Scalar = str | int | float | bool | None


class BadJob(ValueError):
    """A declaration that cannot be; the loader adds the file and line."""


@dataclass(frozen=True, slots=True)
class Field:
    """One compared (or only shown) value.

    `path` is where the provider's record has it, dotted (`billing.address.city`; `items.0.id`), by default
    the name; `column` is the store's column, `expression` an SQL expression instead of it.
    `mapping` translates the provider's words into the store's (`{"succeeded": "paid"}`); a word it does not
    list is compared as it is. `missing_is_null` and `empty_is_null` say that a path that is not there, or an
    empty text, list or object, counts as null; without them it does not.
    `tolerance` is the largest difference that still counts as equal: in units of the value, minor units
    for money, seconds for timestamps. `compare=False` shows the field and compares nothing.
    `normalize` gets each side's wire value and returns the one to compare: the slow path, row by row.
    `personal` says that the value is of a person: reports, logs, messages and commands show a short keyed hash of it, by which
    equal values still look equal. Events carry it as it is, since consumers have to heal with it.
    """

    name: str
    kind: Kind | str = "text"
    path: str | None = None
    column: str | None = None
    expression: str | None = None
    mapping: Mapping[str, str] | None = None
    missing_is_null: bool = False
    empty_is_null: bool = False
    tolerance: float | None = None
    compare: bool = True
    normalize: Callable[[Any], Any] | None = None
    personal: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            msg = f"field {self.name!r}: a name is lower case letters, digits and _, starting with a letter"
            raise BadJob(msg)
        if isinstance(self.kind, str):
            if self.kind not in SIMPLE:
                msg = f"field {self.name!r}: no kind {self.kind!r}; by name there are {', '.join(sorted(SIMPLE))}"
                raise BadJob(msg)
            object.__setattr__(self, "kind", SIMPLE[self.kind])
        if self.column is not None and self.expression is not None:
            msg = f"field {self.name!r}: column or expression, not both"
            raise BadJob(msg)
        if self.tolerance is not None and not isinstance(self.kind, IntegerKind | DecimalKind | Money | Timestamp):
            msg = f"field {self.name!r}: a tolerance needs a number, money or a timestamp"
            raise BadJob(msg)

    @property
    def of_kind(self) -> Kind:
        """The kind, resolved."""
        assert not isinstance(self.kind, str)
        return self.kind

    @property
    def at(self) -> str:
        """The path in the provider's record."""
        return self.path or self.name


@dataclass(frozen=True, slots=True)
class Guard:
    """Limits that a plan must pass, per kind of discrepancy.

    Held when the number is above `floor` *and* above the share of the target (0.02 is 2%). `same_field`:
    held when more than this share of all compared items differ in one and the same field (and more than the
    floor). `shrunken`: held when the source has lost more than this share of the most records that it held in
    the last seven days. `week`: held when what went out in the last seven days that nobody has looked at comes,
    with this plan, to more than this share of the target (and more than the floor). An empty source beside a
    filled target is always held. Any share may be 1.0 to switch it off.
    """

    missing: float = 0.05
    extra: float = 0.02
    changed: float = 0.05
    floor: int = 20
    same_field: float = 0.5
    shrunken: float = 0.2
    week: float = 0.1

    def __post_init__(self) -> None:
        for name in ("missing", "extra", "changed", "same_field", "shrunken", "week"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                msg = f"guard {name}={share}: a share lies between 0 and 1 (0.02 is 2%)"
                raise BadJob(msg)
        if self.floor < 0:
            msg = f"guard floor={self.floor}: a floor is not negative"
            raise BadJob(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The store's side as a table: the key's column, and an SQL condition with bound parameters, if any."""

    name: str
    key: str = "id"
    schema: str | None = None
    where: str | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """The store's side as an SQL text that yields one column per field, and `key` (bound parameters as `:name`)."""

    text: str
    key: str = "key"
    params: Mapping[str, Scalar] = field(default_factory=dict)


Operation = Literal["created", "updated", "deleted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a `correct=` function answers to choose another event: its full type, such as `order.restated`."""

    type: str
    state: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One domain: where its two sides are, how they are compared, and what is said when they differ.

    `direction="inbound"`: the provider is the source and our store is corrected; `"outbound"`: the store is
    the source (did everything we deliver arrive?). `event="order"` gives `order.created`, `order.updated` and
    `order.deleted`, in version `event_version`, which is raised where a field is taken out or becomes of another kind; `versions` are the
    older ones, oldest first: how each is raised to the next, and which are still sent. `account` and `region` stand in each event where a tenant or a region is to be told. `correct` may return a `Correction`, or None for no event. `created` names the timestamp field that says
    when an item came into being, `updated` the one that says when it last changed, `money` the money field
    that is at risk. `settle` is how long to wait between the first look and the second.
    `publisher` may name several publishers: each gets every event, with rows, progress and figures of its own; the first is the one whose
    confirmation counts as delivered. `verify_after` is how long after a delivery `--verify` looks, by default as long as `settle`;
    `raise_after` is on how many nights after a delivery the discrepancy must still be there for its correction to get a new id.
    `schedule` is a cron line of five fields, read in `timezone`. `params` go to the provider's listing.
    `personal_key` says that the key itself is of a person, such as a mail address: it is shown as a personal field is.
    """

    domain: str
    provider: str
    resource: str
    fields: tuple[Field, ...]
    table: Table | Sql
    store: str = "main"
    event: str | None = None
    event_version: int = 1
    versions: tuple[Version, ...] = ()
    account: str | None = None
    region: str | None = None
    publisher: str | tuple[str, ...] | None = None
    direction: Literal["inbound", "outbound"] = "inbound"
    key: Kind = Text()
    key_path: str | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    created: str | None = None
    updated: str | None = None
    money: str | None = None
    settle: str | float = "2m"
    verify_after: str | float | None = None
    raise_after: int = 2
    lag: str | float = "5m"
    delete_nights: int = 1
    schedule: str | None = None
    timezone: str = "UTC"
    guard: Guard = Guard()
    hold_expires: str | float = "36h"
    correct: Callable[[Discrepancy], Correction | None] | None = None
    description: str = ""
    personal_key: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.domain):
            msg = f"domain {self.domain!r}: a name is lower case letters, digits and _, starting with a letter"
            raise BadJob(msg)
        object.__setattr__(self, "fields", tuple(self.fields))
        names = [f.name for f in self.fields]
        if not any(f.compare for f in self.fields):
            msg = f"{self.domain}: a job compares at least one field"
            raise BadJob(msg)
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice or "key" in names:
            msg = f"{self.domain}: {'field key is reserved' if 'key' in names else 'field ' + twice[0] + ' is declared twice'}"
            raise BadJob(msg)
        self._refuse_named(names)
        self._refuse_bare()
        for f in self.fields:
            kind = f.of_kind
            if isinstance(kind, Money) and kind.currency.islower() and kind.currency not in names:
                msg = f"{self.domain}.{f.name}: money names its currency by field {kind.currency!r}, which is not declared"
                raise BadJob(msg)
        self._refuse_times()
        self._refuse_event()
        self._refuse_publishers()

    def _refuse_event(self) -> None:
        if self.event_version < 1 or isinstance(self.event_version, bool):
            msg = f"{self.domain}: event_version={self.event_version}: versions count from 1"
            raise BadJob(msg)
        object.__setattr__(self, "versions", tuple(self.versions))
        try:
            Versions(self.event_version, self.versions)
        except ValueError as error:
            msg = f"{self.domain}: {error}; each Version(number=…, up=…) in versions= leads to the next, the last of them to event_version"
            raise BadJob(msg) from None
        for label in ("account", "region"):
            value = getattr(self, label)
            if value is not None and not value.strip():
                msg = f"{self.domain}: {label} is empty; leave it out where there is none"
                raise BadJob(msg)

    def _refuse_publishers(self) -> None:
        if self.publisher is not None and not isinstance(self.publisher, str):
            # A list is as good.
            object.__setattr__(self, "publisher", tuple(self.publisher))
        names = self.publishers
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None or not all(names):
            msg = f"{self.domain}: publisher {twice!r} is named twice" if twice else f"{self.domain}: publisher wants names of publishers"
            raise BadJob(msg)

    @property
    def publishers(self) -> tuple[str, ...]:
        """The names of its publishers, in order, none where nothing is sent; the first is the one whose confirmation counts as delivered."""
        if self.publisher is None:
            return ()
        return (self.publisher,) if isinstance(self.publisher, str) else self.publisher

    @property
    def versioned(self) -> str | None:
        """The field whose value events carry as each side's version of the item: `updated`, unless that is personal."""
        return None if self.updated is None or self.field(self.updated).personal else self.updated

    def _refuse_named(self, names: list[str]) -> None:
        for label, wanted in (("created", Timestamp), ("updated", Timestamp), ("money", Money)):
            name = getattr(self, label)
            if name is not None and (name not in names or not isinstance(self.field(name).of_kind, wanted)):
                msg = f"{self.domain}: {label}={name!r} names no {wanted.__name__.lower()} field; fields are {', '.join(names)}"
                raise BadJob(msg)

    def _refuse_bare(self) -> None:
        bare = next((f.name for f in self.fields if f.personal and self._is_key(f)), None)
        if bare is not None and not self.personal_key:
            msg = f"{self.domain}: field {bare!r} is personal and is the key as well; without personal_key=True the key would show it"
            raise BadJob(msg)

    def _is_key(self, one: Field) -> bool:
        """Whether the field has what the key has, at the provider or in the store."""
        in_column = one.expression is None and isinstance(self.table, Table) and (one.column or one.name) == self.table.key
        return in_column or one.at == self.key_path

    @property
    def personal(self) -> tuple[str, ...]:
        """The names of the personal fields, and `key` (which no field may be called) where the key itself is personal."""
        return (*(("key",) if self.personal_key else ()), *(f.name for f in self.fields if f.personal))

    def _refuse_times(self) -> None:
        if self.delete_nights not in range(1, MOST_NIGHTS + 1):
            msg = f"{self.domain}: delete_nights={self.delete_nights}: a number of nights from 1 to {MOST_NIGHTS}"
            raise BadJob(msg)
        if self.raise_after not in range(1, MOST_NIGHTS + 1):
            msg = f"{self.domain}: raise_after={self.raise_after}: a number of nights from 1 to {MOST_NIGHTS}"
            raise BadJob(msg)
        for label in ("settle", "lag", "hold_expires", *(("verify_after",) if self.verify_after is not None else ())):
            try:
                seconds_of(getattr(self, label))
            except ValueError as error:
                msg = f"{self.domain}: {label}: {error}"
                raise BadJob(msg) from None

    @property
    def chain(self) -> Versions:
        """The versions of its events: the current one, and the older ones that lead to it."""
        return Versions(self.event_version, self.versions)

    def field(self, name: str) -> Field:
        """The field of that name; KeyError where there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    @property
    def compared(self) -> tuple[Field, ...]:
        """The fields that count."""
        return tuple(f for f in self.fields if f.compare)

    @property
    def lag_seconds(self) -> float:
        """The lag in seconds."""
        return seconds_of(self.lag)

    @property
    def settle_seconds(self) -> float:
        """The settle time in seconds."""
        return seconds_of(self.settle)

    @property
    def verify_seconds(self) -> float:
        """How long after a delivery it is looked at what became of it, in seconds."""
        return self.settle_seconds if self.verify_after is None else seconds_of(self.verify_after)

    def with_settings(self, **changes: Any) -> "Job":
        """The same job with what recon.toml says about it laid over."""
        return replace(self, **changes)
