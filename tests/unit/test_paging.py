"""Paging rules: each needs a positive end marker, and takes nothing else for one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.fetch.page import End
from recon.fetch.paging import (
    Ask,
    CursorInBody,
    Facts,
    Invalid,
    LastId,
    LinkHeader,
    Next,
    NextUrlInBody,
    NextUrlInHeader,
    Offset,
    PageNumber,
    Paginator,
    Single,
)


def facts(items: int = 3, *, last_key: str | None = None, total: int | None = None, headers: Any = None, **values: Any) -> Facts:
    return Facts(
        values={name.replace("__", "."): value for name, value in values.items()},
        headers=headers or {},
        url="https://api.example/v1/list?page=1",
        items=items,
        last_key=last_key,
        total=total,
    )


RULES: list[tuple[Paginator, Facts, Facts]] = [
    (CursorInBody(param="cursor", at="next"), facts(next="c2"), facts(next=None)),
    (CursorInBody(param="cursor", at="next"), facts(next=17), facts(next="")),
    (CursorInBody(param="cursor", at="next", more="more"), facts(next="c2", more=True), facts(more=False)),
    (CursorInBody(param="cursor", at="next", end="absent"), facts(next="c2"), facts()),
    (LastId(param="starting_after"), facts(has_more=True, last_key="ch_3"), facts(has_more=False)),
    (NextUrlInBody(at="links__next".replace("__", ".")), facts(links__next="/v1/list?page=2"), facts(links__next=None)),
    (NextUrlInBody(at="next", end="absent"), facts(next="?page=2"), facts()),
    (NextUrlInHeader(header="X-Next"), facts(headers={"x-next": "/p2"}), facts(headers={"x-next": ""})),
    (NextUrlInHeader(header="X-Next", end="absent"), facts(headers={"x-next": "/p2"}), facts()),
    (LinkHeader(), facts(headers={"link": '</p2>; rel="next"'}), facts(headers={"link": '</p1>; rel="prev"'})),
    (LinkHeader(end="absent"), facts(headers={"link": "</p2>; rel=next"}), facts()),
    (PageNumber(total_pages="pages"), facts(pages=2), facts(pages=1)),
    (PageNumber(total="count"), facts(count=4), facts(count=3)),
    (PageNumber(more="more"), facts(more=True), facts(more=False)),
    (PageNumber(total_pages="header:X-Pages"), facts(headers={"x-pages": "2"}), facts(headers={"x-pages": "1"})),
    (PageNumber(end="empty"), facts(1), facts(0)),
    (Offset(total="count"), facts(count=4), facts(count=3)),
    (Offset(more="more"), facts(more=True), facts(more=False)),
    (Offset(end="empty"), facts(1), facts(0)),
]


@pytest.mark.parametrize(("rule", "onward", "last"), RULES, ids=lambda v: repr(v) if not isinstance(v, Facts) else "")
def test_each_rule_goes_on_and_ends_by_its_marker(rule: Paginator, onward: Facts, last: Facts) -> None:
    """The marker of more leads to the next page, the marker of the end to a proof in words, and nothing else to either."""
    ask = rule.first({"limit": 100})
    following = rule.after(ask, onward)
    assert isinstance(following, Next)
    assert following.ask.page == 2
    assert following.ask.seen == onward.items
    assert following.ask != ask
    if following.ask.url is None:
        assert following.ask.params["limit"] == 100
    ended = rule.after(ask, last)
    assert isinstance(ended, End)
    assert ended.proof


def test_a_link_header_may_be_left_out_on_a_single_page_only() -> None:
    """With end="single" no Link header on the first page is the end; lost on a later one, it is none."""
    rule = LinkHeader(end="single")
    assert isinstance(rule.after(rule.first({}), facts(100)), End)
    first = rule.after(rule.first({}), facts(100, headers={"link": '</p2>; rel="next"'}))
    assert isinstance(first, Next)
    second = rule.after(first.ask, facts(100))
    assert isinstance(second, Invalid)
    assert "the Link header is not there" in second.why


@pytest.mark.parametrize(
    "rule",
    [
        CursorInBody(param="cursor", at="next"),
        CursorInBody(param="cursor", at="next", more="more"),
        LastId(param="starting_after"),
        NextUrlInBody(at="next"),
        NextUrlInHeader(header="X-Next"),
        LinkHeader(),
        PageNumber(total_pages="pages"),
        PageNumber(total="count"),
        PageNumber(more="more"),
        Offset(total="count"),
        Offset(more="more"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("items", [0, 1, 100])
def test_a_missing_marker_is_never_an_end(rule: Paginator, items: int) -> None:
    """However many items a page holds, short or empty, without its marker it is refused, and the words say which one is missing."""
    outcome = rule.after(rule.first({}), facts(items, last_key="k"))
    assert isinstance(outcome, Invalid)
    assert "is not there" in outcome.why


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=3), st.lists(st.none(), max_size=1), st.just({})
)


@given(
    st.sampled_from([rule for rule, _, _ in RULES]),
    st.integers(0, 3),
    st.tuples(JUNK, JUNK, JUNK),
    st.one_of(st.none(), st.text(max_size=8)),
)
def test_a_marker_of_the_wrong_type_is_refused_and_never_fails(
    rule: Paginator, items: int, junk: tuple[Any, Any, Any], header: str | None
) -> None:
    """Any value where a marker should be ends in Next, End or Invalid; an End comes only from values that do say so."""
    values = dict.fromkeys(rule.paths, junk[0]) | {"more": junk[1], "next": junk[2]}
    given_ = Facts(
        values=values,
        headers={} if header is None else {"link": header, "x-next": header, "x-pages": header},
        url="https://a/b",
        items=items,
        last_key="k",
    )
    outcome = rule.after(rule.first({}), given_)
    assert isinstance(outcome, Next | End | Invalid)
    if isinstance(outcome, End) and isinstance(rule, PageNumber | Offset) and rule.end == "marker" and rule.more:
        assert values[rule.more] is False


def test_a_clamped_page_size_loses_nothing() -> None:
    """A server that gives 1,000 items where 5,000 were asked for is paged to its end all the same."""
    held = list(range(2500))
    for rule in (PageNumber(size_param="perPage", size=5000, total="count"), Offset(limit_param="limit", size=5000, total="count")):
        ask, got = rule.first({}), []
        while True:
            start = (int(str(ask.params["page"])) - 1) * 1000 if isinstance(rule, PageNumber) else int(str(ask.params["offset"]))
            items = held[start : start + 1000]
            got += items[ask.overlap :]
            outcome = rule.after(ask, facts(len(items), count=len(held)))
            if isinstance(outcome, End):
                break
            assert isinstance(outcome, Next)
            ask = outcome.ask
        assert got == held


def test_an_empty_page_within_the_total_is_refused() -> None:
    """A total that says there is more makes an empty page a fault, not an end."""
    for rule in (
        PageNumber(total="count"),
        PageNumber(total_pages="pages"),
        PageNumber(more="more"),
        Offset(total="count"),
        Offset(more="more"),
    ):
        outcome = rule.after(Ask(params={"page": 1, "offset": 0}), facts(0, count=50, pages=5, more=True))
        assert isinstance(outcome, Invalid)
        assert "says that there is more" in outcome.why


def test_a_declared_single_page_with_signs_of_more_is_refused() -> None:
    """One answer is the whole only while neither a Link nor the API's own count says otherwise."""
    rule = Single()
    assert isinstance(rule.after(rule.first({}), facts(3, total=3)), End)
    assert isinstance(rule.after(rule.first({}), facts(3, total=4)), Invalid)
    assert isinstance(rule.after(rule.first({}), facts(3, headers={"link": "</2>; rel=next"})), Invalid)


