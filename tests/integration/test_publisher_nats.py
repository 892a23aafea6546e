"""NATS JetStream against a real server: the contract of every publisher, and what is its own."""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from recon.consume.readers.nats import NatsReader
from recon.errors import BadSetting, DeliveryError
from recon.event.cloudevents import of_wire
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.nats import NatsPublisher
from recon.secret import Secret
from recon.section import Section
from recon.testing import publisher_suite
from tests.integration.contract import keep
from tests.integration.secured import keeps_out, lets_in, logged
from tests.servers.authority import Authority
from tests.servers.nats import NatsTestServer

_names = count(1)
NKEYS = find_spec("nkeys") is not None


def publisher(url: str, **more: Any) -> NatsPublisher:
    """The publisher as a table of recon.toml makes it."""
    return NatsPublisher(Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table={"url": url, **more}, folder=Path()))


def secret(word: str) -> Secret:
    """As a reference is, once it is read."""
    return Secret(word)


class NatsBench:
    """A stream of its own on the server, of one subject with all below it."""

    def __init__(self, server: NatsTestServer, **settings: Any) -> None:
        self.server = server
        self.subject = f"s{next(_names)}"
        self.stream = self.subject.upper()
        self.server.start()
        settings = {"subjects": [self.subject, f"{self.subject}.>"], **settings}
        self.server.ask(lambda js: js.add_stream(name=self.stream, **settings))

    def publisher(self, **more: Any) -> NatsPublisher:
        return publisher(self.server.url, **{"subject": self.subject, "stream": self.stream, **more})

    def messages(self) -> Sequence[Msg]:
        """What the stream holds, in its order."""

        async def read(js: JetStreamContext) -> list[Msg]:
            state = (await js.stream_info(self.stream)).state
            if not state.messages:
                return []
            reading = await js.subscribe(">", stream=self.stream, ordered_consumer=True)
            return [await reading.next_msg(5.0) for _ in range(state.messages)]

        return self.server.ask(read)

    def arrived(self) -> Sequence[publisher_suite.Arrived]:
        events = [of_wire(msg.headers or {}, msg.data)[0] for msg in self.messages()]
        return [publisher_suite.Arrived(id=event.id, key=event.partitionkey, body=event.encode()) for event in events]

    def refused(self) -> Message | None:
        return publisher_suite.messages(1, pad=self.server.max_payload)[0]

    def stop(self) -> bool:
        self.server.kill()
        return True

    def start(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def server() -> Iterator[NatsTestServer]:
    """One server for this file."""
    with NatsTestServer() as running:
        yield running


@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(server: NatsTestServer, check: Any) -> None:
    """What every publisher must keep to, over a server that is killed and comes back."""
    # The server says its limit when it greets: `a_refused_event_costs_itself_alone` goes beyond it.
    keep(check, NatsBench(server), cannot_show=publisher_suite.an_event_larger_than_it_takes_is_refused)


def test_a_repeat_stands_in_the_stream_once(server: NatsTestServer) -> None:
    """Sent twice under one token it is one message, and the second answer says so; a later night's token makes it another."""
    bench = NatsBench(server)
    (one,) = publisher_suite.messages(1)
    sender = bench.publisher()

    first, again = (sender.publish([one], 5.0)[0] for _ in range(2))
    later = sender.publish([replace(one, emission=2)], 5.0)[0]
    sender.close()

    assert [(o.kind, o.duplicate) for o in (first, again, later)] == [
        (OutcomeKind.CONFIRMED, False),
        (OutcomeKind.CONFIRMED, True),
        (OutcomeKind.CONFIRMED, False),
    ]
    assert [arrived.id for arrived in bench.arrived()] == [one.id, one.id]


@pytest.mark.parametrize("form", ["structured", "binary"])
def test_both_forms_tell_the_same_event(server: NatsTestServer, form: str) -> None:
    """The attributes are `ce-` headers beside the stored bytes, or beside the data alone; a replay says so in a header, not in the body."""
    bench = NatsBench(server)
    (one,) = publisher_suite.messages(1)
    sender = bench.publisher(form=form)

    (outcome,) = sender.publish([replace(one, replay="01REPLAY")], 5.0)
    sender.close()

    assert outcome.kind is OutcomeKind.CONFIRMED, outcome.reason
    (msg,) = bench.messages()
    assert msg.headers is not None
    assert msg.headers["ce-id"] == one.id
    assert msg.headers["ce-origin"] == "reconciliation"
    assert msg.headers["recon-replay-id"] == "01REPLAY"
    assert (msg.data == one.body) is (form == "structured")
    assert [event.encode() for event in of_wire(msg.headers, msg.data)] == [one.body]


def test_the_subject_may_follow_the_event(server: NatsTestServer) -> None:
    """Members lead to a subject of their own; what would mean something in a subject is taken out of them."""
    bench = NatsBench(server)
    (one,) = publisher_suite.messages(1)
    sender = bench.publisher(subject=f"{bench.subject}.{{entity}}.{{op}}.{{key}}")

    outcomes = sender.publish([replace(one, partitionkey="a.b *>")], 5.0)
    said = sender.health()
    sender.close()

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.CONFIRMED]
    assert [msg.subject for msg in bench.messages()] == [f"{bench.subject}.order.updated.a_b___"]
    assert f"takes {bench.subject}.*.*.* into the stream {bench.stream}" in said


