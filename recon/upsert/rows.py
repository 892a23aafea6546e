"""The rows of one table, found by their key and written in wire values, under a lock that holds until the transaction ends."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Integer, MetaData, Table, bindparam, cast, exc, inspect, select, type_coerce
from sqlalchemy import Text as TextType
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import UserDefinedType

from recon.stores.faults import near
from recon.upsert.change import Change, Conflict, Unfit
from recon.upsert.wire import literal, plain, same, scaled, settled


class AsItIs(UserDefinedType[Any]):
    """No type of SQLAlchemy's: values go to the driver, and come from it, as they are, and the database reads them as the column's."""

    cache_ok = True


class Absent(Exception):
    """A table or a column is not there; `hint` is the setting to mend."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def reflected(connection: Connection, name: str, *, schema: str | None, needed: Iterable[str]) -> Table:
    """The table as it is; raises Absent where it, or a column that is needed, is not there."""
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        raise Absent(f"there is no table {name!r}; {near(name, inspector.get_table_names(schema=schema))}", hint="mend table or schema")
    table = Table(name, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
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
        if op not in {"created", "updated", "deleted"} or not shapes or (op != "deleted" and state is None):
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
        statement = select(*(_untyped(self.table, name) for name in names)).select_from(self.table).where(self._keyed(connection, key))
        if connection.dialect.name != "sqlite":
            statement = statement.with_for_update()
        rows = connection.execute(statement).mappings().all()
        if len(rows) > 1:
            raise Conflict(f"the key stands in {len(rows)} rows")
        return dict(rows[0]) if rows else None

    def insert(self, connection: Connection, key: str, wanted: Mapping[str, Any]) -> bool:
        """False where another session was quicker, so that its row is looked at instead."""
        values = {name: self._value(connection, name, wire) for name, wire in wanted.items()}
        values[self.key] = self._value(connection, self.key, key)
        try:
            with connection.begin_nested():
                connection.execute(self.table.insert().values(values))
        except exc.IntegrityError:
            if self.current(connection, key, ()) is None:
                raise  # A constraint that the event itself breaks.
            return False
        return True

    def update(self, connection: Connection, key: str, values: Mapping[str, Any]) -> None:
        """Writes these columns; raises Conflict where that is not one row."""
        bound = {name: self._value(connection, name, wire) for name, wire in values.items()}
        _just_one(connection.execute(self.table.update().where(self._keyed(connection, key)).values(bound)).rowcount)

    def delete(self, connection: Connection, key: str) -> None:
        """Takes the row out; raises Conflict where that is not one row."""
        _just_one(connection.execute(self.table.delete().where(self._keyed(connection, key))).rowcount)

    def _keyed(self, connection: Connection, key: str) -> Any:
        column = _untyped(self.table, self.key)
        if connection.dialect.name == "postgresql":
            return column == bindparam("recon_key", key, type_=AsItIs())
        number = int(key) if key.isascii() and key.isdigit() and len(key) < 19 and str(int(key)) == key else None
        if connection.dialect.name != "sqlite":
            # Compared with a number, a text is read as one in some databases: 12 would be the row 12-A as well.
            whole = isinstance(self.table.c[self.key].type, Integer) and number is not None
            return column == bindparam("recon_key", number if whole else key, type_=AsItIs())
        forms: list[Any] = [key] if number is None else [key, number]
        return column.in_([bindparam(f"recon_key_{n}", form, type_=AsItIs()) for n, form in enumerate(forms)])

    def _value(self, connection: Connection, name: str, wire: Any) -> Any:
        """A bound value that the database reads as the column's own type."""
        if connection.dialect.name != "postgresql":
            return bindparam(f"recon_{name}", plain(wire), type_=AsItIs())
        declared = self.table.c[name].type
        if isinstance(declared, ARRAY) and isinstance(wire, list):
            members = [None if each is None else literal(each) for each in wire]
            return cast(cast(bindparam(f"recon_{name}", members, type_=AsItIs()), ARRAY(TextType())), declared)
        return bindparam(f"recon_{name}", literal(wire), type_=AsItIs())


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
