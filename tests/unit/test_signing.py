"""HMAC signatures: over what is really sent, anew for every attempt, declared in recon.toml or refused where they could not be checked."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import pytest

from recon.errors import BadSetting, MissingSecret
from recon.fetch.paging import LastId
from recon.fetch.signin import auth_of
from recon.http_provider import HTTPProvider, Resource
from recon.provider import Listing
from recon.section import Section
from tests.providers.sections import section
from tests.servers.fault_server import Answer, Asked, FaultServer, fault_server, page
from tests.servers.manual_clock import ManualClock

__all__ = ["fault_server"]
KEY = "hush-key-1234"


class Depot(HTTPProvider):
    """One item to a page, three pages; a header and a parameter of its own, which the signature must cover."""

    catalogue: Mapping[str, Resource] = {"parcels": Resource(path="parcels", records="data", paging=LastId(param="after"))}

    def before_request(self, request: Any) -> None:
        request.query["v"] = "3"


def settings(url: str, **table: Any) -> Section:
    return section("providers.depot", {"base_url": url, "auth": {"hmac": {"key": {"env": "DEPOT_KEY"}, "header": "X-Signature", **table}}})


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPOT_KEY", KEY)
    monkeypatch.setenv("DEPOT_ID", "key-7-id")


def test_every_attempt_is_signed_anew_over_what_is_sent(fault_server: FaultServer) -> None:
    """The server checks each signature over the request line as it came, knows each nonce once, and fails two attempts."""
    seen: set[str] = set()
    wrong: list[str] = []
    failing = iter([page({}, status=500), page({}, status=429)])

    def serve(asked: Asked) -> Answer:
        stamp, nonce = asked.headers["x-timestamp"], asked.headers["x-nonce"]
        text = f"{stamp}\n{nonce}\n{asked.method}\n{asked.target}\n{asked.headers['host']}\n{hashlib.sha256(b'').hexdigest()}"
        signed = "sha512=" + base64.b64encode(hmac.new(KEY.encode(), text.encode(), hashlib.sha512).digest()).decode()
        if nonce in seen or asked.headers["x-signature"] != signed or asked.headers["x-key"] != "key-7-id":
            wrong.append(asked.target)
            return page({}, status=401)
        seen.add(nonce)
        if asked.query.get("after") == "1" and (fault := next(failing, None)):
            return fault
        number = int(asked.query.get("after", "0")) + 1
        return page({"data": [{"id": str(number)}], "has_more": number < 3})

    fault_server.on("/v1/parcels", serve)
    provider = Depot(
        settings(
            f"{fault_server.url}/v1/",
            message="{timestamp}\n{nonce}\n{method}\n{target}\n{host}\n{body_sha256}",
            timestamp="X-Timestamp",
            nonce="X-Nonce",
            algorithm="sha512",
            encoding="base64",
            prefix="sha512=",
            key_id={"name": "X-Key", "value": {"env": "DEPOT_ID"}},
        )
    )
    clock = ManualClock()
    assert len(list(provider.fetch(Listing(resource="parcels", params={"q": "a b/ü"}, clock=clock)))) == 3
    provider.close()
    assert wrong == []
    assert len(fault_server.requests) == len(seen) == 5
    assert all("v=3" in asked.target for asked in fault_server.requests)
    stamps = [int(asked.headers["x-timestamp"]) for asked in fault_server.requests]
    assert stamps[0] == int(ManualClock().now().timestamp())
    assert KEY not in "".join(f"{asked.headers}{asked.target}" for asked in fault_server.requests)


@pytest.mark.parametrize(
    ("encoding", "text", "key"),
    [("text", KEY, KEY.encode()), ("hex", "00ff10", b"\x00\xff\x10"), ("base64", "AP8Q", b"\x00\xff\x10")],
)
def test_a_key_is_taken_as_it_is_written(
    fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch, encoding: str, text: str, key: bytes
) -> None:
    """As its text, or as the bytes that its text says."""
    monkeypatch.setenv("DEPOT_KEY", text)
    fault_server.on("/v1/parcels", page({"data": [{"id": "1"}], "has_more": False}))
    provider = Depot(settings(f"{fault_server.url}/v1/", message="{path}?{query}", key_encoding=encoding))
    list(provider.fetch(Listing(resource="parcels", clock=ManualClock())))
    provider.close()
    assert fault_server.requests[0].headers["x-signature"] == hmac.new(key, b"/v1/parcels?v=3", "sha256").hexdigest()


def test_a_key_that_is_not_what_it_says_is_refused_without_being_quoted(fault_server: FaultServer) -> None:
    """`key_encoding = "hex"` of a key that is no hex."""
    provider = Depot(settings(f"{fault_server.url}/v1/", message="{path}", key_encoding="hex"))
    with pytest.raises(MissingSecret, match="the secret from env DEPOT_KEY is no hex") as caught:
        list(provider.fetch(Listing(resource="parcels", clock=ManualClock())))
    provider.close()
    assert "hush" not in str(caught.value)
    assert fault_server.requests == []


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"message": "{path}{when}"}, "message: the message names {when}; known are {timestamp}"),
        ({"message": "{path}{timestamp}"}, "message: {timestamp} in the message and timestamp, the header that it is sent in, go together"),
        ({"message": "{path}", "nonce": "X-Nonce"}, "message: {nonce} in the message and nonce"),
        ({"message": "{method}"}, "message: the message holds neither {path} nor {target}"),
        ({"message": "{path}", "algorithm": "md5"}, "algorithm: 'md5' is none of sha256"),
        ({"message": "{path}", "time": "rfc"}, "time: 'rfc' is none of epoch_s"),
        ({"message": "{path}", "key_id": {"name": "X"}}, "value: is missing"),
        ({}, "message: is missing"),
    ],
)
def test_a_signature_that_could_not_be_checked_is_refused(table: dict[str, Any], words: str) -> None:
    """Each mistake names its place."""
    with pytest.raises(BadSetting) as caught:
        auth_of(settings("https://depot.example/", **table))
    assert str(caught.value).startswith("recon.toml [providers.depot.auth.hmac")
    assert words in str(caught.value)
