"""Trial: one fault on one page of one provider's listing, landed for real and held against what was truly sent."""

import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from recon.errors import ProviderError, ReconError
from recon.fetch.coverage import Coverage
from recon.fetch.cut import key_of
from recon.fetch.graphql import Connection
from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.resource import Resource
from recon.fetch.spool import Spool
from recon.provider import Provider
from recon.testing.clock import FixedClock
from recon.testing.fault_server import Answer, Asked, FaultServer
from recon.testing.faultlab import FAULTS
from recon.testing.faultlab.api import Api, Record, Served
from recon.testing.faultlab.fault import Fault, Outcome, Trouble, kind_of
from recon.testing.faultlab.graph import IN_GRAPHQL, GraphApi

#: Items a page, unless a trial says otherwise: few, so that a list has a first, a middle and a last page.
SIZE = 4
#: No fetch asks for more, with all its tries, restarts and further passes.
MOST_REQUESTS = 150
#: Nor does any last longer: by its own clock, and by the wall's. In seconds.
MOST_WAITING, MOST_SECONDS = 7200.0, 20.0
#: Fetches after which a list whose third party is well again must be whole: a page that was short leads one of them astray.
MOST_TRIES = 2
LEAST_SECRET = 8


class Law(StrEnum):
    """What holds for every provider, and what to do where it does not."""

    STRUCK = "ask for the pages as the resource declares them; where the API differs, declare it: path, paging, params"
    HEALS = "a passing fault must not end the fetch: send through HTTPProvider's session, which asks again, waits and signs anew"
    STOPS = "an answer that is no page of the list must raise (InvalidPage, Refused …), and an end must be said, not guessed"
    COMPLETE = "answer End only for the marker that the API sends; give what cannot be understood as Unread, and leave nothing out"
    TWICE = "go on from the checkpoint of the last page, and yield no page a second time"
    SENT = "yield each item as the third party wrote it, as bytes"
    LEAF = "raise a leaf of recon.errors.ProviderError, so that the run knows what to do next"
    NAMED = "put the request's subject and the API's own words into the message: recon.fetch.refusal has them"
    BOUNDED = "end: a cursor or a page that comes twice, and retries, have their limits (landing and the session see to it)"
    GOES_ON = "a fetch that was interrupted must go on from `listing.resume` alone"
    ORIGIN = "hold every URL that the API gives against the origins (session.origins.check), and follow no redirect"
    SECRET = "mask what an answer may quote: session.mask, session.masked"  # noqa: S105 - a sentence about secrets
    WRITES = "nothing is ever written at the third party; a POST that only reads is declared: the resource's body, get_body or batch"


@dataclass(frozen=True)
class Wrong:
    """A law that was broken, where, and how it showed."""

    law: Law
    where: str
    words: str

    def __str__(self) -> str:
        return f"{self.where}: {self.words}"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Who is tried: `make` gives a fresh provider at a URL; `base` is the path that its resource's own path is relative to."""

    make: Callable[[str], Provider]
    resource: str
    declared: Resource
    base: str
    records: Sequence[Record]
    size: int = SIZE

    @property
    def kind(self) -> str:
        """How it pages."""
        return kind_of(self.declared.paging)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Those that its third party can have."""
        return (*FAULTS, *(IN_GRAPHQL if isinstance(self.declared, Connection) else ()))

    def api(self) -> Api:
        """Its third party, well."""
        if isinstance(self.declared, Connection):
            return GraphApi(resource=self.declared, records=list(self.records), base=self.base, size=self.size, most=self.size)
        return Api(resource=self.declared, records=list(self.records), base=self.base, size=self.size, most=self.size)

    def reads(self, asked: Asked) -> bool:
        """Whether a request can only read."""
        if isinstance(self.declared, Connection):
            return asked.method == "POST" and not asked.body.lstrip().startswith(b'{"query":"mutation')
        declared = self.declared
        batch = declared.batch if declared.batch is not None and declared.batch.body is not None else None
        posted = (declared.body is not None and declared.path, declared.get_body is not None and declared.get, batch and batch.path)
        by_post = any(path and asked.path == self.base + path for path in posted)
        return asked.method in ("GET", "HEAD") or (asked.method == "POST" and by_post)

    def places(self, fault: Fault) -> tuple[str, ...]:
        """The pages that the fault can strike at."""
        return () if self.kind not in fault.kinds else tuple(p for p in fault.places if self.kind != "single" or p == "first")

    def key(self, place: str) -> str | None:
        """A record of the page that a place stands for, where the list is fetched in parts; None where pages are told by their number."""
        if self.declared.ranges is None and self.declared.shards is None:
            return None
        return self.api().key(self.records[{"first": 0, "middle": len(self.records) // 2, "last": -1}[place]])

    def number(self, fault: Fault, place: str) -> int:
        """The page that a place stands for."""
        if place != "last":
            return {"first": 1, "middle": 3}[place]
        # The empty page behind the last items is the last one where that is the end.
        beyond = self.kind.endswith("empty") and not fault.items and fault.edit is None
        return -(-len(self.records) // self.size) + beyond


@dataclass(frozen=True)
class Servers:
    """The third party's server, and one that nobody declared; `folder` takes what is fetched."""

    home: FaultServer
    foreign: FaultServer
    folder: Path


