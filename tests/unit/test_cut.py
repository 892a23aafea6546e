"""Cutting pages into raw items: whole pages fast, poisoned ones item by item, and nothing that is no page."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.errors import InvalidPage
from recon.fetch.cut import Cutter, key_of, raw_record
from recon.fetch.split import Torn, find, members

GOOD = [b'{"id":"a","n":1}', b'{"id":"b","t":"x,]}[{\\"y"}', b'{"id":"c","m":{"k":[1,2,{"z":null}]}}']
POISON = {
    "a lone high surrogate": (b'{"id":"p","t":"\\ud800"}', "surrogate"),
    "a lone low surrogate": (b'{"id":"p","t":"\\udc00x"}', "surrogate"),
    "a lone surrogate in a name": (b'{"id":"p","\\ud83d":1}', "surrogate"),
    "NaN": (b'{"id":"p","n":NaN}', "NaN"),
    "minus infinity": (b'{"id":"p","n":-Infinity}', "NaN or Infinity"),
    "nesting of 100,000": (b'{"id":"p","d":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
    "objects nested 100,000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested"),
    "bytes that are no UTF-8": (b'{"id":"p","t":"\xff\xfe"}', "UTF-8"),
    "an encoded surrogate": (b'{"id":"p","t":"\xed\xa0\x80"}', "UTF-8"),
    "a bare NUL": (b'{"id":"p","t":"\x00"}', "no valid JSON"),
    "a bare line end in a text": (b'{"id":"p","t":"a\nb"}', "no valid JSON"),
    "a leading zero": (b'{"id":"p","n":007}', "no valid JSON"),
    "a number": (b"5", "a number stands"),
    "null": (b"null", "null stands"),
    "a text": (b'"p"', "a text stands"),
    "an array": (b"[1]", "an array stands"),
    "true": (b"true", "true stands"),
}
# JSON allows these; whether a field can hold them is judged where its kind is known.
HARMLESS = [
    b'{"id":"h","t":"\\u0000"}',
    b'{"id":"h","n":' + b"9" * 5000 + b"}",
    b'{"id":"h","n":1180591620717411303424}',
    b'{"id":"h","n":1e999}',
    b'{"id":"h","id":"h2"}',
    b'{"id":"h","t":"\\ud83d\\ude00"}',
    '{"id":"h","t":"e\u0301"}'.encode(),
    b'{"id":"h","t":"\\u2028"}',
]


def body(items: list[bytes], end: bytes = b"}") -> bytes:
    return b'{"object":"list","data":[' + b",".join(items) + b'],"has_more":true' + end


@pytest.mark.parametrize("name", POISON)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_one_poisoned_item_costs_itself_and_not_its_page(name: str, at: int) -> None:
    """The bad item is Unread, with the reason, wherever it stands; its neighbours and the page's markers are kept."""
    poison, why = POISON[name]
    items = [*GOOD[:at], poison, *GOOD[at:]]
    cut = Cutter("data", ["has_more"]).cut(body(items), "GET /x, page 1")
    assert cut.items == GOOD
    assert cut.values == {"has_more": True}
    assert len(cut.unread) == 1
    assert why in cut.unread[0].why
    assert cut.unread[0].raw == poison[:2048]
    assert cut.last == items[-1]


def test_all_poisons_at_once_are_counted_one_by_one() -> None:
    """Several kinds of poison in one page make as many Unread, and every good item is still there."""
    poisons = [poison for poison, _ in POISON.values()]
    cut = Cutter("data", ["has_more"]).cut(body([item for pair in zip(poisons, GOOD * 9, strict=False) for item in pair]), "GET /x")
    assert len(cut.unread) == len(poisons)
    assert cut.items == (GOOD * 9)[: len(poisons)]


@pytest.mark.parametrize("item", HARMLESS, ids=lambda i: i[:30].decode("utf-8", "replace"))
def test_what_json_allows_is_kept_as_it_was_written(item: bytes) -> None:
    """Cutting judges syntax alone: huge numbers, doubled names, NUL escapes and unnormalised text pass byte for byte."""
    cut = Cutter("data").cut(body([item, *GOOD]), "GET /x")
    assert cut.items == [item, *GOOD]
    assert cut.unread == ()


