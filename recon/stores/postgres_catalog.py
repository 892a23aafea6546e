"""What PostgreSQL's catalogue says about a relation: its columns, their types, what is unique, and who may write."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from recon.stores.postgres_types import PgType

Connection = psycopg.Connection[tuple[Any, ...]]

RELATION = """
SELECT c.oid, c.relkind::text, c.relhassubclass, n.nspname || '.' || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)
"""

COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum"

TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1 LIMIT 5000
"""

# An index proves uniqueness only if it is whole (not partial, not on an expression, valid), on this column alone (INCLUDEd ones do
# not count), and checked at once: a deferrable constraint may be broken inside a transaction.
UNIQUE = """
SELECT EXISTS (
  SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  WHERE i.indrelid = %s AND a.attname = %s AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate
    AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = 1)
"""

RIGHTS = """
SELECT has_table_privilege(%s::oid, 'INSERT') OR has_table_privilege(%s::oid, 'UPDATE') OR has_table_privilege(%s::oid, 'DELETE')
    OR has_any_column_privilege(%s::oid, 'INSERT, UPDATE')
"""

TYPES = "SELECT oid::bigint, typcategory::text FROM pg_type WHERE oid = ANY(%s::oid[])"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or the like, as the catalogue knows it."""

    oid: int
    kind: str
    has_children: bool
    name: str
    columns: tuple[str, ...]


def find_relation(connection: Connection, quoted: str) -> Relation | None:
    """The relation of this quoted name, by the user's search path; None where there is none."""
    row = connection.execute(RELATION, [quoted]).fetchone()
    if row is None:
        return None
    columns = tuple(str(found[0]) for found in connection.execute(COLUMNS, [row[0]]))
    return Relation(oid=row[0], kind=row[1], has_children=row[2], name=row[3], columns=columns)


def table_names(connection: Connection) -> list[str]:
    """Every table and view, for near misses."""
    return [str(row[0]) for row in connection.execute(TABLES)]


def is_unique(connection: Connection, relation: Relation, column: str) -> bool:
    """Whether no value but null can be in this column twice. A parent of inheriting tables proves nothing: its index covers only itself."""
    if relation.has_children and relation.kind != "p":
        return False
    row = connection.execute(UNIQUE, [relation.oid, column]).fetchone()
    return bool(row and row[0])


def may_write(connection: Connection, relation: Relation) -> bool:
    """Whether this user could change the relation's rows here and now."""
    standby = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if standby and standby[0]:
        return False
    row = connection.execute(RIGHTS, [relation.oid] * 4).fetchone()
    return bool(row and row[0])


def types_of(connection: Connection, oids: Iterable[int]) -> dict[int, PgType]:
    """The types of these oids."""
    found = {int(oid): str(category) for oid, category in connection.execute(TYPES, [list(set(oids))])}
    return {oid: PgType(oid, found.get(oid, "U")) for oid in oids}
