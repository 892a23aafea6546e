"""The limiter: declared rates, the pace after a throttle, what answers say is left, and one limiter for all who share an account.

Limited servers are simulated on a clock that stands, so that every wait is exact; `bench/limits.py` measures the same over real connections.
"""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from recon.errors import Throttled
from recon.fetch.limiter import Limiter, Rate, Turn, limiters
from recon.fetch.pace import Pace
from recon.fetch.quota import Points, Window
from tests.servers.manual_clock import ManualClock

Told = Sequence[Window | Points]


@dataclass
class Fixed:
    """So many in each window, which begins at multiples of `per` less `phase`; answers tell what is left where `says`."""

    limit: int
    per: float = 1.0
    phase: float = 0.37
    says: bool = False
    window: int = -1
    used: int = 0

    def ask(self, at: float) -> tuple[float | None, Told]:
        """Seconds to wait where it is too fast, else None; and what the answer says."""
        window = int((at + self.phase) // self.per)
        left = (window + 1) * self.per - self.phase - at
        self.used = 0 if window != self.window else self.used
        self.window = window
        if self.used >= self.limit:
            return left, []
        self.used += 1
        return None, [Window(limit=self.limit, remaining=self.limit - self.used, resets_in=left)] if self.says else []


@dataclass
class Leaky:
    """A bucket that holds so much and lets so much out a second; a request puts `cost` in."""

    holds: float
    leaks: float
    cost: float = 1.0
    says: bool = False
    level: float = 0.0
    last: float = 0.0

    def ask(self, at: float) -> tuple[float | None, Told]:
        """As above."""
        self.level, self.last = max(0.0, self.level - (at - self.last) * self.leaks), at
        if self.level + self.cost > self.holds:
            return max(1.0, (self.level + self.cost - self.holds) / self.leaks), []
        self.level += self.cost
        points = Points(capacity=self.holds, available=self.holds - self.level, restored=self.leaks, cost=self.cost)
        return None, [points] if self.says else []


@dataclass
class Walked:
    """A fetch of so many requests: seconds, throttled ones, and how both stood after the first quarter."""

    seconds: float
    throttled: int
    quarter: tuple[float, int]
    limiter: Limiter


def walk(server: Fixed | Leaky, rates: Sequence[Rate], requests: int, seed: int) -> Walked:
    """One request after another, each of which travels 1 to 5 ms there and back."""
    rng, clock, limiter = random.Random(seed), ManualClock(), Limiter(rates)
    done = throttled = 0
    quarter: tuple[float, int] | None = None
    while done < requests:
        turn = limiter.take(clock)
        clock.sleep(rng.uniform(0.001, 0.005))
        wait, told = server.ask(clock.elapsed)
        clock.sleep(rng.uniform(0.001, 0.005))
        if wait is None:
            limiter.passed(turn, clock, told)
            done += 1
        else:
            limiter.throttled(turn, clock, told)
            limiter.pause(wait, clock)
            throttled += 1
        if quarter is None and done == requests // 4:
            quarter = clock.elapsed, throttled
    assert quarter is not None
    return Walked(clock.elapsed, throttled, quarter, limiter)


SERVERS: dict[str, tuple[Callable[[], Fixed | Leaky], list[Rate], float]] = {
    "fixed window, declared": (lambda: Fixed(50), [Rate(requests=50)], 50),
    "fixed window of ten seconds, declared": (lambda: Fixed(190, 10.0), [Rate(requests=190, per=10)], 19),
    "fixed window, told": (lambda: Fixed(25, says=True), [], 25),
    "leaky bucket, declared": (lambda: Leaky(40, 20), [Rate(requests=20)], 20),
    "leaky bucket, told": (lambda: Leaky(40, 20, says=True), [], 20),
    "cost points, told": (lambda: Leaky(1000, 100, cost=10, says=True), [], 10),
    "cost points, dearer than declared": (lambda: Leaky(1000, 100, cost=20, says=True), [Rate(requests=10)], 5),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", SERVERS)
def test_a_limited_fetch_takes_no_longer_than_its_limit(name: str, seed: int) -> None:
    """Within 1.05 of requests / allowed rate, and at most one request in a hundred is throttled, for each kind of limit."""
    server, rates, allowed = SERVERS[name]
    walked = walk(server(), rates, 2000, seed)
    assert walked.seconds <= 1.05 * 2000 / allowed, (seed, walked)
    assert walked.throttled <= 20, (seed, walked)


HALVES: dict[str, tuple[Callable[[], Fixed | Leaky], list[Rate], float]] = {
    "fixed window": (lambda: Fixed(25), [Rate(requests=50)], 25),
    "long fixed window": (lambda: Fixed(100, 10.0), [Rate(requests=200, per=10)], 10),
    "leaky bucket": (lambda: Leaky(40, 20), [Rate(requests=40)], 20),
    "nothing declared": (lambda: Fixed(25), [], 25),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", HALVES)
def test_a_limit_of_half_the_declared_one_is_settled_at(name: str, seed: int) -> None:
    """Nobody mends the setting: the last three quarters run at the true limit, with hardly a throttle."""
    server, rates, true = HALVES[name]
    walked = walk(server(), rates, 4000, seed)
    assert walked.seconds - walked.quarter[0] <= 1.1 * 3000 / true, (seed, walked)
    assert walked.throttled <= 40, (seed, walked)
    assert walked.throttled - walked.quarter[1] <= 15, (seed, walked)


def test_a_passing_throttle_is_forgotten() -> None:
    """After one bad moment the pace is halved, and climbs back to what was declared, never above it."""
    clock, limiter = ManualClock(), Limiter([Rate(requests=20)])
    for _ in range(40):
        limiter.passed(limiter.take(clock), clock)
        clock.sleep(0.1)
    limiter.throttled(limiter.take(clock), clock)
    assert limiter.pace == pytest.approx(10)
    paces = []
    for _ in range(2000):
        limiter.passed(limiter.take(clock), clock)
        paces.append(limiter.pace)
    assert paces[-1] == 20
    assert max(p or 0 for p in paces) == 20
    assert all(b is not None and a is not None and 0 <= b - a <= 20 / 16 + 1e-9 for a, b in pairwise(paces))


def test_requests_that_were_under_way_at_a_throttle_halve_nothing_twice() -> None:
    """Eight in flight, all throttled together: one halving of the pace and one of the width."""
    clock, limiter = ManualClock(), Limiter([Rate(requests=100)], width=8)
    turns = [limiter.take(clock) for _ in range(8)]
    clock.sleep(0.05)
    for turn in turns:
        limiter.throttled(turn, clock)
    assert limiter.pace == pytest.approx(50)
    assert limiter._width == 4


def test_the_width_halves_and_grows_by_one_a_round() -> None:
    """Additive increase, multiplicative decrease, between one and what was given."""
    clock, limiter = ManualClock(), Limiter(width=8)
    for wanted in (4, 2, 1, 1):
        turn = limiter.take(clock)
        clock.sleep(1)
        limiter.throttled(turn, clock)
        assert limiter._width == wanted
        clock.sleep(100)
    rounds = 0
    while limiter._width < 8:
        before = limiter._width
        for _ in range(int(before)):
            limiter.passed(limiter.take(clock), clock)
        assert before < limiter._width <= before + 1 + 1e-9
        rounds += 1
    assert 7 <= rounds <= 10


def test_no_more_are_under_way_than_the_width() -> None:
    """The fifth request of a width of four goes only when one of them has come back."""
    clock, limiter = ManualClock(), Limiter(width=4)
    turns = [limiter.take(clock) for _ in range(4)]
    gone = threading.Event()
    fifth = threading.Thread(target=lambda: (limiter.take(clock), gone.set()))
    fifth.start()
    assert not gone.wait(0.05)
    limiter.passed(turns[0], clock)
    assert gone.wait(10)
    fifth.join(10)


def test_a_declared_rate_is_kept_over_any_stretch() -> None:
    """No stretch of `per` seconds, wherever it begins, sees more requests than declared."""
    clock, limiter = ManualClock(), Limiter([Rate(requests=25, per=1)])
    times = []
    for _ in range(200):
        turn = limiter.take(clock)
        times.append(turn.at)
        limiter.passed(turn, clock)
    assert all(later - earlier > 1 for earlier, later in zip(times, times[25:], strict=False))
    assert clock.elapsed == pytest.approx(199 / 25 * 1.02, abs=0.01)


def test_points_that_are_expected_hold_until_an_answer_tells() -> None:
    """A full bucket of 2,000 lets two dear requests through and the third when enough came back; what an answer says takes its place, once for all."""
    clock, limiter = ManualClock(), Limiter(width=10)
    bucket = Points(name="cost", capacity=2000, available=2000, restored=100, cost=1000)
    limiter.expect(bucket)
    times = [limiter.take(clock).at for _ in range(3)]
    assert [at - times[0] for at in times] == pytest.approx([0, 0, 10])
    limiter.passed(Turn(at=times[0]), clock, [Points(name="cost", capacity=2000, available=2000, restored=100, cost=10)])
    limiter.expect(bucket)
    before = clock.elapsed
    for _ in range(5):
        limiter.take(clock)
    assert clock.elapsed == before


def test_several_rates_hold_together_and_an_endpoints_is_its_own() -> None:
    """A hundred a second over all, ten for each endpoint: the one that is reached first holds."""
    clock, limiter = ManualClock(), Limiter([Rate(requests=30), Rate(requests=10, each="endpoint")])
    times: dict[str, list[float]] = {"charges": [], "refunds": [], "payouts": [], "prices": []}
    for _ in range(25):
        for endpoint, list_of in times.items():
            turn = limiter.take(clock, endpoint=endpoint)
            list_of.append(turn.at)
            limiter.passed(turn, clock)
    everything = sorted(at for list_of in times.values() for at in list_of)
    assert all(b - a > 1 for a, b in zip(everything, everything[30:], strict=False))
    for list_of in times.values():
        assert all(b - a > 1 for a, b in zip(list_of, list_of[10:], strict=False))
    assert clock.elapsed == pytest.approx(99 / 30 * 1.02, abs=0.05)


def test_a_short_rate_is_spread_and_a_long_one_is_not() -> None:
    """Ten a second go a tenth of a second apart, and a late one is made up for; a hundred an hour go at once, and then wait."""
    clock, limiter = ManualClock(), Limiter([Rate(requests=10)])
    times = []
    for number in range(12):
        times.append(limiter.take(clock).at)
        limiter.lost(clock)
        clock.sleep(0.14 if number == 5 else 0.01)
    assert [round(b - a, 3) for a, b in pairwise(times)] == [0.102, 0.102, 0.102, 0.102, 0.102, 0.14, 0.064, 0.102, 0.102, 0.102, 0.102]
    clock, limiter = ManualClock(), Limiter([Rate(requests=100, per=3600)])
    times = []
    for _ in range(101):
        times.append(limiter.take(clock).at)
        limiter.lost(clock)
    assert times == [0.0] * 100 + [pytest.approx(3600 * 1.02)]


def test_many_threads_share_one_rate() -> None:
    """Whichever thread asks, no stretch of a second sees more than the rate, and none is starved."""
    clock, limiter = ManualClock(), Limiter([Rate(requests=100, per=1)], width=4)
    times: list[float] = []

    def ask() -> None:
        for _ in range(100):
            turn = limiter.take(clock)
            times.append(turn.at)
            limiter.passed(turn, clock)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    times.sort()
    assert len(times) == 400
    assert all(later - earlier > 1 for earlier, later in zip(times, times[100:], strict=False))


def test_what_is_left_is_used_up_and_not_overdrawn() -> None:
    """Five left for another minute: five go at once, the sixth waits for the reset, though nothing was declared."""
    clock, limiter = ManualClock(), Limiter(width=8)
    limiter.passed(limiter.take(clock), clock, [Window(limit=100, remaining=5, resets_in=60)])
    waits = [limiter.take(clock).waited for _ in range(6)]
    assert waits == [0, 0, 0, 0, 0, pytest.approx(60)]


def test_what_one_request_takes_of_a_count_is_seen() -> None:
    """A count that falls by ten at each request lets three more through at 35, and not thirty-five."""
    clock, limiter = ManualClock(), Limiter()
    for remaining in (65, 55, 45, 35):
        limiter.passed(limiter.take(clock), clock, [Window(limit=100, remaining=remaining, resets_in=60)])
    waits = []
    for _ in range(4):
        turn = limiter.take(clock)
        waits.append(turn.waited)
        limiter.passed(turn, clock)
    assert waits == [0, 0, 0, pytest.approx(60)]


def test_a_pause_longer_than_may_be_waited_sends_nothing() -> None:
    """The others of the account, and a second domain, are told at once what the first was told."""
    clock, limiter = ManualClock(), Limiter()
    limiter.pause(7200, clock)
    with pytest.raises(Throttled, match=r"GET /v1: not sent, the third party asks for a pause of 2h 00m, max_wait is 5m 00s"):
        limiter.take(clock, subject="GET /v1", longest=300)
    assert clock.slept == []


def test_one_account_has_one_limiter() -> None:
    """Whoever joins under the same name shares it, its rates hold for both, and it is forgotten when the last one leaves."""
    first = limiters.join("shop", [Rate(requests=10)], 4)
    second = limiters.join("shop", [Rate(requests=5)], 4)
    assert first is second
    assert first._widest == 4
    assert {rate.requests for rate in first._rates} == {5, 10}
    assert limiters.join("other", [], 1) is not first
    limiters.leave("other", 1)
    limiters.leave("shop", 4)
    assert limiters.join("shop", [], 1) is first
    limiters.leave("shop", 1)
    limiters.leave("shop", 4)
    assert limiters.join("shop", [], 1) is not first
    limiters.leave("shop", 1)


def test_two_providers_on_one_account_are_no_wider_than_the_wider_of_them() -> None:
    """With 2 and 3 declared for one account, three requests are under way and the fourth waits; once the wider one has left, the third waits."""
    clock = ManualClock()
    limiter = limiters.join("both", [], 2)
    limiters.join("both", [], 3)
    try:
        turns = [limiter.take(clock) for _ in range(3)]
        assert _waits(limiter, clock, turns)
    finally:
        limiters.leave("both", 3)
    turns = [limiter.take(clock) for _ in range(2)]
    try:
        assert _waits(limiter, clock, turns)
    finally:
        limiters.leave("both", 2)


def _waits(limiter: Limiter, clock: ManualClock, turns: list[Turn]) -> bool:
    """Whether one more waits until one of these is back; all of them are then."""
    gone = threading.Event()
    thread = threading.Thread(target=lambda: (limiter.passed(limiter.take(clock), clock), gone.set()))
    thread.start()
    waited = not gone.wait(0.05)
    for turn in turns:
        limiter.passed(turn, clock)
    thread.join(10)
    return waited and gone.is_set()


def test_an_undeclared_pace_starts_from_what_was_seen() -> None:
    """Without a declared rate the first throttle halves the pace that there was, and never to nothing."""
    pace = Pace()
    for number in range(20):
        pace.take(number * 0.01)
        pace.passed(number * 0.01)
    pace.take(0.2)
    assert pace.throttled(0.2, 0.21)
    assert pace.rate == pytest.approx(21 / 0.2 / 2)
    at = 1.0
    for _ in range(40):
        at += 100
        pace.throttled(at, at)
    assert pace.rate == pytest.approx(1 / 60)


@pytest.mark.parametrize(("requests", "per"), [(0, 1), (-1, 1), (1, 0), (float("inf"), 1)])
def test_a_rate_of_nothing_cannot_be_declared(requests: float, per: float) -> None:
    """It would wait for ever, or never."""
    with pytest.raises(ValueError, match="above 0"):
        Rate(requests=requests, per=per)


def test_one_who_is_forgotten_while_another_joins_stops_nobody() -> None:
    """The garbage collector lets go of a forgotten session at any instant, also in the middle of somebody's joining: nothing waits for ever."""
    kept = limiters.join("kept", [], 2)
    limiters.join("kept", [], 1)

    class Collected:
        """An account that is hashed while the limiters are held, which is when the collector comes."""

        forgotten = False

        def __hash__(self) -> int:
            if not self.forgotten:
                self.forgotten = True
                limiters.leave("kept", 1)
            return 7

    asked = threading.Thread(target=limiters.join, args=(account := Collected(), [], 1), daemon=True)
    asked.start()
    asked.join(10)

    assert not asked.is_alive()
    limiters.leave(account, 1)
    assert kept._widest == 2
    limiters.leave("kept", 2)
