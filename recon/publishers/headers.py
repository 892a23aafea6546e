"""A message's headers: what the event says of itself beside its body, for transports that carry headers.

Only the attributes are looked at and the data is passed by, so that headers cost a few microseconds an event.
"""

import re
from collections.abc import Callable
from urllib.parse import quote

import msgspec

from recon.event.cloudevents import PLAIN, PREFIX, STRUCTURED
from recon.publishers.base import Message

FORMS = ("structured", "binary")
REPLAY = "recon-replay-id"
"""The header that says which replay sends an event again; one name on every transport."""

_members: Callable[[bytes], dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# A JSON text of characters that stand in a header as they are: no space, quote, percent sign, escape or anything beyond ASCII.
_plain = re.compile(rb'"[!#$&-\[\]-~]*"').fullmatch


def wire_of(message: Message, form: str, *, prefix: str = PREFIX) -> tuple[dict[str, str], bytes]:
    """Headers and body: `structured` is the stored bytes as they are, `binary` the data alone; the attributes are headers in both.

    Raises ValueError for bytes that are no JSON object.
    """
    try:
        members = _members(message.body)
        data = members.pop("data")
        kind = _text(bytes(members.pop("datacontenttype")))
    except (KeyError, msgspec.DecodeError) as error:
        msg = f"not an event of this system: {error}"
        raise ValueError(msg) from error
    headers = {"content-type": STRUCTURED if form == "structured" else kind}
    for name, raw in members.items():
        headers[prefix + name] = _text(bytes(raw))
    if message.replay is not None:
        headers[REPLAY] = message.replay
    return headers, message.body if form == "structured" else bytes(data)


def _text(raw: bytes) -> str:
    """A JSON value as a header's text."""
    if _plain(raw):
        return raw[1:-1].decode()
    return quote(str(msgspec.json.decode(raw)), safe=PLAIN) if raw.startswith(b'"') else raw.decode()
