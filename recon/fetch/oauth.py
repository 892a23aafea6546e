"""OAuth 2: tokens by client credentials or by a refresh token (RFC 6749), obtained before they are needed and one at a time."""

import base64
import logging
import math
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal
from urllib.parse import quote_plus, urlencode

import msgspec

from recon.clock import Clock
from recon.errors import Refused, Unreachable
from recon.fetch.auth import Auth, Credential, Given
from recon.fetch.body import Bounds
from recon.fetch.classify import Action, Classifier
from recon.fetch.origin import Location, Origins
from recon.fetch.refusal import describe, error_words
from recon.fetch.retry import retry_after
from recon.fetch.transport import Request, Response, Transport
from recon.secret import Secret

LOG = logging.getLogger(__name__)
#: A token is replaced this many seconds before it ends, or a tenth of its life before, whichever is less.
EARLY_SECONDS, EARLY_SHARE = 60.0, 0.1
#: A token endpoint that asks for a longer pause is asked again sooner, by the retries of the request that needs the token.
LONGEST_PAUSE = 60.0
TOKEN_BYTES = 256 * 1024
SENDS = ("basic", "body")


class OAuth2(Auth):
    """`Authorization: Bearer …` with a token from `token`, the one place that the client's secret is sent to.

    Without a refresh token the grant is client_credentials. `send` says how the client names itself: `basic` (RFC 6749, section 2.3.1) or
    `body`. `params` are further fields of the form, such as `audience`. A refresh token that the answer exchanges for a new one is
    used from then on; `rotated` is handed the new one, to keep it beyond this process, and says whether it did.
    """

    def __init__(
        self,
        token: Location,
        *,
        client_id: str | Given,
        client_secret: Given | None = None,
        refresh_token: Given | None = None,
        scope: str = "",
        params: Mapping[str, str] | None = None,
        send: Literal["basic", "body"] = "basic",
        rotated: Callable[[Secret], bool] | None = None,
    ) -> None:
        if client_secret is None and refresh_token is None:
            msg = "client_secret or refresh_token is wanted: without one of them there is nothing to obtain a token with"
            raise ValueError(msg)
        self._place = token
        self._client_id = client_id if isinstance(client_id, str) else Credential(client_id)
        self._client_secret = None if client_secret is None else Credential(client_secret)
        self._stored = self._refresh_token = None if refresh_token is None else Credential(refresh_token)
        self._form = {**(params or {}), **({"scope": scope} if scope else {})}
        self._send = send
        self.rotated = rotated
        given = (self._client_id, self._client_secret, self._refresh_token)
        self.credentials = tuple(one for one in given if isinstance(one, Credential))
        self._transport = Transport(Origins(token), bounds=Bounds(max_bytes=TOKEN_BYTES))
        self._obtaining = threading.Lock()
        self._token: Secret | None = None
        self._count = 0
        self._ends_at = math.inf

    def ready(self, clock: Clock) -> Hashable:
        """Obtains a token where there is none or the one there is about to end; the other threads wait for it meanwhile."""
        with self._obtaining:
            if self._token is None or clock.monotonic() >= self._ends_at:
                self._obtain(clock)
            return self._count

    def headers(self) -> dict[str, str]:
        assert self._token is not None
        return {"Authorization": f"Bearer {self._token.reveal()}"}

    def renew_since(self, signed_with: Hashable, clock: Clock) -> bool:
        """A token that was refused is given up, unless another thread has done so; the next attempt obtains a new one."""
        del clock
        self.give_up(signed_with)
        return True

    def give_up(self, signed_with: Hashable) -> None:
        with self._obtaining:
            if self._count == signed_with:
                self._token = None

    def identity(self) -> Hashable:
        return (str(self._place), self._client_id if isinstance(self._client_id, str) else "", super().identity())

    def masked(self) -> tuple[str, ...]:
        token = (self._token.reveal(),) if self._token is not None else ()
        return (*token, self._pair(), *super().masked())

    def through(self, network: Any) -> None:
        self._transport.close()
        self._transport = network

    def close(self) -> None:
        self._transport.close()

    def _obtain(self, clock: Clock) -> None:
        response = self._transport.send(self._request())
        subject = f"POST {self._place.without_query()}"
        action = Classifier().action(response)
        if action in (Action.RETRY, Action.THROTTLE):
            if pause := min(retry_after(response, clock.now()) or 0.0, LONGEST_PAUSE):
                clock.sleep(pause)
            msg = f"{subject} -> {response.status}, so there is no token" + _said(response)
            raise Unreachable(msg)
        if response.status != 200:
            changed = [one for one in self.credentials if one.renew()]
            if changed:
                # A secret from a file or a command was exchanged since it was read: the next attempt takes the new one.
                self._refresh_token = self._stored if self._stored in changed else self._refresh_token
                msg = f"{subject} -> {response.status}, and {changed[0].origin} was exchanged meanwhile"
                raise Unreachable(msg)
            raise self._refused(subject, response)
        self._take(_fields(response), subject, response, clock)

    def _request(self) -> Request:
        form = {"grant_type": "client_credentials", **self._form}
        if self._refresh_token is not None:
            form |= {"grant_type": "refresh_token", "refresh_token": self._refresh_token.text(sent_plain=False)}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._client_secret is None:
            form["client_id"] = self._client()
        elif self._send == "basic":
            headers["Authorization"] = f"Basic {self._pair()}"
        else:
            form |= {"client_id": self._client(), "client_secret": self._client_secret.text(sent_plain=False)}
        place = self._place
        return Request(origin=place.origin, path=place.path, method="POST", headers=headers, body=urlencode(form).encode())

    def _client(self) -> str:
        return self._client_id if isinstance(self._client_id, str) else self._client_id.text(sent_plain=False)

    def _pair(self) -> str:
        secret = self._client_secret.text(sent_plain=False) if self._client_secret else ""
        return base64.b64encode(f"{quote_plus(self._client())}:{quote_plus(secret)}".encode()).decode()

    def _take(self, fields: Mapping[str, Any], subject: str, response: Response, clock: Clock) -> None:
        token, kind = fields.get("access_token"), fields.get("token_type", "bearer")
        if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            msg = f"{subject} -> 200 without an access_token that could be sent; the body is {describe(response.body)}"
            raise Refused(msg, hint="check token_url: it must be the token endpoint itself")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            msg = f"{subject} -> a token of another type than Bearer, which is the one that can be sent"
            raise Refused(msg, hint="ask the third party for Bearer tokens")
        # A Secret is known to the redactor from here on.
        self._token = Secret(token, f"token of {self._place.origin}")
        self._count += 1
        life = _seconds(fields.get("expires_in"))
        self._ends_at = clock.monotonic() + life - min(EARLY_SECONDS, EARLY_SHARE * life) if math.isfinite(life) else math.inf
        following = fields.get("refresh_token")
        if self._refresh_token is not None and isinstance(following, str) and following:
            self._rotate(Secret(following, f"refresh token of {self._place.origin}"))

    def _rotate(self, following: Secret) -> None:
        assert self._refresh_token is not None
        if following.reveal() == self._refresh_token.text(sent_plain=False):
            return
        given = self._refresh_token.origin
        self._refresh_token = Credential(following)
        self.credentials = (*self.credentials, self._refresh_token)
        if self.rotated is None or not self.rotated(following):
            LOG.warning(
                "%s exchanged the refresh token (%s) for a new one, which is kept for this process only: the next run may be refused. "
                'Give it as { file = "…" } with keep = true, or keep it in token_rotated()',
                self._place.origin,
                given,
            )

    def _refused(self, subject: str, response: Response) -> Refused:
        named = f" (request {response.request_id})" if response.request_id else ""
        message = f"{subject} -> {response.status}{named}, so there is no token{_said(response)}"
        if 300 <= response.status < 400:
            return Refused(message, hint="redirects are not followed: give the token endpoint's own address as token_url")
        if self._refresh_token is not None and "invalid_grant" in response.body[:4096].decode("utf-8", "replace"):
            hint = f"the refresh token ({self._refresh_token.origin}) has ended or was revoked: authorise again, and store the new one"
            return Refused(message, hint=hint)
        return Refused(message, hint=f"check client_id, client_secret and scope ({self.origin})")


def _said(response: Response) -> str:
    words = error_words(response.body)
    return f": {words}" if words else ""


def _fields(response: Response) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(value: Any) -> float:
    """A token's life; endless where the answer does not say, so that it is used until it is refused."""
    try:
        life = math.inf if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.inf
    return life if life > 0 else math.inf
