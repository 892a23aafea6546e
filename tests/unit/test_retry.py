"""Retries and rates: what is asked again, after how long, and when enough is enough."""

import random
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime

import pytest

from recon.errors import InvalidPage, Throttled, Unreachable
from recon.fetch.classify import Action, Classifier, Rule
from recon.fetch.limiter import Limiter
from recon.fetch.retry import Policy, Retrier, retry_after
from recon.fetch.transport import Response
from tests.servers.manual_clock import ManualClock


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status=status, headers={n.replace("_", "-"): v for n, v in headers.items()}, body=body, wire_bytes=len(body))


class Tries:
    """An attempt that gives its answers in turn, the last one for ever."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.count = 0

    def __call__(self) -> Response:
        self.count += 1
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(given, Exception):
            raise given
        return given


def call(
    tries: Callable[[], Response],
    clock: ManualClock,
    policy: Policy | None = None,
    limiter: Limiter | None = None,
    told: list[int | None] | None = None,
) -> Response:
    noted: list[int | None] = [] if told is None else told
    retrier = Retrier(policy or Policy(), limiter or Limiter(), on_retry=lambda status, _: noted.append(status), rng=random.Random(7))
    return retrier.call(tries, "GET /v1/charges", clock)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_faults_are_asked_again(status: int) -> None:
    """Each status that may pass is tried again, counted, and the good answer after it is taken."""
    clock, told = ManualClock(), []
    assert call(Tries(answer(status), answer(status), answer(200)), clock, told=told).status == 200
    assert told == [status, status]
    assert len(clock.slept) == 2


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 409, 410, 422, 501])
def test_final_answers_are_not_asked_again(status: int) -> None:
    """What no repeat will better comes back at once, without a wait."""
    clock, tries = ManualClock(), Tries(answer(status))
    assert call(tries, clock).status == status
    assert tries.count == 1
    assert clock.slept == []


def test_a_rule_says_how_long_to_wait_where_the_answer_does_not() -> None:
    """A throttle without Retry-After waits for the rule's minute at least; one that names its own time waits for that."""
    classifier = Classifier([Rule(statuses=frozenset({403}), body="secondary", do=Action.THROTTLE, wait=60.0)])
    for refusal, least, most in ((answer(403, b"secondary"), 60.0, 61.0), (answer(403, b"secondary", retry_after="5"), 5.0, 6.0)):
        clock = ManualClock()
        retrier = Retrier(Policy(), Limiter(), on_retry=lambda *_: None, classifier=classifier, rng=random.Random(7))
        assert retrier.call(Tries(refusal, answer(200)), "GET /issues", clock).status == 200
        assert least <= sum(clock.slept) <= most


def test_lost_connections_are_asked_again_and_other_faults_are_not() -> None:
    """Unreachable is retried; a body that is no page goes through as it is."""
    clock = ManualClock()
    assert call(Tries(Unreachable("cut"), answer(200)), clock).status == 200
    with pytest.raises(InvalidPage, match="no page"):
        call(Tries(InvalidPage("no page")), ManualClock())


def test_waits_double_with_jitter_up_to_the_cap() -> None:
    """Each wait lies between half and the whole of the doubled one, and never above the cap."""
    clock = ManualClock()
    with pytest.raises(Unreachable):
        call(Tries(answer(500)), clock, Policy(tries=10, max_wait=10_000, base=1, cap=20))
    whole = [1, 2, 4, 8, 16, 20, 20, 20, 20]
    assert len(clock.slept) == len(whole)
    assert all(most / 2 <= slept <= most for slept, most in zip(clock.slept, whole, strict=True))
    assert clock.slept != whole


def test_the_end_of_patience_names_subject_status_tries_time_and_request() -> None:
    """The message can be read at three in the morning and quoted to the third party's support."""
    clock = ManualClock()
    with pytest.raises(Unreachable) as caught:
        call(Tries(answer(503, b'{"error":{"message":"overloaded"}}', request_id="req_8fX2")), clock)
    text = str(caught.value)
    assert text.startswith("GET /v1/charges -> 503, 8 tries in ")
    assert text.endswith("(request req_8fX2): overloaded")


def test_total_time_ends_the_tries_too() -> None:
    """No wait is begun that would end past max_wait."""
    clock = ManualClock()
    with pytest.raises(Unreachable):
        call(Tries(answer(500)), clock, Policy(tries=1000, max_wait=60))
    assert clock.elapsed <= 60


def test_retry_after_is_kept_in_seconds_and_as_a_date() -> None:
    """At least as long as asked is waited, in both forms of the header."""
    for header in ("17", "17.0"):
        clock = ManualClock()
        call(Tries(answer(429, retry_after=header), answer(200)), clock)
        assert 17 <= clock.slept[0] <= 18
    clock = ManualClock()
    date = format_datetime(clock.now() + timedelta(seconds=23), usegmt=True)
    call(Tries(answer(503, retry_after=date), answer(200)), clock)
    assert 23 <= clock.slept[0] <= 24


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "1e999", "Thu, 99 Foo"])
def test_a_retry_after_that_says_nothing_is_passed_over(value: str) -> None:
    """Nonsense falls back to the doubling wait."""
    assert retry_after(answer(429, retry_after=value), ManualClock().now()) is None


