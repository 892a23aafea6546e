"""Walking a GraphQL connection: ask, cut, let pageInfo judge, make the records whole, and go on by the cursor."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from recon.clock import Clock
from recon.errors import EndlessListing, InvalidPage, PageTooLarge, RangeTooWide
from recon.fetch.cut import SAMPLE, Cut, Cutter
from recon.fetch.edges import asked, written
from recon.fetch.graphql import DATA, Connection
from recon.fetch.graphql_ask import ERRORS, Asker
from recon.fetch.graphql_records import Records, nodes_of
from recon.fetch.page import Checkpoint, End, Page, Unread
from recon.fetch.partition import Partition
from recon.fetch.rule import Ask, Facts, Invalid
from recon.fetch.transport import Response
from recon.fetch.within import check_of
from recon.job import Scalar


class GraphWalk:
    """One connection, or a range of it, from its first page or from a checkpoint."""

    def __init__(self, asker: Asker, connection: Connection, partition: Partition, clock: Clock) -> None:
        self._asker = asker
        self._connection = connection
        self._partition = partition
        self._clock = clock
        self._check = check_of(partition, connection.ranges, None)
        self._records = Records(asker, connection, clock)
        total = () if connection.total is None else (f"{DATA}.{connection.total}",)
        self._cutter = Cutter(connection.records, (*connection.paging.paths, ERRORS, *total))

    def pages(self, params: Mapping[str, Scalar], resume: Checkpoint | None) -> Iterator[Page]:
        """Every page from there on; the last carries the end's proof. Raises ProviderError leaves."""
        ask: Ask | None = self._first(params) if resume is None else Ask.of(resume)
        while ask is not None:
            page, ask = self._page(ask)
            yield page

    def _first(self, params: Mapping[str, Scalar]) -> Ask:
        declared = self._connection
        sized: dict[str, Scalar] = {declared.first: declared.page} if declared.first else {}
        given = {**params, **self._partition.params}
        terms = search_terms(declared, self._partition)
        if terms:
            own = given.get(declared.search) or declared.variables.get(declared.search)
            given[declared.search] = f"({own}) {terms}" if own else terms
        return Ask(params={**sized, **given})

    def _page(self, ask: Ask) -> tuple[Page, Ask | None]:
        subject = f"{self._connection.nodes}, page {ask.page:,}"
        response, ask = self._answer(ask, subject)
        cut = self._asker.cut(self._cutter, response.body, subject)
        facts = Facts(values=cut.values, headers=response.headers, url="", items=len(cut.items) + len(cut.unread))
        outcome = self._connection.paging.after(ask, facts)
        if isinstance(outcome, Invalid):
            msg = f"{subject}: {outcome.why}"
            raise InvalidPage(msg)
        end, following = (outcome, None) if isinstance(outcome, End) else (None, outcome.ask)
        if following is not None:
            self._prove_onward(ask, following, subject)
        items, unread = self._items(cut, subject)
        page = Page(
            items=items,
            next=following.checkpoint() if following else None,
            end=end,
            unread=unread,
            total=self._total(cut, subject),
            bytes_read=response.wire_bytes,
            scope=self._asker.session.scope_of(response),
        )
        return page, following

    def _answer(self, ask: Ask, subject: str) -> tuple[Response, Ask]:
        """The answer, and what it was asked by: too costly a page is asked for anew, smaller, and those after it are as small."""
        declared = self._connection
        while True:
            try:
                variables = {**declared.variables, declared.cursor: None, **ask.params}
                return self._asker.ask(declared.query, variables, subject=subject, clock=self._clock), ask
            except PageTooLarge:
                size = int(str(ask.params.get(declared.first, declared.least))) if declared.first else declared.least
                if declared.first is None or size <= declared.least:
                    raise
                ask = replace(ask, params={**ask.params, declared.first: max(declared.least, size // 2)})

    def _prove_onward(self, ask: Ask, following: Ask, subject: str) -> None:
        cursor = self._connection.cursor
        if following.params[cursor] == ask.params.get(cursor):
            msg = f"{subject}: endCursor is the cursor that the page was asked by, and hasNextPage is true; the listing runs in a circle"
            raise EndlessListing(msg)
        most = self._connection.most
        if most is not None and following.seen >= most:
            msg = f"{subject}: {following.seen:,} items have come, no more than {most:,} can be paged through, and there are more"
            raise RangeTooWide(msg, hint="declare ranges for this resource, or narrow what it lists")

    def _items(self, cut: Cut, subject: str) -> tuple[list[bytes], tuple[Unread, ...]]:
        items, unread = cut.items, list(cut.unread)
        if self._connection.place.edged:
            nodes = nodes_of(items)
            items = [node for node in nodes if node[:1] == b"{"]
            unread += [
                Unread(raw=edge[:SAMPLE], why="the edge holds no node")
                for edge, node in zip(cut.items, nodes, strict=True)
                if node[:1] != b"{"
            ]
        if self._check is not None:
            items, outside = self._check(items, subject)
            unread += outside
        whole, short = self._records.of(items)
        return whole, (*unread, *short)

    def _total(self, cut: Cut, subject: str) -> int | None:
        if self._connection.total is None:
            return None
        value = cut.values.get(f"{DATA}.{self._connection.total}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            msg = f"{subject}: the declared total at {self._connection.total} is {str(value)[:40]!r}, where a count is wanted"
            raise InvalidPage(msg)
        return value


def search_terms(connection: Connection, partition: Partition) -> str:
    """The terms of the search text that narrow the list to the partition's range; "" for the whole."""
    ranges = connection.ranges
    if ranges is None:
        return ""
    low, high = asked(ranges, partition)
    terms = ((ranges.low, low), (ranges.high, high))
    return " ".join(term.replace("{value}", str(written(value, ranges.form))) for term, value in terms if value is not None)
