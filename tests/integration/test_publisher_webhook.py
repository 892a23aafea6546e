"""The webhook publisher against a real HTTP receiver that checks signatures with the reference library."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from recon.errors import BadSetting, DeliveryError
from recon.event.cloudevents import of_wire
from recon.publishers.base import Message, OutcomeKind, Publisher
from recon.publishers.signing import BadSignature, key_of, new_secret, sign, verify
from recon.publishers.verdict import excerpt, retry_after
from recon.publishers.webhook import WebhookPublisher
from recon.secret import Secret
from recon.section import Section
from recon.testing import FixedClock
from tests.servers.receiver import SECRET, Received, Receiver, Reply, receiver
from tests.unit.test_event import event

__all__ = ["receiver"]


def section(url: str, **more: Any) -> Section:
    table = {"url": url, "secret": Secret(SECRET)} | more
    return Section(
        name="bus", file=Path("recon.toml"), path="publishers.bus", table={k: v for k, v in table.items() if v is not None}, folder=Path()
    )


@contextmanager
def publisher(url: str, **more: Any) -> Iterator[WebhookPublisher]:
    made = WebhookPublisher(section(url, **more))
    try:
        yield made
    finally:
        made.close()


def messages(count: int, key: str | None = None) -> list[Message]:
    made = []
    for i in range(count):
        name = f"evt-{i}"
        body = json.dumps(
            {"specversion": "1.0", "id": name, "type": "order.updated", "source": "/recon/x/orders", "data": {"n": i}}
        ).encode()
        made.append(Message(id=name, type="order.updated", subject=f"order/{i}", partitionkey=key or str(i), body=body))
    return made


def kinds(outcomes: Any) -> list[str]:
    return [str(outcome.kind) for outcome in outcomes]


def test_single_events_arrive_signed_and_unchanged(receiver: Receiver) -> None:
    """Each event is one POST of the stored bytes, with its own id, and the reference library accepts the signature."""
    with publisher(receiver.url) as made:
        assert isinstance(made, Publisher)
        outcomes = made.publish(messages(3), 10)

    assert kinds(outcomes) == ["confirmed"] * 3
    assert [r.body for r in receiver.requests] == [m.body for m in messages(3)]
    assert [r.headers["webhook-id"] for r in receiver.requests] == ["evt-0", "evt-1", "evt-2"]
    assert all(r.verified for r in receiver.requests)
    assert receiver.requests[0].headers["content-type"].startswith("application/cloudevents+json")


def test_batches_are_arrays_with_a_stable_id(receiver: Receiver) -> None:
    """A batch is one CloudEvents batch document, and the same events have the same webhook-id on a repeat."""
    with publisher(receiver.url, batch=2) as made:
        assert kinds(made.publish(messages(3), 10)) == ["confirmed"] * 3
        made.publish(messages(2), 10)

    assert [len(r.events) for r in receiver.requests] == [2, 1, 2]
    ids = [r.headers["webhook-id"] for r in receiver.requests]
    assert ids[0] == ids[2] != ids[1]
    assert all(r.verified and r.headers["content-type"].startswith("application/cloudevents-batch+json") for r in receiver.requests)


def test_wrong_secret_is_seen_by_the_receiver(receiver: Receiver) -> None:
    """The receiver's check can fail: another secret's signature is not taken for good."""
    with publisher(receiver.url, secret=Secret(new_secret())) as made:
        made.publish(messages(1), 10)

    assert [r.verified for r in receiver.requests] == [False]


def test_rotation_signs_with_every_secret(receiver: Receiver) -> None:
    """With two secrets, holders of either verify the request, so a secret is changed without a gap."""
    fresh = new_secret()
    with publisher(receiver.url, secret=None, secrets=[Secret(fresh), Secret(SECRET)]) as made:
        made.publish(messages(1), 10)

    request = receiver.requests[0]
    receiver.secrets = (fresh,)
    assert request.verified
    assert receiver.verify(request.headers, request.body)
    assert len(request.headers["webhook-signature"].split()) == 2


def test_every_attempt_is_signed_anew(receiver: Receiver) -> None:
    """A repeat an hour later carries that hour's timestamp and another signature, the same id and the same bytes."""
    clock = FixedClock(datetime(2026, 1, 3, 3, tzinfo=UTC))
    made = WebhookPublisher(section(receiver.url), clock=clock)
    made.publish(messages(1), 10)
    clock.sleep(3600)
    made.publish(messages(1), 10)
    made.close()

    first, second = (r.headers for r in receiver.requests)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3600
    assert first["webhook-signature"] != second["webhook-signature"]
    assert first["webhook-id"] == second["webhook-id"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "confirmed"), (202, "confirmed"), (204, "confirmed"), (301, "retry"), (400, "rejected"), (401, "retry"), (403, "retry"),
        (404, "retry"), (408, "retry"), (409, "confirmed"), (413, "rejected"), (422, "rejected"), (425, "retry"), (429, "retry"),
        (500, "retry"), (503, "retry"),
    ],
)  # fmt: skip
def test_status_to_outcome(receiver: Receiver, status: int, kind: str) -> None:
    """Every status of the table leads to its outcome, and 409 is said to be a duplicate."""
    receiver.reply = Reply(status=status, body=b"because \x1b[31m of me", headers={"Location": "http://127.0.0.1:1/elsewhere"})
    with publisher(receiver.url) as made:
        (outcome,) = made.publish(messages(1), 10)

    assert str(outcome.kind) == kind
    assert outcome.duplicate == (status == 409)
    assert "\x1b" not in outcome.reason
    assert len(receiver.requests) == 1, "a redirect is not followed and nothing is sent twice"
    if kind == "rejected":
        assert f"HTTP {status}" in outcome.reason
        assert "because" in outcome.reason


