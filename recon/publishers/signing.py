"""Standard Webhooks signatures: what the webhook publisher sends, and what a receiver checks.

The scheme is that of https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md:
`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`, one per secret,
parted by spaces. A secret is written `whsec_` and base64.
"""

import base64
import binascii
import hashlib
import hmac
import secrets as randomness
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
#: The specification: "between 24 bytes (192 bits) and 64 bytes (512 bits)".
SECRET_BYTES = (24, 64)


class BadSignature(ValueError):
    """A request is not signed by someone who holds the secret, or its signature is too old to be believed."""


def new_secret() -> str:
    """A fresh secret of 32 random bytes, `whsec_…`."""
    return PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The bytes behind `whsec_…`; raises ValueError where it is not base64 of 24 to 64 bytes (the text is not in the message)."""
    try:
        raw = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        msg = "a webhook secret is written whsec_ and base64; this is not base64"
        raise ValueError(msg) from None
    low, high = SECRET_BYTES
    if not low <= len(raw) <= high:
        msg = f"a webhook secret holds {low} to {high} bytes; this one holds {len(raw)}"
        raise ValueError(msg)
    return raw


def sign(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature per key, the first key first."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)


def verify(keys: Sequence[bytes], *, headers: Mapping[str, str], body: bytes, now: float, tolerance: float = TOLERANCE_SECONDS) -> str:
    """The `webhook-id` of a request that is signed with one of the keys; raises BadSignature otherwise.

    `headers` by lower-case names, `now` in seconds since the epoch; a timestamp may be `tolerance` seconds off either way, by default five minutes.
    """
    message_id = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    offered = headers.get("webhook-signature", "")
    if not (message_id and stamp and offered):
        msg = "webhook-id, webhook-timestamp and webhook-signature are all needed"
        raise BadSignature(msg)
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        msg = "webhook-timestamp is not a number of seconds"
        raise BadSignature(msg)
    if abs(now - int(stamp)) > tolerance:
        msg = f"webhook-timestamp is {abs(now - int(stamp)):.0f} s off, at most {tolerance:.0f} s are taken"
        raise BadSignature(msg)
    wanted = sign(keys, message_id=message_id, timestamp=int(stamp), body=body).split()
    # Every pair is compared, in constant time each, so that how long it takes tells nothing.
    matches = [hmac.compare_digest(w.encode(), o.encode()) for w in wanted for o in offered.split()]
    if not any(matches):
        msg = "no signature fits the secret"
        raise BadSignature(msg)
    return message_id
