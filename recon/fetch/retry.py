"""Retrying: what may be asked again, after how long, and for how long in all. tenacity drives it; the waits are our own."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, Retrying

from recon.clock import Clock
from recon.duration import words_of
from recon.errors import ProviderError, Throttled, Unreachable
from recon.fetch.limiter import Limiter
from recon.fetch.refusal import error_words
from recon.fetch.transport import Response

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Statuses whose Retry-After speaks of the whole credential, and not of one request (RFC 6585, RFC 9110 section 15.6.4).
SLOW_DOWN = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often and how long: `tries` in all, `max_wait` seconds from the first try on, waits doubling from `base` to `cap` seconds."""

    tries: int = 8
    max_wait: float = 300.0
    base: float = 0.5
    cap: float = 60.0


class Retrier:
    """Repeats attempts of one provider, within its policy. `on_retry` is told the status of each failed one, None without an answer."""

    def __init__(
        self, policy: Policy, limiter: Limiter, *, on_retry: Callable[[int | None], None], rng: random.Random | None = None
    ) -> None:
        self.policy = policy
        self.limiter = limiter
        self.on_retry = on_retry
        self.rng = rng or random.Random()  # noqa: S311 - spreads waits out, keeps no secret

    def call(self, attempt: Callable[[], Response], subject: str, clock: Clock) -> Response:
        """The first answer that is not to be asked for again; raises Throttled or Unreachable once the policy is used up."""
        return _Call(self, subject, clock).run(attempt)


class _Call:
    """One request through its tries."""

    def __init__(self, retrier: Retrier, subject: str, clock: Clock) -> None:
        self._policy = retrier.policy
        self._limiter = retrier.limiter
        self._on_retry = retrier.on_retry
        self._rng = retrier.rng
        self._subject = subject
        self._clock = clock
        self._began = clock.monotonic()

    def run(self, attempt: Callable[[], Response]) -> Response:
        retrying = Retrying(
            retry=_again,
            wait=self._wait,
            stop=self._stop,
            sleep=self._clock.sleep,
            before_sleep=self._note,
            retry_error_callback=self._fail,
        )
        return retrying(attempt)

    def _wait(self, state: RetryCallState) -> float:
        """Seconds until the next try: what Retry-After asks, at least, else doubling with jitter between half and whole."""
        doubled = min(self._policy.cap, self._policy.base * 2.0 ** (state.attempt_number - 1))
        backoff = doubled * (0.5 + self._rng.random() / 2)
        asked = retry_after(_answer(state), self._clock.now())
        return backoff if asked is None else asked + min(backoff, 0.1 * doubled)

    def _stop(self, state: RetryCallState) -> bool:
        spent = self._clock.monotonic() - self._began
        return state.attempt_number >= self._policy.tries or spent + state.upcoming_sleep > self._policy.max_wait

    def _note(self, state: RetryCallState) -> None:
        response = _answer(state)
        self._on_retry(response.status if response else None)
        asked = retry_after(response, self._clock.now())
        if response and response.status in SLOW_DOWN and asked:
            self._limiter.pause(asked, self._clock)

    def _fail(self, state: RetryCallState) -> Response:
        tries = f"{state.attempt_number} {'try' if state.attempt_number == 1 else 'tries'}"
        spent = f"{tries} in {words_of(self._clock.monotonic() - self._began)}"
        response = _answer(state)
        if response is None:
            error = state.outcome.exception() if state.outcome else None
            hint = error.hint if isinstance(error, ProviderError) else None
            raise Unreachable(f"{error}; {spent}", hint=hint) from None
        self._on_retry(response.status)
        told = error_words(response.body)
        named = f" (request {response.request_id})" if response.request_id else ""
        message = f"{self._subject} -> {response.status}, {spent}{named}" + (f": {told}" if told else "")
        asked = retry_after(response, self._clock.now())
        if response.status == 429 or (response.status == 503 and asked):
            pause = f"; it asks for a pause of {words_of(asked)}, max_wait is {words_of(self._policy.max_wait)}" if asked else ""
            raise Throttled(message + pause, hint="lower rate, or raise max_wait, in the provider's table of recon.toml")
        raise Unreachable(message)


def _again(state: RetryCallState) -> bool:
    outcome = state.outcome
    assert outcome is not None
    error = outcome.exception()
    if error is not None:
        if not isinstance(error, Unreachable):
            # A finished future's result() raises what the attempt raised: it goes through as it is.
            outcome.result()
        return True
    return outcome.result().status in AGAIN


def _answer(state: RetryCallState) -> Response | None:
    outcome = state.outcome
    if outcome is None or outcome.failed:
        return None
    answer = outcome.result()
    assert isinstance(answer, Response)
    return answer


def retry_after(response: Response | None, now: datetime) -> float | None:
    """Seconds that a Retry-After asks for, from either of its forms (RFC 9110, section 10.2.3); None where it asks for nothing."""
    value = response.headers.get("retry-after", "").strip() if response else ""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        # An HTTP-date is GMT, though the parser leaves -0000 and a missing zone naive.
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None  # noqa: PLR0124 - NaN differs from itself
