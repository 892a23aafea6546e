"""Conformance: whether a provider keeps the contract of `recon.provider.Provider`, tried against a fault server.

```python
from recon.testing import check_provider, section

def test_the_shop_keeps_the_contract():
    findings = check_provider(lambda url: Shop(section("shop", base_url=f"{url}/v1/", auth={"bearer": Secret("t")})), "orders")
    assert not findings, "; ".join(map(str, findings))
```

The server serves what the provider's own resource declares: its path, its way of paging, its keys. So it proves how the provider
behaves, on good nights and bad, and not that the declaration fits the real API: for that, read the API's pages and fetch from it once.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from recon.errors import BadRequest, ReconError
from recon.fetch.graphql import Connection
from recon.fetch.listing import Listing
from recon.fetch.narrowing import Ranges
from recon.fetch.page import Checkpoint, Lookup, LookupStatus, Page
from recon.fetch.path import segments
from recon.fetch.resource import Resource
from recon.provider import Provider
from recon.testing.clock import FixedClock
from recon.testing.conformance_parts import check_parts
from recon.testing.fault_server import Answer, Asked, page
from recon.testing.faultlab import Fault
from recon.testing.faultlab.trial import SIZE, Servers, Subject, Trial, servers

COUNT = 4 * SIZE + 1
#: Lists of these lengths: none, one, a page, two full pages, and a last page of one.
COUNTS = (0, 1, SIZE, 2 * SIZE, COUNT)
PARTS = ("name", "meter", "resources", "key_path", "fetch", "can_get", "get_many", "link", "close")
NOWHERE = "http://127.0.0.1:9"
BEGAN = 1_700_000_000
HOUR = 3600
FOUND, DELETED, NOT_FOUND = LookupStatus.FOUND, LookupStatus.DELETED, LookupStatus.NOT_FOUND
FORBIDDEN, UNKNOWN = LookupStatus.FORBIDDEN, LookupStatus.UNKNOWN

Make = Callable[[str], Provider]
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """Something that a provider does and should not, or does not and should."""

    check: str
    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.check}: {self.what}\n    to do: {self.todo}"


def check_provider(
    make: Make,
    resource: str,
    *,
    declared: Resource | None = None,
    base: str | None = None,
    record: Callable[[int], Record] | None = None,
    every_page: bool = False,
) -> list[Finding]:
    """What is wrong with the provider that `make` gives for a base URL; nothing where it keeps the contract. It takes seconds.

    `declared` says how the list looks, and `base` under which path of the URL it is, for a provider that has no `catalogue` and `base_url`
    as HTTPProvider has. `record(n)` gives the nth record, for a provider that wants more of one than its key. Each fault is tried on
    one page; with `every_page` on the first, a middle and the last one. Raises BadRequest where it cannot be told what to serve.
    """
    subject = _subject(make, resource, declared, base, record)
    with servers() as both:
        kit = _Kit(subject, both, every_page)
        checks = (kit.protocol, kit.listings, kit.resumption, kit.parts, kit.throttling, kit.faults, kit.lookups)
        return [finding for check in checks for finding in check()]


def _subject(make: Make, resource: str, declared: Resource | None, base: str | None, record: Callable[[int], Record] | None) -> Subject:
    provider: Any = make(NOWHERE)
    try:
        if declared is None:
            declared = getattr(provider, "catalogue", {}).get(resource)
        if declared is None:
            msg = f"provider {provider.name} declares no resource {resource!r} in a `catalogue`"
            raise BadRequest(
                msg, hint="say how the list looks: check_provider(…, declared=Resource(path=…, paging=…, records=…), base='/v1/')"
            )
        if base is None:
            base = urlsplit(getattr(provider, "base_url", "/")).path or "/"
    finally:
        provider.close()
    maker = record or _records_of(declared)
    asked = getattr(declared.paging, "size", None) or (declared.size.size if declared.size is not None else SIZE)
    return Subject(
        make=make,
        resource=resource,
        declared=declared,
        base=base if base.endswith("/") or isinstance(declared, Connection) else f"{base}/",
        records=[maker(number) for number in range(1, COUNT + 1)],
        size=min(SIZE, asked),
    )


def _records_of(declared: Resource) -> Callable[[int], Record]:
    """Records with a key, and with what the resource is cut by."""

    def record(number: int) -> Record:
        found: dict[str, Any] = {}
        _plant(found, declared.key, f"k{number:02}")
        if declared.ranges is not None:
            _plant(found, declared.ranges.at, _moment(number, declared.ranges))
        if declared.shards is not None and declared.shards.at is not None:
            _plant(found, declared.shards.at, declared.shards.values[number % len(declared.shards.values)])
        return {**found, "amount": number}

    return record


def _moment(number: int, ranges: Ranges) -> Any:
    from datetime import UTC, datetime

    seconds = BEGAN + number * HOUR
    moment = datetime.fromtimestamp(seconds, UTC)
    forms = {"epoch": seconds, "epoch_ms": seconds * 1000, "integer": number, "date": f"{moment:%Y-%m-%d}"}
    return forms.get(ranges.form, f"{moment:%Y-%m-%dT%H:%M:%SZ}")


def _plant(record: dict[str, Any], path: str, value: Any) -> None:
    *way, last = segments(path)
    for name in way:
        record = record.setdefault(name, {})
    record[last] = value


class _Kit:
    def __init__(self, subject: Subject, both: Servers, every_page: bool) -> None:
        self.subject = subject
        self.servers = both
        self.every_page = every_page
        self.by_query = isinstance(subject.declared, Connection)

    # What it is.

    def protocol(self) -> Iterator[Finding]:
        """It is a provider, knows its resource, and can be closed twice."""
        provider = self.subject.make(self.servers.home.url)
        missing = [name for name in PARTS if not hasattr(provider, name)]
        if missing:
            what = f"it has no {', '.join(missing)}"
            yield Finding("protocol", what, "build on recon.HTTPProvider, or write what recon.provider.Provider lists")
            return
        if self.subject.resource not in provider.resources():
            yield Finding("protocol", f"resources() does not name {self.subject.resource!r}", "name every list that can be fetched")
        provider.close()
        provider.close()

    # Listings.

    def listings(self) -> Iterator[Finding]:
        """Lists of every length come whole, each item once, in order, with the end's proof."""
        for count in COUNTS:
            api = self.subject.api()
            api.records = list(self.subject.records[:count])
            self.servers.home.site = api
            before = len(self.servers.home.requests)
            try:
                provider, pages = self._fetched(None)
            except ReconError as error:
                yield Finding("paging", f"a list of {count} ends with {error}", "an honest list must be read to its end")
                continue
            asked = len(self.servers.home.requests) - before
            yield from self._sound(count, pages, [_bytes(record) for record in api.records])
            if provider.meter.requests != asked:
                what = f"meter.requests counts {provider.meter.requests} of {asked} requests"
                yield Finding("meter", what, "count every request that goes out, or send through HTTPProvider's session")

    def _sound(self, count: int, pages: Sequence[Page], sent: Sequence[bytes]) -> Iterator[Finding]:
        check = f"paging, {count} items"
        items = [item for one in pages for item in one.items]
        if items != list(sent):
            yield Finding(
                check, f"{len(items)} items come, of {len(sent)} that were sent", "yield each item once, in order, as it was written"
            )
        if not pages or pages[-1].end is None or not pages[-1].end.proof.strip():
            yield Finding(
                check, "the last page carries no End with a proof", "End('has_more = false on page 3'), from the marker that was sent"
            )
        if any((one.next is None) == (one.end is None) for one in pages) or any(one.end for one in pages[:-1]):
            yield Finding(check, "a page has both `next` and `end`, or neither", "each page but the last has `next`, the last has `end`")

    def resumption(self) -> Iterator[Finding]:
        """From the checkpoint of any page, through JSON and in a fresh provider, the rest comes and nothing else."""
        self.servers.home.site = self.subject.api()
        _, pages = self._fetched(None)
        for number, one in enumerate(pages[:-1], start=1):
            check = f"resume after page {number}"
            try:
                place = json.loads(json.dumps(one.next))
            except (TypeError, ValueError) as error:
                yield Finding(check, f"its checkpoint is no JSON: {error}", "a checkpoint holds texts, numbers, lists and tables only")
                return
            self.servers.home.site = self.subject.api()
            _, rest = self._fetched(place)
            if [page.items for page in rest] != [page.items for page in pages[number:]]:
                yield Finding(
                    check, "other items come than those after it", "a checkpoint alone must lead on: keep nothing in the provider"
                )

    def parts(self) -> Iterator[Finding]:
        """What its planner cuts the list into is the list."""
        yield from check_parts(self.subject, self.servers, lambda what, todo: Finding("parts", what, todo))

    def throttling(self) -> Iterator[Finding]:
        """It waits as long as it is told, by the clock that it is given."""
        slow = Fault(name="429", wire=lambda _, __: page({"error": {"message": "slow down"}}, 429, Retry_After="7"))
        trial = Trial(self.subject, slow, "first", self.servers)
        began = trial.clock.monotonic()
        trial.run()
        waited = trial.clock.monotonic() - began
        if trial.outcome == "whole" and waited < 7:
            what = f"told to wait 7 s it waits {waited:.1f} s by listing.clock"
            yield Finding("throttling", what, "keep Retry-After, and sleep by listing.clock: HTTPProvider's session does")
        yield from self._of(trial)

    def faults(self) -> Iterator[Finding]:
        """Each fault on a page: the certificate tells the truth, the error is one of ours, nothing leaves for another host."""
        for turn, fault in enumerate(one for one in self.subject.faults if not one.slow):
            places = self.subject.places(fault)
            for place in places if self.every_page else places[turn % len(places) :][:1] if places else ():
                yield from self._of(Trial(self.subject, fault, place, self.servers).run())

    def _of(self, trial: Trial) -> Iterator[Finding]:
        for wrong in trial.wrongs:
            yield Finding(wrong.where, wrong.words, wrong.law.value)

    def _fetched(self, place: Checkpoint | None) -> tuple[Provider, list[Page]]:
        provider = self.subject.make(self.servers.home.url)
        try:
            return provider, list(provider.fetch(Listing(resource=self.subject.resource, resume=place, clock=FixedClock())))
        finally:
            provider.close()

    # Reads by id.

    def lookups(self) -> Iterator[Finding]:
        """Each key gets one answer, in order, and only a proof is called one."""
        provider = self.subject.make(self.servers.home.url)
        try:
            if not provider.can_get(self.subject.resource):
                return
            keys = [self.subject.api().key(record) for record in self.subject.records[:4]]
            yield from self._several(provider, keys)
            for name, answer, wanted in ANSWERS:
                if self.by_query and UNKNOWN not in wanted:
                    # One endpoint serves all, so its status says nothing of an item.
                    wanted = {FORBIDDEN, UNKNOWN} & (wanted | {UNKNOWN})  # noqa: PLW2901 - it is this kind's own
                yield from self._one(provider, keys[0], name, answer, wanted)
        finally:
            provider.close()
        if self.servers.foreign.requests:
            what = "a read by id went to a host that nobody declared"
            yield Finding("reads by id", what, "follow no redirect, and hold every URL against the origins")
            self.servers.foreign.requests.clear()

    def _several(self, provider: Provider, keys: Sequence[str]) -> Iterator[Finding]:
        """There, there, deleted, never there, and a key that is not to be taken for a path."""
        api = self.servers.home.site = self.subject.api()
        there, gone, odd = [keys[2], keys[0]], keys[1], "no/../such?key#1"
        api.records = [record for record in api.records if api.key(record) != gone]
        api.deleted = {gone}
        batch = self.subject.declared.batch
        loose = batch is not None and batch.absent == "not_found"
        asked = [*there, gone, "nowhere", odd]
        wanted = [{FOUND}, {FOUND}, {DELETED, NOT_FOUND} if loose or self.by_query else {DELETED}, {NOT_FOUND}, {NOT_FOUND, UNKNOWN}]
        answers = list(provider.get_many(self.subject.resource, asked, clock=FixedClock()))
        if [answer.key for answer in answers] != asked:
            what = f"asked for {asked}, it answers {[answer.key for answer in answers]}"
            yield Finding("reads by id", what, "answer every key exactly once, in the order of the keys, whatever they hold")
            return
        for answer, status in zip(answers, wanted, strict=True):
            if answer.status not in status:
                yield Finding("reads by id", f"{answer.key}: {_said(answer)}, wanted {_or(status)}", WAYS_OUT[next(iter(sorted(status)))])
        for answer in answers[:2]:
            if answer.status is FOUND and json.loads(answer.item or b"null") != next(r for r in api.records if api.key(r) == answer.key):
                yield Finding("reads by id", f"{answer.key}: the item is not what was sent", "give the record alone, as it was written")

    def _one(self, provider: Provider, key: str, name: str, spoil: Callable[[str], Answer], wanted: set[LookupStatus]) -> Iterator[Finding]:
        api = self.servers.home.site = self.subject.api()
        foreign = self.servers.foreign.url

        def on_item(asked: Asked, answer: Answer) -> Answer:
            del asked, answer
            return spoil(foreign)

        api.on_item = on_item
        try:
            (answer,) = provider.get_many(self.subject.resource, [key], clock=FixedClock())
        except (ReconError, ValueError) as error:
            what = f"{name}: it raises {type(error).__name__}: {error}"
            yield Finding("reads by id", what, "answer UNKNOWN for what concerns one key, and raise only for what concerns every key")
            return
        if answer.status not in wanted:
            yield Finding("reads by id", f"{name}: {_said(answer)}, wanted {_or(wanted)}", WAYS_OUT[next(iter(sorted(wanted)))])