def test_a_subject_that_no_stream_takes_waits_for_one(server: NatsTestServer) -> None:
    """Nothing is dead-lettered over a stream that is missing or another one: RETRY says what to make, and so does health."""
    bench = NatsBench(server)
    (one,) = publisher_suite.messages(1)
    for settings, said, health in (
        ({"subject": "nowhere", "stream": None}, "no stream takes the subject nowhere", "no stream takes nowhere"),
        ({"stream": "OTHER"}, f"the stream OTHER is not the one that takes {bench.subject}", "no stream OTHER that takes"),
    ):
        sender = bench.publisher(**settings)
        (outcome,) = sender.publish([one], 5.0)
        with pytest.raises(DeliveryError, match=health) as error:
            sender.health()
        sender.close()

        assert outcome.kind is OutcomeKind.RETRY
        assert said in outcome.reason
        assert "nats stream add" in str(error.value.hint)
    assert not bench.arrived()


def test_what_the_stream_itself_refuses(server: NatsTestServer) -> None:
    """Larger than the stream's own limit is REJECTED with the figures; a full stream is RETRY, and nothing of that key passes it."""
    bench = NatsBench(server, max_msg_size=4000, max_msgs=3, discard="new")
    small = publisher_suite.messages(6, keys=2)
    (large,) = publisher_suite.messages(1, pad=5000)
    sender = bench.publisher()

    refused, *taken = sender.publish([large, *small], 10.0)
    sender.close()

    assert refused.kind is OutcomeKind.REJECTED
    assert f"{len(large.body):,} bytes" in refused.reason
    kinds = [outcome.kind for outcome in taken]
    assert kinds == [OutcomeKind.CONFIRMED] * 3 + [OutcomeKind.RETRY] * 3
    assert "maximum messages exceeded" in taken[3].reason
    assert "has to arrive first" in taken[5].reason
    assert [arrived.id for arrived in bench.arrived()] == [one.id for one in small[:3]]


USERS = """
authorization { users: [
  { user: all, password: secret }
  { user: few, password: secret, permissions: { publish: ["open.>"], subscribe: ["_INBOX.>"] } }
] }
"""


