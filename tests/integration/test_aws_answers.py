"""What AWS may answer and moto cannot be made to: single failures in a batch, throttling, expired credentials, torn answers, silence.

The answers are a scripted HTTP server's, in the wire formats that botocore's own models describe.
"""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from recon.consume.readers.sqs import SQSReader
from recon.errors import DeliveryError
from recon.event import decode
from recon.publishers.base import Message, OutcomeKind
from recon.testing.publisher_suite import message_of, messages
from tests.integration.test_publishers_aws import publisher
from tests.servers.aws import REGION, aws, moto_url
from tests.servers.scripted import Answer, Call, scripted

__all__ = ["aws", "moto_url"]

pytestmark = pytest.mark.usefixtures("aws")  # Its credentials stand in the environment.

Said = Mapping[str, Any] | None
"""What is said of one entry: None that it was taken, else what failed."""
PLACES = {
    "sqs": {"queue": "https://sqs.us-east-1.amazonaws.com/123456789012/corrections.fifo"},
    "sns": {"topic": "arn:aws:sns:us-east-1:123456789012:corrections.fifo"},
    "eventbridge": {"bus": "corrections"},
}


def keys_of(kind: str, call: Call) -> list[str]:
    """The numbers that the events of one call have in their state, in its order."""
    if kind == "sns":
        bodies = [value[0] for name, value in sorted(parse_qs(call.body.decode()).items()) if name.endswith(".Message")]
    else:
        entries = json.loads(call.body)["Entries"]
        bodies = [one.get("MessageBody") or one.get("Detail") for one in entries]
    return [re.search(r'"key":"(\w+)"', body)[1] for body in bodies]


def told(kind: str, call: Call, said: Callable[[str], Said]) -> Answer:
    """An answer of HTTP 200 that says of each entry what `said` says of its key."""
    found = [said(key) for key in keys_of(kind, call)]
    if kind == "eventbridge":
        entries = [{"EventId": "e"} if one is None else one for one in found]
        return Answer({"FailedEntryCount": sum(one is not None for one in found), "Entries": entries})
    failed = [{"Id": str(n), **one} for n, one in enumerate(found) if one is not None and one != "nothing"]
    if kind == "sqs":
        bodies = [one["MessageBody"] for one in json.loads(call.body)["Entries"]]
        taken = [
            {"Id": str(n), "MessageId": "m", "MD5OfMessageBody": hashlib.md5(bodies[n].encode()).hexdigest()}
            for n, one in enumerate(found)
            if one is None
        ]
        return Answer({"Successful": taken, "Failed": failed})
    good = "".join(f"<member><Id>{n}</Id><MessageId>m</MessageId></member>" for n, one in enumerate(found) if one is None)
    bad = "".join(
        "<member>" + "".join(f"<{k}>{str(v).lower() if v in {True, False} else v}</{k}>" for k, v in one.items()) + "</member>"
        for one in failed
    )
    return Answer(
        f'<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Successful>{good}</Successful>'
        f"<Failed>{bad}</Failed></PublishBatchResult></PublishBatchResponse>".encode()
    )


def published(
    kind: str, batch: Sequence[Message], answer: Callable[[Call], Answer], *, deadline: float = 10.0, **more: Any
) -> tuple[list[Any], list[Call]]:
    """The outcomes of a publisher that talks to a scripted server, and the calls it made."""
    with scripted(answer) as server:
        sender = publisher(kind, region=REGION, endpoint_url=server.url, **{"timeout": "3s", **PLACES[kind], **more})
        outcomes = list(sender.publish(batch, deadline))
        sender.close()
    assert len(outcomes) == len(batch)
    return outcomes, server.calls


def keyed(*keys: str) -> list[Message]:
    """An event for each key, in order."""
    return [
        message_of(replace(decode(one.body), partitionkey=key, data={"op": "updated", "key": key, "state": {}}))
        for key, one in zip(keys, messages(len(keys)), strict=True)
    ]


def sender_fault(code: str, words: str, *, fault: bool = True) -> Said:
    """A member of `Failed[]`."""
    return {"Code": code, "Message": words, "SenderFault": fault}


