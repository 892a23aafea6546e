"""Hostile text made inert: each function stops what its place would act on, and leaves ordinary text alone."""

import csv
import io
import json
import unicodedata
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.inert import csv_cell, json_bytes, markdown, page_json, terminal, utf8, xml
from tests.unit.figures_fixture import HOSTILE

# Every code point there is, lone surrogates too.
ANY = st.text(st.characters(), max_size=60) | st.text(
    st.sampled_from("\x1b\x00\r\n\t =+-@＝＋－＠|`[]()<>&*_~#!\u202e\u2066\u200b\u2028\ud800a1é漢'\""), max_size=20
)
ORDINARY = st.text(st.sampled_from("abcXYZ019 .,;éß漢字🧾'%/?"), max_size=40)


@given(ANY)
def test_a_terminal_line_holds_no_character_that_does_anything(text: str) -> None:
    """Whatever comes in, what goes to a terminal is printable on one line and can be encoded."""
    shown = terminal(text)

    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"}]
    assert not set(shown) & set("\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u00ad")
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(ORDINARY)
def test_ordinary_text_is_left_exactly_as_it_is(text: str) -> None:
    """Accents, other scripts, emoji and punctuation pass a terminal, a file and XML unchanged."""
    assert text == terminal(text) == utf8(text) == xml(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("\x1b]8;;http://x\x1b\\", "\\x1b]8;;http://x\\x1b\\"),
        ("\x9b1m", "\\x9b1m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x7f\u200b\ufeff", "\\x7f\\u200b\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_a_terminal_shows_the_escape_instead(text: str, shown: str) -> None:
    """Control, bidi, zero-width, tag and surrogate characters are shown by their escapes."""
    assert shown == terminal(text)


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@x", "\t=1", "\rx", "\nx", "\x00x", "＝1", "＋1", "－1", "＠x", "  =1", "\u3000+1", "\u00a0@x"]
)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    """Each beginning that a spreadsheet takes for a formula, after spaces too, is preceded by an apostrophe."""
    assert f"'{text}" == csv_cell(text)


@given(ANY)
def test_no_csv_cell_begins_as_a_formula_and_each_reads_back(text: str) -> None:
    """For any text the cell is no formula, and a CSV reader gives back the text, prefix and surrogates apart."""
    cell = csv_cell(text)
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerow([cell])
    [[back]] = csv.reader(io.StringIO(buffer.getvalue(), newline=""), strict=True)

    assert cell == back
    assert cell.lstrip(" \u00a0\u3000")[:1] not in set("=+-@\t\r\n\x00＝＋－＠")
    assert cell in {utf8(text), f"'{utf8(text)}"}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@given(ANY)
def test_markdown_holds_no_markup_and_reads_as_the_terminal_shows_it(text: str) -> None:
    """A Markdown cell has no pipe, backtick, bracket, tag or line end left, and its entities spell the visible text."""
    cell = markdown(text)
    parsed = _Tags()
    parsed.feed(cell)
    parsed.close()

    assert not set(cell) & set("|`[]()<>*_{}!~@$\\\r\n")
    assert parsed.tags == []
    assert terminal(text) == parsed.text


@given(ANY)
def test_xml_takes_any_text(text: str) -> None:
    """Any text, made safe and escaped by the writer, parses as XML 1.0."""
    element = ET.Element("a", {"b": xml(text)})
    element.text = xml(text)

    back = ET.fromstring(ET.tostring(element, encoding="utf-8"))

    assert utf8(xml(text)).replace("\r\n", "\n").replace("\r", "\n") == (back.text or "")


WIRE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY, inner, max_size=4),
    max_leaves=8,
)


def _refuse(word: str) -> None:
    raise AssertionError(word)


@given(WIRE)
def test_json_is_what_every_reader_takes(value) -> None:
    """Every wire value becomes JSON that a strict reader takes: valid UTF-8, no NaN, no lone surrogate even as an escape."""
    json.loads(json_bytes(value).decode("utf-8"), parse_constant=_refuse)
    msgspec.json.decode(json_bytes(value))


@given(WIRE)
def test_json_in_a_page_cannot_end_its_script(value) -> None:
    """JSON inside a page has no <, >, &, U+2028 or U+2029, and still says the same."""
    body = page_json(value)

    assert not set(body) & set("<>&\u2028\u2029")
    assert json.loads(json_bytes(value)) == json.loads(body)


def test_json_nested_beyond_reason_is_said_to_be() -> None:
    """A value nested too deeply for any writer is replaced by words, not by a traceback."""
    value: list = []
    for _ in range(100_000):
        value = [value]

    assert json_bytes(value) == b'"(nested too deeply to show)"'


def test_hostile_corpus_is_shown_not_dropped() -> None:
    """No hostile text vanishes: something of each is still there to read in every rendering."""
    for text in HOSTILE:
        for made in (terminal, csv_cell, markdown, xml, utf8):
            assert made(text).strip(), (made.__name__, text)
