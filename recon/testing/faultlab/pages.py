"""Faults of the page: an answer that is whole and a page that is not what it should be. `IN_THE_PAGE` lists them."""

import json
from collections.abc import Callable, Sequence

from recon.testing.faultlab.fault import ALL, BY_COUNT, BY_KEY, BY_URL, UNTIL_EMPTY, Fault, Kind, Moment, Outcome

Edit = Callable[[Moment], None]
HEALS, STOPS, TRUTH, UNSEEN = Outcome.HEALS, Outcome.STOPS, Outcome.TRUTH, Outcome.UNSEEN
TOTALS = frozenset({"page total", "offset total"})
FLAGS = frozenset({"last_id", "page more", "offset more"})
CURSORS = BY_URL | {"cursor"}
MARKED = ALL - UNTIL_EMPTY - {"single"}
ONWARD = ("first", "middle")


def array(value: object) -> Edit:
    """Something else where the records should be."""

    def edit(moment: Moment) -> None:
        moment.page.array = value
        _withheld(moment)

    return edit


def _withheld(moment: Moment) -> None:
    moment.page.rows, moment.page.keys = [], []


def no_array(moment: Moment) -> None:
    """No record path at all: the rows stand under another name."""
    _withheld(moment)
    moment.page.before = b'{"success": true} '


def poison(text: bytes, *, at: int = 1) -> Edit:
    """An item with this in it, in place of one of the page's: `%s` is the item's own text."""

    def edit(moment: Moment) -> None:
        rows = moment.page.rows
        if rows:
            place = at if -len(rows) <= at < len(rows) else 0
            rows[place] = text.replace(b"%s", rows[place].rstrip(b"}"))

    return edit


def before(text: bytes) -> Edit:
    """These bytes before the body."""

    def edit(moment: Moment) -> None:
        moment.page.before = text

    return edit


def marker(value: object) -> Edit:
    """This where the next cursor, URL or flag should be."""

    def edit(moment: Moment) -> None:
        moment.page.instead = value

    return edit


def abroad(url: Callable[[Moment], str]) -> Edit:
    """A next URL on a host that nobody declared."""

    def edit(moment: Moment) -> None:
        moment.page.instead = url(moment)

    return edit


def unmarked(moment: Moment) -> None:
    """The end marker is left out."""
    moment.page.marked = False


def early(moment: Moment) -> None:
    """The end, said of a page that is not the last."""
    page = moment.page
    page.following = None
    page.pages = page.number
    page.total = page.start + len(page.rows)


def never(moment: Moment) -> None:
    """On the last page: there is more, at a place that was come to before."""
    page = moment.page
    page.following = _earlier(moment, 0)
    page.pages, page.total = page.number + 1, page.start + len(page.rows) + 1


def circle(moment: Moment) -> None:
    """The next page is the one that this page is."""
    page = moment.page
    page.following = _earlier(moment, page.start)


def _earlier(moment: Moment, start: int) -> str:
    api = moment.api
    return "~" if start == 0 else api.key(api.records[start - 1])


def again(moment: Moment) -> None:
    """The page before, with all that it said."""
    page, size = moment.page, moment.page.size
    overlap = getattr(moment.api.resource.paging, "overlap", 0) if page.start else 0
    start = page.start
    if start == 0 and page.keys:
        # Of a part's first page that is the page before it in the whole list.
        start = next(at for at, record in enumerate(moment.api.records) if moment.api.key(record) == page.keys[0])
    rows = moment.api.records[max(0, start - size + overlap) : start + overlap]
    page.rows = [json.dumps(row, separators=(",", ":")).encode() for row in rows]
    page.keys = [moment.api.key(row) for row in rows]
    page.following = moment.api.key(rows[-1]) if rows else page.following


def empty(moment: Moment) -> None:
    """No items, and a next place that brings them."""
    page = moment.page
    page.following = "~" + _earlier(moment, page.start).removeprefix("~")
    _withheld(moment)


def hole(moment: Moment) -> None:
    """No items, and a next place behind them."""
    _withheld(moment)


def short(moment: Moment) -> None:
    """One item, and a next place behind it."""
    page = moment.page
    page.rows, page.keys = page.rows[:1], page.keys[:1]
    if page.keys:
        page.following = page.keys[0]


def lossy(moment: Moment) -> None:
    """One item less than there is, as from a server that filters after it has paged."""
    page = moment.page
    page.rows, page.keys = [*page.rows[:1], *page.rows[2:]], [*page.keys[:1], *page.keys[2:]]


def counted(change: Callable[[int], object]) -> Edit:
    """Another count than there is."""

    def edit(moment: Moment) -> None:
        moment.page.total, moment.page.pages = change(moment.page.total), change(moment.page.pages)

    return edit


def twice(moment: Moment) -> None:
    """An item of the page a second time."""
    page = moment.page
    if page.rows:
        page.rows = [page.rows[0], *page.rows]