@pytest.mark.parametrize("build", [PageNumber, lambda: PageNumber(total="a", more="b"), Offset, lambda: Offset(total="a", end="empty")])
def test_a_rule_without_exactly_one_marker_cannot_be_declared(build: Any) -> None:
    """'A short page is the last page' is not on offer."""
    with pytest.raises(ValueError, match="one end marker is wanted"):
        build()


def test_next_urls_are_resolved_against_the_page_that_gave_them() -> None:
    """Relative references keep the page's own path, as RFC 3986 says."""
    for given_url, expected in {
        "?page=2": "https://api.example/v1/list?page=2",
        "other": "https://api.example/v1/other",
        "//evil/x": "https://evil/x",
    }.items():
        outcome = NextUrlInBody(at="next").after(Ask(), facts(next=given_url))
        assert isinstance(outcome, Next)
        assert outcome.ask.url == expected


@given(
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)), max_size=3),
    st.integers(1, 9),
    st.integers(0, 999),
)
def test_an_ask_survives_its_checkpoint(params: Any, page: int, seen: int) -> None:
    """What goes to disk comes back the same, so a resumed fetch asks for exactly the page that was next."""
    ask = Ask(params=params, url=None, page=page, seen=seen)
    assert Ask.of(ask.checkpoint()) == ask


def test_an_offset_goes_back_by_its_overlap_and_always_gets_on() -> None:
    """Each page begins with the last items of the one before; where a page has nothing new, the next one goes on behind it."""
    rule = Offset(total="count", overlap=2)
    first = rule.after(rule.first({}), facts(10, count=50))
    assert isinstance(first, Next)
    assert (first.ask.params["offset"], first.ask.overlap, first.ask.seen) == (8, 2, 10)
    second = rule.after(first.ask, facts(2, count=50))
    assert isinstance(second, Next)
    assert (second.ask.params["offset"], second.ask.overlap, second.ask.seen) == (10, 0, 10)
    short = rule.after(Ask(params={"offset": 0}), facts(1, count=50))
    assert isinstance(short, Next)
    assert (short.ask.params["offset"], short.ask.overlap) == (1, 0)
    assert Ask.of(first.ask.checkpoint()) == first.ask


def test_an_overlap_is_no_item_of_the_count() -> None:
    """What two pages share is counted once, so that the end by a total is where it was."""
    rule = Offset(total="count")
    following = rule.after(rule.first({}), facts(4, count=7))
    assert isinstance(following, Next)
    assert isinstance(rule.after(following.ask, facts(3, count=7)), Next)
    ended = rule.after(following.ask, facts(4, count=7))
    assert isinstance(ended, End)
    assert ended.proof == "7 items of count = 7 on page 2"


def test_an_empty_page_alone_ends_a_listing_that_has_no_other_marker() -> None:
    """A page that holds the overlap alone is no end: behind it is asked once more, without one."""
    rule = Offset(end="empty")
    tail = rule.after(Ask(params={"offset": 9}, overlap=1, seen=10), facts(1))
    assert isinstance(tail, Next)
    assert (tail.ask.params["offset"], tail.ask.overlap) == (10, 0)
    assert isinstance(rule.after(tail.ask, facts(0)), End)
