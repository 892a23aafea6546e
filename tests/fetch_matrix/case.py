"""One case of the matrix: a fault, a paging kind, a page. It is fetched for real, and held against what was truly sent."""

import itertools
import json
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from recon.errors import ProviderError, ReconError
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.spool import Spool
from recon.testing.fault_server import Answer, Asked, FaultServer
from recon.testing.faultlab import FAULTS, Api, Fault, Outcome, Trouble, kind_of, trouble
from tests.fetch_matrix.kinds import KINDS, SIZE, made
from tests.servers.manual_clock import ManualClock

COUNT = 17
PAGES = -(-COUNT // SIZE)
#: No case asks for more, with all its tries, restarts and further passes.
MOST_REQUESTS = 120
#: Nor does any last longer, in seconds of its own clock and of the wall.
MOST_WAITING, MOST_SECONDS = 7200.0, 20.0


@dataclass
class Lab:
    """The servers: the third party's, with an `Api` under a path of its own for each case, and one that nobody declared."""

    home: FaultServer
    foreign: FaultServer
    folder: Path
    apis: dict[str, Api] = field(default_factory=dict)
    names: "itertools.count[int]" = field(default_factory=itertools.count)

    def site(self, asked: Asked) -> Answer:
        """The answer of the list that the path belongs to."""
        api = self.apis.get(asked.path.split("/")[1])
        return api(asked) if api else Answer(status=404)


@dataclass(frozen=True)
class Case:
    """What is tried."""

    fault: Fault
    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.fault.name} | {self.kind} | {self.place}"


@dataclass
class Result:
    """What it came to, and which laws it broke."""

    case: Case
    outcome: str
    wrongs: list[str]


def records() -> list[dict[str, object]]:
    """The orders that the third party has."""
    return [
        {"id": f"o{n:02}", "created": 1_700_000_000 + n * 3600, "region": ("eu", "us", "ap")[n % 3], "amount": n}
        for n in range(1, COUNT + 1)
    ]


def cases() -> list[Case]:
    """The whole product: every fault on every page of every kind that it means something for."""
    found = []
    for kind in KINDS:
        word = kind_of(made(KINDS[kind], "http://127.0.0.1:9/")[0].catalogue["orders"].paging)
        for one in FAULTS:
            if word in one.kinds:
                found += [Case(one, kind, place) for place in one.places if word != "single" or place == "first"]
    return found


def run(case: Case, lab: Lab) -> Result:
    """Fetches the list with the fault in it; where that does not come to its end, mends the fault and fetches on."""
    tried = _Tried(case, lab)
    with suppress(_Stop):
        tried.first()
        tried.second()
    tried.close()
    return Result(case, tried.outcome, tried.wrongs)


class _Stop(Exception):
    """There is nothing more to look at."""