def test_retry_after_in_both_forms(receiver: Receiver) -> None:
    """Retry-After as seconds and as a date reaches the outbox in seconds."""
    moment = datetime.now(UTC) + timedelta(seconds=90)
    receiver.replies = [
        Reply(status=503, headers={"Retry-After": "17"}),
        Reply(status=503, headers={"Retry-After": format_datetime(moment, usegmt=True)}),
    ]
    with publisher(receiver.url) as made:
        (seconds,) = made.publish(messages(1), 10)
        (date,) = made.publish(messages(1), 10)

    assert seconds.after == 17
    assert date.after == pytest.approx(90, abs=5)


@pytest.mark.parametrize("text", ["soon", "", "-5", "Wed, 99 Foo 2026", "1e9", "٣"])
def test_nonsense_retry_after_is_none(text: str) -> None:
    """What is neither seconds nor a date gives no wait, and never an error."""
    assert retry_after(text, now=datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_pressed_receiver_is_left_alone(receiver: Receiver) -> None:
    """After a 429 the rest of the batch is not sent, and waits as long as the receiver asked."""
    receiver.replies = [Reply(), Reply(status=429, headers={"Retry-After": "30"})]
    with publisher(receiver.url) as made:
        outcomes = made.publish(messages(5), 10)

    assert kinds(outcomes) == ["confirmed", "retry", "retry", "retry", "retry"]
    assert {o.after for o in outcomes[1:]} == {30.0}
    assert len(receiver.requests) == 2


def test_gone_endpoint_is_switched_off_and_nothing_is_lost(receiver: Receiver) -> None:
    """A 410 makes every event RETRY, not REJECTED, and no further request is made until the hour is over."""
    receiver.reply = Reply(status=410)
    clock = FixedClock(datetime(2026, 1, 3, 3, tzinfo=UTC))
    made = WebhookPublisher(section(receiver.url), clock=clock)
    first = made.publish(messages(3), 10)
    second = made.publish(messages(3), 10)
    calls = len(receiver.requests)
    clock.sleep(3700)
    receiver.reply = Reply()
    third = made.publish(messages(1), 10)
    made.close()

    assert kinds([*first, *second]) == ["retry"] * 6
    assert calls == 1
    assert "none is lost" in first[0].reason
    assert kinds(third) == ["confirmed"]


def test_one_bad_event_does_not_condemn_its_batch(receiver: Receiver) -> None:
    """A batch refused with 422 is sent again one by one; only the event at fault is rejected."""

    def decide(request: Received) -> Reply:
        return Reply(status=422, body=b"evt-1 is nonsense") if any(e["id"] == "evt-1" for e in request.events) else Reply()

    receiver.decide = decide
    with publisher(receiver.url, batch=3) as made:
        outcomes = made.publish(messages(3), 10)

    assert kinds(outcomes) == ["confirmed", "rejected", "confirmed"]
    assert [len(r.events) for r in receiver.requests] == [3, 1, 1, 1]


def test_statuses_per_event_of_a_batch(receiver: Receiver) -> None:
    """A receiver that answers a list decides each event by itself, and one it leaves out is UNKNOWN, not CONFIRMED."""
    rows = [
        {"id": "evt-0", "status": 200},
        {"id": "evt-1", "status": 409},
        {"id": "evt-2", "status": 400, "reason": "no\x07"},
        {"id": "evt-3", "status": 503, "retry_after": 9},
    ]
    receiver.reply = Reply(status=207, body=json.dumps(rows).encode())
    with publisher(receiver.url, batch=10) as made:
        outcomes = made.publish(messages(5), 10)

    assert kinds(outcomes) == ["confirmed", "confirmed", "rejected", "retry", "unknown"]
    assert [o.duplicate for o in outcomes] == [False, True, False, False, False]
    assert outcomes[3].after == 9
    assert "\x07" not in outcomes[2].reason


@pytest.mark.parametrize("body", [b'[{"id": "evt-0", "sta', b"[" * 100_000])
def test_torn_list_of_statuses_confirms_nothing(receiver: Receiver, body: bytes) -> None:
    """A list that breaks off leaves every event UNKNOWN."""
    receiver.reply = Reply(status=200, body=body)
    with publisher(receiver.url, batch=2) as made:
        assert kinds(made.publish(messages(2), 10)) == ["unknown", "unknown"]


def test_body_that_is_no_list_confirms_all(receiver: Receiver) -> None:
    """A 200 with any other body, JSON or not, is a 200."""
    receiver.replies = [Reply(body=b'{"ok": true}'), Reply(body=b"OK"), Reply(body=b"[]"), Reply(body=b"x" * 3_000_000)]
    with publisher(receiver.url, batch=2) as made:
        for _ in range(4):
            assert kinds(made.publish(messages(2), 10)) == ["confirmed", "confirmed"]


def test_cut_connection_is_unknown(receiver: Receiver) -> None:
    """A request that was sent and got no answer may have been handled: UNKNOWN, and the later ones were not sent."""
    receiver.reply = Reply(cut=True)
    with publisher(receiver.url) as made:
        outcomes = made.publish(messages(2), 10)

    assert kinds(outcomes) == ["unknown", "retry"]
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("reply", [Reply(wait=20), Reply(drip=0.2, body=b"x" * 100)], ids=["silent", "dripping"])
def test_slow_receiver_meets_the_deadline(receiver: Receiver, reply: Reply) -> None:
    """A receiver that is silent, or that sends its answer byte by byte, is cut at the timeout; the event is UNKNOWN."""
    receiver.reply = reply
    started = time.monotonic()
    with publisher(receiver.url, timeout="500ms") as made:
        (outcome,) = made.publish(messages(1), 10)

    assert str(outcome.kind) == "unknown"
    assert time.monotonic() - started < 3


def test_deadline_covers_the_whole_call(receiver: Receiver) -> None:
    """Many slow answers do not add up beyond the deadline; what was not sent is RETRY."""
    receiver.reply = Reply(wait=0.2)
    started = time.monotonic()
    with publisher(receiver.url) as made:
        outcomes = made.publish(messages(50), 1.0)

    assert time.monotonic() - started < 3
    assert kinds(outcomes)[0] == "confirmed"
    assert kinds(outcomes)[-1] == "retry"
    assert len(outcomes) == 50


def test_nobody_listening_is_retry() -> None:
    """A refused connection sent nothing: RETRY for all, and `health` says so with the way out."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/secret-path"
        with publisher(url) as made:
            outcomes = made.publish(messages(2), 5)
            with pytest.raises(DeliveryError) as caught:
                made.health()

    assert kinds(outcomes) == ["retry", "retry"]
    assert "not sent" in outcomes[0].reason
    assert "secret-path" not in str(caught.value) + outcomes[0].reason


def test_health_sends_no_event(receiver: Receiver) -> None:
    """`health` reaches the endpoint and posts nothing."""
    with publisher(receiver.url) as made:
        assert "takes connections" in made.health()
    assert receiver.requests == []


def test_order_within_a_key(receiver: Receiver) -> None:
    """After an event that did not arrive, later ones of its key wait, and those of other keys go on."""

    def decide(request: Received) -> Reply:
        return Reply(status=500) if request.events[0]["id"] == "evt-0" else Reply()

    receiver.decide = decide
    batch = messages(4)
    same = [
        Message(id=m.id, type=m.type, subject=m.subject, partitionkey="a" if i < 2 else m.partitionkey, body=m.body)
        for i, m in enumerate(batch)
    ]
    with publisher(receiver.url) as made:
        outcomes = made.publish(same, 10)

    assert kinds(outcomes) == ["retry", "retry", "confirmed", "confirmed"]
    assert [e["id"] for e in receiver.events] == ["evt-0", "evt-2", "evt-3"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"url": "http://hooks.example/x"}, "insecure = true"), ({"url": "ftp://x/"}, "https://"), ({"url": "https://u:p@x/"}, "user or password"),
        ({"secret": None}, "exactly one"), ({"unsigned": True}, "exactly one"), ({"secret": Secret("whsec_!!")}, "not base64"),
        ({"secret": Secret("whsec_" + base64.b64encode(b"short").decode())}, "24 to 64"), ({"secret": "whsec_plain"}, "by reference"),
        ({"batch": 0}, "at least 1"), ({"batchsize": 2}, "batch"), ({"headers": {"Webhook-Id": "x"}}, "publisher itself"),
        ({"headers": {"X-A": "a\r\nb: c"}}, "control"), ({"timeout": "soon"}, "duration"), ({"url": "https://[x/"}, "URL"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(change: dict[str, Any], says: str) -> None:
    """Each wrong setting names its key, says what is wanted, and never shows a secret."""
    with pytest.raises(BadSetting) as caught:
        WebhookPublisher(section(**({"url": "https://hooks.example/x"} | change)))

    text = f"{caught.value} {caught.value.hint}"
    assert "recon.toml [publishers.bus" in text
    assert says in text
    assert "whsec_plain" not in text


def test_headers_and_unsigned(receiver: Receiver) -> None:
    """Headers of the user's own are sent, a secret among them; `unsigned` sends no signature."""
    with publisher(receiver.url, secret=None, unsigned=True, headers={"Authorization": "Bearer x"}) as made:
        made.publish(messages(1), 10)

    assert receiver.requests[0].headers["authorization"] == "Bearer x"
    assert "webhook-signature" not in receiver.requests[0].headers


def test_excerpt_is_bounded_and_inert() -> None:
    """A foreign body is cut and cannot move a cursor."""
    text = excerpt(b"\x1b]8;;http://x\x07" + b"a" * 10_000 + "\u202e".encode())
    assert len(text) < 260
    assert text.isprintable()


def test_verify_refuses_what_it_must() -> None:
    """Our own check takes a good request and refuses a changed body, an old one, a missing header and another key."""
    key = key_of(SECRET)
    headers = {
        "webhook-id": "a",
        "webhook-timestamp": "1000",
        "webhook-signature": "v1,bm9wZQ== " + sign([key], message_id="a", timestamp=1000, body=b"x"),
    }
    assert verify([key], headers=headers, body=b"x", now=1200) == "a"
    for change in (
        {"body": b"y"},
        {"now": 1301},
        {"now": 699},
        {"headers": headers | {"webhook-id": "b"}},
        {"keys": [key_of(new_secret())]},
        {"headers": {}},
    ):
        arguments = {"keys": [key], "headers": headers, "body": b"x", "now": 1000} | change
        with pytest.raises(BadSignature):
            verify(arguments["keys"], headers=arguments["headers"], body=arguments["body"], now=arguments["now"])


def test_outcomes_answer_one_per_message() -> None:
    """An empty batch has no outcomes."""
    with publisher("https://hooks.example/x") as made:
        assert list(made.publish([], 5)) == []
    assert OutcomeKind.CONFIRMED == "confirmed"


@pytest.mark.parametrize("form", ["binary", "eventbridge"])
def test_the_other_forms_arrive_as_the_same_event(receiver: Receiver, form: str) -> None:
    """In each form the receiver gets the event's id, type and data, under a signature of the very bytes that were sent."""
    sent = event()
    message = Message(id=sent.id, type=sent.type, subject=sent.subject, partitionkey=sent.partitionkey, body=sent.encode())

    with publisher(receiver.url, form=form) as hook:
        outcomes = hook.publish([message], 5.0)

    assert kinds(outcomes) == ["confirmed"]
    (got,) = receiver.requests
    if form == "binary":
        assert of_wire(got.headers, got.body) == [sent]
    else:
        told = json.loads(got.body)
        assert (told["detail-type"], told["detail"]["metadata"]["id"], told["detail"]["state"]) == (sent.type, sent.id, sent.data["state"])


def test_only_structured_events_come_in_batches(receiver: Receiver) -> None:
    """A batch in another form is refused when the settings are read, naming the key."""
    with pytest.raises(BadSetting, match="only the structured form has batches"), publisher(receiver.url, form="binary", batch=5):
        pass


def test_a_close_in_the_middle_waits_for_the_call(receiver: Receiver) -> None:
    """`close` from another thread cuts nothing off: every event that was sent has its answer, and the next call makes a connection anew."""
    receiver.reply = Reply(wait=0.02)
    with publisher(receiver.url) as made:
        closer = threading.Timer(0.05, made.close)
        closer.start()
        outcomes = made.publish(messages(10), 10)
        closer.join()
        again = made.publish(messages(1), 10)

    assert kinds(outcomes) == ["confirmed"] * 10
    assert kinds(again) == ["confirmed"]
