"""Resource: one list at a third party, as a provider file or recon.toml declares it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from recon.duration import seconds_of
from recon.fetch.document import KEY, holds_mark, placed
from recon.fetch.narrowing import Batch, PageSize, Ranges, Shards
from recon.fetch.paging import LinkHeader, NextUrlInBody, NextUrlInHeader, Paginator
from recon.job import Scalar


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Where a list is, how it is cut into pages and items, and how one item is read.

    Raises ValueError for a declaration that cannot be.
    """

    #: Relative to the base URL: `charges`.
    path: str
    #: The paging rule, from `recon.fetch.paging`.
    paging: Paginator
    #: Dotted path of the array of records in the body; "" where the body itself is the array.
    records: str
    #: Dotted path of a record's key.
    key: str = "id"
    #: The document that the list is asked for with by POST, where it is: the parameters of each page, of the resource and of the job are put
    #: into it by their dotted paths. None: it is asked for by GET, with them in the query.
    body: Mapping[str, object] | None = None
    #: Path of one item, `charges/{key}`; the key is percent-encoded. None: items cannot be read by id.
    get: str | None = None
    #: The document that one item is asked for with by POST: `"{key}"`, whole, becomes the key. Such a `get` needs no `{key}`.
    get_body: Mapping[str, object] | None = None
    #: Dotted path of the record in that body; "" where the body itself is the record. By POST it may be a list, which is empty where there is none.
    get_record: str = ""
    #: Parameters of the listing; the job's own are laid over them.
    params: Mapping[str, Scalar] = field(default_factory=dict)
    #: Query parameters of a read by id.
    get_params: Mapping[str, Scalar] = field(default_factory=dict)
    #: `("deleted", True)`: what the body of a read by id holds, at a dotted path, where the item was deleted.
    deleted: tuple[str, Scalar] | None = None
    #: What an item holds, at a dotted path, that is none of this resource's though the list has it: it is left out, and counted.
    without: str | None = None
    #: Dotted path of the keys that an item took the place of (a list, or a text with `;` between them): what was merged away is deleted.
    merged: str | None = None
    #: Dotted path, or `header:NAME`, of the API's own count of the listing.
    total: str | None = None
    #: A page for people: `https://dashboard.example/{key}`.
    link: str | None = None
    #: For how long after a change the listing, or a read by id, may still show the old state: `"30s"`, or seconds.
    lag: str | float = 0.0
    #: How the listing is cut into ranges or shards that are fetched side by side; at most one of the two.
    ranges: Ranges | None = None
    shards: Shards | None = None
    #: How many parts are fetched side by side, where it is cut.
    parallel: int = 4
    #: How the page size is asked for, where the paging rule does not say it itself.
    size: PageSize | None = None
    #: One request for several items by id.
    batch: Batch | None = None
    #: For how long a cursor leads on: `"5m"`, or seconds; None: for as long as any.
    cursor_age: str | float | None = None
    #: How often the listing, or each part of it, is passed over; by default twice where its pages shift while items come and go, else once.
    passes: int | None = None
    #: Whether the list's ETags can be relied on: in a further pass, a page that has not changed is answered with 304 and not sent again.
    etags: bool = False

    @property
    def turns(self) -> int:
        """How often it, or each part of it, is passed over."""
        return self.passes or (2 if self.drifts else 1)

    @property
    def drifts(self) -> bool:
        """Whether its pages shift while items come and go; a single pass that is asked for by name says that none do."""
        counted = bool(getattr(self.paging, "drifts", False))
        return (self.passes or 0) > 1 or (counted and (self.passes != 1 or getattr(self.paging, "overlap", 0) > 0))

    def __post_init__(self) -> None:
        for name, text in (("get", None if self.get_body is not None else self.get), ("link", self.link)):
            if text is not None and "{key}" not in text:
                msg = f"{name}={text!r} has no {{key}} in it"
                raise ValueError(msg)
        self._refuse_odd_documents()
        seconds_of(self.lag)
        if self.cursor_age is not None:
            seconds_of(self.cursor_age)
        if self.ranges is not None and self.shards is not None:
            msg = "ranges and shards are two ways of cutting one listing; give one of them"
            raise ValueError(msg)
        if self.etags and (self.turns == 1 or self.body is not None):
            why = "a list by POST has none" if self.body is not None else "this list is passed over once; give it passes=2"
            msg = f"etags spare what a further pass need not send again, and {why}"
            raise ValueError(msg)
        body = [p for p in (*self.paging.paths, self.total or "") if p and not p.startswith("header:")]
        if not self.records and body:
            msg = f'records="" says that the body is the array itself, so {body[0]} cannot be in it; use a header or a Link'
            raise ValueError(msg)
        for path in (self.records, self.key, self.get_record, self.without or "", self.merged or "", *body):
            if path and not all(path.split(".")):
                msg = f"{path!r} is no dotted path"
                raise ValueError(msg)

    @property
    def method(self) -> str:
        """How the list is asked for."""
        return "GET" if self.body is None else "POST"

    def _refuse_odd_documents(self) -> None:
        if self.get_body is not None and (self.get is None or not holds_mark(self.get_body, KEY)):
            msg = "get_body needs a get that it is sent to" if self.get is None else 'get_body has no "{key}" in it'
            raise ValueError(msg)
        if self.body is None:
            return
        if isinstance(self.paging, NextUrlInBody | NextUrlInHeader | LinkHeader):
            msg = "a list that is asked for by POST has no next URL: its paging is none, cursor, last_id, page or offset"
            raise ValueError(msg)
        named = [getattr(self.paging, name, None) for name in ("param", "size_param", "limit_param")]
        cut = [] if self.ranges is None else [self.ranges.low, self.ranges.high]
        cut += [] if self.shards is None else [self.shards.param]
        cut += [] if self.size is None else [self.size.param]
        placed(self.body, dict.fromkeys([*self.params, *(name for name in (*named, *cut) if name)], 0))
