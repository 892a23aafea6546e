"""Drift: what happens to the records between two pages of an honest list. `BETWEEN_PAGES` lists it."""

import json
from collections.abc import Callable, Sequence

from recon.testing.fault_server import Answer, page
from recon.testing.faultlab.api import Record
from recon.testing.faultlab.fault import ALL, BY_COUNT, BY_KEY, Fault, Kind, Moment, Outcome

HEALS, TRUTH, UNSEEN = Outcome.HEALS, Outcome.TRUTH, Outcome.UNSEEN
LATER = ("middle", "last")
PAGED = ALL - {"single"}


def deleted(moment: Moment) -> None:
    """An item of the first page goes, so that those behind it move up."""
    _changed(moment, lambda records: records.pop(0))


def cursor_gone(moment: Moment) -> None:
    """The last item of the page before goes: the one that a cursor may name."""
    at = moment.page.start - 1
    _changed(moment, lambda records: records.pop(max(0, at)))


def inserted(moment: Moment) -> None:
    """A new item comes in at the top, so that all others move down."""
    record = moment.api.renamed(moment.api.records[0], f"new{len(moment.api.records)}")
    _changed(moment, lambda records: records.insert(0, record))


def updated(moment: Moment) -> None:
    """Every item changes in a field that is not the key."""
    moment.api.records[:] = [{**record, "amount": -1} for record in moment.api.records]
    _anew(moment)


def turned(moment: Moment) -> None:
    """The order turns round, as where a list is sorted by what changes."""
    _changed(moment, lambda records: records.reverse())


def clamped(moment: Moment) -> None:
    """No more than half of what was asked for comes on a page, from here on."""
    moment.api.most = max(1, moment.page.size // 2)
    moment.page.size = moment.api.most
    _anew(moment)


def of_another(moment: Moment) -> None:
    """The page of another account, with places that lead on in ours."""
    moment.page.rows = [_text(moment.api.renamed(json.loads(row), f"other{at}")) for at, row in enumerate(moment.page.rows)]
    moment.page.keys = []


def starts_over(moment: Moment) -> None:
    """The list begins again without a word, since the item that the cursor names is gone."""
    page_, api = moment.page, moment.api
    first = api.records[: page_.size]
    page_.rows, page_.keys = [_text(row) for row in first], [api.key(row) for row in first]
    page_.following = page_.keys[-1]


def forgotten(moment: Moment) -> None:
    """The items that the page before ended with go, and from each of them the list begins again without a word; from those before it goes on."""
    moment.api.forgets = True
    at = moment.page.start
    _changed(moment, lambda records: records.__delitem__(slice(max(1, at - 2), at)))


def resource_missing(_: Moment, __: Answer) -> Answer:
    """Stripe's answer to a cursor whose item is gone."""
    return page({"error": {"code": "resource_missing", "message": "No such object"}}, 400)


def _changed(moment: Moment, change: Callable[[list[Record]], object]) -> None:
    change(moment.api.records)
    _anew(moment)


def _anew(moment: Moment) -> None:
    """The page is made of the records as they stand now."""
    now = moment.api.served(moment.asked)
    for name in ("start", "size", "rows", "keys", "following", "total", "pages"):
        setattr(moment.page, name, getattr(now, name))


def _text(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _moved(kind: Kind, _: str) -> Outcome:
    """Where a place is a number, what moves up over it is passed over."""
    return UNSEEN if kind in BY_COUNT else HEALS


BETWEEN_PAGES: Sequence[Fault] = (
    Fault(name="pages are half as long as asked for", edit=clamped, kinds=PAGED, places=("first",), items=True),
    Fault(name="the items of another account", edit=of_another, kinds=ALL - {"last_id"}, expects=UNSEEN, items=True),
    Fault(name="an item of an earlier page is deleted", edit=deleted, kinds=PAGED, places=LATER, expects=_moved, items=True),
    Fault(name="the item before the page is deleted", edit=cursor_gone, kinds=PAGED, places=LATER, expects=_moved, items=True),
    Fault(name="an item is inserted before the page", edit=inserted, kinds=PAGED, places=LATER, expects=HEALS, items=True, repeats=True),
    Fault(name="every item is updated", edit=updated, kinds=PAGED, places=LATER, expects=HEALS, items=True),
    Fault(name="the order turns round", edit=turned, kinds=BY_COUNT, places=LATER, expects=UNSEEN, items=True, repeats=True),
    Fault(
        name="a cursor whose item is gone begins the list anew",
        edit=starts_over,
        times=None,
        until_anew=True,
        kinds=BY_KEY,
        places=LATER,
        expects=TRUTH,
        items=True,
    ),
    Fault(
        name="a cursor whose item is gone begins the list anew, and earlier ones lead on",
        edit=forgotten,
        kinds=frozenset({"last_id"}),
        places=LATER,
        expects=HEALS,
        items=True,
    ),
    Fault(
        name="a cursor whose item is gone is refused",
        wire=resource_missing,
        times=None,
        until_anew=True,
        kinds=BY_KEY,
        places=LATER,
        expects=TRUTH,
    ),
)
