"""`type = "sqs"`: events into a queue of Amazon SQS; the extra `nightly-recon[aws]`.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html (read 2026-11)
"""

import hashlib
import threading
import time
from collections.abc import Sequence
from typing import Any

from recon.publishers.address import Address
from recon.publishers.aws import BATCH, ENTRIES, Aws
from recon.publishers.aws_fault import NO_ANSWER, of_entry
from recon.publishers.aws_message import ATTRIBUTE_BYTES, DEDUPE_SECONDS, FIFO, REQUEST_BYTES, parcel_of
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.fitting import fitting
from recon.publishers.keyed import Keyed, Parcel, prepared
from recon.section import Section


class SQSPublisher:
    """Events as messages, their body the CloudEvents JSON.

    Settings: `queue`, a URL or a name, which may depend on the event; `max_bytes`, where the queue takes less than a mebibyte; and those
    of `Aws.of`. In a FIFO queue (its name ends in `.fifo`) the item's key is the message group, so order per key holds, and the dedupe
    token keeps a repeat out for five minutes. A standard queue promises neither. CONFIRMED means that the answer lists the message, with the
    MD5 of the body that was sent.
    """

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self._aws = Aws.of(section, "sqs")
        self._queue = Address.of(section, "queue", section.text("queue"), unwanted=r"[^A-Za-z0-9_-]")
        self.max_bytes: int = section.integer("max_bytes", REQUEST_BYTES, low=1024 + ATTRIBUTE_BYTES)
        section.finish()
        if self.max_bytes > REQUEST_BYTES:
            raise section.bad("max_bytes", f"is {self.max_bytes:,}, and SQS takes at most {REQUEST_BYTES:,}")
        fifo = self._queue.template.endswith(FIFO)
        self.capabilities = Capabilities(
            batch=BATCH, max_bytes=self.max_bytes - ATTRIBUTE_BYTES, ordered=fifo, dedupe_seconds=DEDUPE_SECONDS if fifo else None
        )
        self._keyed = Keyed(self.name, most=ENTRIES, limit=self.max_bytes, at_once=self._aws.at_once)
        self._urls: dict[str, str] = {}
        self._lock = threading.Lock()

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            return fitting(batch, self.max_bytes - ATTRIBUTE_BYTES, lambda small: self._all(small, until))

    def _all(self, batch: Sequence[Message], until: float) -> Sequence[Outcome]:
        return prepared(batch, self._parcel, lambda parcels: self._keyed.send(parcels, until, self._sent))

    def health(self) -> str:
        queue = self._queue.template
        if "{" in queue:
            self._aws.looked(lambda client: client.list_queues(MaxResults=1), name=f"publisher {self.name}", place="SQS")
            return f"SQS answers; which queue an event goes to depends on it: {queue}"
        asked = ["QueueArn", "MaximumMessageSize"]
        told = self._aws.looked(
            lambda client: client.get_queue_attributes(QueueUrl=self._url(client, queue), AttributeNames=asked),
            name=f"publisher {self.name}",
            place=queue,
        )
        if told is None:
            return f"{queue}: SQS answers; the credentials may not ask about the queue (sqs:GetQueueAttributes)"
        takes = int(told["Attributes"].get("MaximumMessageSize", REQUEST_BYTES))
        words = f"{told['Attributes']['QueueArn']} is there"
        if takes < self.max_bytes:
            words += f"; it takes messages of at most {takes:,} bytes: set max_bytes = {takes}"
        return words if self.capabilities.ordered else f"{words}; a standard queue keeps no order: a FIFO queue does"

    def close(self) -> None:
        with self._lock:
            self._keyed.close()
            self._aws.close()

    def _parcel(self, message: Message) -> Parcel:
        return parcel_of(message, self._queue(message), body="MessageBody")

    def _sent(self, queue: str, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        def send(client: Any, some: Sequence[Parcel]) -> Sequence[Outcome]:
            entries = [{"Id": str(n), **parcel.entry} for n, parcel in enumerate(some)]
            answer = client.send_message_batch(QueueUrl=self._url(client, queue), Entries=entries)
            taken = {one["Id"]: one for one in answer.get("Successful", ())}
            failed = {one["Id"]: one for one in answer.get("Failed", ())}
            return [_outcome(entry, taken.get(entry["Id"]), failed.get(entry["Id"]), queue) for entry in entries]

        return self._aws.tried(queue, parcels, send)

    def _url(self, client: Any, queue: str) -> str:
        """A queue's URL, asked for once where its name is given."""
        if "://" in queue:
            return queue
        if queue not in self._urls:
            self._urls[queue] = client.get_queue_url(QueueName=queue)["QueueUrl"]
        return self._urls[queue]


def _outcome(entry: dict[str, Any], taken: dict[str, Any] | None, failed: dict[str, Any] | None, queue: str) -> Outcome:
    if failed is not None:
        return of_entry(failed, queue)
    if taken is None:
        return NO_ANSWER
    md5 = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    if taken.get("MD5OfMessageBody", md5) != md5:
        return Outcome(kind=OutcomeKind.REJECTED, reason=f"{queue} took other bytes than were sent: the MD5 differs")
    return Outcome(kind=OutcomeKind.CONFIRMED)
