"""Whether rows lie in the range that was asked for: what is read at the front of an item, or judged for a page at once, is what each item says."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from recon.errors import FilterIgnored
from recon.fetch.cut import FieldReader, key_at, key_of
from recon.fetch.narrowing import Form, Ranges
from recon.fetch.partition import Partition
from recon.fetch.path import ABSENT
from recon.fetch.peek import Peek
from recon.fetch.within import check_of

NAMES = st.sampled_from(["id", "created", "object", "size", 'cre"ated', "größe"])
PLAIN = st.integers(-(10**20), 10**20) | st.text(max_size=4) | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(NAMES, PLAIN, max_size=3)
WRITERS = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=9), min_size=1, max_size=4), WRITERS)
def test_a_field_that_is_peeked_at_is_the_field(records: list[dict[str, Any]], how: dict[str, Any]) -> None:
    """In any order of members, however written, a column is what a whole read of each item gives, and a key the same text as without the short cut."""
    items = [json.dumps(record, **how).encode() for record in records]
    assert FieldReader("created").column(items) == [msgspec.json.decode(item).get("created", ABSENT) for item in items]
    assert [key_at(item, "id") for item in items] == [key_of(item, "id") for item in items]


def test_a_field_near_the_front_is_peeked_at() -> None:
    """The short cut is taken for what most APIs send, and not where a list, an object or an escape stands before the field, or what is no text in it."""
    assert Peek("created").column([b'{"id": "ord_1", "object":"order","live":true,\n "created": 17 }', b'{"created":"2026-11-25"}']) == [
        17,
        "2026-11-25",
    ]
    for odd in (
        b'{"a":[1],"created":1}',
        b'{"a":{"created":2},"created":1}',
        b'{"a":"\\"","created":1}',
        b'{"created":1.5}',
        b'{"created":null}',
        b'{"created":"\xff"}',
        b"{}",
    ):
        assert Peek("created").column([b'{"created":1}', odd]) is None
        assert key_at(odd, "created") == key_of(odd, "created")


@given(
    scale=st.sampled_from([("epoch", 0), ("epoch_ms", 0), ("integer", 0), ("integer", 2**60)]),
    values=st.lists(st.sampled_from([0, 1, 2, 19, 20, 21, 69, 70, 71]), min_size=1, max_size=3),
    ends=st.sampled_from([(20, None), (None, 70), (20, 70), (0, 1), (None, 1)]),
)
def test_a_page_judged_at_once_is_judged_as_item_by_item(
    scale: tuple[Form, int], values: list[int], ends: tuple[int | None, int | None]
) -> None:
    """Rows of whole numbers, ids beyond a float's reach too, give the same page or the same refusal as beside a row that makes the check look at each."""
    form, base = scale
    low, high = (None if end is None else base + end for end in ends)
    check = check_of(Partition(name="r", low=low, high=high), Ranges(at="at", low="from", high="to", form=form), None)
    assert check is not None
    items = [b'{"at":%d}' % (base + value) for value in values]

    def judged(page: list[bytes]) -> list[bytes] | str:
        try:
            return check(page, "page 1")[0]
        except FilterIgnored as error:
            return error.message

    assert judged(items) == judged([*items, b'{"at":null}'])