def from_before(moment: Moment) -> None:
    """An item of the page before, in front of the page's own."""
    page, api = moment.page, moment.api
    if page.start:
        page.rows = [json.dumps(api.records[page.start - 1], separators=(",", ":")).encode(), *page.rows]


def _by(**given: Outcome) -> Callable[[Kind, str], Outcome]:
    """An outcome by paging kind, `_` for a space; `other` for the rest."""
    table = {name.replace("_", " ") if name.startswith(("page", "offset")) else name: outcome for name, outcome in given.items()}
    return lambda kind, _: table.get(kind, table["other"])


def _empties(kind: Kind, _: str) -> Outcome:
    return UNSEEN if kind in UNTIL_EMPTY else STOPS


def _onward(_: Kind, place: str) -> Outcome:
    """Where a flag says that this is the last page, nobody looks at what should lead on."""
    return TRUTH if place == "last" else STOPS


def _less(kind: Kind, _: str) -> Outcome:
    """A row that is held back: where a count stands beside the rows it is missed, else nothing tells."""
    return TRUTH if kind in ("page total", "single") else UNSEEN


def _more(kind: Kind, _: str) -> Outcome:
    """A row too many pushes what is counted off its place."""
    return UNSEEN if kind in BY_COUNT else TRUTH if kind == "single" else HEALS


def _count_less(kind: Kind, place: str) -> Outcome:
    return HEALS if place == "last" else UNSEEN if kind in TOTALS or kind == "page pages" else HEALS