def test_a_byte_order_mark_does_not_hide_a_page() -> None:
    """A BOM before the body is passed over, and the page is whole."""
    assert Cutter("data", ["has_more"]).cut(b"\xef\xbb\xbf" + body(GOOD), "GET /x").items == GOOD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "an empty body"),
        (b"  \n", "an empty body"),
        (b"<!doctype html><html><head><title> Log\nin </title></head></html>", "an HTML page titled 'Log in'"),
        (b'<?xml version="1.0"?><Error/>', "an XML document"),
        (b'{"error":{"code":"rate_limit","message":"slow down"}}', "an error body: rate_limit: slow down"),
        (b'{"error":"invalid_token","error_description":"expired"}', "an error body: invalid_token: expired"),
        (b'{"errors":[{"message":"nope"}]}', "an error body: nope"),
        (b'{"type":"about:blank","title":"Forbidden","detail":"not yours","status":403}', "an error body: about:blank: not yours"),
        (b'{"message":"Internal"}', "an error body: Internal"),
        (b'{"rows":[],"n":0}', "an object with rows, n"),
        (b"{}", "an empty object"),
        (b"[]", "an array of 0"),
        (b"null", "the JSON value null"),
        (b"maintenance", "no JSON: 'maintenance'"),
        (b'{"data":null,"has_more":false}', "an object with data, has_more"),
        (b'{"data":{"a":1}}', "an object with data"),
        (b'{"data":"x"}', "an object with data"),
        (b'{"object":"list","data":[{"id":1},{"id', "cut or broken"),
        (b'{"object":"list","data":[{"id":1}', "cut or broken"),
        (b'{"object":"list","data":[{"id":1}]', "cut or broken"),
        (b'{"object":"list","data":[{"id":1}],"has_more":fal', "cut or broken"),
        (b'{"data":[{"id":1}],"has_more":false}{"data":[]}', "cut or broken"),
        (b'{"data":[{"id":1} {"id":2}],"has_more":false}', "cut or broken"),
        (b"\x1b[31m{broken", "no JSON: '[31m{broken'"),
    ],
)
def test_what_is_no_page_is_refused_and_named(text: bytes, words: str) -> None:
    """A missing array is never an empty one; the message says what stood there instead."""
    with pytest.raises(InvalidPage) as caught:
        Cutter("data", ["has_more"]).cut(text, "GET /v1/charges, page 3")
    assert words in str(caught.value)
    assert str(caught.value).startswith("GET /v1/charges, page 3: ")


def test_every_cut_of_a_page_is_refused() -> None:
    """A page cut at any byte whatever is an InvalidPage: none of its prefixes passes for a page."""
    whole = body(GOOD)
    cutter = Cutter("data", ["has_more"])
    for size in range(len(whole)):
        with pytest.raises(InvalidPage):
            cutter.cut(whole[:size], "GET /x")


def test_paths_reach_inside_and_beside_the_records() -> None:
    """Nested records, nested markers, names with dots and the body itself as the array are all found; absent ones are left out."""
    text = b'{"result":{"items":[{"id":1}],"page":{"next":"n","total":7}},"@odata.nextLink":"u","meta":null}'
    cut = Cutter("result.items", ["result.page.next", "result.page", r"@odata\.nextLink", "meta.next", "nothing"]).cut(text, "GET /x")
    assert cut.items == [b'{"id":1}']
    assert cut.values == {"result.page.next": "n", "result.page": {"next": "n", "total": 7}, r"@odata\.nextLink": "u"}
    assert Cutter("").cut(b'[{"id":1},{"id":2}]', "GET /x").items == [b'{"id":1}', b'{"id":2}']
    assert Cutter("").cut(b"[]", "GET /x").items == []
    with pytest.raises(ValueError, match="one holds the other"):
        Cutter("data.items", ["data"])


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**40), 2**40),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
RECORDS = st.lists(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), VALUES, max_size=5), max_size=6)


