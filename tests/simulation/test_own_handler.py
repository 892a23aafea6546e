"""A project's own job and handler of events in a world, as docs/simulation.md shows them."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from recon import Field, Job, Table
from recon.kind import Boolean, Date, Decimal, Integer, Timestamp
from recon.testing.simulation import simulate

DOC = Path(__file__).parent.parent.parent / "docs/simulation.md"


def job(*fields: Field, **changes: Any) -> Job:
    named = {"domain": "bills", "provider": "acme", "resource": "bill", "table": Table(name="bills"), "event": "bill", "publisher": "bus"}
    return Job(fields=fields or (Field("state"),), **{**named, **changes})


def test_the_example_of_the_docs_runs() -> None:
    """The job and handler in docs/simulation.md live through their nights without a law being violated, and the handler is what wrote."""
    code = next(block for block in re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL) if "simulate" in block)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOC), "exec"), names)

    names["test_my_handler"]()

    result = simulate(names["INVOICES"], names["my_handler"], seed=1, nights=2, lost=0.3)
    assert any("handler" in line for line in result.trace)
    assert not [line for line in result.trace if line.split()[2] == "consumer"]


def test_a_handler_that_forgets_deletions_is_found() -> None:
    """Of a handler that never deletes it is said that both sides do not come together."""

    def careless(event: dict[str, Any], database: sqlite3.Connection) -> None:
        if event["data"]["op"] != "deleted":
            database.execute("insert or replace into bills values (?, ?)", (event["data"]["key"], event["data"]["state"]["state"]))

    calm = {"careful": False, "lost": 0.8, "crashes": 0.0, "freezes": 0.0, "by_hand": 0.0, "changes": (8, 16)}
    found = [one for seed in (1, 2) for one in simulate(job(), careless, seed=seed, nights=2, **calm).violations]

    assert any(one.law.startswith("5 ") for one in found)


def test_every_kind_that_is_drawn_reads_alike_on_both_sides() -> None:
    """Where every webhook arrives at once, fields of every drawn kind never differ, and no item is unreadable."""
    fields = (
        Field("name"),
        Field("count", Integer(), path="how.many"),
        Field("paid", Boolean()),
        Field("rate", Decimal(scale=3)),
        Field("due", Date()),
        Field("at", Timestamp(), column="made_at"),
    )
    quiet = {"lost": 0.0, "late": 0.0, "twice": 0.0, "trouble": 0.0, "item_trouble": 0.0, "troubles": {}, "crashes": 0.0, "freezes": 0.0}
    result = simulate(job(*fields), lambda *_: None, nights=2, changes=(3, 6), **quiet)

    assert not result.violations
    assert result.coverage["verdict clean"] >= 4
    assert not [line for line in result.trace if "unreadable" in line]


@pytest.mark.parametrize(
    "refused",
    [job(direction="outbound"), job(Field("state", expression="upper(state)")), job(Field("tags", "set")), job(publisher=None)],
    ids=["outbound", "expression", "set", "no publisher"],
)
def test_a_job_that_cannot_be_drawn_is_refused(refused: Job) -> None:
    """A job whose records the world cannot draw is refused, with its domain and the reason, before anything is lived through."""
    with pytest.raises(ValueError, match="bills cannot be simulated: "):
        simulate(refused, lambda *_: None)
