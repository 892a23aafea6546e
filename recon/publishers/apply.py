"""`type = "apply"`: the correction itself, straight into the store's table, for those who have no bus. Guarded: it never overwrites what it does not expect."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, exc

from recon.errors import DeliveryError
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.database import DIALECTS, Database, Late
from recon.publishers.rounds import in_rounds
from recon.section import Section
from recon.stores.address import MYSQL
from recon.stores.mysql import DEADLOCK, PACKET, code
from recon.upsert.change import Change, Conflict, Unfit
from recon.upsert.rows import Absent, Rows, differing, moved, reflected

HEALTH_SECONDS = 10.0
INSERT_TRIES = 3
TRIES = 10
PAUSE_SECONDS = 0.005


class TurnedAway(Exception):
    """Two transactions waited for each other, and this one was ended."""


class ApplyPublisher:
    """A guarded upsert. CONFIRMED means committed; a row that is already as wanted is a duplicate.

    Keys: `url`, `table`, `schema`, `key` (its column, default `id`), `columns` (event field = column; by default a field goes to the column
    of its own name, and one without such a column is left out; an empty text leaves it out on purpose), `scale` (field = digits: the column holds
    major units, 1999 is written as 19.99), `connect_timeout`. Created: inserted if there is no such row. Updated and deleted: only if
    the row still is as the event's `before` says, else REJECTED as a conflict, which the next night finds again.
    """

    capabilities = Capabilities(versions=False, batch=100)

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self.database = Database(section, dialects=(*DIALECTS, *MYSQL))
        self.table_name: str = section.text("table")
        self.schema: str | None = section.text("schema", None)
        self.key: str = section.text("key", "id")
        self.columns: dict[str, str] = _checked(section, "columns", str, "the name of a column")
        self.scale: dict[str, int] = _checked(section, "scale", int, "a number of digits")
        section.finish()
        self._rows: Rows | None = None

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # An event whose key still waits for an earlier one would be a conflict, and a dead letter.
        return in_rounds(batch, lambda part: self._published(part, until))

    def _published(self, batch: Sequence[Message], until: float) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        try:
            with self.database.connected(until) as connection:
                rows = self._reflected(connection)
                for message in batch:
                    outcomes.append(self._one(connection, rows, message, until))
                    if connection.invalidated:
                        break
        except exc.SQLAlchemyError as error:
            rest = Outcome(kind=OutcomeKind.RETRY, reason=self.database.words(error))
        except DeliveryError as error:
            rest = Outcome(kind=OutcomeKind.RETRY, reason=error.message)
        else:
            rest = Outcome(kind=OutcomeKind.RETRY, reason="the connection was lost before it was tried")
        return outcomes + [rest] * (len(batch) - len(outcomes))

    def health(self) -> str:
        try:
            with self.database.connected(time.monotonic() + HEALTH_SECONDS) as connection:
                table = self._reflected(connection).table
        except exc.SQLAlchemyError as error:
            raise self.database.unreachable(error, hint="check the publisher's url, and that the server runs") from None
        return f"corrections are applied to {table.fullname} at {self.database.address}, by {self.key}"

    def close(self) -> None:
        """Nothing is kept open."""

    def _reflected(self, connection: Connection) -> Rows:
        """The table as it is; raises DeliveryError where it, its key or a named column is not there."""
        if self._rows is None:
            needed = (self.key, *filter(None, self.columns.values()))
            try:
                table = reflected(connection, self.table_name, schema=self.schema, needed=needed)
            except Absent as error:
                raise DeliveryError(f"publisher {self.name}: {self.database.address}: {error}", hint=error.hint) from None
            connection.rollback()
            self._rows = Rows(table, key=self.key, columns=self.columns, scale=self.scale)
        return self._rows

    def _one(self, connection: Connection, rows: Rows, message: Message, until: float) -> Outcome:
        """One event in a transaction of its own; a new one where it met another's on MariaDB, which ends one of the two, and there is time."""
        for tried in range(1, TRIES):
            try:
                return self._once(connection, rows, message, until)
            except TurnedAway:
                time.sleep(min(PAUSE_SECONDS * tried, max(0.0, until - time.monotonic())))
        return self._once(connection, rows, message, until, last=True)

    def _once(self, connection: Connection, rows: Rows, message: Message, until: float, *, last: bool = False) -> Outcome:
        """Raises TurnedAway, unless this is the `last` time."""
        committing = False
        try:
            change = _change(rows, message)
            _check_size(change, connection.info.get(PACKET))
            with self.database.transaction(connection, until):
                applied = _applied(connection, rows, change)
                committing = True
                connection.commit()
            return Outcome(kind=OutcomeKind.CONFIRMED, duplicate=not applied)
        except Conflict as error:
            return Outcome(kind=OutcomeKind.REJECTED, reason=f"conflict: {error}")
        except (Unfit, OverflowError, UnicodeError) as error:
            # The latter are the driver's own, before anything was sent: a number of more than 64 bits, half a character.
            return Outcome(kind=OutcomeKind.REJECTED, reason=str(error))
        except Late as error:
            return self.database.outcome(error)
        except exc.SQLAlchemyError as error:
            if not last and not committing and code(error) == DEADLOCK:
                raise TurnedAway from error
            outcome = self.database.outcome(error)
            if committing and outcome.kind is not OutcomeKind.REJECTED:
                return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"the commit was not answered: {outcome.reason}")
            return outcome


def _change(rows: Rows, message: Message) -> Change:
    try:
        return rows.change(msgspec.json.decode(message.body)["data"])
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise Unfit(f"this is no corrective event: {error}") from None


def _check_size(change: Change, most: int | None) -> None:
    if most is None:
        return
    size = sum(len(str(wire).encode(errors="replace")) for wire in change.wanted.values())
    if size >= most:
        raise Unfit(f"its {size:,} bytes are more than the server's max_allowed_packet takes, {most:,}")


def _applied(connection: Connection, rows: Rows, change: Change) -> bool:
    """Makes the change; False where everything is so already. Raises Conflict."""
    for _ in range(INSERT_TRIES):
        row = rows.current(connection, change.key, {*change.wanted, *(change.before or {})})
        if row is None and change.op == "deleted":
            return False
        if row is None and change.op == "updated" and change.before is not None:
            raise Conflict("the row is gone")
        if row is not None:
            return _written(connection, rows, change, row)
        if rows.insert(connection, change.key, change.wanted):
            return True
    raise Conflict("another session inserts the same row")


def _written(connection: Connection, rows: Rows, change: Change, row: Mapping[str, Any]) -> bool:
    values = differing(change, row)
    if change.op != "deleted" and not values:
        return False
    if change.before is None:
        raise Conflict("the row is there, and other than the event wants it")
    if others := moved(change.before, row):
        raise Conflict(f"{', '.join(others)} changed since the event was made")
    if change.op == "deleted":
        rows.delete(connection, change.key)
    else:
        rows.update(connection, change.key, values, told=change.wanted)
    return True


def _checked(section: Section, key: str, kind: type, words: str) -> dict[str, Any]:
    found: dict[str, Any] = section.mapping(key, {})
    for name, value in found.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            raise section.bad(key, f"{name} wants {words}, not {type(value).__name__}")
    return dict(found)
