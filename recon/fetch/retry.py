"""Retrying: what may be asked again, after how long, and for how long in all. tenacity drives it; the waits are our own."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, Retrying

from recon.clock import Clock
from recon.duration import words_of
from recon.errors import ProviderError, Throttled, Unreachable
from recon.fetch.classify import Action, Classifier
from recon.fetch.limiter import WAY_OUT, Limiter
from recon.fetch.refusal import error_words
from recon.fetch.told import reset_after, told
from recon.fetch.transport import Response

AGAIN = frozenset({Action.RETRY, Action.THROTTLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often and how long: `tries` in all, `max_wait` seconds from the first try on, waits doubling from `base` to `cap` seconds.

    Of all requests of a session, retries may be `retry_share` for each first try, and `spare` beside that.
    """

    tries: int = 8
    max_wait: float = 300.0
    base: float = 0.5
    cap: float = 60.0
    retry_share: float = 0.25
    spare: int = 50


class Budget:
    """How many retries a session has left: a third party that is sick throughout gets no multiple of its load on top."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._first = 0
        self._again = 0

    def asked(self) -> None:
        """A first try goes out."""
        with self._lock:
            self._first += 1

    def spend(self) -> bool:
        """Takes one retry, where there is one left."""
        with self._lock:
            if self._again + 1 > self._policy.spare + self._policy.retry_share * self._first:
                return False
            self._again += 1
            return True

    def words(self) -> str:
        """What was spent, for a message."""
        with self._lock:
            share = f"{self._policy.retry_share:.0%}"
            return (
                f"no retries are left: {self._again:,} on {self._first:,} requests, of which {share} and {self._policy.spare} are allowed"
            )


class Retrier:
    """Repeats attempts of one provider, within its policy. `on_retry` is told the status of each failed one, None without an answer, and what it asked for."""

    def __init__(
        self,
        policy: Policy,
        limiter: Limiter,
        *,
        on_retry: Callable[[int | None, Action | None], None],
        classifier: Classifier | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.policy = policy
        self.limiter = limiter
        self.on_retry = on_retry
        self.classifier = classifier or Classifier()
        self.budget = Budget(policy)
        self.rng = rng or random.Random()  # noqa: S311 - spreads waits out, keeps no secret

    def call(self, attempt: Callable[[], Response], subject: str, clock: Clock) -> Response:
        """The first answer that is not to be asked for again; raises Throttled or Unreachable once the policy is used up."""
        return _Call(self, subject, clock).run(attempt)


class _Call:
    """One request through its tries."""

    def __init__(self, retrier: Retrier, subject: str, clock: Clock) -> None:
        self._policy = retrier.policy
        self._retrier = retrier
        self._subject = subject
        self._clock = clock
        self._began = clock.monotonic()
        self._out_of_budget = ""

    def run(self, attempt: Callable[[], Response]) -> Response:
        self._retrier.budget.asked()
        first = self._tried(attempt)
        if isinstance(first, Response) and self._action(first) not in AGAIN:
            # Nearly every request ends here, and what drives the others costs as much as an answer's JSON does.
            return first
        tried = [first]

        def from_the_first() -> Response:
            outcome = tried.pop() if tried else attempt()
            if isinstance(outcome, Unreachable):
                raise outcome
            return outcome

        retrying = Retrying(
            retry=self._again,
            wait=self._wait,
            stop=self._stop,
            sleep=self._clock.sleep,
            before_sleep=self._note,
            retry_error_callback=self._fail,
        )
        return retrying(from_the_first)

    def _tried(self, attempt: Callable[[], Response]) -> "Response | Unreachable":
        try:
            return attempt()
        except Unreachable as error:
            return error

    def _again(self, state: RetryCallState) -> bool:
        outcome = state.outcome
        assert outcome is not None
        error = outcome.exception()
        if error is not None:
            if not isinstance(error, Unreachable):
                # A finished future's result() raises what the attempt raised: it goes through as it is.
                outcome.result()
            return True
        return self._action(outcome.result()) in AGAIN

    def _wait(self, state: RetryCallState) -> float:
        """Seconds until the next try: what the answer asks, at least, else doubling with jitter between half and whole."""
        doubled = min(self._policy.cap, self._policy.base * 2.0 ** (state.attempt_number - 1))
        backoff = doubled * (0.5 + self._retrier.rng.random() / 2)
        asked = self._asked(_answer(state))
        return backoff if asked is None else max(backoff, asked + min(backoff, 0.1 * doubled))

    def _stop(self, state: RetryCallState) -> bool:
        spent = self._clock.monotonic() - self._began
        if state.attempt_number >= self._policy.tries or spent + state.upcoming_sleep > self._policy.max_wait:
            return True
        if self._retrier.budget.spend():
            return False
        self._out_of_budget = f"; {self._retrier.budget.words()}"
        return True

    def _note(self, state: RetryCallState) -> None:
        response = _answer(state)
        action = self._action(response) if response else None
        self._retrier.on_retry(response.status if response else None, action)
        if action is Action.THROTTLE:
            # It speaks to the credential: everyone waits, for the latest of Retry-After, reset and backoff.
            self._retrier.limiter.pause(state.upcoming_sleep, self._clock)

    def _fail(self, state: RetryCallState) -> Response:
        tries = f"{state.attempt_number} {'try' if state.attempt_number == 1 else 'tries'}"
        spent = f"{tries} in {words_of(self._clock.monotonic() - self._began)}"
        response = _answer(state)
        if response is None:
            error = state.outcome.exception() if state.outcome else None
            hint = error.hint if isinstance(error, ProviderError) else None
            raise Unreachable(f"{error}; {spent}{self._out_of_budget}", hint=hint) from None
        action = self._action(response)
        self._retrier.on_retry(response.status, action)
        said = error_words(response.body)
        named = f" (request {response.request_id})" if response.request_id else ""
        message = f"{self._subject} -> {response.status}, {spent}{named}" + (f": {said}" if said else "") + self._out_of_budget
        if action is not Action.THROTTLE:
            raise Unreachable(message)
        pause = ""
        if asked := self._asked(response):
            self._retrier.limiter.pause(asked, self._clock)
            pause = f"; it asks for a pause of {words_of(asked)}, max_wait is {words_of(self._policy.max_wait)}"
        raise Throttled(message + pause, hint=WAY_OUT)

    def _action(self, response: Response) -> Action | None:
        return self._retrier.classifier.action(response)

    def _asked(self, response: Response | None) -> float | None:
        """Seconds of pause that an answer asks for: the later of Retry-After and, where it throttles, the reset of what is used up; else its rule's."""
        if response is None:
            return None
        now = self._clock.now()
        after = retry_after(response, now)
        reset = reset_after(told(response, now)) if self._action(response) is Action.THROTTLE else None
        named = max((one for one in (after, reset) if one is not None), default=None)
        return self._retrier.classifier.wait(response) if named is None else named


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
