"""MQTT 5 against a real mosquitto: the contract of every publisher, and what is its own."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from recon.errors import BadSetting, DeliveryError
from recon.event import decode
from recon.event.cloudevents import of_wire
from recon.outbox.delivery import drain
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.mqtt import MqttPublisher, packet
from recon.secret import Secret
from recon.section import Section
from recon.testing import publisher_suite
from tests.integration.contract import keep
from tests.integration.secured import keeps_out, lets_in
from tests.integration.state.world import changed
from tests.integration.three_nights import Nights, migrated_file, nights, stored
from tests.servers.authority import Authority
from tests.servers.mosquitto import Mosquitto, Subscriber, there

__all__ = ["migrated_file", "nights"]

MAX_PACKET = 300_000
_names = count(1)


def publisher(url: str, **more: Any) -> MqttPublisher:
    """The publisher as a table of recon.toml makes it."""
    return MqttPublisher(Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table={"url": url, **more}, folder=Path()))


class MqttBench:
    """A topic of its own, and a subscriber to all below it."""

    def __init__(self, server: Mosquitto) -> None:
        self.server = server
        self.root = f"t{next(_names)}"
        self.server.start()
        self.subscriber = Subscriber(server, self.root, f"{self.root}/#")
        self.subscriber.on()

    def publisher(self, **more: Any) -> MqttPublisher:
        return publisher(self.server.url, **{"topic": f"{self.root}/{{domain}}/{{entity}}", **more})

    def arrived(self) -> Sequence[publisher_suite.Arrived]:
        self.subscriber.on()
        events = [decode(message.payload) for message in list(self.subscriber.messages)]
        return [publisher_suite.Arrived(id=event.id, key=event.partitionkey, body=event.encode()) for event in events]

    def refused(self) -> Message | None:
        return publisher_suite.messages(1, pad=MAX_PACKET)[0]

    def stop(self) -> bool:
        self.server.stop()
        self.subscriber.off()
        return True

    def start(self) -> None:
        self.server.start()
        self.subscriber.on()

    def close(self) -> None:
        self.subscriber.off()


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    """One broker for this file."""
    with Mosquitto(more=f"max_packet_size {MAX_PACKET}") as running:
        yield running


@pytest.fixture
def bench(server: Mosquitto) -> Iterator[MqttBench]:
    """A topic of this test's own."""
    made = MqttBench(server)
    yield made
    made.close()


@there
@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(bench: MqttBench, check: Any) -> None:
    """What every publisher must keep to, over a broker that is stopped and comes back."""
    # The broker says its limit when it greets: `a_refused_event_costs_itself_alone` goes beyond it.
    keep(check, bench, cannot_show=publisher_suite.an_event_larger_than_it_takes_is_refused)


@there
def test_from_the_outbox_to_the_subscriber(bench: MqttBench, nights: Nights) -> None:
    """What a subscriber holds at the end, which was away half the time, is byte for byte and in order within each key what the outbox held."""
    sender = bench.publisher(subscribers="optional")
    for night in range(3):
        if night == 1:
            bench.subscriber.off()
        nights.night([changed(f"é {key}", source=f"paid-{night}") for key in range(12)])
        figure = drain(nights.state, sender, name="bus", domain="orders", clock=nights.clock, deadline=20.0)
        assert (figure.confirmed, figure.waiting) == (12, 0), figure
    sender.close()

    # What it had not acknowledged when it went away comes twice.
    held = list(dict.fromkeys(one.body for one in publisher_suite._settled(bench, 36)))
    emitted = stored(nights)
    assert sorted(held) == sorted(emitted)
    for key in {decode(body).partitionkey for body in emitted}:
        assert [b for b in held if decode(b).partitionkey == key] == [b for b in emitted if decode(b).partitionkey == key]


@there
def test_both_forms_tell_the_same_event(bench: MqttBench) -> None:
    """The attributes are user properties under their own names, in plain UTF-8; a replay says so in one, not in the body."""
    one = replace(publisher_suite.messages(1)[0], replay="01REPLAY")
    told = []
    for form in ("structured", "binary"):
        sender = bench.publisher(form=form)
        assert [outcome.kind for outcome in sender.publish([one], 5.0)] == [OutcomeKind.CONFIRMED]
        sender.close()
    until = time.monotonic() + 5
    while len(bench.subscriber.messages) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)

    for message in bench.subscriber.messages:
        assert message.properties is not None
        named = dict(message.properties.UserProperty)
        assert (named["id"], named["origin"], named["recon-replay-id"]) == (one.id, "reconciliation", "01REPLAY")
        kind = message.properties.ContentType
        headers = {"content-type": kind} | {f"ce-{name}": value for name, value in named.items()}
        told.append((kind, message.payload == one.body, [event.encode() for event in of_wire(headers, message.payload)]))
    assert told == [("application/cloudevents+json", True, [one.body]), ("application/json", False, [one.body])]


