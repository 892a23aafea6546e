"""Records of a GraphQL list made whole: each nested connection read to its end and put into its parent, as the plain list of its nodes.

A record whose nested list cannot be completed is `Unread`, with the reason: never a short one.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from recon.clock import Clock
from recon.errors import EndlessListing, InvalidPage, ItemRefused, OversizedBody, PageTooLarge, RangeTooWide, Refused
from recon.fetch.cut import LINE_ENDS, Cut, Cutter, loose
from recon.fetch.graphql import Connection, Nested
from recon.fetch.graphql_ask import ERRORS, Asker
from recon.fetch.page import Unread
from recon.fetch.path import at_path

#: What concerns one record alone. All else (no answer, no credential, too fast) concerns the fetch, and is raised.
OF_ONE_RECORD = (InvalidPage, EndlessListing, ItemRefused, OversizedBody, PageTooLarge, RangeTooWide, Refused)
SAMPLE = 2048
#: A quotation mark inside a text is written \", so no text can look like this.
GOES_ON = re.compile(rb'"hasNextPage"\s*:\s*true')


class PageInfo(msgspec.Struct, rename="camel"):
    """Relay's pageInfo; both fields are asked for, so a missing one is an answer that proves nothing."""

    has_next_page: bool
    end_cursor: str | None = None


class Edge(msgspec.Struct):
    """One edge: only its node counts."""

    node: msgspec.Raw


class Inner(msgspec.Struct, rename="camel"):
    """A nested connection as the listing's query brought it."""

    page_info: PageInfo
    nodes: list[msgspec.Raw] | None = None
    edges: list[Edge] | None = None

    def items(self) -> list[msgspec.Raw] | None:
        """Its nodes; None where it has neither form."""
        return self.nodes if self.nodes is not None else [edge.node for edge in self.edges] if self.edges is not None else None


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_INNER = msgspec.json.Decoder(Inner).decode
_EDGE = msgspec.json.Decoder(Edge).decode


class Short(Exception):
    """A record that cannot be completed, and why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Records:
    """Makes the records of one connection whole."""

    def __init__(self, asker: Asker, connection: Connection, clock: Clock) -> None:
        self._asker = asker
        self._connection = connection
        self._clock = clock
        self._cutters = {inner.name: Cutter(inner.place.array, (inner.place.more, inner.place.end, ERRORS)) for inner in connection.nested}

    def of(self, items: Sequence[bytes]) -> tuple[list[bytes], list[Unread]]:
        """The records, each on one line, in order, and those that cannot be had whole. Raises ProviderError leaves."""
        whole: list[bytes] = []
        unread: list[Unread] = []
        for item in items:
            try:
                whole.append(self.whole(item))
            except Short as short:
                unread.append(Unread(raw=item[:SAMPLE], why=short.why))
        return whole, unread

    def whole(self, item: bytes) -> bytes:
        """One record; raises Short, and ProviderError leaves for what concerns more than this one."""
        if self._connection.nested:
            fields = _OBJECT(item)
            for nested in self._connection.nested:
                fields[nested.name] = msgspec.Raw(b"[" + b",".join(bytes(node) for node in self._nodes(nested, fields, item)) + b"]")
            item = msgspec.json.encode(fields).translate(LINE_ENDS)
        if GOES_ON.search(item):
            short = "a connection inside it goes on beyond what came, and it is not declared as nested, so the record would be short"
            raise Short(short)
        return item

    def _nodes(self, nested: Nested, fields: dict[str, msgspec.Raw], item: bytes) -> list[msgspec.Raw]:
        """All nodes of a nested connection: those that came with the record, and those of the pages after them."""
        given = fields.get(nested.name)
        try:
            inner = _INNER(given) if given is not None else None
        except msgspec.DecodeError as error:
            short = f"{nested.name} is no connection with pageInfo {{ hasNextPage endCursor }}: {error}"
            raise Short(short) from None
        nodes = inner.items() if inner is not None else None
        if inner is None or nodes is None:
            short = f"{nested.name} is not there, or it has neither nodes nor edges"
            raise Short(short)
        if inner.page_info.has_next_page:
            parent = at_path(loose(item), nested.of)
            try:
                for more in self._pages(nested, parent, inner.page_info.end_cursor):
                    nodes += more
                    if len(nodes) > nested.most:
                        short = f"{nested.name} has more than {nested.most:,} nodes"
                        raise Short(short)
            except OF_ONE_RECORD as error:
                short = f"{nested.name} could not be read to its end: {error}"
                raise Short(short) from None
        if any(bytes(node)[:1] != b"{" for node in nodes):
            short = f"{nested.name} holds something that is no object"
            raise Short(short)
        return nodes

    def _pages(self, nested: Nested, parent: object, cursor: str | None) -> Iterator[list[msgspec.Raw]]:
        """The pages after the first. A cursor that comes a second time runs in a circle."""
        if not isinstance(parent, str | int) or isinstance(parent, bool):
            short = f"the record has no {nested.of}, by which the rest of {nested.name} is asked for"
            raise Short(short)
        seen: set[str] = set()
        size = nested.page
        number = 1
        while True:
            subject = f"{nested.name} of {str(parent)[:80]}"
            if not cursor or cursor in seen:
                short = f"{nested.name}: page {number:,} leads {'nowhere' if not cursor else 'to where an earlier one led'}, and says that there is more"
                raise Short(short)
            seen.add(cursor)
            number += 1
            cut, size = self._page(nested, {nested.parent: parent, nested.cursor: cursor}, size, subject)
            yield [msgspec.Raw(item) for item in (nodes_of(cut.items) if nested.place.edged else cut.items)]
            more = cut.values.get(nested.place.more)
            if not isinstance(more, bool):
                short = f"{nested.name}: page {number:,} does not say whether there is more"
                raise Short(short)
            if not more:
                return
            end = cut.values.get(nested.place.end)
            cursor = end if isinstance(end, str) else None

    def _page(self, nested: Nested, variables: dict[str, object], size: int, subject: str) -> tuple[Cut, int]:
        """One page, and the size that it could be had in."""
        while True:
            sized = {**variables, nested.first: size} if nested.first else variables
            try:
                response = self._asker.ask(nested.query, sized, subject=subject, clock=self._clock)
            except PageTooLarge:
                if nested.first is None or size == 1:
                    raise
                size = max(1, size // 2)
                continue
            cut = self._asker.cut(self._cutters[nested.name], response.body, subject)
            if cut.unread:
                short = f"{nested.name}: {cut.unread[0].why}"
                raise Short(short)
            return cut, size


def nodes_of(edges: Sequence[bytes]) -> list[bytes]:
    """The nodes of edges, as they were written; `null` for an edge without one, which is no record then."""
    return [_node_of(edge) for edge in edges]


def _node_of(edge: bytes) -> bytes:
    try:
        return bytes(_EDGE(edge).node)
    except msgspec.DecodeError:
        return b"null"
