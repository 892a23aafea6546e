"""Retries and rates: what is asked again, after how long, and when enough is enough."""

import random
import threading
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime

import pytest

from recon.errors import InvalidPage, Throttled, Unreachable
from recon.fetch.limiter import Limiter, Rate
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
    retrier = Retrier(policy or Policy(), limiter or Limiter(None), on_retry=noted.append, rng=random.Random(7))
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
    clock, limiter = Watched(), Limiter(None)
    call(Tries(answer(429, retry_after="30"), answer(200)), clock, limiter=limiter)
    assert others == [30]
    limiter.pause(30, clock)
    assert limiter.wait(clock) == pytest.approx(30)
    assert limiter.wait(clock) == 0


def test_a_declared_rate_is_kept() -> None:
    """Over any stretch, no more requests pass than the rate and one second's burst allow."""
    clock, limiter = ManualClock(), Limiter(Rate(requests=25, per=1))
    times = []
    for _ in range(200):
        limiter.wait(clock)
        times.append(clock.elapsed)
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= 25 * (times[last] - times[first]) + 25 + 1e-6
    assert clock.elapsed == pytest.approx((200 - 25) / 25, abs=0.1)


def test_a_slow_rate_lets_one_pass_at_a_time() -> None:
    """Ten a minute: one, then one every six seconds, with no burst at all."""
    clock, limiter = ManualClock(), Limiter(Rate(requests=10, per=60))
    waits = [limiter.wait(clock) for _ in range(4)]
    assert waits == pytest.approx([0, 6, 6, 6])


def test_many_threads_share_one_rate() -> None:
    """Turns are given out once each, whichever thread asks: a thousand of them book a second, of which the burst is free."""
    clock, limiter = ManualClock(), Limiter(Rate(requests=1000, per=1))
    threads = [threading.Thread(target=lambda: [limiter.wait(clock) for _ in range(250)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limiter._free_at == pytest.approx(1000 * 0.001 - 0.999)


def test_a_process_asked_to_stop_does_not_spin() -> None:
    """A sleep that ends at once, as after a stop, ends the wait instead of being tried again and again."""

    class Stopped(ManualClock):
        def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            self.elapsed += 1e-6

    clock, limiter = Stopped(), Limiter(None)
    limiter.pause(3600, clock)
    limiter.wait(clock)
    assert len(clock.slept) == 1


@pytest.mark.parametrize("requests", [0, -1])
def test_a_rate_of_nothing_cannot_be_declared(requests: float) -> None:
    """It would wait for ever."""
    with pytest.raises(ValueError, match="above 0"):
        Rate(requests=requests)
