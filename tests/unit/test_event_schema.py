"""The schemas that tell others of our events: true of the events that are really made, and good enough to catch those that are not."""

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from recon.discrepancy import Discrepancy
from recon.event.asyncapi import document
from recon.event.register import changes, register_of
from recon.event.schema import schema_of
from recon.event.types import types_of
from recon.job import Field, Job, Table
from recon.kind import Decimal, Money, Set, Text
from tests.integration.state.world import changed, extra, missing
from tests.servers import node
from tests.unit.test_correction import event, job

WIDE = Job(
    domain="bills",
    provider="shop",
    resource="bills",
    table=Table(name="bills"),
    event="bill",
    fields=(
        Field("status"),
        Field("total", Money(currency="currency")),
        Field("currency", Text(case="fold")),
        Field("rate", Decimal(scale=2)),
        Field("tags", Set()),
        Field("due", "date"),
        Field("seen", "timestamp"),
        Field("open", "boolean"),
        Field("extra", "json"),
        Field("count", "integer"),
    ),
)
STATE = {
    "status": "paid",
    "total": 1999,
    "currency": "eur",
    "rate": "12.50",
    "tags": ["a", "b"],
    "due": "2026-11-23",
    "seen": "2026-11-23T03:00:00Z",
    "open": True,
    "extra": {"any": [1]},
    "count": 3,
}


def schema(the_job: Job, op: str) -> dict[str, Any]:
    """The schema of a job's type for this operation, itself checked against its dialect."""
    found = schema_of(the_job, next(one for one in types_of(the_job) if one.op == op))
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.mark.parametrize("found", [changed("42"), missing("42"), extra("42")], ids=lambda found: str(found.kind))
def test_real_events_fit_their_schema(found: Discrepancy) -> None:
    """The data of an event that the plan makes of a discrepancy is valid by the schema of its type, and by no other one's."""
    made = event(replace(found, source_token=found.source_token and "a1", target_token=found.target_token and "b2"))
    assert made is not None
    data = json.loads(made.encode())["data"]

    valid = {op: jsonschema.Draft202012Validator(schema(job(), op)).is_valid(data) for op in ("created", "updated", "deleted")}

    assert valid == {op: op == made.operation for op in valid}


def test_every_kind_is_told_as_events_write_it() -> None:
    """A state with a value of each kind, or null, or nothing at all in a field's place is valid; a value of another shape is not."""
    validator = jsonschema.Draft202012Validator(schema(WIDE, "created")["properties"]["state"])
    wrong = {
        "status": 1, "total": "19.99", "currency": 978, "rate": 12.5, "tags": "a", "due": 20261123, "seen": 1, "open": 1, "count": "3",
    }  # fmt: skip

    assert validator.is_valid(STATE)
    assert validator.is_valid(dict.fromkeys(STATE))
    assert validator.is_valid({})
    assert [name for name, value in wrong.items() if validator.is_valid({**STATE, name: value})] == []


def test_the_asyncapi_document_is_valid_by_the_official_schema() -> None:
    """What `recon events asyncapi` prints is valid by AsyncAPI's own JSON Schema for 3.0.0, also where two domains emit one type."""
    official = json.loads((node.require("@asyncapi/specs") / "schemas" / "3.0.0.json").read_text())
    twin = replace(WIDE, domain="bills_eu", publisher="bus", correct=lambda _: None)

    made = document("Corrections of shop", "0.2.0", {"orders": job(), "bills": WIDE, "bills_eu": twin})

    jsonschema.Draft7Validator(official).validate(made)
    assert len(made["components"]["messages"]) == 9
    assert not jsonschema.Draft7Validator(official).is_valid({**made, "channels": {"orders": {"messages": 1}}})


def test_a_field_may_join_and_none_may_leave() -> None:
    """Adding a field is no new version; taking one out, or another kind, or other units, is; with the version raised all may change."""
    before = register_of({"bills": WIDE})

    def now(**said: Any) -> list[str]:
        return changes(before, register_of({"bills": replace(WIDE, **said)}))

    assert now(fields=(*WIDE.fields, Field("more"))) == []
    assert now(fields=WIDE.fields[1:]) == [
        f"bills bill.{op}: field status is gone, so it is version 2: event_version=2" for op in ("created", "updated", "deleted")
    ]
    assert "field status was string and is integer" in now(fields=(Field("status", "integer"), *WIDE.fields[1:]))[0]
    assert (
        "minor units of EUR"
        in now(fields=tuple(replace(f, kind=Money(currency="EUR")) if f.name == "total" else f for f in WIDE.fields))[0]
    )
    assert now(fields=WIDE.fields[1:], event_version=2) == []
    assert changes(register_of({"bills": replace(WIDE, event_version=3)}), before)[0].startswith("bills bill.created: version 1 is older")
