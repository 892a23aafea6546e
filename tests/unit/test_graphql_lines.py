"""Lines of an export put together again: however the file is cut into blocks, and wherever its reading is taken up."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.errors import InvalidPage, OversizedBody
from recon.fetch import graphql_lines
from recon.fetch.graphql_lines import Gathered, Gatherer, lines_of

NESTED = {"LineItem": "lineItems", "Refund": "refunds"}
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
KIDS = st.lists(st.tuples(st.sampled_from(sorted(NESTED)), TEXTS), max_size=4)


def file_of(records: list[tuple[str, list[tuple[str, str]]]], *, end: bool = True) -> tuple[bytes, list[dict[str, Any]]]:
    """The export's bytes, and the records that it holds."""
    lines: list[dict[str, Any]] = []
    wanted: list[dict[str, Any]] = []
    for number, (text, kids) in enumerate(records):
        root = {"id": f"gid://shopify/Order/{number}", "note": text}
        lines.append(root)
        held: dict[str, list[Any]] = {name: [] for name in NESTED.values()}
        for at, (kind, word) in enumerate(kids):
            child = {"id": f"gid://shopify/{kind}/{number}{at}", "word": word}
            lines.append({**child, "__parentId": root["id"]})
            held[NESTED[kind]].append(child)
        wanted.append({**root, **held})
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    return (text + ("\n" if end and text else "")).encode(), wanted


def read(
    data: bytes, size: int, at: int = 0, gatherer: Gatherer | None = None
) -> tuple[list[Gathered], list[tuple[int, int, int]], Gatherer]:
    """The records from an offset on, in blocks of a size, and each place where a record begins: offset, objects and roots before it."""
    gatherer = gatherer or Gatherer(NESTED)
    blocks = (data[start : start + size] for start in range(at, len(data), size))
    found: list[Gathered] = []
    places: list[tuple[int, int, int]] = []
    for start, line in lines_of(blocks, at, "the export"):
        before = (start, gatherer.objects, gatherer.roots)
        begins, done = gatherer.add(line)
        if begins:
            places.append(before)
        if done is not None:
            found.append(done)
    if (last := gatherer.last()) is not None:
        found.append(last)
    return found, places, gatherer


@given(records=st.lists(st.tuples(TEXTS, KIDS), max_size=6), size=st.integers(1, 64), end=st.booleans(), data=st.data())
def test_every_cut_and_every_place_give_the_same_records(records: Any, size: int, end: bool, data: st.DataObject) -> None:
    """Whatever the blocks, each record has its own children in order; taken up at any record, the rest and the counts are the same."""
    text, wanted = file_of(records, end=end)
    found, places, gatherer = read(text, size)
    assert [json.loads(one.item or b"") for one in found] == wanted
    assert all(b"\n" not in (one.item or b"") for one in found)
    assert (gatherer.roots, gatherer.objects) == (len(wanted), text.count(b"\n") + (0 if end or not text else 1))
    if places:
        number = data.draw(st.integers(0, len(places) - 1))
        at, objects, roots = places[number]
        rest, _, again = read(text, size, at, Gatherer(NESTED, objects=objects, roots=roots))
        assert [json.loads(one.item or b"") for one in rest] == wanted[number:]
        assert (again.objects, again.roots) == (gatherer.objects, gatherer.roots)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (
            [{"id": "gid://shopify/Order/1"}, {"id": "gid://shopify/Fulfillment/1", "__parentId": "gid://shopify/Order/1"}],
            "type 'Fulfillment'",
        ),
        ([{"id": "gid://shopify/Order/1"}, {"word": "x", "__parentId": "gid://shopify/Order/1"}], "type 'unknown'"),
        ([{"id": "gid://shopify/Order/1"}, {"id": "gid://shopify/LineItem/1", "__parentId": None}], "no valid JSON object, and it belongs"),
        ([{"note": "no id"}], "has no id"),
    ],
)
def test_a_record_that_cannot_be_told_whole_is_unread(lines: list[dict[str, Any]], why: str) -> None:
    """A child of a type that nobody declared, or of none, makes its record unreadable, as does a record without an id."""
    found, _, _ = read("\n".join(map(json.dumps, lines)).encode(), 64)
    (one,) = found
    assert one.item is None
    assert one.unread is not None
    assert why in one.unread.why


def test_a_child_before_any_record_is_no_export() -> None:
    """A file that begins with a child cannot be told whole."""
    with pytest.raises(InvalidPage, match="not the object above it"):
        read(json.dumps({"id": "gid://shopify/LineItem/1", "__parentId": "gid://shopify/Order/1"}).encode(), 64)


def test_what_is_too_large_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record with more bytes of children than the bound is unreadable, and a line beyond its bound ends the reading."""
    text, _ = file_of([("a", [("LineItem", "x" * 50)] * 4), ("b", [])])
    monkeypatch.setattr(graphql_lines, "LARGEST_RECORD", 200)
    found, _, _ = read(text, 64)
    assert [one.item is None for one in found] == [True, False]
    monkeypatch.setattr(graphql_lines, "LONGEST_LINE", 40)
    with pytest.raises(OversizedBody):
        read(text, 64)