@there
def test_what_nobody_is_subscribed_to_is_not_confirmed(bench: MqttBench) -> None:
    """The broker keeps nothing for nobody: RETRY, with the way out, until there is a subscriber; or confirmed where that is meant."""
    one = publisher_suite.messages(1)
    sender, careless = bench.publisher(topic="nobody/{domain}"), bench.publisher(topic="nobody/{domain}", subscribers="optional")

    (lost,) = sender.publish(one, 5.0)
    (meant,) = careless.publish(one, 5.0)
    bench.subscriber.off()
    listener = Subscriber(bench.server, "listener", "nobody/#")
    listener.on()
    listener.off()
    (taken,) = sender.publish(one, 5.0)
    sender.close()
    careless.close()

    assert lost.kind is OutcomeKind.RETRY
    assert "nobody is subscribed to nobody/orders" in lost.reason
    assert "subscribers" in lost.reason
    assert (meant.kind, taken.kind) == (OutcomeKind.CONFIRMED, OutcomeKind.CONFIRMED)


@there
def test_the_topic_may_follow_the_event(bench: MqttBench) -> None:
    """Members lead to a topic of their own; what would mean something in a topic is taken out of them."""
    one = replace(publisher_suite.messages(1)[0], partitionkey="a/b+#c")
    sender = bench.publisher(topic=f"{bench.root}/{{op}}/{{key}}")

    assert [outcome.kind for outcome in sender.publish([one], 5.0)] == [OutcomeKind.CONFIRMED]
    said = sender.health()
    sender.close()
    publisher_suite._settled(bench, 1)

    assert [message.topic for message in bench.subscriber.messages] == [f"{bench.root}/updated/a_b__c"]
    assert f"events go to {bench.root}/{{op}}/{{key}}" in said


@there
def test_who_we_are_and_what_we_may(tmp_path: Path) -> None:
    """A wrong password and a topic we may not publish to are the destination's faults: RETRY with the way out, and no dead letter."""
    (tmp_path / "acl").write_text("user few\ntopic readwrite open/#\n")
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(tmp_path / "users"), "few", "word"], check=True, capture_output=True)
    for file in ("acl", "users"):
        (tmp_path / file).chmod(0o600)
    batch = publisher_suite.messages(3)
    with Mosquitto(anonymous=False, more=f"password_file {tmp_path}/users\nacl_file {tmp_path}/acl") as server:
        stranger = publisher(server.url, user="few", password=Secret("wrong"))
        outcomes = stranger.publish(batch, 20.0)
        with pytest.raises(DeliveryError, match="does not let us in"):
            stranger.health()
        stranger.close()
        limited = publisher(server.url.replace("//", "//few:word@"), topic="{domain}/x", subscribers="optional")
        allowed, denied, other = (replace(one, domain=domain) for one, domain in zip(batch, ("open", "closed", "open"), strict=True))
        outcomes_of = [limited.publish([one], 10.0)[0] for one in (allowed, denied)]
        # This mosquitto ends the connection after it has refused one.
        publisher_suite._until_confirmed(limited, [other])
        limited.close()

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.RETRY}
    assert "check user, password" in outcomes[0].reason
    assert outcomes[0].after
    assert [outcome.kind for outcome in outcomes_of] == [OutcomeKind.CONFIRMED, OutcomeKind.RETRY]
    assert "closed/x: Not authorized" in outcomes_of[1].reason


@there
def test_over_tls_only_who_we_know(tmp_path: Path) -> None:
    """With its authority's file and the password an event is confirmed; anything else is said, with the way out."""
    tmp_path.chmod(0o755)
    authority, stranger = Authority(tmp_path / "known"), Authority(tmp_path / "strange")
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(tmp_path / "users"), "few", "right-word"], check=True, capture_output=True)
    (tmp_path / "users").chmod(0o600)
    for fault, (certificate, key) in {
        "": (authority.certificate, authority.key),
        "certificate has expired": authority.made("old", expired=True),
        "certificate is for other names": authority.made("other", hosts=("elsewhere.example",)),
    }.items():
        with Mosquitto(more=f"certfile {certificate}\nkeyfile {key}\npassword_file {tmp_path}/users", anonymous=False) as server:

            def sender(ca: Path | None, word: str = "right-word", scheme: str = "mqtts") -> MqttPublisher:
                url = server.url.replace("mqtt:", f"{scheme}:")
                named = {} if ca is None else {"ca": str(ca)}
                return publisher(url, subscribers="optional", user="few", password=Secret(word), **named)

            if fault:
                keeps_out(sender(authority.ca), None, fault)
                continue
            lets_in(sender(authority.ca))
            keeps_out(sender(None), None, "certificate verify failed", "`ca = ")
            keeps_out(sender(stranger.ca), None, "certificate verify failed", "`ca = ")
            keeps_out(sender(authority.ca, "wr0ng-word"), None, "does not let us in", "check user, password", secret="wr0ng-word")
            keeps_out(sender(None, scheme="mqtt"), None, "write mqtts://", lasting=False)
    with Mosquitto() as server:
        url = server.url.replace("mqtt:", "mqtts:")
        keeps_out(publisher(url), None, "no connection to", lasting=None)


