"""Session: requests to one third party, within its origins, its rate, its credential and its retries."""

import base64
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from recon.clock import Clock
from recon.errors import MissingSecret, ReconError, Refused
from recon.fetch.auth import Auth
from recon.fetch.body import Bounds
from recon.fetch.limiter import Limiter, Rate
from recon.fetch.listing import Meter
from recon.fetch.origin import BadUrl, Location, Origins, parse_url
from recon.fetch.refusal import error_words, inert
from recon.fetch.retry import Policy, Retrier
from recon.fetch.transport import Request, Response, Transport
from recon.job import Scalar
from recon.secret import MASK

SHORTEST_MASKED = 4
E = TypeVar("E", bound=ReconError)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a session goes about it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    rate: Rate | None = None
    timeout: float = 30.0
    policy: Policy = field(default_factory=Policy)
    bounds: Bounds = field(default_factory=Bounds)
    connections: int = 4


class Network(Protocol):
    """What carries a request to its origin and brings the answer: `Transport`, or what the simulation puts in its place."""

    def send(self, request: Request) -> Response:
        """As of `Transport.send`."""
        ...

    def close(self) -> None:
        """As of `Transport.close`."""
        ...


class Session:
    """Sends GETs and answers with what was final; safe to share between threads. `before` sees every attempt before it goes."""

    def __init__(
        self, origins: Origins, auth: Auth | None, terms: Terms, *, counts: Meter, before: Callable[[Request], None] = lambda _: None
    ) -> None:
        self.origins = origins
        self.connections = terms.connections
        self._auth = auth
        self._headers = dict(terms.headers)
        self._before = before
        self._counts = counts
        #: The Date header of the last answer, for a look at the clocks.
        self.date: str | None = None
        self._counting = threading.Lock()
        self._limiter = Limiter(terms.rate)
        self._transport: Network = Transport(origins, timeout=terms.timeout, bounds=terms.bounds)
        self._retrier = Retrier(terms.policy, self._limiter, on_retry=self._count_failure)

    def through(self, network: Network, *, chance: random.Random) -> None:
        """Sends every request from here on through `network`, with the jitter of its retries drawn from `chance`: for the simulation."""
        self._transport.close()
        self._transport, self._retrier.rng = network, chance

    def get(self, location: Location, *, params: Mapping[str, Scalar] | None = None, clock: Clock) -> Response:
        """The final answer, whatever its status. Raises Unreachable, Throttled, OversizedBody, InvalidPage, ForeignOrigin."""
        query = {name: wire(value) for name, value in params.items() if value is not None} if params else {}

        def attempt() -> Response:
            self._limiter.wait(clock)
            # Signed anew each time: a token may have changed since the last try.
            headers, signed = dict(self._headers), dict(query)
            if self._auth is not None:
                headers.update(self._auth.headers())
                signed.update(self._auth.query())
            request = Request(origin=location.origin, path=location.path, raw_query=location.query, query=signed, headers=headers)
            self._before(request)
            with self._counting:
                self._counts.requests += 1
            response = self._transport.send(request)
            with self._counting:
                self._counts.bytes += response.wire_bytes
                self.date = response.headers.get("date")
            return response

        subject = f"GET {location.path}"
        try:
            response = self._retrier.call(attempt, subject, clock)
            if response.status == 401 and self._auth is not None and self._auth.renew():
                # A secret from a file or a command was exchanged since it was read.
                response = self._retrier.call(attempt, subject, clock)
        except ReconError as error:
            raise self.masked(error) from error.__cause__
        return response

    def refusal(self, response: Response, subject: str) -> Refused:
        """The error for a final answer that is no page: what the API said, and never a query or a secret."""
        status = response.status
        told = error_words(response.body)
        named = f" (request {response.request_id})" if response.request_id else ""
        hint = None
        if 300 <= status < 400:
            told = f"redirects are not followed, and this one leads to {_target(response)}"
            hint = "if the API has moved, change base_url; a login page means that the credential is not taken"
        elif status in (401, 403):
            hint = f"check the credential ({self._auth.origin}) and what it may read" if self._auth else "this provider has no auth set"
        elif status == 404:
            told = told or "there is no such listing, or the credential may not see it"
            hint = "check base_url and the resource's path"
        error = Refused(f"{subject} -> {status}{named}" + (f": {told}" if told else ""), hint=hint)
        return self.masked(error)

    def masked(self, error: E) -> E:
        """The same error with every secret of this session masked, as given, percent-encoded and in base64."""
        message, hint = self.mask(error.message), error.hint and self.mask(error.hint)
        if (message, hint) != (error.message, error.hint):
            error.message, error.hint, error.args = message, hint, (message,)
        return error

    def mask(self, text: str) -> str:
        """The text with every secret of this session masked."""
        try:
            secrets = self._auth.masked() if self._auth is not None else ()
        except MissingSecret:
            return text
        for secret in secrets:
            if len(secret) >= SHORTEST_MASKED:
                for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
                    text = text.replace(form, MASK)
        return text

    def uncredentialed(self, url: str) -> str:
        """A URL of the API's own without the parameter that carries the credential, which some APIs hand back in `next`."""
        names = self._auth.query_names if self._auth is not None else ()
        before, mark, query = url.partition("?")
        if not names or not mark:
            return url
        return f"{before}?{urlencode([(n, v) for n, v in parse_qsl(query, keep_blank_values=True) if n not in names])}"

    def close(self) -> None:
        """Ends every connection."""
        self._transport.close()

    def _count_failure(self, status: int | None) -> None:
        with self._counting:
            self._counts.retries += 1
            self._counts.throttled += status == 429


def wire(value: Scalar) -> str:
    """A parameter as a query carries it: true and false in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _target(response: Response) -> str:
    """Where a redirect leads, without its query."""
    target = response.headers.get("location", "")
    try:
        return parse_url(target).without_query()
    except BadUrl:
        return inert(target.partition("?")[0], 120) or "nowhere"