@contextmanager
def servers() -> Iterator[Servers]:
    """Both of them, for as long as the block lasts."""
    with FaultServer() as home, FaultServer() as foreign, tempfile.TemporaryDirectory(prefix="recon-trial-") as folder:
        yield Servers(home, foreign, Path(folder))


@dataclass
class Trial:
    """What was tried, what it came to, and which laws were broken."""

    subject: Subject
    fault: Fault
    place: str
    servers: Servers
    #: Further faults of the same list, each with its page.
    others: Sequence[tuple[Fault, str]] = ()
    outcome: str = "not run"
    wrongs: list[Wrong] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = FixedClock()
        self.api = self.subject.api()
        self.servers.home.site = self._site
        self.faults = ((self.fault, self.place), *self.others)
        self.troubles = [
            Trouble(fault, self.api, self.subject.number(fault, place), self.servers.foreign.url, self.clock.now, self.subject.key(place))
            for fault, place in self.faults
        ]
        self.api.on_page, self.api.on_answer = self._on_page, self._on_answer
        self.provider = self.subject.make(self.servers.home.url)
        self.folder = Path(tempfile.mkdtemp(dir=self.servers.folder))

    def run(self) -> "Trial":
        """Fetches with the fault; where that does not end whole, mends it and fetches on."""
        try:
            if not self._first():
                self._second()
        finally:
            self.provider.close()
            self.servers.home.requests.clear()
        if self.servers.home.errors:
            raise self.servers.home.errors[0]
        return self

    def _site(self, asked: Asked) -> Answer:
        """The list, but for one who would ask for ever."""
        return self.api(asked) if len(self.servers.home.requests) <= 3 * MOST_REQUESTS else Answer(status=404)

    def _on_page(self, asked: Asked, page: Served) -> None:
        for trouble in self.troubles:
            trouble.on_page(asked, page)

    def _on_answer(self, asked: Asked, page: Served, answer: Answer) -> Answer:
        for trouble in self.troubles:
            answer = trouble.on_answer(asked, page, answer)
        return answer

    def _expected(self) -> Outcome:
        """What the fetch must come to; of several faults, what they leave open."""
        outcomes = {
            # Of a list in parts each first page is one that it is asked for anew by, and with the next one such a fault is over.
            Outcome.TRUTH if fault.until_anew and self.subject.key(place) is not None else fault.outcome(self.subject.kind, place)
            for fault, place in self.faults
        }
        return outcomes.pop() if len(outcomes) == 1 else Outcome.UNSEEN if Outcome.UNSEEN in outcomes else Outcome.TRUTH

    def _first(self) -> bool:
        coverage, error, taken = self._land()
        expected = self._expected()
        whole = coverage is not None and coverage.whole
        self.outcome = _word(coverage, error)
        if not any(trouble.strikes for trouble in self.troubles):
            self.wrong(Law.STRUCK, "the fault never struck: the page was not asked for")
        if expected is Outcome.HEALS and not whole:
            self.wrong(Law.HEALS, f"it should have ended whole: {error or shown(coverage)}")
        if expected is Outcome.STOPS and whole:
            self.wrong(Law.STOPS, f"it should not have ended whole: {shown(coverage)}")
        if coverage is not None and whole and expected is not Outcome.UNSEEN:
            self._complete(coverage, taken)
        if not whole and self.fault.says and expected is Outcome.STOPS and not self.others:
            said = str(error) if error else f"{coverage and coverage.proof} {coverage and coverage.notes} {coverage and coverage.parts}"
            if not re.search(self.fault.says, said, re.IGNORECASE):
                self.wrong(Law.NAMED, f"what is said does not name it (wanted: {self.fault.says}): {said}")
        return whole

    def _second(self) -> None:
        """The fetch that goes on, with the third party well again."""
        for trouble in self.troubles:
            trouble.healed = True
        before = self.outcome
        for _ in range(MOST_TRIES):
            # A day's pause is kept for a day.
            self.clock.sleep(90_000 if before == "Throttled" else 600)
            coverage, error, taken = self._land()
            whole = coverage is not None and coverage.whole
            if whole:
                break
        self.outcome = f"{before}, then {_word(coverage, error)}"
        if not whole and before != "partial":
            self.wrong(Law.GOES_ON, f"once the third party is well the fetch should end whole: {error or shown(coverage)}")
        if coverage is not None and whole and self._expected() is not Outcome.UNSEEN:
            self._complete(coverage, taken)

    def _land(self) -> tuple[Coverage | None, ReconError | None, list[bytes]]:
        """One fetch: its certificate or its error, and what lies on disk after it."""
        coverage, error = None, None
        home = self.servers.home
        waited, began, asked = self.clock.monotonic(), time.monotonic(), len(home.requests)
        spool = Spool.open(self.folder)
        try:
            coverage = land(self.provider, Listing(resource=self.subject.resource, clock=self.clock), spool, clock=self.clock)
        except ReconError as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001 - whatever a provider raises is what is looked for
            error = ReconError(f"{type(caught).__name__}: {caught}")
        finally:
            pages = [frame.splitlines() for frame in spool.frames()]
            taken = self._settled(pages) if spool.union else [line for page_ in pages for line in page_]
            spool.close()
        if error is not None and (not isinstance(error, ProviderError) or error.exit_code not in (75, 2)):
            self.wrong(Law.LEAF, f"it should end with a leaf of ProviderError, and ends with {type(error).__name__}: {error}")
        self._bounded(len(home.requests) - asked, self.clock.monotonic() - waited, time.monotonic() - began)
        self._only_what_was_sent([line for page_ in pages for line in page_])
        self._at_home(f"{error} {error.hint if error else ''} {coverage}")
        return coverage, error, taken

    def _settled(self, pages: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The items as a night takes them where pages shift: of one that stands on several, the last of them counts."""
        path = self.subject.declared.key
        last = {key_of(line, path) or line: number for number, page_ in enumerate(pages) for line in page_}
        return [line for number, page_ in enumerate(pages) for line in page_ if last[key_of(line, path) or line] == number]

    def _bounded(self, requests: int, waited: float, seconds: float) -> None:
        if requests > MOST_REQUESTS or waited > MOST_WAITING or seconds > MOST_SECONDS:
            self.wrong(Law.BOUNDED, f"it takes too long: {requests} requests, {waited:.0f} s of waiting, {seconds:.1f} s")

    def _only_what_was_sent(self, taken: list[bytes]) -> None:
        sent = {_plain(item) for item in self.api.sent}
        made_up = [item[:80] for item in taken if _plain(item) not in sent]
        if made_up:
            self.wrong(Law.SENT, f"{len(made_up)} items that were never sent so are in the snapshot: {made_up[0]!r}")

        odd = [item for item in taken if item[:1] != b"{"]
        if odd:
            self.wrong(Law.SENT, f"what is no record stands among the records: {odd[0][:80]!r}")

    def _at_home(self, said: str) -> None:
        """The credential stayed where it belongs."""
        if self.servers.foreign.requests:
            self.wrong(Law.ORIGIN, f"a host that nobody declared was asked: {self.servers.foreign.requests[0].target}")
            self.servers.foreign.requests.clear()
        wrote = [asked for asked in self.servers.home.requests if not self.subject.reads(asked)]
        if wrote:
            self.wrong(Law.WRITES, f"it sends {wrote[0].method} {wrote[0].path}")
        secrets = {asked.headers.get("authorization", "").rpartition(" ")[2] for asked in self.servers.home.requests}
        if any(len(secret) >= LEAST_SECRET and secret in said for secret in secrets):
            self.wrong(Law.SECRET, "the credential is in what is said of it")

    def _complete(self, coverage: Coverage, taken: list[bytes]) -> None:
        """Whole is only said of what is: each record that was there throughout came, or is counted as unreadable; none came twice unasked."""
        keys = Counter(self._key(item) for item in taken)
        throughout = {self.api.key(one) for one in self.api.records} & {self.api.key(one) for one in self.subject.records}
        lost = sorted(throughout - set(keys))
        if len(lost) > coverage.unreadable + keys[None]:
            self.wrong(Law.COMPLETE, f"whole is said, and {', '.join(lost)} is not there: {shown(coverage)}")
        # Of two passes an item without a key that can be read is on both, and nothing says that they are one.
        keyed = Counter(self._key(item) for item in taken if key_of(item, self.subject.declared.key) is not None)
        doubled = [key for key, count in keyed.items() if count > 1 and key is not None]
        if doubled and not any(fault.repeats for fault, _ in self.faults):
            self.wrong(Law.TWICE, f"twice in the snapshot: {', '.join(doubled)}")

    def _key(self, item: bytes) -> str | None:
        """An item's key: the text of a record that was there stands at the item's beginning, however broken the rest is."""
        if not hasattr(self, "_known"):
            self._known = {_text(one)[:-1]: self.api.key(one) for one in (*self.subject.records, *self.api.records)}
            self._sizes = sorted({len(text) for text in self._known}, reverse=True)
        return next((self._known[item[:size]] for size in self._sizes if item[:size] in self._known), None)

    def wrong(self, law: Law, words: str) -> None:
        """Writes down a law that was broken."""
        self.wrongs.append(
            Wrong(law, f"{' and '.join(f'{fault.name}, on the {place} page' for fault, place in self.faults)} ({self.subject.kind})", words)
        )


def shown(coverage: Coverage | None) -> str:
    """A certificate in a line."""
    if coverage is None:
        return "no certificate"
    return f"{coverage.verdict()}: {coverage.proof}; {coverage.records} records on {coverage.pages} pages; {coverage.notes}"


def _word(coverage: Coverage | None, error: ReconError | None) -> str:
    return type(error).__name__ if coverage is None else "whole" if coverage.whole else "partial"


def _plain(item: bytes) -> bytes:
    """An item on one line, as the snapshot keeps it."""
    return item.replace(b"\r", b" ").replace(b"\n", b" ")


def _text(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()
