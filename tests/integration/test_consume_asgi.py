"""The ASGI application under a real server, told by the real webhook publisher: from the outbox to the application's table."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import Connection, Engine, create_engine, text

from recon.consume import Applied, Applier, WebhookApp
from recon.event import Event
from recon.outbox.delivery import drain
from recon.publishers.base import Outcome
from recon.publishers.signing import key_of, new_secret, sign
from recon.publishers.webhook import WebhookPublisher
from recon.secret import Secret
from recon.section import Section
from recon.testing.publisher_suite import message_of
from tests.integration.consuming import applier_of, correction, engine_of, insert, row, rows, second
from tests.integration.state.world import Nights, changed, clock, extra, migrated_file, missing, state

__all__ = ["clock", "migrated_file", "state"]

OLD, NEW = new_secret(), new_secret()
OPEN = {"status": "open", "total": 1, "updated_at": second(1)}
PAID = {"status": "paid", "total": 2, "updated_at": second(2)}


@contextmanager
def served(app: WebhookApp) -> Iterator[str]:
    """The application under uvicorn on a free port; its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/recon"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """The application's database."""
    made = engine_of(f"sqlite:///{tmp_path}/shop.db")
    yield made
    made.dispose()


class Place:
    """One served application for many tests: `app` may be changed for another."""

    def __init__(self) -> None:
        self.app: WebhookApp | None = None
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One server for this file."""
    made = Place()
    with served(made) as url:  # type: ignore[arg-type]
        made.url = url
        yield made


def publisher(url: str, secret: str = NEW, **more: Any) -> WebhookPublisher:
    """The publisher as a table of recon.toml makes it."""
    table = {"url": url, "secret": Secret(secret), **more}
    return WebhookPublisher(Section(name="hook", file=Path("recon.toml"), path="publishers.hook", table=table, folder=Path()))


def sent(url: str, events: Sequence[Event], **more: Any) -> list[Outcome]:
    """What became of them at the sender."""
    made = publisher(url, **more)
    try:
        return list(made.publish([message_of(one) for one in events], 10))
    finally:
        made.close()


def kinds(outcomes: Sequence[Outcome]) -> list[tuple[str, bool]]:
    """Kind and duplicate."""
    return [(one.kind.value, one.duplicate) for one in outcomes]


FORMS: tuple[dict[str, Any], ...] = ({}, {"form": "binary"}, {"form": "eventbridge"}, {"batch": 50})


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_of_the_publisher_is_taken_in(place: Place, engine: Engine, form: dict[str, Any]) -> None:
    """Applied is confirmed, already so a duplicate, older confirmed; a conflict and a version that nobody knows are rejected with their reasons."""
    applier = applier_of(engine)
    place.app = WebhookApp(applier, secrets=[OLD, NEW])
    insert(engine, "8", {**OPEN, "total": 5})
    events = [
        correction("created", "7", PAID, None, at=20),
        correction("created", "7", PAID, None, at=20, id="found once more"),
        correction("created", "7", OPEN, None, at=10),
        correction("updated", "8", {**OPEN, "status": "void"}, OPEN, at=10),
        correction("created", "9", OPEN, None, at=10, version=4),
        correction("created", "10", OPEN, None, at=10),
    ]
    outcomes = sent(place.url, events, **form)
    assert kinds(outcomes) == [
        ("confirmed", False),
        ("confirmed", True),
        ("confirmed", False),
        ("rejected", False),
        ("rejected", False),
        ("confirmed", False),
    ]
    assert "conflict: total changed since the event was made" in outcomes[3].reason
    assert "kept as a dead letter: version 4 is not known here" in outcomes[4].reason
    assert rows(engine) == [("10", "open", 1), ("7", "paid", 2), ("8", "open", 5)]
    assert [one.id for one in applier.dead_letters()] == [events[4].id]


def test_the_secret_may_be_changed(place: Place, engine: Engine) -> None:
    """Signed with either secret of two it is taken, with another one not: RETRY, for it speaks of the endpoint; nothing is written."""
    place.app = WebhookApp(applier_of(engine), secrets=[OLD, NEW])
    assert kinds(sent(place.url, [correction("created", "1", OPEN, None, at=10)], secret=OLD)) == [("confirmed", False)]
    assert kinds(sent(place.url, [correction("created", "2", OPEN, None, at=10)], secret=NEW)) == [("confirmed", False)]
    (outcome,) = sent(place.url, [correction("created", "3", OPEN, None, at=10)], secret=new_secret())
    assert (outcome.kind.value, "401" in outcome.reason) == ("retry", True)
    assert [one[0] for one in rows(engine)] == ["1", "2"]
    for wrong in ([], NEW, ["short"]):
        with pytest.raises(ValueError, match="secret"):
            WebhookApp(applier_of(engine), secrets=wrong)


def test_a_database_that_is_down_is_tried_again(place: Place, tmp_path: Path) -> None:
    """503 with Retry-After, alone and in a batch, order within a key kept; once it is back all is taken in."""
    url = f"sqlite:///{tmp_path}/shop.db"
    engine_of(url).dispose()
    engine = create_engine(url, connect_args={"timeout": 0.02})
    applier = applier_of(engine)
    place.app = WebhookApp(applier, secrets=[NEW])
    events = [correction("updated", "7", {**OPEN, "total": n, "updated_at": second(n)}, None, at=n) for n in (1, 2)]
    with engine.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        (alone,) = sent(place.url, events[:1])
        batch = sent(place.url, events, batch=10)
        holder.rollback()
    assert [one.kind.value for one in (alone, *batch)] == ["retry"] * 3
    assert alone.after == 30.0
    assert [one.after for one in batch] == [30.0, 30.0]
    assert "locked" not in alone.reason
    assert kinds(sent(place.url, events, batch=10)) == [("confirmed", False)] * 2
    assert row(engine, "7") == ("open", 2)
    engine.dispose()


def test_an_effect_that_raises_is_tried_again(place: Place, engine: Engine) -> None:
    """500, nothing written, and its words stay here; mended, the effect runs with the event; `told` hears every answer."""
    answers: list[Applied] = []
    broken = True

    def effect(connection: Connection, event: Event) -> None:
        if broken:
            raise LookupError("secret words")
        connection.execute(text("UPDATE orders SET print = :id"), {"id": event.id})

    place.app = WebhookApp(applier_of(engine), secrets=[NEW], effect=effect, told=answers.append)
    events = [correction("created", "7", OPEN, None, at=10)]
    (outcome,) = sent(place.url, events)
    assert (outcome.kind.value, "secret words" in outcome.reason) == ("retry", False)
    assert rows(engine) == []
    broken = False
    assert kinds(sent(place.url, events)) == [("confirmed", False)]
    assert row(engine, "7", "print") == (events[0].id,)
    assert [(one.kind.value, one.effect) for one in answers] == [("applied", True)]


def test_an_effect_that_raises_in_a_batch_holds_up_its_key_alone(place: Place, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Of a batch, that event and those behind it in its key are told to come again, the rest is taken, in one transaction; the log quotes nothing of the item."""

    def effect(_connection: Connection, event: Event) -> None:
        if event.partitionkey == "2":
            raise LookupError(f"no such customer as {event.data['state']['status']}")

    place.app = WebhookApp(applier_of(engine), secrets=[NEW], effect=effect)
    person = {**OPEN, "status": "bob@example.com"}
    events = [correction("created", key, person, None, at=10) for key in "123"]
    later = correction("updated", "2", PAID, person, at=20)
    outcomes = sent(place.url, [*events, later], batch=50)
    assert [one.kind.value for one in outcomes] == ["confirmed", "retry", "confirmed", "retry"]
    assert [one[0] for one in rows(engine)] == ["1", "3"]
    assert "order.created created-2-10 could not be applied" in caplog.text
    assert "no such customer as …" in caplog.text
    assert "bob" not in caplog.text


