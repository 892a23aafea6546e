"""`recon events` by hand: types, a schema, the AsyncAPI document, and the register that refuses a silent change."""

import json
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
    assert shell("events", "lock").code == 0
    assert shell("events", "lock", "--check").code == 0
    shell.shop.write("events.json", "{torn")
    assert "events.json: cannot be read as JSON" in shell("events", "lock").err
