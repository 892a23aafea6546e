"""Whole nights whose listing has a fault in it: what is told to the consumers against what truly differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from recon import Field, Guard, Job, Table
from recon.progress import Silent
from recon.report.figures import RunFigures
from recon.run import Order, run_domain
from recon.state.database import State
from recon.testing import FixedClock, MemoryStore, RecordingPublisher
from recon.testing.faultlab import Fault, trouble
from recon.testing.faultlab.trial import Servers, Subject
from tests.acceptance.nights import Doubles

GUARD = Guard(missing=1.0, extra=1.0, changed=1.0, same_field=1.0, shrunken=1.0)
JOB = Job(
    domain="orders",
    provider="shop",
    resource="orders",
    publisher="bus",
    table=Table(name="orders"),
    fields=(Field("amount", "integer"), Field("changed", "timestamp", compare=False)),
    updated="changed",
    event="order",
    guard=GUARD,
    settle=0,
)
#: What truly differs: an order that the store lacks, one that only the store has, one that it has wrong.
DRIFT = {("o06", "created"), ("x99", "deleted"), ("o12", "updated")}


@dataclass(frozen=True)
class Told:
    """What a night said, and what it sent."""

    figures: RunFigures
    events: set[tuple[str, str]]


def night(subject: Subject, fault: Fault, place: str, lab: Servers, folder: Path, *, drift: bool) -> Told:
    """One night with that fault in the listing; reads by id are honest."""
    clock = FixedClock()
    api = lab.home.site = subject.api()
    trouble(fault, api, subject.number(fault, place), foreign=lab.foreign.url, now=clock.now)
    store = MemoryStore(_rows(subject.records, drift=drift))
    publisher = RecordingPublisher(name="bus")
    provider = subject.make(lab.home.url)
    folder.mkdir()
    state = State.open(f"sqlite:///{folder}/state.db", clock=clock)
    try:
        project = Doubles(folder, JOB, {"provider": provider, "store": store, "publisher": publisher})
        figures = run_domain(project, state, Order(domain="orders"), clock=clock, progress=Silent())
    finally:
        state.close()
        provider.close()
        lab.home.requests.clear()
    if lab.home.errors:
        raise lab.home.errors[0]
    events = [msgspec.json.decode(message.body) for message in publisher.messages]
    return Told(figures, {(event["data"]["key"], event["type"].rpartition(".")[2]) for event in events})


def _rows(records: Sequence[Any], *, drift: bool) -> list[dict[str, Any]]:
    rows = {record["id"]: {name: record[name] for name in ("id", "amount", "changed")} for record in records}
    if drift:
        del rows["o06"]
        rows["o12"]["amount"] = 999
        rows["x99"] = {**rows["o01"], "id": "x99", "amount": 1}
    return list(rows.values())
