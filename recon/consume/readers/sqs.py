"""Events from a queue of Amazon SQS, whether they came there directly, over SNS or over a rule of EventBridge; the extra `nightly-recon[aws]`.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html (read 2026-11)
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from recon.consume.reader import Received
from recon.consume.readers.unwrap import unwrapped
from recon.errors import DeliveryError
from recon.event.cloudevents import PREFIX
from recon.publishers.aws import ENTRIES, TIMEOUT_SECONDS, Aws

LONGEST_WAIT = 20
"""Seconds that one call of ReceiveMessage may wait."""
LONGEST_VISIBILITY = 43_200
EXPIRED = ("ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight")
"""Said of a message that was in hand for longer than it may be: it comes again, or is in another's hands already."""
SYSTEM = ["ApproximateReceiveCount", "MessageGroupId", "SequenceNumber"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Handle:
    """What SQS knows a message by, and the group that it is in order within."""

    receipt: str
    group: str


class SQSReader:
    """Messages of one queue, given by its URL or its name.

    `visibility` is how long a message may be in hand, in whole seconds, before it comes again, to this reader or to another; by default as the
    queue says (30 s, unless it was set). Let it be longer than a batch takes to be taken in. While messages of a group of a FIFO queue
    are in hand, SQS hands out no others of it. A standard queue keeps no order. Credentials, `region` and `profile` are found as
    boto3 finds them. How often a message is tried before it goes to the queue's own dead letters is the queue's redrive policy.
    """

    prefix = PREFIX

    def __init__(
        self,
        queue: str,
        *,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
        visibility: int | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        if visibility is not None and not 1 <= visibility <= LONGEST_VISIBILITY:
            msg = f"visibility={visibility}: SQS takes 1 to {LONGEST_VISIBILITY} seconds"
            raise ValueError(msg)
        self.name = queue.rpartition("/")[2]
        if find_spec("boto3") is None:
            raise DeliveryError(f"reader {self.name}: the library boto3 is not installed", hint='pip install "nightly-recon[aws]"')
        self._queue = queue
        self._fifo = queue.endswith(".fifo")
        self._visibility = visibility
        # An answer may take as long as was waited for, and then the time that any call may take.
        self._aws = Aws("sqs", region=region, profile=profile, endpoint_url=endpoint_url, timeout=LONGEST_WAIT + timeout)
        self._hand: dict[str, list[Received]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        """At most ten at once, as SQS has it; a wait of less than a second may take a whole one."""
        until = time.monotonic() + wait
        while not self._closed.is_set():
            left = max(0.0, until - time.monotonic())
            found = self._received(min(most, ENTRIES), min(LONGEST_WAIT, math.ceil(left)))
            with self._lock:
                for one in found:
                    self._hand.setdefault(one.handle.group, []).append(one)
            if self._closed.is_set():
                # Closed meanwhile: nobody will settle these.
                self._give_back(found)
                self._aws.close()
                break
            if found or time.monotonic() >= until:
                return found
        return []

    def done(self, received: Sequence[Received]) -> None:
        """What was given back meanwhile, with an earlier one of its group, is not done: it comes again."""
        mine = [one for one in received if self._holds(one)]
        self._batched("delete_message_batch", mine, {})
        self._release(mine)

    def again(self, received: Sequence[Received]) -> None:
        """With each, in a FIFO queue, whatever of its group is in hand behind it: they come again in their order."""
        wanted: list[Received] = []
        with self._lock:
            for group, hand in self._hand.items():
                first = next((n for n, one in enumerate(hand) if one in received), None)
                if first is not None:
                    wanted += hand[first:] if self._fifo and group else [one for one in hand if one in received]
        self._release(wanted)
        self._give_back(wanted)

    def close(self) -> None:
        """What is in hand comes again at once; a wait in another thread ends with the call that it is in."""
        self._closed.set()
        with self._lock:
            left = [one for hand in self._hand.values() for one in hand]
            self._hand.clear()
        with suppress(DeliveryError):  # Then they come again when their time is over.
            self._give_back(left)
        self._aws.close()

    def _received(self, most: int, seconds: int) -> list[Received]:
        asked: dict[str, Any] = {"MaxNumberOfMessages": most, "WaitTimeSeconds": seconds}
        if self._visibility is not None:
            asked["VisibilityTimeout"] = self._visibility
        answer = self._asked(
            lambda client: client.receive_message(
                QueueUrl=self._url(client), MessageAttributeNames=["All"], MessageSystemAttributeNames=SYSTEM, **asked
            )
        )
        return [self._told(one) for one in answer.get("Messages", ())]

    def _told(self, message: Mapping[str, Any]) -> Received:
        beside = message.get("MessageAttributes", {})
        headers = {name.lower(): str(one["StringValue"]) for name, one in beside.items() if "StringValue" in one}
        body, headers = unwrapped(message["Body"].encode(), headers)
        system = message.get("Attributes", {})
        return Received(
            body=body,
            headers=headers,
            place=f"{self.name}@{message['MessageId']}",
            attempt=int(system.get("ApproximateReceiveCount", 1)),
            handle=_Handle(message["ReceiptHandle"], system.get("MessageGroupId", "") if self._fifo else ""),
        )

    def _give_back(self, received: Sequence[Received]) -> None:
        self._batched("change_message_visibility_batch", received, {"VisibilityTimeout": 0})

    def _batched(self, call: str, received: Sequence[Received], more: Mapping[str, Any]) -> None:
        """A call for each ten; what fails in one by the service's own fault is tried once more."""
        left = list(received)
        for _ in range(2):
            left = [one for start in range(0, len(left), ENTRIES) for one in self._failed(call, left[start : start + ENTRIES], more)]
            if not left:
                return
        msg = f"reader {self.name}: SQS failed twice at {len(left)} of {len(received)} messages, such as {left[0].place}"
        raise DeliveryError(msg, hint="nothing is lost: they come again when their visibility timeout is over")

    def _failed(self, call: str, received: Sequence[Received], more: Mapping[str, Any]) -> list[Received]:
        entries = [{"Id": str(n), "ReceiptHandle": one.handle.receipt, **more} for n, one in enumerate(received)]
        answer = self._asked(lambda client: getattr(client, call)(QueueUrl=self._url(client), Entries=entries))
        again: list[Received] = []
        for failed in answer.get("Failed", ()):
            one = received[int(failed["Id"])]
            if str(failed.get("Code", "")).rpartition(".")[2] not in EXPIRED:
                again.append(one)
            else:
                log.warning(
                    "%s: it was in hand for longer than the queue's visibility timeout, and comes again: a longer one helps",
                    one.place,
                    extra={"action": "receipt_expired"},
                )
        return again

    def _holds(self, one: Received) -> bool:
        with self._lock:
            return any(other is one for other in self._hand.get(one.handle.group, ()))

    def _release(self, received: Sequence[Received]) -> None:
        with self._lock:
            for one in received:
                hand = [other for other in self._hand.get(one.handle.group, ()) if other is not one]
                if hand:
                    self._hand[one.handle.group] = hand
                else:
                    self._hand.pop(one.handle.group, None)

    def _asked(self, ask: Callable[[Any], Any]) -> Any:
        return self._aws.asked(ask, name=f"reader {self.name}", place=self.name)

    def _url(self, client: Any) -> str:
        if "://" not in self._queue:
            self._queue = client.get_queue_url(QueueName=self._queue)["QueueUrl"]
        return self._queue
