"""Signing requests by HMAC: a signature over what is sent, with a time and a nonce of its own for every attempt."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from recon.clock import Clock, iso
from recon.fetch.auth import Auth, Credential, Given, HeaderKey
from recon.fetch.transport import Request

ALGORITHMS = ("sha256", "sha384", "sha512", "sha1")
ENCODINGS = ("hex", "base64")
#: How a key is written: its text is the key, or the text says its bytes.
KEY_ENCODINGS = ("text", "hex", "base64")
TIMES: dict[str, Callable[[datetime], str]] = {
    "epoch_s": lambda now: str(int(now.timestamp())),
    "epoch_ms": lambda now: str(int(now.timestamp() * 1000)),
    "iso": iso,
}
PLACE = re.compile(r"\{(\w*)\}")
PLACES = ("timestamp", "nonce", "method", "path", "query", "target", "host", "body", "body_sha256")


class Hmac(Auth):
    """Puts the HMAC of `message` into `header`.

    In `message` stand `{timestamp}`, `{nonce}`, `{method}`, `{path}`, `{query}`, `{target}` (path and query as they are sent), `{host}`, `{body}` and
    `{body_sha256}` (in hex); all else is taken as it is. `timestamp` and `nonce` name the headers that these two are sent in. `key_id` is a header that tells the
    third party whose key it is. Raises ValueError for a message that could not be checked at the other end.
    """

    def __init__(
        self,
        key: Given,
        *,
        header: str,
        message: str,
        algorithm: str = "sha256",
        encoding: Literal["hex", "base64"] = "hex",
        key_encoding: Literal["text", "hex", "base64"] = "text",
        prefix: str = "",
        timestamp: str | None = None,
        time: str = "epoch_s",
        nonce: str | None = None,
        key_id: HeaderKey | None = None,
    ) -> None:
        named = set(PLACE.findall(message))
        if unknown := sorted(named - set(PLACES)):
            msg = f"the message names {{{unknown[0]}}}; known are {', '.join(f'{{{place}}}' for place in PLACES)}"
            raise ValueError(msg)
        for place, sent in (("timestamp", timestamp), ("nonce", nonce)):
            if (place in named) != (sent is not None):
                msg = f"{{{place}}} in the message and {place}, the header that it is sent in, go together"
                raise ValueError(msg)
        if not named & {"path", "target", "query"}:
            msg = "the message holds neither {path} nor {target}, so one signature would serve every request"
            raise ValueError(msg)
        self._key = Credential(key)
        self._key_id = key_id
        self.credentials = (self._key, *(key_id.credentials if key_id else ()))
        self._header, self._message, self._prefix = header, message, prefix
        self._algorithm, self._encoding, self._key_encoding = algorithm, encoding, key_encoding
        self._timestamp, self._time, self._nonce = timestamp, time, nonce

    def headers(self) -> dict[str, str]:
        return self._key_id.headers() if self._key_id else {}

    def sign(self, request: Request, clock: Clock) -> None:
        """Signs this attempt: an answer to it cannot be had by sending it again."""
        body = request.body or b""
        target = request.target()
        values = {
            "timestamp": TIMES[self._time](clock.now()),
            "nonce": secrets.token_hex(16),
            "method": request.method,
            "path": request.path,
            "query": target.partition("?")[2],
            "target": target,
            "host": request.origin.netloc,
            "body": body.decode("utf-8", "surrogateescape"),
            "body_sha256": hashlib.sha256(body).hexdigest(),
        }
        message = PLACE.sub(lambda found: values[found[1]], self._message)
        digest = hmac.new(self._bytes(), message.encode("utf-8", "surrogateescape"), self._algorithm).digest()
        signature = digest.hex() if self._encoding == "hex" else base64.b64encode(digest).decode()
        request.headers[self._header] = self._prefix + signature
        for header, place in ((self._timestamp, "timestamp"), (self._nonce, "nonce")):
            if header is not None:
                request.headers[header] = values[place]

    def _bytes(self) -> bytes:
        text = self._key.text(sent_plain=False)
        try:
            return {"text": str.encode, "hex": bytes.fromhex, "base64": base64.b64decode}[self._key_encoding](text)
        except ValueError:
            from recon.errors import MissingSecret

            msg = f"the secret from {self._key.origin} is no {self._key_encoding}, as key_encoding says"
            raise MissingSecret(msg) from None
