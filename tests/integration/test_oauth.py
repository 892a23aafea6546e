"""OAuth 2 over real connections: who is asked for tokens, when, how often, and what is said when there is none."""

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from recon.errors import BadSetting, Refused, Unreachable
from recon.fetch.paging import LastId
from recon.http_provider import HTTPProvider, Resource
from recon.provider import Listing
from recon.redact import redact
from recon.secret import Secret
from tests.providers.sections import section
from tests.servers.fault_server import Answer, Asked, FaultServer, fault_server, page
from tests.servers.manual_clock import ManualClock

__all__ = ["fault_server"]
SECRET = "hush-client/=+1234"
PAGES = 12


class Shop(HTTPProvider):
    """One item to a page."""

    catalogue: Mapping[str, Resource] = {
        "charges": Resource(path="charges", records="data", paging=LastId(param="after"), get="charges/{key}")
    }


class Login:
    """A token endpoint on a server of its own, and the API that takes only its newest tokens."""

    def __init__(self, api: FaultServer, token: FaultServer) -> None:
        self.api, self.token = api, token
        self.given: list[str] = []
        self.dead: set[str] = set()
        self.life: Any = 3600
        self.more: dict[str, Any] = {}
        self.lock = threading.Lock()
        token.on("/oauth/token", self.give)
        api.on("*", self.serve)

    def give(self, _: Asked) -> Answer:
        with self.lock:
            self.given.append(f"tok-{len(self.given) + 1}-hush-access")
        return page({"access_token": self.given[-1], "token_type": "bearer", "expires_in": self.life, **self.more})

    def serve(self, asked: Asked) -> Answer:
        bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer not in self.given or bearer in self.dead:
            return page({"error": "invalid_token"}, status=401)
        if asked.path != "/v1/charges":
            return page({"id": asked.path.rsplit("/", 1)[1]})
        number = int(asked.query.get("after", "0")) + 1
        return page({"data": [{"id": str(number)}], "has_more": number < PAGES})

    def forms(self) -> list[dict[str, str]]:
        """What was asked of the token endpoint."""
        return [{name: values[0] for name, values in parse_qs(asked.body.decode()).items()} for asked in self.token.requests]


@pytest.fixture
def login(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Login]:
    monkeypatch.setenv("CLIENT_SECRET", SECRET)
    with FaultServer() as token:
        yield Login(fault_server, token)


def shop(login: Login, kind: type[HTTPProvider] = Shop, *, settings: dict[str, Any] | None = None, **oauth: Any) -> HTTPProvider:
    table = {"token_url": f"{login.token.url}/oauth/token", "client_id": "recon", "client_secret": {"env": "CLIENT_SECRET"}, **oauth}
    table = {key: value for key, value in table.items() if value is not None}
    return kind(section("providers.shop", {"base_url": f"{login.api.url}/v1/", "auth": {"oauth2": table}, **(settings or {})}))


def ids(provider: HTTPProvider, clock: ManualClock | None = None, on_page: Callable[[int], None] = lambda _: None) -> list[str]:
    found = []
    try:
        for got in provider.fetch(Listing(resource="charges", clock=clock or ManualClock())):
            found += [json.loads(item)["id"] for item in got.items]
            on_page(len(found))
    finally:
        provider.close()
    return found


WHOLE = [str(number) for number in range(1, PAGES + 1)]


def test_one_token_serves_a_whole_fetch(login: Login) -> None:
    """Client credentials: one request to the token endpoint, with the client's secret, which the API itself never sees."""
    assert ids(shop(login, scope="read_orders", params={"audience": "shop"})) == WHOLE
    assert login.forms() == [{"grant_type": "client_credentials", "scope": "read_orders", "audience": "shop"}]
    (asked,) = login.token.requests
    assert asked.method == "POST"
    pair = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == "recon:hush-client%2F%3D%2B1234"
    assert {asked.headers["authorization"] for asked in login.api.requests} == {f"Bearer {login.given[0]}"}
    assert all(SECRET not in f"{asked.target}{asked.headers}{asked.body!r}" for asked in login.api.requests)


def test_a_client_may_name_itself_in_the_form(login: Login) -> None:
    """`send = "body"`, for the many APIs that take no Basic there."""
    assert ids(shop(login, send="body")) == WHOLE
    assert login.forms() == [{"grant_type": "client_credentials", "client_id": "recon", "client_secret": SECRET}]
    assert "authorization" not in login.token.requests[0].headers


def test_a_token_is_replaced_before_it_ends(login: Login) -> None:
    """A token of ten minutes, a page every two: none is refused, since each is replaced a minute before its end."""
    login.life = 600
    clock = ManualClock()
    assert ids(shop(login), clock, lambda _: clock.sleep(120)) == WHOLE
    assert len(login.given) == 3
    assert len(login.api.requests) == PAGES