@settings(max_examples=150)
@given(RECORDS, st.sampled_from([None, 2]), st.booleans(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
def test_items_are_what_a_json_reader_reads_and_stay_on_one_line(
    records: list[Any], indent: int | None, ascii_only: bool, other: str
) -> None:
    """Whatever the values and the printing, each item decodes to its record and holds no line end; both ways of cutting agree."""
    text = json.dumps({other + "?": records, "data": records, "more": [other]}, indent=indent, ensure_ascii=ascii_only).encode()
    cutter = Cutter("data", ["more"])
    cut = cutter.cut(text, "GET /x")
    assert [json.loads(item) for item in cut.items] == records
    assert not any(b"\n" in item or b"\r" in item for item in cut.items)
    assert cut.values == {"more": [other]}
    tolerant = cutter._tolerant(text, "GET /x")
    assert (tolerant.items, tolerant.values, tolerant.unread) == (cut.items, cut.values, cut.unread)
    assert json.loads(tolerant.last or b"0") == json.loads(cut.last or b"0")


@settings(max_examples=200)
@given(RECORDS, st.data())
def test_the_splitter_never_invents_members(records: list[Any], data: st.DataObject) -> None:
    """On a text with random bytes changed it finds members by the brackets, or raises Torn; it never hangs, and never fails otherwise."""
    text = bytearray(json.dumps({"data": records}).encode())
    for _ in range(data.draw(st.integers(0, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from(b'{}[]",:\\a0 '))
    try:
        place = find(bytes(text), "data")
        if place is not None and text[place[0] : place[0] + 1] == b"[":
            spans = list(members(bytes(text), place[0]))
            assert all(place[0] < start < end < place[1] for start, end in spans)
    except Torn:
        pass


@pytest.mark.parametrize(
    ("item", "path", "key"),
    [
        (b'{"id":"a"}', "id", "a"),
        (b'{"id":7}', "id", "7"),
        (b'{"a":{"b":["x","y"]}}', "a.b.1", "y"),
        (b'{"id":"k","n":NaN}', "id", "k"),
        (b'{"id":true}', "id", None),
        (b'{"id":1.5}', "id", None),
        (b'{"id":null}', "id", None),
        (b'{"id":""}', "id", None),
        (b"{}", "id", None),
        (b'{"id":"a","d":' + b"[" * 50_000, "id", None),
    ],
)
def test_a_key_is_a_text_or_a_whole_number(item: bytes, path: str, key: str | None) -> None:
    """Anything else is no key, so that `true` and `1` are never one; a poisoned item's key is still read where it can be."""
    assert key_of(item, path) == key


def test_one_record_is_cut_out_of_a_get_body_as_it_was_written() -> None:
    """A read by id gives the same raw bytes that the listing would; what is no object there is none."""
    assert raw_record(b'{"data": {"id": "a" }}', "data") == b'{"id": "a" }'
    assert raw_record(b' {"id":1} ', "") == b'{"id":1}'
    for text in (b'{"data":[]}', b"{}", b"null", b"<html>", b'{"data":{"t":"\\ud800"}}', b'{"data":{"a":1}'):
        assert raw_record(text, "data") is None


def test_cut_items_are_valid_json_to_another_reader() -> None:
    """What is not Unread decodes with the strict reader, every time."""
    poisons = [poison for poison, _ in POISON.values()]
    for item in Cutter("data").cut(body([*GOOD, *poisons]), "GET /x").items:
        assert isinstance(msgspec.json.decode(item), dict)


def test_a_login_page_is_not_blamed_on_the_path() -> None:
    """An HTML page points at the credential and the address; another body without the array at the declared path."""
    with pytest.raises(InvalidPage) as login:
        Cutter("data").cut(b"<html><title>Login</title></html>", "page 1")
    assert "recon doctor" in str(login.value.hint)
