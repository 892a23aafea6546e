"""The forms an event travels in: binary, batched and EventBridge's, read by others and read back by us."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from hypothesis import given
from hypothesis import strategies as st

from recon.event import Event, batched, binary, entry, structured
from recon.event.cloudevents import of_wire
from recon.event.eventbridge import ENTRY_BYTES, delivered, of_delivered, size_of
from tests.unit.test_event import event

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
EVENTS = st.builds(
    event,
    subject=TEXTS.map("order/".__add__),
    partitionkey=TEXTS,
    generation=st.integers(1, 2**31 - 1),
    dataversion=st.integers(1, 99),
    account=st.none() | TEXTS,
    region=st.none() | TEXTS,
    sunset=st.none() | st.just("2027-03-01"),
    data=st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS, max_size=4),
)


def test_another_implementation_reads_the_binary_form() -> None:
    """The `cloudevents` package reads our headers and body as the event: attributes, extensions beyond ASCII, and data."""
    ours = event(subject="order/größe 4 %", account="kunde ✓", sunset="2027-03-01")
    headers, body = binary(ours)

    theirs = from_binary_event(HTTPMessage(headers=headers, body=body))

    assert all(value.isascii() for value in headers.values())
    assert (theirs.get_id(), theirs.get_type(), theirs.get_subject(), theirs.get_time()) == (ours.id, ours.type, ours.subject, ours.time)
    assert theirs.get_extension("account") == "kunde ✓"
    assert (headers["ce-deprecated"], headers["ce-deprecationsunset"]) == ("true", "2027-03-01")
    assert theirs.get_data() == ours.data


@given(events=st.lists(EVENTS, max_size=3))
def test_every_form_reads_back_as_the_event(events: list[Event]) -> None:
    """Structured, binary (with either prefix) and batched events read back as themselves, and are written the same twice."""
    for one in events:
        assert of_wire(*structured(one)) == [one]
        assert of_wire(*binary(one)) == [one]
        assert of_wire(*binary(one, prefix="ce_"), prefix="ce_") == [one]
        assert binary(one) == binary(one)
    assert of_wire(*batched(events)) == events


@given(one=EVENTS, micro=st.integers(0, 999_999))
def test_an_event_reads_back_from_behind_eventbridge(one: Event, micro: int) -> None:
    """What a rule hands to its target reads back as the very event, though AWS cuts the time and puts its own account, region and id there."""
    ours = replace(one, time=one.time.replace(microsecond=micro), source="/recon/shop.example/orders")
    told = json.loads(msgspec.json.encode(delivered(ours)))
    behind = {**told, "id": "aws", "time": told["time"][:19] + "Z", "account": "123456789012", "region": "eu-central-1"}

    assert of_delivered(told) == ours
    assert of_delivered(behind) == ours
    assert of_delivered(behind).encode() == ours.encode()


@pytest.mark.parametrize(
    "told",
    [{}, {"detail": None}, {"detail": {"state": "running"}}, {**delivered(event()), "resources": []}, {**delivered(event()), "detail": []}],
)
def test_another_systems_eventbridge_event_is_refused(told: dict[str, Any]) -> None:
    """What AWS's own services send to the same target raises ValueError and nothing else."""
    with pytest.raises(ValueError, match="not an event of this system"):
        of_delivered(told)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"{}"),
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "application/cloudevents+json"}, b"[]"),
        ({"content-type": "application/cloudevents-batch+json"}, b"{}"),
        ({"content-type": "application/json", "ce-specversion": "1.0", "ce-id": "1"}, b"{}"),
        ({**binary(event())[0], "ce-generation": "many"}, binary(event())[1]),
        (binary(event())[0], b"{torn"),
    ],
)
def test_what_is_no_event_is_refused(headers: dict[str, str], body: bytes) -> None:
    """A request that carries no event of ours raises ValueError and nothing else."""
    with pytest.raises(ValueError, match=r"no event|not an event|not a batch"):
        of_wire(headers, body)


def test_the_eventbridge_entry_has_what_aws_asks_for() -> None:
    """An entry carries source, type, subject, time and a detail with our id and the data; its size is counted as AWS counts it."""
    ours = event()

    put = entry(ours, bus="corrections")
    found: dict[str, Any] = json.loads(put["Detail"])

    assert put["EventBusName"] == "corrections"
    assert (put["Source"], put["DetailType"], put["Resources"], put["Time"]) == ("recon.shop.orders", ours.type, [ours.subject], ours.time)
    assert (found["metadata"]["id"], found["metadata"]["version"], found["metadata"]["origin"]) == (ours.id, 1, "reconciliation")
    assert {name: found[name] for name in ours.data} == ours.data
    assert size_of(put) == 14 + len(put["Detail"].encode()) + len("recon.shop.orders") + len(ours.type) + len(ours.subject)
    assert size_of(put) < ENTRY_BYTES
    assert delivered(replace(ours, account="4711", region="eu"))["account"] == "4711"
    assert msgspec.json.encode(delivered(ours))
