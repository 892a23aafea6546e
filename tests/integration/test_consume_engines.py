"""The applier on what applications have: an asynchronous engine, and a database with rules of its own."""

import ast
import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from recon.consume import Applier
from recon.errors import StoreMismatch
from tests.integration.consuming import applier_of, correction, engine_of, memory, row, second
from tests.integration.test_consume_docs import block

OPEN = {"status": "open", "total": 1, "updated_at": second(1)}
PAID = {"status": "paid", "total": 2, "updated_at": second(2)}


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The application's database."""
    made = memory() if request.param == "sqlite" else engine_of(request.getfixturevalue("database"))
    yield made
    made.dispose()


def test_an_asynchronous_engine_is_worked_with_in_run_sync(database: str) -> None:
    """As the page shows it: what takes a connection works within `run_sync`, tables and the door included; what opens a transaction of its own says the way out."""
    url = database.replace("postgresql://", "postgresql+psycopg://")
    engine_of(database).dispose()

    async def work() -> None:
        engine = create_async_engine(url)
        applier = Applier(engine, table="orders", version="updated_at")
        names = {"engine": engine, "applier": applier, "event": correction("created", "7", OPEN, None, at=10)}
        names |= {"key": "7", "state": PAID, "version": second(2)}
        running = eval(compile(block("run_sync"), "docs/consuming.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        await running
        for door in (applier.create_tables, applier.check, applier.conflicts, lambda: applier.apply(b"{}"), lambda: applier.delete("7", 3)):
            with pytest.raises(StoreMismatch, match="asynchronous") as caught:
                door()
            assert "await connection.run_sync(applier.apply_in, event)" in (caught.value.hint or "")
        with pytest.raises(StoreMismatch, match="asynchronous"):
            applier.apply_many([correction("created", "8", OPEN, None, at=10)])
        await engine.dispose()

    asyncio.run(work())
    engine = create_engine(url)
    assert row(engine, "7") == ("paid", 2)
    engine.dispose()


def test_what_a_trigger_refuses_is_a_dead_letter(engine: Engine) -> None:
    """A rule of the database's own that raises, in either language: the event's own fault, which no waiting mends."""
    if engine.dialect.name == "sqlite":
        body = "CREATE TRIGGER no_void BEFORE INSERT ON orders WHEN NEW.status = 'void' BEGIN SELECT RAISE(ABORT, 'no void orders'); END"
        statements = [body]
    else:
        statements = [
            "CREATE FUNCTION no_void() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no void orders'; END $$",
            "CREATE TRIGGER no_void BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.status = 'void') EXECUTE FUNCTION no_void()",
        ]
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    applier = applier_of(engine)
    events = [correction("created", key, {**OPEN, "status": "void" if key == "2" else "open"}, None, at=10) for key in "123"]
    assert [one.kind.value for one in applier.apply_many(events)] == ["applied", "dead", "applied"]
    assert "no void orders" in applier.dead_letters()[0].reason
