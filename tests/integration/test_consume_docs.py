"""What docs/consuming.md shows is so: its examples run, and its tables are those that are made."""

import inspect
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from recon.consume import Applier
from recon.publishers.signing import new_secret
from recon.testing import MemoryReader
from recon.testing.publisher_suite import message_of
from tests.integration.consuming import correction, engine_of, row, second
from tests.integration.test_publisher_redis import publisher
from tests.servers.valkey import ValkeyServer

PAGE = (Path(__file__).parent.parent.parent / "docs/consuming.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def block(words: str) -> str:
    """The one example that holds these words."""
    (found,) = [one for one in BLOCKS if words in one]
    return found


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the five lines to the endpoint, in the order in which the page shows them, on one database."""
    state = {"status": "open", "total": 1, "updated_at": second(1)}
    engine = engine_of(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE audit (id text)"))
        connection.execute(text("CREATE TABLE mails (order_id text)"))
    names: dict[str, Any] = {"engine": engine, "text": text, "body": correction("created", "1", state, None, at=10).encode()}

    def run(words: str, **more: Any) -> None:
        names.update(more)
        exec(block(words), names)

    run("applied = applier.apply(body)")
    assert names["applied"].kind.value == "applied"
    run("INSERT INTO audit", event=correction("created", "2", state, None, at=10))
    order = {"id": "3", "status": "open", "total": 1, "updated_at": second(1), "deleted_at": second(2)}
    run("applier.delete(", order=order)
    run("applier.allows", key="2", version=second(9))
    assert row(engine, "2", "status, updated_at") == ("paid", second(9))
    assert row(engine, "3") is None
    run("def effect(", body=correction("created", "4", state, None, at=10).encode())
    run("def told(", order={**order, "id": "9", "status": "open"})
    run("Version(number=1")
    old = {"status": "open", "amount": 5, "updated_at": second(1)}
    assert names["applier"].apply_event(correction("created", "5", old, None, at=10)).kind.value == "applied"
    names["applier"].apply(b"nonsense")
    run("retry_dead")

    handlers: list[Any] = []
    monkeypatch.setattr("signal.signal", lambda _number, handler: handlers.append(handler))
    reader = MemoryReader([correction("created", "6", state, None, at=10, version=2).encode()])

    def stop() -> None:
        while reader.subscription.left:
            time.sleep(0.01)
        handlers[0]()

    stopping = threading.Thread(target=stop)
    stopping.start()
    run("counts = consume(reader", reader=reader)
    stopping.join()
    assert sum(names["counts"].values()) == 1
    monkeypatch.setenv("HOOK_SECRET", new_secret())
    run("WebhookApp(")
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        assert connection.execute("SELECT order_id FROM mails ORDER BY 1").fetchall() == [("4",), ("6",), ("9",)]
        assert connection.execute("SELECT id FROM audit").fetchall() == [("created-2-10",)]
    connection.close()
    engine.dispose()


def test_the_whole_consumer_runs(tmp_path: Path) -> None:
    """The program of the page, in a process of its own: it takes in what the publisher sent, and ends on SIGTERM."""
    (tmp_path / "consumer.py").write_text(block("# consumer.py"))
    engine = engine_of(f"sqlite:///{tmp_path}/shop.db")
    path = str(Path(__file__).parent.parent.parent)
    with ValkeyServer() as broker:
        sender = publisher(broker.url, stream="recon.{domain}")
        environ = {**os.environ, "DATABASE_URL": str(engine.url), "REDIS_URL": broker.url, "PYTHONPATH": path}
        sender.publish([message_of(correction("created", "1", {"status": "open", "total": 1, "updated_at": second(1)}, None, at=10))], 10)
        running = subprocess.Popen([sys.executable, "consumer.py"], cwd=tmp_path, env=environ, stderr=subprocess.PIPE)
        until = time.monotonic() + 60
        while row(engine, "1") is None:
            assert running.poll() is None, running.stderr.read() if running.stderr else ""
            assert time.monotonic() < until
            time.sleep(0.02)
        running.terminate()
        assert (running.communicate(timeout=60)[1], running.returncode) == (b"", 0)
        sender.close()
    engine.dispose()


def test_the_tables_are_as_the_page_shows_them() -> None:
    """The statements of the page are those of `ddl()` on PostgreSQL."""
    (shown,) = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    made = Applier(create_engine("postgresql+psycopg://user@localhost/shop"), table="orders").ddl()
    assert shown.split() == made.split()


def test_every_setting_stands_on_the_page() -> None:
    """Each argument of the Applier has a line in its table, but the engine and the clock of tests."""
    settings = set(inspect.signature(Applier).parameters) - {"engine", "clock"}
    rows = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    assert sorted(name for name in settings if f"`{name}`" not in rows) == []
