"""`type = "apply"`: the correction itself, straight into the store's table, for those who have no bus. Guarded: it never overwrites what it does not expect."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, MetaData, Table, bindparam, cast, exc, inspect, select, type_coerce
from sqlalchemy import Text as TextType
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import UserDefinedType

from recon.errors import DeliveryError
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.database import Database, Late
from recon.publishers.wire import literal, plain, same, scaled, settled
from recon.section import Section
from recon.stores.faults import near

HEALTH_SECONDS = 10.0
INSERT_TRIES = 3


class AsItIs(UserDefinedType[Any]):
    """No type of SQLAlchemy's: values go to the driver, and come from it, as they are, and the database reads them as the column's."""

    cache_ok = True


class Conflict(Exception):
    """The row is not as the event expects it; the message says which columns."""


class Unfit(Exception):
    """The event is none that can be applied."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an event asks of one row: `wanted` and `before` by column, in wire values; `before` is None where there was no row."""

    op: str
    key: str
    wanted: Mapping[str, Any]
    before: Mapping[str, Any] | None


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
        self.database = Database(section)
        self.table_name: str = section.text("table")
        self.schema: str | None = section.text("schema", None)
        self.key: str = section.text("key", "id")
        self.columns: dict[str, str] = _checked(section, "columns", str, "the name of a column")
        self.scale: dict[str, int] = _checked(section, "scale", int, "a number of digits")
        section.finish()
        self._table: Table | None = None

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        outcomes: list[Outcome] = []
        try:
            with self.database.connected(until) as connection:
                table = self._reflected(connection)
                for message in batch:
                    outcomes.append(self._one(connection, table, message, until))
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
                table = self._reflected(connection)
        except exc.SQLAlchemyError as error:
            raise self.database.unreachable(error, hint="check the publisher's url, and that the server runs") from None
        return f"corrections are applied to {table.fullname} at {self.database.address}, by {self.key}"

    def close(self) -> None:
        """Nothing is kept open."""

    def _reflected(self, connection: Connection) -> Table:
        """The table as it is; raises DeliveryError where it, its key or a named column is not there."""
        if self._table is not None:
            return self._table
        inspector = inspect(connection)
        if not inspector.has_table(self.table_name, schema=self.schema):
            hint = near(self.table_name, inspector.get_table_names(schema=self.schema))
            raise DeliveryError(
                f"publisher {self.name}: {self.database.address}: there is no table {self.table_name!r}; {hint}",
                hint="mend table or schema",
            )
        table = Table(self.table_name, MetaData(), schema=self.schema, autoload_with=connection, resolve_fks=False)
        for name in (self.key, *filter(None, self.columns.values())):
            if name not in table.c:
                hint = near(name, table.c.keys())
                raise DeliveryError(
                    f"publisher {self.name}: {self.database.address}: {self.table_name} has no column {name!r}; {hint}",
                    hint="mend key or columns",
                )
        connection.rollback()
        self._table = table
        return table

    def _one(self, connection: Connection, table: Table, message: Message, until: float) -> Outcome:
        """One event in a transaction of its own."""
        committing = False
        try:
            change = self._change(table, message)
            with self.database.transaction(connection, until):
                applied = self._apply(connection, table, change)
                committing = True
                connection.commit()
            return Outcome(kind=OutcomeKind.CONFIRMED, duplicate=not applied)
        except Conflict as error:
            return Outcome(kind=OutcomeKind.REJECTED, reason=f"conflict: {error}")
        except Unfit as error:
            return Outcome(kind=OutcomeKind.REJECTED, reason=str(error))
        except Late as error:
            return self.database.outcome(error)
        except exc.SQLAlchemyError as error:
            outcome = self.database.outcome(error)
            if committing and outcome.kind is not OutcomeKind.REJECTED:
                return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"the commit was not answered: {outcome.reason}")
            return outcome

    def _change(self, table: Table, message: Message) -> Change:
        try:
            data = msgspec.json.decode(message.body)["data"]
            op, key, state, before = data["op"], data["key"], data.get("state"), data.get("before")
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
            raise Unfit(f"this is no corrective event: {error}") from None
        shapes = isinstance(key, str) and all(part is None or isinstance(part, dict) for part in (state, before))
        if op not in {"created", "updated", "deleted"} or not shapes or (op != "deleted" and state is None):
            raise Unfit("this is no corrective event: op, key, state and before do not fit together")
        wanted = {} if op == "deleted" else self._by_column(table, state)
        if op != "deleted" and not wanted:
            raise Unfit(f"none of its fields ({', '.join(state)}) has a column in {table.fullname}")
        return Change(op, key, wanted, None if before is None else self._by_column(table, before))

    def _by_column(self, table: Table, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that have a column, in that column's units."""
        found: dict[str, Any] = {}
        for name, wire in fields.items():
            column = self.columns.get(name, name)
            if column and column in table.c and column != self.key:
                try:
                    found[column] = scaled(wire, self.scale[name]) if name in self.scale else wire
                except ValueError as error:
                    raise Unfit(f"field {name}: {error}") from None
        return found

    def _apply(self, connection: Connection, table: Table, change: Change) -> bool:
        """Makes the change; False where everything is so already. Raises Conflict."""
        for _ in range(INSERT_TRIES):
            row = self._current(connection, table, change)
            if change.op == "deleted":
                return row is not None and self._delete(connection, table, change, row)
            if row is not None:
                return self._update(connection, table, change, row)
            if change.op == "updated" and change.before is not None:
                raise Conflict("the row is gone")
            if self._insert(connection, table, change):
                return True
        raise Conflict("another session inserts the same row")

    def _current(self, connection: Connection, table: Table, change: Change) -> Mapping[str, Any] | None:
        """The row as it stands, locked until the transaction ends."""
        columns = [name for name in table.c.keys() if name == self.key or name in change.wanted or name in (change.before or {})]  # noqa: SIM118 -- A collection of columns is iterated by column.
        # Without a type the driver gives what the column holds, not what its declaration would make of it.
        statement = select(*(_untyped(table, name) for name in columns)).select_from(table).where(self._keyed(table, change.key))
        if self.database.is_postgres:
            statement = statement.with_for_update()
        rows = connection.execute(statement).mappings().all()
        if len(rows) > 1:
            raise Conflict(f"the key stands in {len(rows)} rows")
        return dict(rows[0]) if rows else None

    def _update(self, connection: Connection, table: Table, change: Change, row: Mapping[str, Any]) -> bool:
        # Only what differs is written: a wire value may be coarser than what the column holds.
        before = change.before or {}
        differing = {name: wire for name, wire in change.wanted.items() if not settled(row[name], wire, before.get(name, wire))}
        if not differing:
            return False
        self._demand_before(change, row)
        values = {name: self._value(table, name, wire) for name, wire in differing.items()}
        done = connection.execute(table.update().where(self._keyed(table, change.key)).values(values))
        return self._just_one(done.rowcount)

    def _delete(self, connection: Connection, table: Table, change: Change, row: Mapping[str, Any]) -> bool:
        self._demand_before(change, row)
        done = connection.execute(table.delete().where(self._keyed(table, change.key)))
        return self._just_one(done.rowcount)

    def _insert(self, connection: Connection, table: Table, change: Change) -> bool:
        """False where another session was quicker, so that its row is looked at instead."""
        values = {name: self._value(table, name, wire) for name, wire in change.wanted.items()}
        values[self.key] = self._value(table, self.key, change.key)
        try:
            with connection.begin_nested():
                connection.execute(table.insert().values(values))
        except exc.IntegrityError:
            if self._current(connection, table, change) is None:
                raise  # A constraint that the event itself breaks.
            return False
        return True

    def _demand_before(self, change: Change, row: Mapping[str, Any]) -> None:
        if change.before is None:
            raise Conflict("the row is there, and other than the event wants it")
        moved = [name for name, wire in change.before.items() if not same(row[name], wire)]
        if moved:
            raise Conflict(f"{', '.join(moved)} changed since the event was made")

    def _just_one(self, count: int) -> bool:
        if count != 1:
            raise Conflict(f"{count} rows were concerned")
        return True

    def _keyed(self, table: Table, key: str) -> Any:
        column = _untyped(table, self.key)
        if self.database.is_postgres:
            return column == bindparam("recon_key", key, type_=AsItIs())
        forms: list[Any] = [key, int(key)] if key.isascii() and key.isdigit() and len(key) < 19 and str(int(key)) == key else [key]
        return column.in_([bindparam(f"recon_key_{n}", form, type_=AsItIs()) for n, form in enumerate(forms)])

    def _value(self, table: Table, name: str, wire: Any) -> Any:
        """A bound value that the database reads as the column's own type."""
        if not self.database.is_postgres:
            return bindparam(f"recon_{name}", plain(wire), type_=AsItIs())
        declared = table.c[name].type
        if isinstance(declared, ARRAY) and isinstance(wire, list):
            members = [None if each is None else literal(each) for each in wire]
            return cast(cast(bindparam(f"recon_{name}", members, type_=AsItIs()), ARRAY(TextType())), declared)
        return bindparam(f"recon_{name}", literal(wire), type_=AsItIs())


def _untyped(table: Table, name: str) -> Any:
    return type_coerce(table.c[name], AsItIs()).label(name)


def _checked(section: Section, key: str, kind: type, words: str) -> dict[str, Any]:
    found: dict[str, Any] = section.mapping(key, {})
    for name, value in found.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            raise section.bad(key, f"{name} wants {words}, not {type(value).__name__}")
    return dict(found)
