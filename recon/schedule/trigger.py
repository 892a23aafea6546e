"""When a domain is due: a cron line in a zone, with the slot rule that neither skips nor doubles a night when clocks change.

A line that names hours (`30 2 * * *`) names wall-clock times, one slot for each: the local time is converted to UTC by the offset
that held before a change (`fold=0`). So a time in the spring gap comes as much later as the clock jumped, and a time that is there
twice in autumn comes the first time. Two wall times that fall on one instant are one slot. A line for every hour (`*/15 * * * *`)
means time that goes by: it follows the clock as it really runs, through both of two equal hours.

Weekdays count as cron's do: 0 and 7 are Sunday. Day of month and day of week, where both are restricted, mean either (Debian's crontab(5)).
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

#: More than any clock has ever been moved (Samoa left out a whole day in 2011).
MOST_SHIFT = timedelta(hours=26)


class Timetable:
    """The slots of a cron line in a zone. Raises ValueError, naming the line or zone, for one that is none."""

    def __init__(self, line: str, zone: str = "UTC") -> None:
        if len(line.split()) != 5:
            msg = f"{line!r} is no cron line: five fields are wanted, minute hour day month weekday, such as '0 3 * * *'"
            raise ValueError(msg)
        try:
            CronSim(line, datetime(2026, 1, 1))  # noqa: DTZ001 - wall-clock times are naive until the rule above gives them their offset
        except CronSimError as error:
            msg = f"{line!r} is no cron line: {error}"
            raise ValueError(msg) from None
        try:
            self.zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            msg = f"{zone!r} is no time zone; names are such as Europe/Berlin and UTC"
            raise ValueError(msg) from None
        self.line = line
        self._elapsing = line.split()[1] == "*"

    def after(self, moment: datetime) -> datetime | None:
        """The first slot after this instant, in UTC; None where none comes within fifty years."""
        moment = moment.astimezone(UTC)
        if self._elapsing:
            return self._first(CronSim(self.line, moment.astimezone(self.zone)), after=moment)
        best: datetime | None = None
        for wall in CronSim(self.line, self._wall(moment - MOST_SHIFT)):
            found = self._instant(wall)
            if found > moment and (best is None or found < best):
                best = found
            # Around a change the order of wall times is not that of instants, so look on as far as a clock can have been moved.
            if best is not None and (wall > self._wall(best) + MOST_SHIFT or self._steady(moment, best)):
                break
        return best

    def latest(self, moment: datetime) -> datetime | None:
        """The last slot at or before this instant, in UTC; None where there was none for fifty years."""
        moment = moment.astimezone(UTC)
        if self._elapsing:
            start = moment.replace(microsecond=0) + timedelta(seconds=1)
            return self._first(CronSim(self.line, start.astimezone(self.zone), reverse=True), until=moment)
        best: datetime | None = None
        for wall in CronSim(self.line, self._wall(moment + MOST_SHIFT), reverse=True):
            found = self._instant(wall)
            if found <= moment and (best is None or found > best):
                best = found
            if best is not None and (wall < self._wall(best) - MOST_SHIFT or self._steady(best, moment)):
                break
        return best

    def between(self, start: datetime, end: datetime) -> list[datetime]:
        """The slots after `start` and up to `end`, in order."""
        found = []
        slot = self.after(start)
        while slot is not None and slot <= end:
            found.append(slot)
            slot = self.after(slot)
        return found

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def _instant(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)

    def _steady(self, start: datetime, end: datetime) -> bool:
        """Whether no clock changed anywhere near: then the first slot found is the first there is."""
        probes = (start - MOST_SHIFT, start, end, end + MOST_SHIFT)
        return end - start < MOST_SHIFT and len({self.zone.utcoffset(p.astimezone(self.zone)) for p in probes}) == 1

    @staticmethod
    def _first(times: CronSim, *, after: datetime | None = None, until: datetime | None = None) -> datetime | None:
        for moment in times:
            found = moment.astimezone(UTC)
            if (after is None or found > after) and (until is None or found <= until):
                return found
        return None