def test_what_told_raises_is_not_the_senders(place: Place, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """It is committed by then: the sender hears that it was applied, the log what was raised, and the application counts it."""

    def told(_applied: Applied) -> None:
        raise RuntimeError("no metrics server")

    place.app = WebhookApp(applier_of(engine), secrets=[NEW], told=told)
    event = correction("created", "7", OPEN, None, at=10)
    assert kinds(sent(place.url, [event])) == [("confirmed", False)]
    assert place.app.untold == 1
    assert f"{event.id} is applied, and stays so; told= raised RuntimeError: no metrics server" in caplog.text


def request(body: bytes, *, name: str = "one", stamp: int | None = None, **headers: str) -> dict[str, Any]:
    """A signed POST, for httpx."""
    stamp = int(time.time()) if stamp is None else stamp
    signed = sign([key_of(NEW)], message_id=name, timestamp=stamp, body=body)
    ours = {"webhook-id": name, "webhook-timestamp": str(stamp), "webhook-signature": signed}
    return {"content": body, "headers": {"content-type": "application/cloudevents+json", **ours, **headers}}


def test_what_is_no_event_of_ours(place: Place, engine: Engine) -> None:
    """Too old, too large, not a POST, another id than was signed: refused and not kept. Signed and unreadable: kept, and said."""
    applier = applier_of(engine)
    place.app = WebhookApp(applier, secrets=[NEW], limit=5000, tolerance=60)
    fact = correction("created", "7", OPEN, None, at=10)
    with httpx.Client() as client:
        assert client.get(place.url).status_code == 405
        assert client.post(place.url, **request(fact.encode(), stamp=int(time.time()) - 61)).status_code == 401
        assert client.post(place.url, content=fact.encode()).status_code == 401
        assert client.post(place.url, **request(b"x" * 5001)).status_code == 413
        chunks = request(b"x" * 5001)
        assert client.post(place.url, content=iter([b"x" * 3000, b"x" * 2001]), headers=chunks["headers"]).status_code == 413
        attributes = {f"ce-{name}": str(value) for name, value in fact.attributes().items()}
        forged = request(json.dumps(dict(fact.data)).encode(), **{**attributes, "content-type": "application/json"})
        assert client.post(place.url, **forged).status_code == 401
        assert applier.dead_letters() == []
        assert rows(engine) == []

        answer = client.post(place.url, **request(b"nonsense", authorization="Bearer token"))
        assert (answer.status_code, answer.json()["outcome"]) == (422, "dead")
        (letter,) = applier.dead_letters()
        assert (letter.body, dict(letter.headers)) == (b"nonsense", {"content-type": "application/cloudevents+json"})
        assert client.post(place.url, **request(fact.encode())).json() == {"outcome": "applied", "reason": ""}


def test_what_is_refused_for_good_stands_in_the_log(place: Place, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """A dead letter and a conflict are told to whoever is on call for the application, by type and id, without the item or its data."""
    applier = applier_of(engine)
    place.app = WebhookApp(applier, secrets=[NEW])
    insert(engine, "7", OPEN)
    with caplog.at_level(logging.WARNING, logger="recon.consume.asgi"), httpx.Client() as client:
        client.post(place.url, **request(b"nonsense"))
        conflict = correction("updated", "7", {**OPEN, "total": 9}, {**OPEN, "total": 8}, at=10)
        answer = client.post(place.url, **request(conflict.encode()))

    assert answer.json()["outcome"] == "conflict"
    dead, other = caplog.records
    assert (dead.levelname, other.levelname) == ("ERROR", "WARNING")
    assert "the message at the webhook: dead, " in dead.getMessage()
    assert f"order.updated {conflict.id} at the webhook: conflict" in other.getMessage()
    assert "item" not in other.getMessage()


def test_a_client_that_hangs_up_is_no_failure(engine: Engine) -> None:
    """A request that breaks off writes nothing and answers nothing; a websocket is closed."""
    app = WebhookApp(applier_of(engine), secrets=[NEW])
    answered: list[Any] = []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        answered.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "headers": []}, receive, send))
    assert answered == []
    asyncio.run(app({"type": "websocket"}, receive, send))
    assert answered == [{"type": "websocket.close"}]
    assert rows(engine) == []