@there
def test_a_broker_may_want_to_see_a_certificate(tmp_path: Path) -> None:
    """Ours lets us in as whom it names, with no password; without it, and with a stranger's, nothing is sent."""
    tmp_path.chmod(0o755)
    authority, stranger = Authority(tmp_path / "known"), Authority(tmp_path / "strange")
    lines = [f"certfile {authority.certificate}", f"keyfile {authority.key}", f"cafile {authority.ca}", "require_certificate true"]
    with Mosquitto(more="\n".join([*lines, "use_identity_as_username true"]), anonymous=False) as server:
        named = {"ca": str(authority.ca), "subscribers": "optional"}
        certificates = [dict(zip(("certificate", "key"), map(str, one.made("few")), strict=True)) for one in (authority, stranger)]
        url = server.url.replace("mqtt:", "mqtts:")
        lets_in(publisher(url, **named, **certificates[0]))
        # TLS 1.3 tells of a refused certificate after the handshake, and the end of the connection may overtake it.
        keeps_out(publisher(url, **named), None, "no connection to", lasting=None)
        keeps_out(publisher(url, **named, **certificates[1]), None, "no connection to", lasting=None)


@there
def test_a_broker_that_takes_few_at_once_is_not_sent_more() -> None:
    """Its receive maximum is kept to, whatever the batch: with five unanswered the sixth is not sent, and is known not to have been."""
    with Mosquitto(more="max_inflight_messages 5") as server:
        sender = publisher(server.url, subscribers="optional")
        outcomes = sender.publish(publisher_suite.messages(300), 20.0)
        with server.still():
            waiting = Counter(outcome.kind for outcome in sender.publish(publisher_suite.messages(50), 0.5))
        sender.close()

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.CONFIRMED}
    assert waiting == {OutcomeKind.UNKNOWN: 5, OutcomeKind.RETRY: 45}


@there
@pytest.mark.parametrize("pad", [0, 200_000])
def test_a_broker_that_stands_still_costs_no_more_than_the_deadline(bench: MqttBench, pad: int) -> None:
    """Nothing is answered, so all is UNKNOWN when the time is over, and a new connection is RETRY; once it goes on, all is taken."""
    batch = publisher_suite.messages(60, pad=pad)
    sender = bench.publisher()
    assert sender.publish(batch[:1], 5.0)[0].kind is OutcomeKind.CONFIRMED

    with bench.server.still():
        begun = time.monotonic()
        outcomes = sender.publish(batch, 0.7)
        unconnected = sender.publish(batch, 0.7)
        took = time.monotonic() - begun
    again = sender.publish(batch, 10.0)
    sender.close()

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.UNKNOWN}
    assert {outcome.kind for outcome in unconnected} == {OutcomeKind.RETRY}
    assert took < 3.0
    assert {outcome.kind for outcome in again} == {OutcomeKind.CONFIRMED}


@pytest.mark.parametrize("subject", ["order/42", "order/é\u2028" + "x" * 20_000])
def test_properties_are_packed_as_the_library_packs_them(subject: str) -> None:
    """Our bytes are paho's own, for short and for long values; a NUL, which MQTT cannot carry, costs its own event alone."""
    event = replace(decode(publisher_suite.messages(1)[0].body), subject=subject)
    made, body = packet(publisher_suite.message_of(event), "structured")
    named: Any = Properties(PacketTypes.PUBLISH)
    named.unpack(made.pack())

    assert body == event.encode()
    assert dict(named.UserProperty)["subject"] == subject
    assert sorted(named.pack()) == sorted(made.pack())
    with pytest.raises(ValueError, match="NUL"):
        packet(publisher_suite.message_of(replace(event, subject="a\0b")), "structured")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"url": "http://x"}, "is no address of an MQTT broker"),
        ({"url": "mqtt://x:port"}, "is not a URL"),
        ({"topic": "a/+/b"}, "has a wildcard"),
        ({"topic": "a/{tenant}"}, "has {tenant}, which no event has"),
        ({"url": "mqtt://u:p@x", "user": "x"}, "stands in the url as well"),
        ({"password": Secret("y")}, "user: is missing"),
        ({"ca": "nowhere.pem"}, "there is no file nowhere.pem"),
        ({"certificate": __file__}, "key: is missing"),
        ({"ca": "/etc/hosts"}, "ca: is not taken"),
        ({"subscribers": "some"}, "is none of required, optional"),
        ({"qos": 2}, "qos"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    """Each mistake in the table is named with its key."""
    with pytest.raises(BadSetting, match=says):
        publisher(**{"url": "mqtt://127.0.0.1:1", **table})
