"""`type = "sns"`: events to a topic of Amazon SNS; the extra `nightly-recon[aws]`.

https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html and
https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html (read 2026-11)
"""

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

TOPIC_BYTES = 256 * 1024
"""What a topic takes in one call, attributes counted, unless its MaximumMessageSize was raised (to at most 1 MiB)."""


class SNSPublisher:
    """Events as notifications, their message the CloudEvents JSON, with the attributes that filter policies of subscriptions look at.

    Settings: `topic`, its ARN, which may depend on the event; `max_bytes`, where the topic takes more than 256 KiB; and those of
    `Aws.of`. To a FIFO topic the item's key is the message group and the dedupe token keeps a repeat out for five minutes. CONFIRMED means
    that SNS has it and delivers it to the subscriptions that there are: a topic without any takes everything and keeps nothing.
    """

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self._aws = Aws.of(section, "sns")
        self._topic = Address.of(section, "topic", section.text("topic"), unwanted=r"[^A-Za-z0-9_-]")
        self.max_bytes: int = section.integer("max_bytes", TOPIC_BYTES, low=1024 + ATTRIBUTE_BYTES)
        section.finish()
        if not self._topic.template.startswith("arn:"):
            raise section.bad("topic", "is no ARN", hint='topic = "arn:aws:sns:eu-central-1:123456789012:corrections.fifo"')
        if self.max_bytes > REQUEST_BYTES:
            raise section.bad("max_bytes", f"is {self.max_bytes:,}, and SNS takes at most {REQUEST_BYTES:,}")
        fifo = self._topic.template.endswith(FIFO)
        self.capabilities = Capabilities(
            batch=BATCH, max_bytes=self.max_bytes - ATTRIBUTE_BYTES, ordered=fifo, dedupe_seconds=DEDUPE_SECONDS if fifo else None
        )
        self._keyed = Keyed(self.name, most=ENTRIES, limit=self.max_bytes, at_once=self._aws.at_once)
        self._lock = threading.Lock()

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            return fitting(batch, self.max_bytes - ATTRIBUTE_BYTES, lambda small: self._all(small, until))

    def _all(self, batch: Sequence[Message], until: float) -> Sequence[Outcome]:
        return prepared(batch, self._parcel, lambda parcels: self._keyed.send(parcels, until, self._sent))

    def health(self) -> str:
        """An attribute of the topic is read; nothing is published: every message goes to somebody."""
        topic = self._topic.template
        if "{" in topic:
            self._aws.looked(lambda client: client.list_topics(), name=f"publisher {self.name}", place="SNS")
            return f"SNS answers; which topic an event goes to depends on it: {topic}"
        told = self._aws.looked(lambda client: client.get_topic_attributes(TopicArn=topic), name=f"publisher {self.name}", place=topic)
        if told is None:
            return f"{topic}: SNS answers; the credentials may not ask about the topic (sns:GetTopicAttributes)"
        many = int(told["Attributes"].get("SubscriptionsConfirmed", 0))
        words = f"{topic} is there, with {many} subscriptions" if many else f"{topic} is there and nobody subscribes: what it takes is lost"
        return words if self.capabilities.ordered else f"{words}; a standard topic keeps no order: a FIFO topic does"

    def close(self) -> None:
        with self._lock:
            self._keyed.close()
            self._aws.close()

    def _parcel(self, message: Message) -> Parcel:
        return parcel_of(message, self._topic(message), body="Message")

    def _sent(self, topic: str, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        def send(client: Any, some: Sequence[Parcel]) -> Sequence[Outcome]:
            entries = [{"Id": str(n), **parcel.entry} for n, parcel in enumerate(some)]
            answer = client.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
            outcomes = {one["Id"]: Outcome(kind=OutcomeKind.CONFIRMED) for one in answer.get("Successful", ())}
            outcomes |= {one["Id"]: of_entry(one, topic) for one in answer.get("Failed", ())}
            return [outcomes.get(entry["Id"], NO_ANSWER) for entry in entries]

        return self._aws.tried(topic, parcels, send)
