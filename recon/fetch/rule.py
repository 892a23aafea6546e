"""What a paging rule is asked and what it answers: Ask, Facts, Next, End, Invalid, and the Paginator protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from recon.fetch.page import Checkpoint, End
from recon.fetch.path import ABSENT
from recon.job import Scalar

HEADER = "header:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one page is asked by: the query parameters, or a URL that the API itself gave; `page` counts from 1.

    `seen` is how many items the pages before it held. It begins `overlap` items before their end, and `tail` are the keys of these, where
    they could be read. `full` is the page size to come back to, where a smaller one closes in upon an item that is refused; 0: none. An Ask
    carries no credentials, and is its own checkpoint. `before` are the keys of the items before the one that it goes on from, where it goes on
    from a key: should that one be gone, the same place is asked for by them. `order` is 1 where the rows so far rise and -1 where they fall, 0
    where nobody knows; `edge` is where the last of them stands. A page that begins before that was asked for in vain.
    """

    params: Mapping[str, Scalar] = field(default_factory=dict)
    url: str | None = None
    page: int = 1
    seen: int = 0
    overlap: int = 0
    tail: tuple[str, ...] = ()
    full: int = 0
    before: tuple[str, ...] = ()
    order: int = 0
    edge: float | str | None = None

    def checkpoint(self) -> Checkpoint:
        """The same as JSON."""
        place = {"params": dict(self.params), "url": self.url, "_page": self.page, "_seen": self.seen}
        seam = {"_overlap": self.overlap, "_tail": list(self.tail)} if self.overlap else {}
        behind: dict[str, Any] = {"_before": list(self.before)} if self.before else {}
        behind |= {"_order": self.order, "_edge": self.edge} if self.order else {}
        return {**place, **seam, **behind, **({"_full": self.full} if self.full else {})}

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Ask":
        """The reverse; raises ValueError where it is no checkpoint of ours."""
        try:
            return cls(
                params=dict(checkpoint["params"]),
                url=checkpoint["url"],
                page=int(checkpoint["_page"]),
                seen=int(checkpoint["_seen"]),
                overlap=int(checkpoint.get("_overlap", 0)),
                tail=tuple(checkpoint.get("_tail", ())),
                full=int(checkpoint.get("_full", 0)),
                before=tuple(checkpoint.get("_before", ())),
                order=int(checkpoint.get("_order", 0)),
                edge=checkpoint.get("_edge"),
            )
        except (KeyError, TypeError) as error:
            msg = f"not a checkpoint of an HTTP listing: {sorted(checkpoint)}"
            raise ValueError(msg) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an answer said, as far as a rule may ask.

    `values` maps the dotted paths that the rule named to what the body holds there (paths that are not there are left out);
    `headers` has lower-case names; `url` is the one that answered, without credentials; `last_key` is given to rules with
    `needs_last_key`; `total` is the API's own count, where the resource declares one.
    """

    values: Mapping[str, Any]
    headers: Mapping[str, str]
    url: str
    items: int
    last_key: str | None = None
    total: int | None = None

    def read(self, path: str) -> Any:
        """The value at a dotted path or `header:NAME`; ABSENT where there is none."""
        if path.startswith(HEADER):
            return self.headers.get(path.removeprefix(HEADER).lower(), ABSENT)
        return self.values.get(path, ABSENT)


@dataclass(frozen=True, slots=True)
class Next:
    """There is a page after this one."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class Invalid:
    """The answer is no page of this listing; `why` names what is missing and the way out."""

    why: str


Outcome = Next | End | Invalid


@runtime_checkable
class Paginator(Protocol):
    """A paging rule.

    Must: answer `after` from its arguments alone. Must not: call anything an end that the answer does not positively say.
    """

    @property
    def paths(self) -> tuple[str, ...]:
        """The dotted paths of the body that `after` reads."""
        ...

    @property
    def needs_last_key(self) -> bool:
        """Whether `after` reads the last item's key."""
        ...

    def first(self, params: Mapping[str, Scalar]) -> Ask:
        """The first page's request."""
        ...

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        """What follows the page that `ask` brought."""
        ...
