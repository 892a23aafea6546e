"""Canary secrets of every kind through whole nights, good and bad: afterwards they are searched for in everything that was written or sent."""

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.people import SIGNING, People
from tests.security.search import files, hits
from tests.servers.fault_server import Answer, Asked, FaultServer, fault_server, page
from tests.servers.receiver import Received, Receiver, Reply

__all__ = ["fault_server"]

TOKEN = "canary-Token/+=&%~9f3k2"
PASSWORD = "canary-p@ss/w:rd?7d1"
BEAT, TELL = "/ping/canary-beat-4b1c9e", "/services/canary-tell-77ab02"
HEADER = "canary-header-5e5e1a2b"
SECRETS = {
    "token": TOKEN,
    "password": PASSWORD,
    "signing key": SIGNING.removeprefix("whsec_"),
    "heartbeat": "canary-beat-4b1c9e",
    "notify": "canary-tell-77ab02",
    "header": HEADER,
}
TAIL = '[heartbeat]\nurl = { env = "BEAT_URL" }\n[notify]\nurl = { env = "TELL_URL" }\n'
#: Files in which the test itself puts secrets, or which a secret is for.
OURS = {"token.txt", "recon.toml", "crm.db", "jobs"}
Kind = tuple[str, str]
KINDS: dict[str, str] = {
    "bearer": '{ bearer = { env = "CRM_TOKEN" } }',
    "basic": '{ basic = { user = "ann", password = { env = "CRM_TOKEN" } } }',
    "query": '{ query = { name = "api_key", value = { env = "CRM_TOKEN" } } }',
    "command": '{ bearer = { command = "cat token.txt" } }',
}


def echo(asked: Asked) -> bytes:
    """All that a careless server would say of a request: its target, its headers, and what they decode to."""
    sent = {name: value for name, value in asked.headers.items() if name != "host"}
    decoded = TOKEN + " " + base64.b64encode(TOKEN.encode()).decode() + " " + TOKEN.encode().hex()
    return json.dumps({"error": {"code": "denied", "message": f"{asked.target} {decoded} {sent}"}}).encode()


def refused(asked: Asked) -> Answer:
    return Answer(status=401, headers={"WWW-Authenticate": f"Bearer {TOKEN!a}"}, pieces=[echo(asked)])


def second_page_fails(made: People) -> Callable[[Asked], Answer]:
    return lambda asked: page(echo(asked), 500) if asked.query.get("after") else made.answer(asked)


def by_id_fails(made: People) -> Callable[[Asked], Answer]:
    return lambda asked: made.answer(asked) if asked.path == "/people" else page(echo(asked), 403)


NIGHTS: dict[str, Callable[[People], object]] = {
    "good": lambda _: None,
    "refused": lambda made: made.server.on("*", refused),
    "second page": lambda made: made.server.on("*", second_page_fails(made)),
    "by id": lambda made: made.server.on("*", by_id_fails(made)),
    "redirect": lambda made: made.server.on("*", lambda asked: Answer(302, {"Location": f"http://127.0.0.2:9{asked.target}"})),
}


def project(folder: Path, server: FaultServer, receiver: Receiver, kind: str = "bearer", **changes: str) -> People:
    publisher = 'headers = { X-Canary = { env = "HEADER" } }'
    made = People(folder, server, receiver, personal=False, auth=KINDS[kind], tail=TAIL, publisher=publisher, **changes)
    (folder / "token.txt").write_text(TOKEN)
    beats = receiver.url.removesuffix("/hooks")
    made.env |= {"CRM_TOKEN": TOKEN, "BEAT_URL": beats + BEAT, "TELL_URL": beats + TELL, "HEADER": HEADER, "DB_URL": dsn()}
    made.sql("update people set plan = 'odd' where rowid < 4")
    made.sql("delete from people where rowid = 20")
    return made


def dsn() -> str:
    from urllib.parse import quote

    return f"postgresql://app:{quote(PASSWORD, safe='')}@127.0.0.1:1/shop"


def everything(made: People) -> tuple[dict, dict[str, bytes]]:
    """One night and all commands that look at it; what they said, and every file below the project."""
    done = made.recon("run", "people", "-vv", "--json")
    night = json.loads(done.stdout)
    said = {"run": done.stdout + done.stderr}
    looks: list[tuple[object, ...]] = [("config", "show"), ("doctor", "people", "-vv")]
    if night.get("run"):
        looks += [("show", night["run"], "--full")]
    for look in looks:
        one = made.recon(*look)
        said[" ".join(map(str, look))] = one.stdout + one.stderr
    return night, {name: text.encode() for name, text in said.items()} | files(made.folder, without=OURS)