def test_a_token_that_dies_in_the_middle_costs_one_request(login: Login) -> None:
    """Revoked after page 5: one 401, one new token, and the listing is whole."""

    def revoke(done: int) -> None:
        if done == 5:
            login.dead.add(login.given[-1])

    assert ids(shop(login), on_page=revoke) == WHOLE
    assert len(login.given) == 2
    assert len(login.api.requests) == PAGES + 1


def test_many_threads_that_meet_a_dead_token_obtain_one_new_one(login: Login) -> None:
    """Four reads in flight at the moment of its death: each is asked again, all with the same new token."""
    meet = threading.Barrier(4, timeout=20)

    def serve(asked: Asked) -> Answer:
        if asked.headers["authorization"] == f"Bearer {login.given[0]}":
            meet.wait()
            return page({}, status=401)
        return login.serve(asked)

    login.api.on("*", serve)
    provider = shop(login)
    answers = list(provider.get_many("charges", [f"k{n}" for n in range(4)], clock=ManualClock()))
    provider.close()
    assert [answer.status for answer in answers] == ["found"] * 4
    assert len(login.given) == 2
    assert len(login.api.requests) == 8


def test_threads_that_begin_together_obtain_one_token(login: Login) -> None:
    """Forty reads side by side, no token yet: the token endpoint is asked once."""
    provider = shop(login)
    answers = list(provider.get_many("charges", [f"k{n}" for n in range(40)], clock=ManualClock()))
    provider.close()
    assert all(answer.status == "found" for answer in answers)
    assert len(login.token.requests) == 1


def test_a_new_token_that_is_refused_at_once_is_not_sent_again(login: Login) -> None:
    """Two tokens in a row are revoked as they are given: the one read fails, and the next one goes with a third token, not with the second."""

    def serve(asked: Asked) -> Answer:
        return page({}, status=401) if asked.headers["authorization"].removeprefix("Bearer ") in login.given[:2] else login.serve(asked)

    login.api.on("*", serve)
    provider = shop(login, settings={"concurrency": 1})
    answers = list(provider.get_many("charges", ["k0", "k1"], clock=ManualClock()))
    provider.close()
    assert [answer.status for answer in answers] == ["forbidden", "found"]
    assert len(login.given) == 3
    assert len(login.api.requests) == 3


def test_a_new_token_that_is_refused_too_is_final(login: Login) -> None:
    """Two requests and no third: the credential itself may not read this."""
    login.api.on("*", page({"message": "no scope"}, status=401))
    with pytest.raises(Refused, match="401: no scope"):
        ids(shop(login))
    assert len(login.api.requests) == 2
    assert len(login.given) == 2


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (page({"error": "invalid_client", "error_description": f"bad secret {SECRET}"}, status=401), "401, so there is no token: invalid_client: bad secret ••••", "check client_id, client_secret and scope (env CLIENT_SECRET)"),
        (page({"error": "invalid_scope"}, status=400, X_Request_Id="r7"), r"400 (request r7), so there is no token: invalid_scope", "check client_id"),
        (page({"token": "x"}), "200 without an access_token that could be sent; the body is an object with token", "check token_url"),
        (page({"access_token": "a\nb"}), "200 without an access_token that could be sent", "check token_url"),
        (page({"access_token": "mac-token-1", "token_type": "mac"}), "a token of another type than Bearer", "Bearer"),
        (Answer(pieces=[b"<title>Login</title>"]), "the body is an HTML page titled 'Login'", "check token_url"),
        (Answer(status=302, headers={"Location": "https://evil.example/?x=1"}), "302, so there is no token", "redirects are not followed"),
    ],
)  # fmt: skip
def test_no_token_is_said_with_its_reason_and_no_request_leaves(login: Login, answer: Answer, words: str, hint: str) -> None:
    """A refusal, a page that is no token, a redirect: one clear error, without a secret, and the API is not asked."""
    login.token.on("/oauth/token", answer)
    with pytest.raises(Refused) as caught:
        ids(shop(login))
    assert f"POST {login.token.url}/oauth/token -> " in str(caught.value)
    assert words in str(caught.value)
    assert hint in (caught.value.hint or "")
    assert SECRET not in f"{caught.value}{caught.value.hint}{caught.value.args}"
    assert login.api.requests == []
    assert len(login.token.requests) == 1


def test_a_token_endpoint_that_fails_for_a_moment_is_asked_again(login: Login) -> None:
    """A 503 and a cut answer there, then a token; one that stays down ends the fetch as unreachable, without a flood."""
    passing = iter([page({}, status=503), Answer(pieces=[b"{"], framing="cut")])
    login.token.on("/oauth/token", lambda asked: next(passing, None) or login.give(asked))
    assert ids(shop(login)) == WHOLE
    assert len(login.token.requests) == 3
    login.token.on("/oauth/token", page({"error": "down"}, status=500))
    with pytest.raises(Unreachable, match=r"500, so there is no token: down; 8 tries in"):
        ids(shop(login))
    assert len(login.token.requests) == 3 + 8


