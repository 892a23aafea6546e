"""The rows of one table, found by their key and written in wire values, under a lock that holds until the transaction ends."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    cast,
    exc,
    false,
    func,
    inspect,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy import Text as TextType
from sqlalchemy.dialects.mysql import BIT, TIMESTAMP
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import UserDefinedType

from recon.stores.faults import near
from recon.stores.mysql import bits, exact, is_mysql, loose_engine
from recon.upsert.change import Change, Conflict, Unfit
from recon.upsert.savepoint import savepoint
from recon.upsert.wire import clocked, literal, plain, same, scaled, settled

UTC_ZONE: Any = literal_column("'+00:00'")
SESSION_ZONE: Any = literal_column("@@session.time_zone")
"""Between which a TIMESTAMP of MySQL's is brought: it is shown in the session's zone, and the session is the application's."""
ON_UPDATE = "on update"


class AsItIs(UserDefinedType[Any]):
    """No type of SQLAlchemy's: values go to the driver, and come from it, as they are, and the database reads them as the column's."""

    cache_ok = True


class Absent(Exception):
    """A table or a column is not there, or not as it is needed; `hint` is the setting to mend."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def reflected(connection: Connection, name: str, *, schema: str | None, needed: Iterable[str]) -> Table:
    """The table as it is; raises Absent where it, or a column that is needed, is not there, or it has no transactions."""
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        raise Absent(f"there is no table {name!r}; {near(name, inspector.get_table_names(schema=schema))}", hint="mend table or schema")
    table = Table(name, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
    engine = loose_engine(table.kwargs) if is_mysql(connection.dialect.name) else None
    if engine is not None:
        raise Absent(f"{name} is kept by {engine}, which has no transactions", hint=f"ALTER TABLE {name} ENGINE = InnoDB")
    for column in needed:
        if column not in table.c:
            raise Absent(f"{name} has no column {column!r}; {near(column, table.c.keys())}", hint="mend key or columns")
    return table


class Rows:
    """A table's rows by `key`; a field goes to its column by `columns`, else to the one of its own name; `scale` as for major units."""

    def __init__(self, table: Table, *, key: str, columns: Mapping[str, str], scale: Mapping[str, int]) -> None:
        self.table = table
        self.key = key
        self.columns = columns
        self.scale = scale

    def change(self, data: Mapping[str, Any]) -> Change:
        """What an event's data asks; raises Unfit where it is none that this table can take."""
        try:
            op, key, state, before = data["op"], data["key"], data.get("state"), data.get("before")
        except (KeyError, TypeError, AttributeError) as error:
            raise Unfit(f"this is no corrective event: {error}") from None
        shapes = isinstance(key, str) and all(part is None or isinstance(part, dict) for part in (state, before))
        if op not in ("created", "updated", "deleted") or not shapes or (op != "deleted" and state is None):
            raise Unfit("this is no corrective event: op, key, state and before do not fit together")
        wanted = {} if op == "deleted" else self.by_column(state or {})
        if op != "deleted" and not wanted:
            raise Unfit(f"none of its fields ({', '.join(state or {})}) has a column in {self.table.fullname}")
        return Change(op, key, wanted, None if before is None else self.by_column(before))

    def by_column(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that have a column, in that column's units."""
        found: dict[str, Any] = {}
        for name, wire in fields.items():
            column = self.columns.get(name, name)
            if column and column in self.table.c and column != self.key:
                try:
                    found[column] = scaled(wire, self.scale[name]) if name in self.scale else wire
                except ValueError as error:
                    raise Unfit(f"field {name}: {error}") from None
        return found

    def current(self, connection: Connection, key: str, columns: Iterable[str]) -> Mapping[str, Any] | None:
        """The row's key and these columns as they stand, locked until the transaction ends; raises Conflict where there are several."""
        asked = {self.key, *columns}
        names = [name for name in self.table.c.keys() if name in asked]  # noqa: SIM118 -- A collection of columns is iterated by column.
        # Without a type the driver gives what the column holds, not what its declaration would make of it.
        statement = select(*(self._read(connection, name) for name in names)).select_from(self.table).where(self._keyed(connection, key))
        if connection.dialect.name != "sqlite":
            statement = statement.with_for_update()
        rows = connection.execute(statement).mappings().all()
        if len(rows) > 1:
            raise Conflict(f"the key stands in {len(rows)} rows")
        if not rows:
            return None
        if not is_mysql(connection.dialect.name):
            return dict(rows[0])
        return {name: bits(held) if held is not None and self._is(name, BIT) else held for name, held in rows[0].items()}

    def insert(self, connection: Connection, key: str, wanted: Mapping[str, Any]) -> bool:
        """False where another session was quicker, so that its row is looked at instead."""
        values = {name: self._value(connection, name, wire) for name, wire in wanted.items()}
        values[self.key] = self._value(connection, self.key, key)
        try:
            with savepoint(connection):
                connection.execute(self.table.insert().values(values))
        except exc.IntegrityError:
            if self.current(connection, key, ()) is None:
                raise  # A constraint that the event itself breaks.
            return False
        return True

    def update(self, connection: Connection, key: str, values: Mapping[str, Any], *, told: Iterable[str] = ()) -> None:
        """Writes these columns; raises Conflict where that is not one row. `told` are those that the event tells, and that may stand so already."""
        bound = {name: self._value(connection, name, wire) for name, wire in values.items()}
        if is_mysql(connection.dialect.name):
            # Such a column becomes the present at every write that does not name it, and a version must not.
            bound |= {name: self.table.c[name] for name in told if name not in bound and self._turns(name)}
        _just_one(connection.execute(self.table.update().where(self._keyed(connection, key)).values(bound)).rowcount)

    def delete(self, connection: Connection, key: str) -> None:
        """Takes the row out; raises Conflict where that is not one row."""
        _just_one(connection.execute(self.table.delete().where(self._keyed(connection, key))).rowcount)

    def _keyed(self, connection: Connection, key: str) -> Any:
        column = _untyped(self.table, self.key)
        if connection.dialect.name == "postgresql":
            return column == bindparam("recon_key", key, type_=AsItIs())
        if is_mysql(connection.dialect.name):
            return self._keyed_by_bytes(key)
        number = int(key) if key.isascii() and key.isdigit() and len(key) < 19 and str(int(key)) == key else None
        if connection.dialect.name != "sqlite":
            # Compared with a number, a text is read as one in some databases: 12 would be the row 12-A as well.
            whole = isinstance(self.table.c[self.key].type, Integer) and number is not None
            return column == bindparam("recon_key", number if whole else key, type_=AsItIs())
        forms: list[Any] = [key] if number is None else [key, number]
        return column.in_([bindparam(f"recon_key_{n}", form, type_=AsItIs()) for n, form in enumerate(forms)])

    def _keyed_by_bytes(self, key: str) -> Any:
        """On MySQL: a text finds what is its own, byte for byte, and not what the collation takes for the same, or for the same number."""
        column, bound = _untyped(self.table, self.key), bindparam("recon_key", key, type_=AsItIs())
        if self._is(self.key, Integer):
            digits = key.removeprefix("-")
            whole = digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS and str(int(key)) == key
            return column == bindparam("recon_key", int(key), type_=AsItIs()) if whole else false()
        return and_(column == bound, exact(column) == bound) if self._is(self.key, String) else column == bound

    def _is(self, name: str, kind: Any) -> bool:
        return isinstance(self.table.c[name].type, kind)

    def _turns(self, name: str) -> bool:
        """Whether the server sets it at every write."""
        default = getattr(self.table.c[name].server_default, "arg", "")
        return ON_UPDATE in str(getattr(default, "text", default)).lower()

    def _read(self, connection: Connection, name: str) -> Any:
        """The column as it is; a TIMESTAMP of MySQL's in UTC."""
        if is_mysql(connection.dialect.name) and self._is(name, TIMESTAMP):
            return func.convert_tz(self.table.c[name], SESSION_ZONE, UTC_ZONE, type_=AsItIs()).label(name)
        return _untyped(self.table, name)

    def _value(self, connection: Connection, name: str, wire: Any) -> Any:
        """A bound value that the database reads as the column's own type."""
        if is_mysql(connection.dialect.name) and self._is(name, DateTime):
            moment = bindparam(f"recon_{name}", clocked(wire), type_=AsItIs())
            return func.convert_tz(moment, UTC_ZONE, SESSION_ZONE, type_=AsItIs()) if self._is(name, TIMESTAMP) else moment
        if connection.dialect.name != "postgresql":
            return bindparam(f"recon_{name}", plain(wire), type_=AsItIs())
        declared = self.table.c[name].type
        if isinstance(declared, ARRAY) and isinstance(wire, list):
            members = [None if each is None else literal(each) for each in wire]
            return cast(cast(bindparam(f"recon_{name}", members, type_=AsItIs()), ARRAY(TextType())), declared)
        return bindparam(f"recon_{name}", literal(wire), type_=AsItIs())


MOST_DIGITS = 20
"""Of an unsigned number of 64 bits."""


def differing(change: Change, row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are not as wanted: a wire value may be coarser than what the column holds, and what comes to the same stays."""
    before = change.before or {}
    return {name: wire for name, wire in change.wanted.items() if not settled(row[name], wire, before.get(name, wire))}


def moved(before: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """The columns that are not as they were."""
    return [name for name, wire in before.items() if not same(row[name], wire)]


def _untyped(table: Table, name: str) -> Any:
    return type_coerce(table.c[name], AsItIs()).label(name)


def _just_one(count: int) -> None:
    if count != 1:
        raise Conflict(f"{count} rows were concerned")
