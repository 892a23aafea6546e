"""The tables of an application's end, in the application's own database."""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable

from recon.stores.address import MYSQL
from recon.stores.mysql import is_mysql

KEY_CHARACTERS = 255
"""What an index of any of the databases takes in a text column."""
BYTES_OF_A_CHARACTER = 4


class Key(TypeDecorator[str]):
    """A key, told apart byte by byte: on MariaDB and MySQL kept as bytes, where a column of text would take `a` for `A` and for `a `."""

    impl = String(KEY_CHARACTERS)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """The type in this dialect."""
        if is_mysql(dialect.name):
            return dialect.type_descriptor(mysql.VARBINARY(KEY_CHARACTERS * BYTES_OF_A_CHARACTER))
        return dialect.type_descriptor(String(KEY_CHARACTERS))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        """As the driver takes it."""
        return value.encode() if value is not None and is_mysql(dialect.name) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """As we know it."""
        return bytes(value).decode() if value is not None and is_mysql(dialect.name) else value


MOMENT = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), *MYSQL)
BODY = LargeBinary().with_variant(mysql.LONGBLOB(), *MYSQL)
LONG = Text().with_variant(mysql.LONGTEXT(), *MYSQL)
"""MySQL's own would cut a time to the second, and end a body or its headers at 64 KiB."""


class Tables:
    """`inbox`, `marks`, `conflicts` and `dead_letters`, their names begun with `prefix`."""

    def __init__(self, *, prefix: str, schema: str | None) -> None:
        self.metadata = MetaData(schema=schema)
        self.inbox = self._table(
            f"{prefix}inbox",
            Column("consumer", Key(), primary_key=True),
            Column("id", Key(), primary_key=True),
            Column("at", MOMENT, nullable=False, index=True),
        )
        self.marks = self._table(
            f"{prefix}marks",
            Column("target", Key(), primary_key=True),
            Column("key", Key(), primary_key=True),
            Column("version", Text),
            Column("bound", Boolean, nullable=False),
            Column("observed", Text),
            Column("deleted", Boolean, nullable=False),
            Column("told", Text),
            Column("told_version", Text),
            Column("gone", Text),
            Column("wrote", Text),
            Column("event", Text),
            Column("at", MOMENT, nullable=False),
        )
        self.conflicts = self._table(
            f"{prefix}conflicts",
            Column("target", Key(), primary_key=True),
            Column("id", Key(), primary_key=True),
            Column("key", Key(), nullable=False, index=True),
            Column("version", Text),
            Column("observed", Text),
            Column("reason", LONG, nullable=False),
            Column("body", BODY),
            Column("times", Integer, nullable=False),
            Column("at", MOMENT, nullable=False),
            Column("settled_at", MOMENT),
        )
        self.dead_letters = self._table(
            f"{prefix}dead_letters",
            Column("consumer", Key(), primary_key=True),
            Column("digest", String(64), primary_key=True),
            Column("id", Text),
            Column("body", BODY, nullable=False),
            Column("headers", LONG, nullable=False),
            Column("reason", LONG, nullable=False),
            Column("at", MOMENT, nullable=False),
        )

    def create(self, bind: Engine | Connection) -> None:
        """Makes those that are not there."""
        self.metadata.create_all(bind)

    def ddl(self, dialect: Dialect) -> str:
        """The statements that make them, for those who migrate by themselves."""
        statements: list[str] = []
        for table in self.metadata.sorted_tables:
            statements.append(str(CreateTable(table).compile(dialect=dialect)).strip())
            statements += [
                str(CreateIndex(index).compile(dialect=dialect)).strip() for index in sorted(table.indexes, key=lambda i: str(i.name))
            ]
        return ";\n\n".join(statements) + ";\n"

    def _table(self, name: str, *columns: Column[Any]) -> Table:
        return Table(name, self.metadata, *columns)
