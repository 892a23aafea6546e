"""The third party: records with their whole history, changed as time goes by, and told of by webhooks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recon.clock import iso
from recon.testing.simulation.chance import Chance
from recon.testing.simulation.clock import DAY, Time, moment
from recon.testing.simulation.oracle.history import History, Values

if TYPE_CHECKING:
    from recon.testing.simulation.own import Own

AGE = 90 * DAY
"""How far back the first items reach."""
REGIONS = ("eu", "us", "asia")
STATUSES = ("open", "paid", "shipped", "refunded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one item, as its webhook tells it: the whole state, None where it was deleted. `version` grows by one with each; `at` is when it was made."""

    domain: str
    key: str
    state: Values
    version: int
    at: float


def region_of(key: str) -> str:
    """Where an item belongs, for good."""
    return REGIONS[int(key[1:]) % len(REGIONS)]


class ThirdParty:
    """One domain's records. `on_change` is told of every change as it happens."""

    def __init__(
        self,
        domain: str,
        time: Time,
        chance: Chance,
        on_change: Callable[[Change], None],
        *,
        ahead: float | None,
        own: "Own | None" = None,
        parts: str = "",
    ) -> None:
        self._own = own
        #: How the listing can be cut, `ranges` or `shards`; each record then says where it belongs.
        self._parts = parts
        self.domain = domain
        #: The share of changes that are stamped a day ahead; None where records have no time of change.
        self._ahead = ahead
        self.history = History()
        #: Where in the listing each living item stands; a deleted one keeps its place for cursors.
        self.places: dict[str, int] = {}
        #: When each item came into being, in seconds since 1970.
        self.born: dict[str, int] = {}
        self._time = time
        self._chance = chance
        self._on_change = on_change
        self._versions = 0
        self._changes = 0

    def living(self, at: float) -> list[str]:
        """The keys that are there at this instant, in the order in which they came."""
        return sorted((key for key in self.places if self.history.at(key, at) is not None), key=self.places.__getitem__)

    def write(self, key: str, state: dict[str, Any] | None, *, quiet: bool = False) -> None:
        """The item is so from now on."""
        self._versions += 1
        if self.history.at(key, self._time.at) is None and state is not None:
            self.places[key] = self._versions
            self.born[key] = int(moment(self._time.at).timestamp())
        held = None if state is None else {**state, "version": self._versions}
        if held is not None and self._ahead is not None:
            late = self._chance.happens("stamped ahead", self._ahead, self.domain, self._versions)
            held["changed"] = iso(moment(self._time.at + (DAY if late else 0.0)))
        if held is not None and self._parts == "ranges":
            held["born"] = self.born[key]
        if held is not None and self._parts == "shards":
            held["region"] = region_of(key)
        self.history.put(self._time.at, key, held)
        if not quiet:
            self._on_change(Change(domain=self.domain, key=key, state=held, version=self._versions, at=self._time.at))

    def fill(self, count: int) -> None:
        """The records that are there from the beginning, which nobody is told of."""
        for number in range(count):
            self.write(f"k{number:03d}", self._drawn(f"first{number}"), quiet=True)
        if self._parts == "ranges":
            self._grow_older(count)

    def _grow_older(self, count: int) -> None:
        """What is there from the beginning came one after another, over the months before."""
        for number in range(count):
            key = f"k{number:03d}"
            self.born[key] -= int((count - number) * AGE / count)
            state = self.history.at(key, self._time.at)
            assert isinstance(state, dict)
            state["born"] = self.born[key]

    def change(self, number: int) -> None:
        """One change by chance: `number` names it."""
        chance, where = self._chance, (self.domain, "change", number)
        living = self.living(self._time.at)
        gone = [key for key in self.places if key not in living]
        kind = chance.weighted({"updated": 6.0, "created": 2.0, "deleted": 1.5, "back": 1.5, "again": 0.7}, *where)
        if kind == "created" or not living:
            self.write(f"k{len(self.places):03d}", self._drawn(*where))
            return
        if kind == "again" and gone:
            key = chance.one_of(gone, *where)
            self.write(key, self._drawn(*where))
            return
        key = chance.one_of(living, *where)
        if kind == "deleted":
            self.write(key, None)
            return
        now = self.history.at(key, self._time.at)
        assert now is not None
        if kind == "back":
            # What it was before, once more: the state alone does not tell the two times apart.
            earlier = [state for _, state in self.history.during(key, 0.0, self._time.at) if state is not None]
            before = chance.one_of(earlier, *where)
            self.write(key, {name: value for name, value in before.items() if name not in {"version", "changed", "born", "region"}})
            return
        self.write(key, self._drawn(*where))

    def touch(self, key: str, *where: object) -> None:
        """This very item changes, or goes, or is there again."""
        gone = self.history.at(key, self._time.at) is not None and self._chance.between(0, 1, "touch", *where) < 0.5
        self.write(key, None if gone else self._drawn(*where))

    def _drawn(self, *where: object) -> dict[str, Any]:
        chance = self._chance
        if self._own is not None:
            return self._own.drawn(chance, *where)
        return {
            "status": chance.one_of(STATUSES, self.domain, "status", *where),
            "amount": chance.count(1, 40, self.domain, "amount", *where) * 100,
            "currency": chance.one_of(("EUR", "EUR", "EUR", "USD"), self.domain, "currency", *where),
        }
