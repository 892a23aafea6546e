"""Documents of requests that only read: what is put where, and in which form."""

from typing import Any

import pytest

from recon.fetch.document import filled, placed
from recon.fetch.paging import CursorInBody, LinkHeader, Single
from recon.fetch.resource import Resource


@pytest.mark.parametrize(
    ("template", "params", "document"),
    [
        ({}, {"page.after": "c2"}, {"page": {"after": "c2"}}),
        ({"page": {"size": 5}}, {"page.after": "c2"}, {"page": {"size": 5, "after": "c2"}}),
        ({"after": 0}, {"after": "17"}, {"after": 17}),
        ({"after": "0"}, {"after": 17}, {"after": "17"}),
        ({"after": 0}, {"after": "a17"}, {"after": "a17"}),
        ({"all": False}, {"all": True}, {"all": True}),
        ({}, {"after": None}, {}),
        ({}, {"search_after.0": 7}, {"search_after": [7]}),
        ({"filters": [{"value": ""}]}, {"filters.0.value": "x", "filters.1": "y"}, {"filters": [{"value": "x"}, "y"]}),
        ({}, {"a\\.b": 1}, {"a.b": 1}),
    ],
)
def test_a_parameter_stands_at_its_path(template: Any, params: dict[str, Any], document: Any) -> None:
    """What is not there on the way is made, a number steps into a list, and a value is written as the template has it there."""
    before = repr(template)

    assert placed(template, params) == document
    assert repr(template) == before


def test_a_path_that_leads_through_a_value_is_refused() -> None:
    """A text holds nothing by name, and a list nothing by a word or beyond its end."""
    for path in ("status.of", "sort.field", "sort.2"):
        with pytest.raises(ValueError, match="leads nowhere in the body"):
            placed({"status": "any", "sort": ["id"]}, {path: 1})


def test_marks_are_filled_only_where_they_stand_whole() -> None:
    """A mark inside a longer text is a text of the API's own."""
    assert filled({"a": "{key}", "b": ["{key}", "x {key}"]}, {"{key}": "k1"}) == {"a": "k1", "b": ["k1", "x {key}"]}


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"paging": LinkHeader(), "body": {}}, "has no next URL"),
        ({"paging": CursorInBody(param="sort.after", at="next"), "body": {"sort": "id"}}, "'sort.after' leads nowhere in the body"),
        ({"paging": Single(), "get_body": {"id": "{key}"}}, "get_body needs a get"),
        ({"paging": Single(), "get": "one", "get_body": {"id": "key"}}, 'no "{key}" in it'),
    ],
)
def test_what_cannot_be_asked_for_by_post_is_refused(declared: dict[str, Any], why: str) -> None:
    """A declaration that leads nowhere is refused where it is made, not in the middle of a night."""
    with pytest.raises(ValueError, match=why):
        Resource(path="orders", records="data", **declared)