ANSWERS: Sequence[tuple[str, Callable[[str], Answer], set[LookupStatus]]] = (
    ("404", lambda _: page({"error": {"message": "none"}}, 404), {NOT_FOUND}),
    ("410", lambda _: page({"error": {"message": "gone"}}, 410), {DELETED}),
    ("401", lambda _: page({"error": {"message": "no"}}, 401), {FORBIDDEN}),
    ("403", lambda _: page({"error": {"message": "no"}}, 403), {FORBIDDEN}),
    ("500 for ever", lambda _: page({"error": {"message": "ill"}}, 500), {UNKNOWN}),
    ("a login page with status 200", lambda _: Answer(headers={"Content-Type": "text/html"}, pieces=[b"<html><title>Sign in"]), {UNKNOWN}),
    ("an empty body", lambda _: Answer(), {UNKNOWN}),
    ("another item", lambda _: page({"id": "another", "data": {"id": "another"}}), {UNKNOWN}),
    ("a redirect to another host", lambda foreign: Answer(status=302, headers={"Location": f"{foreign}/x"}), {UNKNOWN}),
)
WAYS_OUT: Mapping[LookupStatus, str] = {
    FOUND: "an item that is there is FOUND, with its record",
    DELETED: "410, or what the API says of a deletion (the resource's `deleted`), is DELETED",
    NOT_FOUND: "404 is NOT_FOUND, and a key is percent-encoded whole before it stands in a URL",
    FORBIDDEN: "401 and 403 say nothing of the item: FORBIDDEN, never NOT_FOUND",
    UNKNOWN: "whatever is no answer about this very item is UNKNOWN, never NOT_FOUND",
}


def _said(answer: Lookup) -> str:
    return f"{answer.status.value} ({answer.why})" if answer.why else answer.status.value


def _or(statuses: set[LookupStatus]) -> str:
    return " or ".join(sorted(status.value for status in statuses))


def _bytes(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()
