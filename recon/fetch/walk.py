"""Walking a listing over HTTP: ask, cut, let the paging rule judge, and go on."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from recon.clock import Clock
from recon.duration import seconds_of, words_of
from recon.errors import BadRequest, CursorExpired, EndlessListing, FilterIgnored, InvalidPage, ItemRefused, PageTooLarge
from recon.fetch.cut import Cut, Cutter, holds, is_whole, key_at, key_of
from recon.fetch.document import placed
from recon.fetch.edges import bounds
from recon.fetch.keyset import astray, earlier, is_there, remembered, without_known
from recon.fetch.origin import Location
from recon.fetch.page import Checkpoint, End, Page, Unread
from recon.fetch.partition import Partition
from recon.fetch.path import ABSENT
from recon.fetch.resource import Resource
from recon.fetch.rule import HEADER, Ask, Facts, Invalid, Next
from recon.fetch.session import Session
from recon.fetch.smaller import around, first_size, past, smaller, widened
from recon.fetch.transport import Response
from recon.fetch.unchanged import TOLD, Unchanged, is_of
from recon.fetch.within import check_of
from recon.job import Scalar

CURSOR_GONE = (400, 404, 410)
"""What a third party says of a cursor that leads on no more: of one that is a key, and of any where it is declared that cursors die."""

NOT_MODIFIED = 304

GONE = "page {page:,} was asked for after an item before the one that it goes on from, which is gone"

REFUSED_IN_A_ROW = 25
"""Items that are stepped over one after another; where more are refused, it is the listing that is."""


class Walk:
    """One listing of one resource, or one part of it, from its first page or from a checkpoint."""

    def __init__(
        self,
        session: Session,
        resource: Resource,
        clock: Clock,
        partition: Partition | None = None,
        unchanged: Unchanged | None = None,
    ) -> None:
        self._partition = partition or Partition()
        #: The pages of the pass before, where the third party tells by their ETags that they are the same.
        self._unchanged = unchanged if resource.etags else None
        self._check = check_of(self._partition, resource.ranges, resource.shards)
        self._session = session
        self._resource = resource
        self._clock = clock
        self._cursor_age = None if resource.cursor_age is None else seconds_of(resource.cursor_age)
        #: Items that were refused, one after another.
        self._refused = 0
        self._place = session.origins.resolve(resource.path)
        body_total = () if resource.total is None or resource.total.startswith(HEADER) else (resource.total,)
        self._cutter = Cutter(resource.records, (*resource.paging.paths, *body_total))

    def pages(self, params: Mapping[str, Scalar], resume: Checkpoint | None) -> Iterator[Page]:
        """Every page from there on; the last carries the end's proof. Raises ProviderError leaves."""
        # A parameter of the job's that is None takes the resource's own one away.
        ask: Ask | None = self._resource.paging.first(self._params(params)) if resume is None else Ask.of(resume)
        given: float | None = None
        if resume is not None and "_given" in resume:
            given = self._clock.monotonic() - max(0.0, self._clock.now().timestamp() - float(resume["_given"]))
        while ask is not None:
            self._refuse_old(ask, given)
            page, ask = self._bearable(ask)
            given = self._clock.monotonic()
            yield page

    def _bearable(self, ask: Ask) -> tuple[Page, Ask | None]:
        """The page, with fewer items where the API says that it is too large; what follows is asked for by the smaller size.

        Where it does not give out an item, the item is closed in upon and stepped over, and what follows comes back to the size that was.
        """
        notes: tuple[str, ...] = ()
        while True:
            try:
                page, following = self._page(ask)
            except ItemRefused as error:
                closer = around(ask, self._resource)
                if closer is None:
                    return self._stepped_over(ask, error)
                ask = closer
            except PageTooLarge:
                found = smaller(ask, self._resource)
                if found is None:
                    raise
                ask, before, now = replace(found[0], full=0), *found[1:]
                notes = (*notes, f"page {ask.page:,} was too large with {before:,} items, and was asked for with {now:,}")
            else:
                self._refused = 0
                following = widened(following, self._resource) if following is not None else None
                page = replace(page, next=self._checkpoint(following) if following else None, notes=(*notes, *page.notes))
                return page, following

    def _stepped_over(self, ask: Ask, error: ItemRefused) -> tuple[Page, Ask]:
        """A page of nothing but the item that is refused, which is unknown, and the request of the page after it. Raises the refusal where
        the item cannot be told from others, or too many follow each other: then it is no matter of items.
        """
        following = past(ask, self._resource)
        self._refused += 1
        if following is None or self._refused > REFUSED_IN_A_ROW:
            raise error
        return Page(items=[], unread=(Unread(raw=b"", why=error.message),), next=self._checkpoint(following)), following

    def _refuse_old(self, ask: Ask, given: float | None) -> None:
        """Raises CursorExpired for a cursor that is older than the third party honours: what it would bring then is not to be trusted."""
        if self._cursor_age is None or given is None:
            return
        old = self._clock.monotonic() - given
        if old > self._cursor_age:
            msg = f"page {ask.page:,} is not asked for: its cursor is {words_of(old)} old, and such a one leads on for {words_of(self._cursor_age)}"
            raise CursorExpired(msg)

    def _params(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """What the first page is asked by: the resource's own, the job's laid over them, and the part's over those."""
        ranges = self._resource.ranges
        ends = bounds(ranges, self._partition) if ranges is not None else {}
        return {**first_size(self._resource), **self._resource.params, **params, **self._partition.params, **ends}

    def _page(self, ask: Ask) -> tuple[Page, Ask | None]:
        location = self._place if ask.url is None else self._session.origins.check(ask.url)
        subject = f"{self._resource.method} {location.path}, page {ask.page:,}"
        (response, same), known = self._same_or_asked(location, ask), None
        if response.status in CURSOR_GONE and ask.before:
            response, known = self._derived(location, ask, response)
        if response.status != 200:
            if 200 <= response.status < 300:
                msg = f"{subject} -> {response.status}: a page of records comes with 200"
                raise InvalidPage(msg)
            refusal = self._session.refusal(response, subject)
            if self._cursor_age is not None and ask.page > 1 and response.status in CURSOR_GONE:
                raise CursorExpired(refusal.message) from refusal
            raise refusal
        try:
            cut = self._cutter.cut(response.body, subject)
            if known is None and astray(ask, cut.items, self._resource):
                # What is no page says so, before anything is asked for on its account.
                self._judged(ask, self._facts(cut, response, str(location), subject), subject)
                ask, cut, response, known = self._put_right(location, ask, cut, response, subject)
            if known is not None:
                cut = without_known(cut, known, self._resource.key)
            facts = self._facts(cut, response, str(location), subject)
            outcome = self._judged(ask, facts, subject)
            overlap, notes = self._seam(ask, cut)
            items, odd = self._check(cut.items, subject) if self._check is not None else (cut.items, ())
        except (InvalidPage, FilterIgnored) as error:
            # What a body says about itself may quote the credential.
            raise self._session.masked(error) from error.__cause__
        end, following = (outcome, None) if isinstance(outcome, End) else (None, self._with_tail(outcome.ask, cut))
        if following is not None:
            following = remembered(ask, following, cut.items, self._resource)
            # What was asked for another way has the ETag of that request, not of this one.
            if self._unchanged is not None and not same and known is None:
                self._unchanged.keep(_request(location, ask), response, self._clock)
        without = self._resource.without
        kept = items if without is None else [item for item in items if not holds(item, without)]
        page = Page(
            items=kept,
            next=following.checkpoint() if following else None,
            end=end,
            unread=(*cut.unread, *odd),
            total=facts.total,
            bytes_read=response.wire_bytes,
            left_out=len(items) - len(kept),
            # Where some are left out, nothing says how many of the first ones still are.
            overlap=overlap if len(kept) == len(cut.items) else 0,
            scope=self._session.scope_of(response),
            notes=(*notes, *((TOLD,) if same else ()), *((GONE.format(page=ask.page),) if known is not None else ())),
        )
        return page, following

    def _derived(self, location: Location, ask: Ask, refused: Response) -> tuple[Response, frozenset[str] | None]:
        """The same page asked for by the items before the one that it goes on from, and what of it is known; the refusal where that leads nowhere."""
        for other, known in earlier(ask, self._resource):
            response = self._asked(location, other)
            if response.status == 200 and self._leads_on(response, known):
                return response, known
            if response.status not in CURSOR_GONE:
                break
        return refused, None

    def _put_right(
        self, location: Location, ask: Ask, cut: Cut, response: Response, subject: str
    ) -> tuple[Ask, Cut, Response, frozenset[str] | None]:
        """The page for one that begins before the row it was to go on from, as where the listing begins anew since that item is gone.

        It is asked for by the items before that one. Where the item turns out to be there, the rows have another order, and the page stands.
        Raises EndlessListing where all of them lead to the beginning.
        """
        tried = 0
        for other, known in earlier(ask, self._resource):
            tried += 1
            found = self._asked(location, other)
            if found.status != 200:
                continue
            page = self._cutter.cut(found.body, subject)
            if is_there(ask, page.items, self._resource):
                return replace(ask, order=0), cut, response, None
            begins = key_of(page.items[0], self._resource.key) if page.items else None
            if (begins in known or not astray(ask, page.items, self._resource)) and self._leads_on(found, known):
                return ask, page, found, known
        msg = f"{subject} begins with a row before the one that it goes on from, and so it does {tried} items further back; the listing runs in a circle"
        raise EndlessListing(msg, hint="does the API honour the parameter of last_id? check param in the resource's paging")

    def _leads_on(self, response: Response, known: frozenset[str]) -> bool:
        """Whether it has an item that is not known, or is the end; a page of what is known leads back to where it was refused."""
        try:
            cut = self._cutter.cut(response.body, "")
        except InvalidPage:
            return False
        ends = any(value is False for value in cut.values.values())
        return ends or bool(cut.unread) or any(key_of(item, self._resource.key) not in known for item in cut.items)

    def _same_or_asked(self, location: Location, ask: Ask) -> tuple[Response, bool]:
        """The answer to a page's request, and whether it is the one of the pass before: the first pass asks for each page outright."""
        request = _request(location, ask)
        etag = None
        if self._unchanged is not None and self._partition.turn > 1 and self._resource.body is None:
            etag = self._unchanged.etag(request, self._clock)
        if etag is None or self._unchanged is None:
            return self._asked(location, ask), False
        told = self._session.get(location, params=ask.params, unless=etag, clock=self._clock)
        if told.status != NOT_MODIFIED:
            return told, False
        # A cache on the way may mean another answer than the one that is kept here.
        return (self._unchanged.answer(request, told), True) if is_of(told, etag) else (self._asked(location, ask), False)

    def _asked(self, location: Location, ask: Ask) -> Response:
        """The answer to a page's request: its parameters in the query, or put into the document that is posted."""
        body = self._resource.body
        if body is None:
            return self._session.get(location, params=ask.params, clock=self._clock)
        try:
            document = msgspec.json.encode(placed(body, ask.params))
        except ValueError as error:
            raise BadRequest(str(error), hint="a parameter's name is its dotted path in the resource's body") from None
        return self._session.post(location, document, clock=self._clock)

    def _checkpoint(self, ask: Ask) -> Checkpoint:
        """The request of the page after this one, and when its cursor was given, where that counts."""
        checkpoint = ask.checkpoint()
        return checkpoint if self._cursor_age is None else {**checkpoint, "_given": self._clock.now().timestamp()}

    def _seam(self, ask: Ask, cut: Cut) -> tuple[int, tuple[str, ...]]:
        """How many of the first items the page before ended with; none, and a note, where the listing shifted in between."""
        if not ask.tail or cut.unread:
            # Where an item cannot be read, nothing says at which place it stands.
            return 0, ()
        if self._keys(cut.items[: ask.overlap]) == ask.tail:
            return ask.overlap, ()
        what = "item" if ask.overlap == 1 else f"{ask.overlap:,} items"
        return 0, (f"page {ask.page:,} does not begin with the last {what} of the page before: the listing shifted while it was read",)

    def _with_tail(self, ask: Ask, cut: Cut) -> Ask:
        """The next page's request with the keys that it is to begin with."""
        return replace(ask, tail=self._keys(cut.items[-ask.overlap :])) if ask.overlap and not cut.unread else ask

    def _keys(self, items: Sequence[bytes]) -> tuple[str, ...]:
        """Their keys; none where one of them has none."""
        keys = [key_of(item, self._resource.key) for item in items]
        return tuple(key for key in keys if key is not None) if None not in keys else ()

    def _judged(self, ask: Ask, facts: Facts, subject: str) -> Next | End:
        """What the paging rule says; a URL to go on to is judged now, while the page that led there is at hand, and again when it is asked for."""
        outcome = self._resource.paging.after(ask, facts)
        if isinstance(outcome, Invalid):
            msg = f"{subject}: {outcome.why}"
            raise InvalidPage(msg)
        if isinstance(outcome, Next) and not all(is_whole(str(value)) for value in (*outcome.ask.params.values(), outcome.ask.url or "")):
            msg = f"{subject}: what leads on to the next page has half a character in it, and cannot be sent"
            raise InvalidPage(msg)
        if isinstance(outcome, Next) and outcome.ask.url is not None:
            url = str(self._session.origins.check(outcome.ask.url))
            return Next(replace(outcome.ask, url=self._session.uncredentialed(url)))
        return outcome

    def _facts(self, cut: Cut, response: Response, url: str, subject: str) -> Facts:
        facts = Facts(
            values=cut.values,
            headers=response.headers,
            url=url,
            items=len(cut.items) + len(cut.unread),
            last_key=key_at(cut.last, self._resource.key) if cut.last and self._resource.paging.needs_last_key else None,
        )
        if self._resource.total is None:
            return facts
        return replace(facts, total=_total(facts.read(self._resource.total), self._resource.total, subject))


def _request(location: Location, ask: Ask) -> Hashable:
    """What tells a page's request from another's."""
    return str(location), tuple(sorted(ask.params.items()))


def _total(value: Any, path: str, subject: str) -> int:
    if isinstance(value, str) and path.startswith(HEADER) and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        what = "is not there" if value is ABSENT else f"is {str(value)[:40]!r}"
        msg = f"{subject}: the declared total at {path} {what}, where a count is wanted"
        raise InvalidPage(msg)
    return value
