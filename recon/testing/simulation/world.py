"""A world: what is declared of it (`World`), and what comes of it from one seed (`Universe`)."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.testing.simulation.application import Application, Handler, Webhooks
from recon.testing.simulation.applying import Applying, Reading
from recon.testing.simulation.broker import Broker
from recon.testing.simulation.chance import Chance
from recon.testing.simulation.clock import DAY, SLOT, DatabaseClock, Time
from recon.testing.simulation.consumers import MOODS, Consumer
from recon.testing.simulation.endpoint import Endpoint, Seal
from recon.testing.simulation.gateway import Gateway
from recon.testing.simulation.hosts import Hosts
from recon.testing.simulation.oracle.facts import Facts
from recon.testing.simulation.process import Fate, Process
from recon.testing.simulation.project_files import write_project
from recon.testing.simulation.story import Story
from recon.testing.simulation.third_party import REGIONS, ThirdParty, region_of

if TYPE_CHECKING:
    from recon.testing.simulation.own import Own

TAIL = 4
"""Nights at the end on which nothing goes wrong, so that both sides can come together."""

TROUBLES: Mapping[str, float] = {
    "wiped": 0.04,
    "wrong tenant": 0.04,
    "clamped": 0.05,
    "reads 404": 0.05,
    "forbidden": 0.03,
    "unreadable": 0.06,
    "outage": 0.08,
    "store away": 0.05,
    "filter ignored": 0.08,
    "part refused": 0.08,
}
"""States of a whole night, with the share of nights that have them."""

OF_PARTS = frozenset({"filter ignored", "part refused"})
"""Those that only a listing in parts can have."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What is declared of a world: its third party, its application, its consumers, and how much goes wrong. Shares lie between 0 and 1.

    `delete_nights` is the job's; with `updated`, records have a time of change, which for the share `stamped_ahead` of changes lies a day
    ahead; `total` is the limit of all domains together, 0 for none. `allowed` is how many requests a minute the third party lets through, half of what is
    declared of it, 0 for any number; with `token_life`, requests are signed with OAuth 2 tokens that are given for so many seconds.
    `parts` says how the listing can be cut, `ranges` or `shards`, and then it is fetched in parts. With `reads_at_once`, so many items are read by id in one
    request, of which the third party answers five at most; `cursor_age` is declared of cursors, which live for so many seconds; with `strict_keys` a listing
    by last id does not go on from an item that is gone. With `etags` a page that has not changed since the pass before is answered with 304.
    `paging` is a key of `listing.RULES`; `absence` is how a read by id tells of a deletion: 404, 410 or marker; `handler` is one of
    `application.HANDLERS`; `careful` says that the consumer of events looks at the row first, and `handle` is a consumer of your own.
    With `broker`, events go to a broker and consumers read from it, and die over it for the share `consumer_crashes` of their lives; `moods` are then
    `broker.BROKER_MOODS`. With `applier`, the consumer is `recon.consume`, and `handler="door"` sends the webhooks through its door. With `migrates`,
    the job raises the version of its events midway. On the share `replays` of days somebody replays. With `native`, a key of `endpoint.WINDOW`, events go
    out as the third party's own webhooks, signed with a secret that is changed on the share `rotates` of days, and the share `moves` of items changes before it is read, and on the way; `moods` are then `posts.ENDPOINT_MOODS`,
    and `handler="door"` has the ordinary webhooks come to the same endpoint.
    `troubles` are states of a whole night (wiped, wrong tenant, clamped, reads 404, forbidden, unreadable,
    outage, store away; of a listing in parts: filter ignored, part refused) with the share of nights that have them; `weights` changes how often a single fault is drawn, by name.
    """

    name: str
    nights: int | None = None
    records: tuple[int, int] = (5, 25)
    domains: tuple[int, int] = (1, 2)
    paging: str = "last_id"
    page_size: int = 5
    newest_first: bool = False
    declares_total: bool = False
    absence: str = "404"
    list_only: bool = False
    listing_lag: float = 0.0
    replica_lag: float = 0.0
    doubles: bool = False
    handler: str = "naive"
    careful: bool = True
    handle: Handler | None = None
    batch: int = 3
    changes: tuple[int, int] = (2, 8)
    lost: float = 0.12
    late: float = 0.1
    twice: float = 0.08
    trouble: float = 0.35
    item_trouble: float = 0.12
    troubles: Mapping[str, float] = field(default_factory=lambda: TROUBLES)
    weights: Mapping[str, float] = field(default_factory=dict)
    moods: Mapping[str, float] = field(default_factory=lambda: MOODS)
    crashes: float = 0.25
    freezes: float = 0.1
    hosts: int = 1
    stepped_clock: float = 0.05
    missed: float = 0.05
    by_hand: float = 0.15
    acks: float = 0.1
    edits: float = 0.03
    settle: float = 120.0
    floor: int = 3
    delete_nights: int = 1
    updated: bool = False
    stamped_ahead: float = 0.05
    total: int = 0
    allowed: int = 0
    token_life: float = 0.0
    parts: str = ""
    reads_at_once: int = 0
    cursor_age: float = 0.0
    strict_keys: bool = False
    etags: bool = False
    broker: bool = False
    applier: bool = False
    migrates: bool = False
    replays: float = 0.0
    native: str = ""
    rotates: float = 0.0
    moves: float = 0.0
    consumer_crashes: float = 0.2
    own: "Own | None" = None

    def weight(self, fault: str) -> float:
        """How often this fault is drawn, against the others."""
        return self.weights.get(fault, 1.0)

    def but(self, **changes: Any) -> "World":
        """The same world with something else."""
        return replace(self, **changes)


COMPARED = (("status", "amount"), ("status", "amount", "currency"))
"""The fields that count, before and after the job's file is edited."""


