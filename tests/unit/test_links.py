"""The Link header, read by the grammar of RFC 8288."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.fetch.links import parse_links


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('<https://a.example/?page=2>; rel="next"', {"next": "https://a.example/?page=2"}),
        ('<https://a.example/2>; rel="next last"', {"next": "https://a.example/2", "last": "https://a.example/2"}),
        ("</2>; REL=NEXT", {"next": "/2"}),
        ('</a;b=1,c=2?q="x">; rel=next, </z>; rel=last', {"next": '/a;b=1,c=2?q="x"', "last": "/z"}),
        ('</2>; title="a, <b>; rel=prev"; rel="next"', {"next": "/2"}),
        ('</2> ; title="quoted \\" quote" ; rel = "next"', {"next": "/2"}),
        ('</1>; rel="prev"; rel="next"', {"prev": "/1"}),
        ('</1>; rel="next"; anchor="#foo", </2>; rel="next"', {"next": "/2"}),
        ('</1>; rel="next", </2>; rel="next"', {"next": "/1"}),
        (",, </2>;rel=next ,", {"next": "/2"}),
        ("</2>; crossorigin; rel=next", {"next": "/2"}),
        ("</2>", {}),
        ("", {}),
        ("nonsense", {}),
        ("<unclosed; rel=next", {}),
    ],
)
def test_links_read_what_the_grammar_allows(header: str, expected: dict[str, str]) -> None:
    """Relation lists, any case, quotes, and `;` and `,` inside targets and quoted values are all read."""
    assert parse_links(header) == expected


TARGETS = st.text(st.sampled_from("abc/?=&;,%20:\"'"), min_size=1, max_size=20).map(str.strip).filter(bool)
WORDS = st.sampled_from(["next", "prev", "first", "last", "self"])


@given(
    st.lists(st.tuples(TARGETS, WORDS, st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)), min_size=1, max_size=5)
)
def test_whatever_is_written_by_the_grammar_is_read_back(links: list[tuple[str, str, str]]) -> None:
    """A header written from targets, relations and arbitrary titles gives back the first target of each relation."""
    quoted = [(target, word, title.replace("\\", "\\\\").replace('"', '\\"')) for target, word, title in links]
    header = ", ".join(f'<{target}>; title="{title}"; rel="{word}"' for target, word, title in quoted)
    expected: dict[str, str] = {}
    for target, word, _ in links:
        expected.setdefault(word, target)
    assert parse_links(header) == expected


@given(st.text(st.sampled_from('<>;,="\\ arelnxt'), max_size=60))
def test_no_header_makes_the_parser_fail_or_hang(header: str) -> None:
    """Any text at all ends in a mapping of texts."""
    assert all(isinstance(target, str) for target in parse_links(header).values())
