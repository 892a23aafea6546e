"""CloudEvents 1.0 over HTTP and brokers: structured, binary and batched.

The codec is our own: it refuses what the specification refuses, fills nothing in, and writes the same bytes every time.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md (read 2026-11)
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

import msgspec

from recon.event.event import Event, decode

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
PREFIX = "ce-"
# Section 3.1.3.2 of the binding: printable ASCII but the space, the quote and the percent sign stay as they are.
PLAIN = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

Wire = tuple[dict[str, str], bytes]
"""Headers and body."""


def structured(event: Event) -> Wire:
    """One event in one JSON object."""
    return {"content-type": STRUCTURED}, event.encode()


def batched(events: Sequence[Event]) -> Wire:
    """Several events in one JSON array; none at all is an empty array."""
    return {"content-type": BATCHED}, b"[" + b",".join(event.encode() for event in events) + b"]"


def binary(event: Event, *, prefix: str = PREFIX) -> Wire:
    """The data as the body, the attributes as headers; for Kafka the prefix is `ce_`, and content-type stays as it is.

    Headers are texts: numbers in digits, truth as `true` and `false`, anything beyond ASCII percent-encoded.
    """
    attributes = event.attributes()
    headers = {"content-type": str(attributes.pop("datacontenttype"))}
    headers |= {f"{prefix}{name}": quote(_text(value), safe=PLAIN) for name, value in attributes.items()}
    return headers, msgspec.json.encode(event.data, order="sorted")


def of_wire(headers: Mapping[str, str], body: bytes, *, prefix: str = PREFIX) -> list[Event]:
    """The events of a request or a message, in whichever of the three forms it came; raises ValueError for anything else."""
    named = {name.lower(): value for name, value in headers.items()}
    kind = named.get("content-type", "").partition(";")[0].strip().lower()
    if kind == STRUCTURED:
        return [decode(body)]
    if kind == BATCHED:
        try:
            return [decode(bytes(one)) for one in msgspec.json.decode(body, type=list[msgspec.Raw])]
        except msgspec.DecodeError as error:
            msg = f"not a batch of events: {error}"
            raise ValueError(msg) from error
    if f"{prefix}specversion" not in named:
        msg = f"no event of this system: content-type {kind or 'left out'} and no {prefix}specversion"
        raise ValueError(msg)
    return [_of_headers(named, body, prefix)]


NUMBERS = ("dataversion", "generation")


def _of_headers(headers: Mapping[str, str], body: bytes, prefix: str) -> Event:
    attributes: dict[str, object] = {
        name.removeprefix(prefix): unquote(value) for name, value in headers.items() if name.startswith(prefix)
    }
    try:
        attributes |= {name: int(str(attributes[name])) for name in NUMBERS}
        document = {**attributes, "data": msgspec.json.decode(body)}
    except (KeyError, ValueError) as error:
        msg = f"not an event of this system: {error}"
        raise ValueError(msg) from error
    return decode(msgspec.json.encode(document))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