SHAPES: Sequence[Fault] = (
    Fault(name="the record path is null", edit=array(None), times=None, expects=STOPS, says="no array|the body is no array"),
    Fault(name="an object for the array", edit=array({"0": {"id": "a"}}), times=None, expects=STOPS, says="no array"),
    Fault(name="a text for the array", edit=array("none"), times=None, expects=STOPS, says="no array"),
    Fault(name="the record path is null, once", edit=array(None), expects=TRUTH),
    Fault(name="something before the JSON", edit=no_array, times=None, expects=STOPS, says="no array|no JSON|cut or broken"),
    Fault(name="a byte order mark", edit=before(b"\xef\xbb\xbf"), times=None),
    Fault(name="white space and line ends around", edit=before(b" \r\n\t\n"), times=None),
)
MARKERS: Sequence[Fault] = (
    Fault(name="no end marker", edit=unmarked, times=None, kinds=MARKED, expects=STOPS, says="is not there|no cursor"),
    Fault(name="an end marker too early", edit=early, times=None, kinds=MARKED, places=ONWARD, expects=UNSEEN),
    Fault(name="a flag that is a text", edit=marker("yes"), times=None, kinds=FLAGS, expects=STOPS, says="true or false is wanted"),
    Fault(
        name="a next place that is true",
        edit=marker(True),
        times=None,
        kinds=frozenset({"cursor", "next_url"}),
        expects=_onward,
        says="True",
    ),
    Fault(
        name="a next place that is a list",
        edit=marker([1]),
        times=None,
        kinds=frozenset({"cursor", "next_url"}),
        expects=_onward,
        says=r"\[1\]",
    ),
    Fault(name="a next URL that is none", edit=marker("http://[::1"), times=None, kinds=BY_URL, expects=STOPS, says="URL|read"),
    Fault(
        name="a next URL on another host",
        edit=abroad(lambda m: f"{m.foreign}{m.asked.target}"),
        times=None,
        kinds=BY_URL,
        expects=STOPS,
        says="not declared",
    ),
    Fault(
        name="a next URL without a scheme, on another host",
        edit=abroad(lambda m: f"//{m.foreign.partition('://')[2]}/"),
        times=None,
        kinds=BY_URL,
        expects=STOPS,
        says="not declared",
    ),
    Fault(
        name="a next URL with a host that looks like the API's",
        edit=abroad(lambda m: f"http://{m.asked.headers['host']}@{m.foreign.partition('://')[2]}/"),
        times=None,
        kinds=BY_URL,
        expects=STOPS,
        says="not followed|not declared|user",
    ),
    Fault(
        name="a next URL of another scheme",
        edit=abroad(lambda _: "file:///etc/passwd"),
        times=None,
        kinds=BY_URL,
        expects=STOPS,
        says="file|scheme|http",
    ),
    Fault(name="the last page leads to the first", edit=never, times=None, kinds=CURSORS, places=("last",), expects=STOPS, says="circle"),
    Fault(name="a page leads to itself", edit=circle, times=None, kinds=CURSORS, places=("middle", "last"), expects=STOPS, says="circle"),
)
CONTENTS: Sequence[Fault] = (
    Fault(
        name="the page before again, for ever",
        edit=again,
        times=None,
        kinds=ALL - {"single"},
        places=("middle", "last"),
        expects=STOPS,
        says="circle|items as page",
        items=True,
    ),
    Fault(name="the page before again, once", edit=again, kinds=ALL - {"single"}, places=("middle", "last"), expects=TRUTH, items=True),
    Fault(name="an empty page, and then its items", edit=empty, kinds=CURSORS, expects=HEALS, items=True),
    Fault(
        name="an empty page where items are, once",
        edit=hole,
        kinds=BY_COUNT | {"last_id"},
        places=ONWARD,
        expects=lambda k, _: UNSEEN if k in UNTIL_EMPTY else TRUTH,
        items=True,
    ),
    Fault(
        name="an empty page where items are",
        edit=hole,
        times=None,
        kinds=BY_COUNT | {"last_id"},
        places=ONWARD,
        expects=_empties,
        says="empty|without items",
        items=True,
    ),
    Fault(name="a page that holds its items back", edit=hole, kinds=CURSORS, expects=UNSEEN, items=True),
    Fault(
        name="a short page that is not the last",
        edit=short,
        kinds=BY_KEY | {"offset total", "offset more", "offset empty"},
        places=ONWARD,
        expects=HEALS,
        items=True,
    ),
    Fault(name="an item that is held back", edit=lossy, kinds=ALL, places=ONWARD, expects=_less, items=True, repeats=True),
    Fault(name="an item twice on a page", edit=twice, kinds=ALL, expects=_more, items=True, repeats=True),
    Fault(
        name="an item of the page before",
        edit=from_before,
        kinds=ALL - {"single"},
        places=("middle", "last"),
        expects=_more,
        items=True,
        repeats=True,
    ),
)
COUNTS: Sequence[Fault] = (
    Fault(name="a count that is too low", edit=counted(lambda n: n - 1), times=None, kinds=TOTALS, expects=UNSEEN),
    Fault(name="a count of none", edit=counted(lambda _: 0), times=None, kinds=TOTALS | {"page pages"}, expects=_count_less),
    Fault(
        name="a count that is too high",
        edit=counted(lambda n: n + 3),
        times=None,
        kinds=TOTALS | {"page pages"},
        places=("last",),
        expects=TRUTH,
    ),
    Fault(
        name="a count without bounds",
        edit=counted(lambda _: 10**15),
        times=None,
        kinds=TOTALS | {"page pages"},
        places=("last",),
        expects=TRUTH,
    ),
    Fault(
        name="a count below zero",
        edit=counted(lambda _: -1),
        times=None,
        kinds=TOTALS | {"page pages"},
        expects=STOPS,
        says="a count is wanted",
    ),
    Fault(
        name="a count that is a text",
        edit=counted(lambda _: "many"),
        times=None,
        kinds=TOTALS | {"page pages"},
        expects=STOPS,
        says="a count is wanted",
    ),
    Fault(
        name="a count that is true",
        edit=counted(lambda _: True),
        times=None,
        kinds=TOTALS | {"page pages"},
        expects=STOPS,
        says="a count is wanted",
    ),
)
POISONS = {
    "half a surrogate pair": rb'%s,"x":"\ud800"}',
    "a NUL": rb'%s,"x":"a\u0000b"}',
    "nested 100,000 deep": b'%s,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5,000 digits": b'%s,"x":' + b"9" * 5000 + b"}",
    "2 to the power of 70": b'%s,"x":1180591620717411303424}',
    "NaN": b'%s,"x":NaN}',
    "minus Infinity": b'%s,"x":-Infinity}',
    "1e999": b'%s,"x":1e999}',
    "one name twice": b'%s,"x":1,"x":2}',
    "a byte order mark in a text": b'%s,"x":"\xef\xbb\xbfa"}',
    "NFC and NFD": b'%s,"x":"\xc3\xa9","y":"e\xcc\x81"}',
    "true for 1": b'%s,"x":true}',
    "no UTF-8": b'%s,"x":"\xff\xfe"}',
    "a line end in a text": b'%s,"x":"a\nb"}',
    "line ends between tokens": b'%s,\r\n"x":\n1}',
    "a lone minus": b'%s,"x":-}',
    "null for an item": b"null",
    "a number for an item": b"17",
    "a list for an item": b"[1,2]",
    "an item without a key": b'{"amount":1}',
    "a key that is null": b'{"id":null}',
    "a key that is true": b'{"id":true}',
    "an empty object": b"{}",
}
POISONED: Sequence[Fault] = (
    *(Fault(name=f"an item with {words}", edit=poison(text), times=None, items=True) for words, text in POISONS.items()),
    Fault(name="a last item with NaN", edit=poison(b'%s,"x":NaN}', at=-1), times=None, items=True, expects=TRUTH),
    Fault(name="a last item that is null", edit=poison(b"null", at=-1), times=None, items=True, expects=TRUTH),
    Fault(name="a last item without a key", edit=poison(b'{"amount":1}', at=-1), times=None, items=True, expects=TRUTH),
)
IN_THE_PAGE: Sequence[Fault] = (*SHAPES, *MARKERS, *CONTENTS, *COUNTS, *POISONED)
