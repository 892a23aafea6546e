"""Versions of an event's data: what a chain may look like, and what its steps make."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from recon import Version
from recon.job import BadJob
from recon.publishers.base import Message
from recon.versions import UnknownVersion, Versions
from tests.integration.state.world import job

SUNSET = "2027-03-31"


def up(data: dict[str, Any]) -> dict[str, Any]:
    """Writes its way down."""
    return {**data, "way": [*data["way"], "up"]}


def down(data: dict[str, Any]) -> dict[str, Any]:
    """Writes its way down."""
    return {**data, "way": [*data["way"], "down"]}


def one(number: int, *, sent: bool = False) -> Version:
    """An older version."""
    return Version(number=number, up=up, **({"down": down, "sunset": SUNSET} if sent else {}))


def test_data_goes_up_and_down_a_step_at_a_time() -> None:
    """From each version as many steps as lie between, and what was given is left as it was."""
    chain = Versions(4, [one(1), one(2, sent=True), one(3, sent=True)])
    given = {"way": []}

    assert [len(chain.raised(given, number)["way"]) for number in chain.known] == [3, 2, 1, 0]
    assert [chain.lowered(given, number)["way"] for number in (3, 2)] == [["down"], ["down", "down"]]
    assert given == {"way": []}
    assert [version.number for version in chain.sent] == [3, 2]
    assert [version.number for version in chain.sent_on(date(2027, 3, 31))] == [3, 2]
    assert chain.sent_on(date(2027, 4, 1)) == ()
    with pytest.raises(UnknownVersion, match="version 7 is not known here; known are 1, 2, 3, 4"):
        chain.raised(given, 7)
    with pytest.raises(UnknownVersion, match="nothing leads from 2 to 1"):
        chain.lowered(given, 1)


@pytest.mark.parametrize(
    ("current", "older", "message"),
    [
        (3, [one(1)], "orders: versions 1 do not lead to version 3 one after another, oldest first"),
        (3, [one(2), one(1)], "orders: versions 2, 1 do not lead to version 3"),
        (1, [one(1)], "orders: versions 1 do not lead to version 1"),
        (3, [one(1, sent=True), one(2)], "orders: version 1 has down=, and nothing leads down to it: version 2 has none"),
    ],
    ids=["gap", "order", "no raise", "no way down"],
)
def test_a_job_refuses_a_chain_that_is_none(current: int, older: Sequence[Version], message: str) -> None:
    """The message names the domain, the versions and what is wanted."""
    with pytest.raises(BadJob) as caught:
        job(event_version=current, versions=older)

    assert str(caught.value).startswith(message)
    assert "each Version(number=…, up=…) in versions= leads to the next" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"number": 0}, "versions count from 1"),
        ({"down": down}, "has a day on which that ends"),
        ({"sunset": SUNSET}, "has a day on which that ends"),
        ({"down": down, "sunset": "20270331"}, "is no day, such as 2027-03-31"),
        ({"down": down, "sunset": "2027-02-30"}, "is no day, such as 2027-03-31"),
    ],
    ids=["zero", "no day", "nothing sent", "another form", "no such day"],
)
def test_a_version_refuses_what_cannot_be(said: dict[str, Any], message: str) -> None:
    """Numbers from 1, and what is sent has a last day."""
    with pytest.raises(ValueError, match=message):
        Version(**{"number": 1, "up": up, **said})


def test_an_older_version_has_the_id_and_a_token_of_its_own() -> None:
    """A broker that drops repeats by token, or a table that keeps an id once, does not take one version for the other."""
    newest = Message(id="e", type="t", subject="s", partitionkey="k", body=b"{}", emission=3)
    older = Message(id="e", type="t", subject="s", partitionkey="k", body=b"{}", emission=3, version=1)

    assert (newest.dedupe, newest.copy) == ("e:3", "e")
    assert (older.id, older.dedupe, older.copy) == ("e", "e:3:v1", "e:v1")
