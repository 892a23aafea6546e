"""GraphQL: one list behind a query, as a provider file or recon.toml declares it. Declarations only.

A list is a connection as Relay defines it (https://relay.dev/graphql/connections.htm, read 2026-11): `nodes` or `edges { node }`, and
`pageInfo { hasNextPage endCursor }`. A connection inside a record pages too: it is declared as `Nested`, read to its end, and handed
on as the plain list of its nodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recon.fetch.paging import CursorInBody, Paginator, Single
from recon.fetch.resource import Resource

DATA = "data"
EDGES = ".edges.node"
NODES = ".nodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an answer holds a connection: `orders.nodes` or `orders.edges.node`, below `data`. Raises ValueError for any other."""

    nodes: str

    def __post_init__(self) -> None:
        if not self.nodes.endswith((EDGES, NODES)) or not all(self.nodes.split(".")):
            msg = f"nodes = {self.nodes!r} is no connection's; it ends in .nodes or in .edges.node, such as orders.nodes"
            raise ValueError(msg)

    @property
    def edged(self) -> bool:
        """Whether each node stands inside an edge."""
        return self.nodes.endswith(EDGES)

    @property
    def connection(self) -> str:
        """The connection itself."""
        return f"{DATA}.{self.nodes.removesuffix(EDGES if self.edged else NODES)}"

    @property
    def array(self) -> str:
        """The array of nodes, or of edges."""
        return f"{self.connection}.{'edges' if self.edged else 'nodes'}"

    @property
    def more(self) -> str:
        """Whether a page follows."""
        return f"{self.connection}.pageInfo.hasNextPage"

    @property
    def end(self) -> str:
        """The cursor that leads there."""
        return f"{self.connection}.pageInfo.endCursor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """A connection inside a record, at the record's field `name`, of which the listing's query asks for the first page, `pageInfo` included.

    `query` brings the pages after it: `nodes` says where they are; the record's id, its field `of`, goes into the variable `parent`, the
    cursor into `cursor`, and `page` items are asked for in `first`. `most` bounds what one record may hold. `kind` is the nodes' type, by
    which a bulk export, that knows no names of fields, tells them apart.
    """

    name: str
    query: str
    nodes: str
    of: str = "id"
    parent: str = "id"
    cursor: str = "after"
    first: str | None = "first"
    page: int = 100
    most: int = 100_000
    kind: str = ""

    def __post_init__(self) -> None:
        _ = self.place
        if not self.name or "." in self.name:
            msg = f"nested name = {self.name!r} is no field of the record itself"
            raise ValueError(msg)

    @property
    def place(self) -> Place:
        """Where the answer to `query` holds the connection."""
        return Place(nodes=self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ById:
    """A query that reads items by id: one (`record` holds it, or null), or, with `size` above 1, several (`record` holds as many, in their order)."""

    query: str
    record: str
    variable: str = "id"
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1 or not self.record:
            msg = "a query by id says at which path its record is, and reads one at the least"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class Connection(Resource):
    """A list behind a GraphQL query; of `Resource` it has `key`, `link`, `lag`, `total` (below `data`), `ranges`, `parallel`, `cursor_age`.

    `nodes` is where an answer holds the items, `variables` what every request carries beside the cursor (in `cursor`) and the page's
    size (`page`, in `first`; None where the query fixes it). Told that a page costs too much, it is halved, down to `least`.
    `one` and `many` read by id. `ranges` narrows by terms of a search text, which goes into the variable `search`: its `low` and `high`
    are those terms, with `{value}` in them. More than `most` items cannot be paged through: such a range is too wide.

    Raises ValueError for a declaration that cannot be.
    """

    query: str
    nodes: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    cursor: str = "after"
    first: str | None = "first"
    page: int = 100
    least: int = 1
    most: int | None = None
    search: str = "query"
    one: ById | None = None
    many: ById | None = None
    nested: Sequence[Nested] = ()

    path: str = field(init=False, default="")
    records: str = field(init=False, default="")
    paging: Paginator = field(init=False, default=Single())

    def __post_init__(self) -> None:
        place = self.place
        other = [name for name in ("get", "shards", "size", "batch", "passes") if getattr(self, name) is not None]
        if other or self.params:
            msg = f"{(other or ['params'])[0]} is of a list by URL; a query has variables, first and page, one and many"
            raise ValueError(msg)
        # Frozen, and derived once: what the rest of the engine asks every resource for.
        object.__setattr__(self, "records", place.array)
        object.__setattr__(self, "paging", CursorInBody(param=self.cursor, at=place.end, more=place.more))
        for name, text in (("query", self.query), *((f"nested {inner.name}: query", inner.query) for inner in self.nested)):
            _asks_for(name, text)
        for bound in (self.ranges.low, self.ranges.high) if self.ranges else ():
            if "{value}" not in bound:
                msg = f"{bound!r} has no {{value}} in it, where a bound of the range belongs"
                raise ValueError(msg)
        if not 1 <= self.least <= self.page:
            msg = f"pages of {self.page:,} items cannot be made smaller down to {self.least:,}"
            raise ValueError(msg)
        super().__post_init__()

    @property
    def place(self) -> Place:
        """Where an answer holds the connection."""
        return Place(nodes=self.nodes)


def _asks_for(name: str, text: str) -> None:
    """A query that does not ask whether there is more can prove nothing; said at once, and not on the first page."""
    for word in ("pageInfo", "hasNextPage", "endCursor"):
        if word not in text:
            msg = f"{name} does not ask for {word}, without which no page proves the end; add pageInfo {{ hasNextPage endCursor }}"
            raise ValueError(msg)
