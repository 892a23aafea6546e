"""The event inside what AWS puts around it on its way to a queue: the envelope of SNS, the shape of EventBridge, or the one in the other."""

from collections.abc import Mapping
from typing import Any

import msgspec

from recon.event.cloudevents import STRUCTURED
from recon.event.eventbridge import of_delivered

OTHER = "application/json"


def unwrapped(body: bytes, headers: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    """Body and headers as the publisher sent them; what is no event of ours is given on as `application/json`, for the dead letters.

    A message that says its content type was not wrapped: SQS's own, or SNS's with raw delivery.
    https://docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html (read 2026-11)
    """
    if "content-type" in headers:
        return body, dict(headers)
    told = _object(body)
    if told is None:
        return body, {**headers, "content-type": OTHER}
    if told.get("Type") == "Notification" and isinstance(told.get("Message"), str):
        given = told.get("MessageAttributes")
        attributes = given if isinstance(given, dict) else {}
        named = {name.lower(): str(one.get("Value", "")) for name, one in attributes.items() if isinstance(one, dict)}
        return unwrapped(told["Message"].encode(), {**headers, **named})
    if "detail-type" in told:
        try:
            return of_delivered(told).encode(), {**headers, "content-type": STRUCTURED}
        except ValueError:
            return body, {**headers, "content-type": OTHER}
    return body, {**headers, "content-type": STRUCTURED if "specversion" in told else OTHER}


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return told if isinstance(told, dict) else None
