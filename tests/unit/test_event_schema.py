"""The schemas that tell others of our events: true of the events that are really made, and good enough to catch those that are not."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import jsonschema
import pytest

from recon.discrepancy import Discrepancy
from recon.event.asyncapi import document
from recon.event.register import changes, register_of, schema_in
from recon.event.sample import misfits, samples
from recon.event.schema import schema_of
from recon.event.steps import faults
from recon.event.types import types_of
from recon.job import Field, Job, Table
from recon.kind import Decimal, Money, Set, Text
from recon.versions import Version
from tests.integration.state.world import changed, extra, missing
from tests.servers import node
from tests.unit.test_correction import event, job

TODAY = date(2026, 11, 25)

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
    mine = schema(job(), made.operation)["properties"]
    sides = {side: "version" in mine[side]["properties"] for side in ("precondition", "observed")}
    assert sides == {"precondition": made.operation != "created", "observed": made.operation != "deleted"}
    for side in data["precondition"], data["observed"]:
        # What was stored before events said so stays valid, and a number is no time.
        told = side.pop("version", None)
        assert jsonschema.Draft202012Validator(schema(job(), made.operation)).is_valid(data)
        side["version"] = 7
        assert jsonschema.Draft202012Validator(schema(job(), made.operation)).is_valid(data) is (told is None)
        side.pop("version")


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


def test_the_schemas_of_older_versions_stay_in_the_register() -> None:
    """Raised twice, it has the schema of each version as it was agreed on, which of them are raised, and until when one is sent."""
    first = register_of({"bills": WIDE})
    poorer = replace(WIDE, fields=WIDE.fields[1:], event_version=2, versions=(Version(number=1, up=dict, down=dict, sunset="2026-12-31"),))
    second = register_of({"bills": poorer}, first)
    third = register_of(
        {"bills": replace(WIDE, event_version=3, versions=(Version(number=1, up=dict), Version(number=2, up=dict)))}, second
    )

    created = second["types"]["bills bill.created"]["older"]
    assert created == {"1": {"data": first["types"]["bills bill.created"]["data"], "up": True, "sunset": "2026-12-31"}}
    assert schema_in(third, "bills", "bill.created", 1) == first["types"]["bills bill.created"]["data"]
    assert schema_in(third, "bills", "bill.created", 2) == second["types"]["bills bill.created"]["data"]
    assert schema_in(third, "bills", "bill.created", 9) is None
    assert register_of({"bills": poorer}, second) == second
    ends = (
        "bills bill.created: version 1 was promised until 2026-12-31 and is sent no more: keep its down= and sunset='2026-12-31' until then"
    )
    assert changes(second, third, today=date(2026, 12, 31))[0] == ends
    assert changes(second, third, today=date(2027, 1, 1)) == []


def test_an_older_version_stands_in_the_asyncapi_document_while_it_is_sent() -> None:
    """It is a message of its own, marked as deprecated, with its own schema; valid by the official schema, and gone after its sunset."""
    official = json.loads((node.require("@asyncapi/specs") / "schemas" / "3.0.0.json").read_text())
    first = register_of({"bills": WIDE})
    poorer = replace(WIDE, fields=WIDE.fields[1:], event_version=2, versions=(Version(number=1, up=dict, down=dict, sunset="2026-12-31"),))
    known = register_of({"bills": poorer}, first)

    made = document("Corrections", "1", {"bills": poorer}, register=known, today=date(2026, 12, 31))

    jsonschema.Draft7Validator(official).validate(made)
    messages = made["components"]["messages"]
    assert sorted(messages) == [f"bill.{op}.v{version}" for op in ("created", "deleted", "updated") for version in (1, 2)]
    old, new = (messages[f"bill.created.v{version}"]["payload"]["properties"] for version in (1, 2))
    assert (old["dataversion"], old["deprecationsunset"]) == ({"const": 1}, {"const": "2026-12-31"})
    assert ("status" in old["data"]["properties"]["state"]["properties"], "status" in new["data"]["properties"]["state"]["properties"]) == (
        True,
        False,
    )
    assert messages["bill.created.v1"]["payload"]["deprecated"] is True
    assert len(document("Corrections", "1", {"bills": poorer}, register=known, today=date(2027, 1, 1))["components"]["messages"]) == 3


def test_samples_of_a_schema_are_valid_by_it() -> None:
    """The data that steps are tried on is what `jsonschema` too holds for valid; and what it refuses, the own check refuses."""
    for op in ("created", "updated", "deleted"):
        found = schema(WIDE, op)
        validator = jsonschema.Draft202012Validator(found)
        for sample in samples(found):
            validator.validate(sample)
            assert list(misfits(found, sample)) == []
            record = "before" if op == "deleted" else "state"
            for name, wrong in {"total": "19.99", "rate": 12.5, "tags": "a", "due": "tomorrow", "open": 1, "count": True}.items():
                bad = {**sample, record: {**sample[record], name: wrong}}
                assert next(misfits(found, bad)).startswith(f"data.{record}.{name} is ")
                assert name == "due" or not validator.is_valid(bad)
            assert not validator.is_valid({**sample, "changed": ["no such"]})
            assert list(misfits(found, {**sample, "changed": ["no such"]}))


def _renamed(old: str, new: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A step that gives a field another name, wherever it stands."""

    def step(data: dict[str, Any]) -> dict[str, Any]:
        def record(one: dict[str, Any] | None) -> dict[str, Any] | None:
            return None if one is None else {new if name == old else name: value for name, value in one.items()}

        changed = [new if name == old else name for name in data["changed"]]
        return {**data, "state": record(data["state"]), "before": record(data["before"]), "changed": changed}

    return step