def test_a_refresh_token_is_used_and_its_successor_kept_in_its_file(login: Login, tmp_path: Path) -> None:
    """Each answer exchanges it: the next refresh uses the new one, and the file holds it, for the owner alone."""
    file = tmp_path / "refresh"
    file.write_text("refresh-hush-0\n")

    def give(asked: Asked) -> Answer:
        login.more = {"refresh_token": f"refresh-hush-{len(login.given) + 1}"}
        return login.give(asked)

    login.token.on("/oauth/token", give)
    login.life = 100

    def wait(_: int) -> None:
        clock.sleep(40)

    clock = ManualClock()
    assert ids(shop(login, refresh_token={"file": str(file)}, keep=True), clock, wait) == WHOLE
    forms = login.forms()
    assert len(forms) == 4
    assert [form["refresh_token"] for form in forms] == [f"refresh-hush-{n}" for n in range(4)]
    assert {form["grant_type"] for form in forms} == {"refresh_token"}
    assert file.read_text() == "refresh-hush-4\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_rotated_refresh_token_goes_to_the_hook_or_is_warned_of(
    login: Login, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider class may keep it in a place of its own; where nobody does, the log says that the next run may be refused, and no token."""
    monkeypatch.setenv("REFRESH", "refresh-hush-0")
    login.more = {"refresh_token": "refresh-hush-1"}
    kept: list[Secret] = []

    class Keeping(Shop):
        def token_rotated(self, token: Secret) -> bool:
            kept.append(token)
            return True

    caplog.set_level(logging.WARNING)
    assert ids(shop(login, Keeping, refresh_token={"env": "REFRESH"}, client_secret=None)) == WHOLE
    assert login.forms()[0] == {"grant_type": "refresh_token", "refresh_token": "refresh-hush-0", "client_id": "recon"}
    assert [token.reveal() for token in kept] == ["refresh-hush-1"]
    assert caplog.text == ""
    assert ids(shop(login, refresh_token={"env": "REFRESH"})) == WHOLE
    assert "exchanged the refresh token (env REFRESH) for a new one, which is kept for this process only" in caplog.text
    assert "hush" not in caplog.text


def test_a_refresh_token_that_has_ended_says_to_authorise_again(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """`invalid_grant` is told apart from a wrong client."""
    monkeypatch.setenv("REFRESH", "refresh-hush-0")
    login.token.on("/oauth/token", page({"error": "invalid_grant"}, status=400))
    with pytest.raises(Refused, match="invalid_grant") as caught:
        ids(shop(login, refresh_token={"env": "REFRESH"}))
    assert caught.value.hint == "the refresh token (env REFRESH) has ended or was revoked: authorise again, and store the new one"


def test_a_secret_exchanged_meanwhile_is_read_again(login: Login, tmp_path: Path) -> None:
    """The client's secret is rotated in its file during the night: a refused refresh reads it again before it gives up."""
    file = tmp_path / "client"
    file.write_text("old-client-secret")

    def give(asked: Asked) -> Answer:
        pair = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
        return login.give(asked) if pair == f"recon:{file.read_text()}" else page({"error": "invalid_client"}, status=401)

    def exchange(done: int) -> None:
        if done == 3:
            file.write_text("new-client-secret")
            login.dead.add(login.given[-1])

    login.token.on("/oauth/token", give)
    assert ids(shop(login, client_secret={"file": str(file)}), on_page=exchange) == WHOLE
    assert len(login.given) == 2


def test_a_token_obtained_at_run_time_is_masked_everywhere(login: Login) -> None:
    """An API that quotes the token in its error, and any log line of any module, show a mask."""
    login.api.on("*", lambda asked: page({"message": f"bad {asked.headers['authorization']}"}, status=403))
    with pytest.raises(Refused) as caught:
        ids(shop(login))
    assert "bad Bearer ••••" in str(caught.value)
    assert "hush" not in redact(f"INFO token={login.given[0]}")


@pytest.mark.parametrize(
    ("oauth", "words"),
    [
        ({"token_url": "http://login.example/token"}, "token_url: http://login.example is plain http"),
        ({"token_url": "login.example/token"}, "token_url: 'login.example/token' cannot be used"),
        ({"token_url": "https://login.example/token?a=1"}, "token_url: holds a query"),
        ({"token_url": None}, "token_url: is missing"),
        ({"client_secret": "hush"}, "client_secret: a secret is given by reference only"),
        ({"client_secret": None}, "client_secret: client_secret or refresh_token is wanted"),
        ({"send": "header"}, "send: 'header' is none of basic, body"),
        ({"keep": True}, "keep: a new refresh token can only be kept where the old one is a file"),
        ({"refresh_token": {"env": "X"}, "keep": True}, "keep: a new refresh token can only be kept"),
        ({"scop": "x"}, "scop: is not a setting"),
    ],
)
def test_a_wrong_oauth_table_is_refused_with_its_place(login: Login, oauth: dict[str, Any], words: str) -> None:
    """Every mistake names its key, before a request leaves."""
    with pytest.raises(BadSetting) as caught:
        shop(login, **oauth)
    assert f"[providers.shop.auth.oauth2] {words}" in str(caught.value)
    assert "hush" not in str(caught.value)
