"""The application: its table, a real SQLite file, written by the handlers of webhooks and of corrective events."""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.testing.simulation.oracle.history import History, Values
from recon.testing.simulation.third_party import Change

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

Handler = Callable[[dict[str, Any], sqlite3.Connection], None]
"""What a user's own handler is: it gets the event as JSON has it, and the application's database, in a transaction."""

COLUMNS = ("status", "amount", "currency", "version", "changed")
"""What a row may have beside its key; the last only where records have a time of change."""


class Application:
    """One domain's table. `rows` is the primary; the file, which the reconciler reads, follows after the replica's lag."""

    def __init__(self, universe: "Universe", domain: str, file: Path) -> None:
        self.domain = domain
        self.file = file
        self.away = file.with_suffix(".away")
        #: What the reconciler can read: the truth of the target.
        self.history = History()
        self.rows: dict[str, Values] = {}
        #: The highest version that each key was ever told of, for the guarded handler.
        self.told: dict[str, int] = {}
        #: Where ordinary webhooks go, where they go through a consumer's own door.
        self.door: Callable[[Change], None] | None = None
        self._universe = universe
        self._database = sqlite3.connect(file, isolation_level=None)
        # A reader that stands still in the middle of its read must not hold up the writers.
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = off")
        unique = "" if universe.world.doubles else " primary key"
        own = universe.world.own
        self.table, self.key = (own.table, own.key) if own is not None else (domain, "id")
        names = COLUMNS if universe.world.updated else COLUMNS[:-1]
        #: Field to column.
        self.columns = {one.name: one.column for one in own.columns} if own is not None else {name: name for name in names}
        self._names = ", ".join(f'"{name}"' for name in self.columns.values())
        self._database.execute(f'create table "{self.table}" ("{self.key}" text{unique}, {self._names})')

    def write(self, key: str, state: Values) -> None:
        """The row is so from now on; None: there is none."""
        self.rows[key] = None if state is None else dict(state)
        if self._universe.world.replica_lag and not self._universe.calm:
            time = self._universe.time
            time.later(time.at + self._universe.world.replica_lag, lambda: self._replicate(key, state))
        else:
            self._replicate(key, state)

    def _replicate(self, key: str, state: Values) -> None:
        # A file that is away is out of reach of its readers, not of its writer, who has it open.
        self._put(key, state)
        self.history.put(self._universe.time.at, key, state)

    def _put(self, key: str, state: Values) -> None:
        self._database.execute("begin")
        self._database.execute(f'delete from "{self.table}" where "{self.key}" = ?', (key,))
        if state is not None:
            self._insert(key, state)
        self._database.execute("commit")
        # Whoever writes a row takes all copies of it away first.
        now, doubled = self._universe.time.at, self._universe.facts.doubled
        doubled[:] = [(*one[:3], min(one[3], now)) if one[:2] == (self.domain, key) else one for one in doubled]

    def _insert(self, key: str, state: Mapping[str, Any]) -> None:
        marks = ",".join("?" * (1 + len(self.columns)))
        self._database.execute(
            f'insert into "{self.table}" ("{self.key}", {self._names}) values ({marks})', (key, *(state[name] for name in self.columns))
        )

    def handled(self, event: dict[str, Any], handle: Handler) -> None:
        """Lets a handler of a user's own make what it will of an event, in a transaction, and takes note of what the row is then."""
        key = event["data"]["key"]
        self._database.execute("begin")
        handle(event, self._database)
        self._database.execute("commit")
        self.seen(key, written=True)

    def seen(self, key: str, *, written: bool = False) -> Values:
        """What the row is now, noted where somebody else may have written it, as `written` says that somebody did."""
        row = self._database.execute(f'select {self._names} from "{self.table}" where "{self.key}" = ?', (key,)).fetchone()
        state = None if row is None else dict(zip(self.columns, row, strict=True))
        if written or state != self.rows.get(key):
            self.rows[key] = state
            self.history.put(self._universe.time.at, key, state)
        return state

    def double(self, key: str) -> bool:
        """Writes the row of a key a second time, as a table without a unique index allows; False where there is none."""
        state = self.history.at(key, self._universe.time.at)
        if state is None or self.away.exists():
            return False
        self._insert(key, state)
        return True

    def lose(self) -> None:
        """The database cannot be reached."""
        if not self.away.exists():
            self.file.rename(self.away)

    def find(self) -> None:
        """It can be reached again."""
        if self.away.exists():
            self.away.rename(self.file)

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()


def naive(application: Application, change: Change) -> None:
    """A webhook's handler that believes whatever came last: a late one undoes a newer state."""
    application.write(change.key, change.state)


def guarded(application: Application, change: Change) -> None:
    """A webhook's handler that goes by the version, and remembers deletions too."""
    if change.version > application.told.get(change.key, 0):
        application.told[change.key] = change.version
        application.write(change.key, change.state)


def door(application: Application, change: Change) -> None:
    """A webhook's handler that leaves it to the door of the consumer of events."""
    assert application.door is not None
    application.door(change)


HANDLERS: dict[str, Callable[[Application, Change], None]] = {"naive": naive, "guarded": guarded, "door": door}


class Webhooks:
    """Brings each change to the application's handler: in time, or lost, twice, late, out of order; on a bad night, none at all."""

    def __init__(self, universe: "Universe", application: Application) -> None:
        self._universe = universe
        self._application = application
        self._handle = HANDLERS[universe.world.handler]

    def __call__(self, change: Change) -> None:
        universe = self._universe
        chance, time = universe.chance, universe.time
        where = (change.domain, change.key, change.version)
        world = universe.world
        if universe.outage(change.domain) or chance.happens("webhook lost", world.lost, *where):
            universe.story.tell("webhook", f"{change.domain} {change.key} v{change.version} is lost")
            return
        delay = chance.between(0.1, 3.0, "webhook", *where)
        if chance.happens("webhook late", world.late, *where):
            delay = chance.between(60.0, 20 * 3600.0, "late", *where)
        elif chance.happens("webhook overtaken", world.late, *where):
            delay = chance.between(3.0, 90.0, "overtaken", *where)
        time.later(time.at + delay, lambda: self._arrive(change))
        if chance.happens("webhook twice", world.twice, *where):
            time.later(time.at + delay + chance.between(0.1, 4 * 3600.0, "twice", *where), lambda: self._arrive(change))

    def _arrive(self, change: Change) -> None:
        self._universe.story.tell("webhook", f"{change.domain} {change.key} v{change.version}: {words(change.state)}")
        self._handle(self._application, change)


def words(state: Values) -> str:
    """A state, for the story."""
    if state is None:
        return "gone"
    return " ".join(str(state[name]) for name in COLUMNS[:-1] if name in state) if "status" in state else " ".join(map(str, state.values()))
