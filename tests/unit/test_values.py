"""JSON values in bulk: two calls of the codec must answer what one call a value does."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.compare.bulk import canonical_jsons
from recon.compare.values import canonical_json

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3).map(float)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values=st.lists(st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=3), max_size=6), empty_is_null=st.booleans())
def test_many_json_values_at_once_are_what_each_is_alone(values: list[dict[str, Any]], empty_is_null: bool) -> None:
    """The bulk way for JSON answers exactly what the way value by value does, or declines."""
    texts = [json.dumps(value) for value in values]

    together = canonical_jsons(pa.array(texts, pa.string()), empty_is_null=empty_is_null)

    assert together is None or together.to_pylist() == [canonical_json(text, empty_is_null=empty_is_null) for text in texts]


@pytest.mark.parametrize(
    "texts",
    [
        ['{"a":1}{"b":2}'],
        ['{"a":1} ', "{}"],
        ["{}", "[]"],
        ["1"],
        ["{}", None],
        ['{"a":', "1}"],
        ["[1]", "2]"],
        ['{"a":\n1}'],
        ["[1,", "2],[3]"],
    ],
)
def test_what_is_not_one_value_a_text_is_left_to_the_slow_way(texts: list[str | None]) -> None:
    """Texts that would run together, hold two values, or are of mixed shapes are never taken in bulk."""
    assert canonical_jsons(pa.array(texts, pa.string()), empty_is_null=False) is None
