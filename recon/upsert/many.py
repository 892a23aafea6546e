"""Many rows of one table at once: read under their locks by one statement, and written by one for each kind of change.

For PostgreSQL and SQLite, and for keys of which it is plain which row is meant: those that the database gives back as the text that was
asked for. Whatever else there is raises Unclear before anything is written, and is a matter for `Rows`, one by one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import CHAR, Connection, Integer, String, Uuid, bindparam, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY, CITEXT

from recon.upsert.rows import AsItIs, Rows
from recon.upsert.wire import literal, plain

KEY = "recon_key"
Wanted = tuple[Any, Mapping[str, Any]]
"""A row's key and its columns in wire values."""


class Unclear(Exception):
    """These are to be looked at one by one."""


class Many:
    """The rows of `rows` by many keys, all of them different."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._table = rows.table
        self._key = rows.table.c[rows.key]

    def check(self, connection: Connection, keys: Iterable[str]) -> None:
        """Raises Unclear where a key of these may mean a row whose key is another text."""
        dialect = connection.dialect.name
        if dialect not in {"postgresql", "sqlite"} or not all(self._plain(dialect, key) for key in keys):
            raise Unclear

    def current(
        self, connection: Connection, keys: Collection[str], columns: Iterable[str], *, locked: bool
    ) -> dict[str, Mapping[str, Any]]:
        """Each row's key and these columns as they stand, by the key as it was asked for; raises Unclear where it is not plain which is which."""
        asked = {self._rows.key, *columns}
        names = [name for name in self._table.c.keys() if name in asked]  # noqa: SIM118 -- A collection of columns is iterated by column.
        forms: list[Any] = list(keys)
        if connection.dialect.name == "sqlite":
            forms += [int(key) for key in keys if _is_whole(key)]
        chosen = bindparam("recon_keys", forms, expanding=True, type_=AsItIs())
        query = select(*(type_coerce(self._table.c[name], AsItIs()).label(name) for name in names)).select_from(self._table)
        query = query.where(type_coerce(self._key, AsItIs()).in_(chosen))
        if locked and connection.dialect.name != "sqlite":
            # In one order, whoever asks: of two batches with the same rows one waits for the other, and neither for ever.
            query = query.order_by(self._key).with_for_update()
        found: dict[str, Mapping[str, Any]] = {}
        for row in connection.execute(query).mappings():
            key = str(row[self._rows.key])
            if key in found or key not in keys:
                raise Unclear
            found[key] = dict(row)
        return found

    def insert(self, connection: Connection, wanted: Sequence[Wanted]) -> None:
        """Rows that are not there."""
        for names, rows in self._grouped(connection, wanted).items():
            values = {name: bindparam(f"recon_{name}", type_=AsItIs()) for name in names}
            connection.execute(self._table.insert().values({self._rows.key: bindparam(KEY, type_=AsItIs()), **values}), rows)

    def update(self, connection: Connection, wanted: Sequence[Wanted]) -> None:
        """Rows that are there and locked; the key is the column's own value."""
        for names, rows in self._grouped(connection, [one for one in wanted if one[1]]).items():
            values = {name: bindparam(f"recon_{name}", type_=AsItIs()) for name in names}
            keyed = type_coerce(self._key, AsItIs()) == bindparam(KEY, type_=AsItIs())
            done = connection.execute(self._table.update().where(keyed).values(values), rows)
            _just(connection, done.rowcount, len(rows))

    def delete(self, connection: Connection, keys: Sequence[Any]) -> None:
        """Takes them out."""
        chosen = bindparam("recon_keys", list(keys), expanding=True, type_=AsItIs())
        done = connection.execute(self._table.delete().where(type_coerce(self._key, AsItIs()).in_(chosen)))
        if done.rowcount != len(keys):
            raise Unclear

    def _plain(self, dialect: str, key: str) -> bool:
        kind = self._key.type
        if isinstance(kind, Integer):
            return _is_whole(key)
        if dialect == "sqlite":
            return True
        if isinstance(kind, Uuid):
            return _is_uuid(key)
        return isinstance(kind, String) and not isinstance(kind, CHAR | CITEXT) and kind.collation is None

    def _grouped(self, connection: Connection, wanted: Sequence[Wanted]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
        """What is bound, by the columns that are written."""
        written = literal if connection.dialect.name == "postgresql" else plain
        found: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for key, columns in wanted:
            if any(isinstance(wire, list) and isinstance(self._table.c[name].type, ARRAY) for name, wire in columns.items()):
                raise Unclear
            found[tuple(sorted(columns))].append({KEY: key, **{f"recon_{name}": written(wire) for name, wire in columns.items()}})
        return found


def _just(connection: Connection, count: int, wanted: int) -> None:
    # Some drivers count the last statement of many only; the rows are locked either way.
    if connection.dialect.supports_sane_multi_rowcount and count != wanted:
        raise Unclear


def _is_whole(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 19 and str(int(key)) == key


def _is_uuid(key: str) -> bool:
    try:
        return str(UUID(key)) == key
    except ValueError:
        return False
