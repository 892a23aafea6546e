"""The envelope: CloudEvents as others read them, and an id that is a hash of the fact and of nothing else."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from recon.event import Event, decode, event_id

FACT = {"source": "/recon/shop/orders", "key": "42", "op": "updated", "source_token": "aa", "target_token": "bb", "generation": 1}


def event(**changes: Any) -> Event:
    """An order that was paid and is not here."""
    given_: dict[str, Any] = {
        "id": event_id(**FACT),
        "type": "order.updated",
        "source": "/recon/shop/orders",
        "subject": "order/42",
        "time": datetime(2026, 11, 23, 3, 0, 0, 123456, tzinfo=UTC),
        "recorded": datetime(2026, 11, 23, 3, tzinfo=UTC),
        "dataversion": 1,
        "partitionkey": "42",
        "run": "01M835H6W3SC1M85WSM3FJ364Y",
        "generation": 1,
        "data": {"op": "updated", "key": "42", "state": {"status": "paid", "total": 1999, "note": "ünïcode \u2028"}},
    }
    return Event(**(given_ | changes))


def test_another_implementation_reads_the_envelope() -> None:
    """The `cloudevents` package parses our bytes as a valid 1.0 event with the same attributes, extensions and data."""
    ours = event()

    theirs = JSONFormat().read(CloudEvent, ours.encode())

    assert theirs.get_specversion() == "1.0"
    assert (theirs.get_id(), theirs.get_type(), theirs.get_source(), theirs.get_subject()) == (
        ours.id,
        ours.type,
        ours.source,
        ours.subject,
    )
    assert theirs.get_time() == ours.time
    assert theirs.get_extension("partitionkey") == "42"
    assert theirs.get_extension("origin") == "reconciliation"
    assert theirs.get_extension("generation") == 1
    assert theirs.get_data() == ours.data


def test_extension_names_are_what_the_specification_allows() -> None:
    """Every attribute's name is lower case letters and digits, and no longer than twenty characters."""
    names = set(event().cloudevent()) - {"data"}

    assert all(name.isascii() and name.isalnum() and name.islower() and len(name) <= 20 for name in names), names


def test_encoding_is_the_same_bytes_each_time_and_decodes_to_the_same_event() -> None:
    """An event encodes to one byte string, which reads back as the event itself."""
    assert event().encode() == event().encode()
    assert decode(event().encode()) == event()


def test_the_id_never_changes_between_versions() -> None:
    """One fact's id, written down: a change of the recipe would make every consumer apply everything again."""
    assert event_id(**FACT) == "65daf833-efce-5d03-91cf-3cbd80c91062"


FACTS = st.fixed_dictionaries(
    {
        "source": st.text(max_size=8),
        "key": st.text(max_size=8),
        "op": st.sampled_from(["created", "updated", "deleted"]),
        "source_token": st.text("0123456789abcdef", max_size=4),
        "target_token": st.text("0123456789abcdef", max_size=4),
        "generation": st.integers(1, 9),
    }
)


@given(one=FACTS, other=FACTS)
def test_the_id_tells_facts_apart_and_nothing_else(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two facts have the same id exactly when they are the same fact; neighbouring fields do not run together."""
    assert (event_id(**one) == event_id(**other)) == (one == other)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b'{"specversion":"1.0","id":"x"}',
        json.dumps({**event().cloudevent(), "time": "yesterday"}).encode(),
        json.dumps({**event().cloudevent(), "time": "0001-01-01T00:00:00+14:00"}).encode(),
    ],
)
def test_what_is_no_event_of_ours_is_refused(raw: bytes) -> None:
    """Bytes that are no event of this system raise ValueError and nothing else."""
    with pytest.raises(ValueError, match=r"not an event|Invalid isoformat|outside the calendar"):
        decode(raw)
