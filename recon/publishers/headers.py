"""A message's headers: what the event says of itself beside its body, for transports that carry headers.

Only the attributes are looked at and the data is passed by; what every event has is read at once, so that headers cost a few
microseconds an event and a broker's client, not they, sets the pace.
"""

from functools import cache
from urllib.parse import quote

import msgspec

from recon.event.cloudevents import PLAIN, PREFIX, STRUCTURED
from recon.publishers.base import Message

FORMS = ("structured", "binary")
REPLAY = "recon-replay-id"
"""The header that says which replay sends an event again; one name on every transport."""


class _Common(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What every event has, and nothing else. The texts come first, in the order of `TEXTS`."""

    specversion: str
    id: str
    type: str
    source: str
    subject: str
    time: str
    recordedtime: str
    partitionkey: str
    origin: str
    reconrunid: str
    correlationid: str
    datacontenttype: str
    dataversion: int
    generation: int
    data: msgspec.Raw


TEXTS = _Common.__struct_fields__[:11]
_common = msgspec.json.Decoder(_Common).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_astuple = msgspec.structs.astuple


def wire_of(message: Message, form: str, *, prefix: str = PREFIX) -> tuple[dict[str, str], bytes]:
    """Headers and body: `structured` is the stored bytes as they are, `binary` the data alone; the attributes are headers in both.

    Raises ValueError for bytes that are no event's.
    """
    try:
        event = _common(message.body)
    except msgspec.DecodeError:
        headers, data = _any(message.body, prefix)
    else:
        names, dataversion, generation = _names(prefix)
        # Longer than the names, and cut by them: the texts come first.
        headers = dict(zip(names, _astuple(event)))  # noqa: B905 - cut, as said above
        if not _plain("".join(headers.values()), message.body):
            headers = {name: quote(text, safe=PLAIN) for name, text in headers.items()}
        headers[dataversion] = str(event.dataversion)
        headers[generation] = str(event.generation)
        headers["content-type"] = event.datacontenttype
        data = event.data
    if message.replay is not None:
        headers[REPLAY] = message.replay
    if form == "structured":
        headers["content-type"] = STRUCTURED
        return headers, message.body
    return headers, bytes(data)


@cache
def _names(prefix: str) -> tuple[tuple[str, ...], str, str]:
    return tuple(prefix + name for name in TEXTS), f"{prefix}dataversion", f"{prefix}generation"


def _plain(text: str, body: bytes) -> bool:
    """Whether it stands in a header as it is: no space, quote, percent sign, control character or anything beyond ASCII.

    JSON has control characters behind a backslash only, but for the last one of ASCII: a body without one has none of the others.
    """
    if not text.isascii() or " " in text or '"' in text or "%" in text or "\x7f" in text:
        return False
    return b"\\" not in body or text.isprintable()


def _any(body: bytes, prefix: str) -> tuple[dict[str, str], msgspec.Raw]:
    """The same for an event that has more, or is none."""
    try:
        members = _members(body)
        data = members.pop("data")
        kind = _text(members.pop("datacontenttype"))
    except (KeyError, msgspec.DecodeError) as error:
        msg = f"not an event of this system: {error}"
        raise ValueError(msg) from error
    return {"content-type": kind} | {prefix + name: _text(raw) for name, raw in members.items()}, data


def _text(raw: msgspec.Raw) -> str:
    """A JSON value as a header's text."""
    value = msgspec.json.decode(raw)
    return quote(value, safe=PLAIN) if isinstance(value, str) else bytes(raw).decode()