RENAMED = replace(
    WIDE,
    fields=(Field("standing"), *WIDE.fields[1:]),
    event_version=2,
    versions=(Version(number=1, up=_renamed("status", "standing"), down=_renamed("standing", "status"), sunset="2026-12-31"),),
)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, None),
        ({"up": dict, "down": dict}, "raised from version 1: data.changed[] has 'status', which is none of"),
        ({"down": dict}, "lowered to version 1: data.state.status is not there"),
        ({"down": lambda data: {}}, "op and key are not what they were"),
        ({"down": lambda data: data["nothing"]}, "raised KeyError"),
        ({"up": dict}, "raised from version 1: data.changed[] has 'status', which is none of"),
        ({"down": lambda data: {**_renamed("standing", "status")(data), "at": object()}}, "raised TypeError"),
        ({"up": lambda data: {**_renamed("status", "standing")(data), "changed": data["changed"]}}, "data.changed[] has 'status', which is none of"),
    ],
    ids=["good", "both idle", "idle down", "empty", "raises", "idle up", "no JSON", "changed forgotten"],
)  # fmt: skip
def test_a_step_that_breaks_a_version_is_found_before_it_runs(said: dict[str, Any], fault: str | None) -> None:
    """Each fault is named on data made up from the schemas: nothing where both steps keep both schemas."""
    (one,) = RENAMED.versions
    broken = replace(RENAMED, versions=(replace(one, **said),))
    register = register_of({"bills": broken}, register_of({"bills": WIDE}))

    found = faults(broken, register)

    assert bool(found) is (fault is not None), found
    assert fault is None or any(fault in line for line in found), found


def test_a_step_that_changes_what_it_is_given_is_found() -> None:
    """A step that reaches into the state it was given would change what is stored in memory for the next reader."""

    def reaching(data: dict[str, Any]) -> dict[str, Any]:
        for record in (data["state"], data["before"]):
            if record is not None:
                record["standing"] = record.pop("status", None)
        return data

    (one,) = RENAMED.versions
    broken = replace(RENAMED, versions=(replace(one, up=reaching),))

    found = faults(broken, register_of({"bills": broken}, register_of({"bills": WIDE})))

    assert any("changes what it is given" in line for line in found), found


def test_a_field_may_join_and_none_may_leave() -> None:
    """Adding a field is no new version; taking one out, or another kind, or other units, is; with the version raised all may change."""
    before = register_of({"bills": WIDE})

    def now(**said: Any) -> list[str]:
        return changes(before, register_of({"bills": replace(WIDE, **said)}, before), today=TODAY)

    assert now(fields=(*WIDE.fields, Field("more"))) == []
    assert now(fields=WIDE.fields[1:]) == [
        f"bills bill.{op}: field status is gone, so it is version 2: event_version=2" for op in ("created", "updated", "deleted")
    ]
    assert "field status was string and is integer" in now(fields=(Field("status", "integer"), *WIDE.fields[1:]))[0]
    assert (
        "minor units of EUR"
        in now(fields=tuple(replace(f, kind=Money(currency="EUR")) if f.name == "total" else f for f in WIDE.fields))[0]
    )
    assert now(fields=WIDE.fields[1:], event_version=2, versions=(Version(number=1, up=dict),)) == []
    assert now(fields=WIDE.fields[1:], event_version=2)[0] == (
        "bills bill.created: version 1 became 2, and nothing raises version 1: versions=(Version(number=1, up=…),)"
    )
    raised = register_of({"bills": replace(WIDE, event_version=3)})
    assert changes(raised, before, today=TODAY)[0].startswith("bills bill.created: version 1 is older")