def test_a_retry_after_in_the_past_means_now() -> None:
    """A date gone by, or a negative number, asks for no pause."""
    now = ManualClock().now()
    assert retry_after(answer(429, retry_after=format_datetime(now - timedelta(hours=1), usegmt=True)), now) == 0
    assert retry_after(answer(429, retry_after="-5"), now) == 0


def test_a_pause_longer_than_the_run_may_wait_is_throttled_at_once() -> None:
    """Nobody waits two hours in silence: the error says what was asked for and what is allowed."""
    clock, tries = ManualClock(), Tries(answer(429, retry_after="7200"))
    with pytest.raises(Throttled) as caught:
        call(tries, clock)
    assert tries.count == 1
    assert clock.slept == []
    assert "asks for a pause of 2h 00m, max_wait is 5m 00s" in str(caught.value)


def test_a_retry_after_stops_every_thread_of_the_credential() -> None:
    """While the request that was told to wait waits, every other request of the same provider waits too."""

    class Watched(ManualClock):
        def sleep(self, seconds: float) -> None:
            if not self.slept:
                others.append(limiter._paused_until - self.elapsed)
            super().sleep(seconds)

    others: list[float] = []
    clock, limiter = Watched(), Limiter()
    call(Tries(answer(429, retry_after="30"), answer(200)), clock, limiter=limiter)
    assert others == [pytest.approx(30.025, abs=0.026)]
    limiter.pause(30, clock)
    assert limiter.take(clock).waited == pytest.approx(30)
    limiter.lost(clock)
    assert limiter.take(clock).waited == 0


def test_a_process_asked_to_stop_does_not_spin() -> None:
    """A sleep that ends at once, as after a stop, ends the wait instead of being tried again and again."""

    class Stopped(ManualClock):
        def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            self.elapsed += 1e-6

    clock, limiter = Stopped(), Limiter()
    limiter.pause(3600, clock)
    limiter.take(clock)
    assert len(clock.slept) == 1


def test_a_throttle_without_a_word_of_when_stops_every_thread_too() -> None:
    """A 429 that names no time pauses the whole account for the backoff: the others do not go on at full speed."""
    clock, limiter = ManualClock(), Limiter()
    with pytest.raises(Throttled):
        call(Tries(answer(429)), clock, Policy(tries=2, base=8, cap=8), limiter)
    assert limiter._paused_until == pytest.approx(clock.slept[0])
    assert 4 <= clock.slept[0] <= 8


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"retry_after": "5", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "40"}, 40),
        ({"retry_after": "50", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "40"}, 50),
        ({"retry_after": "5", "x_ratelimit_remaining": "12", "x_ratelimit_reset": "40"}, 5),
        ({"ratelimit": '"default";r=0;t=40'}, 40),
        ({}, 0.25),
    ],
)
def test_the_pause_is_the_latest_of_what_is_asked(headers: dict[str, str], least: float) -> None:
    """Retry-After, the reset of a used-up limit and the backoff: the longest of them holds; a limit with something left asks for nothing."""
    clock = ManualClock()
    call(Tries(answer(429, **headers), answer(200)), clock)
    assert least <= clock.slept[0] <= least + 0.5


def test_a_sick_third_party_gets_no_multiple_of_its_load() -> None:
    """Where every other answer fails, retries end at their share of the requests, and the error says what was spent."""
    clock, told = ManualClock(), list[int | None]()
    retrier = Retrier(Policy(retry_share=0.1, spare=5), Limiter(), on_retry=lambda status, _: told.append(status), rng=random.Random(7))
    done = 0
    with pytest.raises(
        Unreachable, match=r"GET /v1 -> 500, 1 try in .*; no retries are left: 5 on 6 requests, of which 10% and 5 are allowed"
    ) as caught:
        for _ in range(100):
            retrier.call(Tries(answer(500), answer(200)), "GET /v1", clock)
            done += 1
    assert done == 5
    assert len(told) == 6
    assert "500" in str(caught.value)


def test_a_third_party_that_fails_now_and_then_never_meets_the_budget() -> None:
    """One failure in ten, over ten thousand requests: each is asked again."""
    rng, clock = random.Random(11), ManualClock()
    retrier = Retrier(Policy(), Limiter(), on_retry=lambda *_: None, rng=rng)
    for _ in range(10_000):
        retrier.call(Tries(answer(500), answer(200)) if rng.random() < 0.1 else Tries(answer(200)), "GET /v1", clock)