def test_who_we_are_and_what_we_may() -> None:
    """A wrong password and a subject we may not publish to are the destination's faults: RETRY with the way out, at once and not at the deadline."""
    batch = publisher_suite.messages(3)
    with NatsTestServer(more=USERS) as server:
        server.ask(lambda js: js.add_stream(name="OPEN", subjects=["open.>"]), user="all", password="secret")
        stranger = publisher(server.url, user="few", password=secret("wrong"), subject="open.a")
        outcomes = stranger.publish(batch, 20.0)
        with pytest.raises(DeliveryError, match="does not let us in"):
            stranger.health()
        stranger.close()

        assert {outcome.kind for outcome in outcomes} == {OutcomeKind.RETRY}
        assert "check user, password" in outcomes[0].reason
        assert outcomes[0].after

        limited = publisher(server.url, user="few", password=secret("secret"), subject="{domain}.a")
        begun = time.monotonic()
        outcomes = limited.publish(
            [replace(one, domain=domain) for one, domain in zip(batch, ("open", "closed", "open"), strict=True)], 20.0
        )
        said = limited.health()
        limited.close()

        assert [outcome.kind for outcome in outcomes] == [OutcomeKind.CONFIRMED, OutcomeKind.RETRY, OutcomeKind.CONFIRMED]
        assert "the user may not publish to closed.a" in outcomes[1].reason
        assert time.monotonic() - begun < 15
        assert "could not be asked" in said


def test_a_token_opens_as_well() -> None:
    """The token is a way in, and a wrong one is said to be wrong."""
    with NatsTestServer(more='authorization { token: "open sesame" }') as server:
        right, wrong = (publisher(server.url, token=secret(word), subject="x") for word in ("open sesame", "sesame"))
        (outcome,) = right.publish(publisher_suite.messages(1), 5.0)
        (refused,) = wrong.publish(publisher_suite.messages(1), 5.0)
        right.close()
        wrong.close()

    assert "no stream takes the subject x" in outcome.reason
    assert "does not let us in" in refused.reason
    assert "sesame" not in refused.reason


def test_over_tls_only_who_we_know(tmp_path: Path) -> None:
    """With its authority's file and the password an event goes in and comes out; anything else is said, to the publisher and to the reader."""
    authority, stranger = Authority(tmp_path / "known"), Authority(tmp_path / "strange")
    certificates = {
        "": (authority.certificate, authority.key),
        "certificate has expired": authority.made("old", expired=True),
        "certificate is for other names": authority.made("other", hosts=("elsewhere.example",)),
    }
    for fault, (certificate, key) in certificates.items():
        more = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}\nauthorization {{ user: few, password: "right-word" }}'
        with NatsTestServer(more=more) as server:

            def both(ca: Path | None, word: str = "right-word", scheme: str = "tls") -> Any:
                url = server.url.replace("nats:", f"{scheme}:")
                named = {} if ca is None else {"ca": str(ca)}
                return publisher(url, user="few", password=secret(word), **named), lambda: NatsReader(
                    url, "S", "app", user="few", password=word, **named
                )

            if fault:
                keeps_out(*both(authority.ca), fault)
                continue
            context = ssl.create_default_context(cafile=str(authority.ca))
            server.ask(lambda js: js.add_stream(name="S", subjects=["recon.>"]), tls=context, user="few", password="right-word")
            with logged(logging.INFO) as lines:
                lets_in(*both(authority.ca))
                lets_in(*both(authority.ca, scheme="nats"))
            assert lines.getvalue() == "", "how a connection over TLS ends is nobody's business"
            keeps_out(*both(None), "certificate verify failed", "`ca = ")
            keeps_out(*both(stranger.ca), "certificate verify failed", "`ca = ")
            keeps_out(*both(authority.ca, "wr0ng-word"), "does not let us in", "check user, password", secret="wr0ng-word")


