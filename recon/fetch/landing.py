"""Landing: any provider's listing into a spool, in parts side by side, with the proofs that no provider is trusted to make for itself.

A listing is whole when every part of it ended with a positive end, ranges meet from open to open, no page came twice, and no
checkpoint came twice. What cannot be had in the end leaves the others standing, and the certificate says partial and why. A third
party that is gone, or asks for a longer pause than the run may take, raises, with what arrived safe on disk for the next attempt.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from recon.clock import Clock
from recon.duration import words_of
from recon.errors import (
    CursorExpired,
    EndlessListing,
    FilterIgnored,
    ForeignOrigin,
    InvalidPage,
    LocalFault,
    ProviderError,
    RangeTooWide,
    Refused,
    Throttled,
    Unreachable,
)
from recon.fetch.certificate import certificate
from recon.fetch.coverage import Coverage
from recon.fetch.crew import Crew, Errand, crew
from recon.fetch.journal import PartState
from recon.fetch.listing import Listing, Meter
from recon.fetch.memory import hold_on
from recon.fetch.page import Page
from recon.fetch.partition import Partition, Planner, halves_of
from recon.fetch.scope import answered, discreet
from recon.fetch.spool import Spool

MAX_AGE = 6 * 3600.0
EMPTY_IN_A_ROW = 100
# Items may come and go while they are listed, so a total is a hint; twice as many and more is a listing without end.
TOTAL_FACTOR, TOTAL_SLACK = 2, 10_000
RESTARTS = 2
"""How often a part begins anew in one attempt: a cursor that dies each time leads nowhere."""
AGAIN_AFTER = (0.2, 1.0)
"""Seconds before a part is asked for again whose page was none: a login page or an error page may be gone by then."""


class Fetches(Protocol):
    """What landing needs of a provider; beside it, what of `recon.provider.Optional` there is."""

    name: str
    meter: Meter

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """As of `recon.provider.Provider`."""
        ...


def land(
    provider: Fetches,
    listing: Listing,
    spool: Spool,
    *,
    clock: Clock,
    on_page: Callable[[Coverage], None] | None = None,
    max_age: float = MAX_AGE,
) -> Coverage:
    """Fetches the listing into the spool, from where the spool stands, and answers the certificate: whole, or partial and why.

    A finished spool asks for nothing more. Pages older than `max_age` seconds are not gone on from (they have aged): the fetch
    starts anew; a part whose cursor is older than the provider says that cursors live begins anew alone. `on_page` is told after every page.
    Raises Unreachable and Throttled, ForeignOrigin, LocalFault, and any ProviderError where nothing could be had at all; the spool
    keeps every whole page.
    """
    hold_on()
    return _Landing(provider, listing, spool, clock, on_page).run(max_age)


class _Whole:
    """The plan of a listing that is fetched in one."""

    ranged = False

    def following(self, parts: Any) -> Partition | None:
        return None if parts else Partition()


class _Landing:
    def __init__(self, provider: Fetches, listing: Listing, spool: Spool, clock: Clock, on_page: Callable[[Coverage], None] | None) -> None:
        self._provider = provider
        self._listing = listing
        self._spool = spool
        self._clock = clock
        self._on_page = on_page
        self._name = f"{provider.name} {listing.resource}"
        meter = provider.meter
        self._before = Meter(requests=meter.requests, retries=meter.retries, throttled=meter.throttled)
        self._began = clock.monotonic()
        self._started_at = clock.now()
        self._resumed = False
        self._scope: dict[str, str] = {}
        self._spent_before = (0, 0, 0, 0)
        #: Of this attempt: how often a part was asked for again, and begun anew; why one will not be had; what is to be asked for next.
        self._tries: dict[int, int] = {}
        self._restarts: dict[int, int] = {}
        self._failed: dict[int, ProviderError] = {}
        self._pages_before: dict[int, int] = {}
        self._empty: dict[int, int] = {}
        #: That a page was answered for somebody else than those before it.
        self._other: InvalidPage | None = None
        self._planner: Planner = _Whole()

    # -- the whole way -----------------------------------------------------------------------------------------------------

    def run(self, max_age: float) -> Coverage:
        spool = self._spool
        before = spool.spent
        note = self._drop_old(max_age)
        prepare = getattr(self._provider, "prepare", None)
        if prepare is not None:
            prepare(self._listing)
        self._scope = discreet(self._asked("scope") or {})
        spool.drifts = bool(self._asked("drifts"))
        self._started_at = spool.begin(self._identity(), self._started_at)
        if note:
            spool.tell(note, before)
        self._spent_before = spool.spent
        self._resumed = spool.pages > 0
        if spool.finished:
            return self._certificate()
        self._forget_old_cursors(max_age)
        self._planner = self._plan()
        width = self._asked("width") or 1
        crew_ = crew(self._walk, width, self._clock)
        try:
            self._worked_off(crew_, width)
            while self._changed_since():
                self._worked_off(crew_, width)
        except ProviderError:
            self._keep_cost()
            raise
        finally:
            crew_.stop()
        if self._failed:
            self._keep_cost()
        if self._failed and not spool.pages:
            raise next(iter(self._failed.values()))
        return self._certificate()

    def _worked_off(self, crew_: Crew, width: int) -> None:
        """Whatever is open, to its end."""
        self._launch(crew_, width)
        while crew_.busy:
            taken = self._judge(*crew_.bring(), crew_)
            self._launch(crew_, width)
            if taken and self._on_page is not None:
                self._on_page(self._certificate(passing=True))

    def _changed_since(self) -> bool:
        """Whether parts that came to their end are not as they were read any more; they are begun anew, or given up where that was done too often."""
        ask = getattr(self._provider, "changed", None)
        if ask is None or not self._spool.finished:
            return False
        changed: Mapping[str, str] = ask(self._listing, [part.partition for part in self._spool.live])
        for part in [one for one in self._spool.live if one.partition.name in changed]:
            why = changed[part.partition.name]
            self._spool.begin_anew(part.number, why)
            count = self._restarts[part.number] = self._restarts.get(part.number, 0) + 1
            if count > RESTARTS:
                self._failed[part.number] = CursorExpired(why)
        return bool(changed)

    def _keep_cost(self) -> None:
        """What tries that led nowhere have cost belongs into the certificate of the attempt that gets on."""
        with suppress(LocalFault):
            self._spool.tell("", self._spent())

    def _launch(self, crew_: Crew, width: int) -> None:
        """Sends hands for what is left: parts that were begun before, then those that the planner hands out."""
        spool = self._spool
        while len(crew_.busy) < width:
            part = next((one for one in spool.live if self._is_open(one) and one.number not in crew_.busy), None)
            if part is None:
                if spool.planned:
                    return
                following = self._planner.following([one.told(self._why(one)) for one in spool.live])
                if following is None:
                    if not crew_.busy and not self._failed:
                        spool.end_plan()
                    return
                self._refuse_double(following)
                part = spool.parts[spool.hand_out(following)]
            self._pages_before.setdefault(part.number, part.pages)
            after = self._tries.get(part.number, 0)
            crew_.send(
                Errand(
                    part=part.number,
                    partition=part.partition,
                    resume=part.checkpoint,
                    after=AGAIN_AFTER[after - 1] if after else 0.0,
                )
            )

    def _why(self, part: PartState) -> str | None:
        """Why a part will not be had, where that is so: the planner goes on beyond it."""
        error = self._failed.get(part.number)
        return None if error is None else error.message

    def _is_open(self, part: PartState) -> bool:
        return part.proof is None and part.number not in self._failed

    def _walk(self, errand: Errand, clock: Clock) -> Iterator[Page]:
        listing = replace(
            self._listing, resume=errand.resume, partition=errand.partition, clock=clock, serial=self._spool.serial is not None
        )
        return self._provider.fetch(listing)

    # -- what was brought --------------------------------------------------------------------------------------------------

    def _judge(self, number: int, brought: Page | BaseException | None, crew_: Crew) -> bool:
        """A page is proven and written; what ended a walk decides how it goes on. Answers whether a page was taken."""
        part = self._spool.parts[number]
        if brought is None:
            told = f"{self._name}: {self._of(part)}the listing stopped after page {part.pages:,} without an end marker, so nothing proves it whole"
            brought = InvalidPage(told)
        if isinstance(brought, Page):
            try:
                self._take(part, brought)
            except ProviderError as error:
                crew_.recall(number)
                brought = error
            else:
                return True
        if not isinstance(brought, ProviderError) or isinstance(brought, Unreachable | Throttled | ForeignOrigin):
            raise brought
        anew = self._resumed and brought is self._other
        if anew:
            self._void(brought.message)
        else:
            self._answer(part, brought)
        for other in list(crew_.busy):
            if anew or self._spool.parts[other].dropped:
                crew_.recall(other)
        return False

    def _void(self, why: str) -> None:
        """Begins everything anew, once: what an earlier attempt left, under another account or version, is of no use beside what comes now."""
        self._resumed = False
        for part in [one for one in self._spool.live if one.pages]:
            self._spool.begin_anew(part.number, why)
        self._pages_before.clear()
        self._empty.clear()

    def _answer(self, part: PartState, error: ProviderError) -> None:
        """What becomes of a part that an error ended."""
        spool, number = self._spool, part.number
        resumed_in_vain = self._resumed and self._pages_before.get(number, 0) == part.pages > 0 and not _is_no_matter_of_place(error)
        if isinstance(error, FilterIgnored) and part.partition.narrowed and spool.serial is None:
            spool.go_serial(error.message)
            self._planner = self._plan()
            self._failed.clear()
        elif isinstance(error, RangeTooWide) and (halves := self._split(part.partition)) is not None:
            spool.drop(number, error.message, halves)
        elif isinstance(error, CursorExpired) or resumed_in_vain:
            if self._restarts.get(number, 0) >= RESTARTS:
                self._failed[number] = error
                return
            # A cursor dies with the item it names, and then no try will ever get on from there.
            why = f"page {part.pages:,} could not be gone on from ({error.message})" if part.pages else error.message
            self._restarts[number] = self._restarts.get(number, 0) + 1
            spool.begin_anew(number, why)
            self._pages_before[number] = 0
            self._empty.pop(number, None)
        elif isinstance(error, InvalidPage | EndlessListing | Refused) and spool.pages and self._tries.get(number, 0) < len(AGAIN_AFTER):
            self._tries[number] = self._tries.get(number, 0) + 1
        else:
            self._failed[number] = error

    def _take(self, part: PartState, page: Page) -> None:
        """Proves a page and writes it."""
        number = part.pages + 1
        where = f"{self._name}: {self._of(part)}page {number:,}"
        if (page.next is None) == (page.end is None):
            msg = f"{where} says {'both a next page and an end' if page.end else 'neither a next page nor an end'}"
            raise InvalidPage(msg)
        if other := self._spool.other_scope(page):
            way = "see that the credential, its rights and the API's version stay as they are while a fetch runs"
            self._other = InvalidPage(f"{where} {other}", hint=way)
            raise self._other
        earlier = self._spool.seen(page, part.number)
        if earlier is not None:
            msg = f"{where} holds the same {len(page.items):,} items as page {earlier:,}; the listing runs in a circle"
            raise EndlessListing(msg, hint="check the paging rule: a parameter that the API ignores brings the first page again and again")
        # A reissue may say what another file said; what is narrowed by a filter may not.
        reissue = self._spool.drifts and not part.partition.ranged and part.partition.shard is None
        beside = None if reissue else self._spool.seen_beside(page, part.number)
        if beside is not None:
            msg = f"{where} holds the same {len(page.items):,} items as a page of {beside.partition.name}"
            raise FilterIgnored(msg)
        if page.next is not None:
            self._prove_onward(part, page, where)
        self._spool.append(page, at=self._clock.now(), part=part.number, spent=self._spent())
        self._tries.pop(part.number, None)
        self._empty[part.number] = 0 if page.items or page.unread or page.left_out else self._empty.get(part.number, 0) + 1

    def _prove_onward(self, part: PartState, page: Page, where: str) -> None:
        assert page.next is not None
        earlier = self._spool.seen_place(page.next, part.number)
        if earlier is not None:
            msg = f"{where} leads to the same place as page {earlier:,} did; the listing runs in a circle"
            raise EndlessListing(msg)
        empty = self._empty.get(part.number, 0) + 1
        if empty > EMPTY_IN_A_ROW and not (page.items or page.unread or page.left_out):
            msg = f"{where}: {empty:,} empty pages in a row, and still no end"
            raise EndlessListing(msg)
        items = part.items + len(page.items)
        if page.total is not None and items > page.total * TOTAL_FACTOR + TOTAL_SLACK:
            msg = f"{where}: {items:,} items up to here, of a listing of {page.total:,} by the API's own count"
            raise EndlessListing(msg)

    # -- where it stands ---------------------------------------------------------------------------------------------------

    def _plan(self) -> Planner:
        ask = getattr(self._provider, "planner", None)
        planner: Planner | None = ask(replace(self._listing, clock=self._clock, serial=self._spool.serial is not None)) if ask else None
        return planner or _Whole()

    def _split(self, partition: Partition) -> tuple[Partition, Partition] | None:
        """Two ranges for one that is too wide: as the planner cuts it, where it can; else a closed one in its middle."""
        ask = getattr(self._planner, "split", None)
        if ask is None or not partition.ranged:
            return halves_of(partition)
        # Its None counts: only it knows that a day, say, cannot be cut.
        halves: tuple[Partition, Partition] | None = ask(partition)
        return halves

    def _refuse_double(self, partition: Partition) -> None:
        if any(one.partition.name == partition.name for one in self._spool.live):
            msg = f"{self._name}: its planner hands out {partition.name!r} twice"
            raise InvalidPage(msg, hint="the planner of the provider must name each part once")

    def _drop_old(self, max_age: float) -> str:
        """Empties a spool whose pages have aged; says so."""
        spool = self._spool
        if not spool.pages or spool.last_at is None:
            return ""
        age = (self._clock.now() - spool.last_at).total_seconds()
        if age <= max_age:
            return ""
        note = f"{spool.pages:,} pages from {words_of(age)} before were too old to go on from, so it was started anew"
        spool.reset()
        return note

    def _forget_old_cursors(self, max_age: float) -> None:
        """Parts whose cursor is older than the third party honours, or than any is trusted, begin anew; those that ended stand."""
        own = self._asked("cursor_age")
        age = max_age if own is None else min(own, max_age)
        for part in self._spool.live:
            if part.checkpoint is not None and part.last_at is not None:
                old = (self._clock.now() - part.last_at).total_seconds()
                if old > age:
                    self._spool.begin_anew(part.number, f"its cursor was {words_of(old)} old, and such a one leads on for {words_of(age)}")

    def _identity(self) -> dict[str, Any]:
        """What makes two listings one: where it is, as the provider tells it, and what is asked for, by whom."""
        listing = self._listing
        identity = {
            "provider": self._provider.name,
            "resource": listing.resource,
            "params": dict(listing.params),
            "place": self._asked("identity") or "",
        }
        return {**identity, "scope": self._scope} if self._scope else identity

    def _asked(self, name: str) -> Any:
        """What the provider answers to one of its optional questions; None where it has no such method."""
        method = getattr(self._provider, name, None)
        return method(self._listing.resource) if callable(method) else None

    def _of(self, part: PartState) -> str:
        return f"{part.partition.name}, " if len(self._spool.parts) > 1 else ""

    def _spent(self) -> tuple[int, int, int, int]:
        """Requests, retries, throttles and milliseconds, over all attempts."""
        meter, before, earlier = self._provider.meter, self._before, self._spent_before
        now = (
            meter.requests - before.requests,
            meter.retries - before.retries,
            meter.throttled - before.throttled,
            int((self._clock.monotonic() - self._began) * 1000),
        )
        return (earlier[0] + now[0], earlier[1] + now[1], earlier[2] + now[2], earlier[3] + now[3])

    def _certificate(self, *, passing: bool = False) -> Coverage:
        spool = self._spool
        finished_at: datetime = spool.last_at if spool.finished and spool.last_at else self._clock.now()
        return certificate(
            spool,
            provider=self._provider.name,
            resource=self._listing.resource,
            scope={**self._scope, **answered(spool.scope, getattr(self._provider, "scope_headers", {}), spool.pages)},
            failed={number: error.message for number, error in self._failed.items()},
            started_at=self._started_at,
            finished_at=finished_at,
            spent=self._spent(),
            resumed=self._resumed,
            passing=passing,
            hint=next((error.hint for error in self._failed.values() if error.hint), ""),
        )


def _is_no_matter_of_place(error: ProviderError) -> bool:
    """Whether a refusal is of the listing or of the credential, so that beginning anew leads to the same one.

    Other answers to the first request of a resumed part, 400 and 404 among them, may well be to its cursor.
    """
    return isinstance(error, Refused) and error.status in {None, 401, 403}