@pytest.fixture
def state_url(migrated_file: Path, tmp_path: Path) -> str:
    """The reconciler's own database."""
    (tmp_path / "state.db").write_bytes(migrated_file.read_bytes())
    return f"sqlite:///{tmp_path}/state.db"


def test_from_the_outbox_to_the_table(place: Place, state: Any, clock: Any, tmp_path: Path) -> None:
    """Nights of changed, missing and extra orders: enqueued, drained over HTTP, applied; the next drain of the same events changes nothing."""
    nights = Nights(state, clock)
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    with engine.begin() as connection:
        columns = "id TEXT PRIMARY KEY, status TEXT, amount INTEGER, currency TEXT, created TEXT, updated TEXT"
        connection.execute(text(f"CREATE TABLE orders ({columns})"))
        for key in ("a", "b", "c"):
            found = changed(key).target if key != "c" else extra(key).target
            assert found is not None
            connection.execute(
                text("INSERT INTO orders VALUES (:id, :status, :amount, :currency, :created, :updated)"), {"id": key, **found}
            )
    applier = Applier(engine, table="orders", version="updated")
    applier.create_tables()
    place.app = WebhookApp(applier, secrets=[NEW])
    nights.night([changed("a"), changed("b"), extra("c"), missing("d")])
    made = publisher(place.url)
    figure = drain(nights.state, made, name="bus", domain="orders", clock=nights.clock, deadline=30.0)
    assert (figure.confirmed, figure.waiting) == (4, 0)
    with engine.connect() as connection:
        held = connection.execute(text("SELECT id, status FROM orders ORDER BY id")).all()
    assert [tuple(one) for one in held] == [("a", "paid"), ("b", "paid"), ("d", "paid")]
    nights.night([changed("a"), changed("b"), extra("c"), missing("d")])
    figure = drain(nights.state, made, name="bus", domain="orders", clock=nights.clock, deadline=30.0)
    assert figure.duplicates == 4
    made.close()
    engine.dispose()
