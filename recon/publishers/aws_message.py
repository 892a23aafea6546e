"""An event as a message of SQS or SNS: its text, the attributes beside it, its group and its size."""

import re
from collections.abc import Mapping
from typing import Any

from recon.event.cloudevents import PREFIX
from recon.publishers.base import Message
from recon.publishers.headers import REPLAY, wire_of
from recon.publishers.keyed import Parcel, hashed

REQUEST_BYTES = 1024 * 1024
"""What one message may have, and one call in all, attributes counted. 256 KiB until August 2025; a queue may be set to less."""
ATTRIBUTE_BYTES = 4096
"""Room kept for the attributes beside the body."""
DEDUPE_SECONDS = 300.0
"""How long a FIFO queue knows a MessageDeduplicationId."""
FIFO = ".fifo"
GROUP = re.compile(r"[!-~]{1,128}")
"""MessageGroupId and MessageDeduplicationId: up to 128 letters, digits and punctuation of ASCII.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html (read 2026-11)
"""
ATTRIBUTES = (
    "content-type",
    *(f"{PREFIX}{name}" for name in ("id", "type", "source", "subject", "dataversion", "partitionkey", "account", "region")),
    REPLAY,
)
"""As many as there is room for: SQS takes ten, and SNS hands no more on to a queue.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html (read 2026-11)
"""
UNWANTED = re.compile("[\ufffe\uffff]")
"""What UTF-8 and JSON allow and SQS refuses: it takes the characters of XML 1.0. Control characters are escaped in JSON as it is."""


def parcel_of(message: Message, place: str, *, body: str) -> Parcel:
    """The message for a queue or a topic; `body` is how the service calls its text. In a FIFO one it has its key's group and a dedupe token."""
    text, attributes = text_of(message.body), attributes_of(message)
    entry: dict[str, Any] = {body: text, "MessageAttributes": attributes}
    if place.endswith(FIFO):
        entry |= {"MessageGroupId": group_of(message.partitionkey), "MessageDeduplicationId": group_of(message.dedupe)}
    return Parcel(message=message, place=place, entry=entry, size=size_of(text, attributes))


def group_of(key: str) -> str:
    """The key as a group or a dedupe token of AWS: as it is where AWS takes it, else a hash that is always the same."""
    return key if GROUP.fullmatch(key) else hashed(key)


def text_of(body: bytes) -> str:
    """The event as a text of AWS. U+FFFE and U+FFFF stand in it as JSON's escapes, which is the same event."""
    return UNWANTED.sub(lambda found: f"\\u{ord(found[0]):04x}", body.decode())


def attributes_of(message: Message) -> dict[str, dict[str, str]]:
    """What filters and readers may want beside the body, as String attributes. There is room for ten; the body has them all. Raises ValueError."""
    headers, _ = wire_of(message, "structured")
    return {name: {"DataType": "String", "StringValue": headers[name]} for name in ATTRIBUTES if headers.get(name)}


def size_of(body: str, attributes: Mapping[str, Mapping[str, str]]) -> int:
    """A message's bytes as SQS and SNS count them: the body, and each attribute's name, type and value."""
    beside = sum(len(name) + len(one["DataType"]) + len(one["StringValue"]) for name, one in attributes.items())
    return len(body.encode()) + beside
