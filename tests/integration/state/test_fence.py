"""No write without a look at the fence: every writing transaction of the engine, found in its source and watched over whole nights."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from recon.state.database import State
from tests.acceptance.cli_project import ROOT, Shell, Shop

ENGINE = ROOT / "recon"
#: What checks the fence, and locks its row, in the transaction that it is called in.
CHECKS = {
    *("check", "renew", "acquire", "release"),  # recon.state.lease
    *("advance_in", "_advance_in", "emit_in", "enqueue_in"),  # They call one of those.
}
#: Writing transactions that hold no lease, and why that is right.
UNFENCED = {
    "recon/consume/applier.py:_begun": "an application's own database, which is no state of ours",
    "recon/doctor/machine.py:_state": "changes no row: it asks whether it could",
    "recon/ledger/acks.py:add": "a person's word, bound to the discrepancy's fingerprints; a run reads it when it records",
    "recon/ledger/acks.py:remove": "a person's word; it ends an acknowledgement and nothing else",
    "recon/notify/notices.py:close": "one row by its primary key: there is nothing more to say, whoever finds it out",
    "recon/notify/notices.py:failed": "the row it took, if nobody took it since: who tells people is one of many, whatever domain it is of",
    "recon/notify/notices.py:open": "one row by its primary key, written by whoever comes first",
    "recon/notify/notices.py:postpone": "the row it took, if nobody took it since",
    "recon/notify/notices.py:take": "one statement: of two that come at once, one finds the row due",
    "recon/notify/notices.py:told": "the row it took, if nobody took it since",
    "recon/outbox/dead.py:discard": "only what was refused for good, which no run and no delivery touches",
    "recon/outbox/dead.py:redrive": "only what was refused for good, back to wait; who may send it is the delivery's lease",
    "recon/outbox/replay.py:begin": "adds rows that wait, one for each event and destination by an index; who may send them is the delivery's lease",
    "recon/outbox/outbox.py:hurry": "only says when a waiting event is tried again; who may send and mark it is the delivery's lease",
    "recon/outbox/standing.py:remember": "how a destination stood, one row; it decides with how many events it is asked first, and nothing else",
    "recon/personal.py:install_key": "the installation's key, one row, written by whoever comes first",
    "recon/state/pruning.py:_batches": "only rows of runs that have ended, looked at again under the lock of the run's row",
    "recon/state/pruning.py:remember": "when a domain was last pruned; nothing is decided by it",
    "recon/state/runs.py:expire": "ends only what is held and too old, under the lock of the run's row, which a decision takes too",
    "recon/state/slots.py:record": "rows by their primary key, and older ones that are pending, under their locks",
    "recon/state/slots.py:take": "under the lock of the slot's row; the run that it starts claims the domain's lease",
    "recon/state/slots.py:renew": "only what is still taken by the same",
    "recon/state/slots.py:again": "only what is still taken by the same",
    "recon/state/slots.py:release": "only what is still taken by the same",
    "recon/state/slots.py:due": "one row by its primary key, written by whoever comes first",
    "recon/state/slots.py:finish": "only what is pending is finished, and once",
    "recon/testing/simulation/applying.py:__init__": "a pretended application's own database",
}
WRITE = re.compile(r"^\s*(?:insert\s+(?:or\s+\w+\s+)?into|update|delete\s+from)\s+\"?(recon_\w+)", re.IGNORECASE)
#: Not a domain's: who may write at all, and the database's own notes.
APART = {"recon_leases", "recon_meta", "recon_version"}


def called(node: ast.AST) -> set[str]:
    """The names of everything that is called in it."""
    calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    return {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}


def writers() -> dict[str, set[str]]:
    """`file:function` of every function that begins a writing transaction, and what it calls."""
    found = {}
    for path in sorted(ENGINE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and "begin" in called(node) and ".begin()" in ast.unparse(node):
                found[f"{path.relative_to(ROOT).as_posix()}:{node.name}"] = called(node)
    # Where the transaction itself is made, those that only read, and the migration, which holds a lock of its own.
    for name in ("database.py:begin", "database.py:read", "soundness.py:examine", "upgrade.py:to_head"):
        del found[f"recon/state/{name}"]
    return found


def test_every_writing_transaction_checks_the_fence_or_says_why_not() -> None:
    """A function that begins one calls what checks the fence, or stands in the list above with its reason; the list has no more."""
    unfenced = {name for name, calls in writers().items() if not calls & CHECKS}

    assert unfenced == set(UNFENCED)
    assert len(writers()) > len(UNFENCED)


class Watch:
    """Every transaction while it lasts: who began it, which tables it wrote, whether it looked at a lease's row."""

    def __init__(self) -> None:
        self.fenced: dict[str, set[str]] = {}
        self.unfenced: dict[str, set[str]] = {}
        self._open: dict[int, list[str]] = {}

    @contextmanager
    def on(self, monkeypatch: pytest.MonkeyPatch) -> Iterator["Watch"]:
        """Listens to every engine, and to who calls `State.begin`."""
        begin = State.begin

        @contextmanager
        def beginning(state: State) -> Iterator[Connection]:
            code = sys._getframe(2).f_code
            with begin(state) as conn:
                said = self._open[id(conn.connection.dbapi_connection)] = []
                yield conn
            self._close(f"{Path(code.co_filename).relative_to(ROOT).as_posix()}:{code.co_name}", said, state.dialect)

        def executing(conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if (said := self._open.get(id(conn.connection.dbapi_connection))) is not None:
                said.append(statement)

        monkeypatch.setattr(State, "begin", beginning)
        event.listen(Engine, "before_cursor_execute", executing)
        try:
            yield self
        finally:
            event.remove(Engine, "before_cursor_execute", executing)

    def _close(self, who: str, said: list[str], dialect: str) -> None:
        tables = {found[1] for one in said if (found := WRITE.match(one))} - APART
        if not tables:
            return
        # SQLite has one writer, which BEGIN IMMEDIATE makes of it; PostgreSQL's row must be locked.
        looks = [one for one in said if "recon_leases" in one and (dialect == "sqlite" or "FOR UPDATE" in one or WRITE.match(one))]
        (self.fenced if looks else self.unfenced).setdefault(who, set()).update(tables)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two domains of ten items, one of them with a guard that trips early."""
    shop = Shop.made(tmp_path)
    job = (shop.folder / "jobs/refunds.py").read_text()
    shop.write("jobs/refunds.py", job.replace("Field, Job", "Field, Guard, Job").replace("settle=0", "settle=0, guard=Guard(floor=3)"))
    return shop


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whole_nights_write_nothing_for_a_domain_without_the_fence(
    shop: Shop, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drift corrected, one key looked at, a plan held and approved, another rejected, an acknowledgement, a delivery by hand: each
    transaction that wrote a domain's tables had looked at that domain's lease in it, except for those with a reason above.
    """
    if kind == "postgresql":
        shop.environ["RECON_STATE_URL"] = request.getfixturevalue("database")
    recon = Shell(shop, monkeypatch, capsys)
    shop.drift()

    with Watch().on(monkeypatch) as watch:
        codes = [recon("run", "orders").code, recon("run", "orders", "--id", "o002").code, recon("check", "orders").code]
        codes += [recon("ack", "orders", "o001", "--reason", "known").code, recon("unack", "orders", "o001").code]
        codes += [recon("publish").code, recon("doctor", "orders").code]
        plan = hold(shop, recon)
        codes += [recon("approve", plan["run"], "--plan", plan["checksum"], "--reason", "seen").code]
        plan = hold(shop, recon)
        codes += [recon("reject", plan["run"], "--reason", "not seen").code, recon("held").code]

    assert codes == [0] * len(codes)
    assert set(watch.unfenced) <= set(UNFENCED)
    under: set[str] = set().union(*watch.fenced.values())
    assert under >= {f"recon_{name}" for name in ("runs", "ledger", "findings", "plans", "plan_events", "events", "outbox")}
    assert {"recon/run/approval.py:approve", "recon/run/approval.py:reject"} <= set(watch.fenced)
    assert {
        "recon/run/night.py:fenced",
        "recon/run/night.py:advance",
        "recon/state/runs.py:start",
        "recon/outbox/delivery.py:_mark",
    } <= set(watch.fenced)


def hold(shop: Shop, recon: Shell) -> dict[str, str]:
    """A night whose plan is held: the store lost what the third party has."""
    shop.sql("delete from refunds")
    said = recon("run", "refunds", "--json")
    assert said.code == 4, said.err
    body = json.loads(said.out)
    return {"run": body["run"], "checksum": body["plan"]["checksum"][:12]}
