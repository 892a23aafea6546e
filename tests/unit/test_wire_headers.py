"""Headers beside a body, read without decoding the data: the same as the codec writes, for every event; and one event of a key at a time."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.event import Event, binary, decode
from recon.publishers.base import Message, Outcome, OutcomeKind
from recon.publishers.headers import REPLAY, wire_of
from recon.publishers.rounds import in_rounds
from recon.testing.publisher_suite import message_of, messages

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
EVENTS = st.builds(
    Event,
    id=st.uuids().map(str),
    type=st.sampled_from(["order.updated", "bestellung größe.created"]),
    source=TEXT.map(lambda text: "/recon/shop/" + text),
    subject=TEXT.map(lambda text: "order/" + text),
    time=st.just(datetime(2026, 11, 25, 3, tzinfo=UTC)),
    recorded=st.just(datetime(2026, 11, 25, 3, tzinfo=UTC)),
    dataversion=st.integers(1, 9),
    partitionkey=TEXT,
    run=st.just("01M835H6W3SC1M85WSM3FJ364Y"),
    generation=st.integers(1, 9),
    data=st.fixed_dictionaries({"op": st.just("updated"), "key": TEXT, "state": st.dictionaries(TEXT, TEXT, max_size=3)}),
    account=st.none() | TEXT,
    region=st.none() | TEXT,
    sunset=st.none() | st.just("2027-03-31"),
)


@given(EVENTS, st.sampled_from(["ce-", "ce_", ""]))
def test_headers_are_the_codecs_own(event: Event, prefix: str) -> None:
    """For any event, with or without what is optional, in any script: headers and body are those of `recon.event.binary`, and structured is the stored bytes."""
    message = message_of(event)
    wanted, data = binary(event, prefix=prefix)

    assert wire_of(message, "binary", prefix=prefix) == (wanted, data)
    headers, body = wire_of(replace(message, replay="01R"), "structured", prefix=prefix)
    assert (headers, body) == ({**wanted, "content-type": "application/cloudevents+json", REPLAY: "01R"}, message.body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": "1"}', b'{"data": 1}'])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """Bytes that are no event raise ValueError, as the codec does."""
    with pytest.raises(ValueError, match="not an event"):
        decode(body)
    with pytest.raises(ValueError, match="not an event"):
        wire_of(replace(messages(1)[0], body=body), "structured")


def test_of_a_key_one_is_on_its_way_at_a_time() -> None:
    """Keys that occur once go together; the second of a key goes when the first has its outcome, and not at all where that one did not arrive."""
    batch = [replace(one, partitionkey=key) for one, key in zip(messages(7), "abacbab", strict=True)]
    rounds: list[str] = []

    def send(part: list[Message]) -> list[Outcome]:
        rounds.append("".join(one.partitionkey for one in part))
        kinds = {"a": OutcomeKind.CONFIRMED, "b": OutcomeKind.UNKNOWN, "c": OutcomeKind.REJECTED}
        return [Outcome(kind=kinds[one.partitionkey], reason=one.id) for one in part]

    outcomes = in_rounds(batch, send)

    assert rounds == ["abc", "a", "a"]
    assert [one.kind.value for one in outcomes] == ["confirmed", "unknown", "confirmed", "rejected", "retry", "confirmed", "retry"]
    assert [one.reason for one in outcomes[:4]] == [one.id for one in batch[:4]]
    assert in_rounds([], send) == []
