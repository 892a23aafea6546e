"""Whole nights in this process, over doubles: for tests that must change either side at an exact moment of a night."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from recon import Field, Guard, Job, Table
from recon.clock import Clock, iso
from recon.fetch.page import Lookup, Page
from recon.progress import Silent
from recon.project import Project
from recon.provider import Listing
from recon.report.figures import RunFigures
from recon.run import Order, run_domain
from recon.settings import load
from recon.state.database import State
from recon.testing import FakeProvider, FixedClock, MemoryStore, RecordingPublisher

Act = Callable[[], None]
GUARD = Guard(missing=1.0, extra=1.0, changed=1.0, same_field=1.0, shrunken=1.0)
FIELDS = (Field("status"), Field("amount", "integer"), Field("updated", "timestamp", compare=False))


def job(**changes: Any) -> Job:
    """Orders, whose deletions and changes no guard holds; two minutes between the looks."""
    declared = {
        "domain": "orders",
        "provider": "shop",
        "resource": "items",
        "publisher": "bus",
        "table": Table(name="orders"),
        "fields": FIELDS,
        "event": "order",
        "guard": GUARD,
    }
    return Job(**{**declared, **changes})


class ThirdParty(FakeProvider):
    """Holds records by key; `get` is off for one that only lists. `statuses` are answers to reads by id that no record stands behind."""

    def __init__(self, moments: "Moments") -> None:
        super().__init__([], name="shop", page_size=2, on_page=lambda _, number: moments.come(f"page {number}"))
        self.moments = moments
        self.held: dict[str, dict[str, Any]] = {}
        self.get = True
        self.listings = 0
        self.total: int | None = None
        #: A listing's number, and after how many records it ends as if that were all.
        self.short: tuple[int, int] = (0, 0)

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """As of now: each page shows what is there when it is asked for."""
        if listing.resume is None:
            self.listings += 1
            self.moments.begin(self.look)
        self.moments.come(f"listing {self.listings}")
        self._as_listed()
        for page in super().fetch(listing):
            self.moments.saw(self.look, {str(key): record for record in map(msgspec.json.decode, page.items) if (key := record.get("id"))})
            yield page if self.total is None else replace(page, total=self.total)
            self._as_listed()
        self.moments.come(f"listed {self.listings}")

    @property
    def look(self) -> str:
        """Which look a listing is: the second one once the store was read."""
        return "there 2" if "here 1" in self.moments.looks else "there 1"

    def _as_listed(self) -> None:
        number, most = self.short
        self.records["items"] = list(self.held.values())[: most if number == self.listings else None]

    def can_get(self, resource: str) -> bool:
        return self.get

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        self.moments.come("get")
        self.records["items"] = list(self.held.values())
        for answer in super().get_many(resource, keys, clock=clock):
            self.moments.saw("there 2", {answer.key: answer.item and msgspec.json.decode(answer.item)})
            yield answer


class Rows(MemoryStore):
    """The store, with moments before and after its reads."""

    def __init__(self, moments: "Moments", now: Callable[[], Any]) -> None:
        super().__init__()
        self.moments = moments
        self.held: dict[str, dict[str, Any]] = {}

    @contextmanager
    def scan(self, selection: Any) -> Iterator[Any]:
        self.moments.come("scan")
        self.rows = list(self.held.values())
        self.moments.begin("here 1")
        self.moments.saw("here 1", self.held)
        with super().scan(selection) as scan:
            self.moments.come("scanned")
            yield scan

    def get_many(self, selection: Any, keys: Sequence[str]) -> Any:
        self.moments.come("rows")
        self.rows = list(self.held.values())
        self.moments.saw("here 2", {key: self.held.get(key) for key in keys})
        return super().get_many(selection, keys)


class Moments:
    """What a test wants done when a night comes to a moment: `at["settle"]` lists acts, each done once, in order.

    `looks` is what each look of the night saw of each key, and how many changes there had been by then: `there 1`, `here 1`, …
    """

    def __init__(self) -> None:
        self.at: dict[str, list[Act]] = {}
        self.looks: dict[str, dict[str, tuple[Any, int]]] = {}
        self.changes: list[tuple[str, str]] = []

    def come(self, name: str) -> None:
        for act in self.at.pop(name, []):
            act()

    def begin(self, look: str) -> None:
        """A look from its beginning."""
        self.looks[look] = {}

    def saw(self, look: str, records: Mapping[str, Any]) -> None:
        """What a look saw."""
        self.looks.setdefault(look, {}).update({key: (record, len(self.changes)) for key, record in records.items()})


class SettlingClock(FixedClock):
    """Every sleep is a moment of its own."""

    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self.moments = moments

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 2)
        self.moments.come("settle")
        super().sleep(seconds / 2)


class Doubles(Project):
    """A project whose only job, provider, store and publisher are given."""

    def __init__(self, folder: Path, given: Job, parts: dict[str, Any]) -> None:
        (folder / "recon.toml").write_text("[project]\nname = 'doubles'\n")
        super().__init__(load(folder / "recon.toml", environ={}))
        self.given, self.parts = given, parts

    @property
    def jobs(self) -> dict[str, Job]:
        return {self.given.domain: self.given}

    def job(self, domain: str) -> Job:
        return self.given

    def provider(self, name: str) -> Any:
        return self.parts["provider"]

    def store(self, name: str) -> Any:
        return self.parts["store"]

    def publisher(self, name: str) -> Any:
        return self.parts["publisher"]


class Nights:
    """A domain and its nights. `there` and `here` are the two sides, key to record; `put` writes one with its time of change."""

    def __init__(self, folder: Path, given: Job | None = None, *, state: str | None = None) -> None:
        self.moments = Moments()
        self.clock = SettlingClock(self.moments)
        self.third_party = ThirdParty(self.moments)
        self.store = Rows(self.moments, self.clock.now)
        self.publisher = RecordingPublisher(name="bus")
        parts = {"provider": self.third_party, "store": self.store, "publisher": self.publisher}
        self.project = Doubles(folder, given or job(), parts)
        self.state = State.open(state or f"sqlite:///{folder}/state.db", clock=self.clock)
        self.there, self.here = self.third_party.held, self.store.held

    def record(self, key: str, status: str = "paid", *, amount: int = 1, age: float = 86400.0) -> dict[str, Any]:
        """A record that last changed `age` seconds ago."""
        changed = iso((self.clock.now() - timedelta(seconds=age)).replace(microsecond=0))
        return {"id": key, "status": status, "amount": amount, "updated": changed}

    def both(self, *keys: str) -> None:
        """Items that agree, changed yesterday."""
        for key in keys:
            self.there[key] = self.here[key] = self.record(key)

    def night(self, *, hours: float = 24.0, **order: Any) -> RunFigures:
        """One run of the domain, `hours` after the last."""
        self.clock.advance(hours * 3600)
        return run_domain(self.project, self.state, Order(domain="orders", **order), clock=self.clock, progress=Silent())

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was published, oldest first."""
        return [msgspec.json.decode(message.body) for message in self.publisher.messages]

    def told(self) -> list[tuple[str, str]]:
        """Key and operation of everything published."""
        return [(event["data"]["key"], event["type"].rpartition(".")[2]) for event in self.events]

    def page(self, figures: RunFigures) -> str:
        """The run's report, as it lies on the shelf."""
        return (self.project.reports_folder / figures.run / "index.html").read_text()

    def close(self) -> None:
        self.state.close()