def test_a_server_may_want_to_see_a_certificate(tmp_path: Path) -> None:
    """Ours lets us in as whom it names, with no password; without it, and with a stranger's, nothing is sent."""
    authority, stranger = Authority(tmp_path / "known"), Authority(tmp_path / "strange")
    certificates = [dict(zip(("certificate", "key"), map(str, one.made("few")), strict=True)) for one in (authority, stranger)]
    files = f'cert_file: "{authority.certificate}", key_file: "{authority.key}", ca_file: "{authority.ca}"'
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.load_cert_chain(certificates[0]["certificate"], certificates[0]["key"])
    with NatsTestServer(more=f"tls {{ {files}, verify: true }}") as server:
        server.ask(lambda js: js.add_stream(name="S", subjects=["recon.>"]), tls=context)

        def both(**shown: str) -> Any:
            named = {"ca": str(authority.ca), **shown}
            return publisher(server.url, **named), lambda: NatsReader(server.url, "S", "app", **named)

        lets_in(*both(**certificates[0]))
        # TLS 1.3 tells of a refused certificate after the handshake, and the end of the connection may overtake it.
        keeps_out(*both(), "no connection to", lasting=None)
        keeps_out(*both(**certificates[1]), "no connection to", lasting=None)


@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_nothing_is_said_in_the_clear_where_tls_is_wanted(tmp_path: Path, scheme: str) -> None:
    """A server that speaks no TLS is refused before user and password are said to it, with tls:// and with ca."""
    named = {} if scheme == "tls" else {"ca": str(Authority(tmp_path).ca)}
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"

        def overhears() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                with near:
                    near.settimeout(5)
                    near.sendall(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"headers":true,"auth_required":true}\r\n')
                    heard.append(near.recv(4096))

        thread = threading.Thread(target=overhears, daemon=True)
        thread.start()
        keeps_out(
            publisher(url, user="few", password=secret("right-word"), **named),
            lambda: NatsReader(url, "S", "app", user="few", password="right-word", **named),
            "speaks no TLS",
        )
        # A thread that waits in accept() is not woken by closing the listener.
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)

    assert heard == [b""] * 3


@pytest.mark.parametrize("pad", [0, 200_000])
def test_a_server_that_stands_still_costs_no_more_than_the_deadline(server: NatsTestServer, pad: int) -> None:
    """Nothing is answered, so all is UNKNOWN when the time is over; once it goes on, each event is there once."""
    bench = NatsBench(server)
    batch = publisher_suite.messages(60, pad=pad)
    sender = bench.publisher()
    assert sender.publish(batch[:1], 5.0)[0].kind is OutcomeKind.CONFIRMED

    with server.still():
        begun = time.monotonic()
        outcomes = sender.publish(batch, 1.0)
        took = time.monotonic() - begun
    again = sender.publish(batch, 10.0)
    sender.close()

    # What is more than the line holds was not sent.
    assert {outcome.kind for outcome in outcomes} == ({OutcomeKind.UNKNOWN, OutcomeKind.RETRY} if pad else {OutcomeKind.UNKNOWN})
    assert took < 3.5
    assert {outcome.kind for outcome in again} == {OutcomeKind.CONFIRMED}
    assert sorted(arrived.id for arrived in bench.arrived()) == sorted(one.id for one in batch)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"url": "http://x"}, "is no address of a NATS server"),
        ({"url": "nats://a, ftp://b"}, "is no address of a NATS server"),
        ({"subject": "a..b"}, "is no subject to publish to"),
        ({"subject": "recon.>"}, "is no subject to publish to"),
        ({"subject": "a.{tenant}"}, "has {tenant}, which no event has"),
        ({"user": "x"}, "password: is missing"),
        ({"password": secret("y")}, "user: is missing"),
        ({"token": "plain"}, "by reference only"),
        ({"user": "x", "password": secret("y"), "token": secret("z")}, "stands beside user"),
        pytest.param({"credentials": secret("x")}, "needs the library nkeys", marks=pytest.mark.skipif(NKEYS, reason="nkeys is installed")),
        ({"ca": "nowhere.pem"}, "there is no file nowhere.pem"),
        ({"ca": __file__}, "ca: is not taken"),
        ({"certificate": __file__}, "key: is missing"),
        ({"certificate": __file__, "key": __file__}, "certificate: is not taken"),
        ({"form": "avro"}, "is none of structured, binary"),
        ({"topic": "x"}, "topic"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    """Each mistake in the table is named with its key."""
    with pytest.raises(BadSetting, match=says):
        publisher(**{"url": "nats://127.0.0.1:1", **table})