class _Tried:
    def __init__(self, case: Case, lab: Lab) -> None:
        self.case, self.lab = case, lab
        self.wrongs: list[str] = []
        self.outcome = "not run"
        name = f"c{next(lab.names)}"
        slow = case.fault.slow
        self.provider, self.token = made(
            KINDS[case.kind], f"{lab.home.url}/{name}/", timeout="0.3s" if slow else "20s", tries=2 if slow else 8
        )
        resource = self.provider.catalogue["orders"]
        self.word = kind_of(resource.paging)
        self.api = lab.apis[name] = Api(resource=resource, records=records(), base=f"/{name}/", size=SIZE)
        self.clock = ManualClock()
        self.folder = lab.folder / name
        self.trouble: Trouble = trouble(case.fault, self.api, self._number(), foreign=lab.foreign.url, now=self.clock.now)
        self.asked = len(lab.home.requests)

    def _number(self) -> int:
        """The page that the fault strikes at."""
        if self.case.place != "last":
            return {"first": 1, "middle": 3}[self.case.place]
        return PAGES + (self.word.endswith("empty") and not self.case.fault.items and self.case.fault.edit is None)

    def first(self) -> None:
        """The fetch with the fault."""
        coverage, error, taken = self.land()
        expected = self.case.fault.outcome(self.word, self.case.place)
        if not self.trouble.strikes:
            self.wrong("the fault never struck")
        whole = coverage is not None and coverage.whole
        self.outcome = f"{'whole' if whole else 'partial' if coverage else type(error).__name__}"
        if expected is Outcome.HEALS and not whole:
            self.wrong(f"it should have ended whole: {error or shown(coverage)}")
        if expected is Outcome.STOPS and whole:
            self.wrong(f"it should not have ended whole: {shown(coverage)}")
        if expected is not Outcome.UNSEEN and whole:
            self.complete(coverage, taken)
        if not whole and self.case.fault.says and expected is Outcome.STOPS:
            said = f"{error}" if error else f"{coverage.proof} {coverage.notes} {coverage.parts}"
            if not re.search(self.case.fault.says, said, re.IGNORECASE):
                self.wrong(f"it does not name what happened ({self.case.fault.says}): {said}")
        if whole:
            raise _Stop

    def second(self) -> None:
        """The fetch that goes on, with the third party well again."""
        self.trouble.healed = True
        before = self.outcome
        self.api.on_answer = lambda _, __, answer: answer
        # A day's pause is kept for a day.
        self.clock.sleep(90_000 if before == "Throttled" else 600)
        coverage, error, taken = self.land()
        whole = coverage is not None and coverage.whole
        self.outcome = f"{before}, then {'whole' if whole else 'partial' if coverage else type(error).__name__}"
        if not whole and before != "partial":
            self.wrong(f"once the third party is well the fetch should end whole: {error or shown(coverage)}")
        if whole:
            self.complete(coverage, taken)

    def land(self) -> tuple[Coverage | None, ReconError | None, list[bytes]]:
        """One fetch: its certificate or its error, and what lies on disk after it."""
        coverage, error = None, None
        waited, began, asked = self.clock.elapsed, time.monotonic(), len(self.lab.home.requests)
        spool = Spool.open(self.folder)
        try:
            coverage = land(self.provider, Listing(resource="orders", clock=self.clock), spool, clock=self.clock)
        except ReconError as caught:
            error = caught
        finally:
            taken = [line for frame in spool.frames() for line in frame.splitlines()]
            spool.close()
        if error is not None and (not isinstance(error, ProviderError) or error.exit_code not in (75, 2)):
            self.wrong(f"it ends with {type(error).__name__}, exit {error.exit_code}")
        self.bounded(len(self.lab.home.requests) - asked, self.clock.elapsed - waited, time.monotonic() - began)
        self.only_what_was_sent(taken)
        self.kept_in(f"{error} {error.hint if error else ''} {coverage}")
        return coverage, error, taken

    def bounded(self, requests: int, waited: float, seconds: float) -> None:
        """No fetch is without end."""
        if requests > MOST_REQUESTS or waited > MOST_WAITING or seconds > MOST_SECONDS:
            self.wrong(f"{requests} requests, {waited:.0f} s of waiting, {seconds:.1f} s")

    def only_what_was_sent(self, taken: list[bytes]) -> None:
        """Nothing is in the snapshot that the third party never wrote."""
        sent = {_plain(item) for item in self.api.sent}
        made_up = [item[:80] for item in taken if _plain(item) not in sent]
        if made_up:
            self.wrong(f"never sent: {made_up}")

    def kept_in(self, said: str) -> None:
        """The credential stayed where it belongs."""
        if self.lab.foreign.requests:
            self.wrong(f"a host that was not declared was asked: {self.lab.foreign.requests}")
            self.lab.foreign.requests.clear()
        if self.token in said:
            self.wrong(f"the credential is in what is said: {said}")

    def complete(self, coverage: Coverage, taken: list[bytes]) -> None:
        """Whole is only said of what is: each record that was there throughout came, or is counted as unreadable; none came twice unasked."""
        keys = Counter(_key(item) for item in taken)
        there = {self.api.key(record) for record in self.api.records} & {str(record["id"]) for record in records()}
        lost = sorted(there - set(keys))
        poisoned = [item for item in taken if _key(item) is None]
        if len(lost) > coverage.unreadable + len(poisoned):
            self.wrong(f"whole is said, and {lost} are not there: {shown(coverage)}")
        doubled = [key for key, count in keys.items() if count > 1 and key is not None]
        if doubled and not self.case.fault.repeats:
            self.wrong(f"twice in the snapshot: {doubled}")

    def wrong(self, words: str) -> None:
        self.wrongs.append(f"{self.case}: {words}")

    def close(self) -> None:
        self.provider.close()
        del self.lab.apis[self.api.base.strip("/")]
        del self.lab.home.requests[:]


def shown(coverage: Coverage | None) -> str:
    """A certificate in a line."""
    return (
        f"{coverage.verdict()}: {coverage.proof}; {coverage.records} records on {coverage.pages} pages; {coverage.notes}"
        if coverage
        else "nothing"
    )


def _plain(item: bytes) -> bytes:
    """An item on one line, as the snapshot keeps it."""
    return item.replace(b"\r", b" ").replace(b"\n", b" ")


def _key(item: bytes) -> str | None:
    """The key that stands at an item's beginning, however broken the rest of it is."""
    found = re.match(rb'\{"id":"([^"]*)"', item)
    return json.loads(b'"' + found.group(1) + b'"') if found else None
