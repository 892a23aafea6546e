"""Folding text that comes as a slice of something larger."""

import pyarrow as pa
import pytest

from recon.compare.batches import folded


@pytest.mark.parametrize("type_", [pa.large_string(), pa.string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_a_slice_folds_as_what_it_holds(type_: pa.DataType) -> None:
    """Each slice of a column, an empty text at its end too, folds to a sound column of its own values."""
    values = ["AB", "", "É", " ", None, ""]
    column = pa.array(values, pa.string()).cast(type_)

    for start in range(len(values)):
        for stop in range(start, len(values) + 1):
            made = folded(column[start:stop])
            made.validate(full=True)
            assert made.to_pylist() == [value and value.casefold() for value in values[start:stop]]