class Universe:
    """A world at work under one seed, in a folder of its own."""

    def __init__(
        self, world: World, seed: int, folder: Path, template: Path, *, nights: int | None = None, masked: Collection[str] = ()
    ) -> None:
        self.world = world
        self.folder = folder
        self.template = template
        self.chance = Chance(seed, masked)
        self.time = Time()
        self.database_clock = DatabaseClock(self.time)
        self.story = Story(self.time)
        self.facts = Facts(
            delete_nights=world.delete_nights, listing_lag=world.listing_lag, shards=len(REGIONS) if world.parts == "shards" else 0
        )
        self.compared: tuple[str, ...] = COMPARED[0]
        #: The version of the events' data that the jobs have.
        self.schema = 1
        if world.own is not None:
            self.compared = tuple(one.name for one in world.own.job.compared)
        self.steps: Counter[str] = Counter()
        drawn = self.chance.count(5, 12, "nights")
        self.nights = nights if nights is not None else world.nights or drawn
        self.domains: tuple[str, ...] = ("orders", "refunds")[: self.chance.count(*world.domains, "domains")]
        if world.own is not None:
            self.domains = (world.own.job.domain,)
        self.skew: dict[str, float] = {}
        self.parties: dict[str, ThirdParty] = {}
        self.applications: dict[str, Application] = {}
        self.consumers: dict[str, Consumer] = {}
        self.numbers = 0
        self.broker = Broker(self)
        self.facts.broker = world.broker
        self.gateway = Gateway(self)
        self.seal, self.endpoint = Seal(self), Endpoint(self, world.native)
        self.facts.native, self.facts.absence = world.native, world.absence
        self.hosts = Hosts(self)
        self._settle_in()

    def _settle_in(self) -> None:
        """Both sides as they are at the beginning: alike."""
        for domain in self.domains:
            application = Application(self, domain, self.folder / f"{domain}.db")
            party = ThirdParty(
                domain,
                self.time,
                self.chance,
                Webhooks(self, application),
                ahead=self.world.stamped_ahead if self.world.updated else None,
                own=self.world.own,
                parts=self.world.parts,
            )
            party.fill(self.chance.count(*self.world.records, "records", domain))
            for key in party.places:
                state = party.history.at(key, 0.0)
                application.rows[key] = state
                application.told[key] = state["version"] if state else 0
                application._replicate(key, state)  # noqa: SLF001 - what stood there before the world began is no write of a handler
            self.parties[domain], self.applications[domain] = party, application
            self.consumers[domain] = Consumer(self, application, careful=self.world.careful, handle=self.world.handle)
            if self.world.native:
                application.door = self.endpoint.ordinary
            if self.world.broker:
                self._subscribe(domain, application)
            self.facts.source[domain], self.facts.target[domain] = party.history, application.history
        for host in self.hosts.names:
            self.skew[host] = 0.0
            write_project(self, host)

    def _subscribe(self, domain: str, application: Application) -> None:
        """Who reads from the broker: the application, and where versions change somebody beside it who knows the first one only."""
        consumer: Applying | Reading = (
            Applying(self, application) if self.world.applier else Reading(self, application, self.consumers[domain])
        )
        self.broker.subscribe(domain, "application", consumer)
        if self.world.migrates:
            self.broker.subscribe(domain, "old one", Reading(self, application, None, versions=frozenset({1})))

    # -- what is so tonight -------------------------------------------------------------------------------------------------

    @property
    def night(self) -> int:
        """The number of the day."""
        return int(self.time.at // DAY)

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong any more."""
        return self.night >= self.nights

    def night_faults(self, domain: str) -> frozenset[str]:
        """The states of the whole night."""
        if self.calm:
            return frozenset()
        return frozenset(
            name
            for name, share in self.world.troubles.items()
            if name != "store away" and (self.world.parts or name not in OF_PARTS) and self.chance.happens(name, share, domain, self.night)
        )

    def mood(self, domain: str, sort: str) -> float:
        """The share of requests that something strikes tonight: none on most nights."""
        if self.calm:
            return 0.0
        share = self.world.trouble if sort == "page" else self.world.item_trouble
        drawn = self.chance.between(0, 1, "mood", domain, sort, self.night)
        return 0.0 if drawn < 0.5 else share * 0.4 if drawn < 0.8 else share

    def lag(self, domain: str) -> float:
        """How far the listing is behind tonight, in seconds."""
        if not self.world.listing_lag or self.calm or not self.chance.happens("listing lag", 0.5, domain, self.night):
            return 0.0
        return self.chance.between(1.0, self.world.listing_lag, "lag", domain, self.night)

    def outage(self, domain: str) -> bool:
        """Whether no webhook arrives today."""
        return "outage" in self.night_faults(domain)

    def unreadable(self, domain: str) -> frozenset[str]:
        """Keys whose items nobody can read tonight."""
        if "unreadable" not in self.night_faults(domain):
            return frozenset()
        keys = sorted(self.parties[domain].places)
        return frozenset(self.chance.stream("unreadable keys", domain, self.night).sample(keys, min(2, len(keys))))

    def refused_part(self, domain: str) -> tuple[int, str]:
        """When the item was born, and where it belongs, whose part cannot be had tonight."""
        born = self.parties[domain].born
        key = self.chance.one_of(sorted(born), "refused part", domain, self.night)
        return born[key], region_of(key)

    def consumer_mood(self) -> str:
        """How the destination is tonight."""
        if self.calm:
            return "prompt"
        mood = self.chance.weighted(dict(self.world.moods), "mood", self.night)
        who = "broker" if self.world.broker else "endpoint" if self.world.native else "consumer"
        return mood if mood == "prompt" or self.chance.let(f"{who} {mood}", self.night) else "prompt"

    # -- processes ----------------------------------------------------------------------------------------------------------

    def process(self, host: str) -> Process:
        """A new process on this host, with its fate."""
        self.numbers += 1
        number, chance = self.numbers, self.chance
        fates = []
        if not self.calm:
            draw = chance.stream("fate", number)
            for what, share in (("crash", self.world.crashes), ("freeze", self.world.freezes)):
                if draw.random() < share:
                    kinds = {
                        "": 4.0,
                        "sql": 1,
                        "commit": 2,
                        "committed": 2,
                        "request": 1,
                        "publish": 1.5,
                        "published": 1.5,
                        "write": 1,
                        "fsync": 1,
                        "rename": 1,
                        "sleep": 1,
                    }
                    kind = draw.choices(list(kinds), list(kinds.values()))[0]
                    nth = (
                        int(2 ** draw.uniform(0, 8.6))
                        if not kind
                        else 1 + int(draw.expovariate(0.25 if kind in {"sql", "commit", "committed"} else 0.8))
                    )
                    fates.append(Fate(what=what, kind=kind, nth=nth, seconds=draw.choice([90.0, 400.0, 1800.0, 8 * 3600.0])))
        return Process(self, number, host, fates)

    def freeze(self, process: Process, seconds: float, kind: str) -> None:
        """The process stands still; the world goes on, and another process takes over meanwhile."""
        self.hosts.freeze(process, seconds, kind)

    # -- the world's own course ---------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Every day, from the first to the last of the calm ones."""
        for night in range(self.nights + TAIL):
            self._plan(night)
            self.time.go_on((night + 1) * DAY)
            if night == self.nights - 1:
                self.facts.calm = self.time.at
                self._come_to_rest()
        self.hosts.look()
        self.broker.close()

    def _plan(self, night: int) -> None:
        """What is to happen this day, at its times."""
        begin, chance = night * DAY, self.chance
        self.hosts.plan(night)
        if night >= self.nights:
            return
        self.seal.plan(night)
        for domain in self.domains:
            party = self.parties[domain]
            for number in range(chance.count(*self.world.changes, "changes", domain, night)):
                at = chance.between(0, DAY, "when", domain, night, number)
                if chance.between(0, 1, "near", domain, night, number) < 0.4:
                    at = SLOT + chance.between(-60, 400, "near when", domain, night, number)
                self.time.later(begin + at, partial(self._change, party, night * 1000 + number))
            self._store_troubles(domain, night)
        for host in self.hosts.names:
            if chance.happens("clock stepped", self.world.stepped_clock, host, night):
                at = begin + chance.between(SLOT - 600, SLOT + 900, "step when", host, night)
                self.time.later(at, partial(self._step_clock, host, night))

    def _change(self, party: ThirdParty, number: int) -> None:
        if self.chance.happens("change", 1.0, party.domain, number):
            party.change(number)

    def _store_troubles(self, domain: str, night: int) -> None:
        application, chance, begin = self.applications[domain], self.chance, night * DAY
        if chance.happens("store away", self.world.troubles.get("store away", 0.0), domain, night):
            at = begin + SLOT + chance.between(-5, 300, "away", domain, night)
            self.time.later(at, application.lose)
            self.time.later(at + chance.between(5, 4000, "away for", domain, night), application.find)
        if self.world.doubles and chance.happens("key doubled", 0.3, domain, night):
            self.time.later(begin + SLOT - 30, lambda: self._double(domain, night))

    def _double(self, domain: str, night: int) -> None:
        """A key stands twice in the table, until somebody cleans up."""
        application, key = self.applications[domain], self.chance.one_of(sorted(self.parties[domain].places), "doubled", domain, night)
        if application.double(key):
            end = self.time.at + DAY * 0.9
            self.facts.doubled.append((domain, key, self.time.at, end))
            self.story.tell("application", f"{domain} {key} stands there twice")
            # A write of the same row takes both copies away first.
            self.time.later(end, lambda: application.write(key, application.rows.get(key)))

    def _step_clock(self, host: str, night: int) -> None:
        by = self.chance.one_of((-7200.0, -600.0, 900.0, 10_800.0), "step", host, night)
        self.chance.reach("clock forward" if by > 0 else "clock back")
        self.skew[host] += by
        self.story.tell(host, f"its clock is stepped by {by:+.0f} s")

    def _come_to_rest(self) -> None:
        self.chance.resting = True
        for host in self.skew:
            self.skew[host] = 0.0
            if self.world.native:
                self.seal.tell(host)
        for application in self.applications.values():
            application.find()
        self.story.tell("world", "from here on nothing goes wrong")

    def close(self) -> None:
        """Lets go of the files."""
        self.hosts.close()
        for application in self.applications.values():
            application.close()