FAILURES: dict[str, list[tuple[Any, str, str]]] = {
    "sqs": [
        (sender_fault("InvalidMessageContents", "Invalid characters found"), "rejected", "Invalid characters"),
        (sender_fault("InvalidParameterValue", "Message must be shorter than 1024 bytes."), "rejected", "1024"),
        (sender_fault("InvalidParameterValue", "Value for MessageGroupId is invalid"), "retry", "GroupId"),
        (sender_fault("InvalidMessageContents", "", fault=False), "retry", "InvalidMessageContents"),
        (sender_fault("AWS.SimpleQueueService.NonExistentQueue", "gone"), "retry", "is not there"),
        (sender_fault("KmsAccessDenied", "key"), "retry", "allow it in IAM"),
        (sender_fault("InternalError", "", fault=False), "retry", "InternalError"),
        ("nothing", "unknown", "does not say"),
    ],
    "sns": [
        (sender_fault("InvalidParameter", "Invalid parameter: Message too long"), "rejected", "too long"),
        (sender_fault("InvalidParameter", "Invalid parameter: TopicArn"), "retry", "TopicArn"),
        (sender_fault("AuthorizationError", "not you"), "retry", "allow it in IAM"),
        (sender_fault("InternalError", "", fault=False), "retry", "InternalError"),
        ("nothing", "unknown", "does not say"),
    ],
    "eventbridge": [
        ({"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}, "rejected", "malformed"),
        ({"ErrorCode": "InvalidArgument", "ErrorMessage": "Parameter DetailType is not valid."}, "rejected", "DetailType"),
        ({"ErrorCode": "InvalidArgument", "ErrorMessage": "Parameter EventBusName is not valid."}, "retry", "EventBusName"),
        ({"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "no"}, "retry", "allow it in IAM"),
        ({"ErrorCode": "InternalFailure", "ErrorMessage": ""}, "retry", "InternalFailure"),
        ({"ErrorCode": "ThrottlingException", "ErrorMessage": "slow"}, "retry", "throttles"),
        ({"EventId": ""}, "unknown", "does not say"),
    ],
}
"""What is said of one entry, what that makes of its event, and what the reason tells."""


@pytest.mark.parametrize("kind", PLACES)
def test_entries_fail_in_an_answer_of_200(kind: str) -> None:
    """Each event has the outcome of its own words, with the way out; its neighbours are confirmed; its key waits, unless it was refused."""
    failures = FAILURES[kind]
    bad = [f"bad{n}" for n in range(len(failures))]
    batch = keyed("good", *bad, *bad, "fine")

    outcomes, calls = published(kind, batch, lambda call: told(kind, call, lambda key: failures[int(key[3:])][0] if key in bad else None))

    assert (outcomes[0].kind, outcomes[-1].kind) == (OutcomeKind.CONFIRMED, OutcomeKind.CONFIRMED)
    for (_, wanted, says), first, second in zip(failures, outcomes[1:], outcomes[1 + len(bad) :], strict=False):
        assert (first.kind, second.kind) == (wanted, "rejected" if wanted == "rejected" else "retry"), (says, first, second)
        assert says in first.reason
        assert ("has to arrive first" in second.reason) is (wanted != "rejected")
    sent = Counter(key for call in calls for key in keys_of(kind, call))
    assert sent == Counter({"good": 1, "fine": 1} | {f"bad{n}": 2 if one[1] == "rejected" else 1 for n, one in enumerate(failures)})


@pytest.mark.parametrize("kind", PLACES)
def test_no_call_carries_two_events_of_one_key(kind: str) -> None:
    """Five events of each of three keys: every call has at most one of a key, each key's arrive in order, and all are confirmed."""
    batch = keyed(*"abcab", *"cabca", *"bcabc")

    outcomes, calls = published(kind, batch, lambda call: told(kind, call, lambda _: None))

    assert {one.kind for one in outcomes} == {OutcomeKind.CONFIRMED}
    assert all(len(set(keys)) == len(keys) for keys in (keys_of(kind, call) for call in calls))
    assert len(calls) == 5


@pytest.mark.parametrize("kind", PLACES)
def test_calls_are_cut_by_their_bytes(kind: str) -> None:
    """Five events, two of which just fit into what one call may have: three calls, each within the limit with all that is counted."""
    limit = 262_144 if kind == "sns" else 1_048_576
    batch = messages(5, pad=int(limit * 0.45))

    outcomes, calls = published(kind, batch, lambda call: told(kind, call, lambda _: None))

    assert {one.kind for one in outcomes} == {OutcomeKind.CONFIRMED}
    assert sorted(len(keys_of(kind, call)) for call in calls) == [1, 2, 2]


def refusal(kind: str, code: str, status: int) -> Callable[[Call], Answer]:
    """A whole call refused, in the service's own format."""
    if kind == "sns":
        body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>said so</Message></Error></ErrorResponse>".encode()
        return lambda _: Answer(body, status)
    return lambda _: Answer({"__type": f"com.amazonaws#{code}", "message": "said so"}, status)


@pytest.mark.parametrize(
    ("kind", "refused", "outcome", "says", "least"),
    [
        ("sns", ("Throttling", 400), "retry", "throttles", 1),
        ("sns", ("InternalError", 500), "unknown", "may have taken it", None),
        ("eventbridge", ("ResourceNotFoundException", 400), "retry", "is not there", 60),
        ("sqs", ("ThrottlingException", 400), "retry", "throttles", 1),
        ("sqs", ("RequestThrottled", 403), "retry", "throttles", 1),
        ("sqs", ("ServiceUnavailable", 503), "retry", "throttles", 1),
        ("sqs", ("Weary", 503), "retry", "too busy", 1),
        ("sqs", ("ExpiredToken", 403), "retry", "renew them", 60),
        ("sqs", ("AccessDenied", 403), "retry", "allow it in IAM", 60),
        ("sqs", ("QueueDoesNotExist", 400), "retry", "is not there", 60),
        ("sqs", ("ValidationError", 400), "retry", "refused it", 60),
        ("sqs", ("InternalFailure", 500), "unknown", "may have taken it", None),
    ],
)
def test_a_call_refused_as_a_whole(kind: str, refused: tuple[str, int], outcome: str, says: str, least: float | None) -> None:
    """A fault of the destination names itself and the way out, costs no event, and ends the calls: a hundred events do not make ten of them."""
    batch = messages(100)

    outcomes, calls = published(kind, batch, refusal(kind, *refused), connections=2)

    assert outcomes[0].kind == outcome
    assert {one.kind for one in outcomes} <= {OutcomeKind.RETRY, OutcomeKind.UNKNOWN}
    assert says in outcomes[0].reason
    assert (outcomes[0].after or 0) >= (least or 0)
    assert len(calls) <= 3


@pytest.mark.parametrize("kind", PLACES)
def test_a_call_refused_for_one_of_its_events_is_sent_one_by_one(kind: str) -> None:
    """Where the service says of a whole call what holds for one event, only that one is refused."""
    batch = keyed("a", "bad", "c")

    def answer(call: Call) -> Answer:
        return refusal(kind, "InvalidMessageContents", 400)(call) if "bad" in keys_of(kind, call) else told(kind, call, lambda _: None)

    outcomes, calls = published(kind, batch, answer)

    assert [one.kind for one in outcomes] == ["confirmed", "rejected", "confirmed"]
    assert len(calls) == 4


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize(
    "answer",
    [Answer(b'{"Successful": [', headers={"Content-Length": "4096", "Connection": "close"}), Answer(b"<html>"), Answer(b"\xff\x00")],
)
def test_an_answer_that_is_torn_confirms_nothing(kind: str, answer: Answer) -> None:
    """A body that ends early, or is no answer of this service, leaves the events unknown: they go out again."""
    outcomes, _ = published(kind, messages(3), lambda _: answer)

    assert {one.kind for one in outcomes} == {OutcomeKind.UNKNOWN}
    assert all(one.reason for one in outcomes)


@pytest.mark.parametrize("kind", PLACES)
def test_silence_ends_with_the_deadline(kind: str) -> None:
    """A server that takes a call and says nothing costs the deadline and no more; what was sent is unknown, what was not is RETRY."""
    hold = threading.Event()

    def answer(call: Call) -> Answer:
        hold.wait(5)
        return told(kind, call, lambda _: None)

    with scripted(answer) as server:
        sender = publisher(kind, region=REGION, endpoint_url=server.url, connections=2, **PLACES[kind])
        begun = time.monotonic()
        outcomes = list(sender.publish(messages(50), 0.6))
        took = time.monotonic() - begun
        sender.close()
        hold.set()

    assert took < 2.0
    assert [one.kind for one in outcomes] == ["unknown"] * 20 + ["retry"] * 30


def test_a_queue_that_took_other_bytes_says_so() -> None:
    """An MD5 that is not that of what was sent: the event is not confirmed, and a person is told."""

    def answer(call: Call) -> Answer:
        return Answer({"Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "0" * 32}]})

    outcomes, _ = published("sqs", messages(1), answer)

    assert (outcomes[0].kind, "MD5" in outcomes[0].reason) == (OutcomeKind.REJECTED, True)


def test_eventbridge_answers_in_another_number_confirm_nothing() -> None:
    """Its answers are told apart by their order alone: one too few, and nobody knows whose is missing."""
    outcomes, _ = published("eventbridge", messages(3), lambda _: Answer({"FailedEntryCount": 0, "Entries": [{"EventId": "e"}] * 2}))

    assert {one.kind for one in outcomes} == {OutcomeKind.UNKNOWN}


def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials anywhere: RETRY with the settings that give some, nothing is sent, and health says the same."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    outcomes, calls = published("sqs", messages(2), lambda call: told("sqs", call, lambda _: None))

    assert {one.kind for one in outcomes} == {OutcomeKind.RETRY}
    assert "there are no credentials for AWS" in outcomes[0].reason
    assert calls == []
    with pytest.raises(DeliveryError, match="there are no credentials"):
        publisher("sqs", region=REGION, **PLACES["sqs"]).health()


@pytest.mark.parametrize("kind", PLACES)
def test_who_may_only_send_is_not_ill(kind: str) -> None:
    """Credentials that may not look at the place are good ones, and health says what could not be looked at; expired ones are an error."""
    with (
        scripted(refusal(kind, "AccessDenied", 403)) as server,
        closing(publisher(kind, endpoint_url=server.url, region=REGION, **PLACES[kind])) as sender,
    ):
        assert "may not ask about" in sender.health()
    with (
        scripted(refusal(kind, "ExpiredToken", 403)) as server,
        closing(publisher(kind, endpoint_url=server.url, region=REGION, **PLACES[kind])) as sender,
        pytest.raises(DeliveryError, match="renew them"),
    ):
        sender.health()


@pytest.mark.parametrize(("code", "tries"), [("InternalError", 2), ("ReceiptHandleIsInvalid", 1)])
def test_what_cannot_be_deleted_is_said(code: str, tries: int, caplog: pytest.LogCaptureFixture) -> None:
    """A deletion that the service fails at is tried once more and then told; a receipt that expired is logged: the message comes again."""

    def answer(call: Call) -> Answer:
        if call.headers["x-amz-target"].endswith("ReceiveMessage"):
            return Answer({"Messages": [{"MessageId": "m", "ReceiptHandle": "r", "Body": messages(1)[0].body.decode()}]})
        return Answer({"Failed": [{"Id": "0", "Code": code, "SenderFault": code != "InternalError"}]})

    with scripted(answer) as server:
        reader = SQSReader(PLACES["sqs"]["queue"], region=REGION, endpoint_url=server.url)
        hand = reader.receive(10, 1.0)
        if tries == 2:
            with pytest.raises(DeliveryError, match="failed twice at 1 of 1"):
                reader.done(hand)
        else:
            reader.done(hand)
            assert "comes again" in caplog.text
        assert len(server.calls) == 1 + tries
        reader.close()
