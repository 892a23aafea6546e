"""Time in a world: one line of instants that every clock is read off, with what is to happen at each."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from recon.clock import iso

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
"""Second 0 of every world: midnight of a Monday."""
DAY = 86_400.0
SLOT = 3 * 3600.0
"""When the night begins, in seconds after midnight UTC."""


def moment(at: float) -> datetime:
    """A second of the world as a time of day."""
    return EPOCH + timedelta(seconds=at)


def second(at: datetime) -> float:
    """The reverse of `moment`."""
    return (at - EPOCH).total_seconds()


class Time:
    """The world's time, in seconds, and what is due when. It goes on only by `go_on`; what comes due meanwhile happens on the way."""

    def __init__(self) -> None:
        self.at = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, at: float, act: Callable[[], None]) -> None:
        """Has `act` happen at this instant, or at once when time goes on and it has passed."""
        self._count += 1
        heappush(self._due, (max(at, self.at), self._count, act))

    def go_on(self, until: float) -> None:
        """Lets time pass. What happens on the way may itself take time, so it may be later than `until` in the end, never earlier."""
        while self._due and self._due[0][0] <= until:
            at, _, act = heappop(self._due)
            self.at = max(self.at, at)
            act()
        self.at = max(self.at, until)

    @property
    def waiting(self) -> bool:
        """Whether anything is still to happen."""
        return bool(self._due)

    def words(self) -> str:
        """`d03 00:01:12.250`, for the story."""
        days, seconds = divmod(self.at, DAY)
        return f"d{int(days):02d} {iso(moment(seconds))[11:].rstrip('Z'):<15}"


class DatabaseClock:
    """The state database's clock, which all hosts share and nobody steps."""

    def __init__(self, time: Time) -> None:
        self._time = time

    def now(self) -> datetime:
        return moment(self._time.at)

    def monotonic(self) -> float:
        return self._time.at

    def sleep(self, seconds: float) -> None:
        self._time.go_on(self._time.at + seconds)


class HostClock:
    """One process's view: its machine's wall clock, which may be stepped, and a monotonic one. Sleeping is the process's own affair."""

    def __init__(self, time: Time, skew: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._time = time
        self._skew = skew
        self._sleep = sleep

    def now(self) -> datetime:
        return moment(self._time.at + self._skew())

    def monotonic(self) -> float:
        return self._time.at

    def sleep(self, seconds: float) -> None:
        self._sleep(max(0.0, seconds))