def test_the_search_itself_finds_every_form(tmp_path: Path) -> None:
    """Each form that is searched for is found where it stands, in a plain file, a packed one and a report."""
    from urllib.parse import quote

    for body in (TOKEN, quote(TOKEN, safe=""), quote(quote(TOKEN, safe=""), safe=""), TOKEN.encode().hex().upper(), TOKEN[::-1]):
        assert hits({"token": TOKEN}, {"a": f"x{body}y".encode()})
    for lead in ("", "u", "us", "ann:"):
        assert hits({"token": TOKEN}, {"a": base64.b64encode(f"{lead}{TOKEN}z".encode())})
    import zstandard

    (tmp_path / "a.zst").write_bytes(zstandard.compress(TOKEN.encode()) + zstandard.compress(b"x"))
    assert hits({"token": TOKEN}, files(tmp_path))


@pytest.mark.parametrize("bad", NIGHTS)
def test_no_night_leaves_a_secret_anywhere(bad: str, tmp_path: Path, fault_server, receiver: Receiver) -> None:
    """Whatever goes wrong and whatever is quoted back, no secret in any form stands in output, logs, reports, state, spool or snapshots."""
    made = project(tmp_path, fault_server, receiver)
    NIGHTS[bad](made)
    night, places = everything(made)

    print(f"{bad}: exit {night['exit_code']}, {len(places)} places, {sum(map(len, places.values())):,} bytes")
    assert hits(SECRETS, places) == []
    assert (night["exit_code"] == 0) is (bad == "good")
    assert any("canary" in str(asked.headers) for asked in fault_server.requests), "the secret was not sent at all"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bearer"])
def test_no_kind_of_credential_is_given_away(kind: str, tmp_path: Path, fault_server, receiver: Receiver) -> None:
    """Basic, query and command: each is sent to the third party alone, and quoted back by it, is masked."""
    made = project(tmp_path, fault_server, receiver, kind)
    made.server.on("*", second_page_fails(made))
    night, places = everything(made)

    sent = "".join(f"{asked.target} {asked.headers}" for asked in fault_server.requests).encode()
    assert hits({"token": TOKEN}, {"sent": sent}) or kind == "basic"
    assert night["exit_code"] == 75
    assert hits(SECRETS, places) == []
    assert hits({"token": TOKEN}, {"hook": b"".join(request.body + repr(request.headers).encode() for request in receiver.requests)}) == []


def test_a_receiver_that_quotes_its_request_gives_nothing_away(tmp_path: Path, fault_server, receiver: Receiver) -> None:
    """A webhook refused with all of its own headers in the answer: the reason is kept, the secrets in it are not."""
    made = project(tmp_path, fault_server, receiver)

    def quoting(request: Received) -> Reply:
        return Reply(status=422, body=f"no: {SIGNING} {request.headers.get('x-canary')} {request.headers}".encode())

    receiver.decide = quoting
    night, places = everything(made)
    for form in ("json", "csv", "junit"):
        places[form] = made.recon("report", night["run"], "-f", form).stdout.encode()

    assert night["delivery"]["dead"] == 4
    assert "HTTP 422: no: " in night["delivery"]["last_reason"]
    assert hits(SECRETS, places) == []


def test_a_database_that_refuses_gives_no_password_away(tmp_path: Path, fault_server, receiver: Receiver) -> None:
    """A store whose URL has a password and where nobody listens: the message names the server, and no form of the password."""
    made = project(tmp_path, fault_server, receiver, store='{ env = "DB_URL" }')
    night, places = everything(made)

    assert night["problem"]["kind"] == "StoreUnreachable"
    assert "127.0.0.1" in night["problem"]["message"]
    assert hits(SECRETS, places) == []


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_what_a_night_writes_is_for_its_user_only(umask: int, tmp_path: Path, fault_server, receiver: Receiver) -> None:
    """Under any umask every folder of a night is 0700 and every file 0600, and no name of a file holds a key."""
    made = project(tmp_path, fault_server, receiver)
    before = os.umask(umask)
    try:
        made.run()
    finally:
        os.umask(before)
    written = [path for name in (".recon", "reports") for path in [made.folder / name, *(made.folder / name).rglob("*")]]
    odd = {
        str(path): oct(stat.S_IMODE(path.stat().st_mode))
        for path in written
        if stat.S_IMODE(path.stat().st_mode) != (0o700 if path.is_dir() else 0o600)
    }

    assert len(written) > 8
    assert odd == {}
    assert not [path for path in written if "zq" in path.name.lower() or "@" in path.name]
