"""Session: requests to one third party, within its origins, its rate, its credential and its retries."""

import base64
import random
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from recon.clock import Clock
from recon.errors import MissingSecret, ReconError, Refused
from recon.fetch.auth import Auth
from recon.fetch.body import Bounds
from recon.fetch.classify import Action, Classifier, change_wanted
from recon.fetch.limiter import Limiter, limiters
from recon.fetch.listing import Meter
from recon.fetch.origin import BadUrl, Location, Origins, parse_url
from recon.fetch.quota import Points
from recon.fetch.rate import Rate
from recon.fetch.refusal import error_words, inert
from recon.fetch.retry import Policy, Retrier
from recon.fetch.told import told
from recon.fetch.transport import Request, Response, Transport
from recon.job import Scalar
from recon.secret import MASK

SHORTEST_MASKED = 4
MOST_SCOPE = 200
"""Characters of a header that are shown."""
E = TypeVar("E", bound=ReconError)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a session goes about it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    rates: Sequence[Rate] = ()
    #: What the rates are counted for, beside the origin and the credential.
    account: Hashable = None
    classifier: Classifier = field(default_factory=Classifier)
    #: What answers say of their scope, and the header in which each of it stands.
    scope: Mapping[str, str] = field(default_factory=dict)
    #: The endpoint that a path belongs to, for the rates that are each endpoint's.
    endpoint: Callable[[str], str] = str
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
    """Sends requests that only read and answers with what was final; safe to share between threads. `before` sees every attempt before it goes."""

    def __init__(
        self, origins: Origins, auth: Auth | None, terms: Terms, *, counts: Meter, before: Callable[[Request], None] = lambda _: None
    ) -> None:
        self.origins = origins
        self.connections = terms.connections
        self._rates = terms.rates
        self._auth = auth
        self._headers = dict(terms.headers)
        self._before = before
        self._counts = counts
        #: The Date header of the last answer, for a look at the clocks.
        self.date: str | None = None
        self._counting = threading.Lock()
        account = (origins.base.origin, auth.identity() if auth is not None else None, terms.account)
        self._limiter = limiters.join(account, terms.rates, terms.connections)
        # Whoever forgets to close lets go of it too.
        self._leave = weakref.finalize(self, limiters.leave, account, terms.connections)
        self._leave.atexit = False
        self._transport: Network = Transport(origins, timeout=terms.timeout, bounds=terms.bounds)
        self._classifier = terms.classifier
        self._scope = terms.scope
        self._endpoint = terms.endpoint
        self._longest = terms.policy.max_wait
        self._retrier = Retrier(terms.policy, self._limiter, on_retry=self._count_failure, classifier=terms.classifier)

    def through(self, network: Network, *, chance: random.Random) -> None:
        """Sends every request from here on through `network`, with the jitter of its retries drawn from `chance`: for the simulation.

        Its limiter is its own from then on: many processes are simulated in one, and real ones share nothing of it.
        """
        self._transport.close()
        if self._auth is not None:
            self._auth.through(network)
        self._leave()
        self._limiter = Limiter(self._rates, width=self.connections)
        self._transport, self._retrier.rng, self._retrier.limiter = network, chance, self._limiter

    def declare(self, *rates: Rate) -> None:
        """Further rates hold from here on: what only the credential tells, which is read no sooner than it is needed."""
        self._limiter.hold(rates)

    def expect(self, points: Points) -> None:
        """A bucket of points of the account's that is known of before any answer tells how it stands."""
        self._limiter.expect(points)

    def get(self, location: Location, *, params: Mapping[str, Scalar] | None = None, unless: str | None = None, clock: Clock) -> Response:
        """The final answer to a GET; as of `ask`."""
        return self.ask("GET", location, params=params, unless=unless, clock=clock)

    def post(self, location: Location, document: bytes, *, params: Mapping[str, Scalar] | None = None, clock: Clock) -> Response:
        """The final answer to a POST of a JSON document that only reads: a GraphQL query, a batch of ids. It is asked again as a GET is."""
        return self.ask("POST", location, params=params, document=document, clock=clock)

    def ask(
        self,
        method: str,
        location: Location,
        *,
        params: Mapping[str, Scalar] | None = None,
        document: bytes | None = None,
        unless: str | None = None,
        clock: Clock,
    ) -> Response:
        """The final answer, whatever its status; 304 where the ETag is still `unless`.

        Raises Unreachable, Throttled, OversizedBody, InvalidPage, ForeignOrigin; PageTooLarge, RangeTooWide and ItemRefused where
        the answer asks for another request than this one.
        """
        query = {name: wire(value) for name, value in params.items() if value is not None} if params else {}
        subject = f"{method} {location.path}"
        signed_with: Hashable = None
        action: Action | None = None

        def attempt() -> Response:
            nonlocal signed_with, action
            request = Request(
                origin=location.origin, path=location.path, method=method, raw_query=location.query, query=dict(query), body=document
            )
            request.headers.update(self._headers)
            if document is not None:
                request.headers.setdefault("Content-Type", "application/json")
            if unless is not None:
                request.headers["If-None-Match"] = unless
            response, action, signed_with = self._attempt(request, subject, clock)
            return response

        try:
            response = self._retrier.call(attempt, subject, clock)
            if action is Action.REFRESH and self._auth is not None and self._auth.renew_since(signed_with, clock):
                response = self._retrier.call(attempt, subject, clock)
                if action is Action.REFRESH:
                    self._auth.give_up(signed_with)
            if action is not None and (wanted := change_wanted(action, response, subject)) is not None:
                raise wanted
        except ReconError as error:
            raise self.masked(error) from error.__cause__
        return response

    def _attempt(self, request: Request, subject: str, clock: Clock) -> tuple[Response, Action | None, Hashable]:
        """One request in its turn, signed anew, since a token may have changed since the last try; what it asks for; which credential it bore."""
        signed_with: Hashable = None
        turn = self._limiter.take(clock, subject=subject, endpoint=self._endpoint(request.path), longest=self._longest)
        try:
            if self._auth is not None:
                signed_with = self._auth.ready(clock)
                request.headers.update(self._auth.headers())
                request.query.update(self._auth.query())
            self._before(request)
            if self._auth is not None:
                self._auth.sign(request, clock)
            with self._counting:
                self._counts.requests += 1
            response = self._transport.send(request)
        except BaseException:
            self._limiter.lost(clock)
            raise
        with self._counting:
            self._counts.bytes += response.wire_bytes
            self.date = response.headers.get("date")
        action = self._classifier.action(response)
        match action:
            case Action.THROTTLE:
                self._limiter.throttled(turn, clock, told(response, clock.now()))
            case Action.RETRY:
                self._limiter.lost(clock)
            case _:
                self._limiter.passed(turn, clock, told(response, clock.now()))
        return response, action, signed_with

    def scope_of(self, response: Response) -> dict[str, str]:
        """What the answer says of whom and what it is for, of what is declared; without its secrets, and cut short."""
        told = {name: response.headers.get(header.lower()) for name, header in self._scope.items()}
        return {name: inert(self.mask(text), MOST_SCOPE) for name, text in told.items() if text is not None}

    def refusal(self, response: Response, subject: str) -> Refused:
        """The error for a final answer that is no page: what the API said, and never a query or a secret."""
        status = response.status
        told = error_words(response.body)
        named = f" (request {response.request_id})" if response.request_id else ""
        hint = None
        if status == 304:
            told = "it says that nothing has changed, which it was not asked"
        elif 300 <= status < 400:
            told = f"redirects are not followed, and this one leads to {_target(response)}"
            hint = "if the API has moved, change base_url; a login page means that the credential is not taken"
        elif status in (401, 403):
            hint = f"check the credential ({self._auth.origin}) and what it may read" if self._auth else "this provider has no auth set"
        elif status == 404:
            told = told or "there is no such listing, or the credential may not see it"
            hint = "check base_url and the resource's path"
        error = Refused(f"{subject} -> {status}{named}" + (f": {told}" if told else ""), hint=hint, status=status)
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
        if self._auth is not None:
            self._auth.close()
        self._leave()

    def _count_failure(self, _: int | None, action: Action | None) -> None:
        with self._counting:
            self._counts.retries += 1
            self._counts.throttled += action is Action.THROTTLE


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
