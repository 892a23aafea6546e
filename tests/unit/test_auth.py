"""Credentials: what is sent, what is refused before it could be quoted, and that nothing shows one."""

import base64
from pathlib import Path
from typing import Any

import pytest

from recon.errors import BadSetting, MissingSecret
from recon.fetch.auth import Auth, Basic, Bearer, HeaderKey, QueryKey
from recon.fetch.signin import auth_of
from recon.secret import Secret, SecretRef
from recon.section import Section


def section(auth: Any) -> Section:
    return Section(name="shop", file=Path("recon.toml"), path="providers.shop", table={} if auth is None else {"auth": auth}, folder=Path())


def ref(name: str) -> SecretRef:
    return SecretRef({"env": name}, where="recon.toml [providers.shop] auth", folder=Path())


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "tok_1234")
    monkeypatch.setenv("USER_NAME", "zoë")
    monkeypatch.delenv("NOT_SET", raising=False)


@pytest.mark.parametrize(
    ("table", "headers", "query"),
    [
        (None, None, None),
        ({"bearer": ref("TOKEN")}, {"Authorization": "Bearer tok_1234"}, {}),
        (
            {"basic": {"user": "shop", "password": ref("TOKEN")}},
            {"Authorization": "Basic " + base64.b64encode(b"shop:tok_1234").decode()},
            {},
        ),
        (
            {"basic": {"user": ref("USER_NAME"), "password": ref("TOKEN")}},
            {"Authorization": "Basic " + base64.b64encode("zoë:tok_1234".encode()).decode()},
            {},
        ),
        ({"header": {"name": "X-Api-Key", "value": ref("TOKEN")}}, {"X-Api-Key": "tok_1234"}, {}),
        ({"query": {"name": "api_key", "value": ref("TOKEN")}}, {}, {"api_key": "tok_1234"}),
    ],
)
def test_each_way_to_sign_is_read_from_its_table(table: Any, headers: Any, query: Any) -> None:
    """Bearer, basic, header and query key come out as their standards say."""
    auth = auth_of(section(table))
    if headers is None:
        assert auth is None
        return
    assert auth is not None
    assert (auth.headers(), auth.query()) == (headers, query)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("Bearer x", "one way to sign"),
        ({}, "one way to sign"),
        ({"bearer": ref("TOKEN"), "query": {}}, "one way to sign"),
        ({"bearer": "tok_1234"}, "by reference only"),
        ({"token": ref("TOKEN")}, "'token' is no way to sign"),
        ({"basic": {"user": "shop"}}, "password: is missing"),
        ({"header": {"name": "X", "value": ref("TOKEN"), "valeu": 1}}, "valeu: is not a setting"),
        ({"header": "x"}, "wants a table"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_its_place(table: Any, words: str) -> None:
    """Every complaint names file and key, and none repeats what might be a secret."""
    with pytest.raises(BadSetting) as caught:
        auth_of(section(table))
    assert words in str(caught.value)
    assert str(caught.value).startswith("recon.toml [providers.shop")
    assert "tok_1234" not in str(caught.value)


def test_nothing_is_read_before_a_request_needs_it() -> None:
    """A command that sends nothing works without the secret; the first request then names what is missing."""
    auth = auth_of(section({"bearer": ref("NOT_SET")}))
    assert auth is not None
    with pytest.raises(MissingSecret, match="NOT_SET is not set"):
        auth.headers()


@pytest.mark.parametrize("text", ["tok\r\nX-Evil: 1", "tok\n", "tok\x00", "tök", "tok\x1b[0m"])
def test_a_secret_that_cannot_be_sent_is_refused_without_being_quoted(text: str) -> None:
    """The library's own complaint would carry the header's value; ours carries where the secret came from."""
    auths: list[Auth] = [
        Bearer(Secret(text, "env TOKEN")),
        HeaderKey("X-Api-Key", Secret(text, "env TOKEN")),
        QueryKey("k", Secret(text, "env TOKEN")),
    ]
    for auth in auths:
        with pytest.raises(MissingSecret) as caught:
            auth.query() if isinstance(auth, QueryKey) else auth.headers()
        assert "env TOKEN" in str(caught.value)
        assert text not in str(caught.value)
        assert "tok" not in str(caught.value).replace("env TOKEN", "")


def test_a_secret_that_was_exchanged_is_noticed(tmp_path: Path) -> None:
    """A file with a new token is read again when asked to, and says whether it changed."""
    (tmp_path / "token").write_text("old-token")
    auth = Bearer(SecretRef({"file": "token"}, where="x", folder=tmp_path))
    assert auth.headers() == {"Authorization": "Bearer old-token"}
    assert not auth.renew()
    (tmp_path / "token").write_text("new-token\n")
    assert auth.headers() == {"Authorization": "Bearer old-token"}
    assert auth.renew()
    assert auth.headers() == {"Authorization": "Bearer new-token"}
    assert auth.origin == "file token"


def test_nothing_that_python_shows_of_a_credential_holds_it() -> None:
    """Repr and str of every way to sign are free of the secret."""
    secret = Secret("tok_1234", "env TOKEN")
    auths: list[Auth] = [Bearer(secret), Basic("u", secret), HeaderKey("X", secret), QueryKey("k", secret)]
    for auth in auths:
        auth.headers()
        assert "tok_1234" not in f"{auth!r}{auth}{vars(auth)}"
