"""`recon events` by hand: types, a schema, the AsyncAPI document, and the register that refuses a silent change."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recon.testing import check_events
from tests.acceptance.cli_project import JOB, Shell, Shop


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A project with two domains that emit the same types."""
    return Shell(Shop.made(tmp_path), monkeypatch, capsys)


def test_types_schemas_and_asyncapi(shell: Shell) -> None:
    """The list has each type with version and publisher; a type of two domains asks which; the documents are JSON."""
    listed = shell("events")
    document = json.loads(shell("events", "--json").out)

    assert "order.created  v1  orders   to bus" in listed.out
    assert len(document["types"]) == 6
    assert json.loads(shell("events", "schema", "order.updated", "--domain", "orders").out)["properties"]["op"] == {"const": "updated"}
    assert json.loads(shell("events", "asyncapi").out)["asyncapi"] == "3.0.0"
    twice = shell("events", "schema", "order.updated")
    assert twice.code == 2
    assert "2 domains emit order.updated: orders, refunds" in twice.err
    wrong = shell("events", "schema", "order.update")
    assert wrong.code == 2
    assert "did you mean 'order.updated'?" in wrong.err


STEPS = """
def up(data):
    return {**data, **{name: _without(data[name]) for name in ("state", "before")}, "changed": [n for n in data["changed"] if n != "total"]}


def _without(record):
    return record and {name: value for name, value in record.items() if name != "total"}


def down(data):
    return {**data, **{name: data[name] and {"total": None, **data[name]} for name in ("state", "before")}}
"""


def raised(text: str, sunset: str) -> str:
    """The job in version 2, with version 1 sent until that day."""
    said = f'event="order", event_version=2, versions=(Version(number=1, up=up, down=down, sunset="{sunset}"),)'
    text = text.replace("Table\n", f"Table, Version\n{STEPS}", 1)
    return text.replace('event="order"', said)


def test_an_older_version_is_listed_with_its_schema_and_its_last_day(shell: Shell) -> None:
    """List, schema and AsyncAPI have it from the register; the doctor says how long it is sent, and what to take out when that is over."""
    assert shell("events", "lock").code == 0
    old = json.loads(shell("events", "schema", "order.updated", "--domain", "orders").out)
    poorer = JOB.format(name="orders").replace('Field("total", "integer")', "")
    shell.shop.write("jobs/orders.py", raised(poorer, "2999-12-31"))
    assert shell("events", "lock").code == 0

    assert "order.created  v1  orders   to bus; deprecated, until 2999-12-31" in shell("events").out
    listed = [one for one in json.loads(shell("events", "--json").out)["types"] if one["domain"] == "orders" and one["op"] == "created"]
    assert [(one["version"], one["deprecated"], one["sunset"]) for one in listed] == [(2, False, None), (1, True, "2999-12-31")]
    assert json.loads(shell("events", "schema", "order.updated", "--domain", "orders", "--version", "1").out) == old
    unknown = shell("events", "schema", "order.updated", "--domain", "orders", "--version", "7")
    assert (unknown.code, "has no schema of version 7" in unknown.err) == (2, True)
    messages = json.loads(shell("events", "asyncapi").out)["components"]["messages"]
    assert messages["order.created.v1"]["payload"]["deprecated"] is True
    soon = (datetime.now(UTC) + timedelta(days=20)).date().isoformat()
    # Of another length each time: what is written twice in one second, as long as before, is taken for the same by Python's cache.
    shell.shop.write("jobs/orders.py", raised(poorer, soon) + "# sooner\n")
    assert "was promised until 2999-12-31 and ends on" in shell("events", "lock").err
    said = shell("doctor").out
    assert f"version 1 of its events is sent until {soon}, and refused after it: 20 more days" in said
    shell.shop.write("jobs/orders.py", raised(poorer, "2020-12-31") + "# over by now\n")
    said = shell("doctor").out
    assert "version 1 of its events is sent no more: its sunset was 2020-12-31" in said
    assert "take down= and sunset= out of Version(number=1)" in said
    assert "deprecated, ended with 2020-12-31" in shell("events").out


def test_the_register_refuses_a_silent_change(shell: Shell) -> None:
    """A field that is gone without a new version is refused by lock, doctor and the test helper; with one it is taken."""
    assert shell("events", "lock", "--check").code == 2
    assert shell("events", "lock").code == 0
    check_events(shell.shop.folder)
    poorer = JOB.format(name="orders").replace('Field("total", "integer")', "")
    shell.shop.write("jobs/orders.py", poorer)

    refused = shell("events", "lock")

    assert refused.code == 2
    assert "orders order.updated: field total is gone, so it is version 2: event_version=2" in refused.err
    assert "field total is gone" in shell("doctor").out
    with pytest.raises(AssertionError, match="3 changes break"):
        check_events(shell.shop.folder)
    shell.shop.write("jobs/orders.py", poorer.replace('event="order"', 'event="order", event_version=2'))
    assert shell("events", "lock", "--check").code == 2
    stuck = shell("events", "lock")
    assert stuck.code == 2
    assert "orders order.updated: version 1 became 2, and nothing raises version 1: versions=(Version(number=1, up=…),)" in stuck.err
    assert "nothing raises version 1" in shell("doctor").out
    shell.shop.write("jobs/orders.py", raised(poorer, "2999-12-31"))
    assert shell("events", "lock", "--check").code == 2
    assert shell("events", "lock").code == 0
    assert shell("events", "lock", "--check").code == 0
    check_events(shell.shop.folder)
    shell.shop.write("events.json", "{torn")
    assert "events.json: cannot be read as JSON" in shell("events", "lock").err
