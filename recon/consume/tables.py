"""The tables of an application's end, in the application's own database."""

from typing import Any

from sqlalchemy import Boolean, Column, Connection, DateTime, Dialect, Engine, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.schema import CreateIndex, CreateTable

KEY_CHARACTERS = 255
"""What an index of any of the databases takes in a text column."""


class Tables:
    """`inbox`, `marks`, `conflicts` and `dead_letters`, their names begun with `prefix`."""

    def __init__(self, *, prefix: str, schema: str | None) -> None:
        self.metadata = MetaData(schema=schema)
        self.inbox = self._table(
            f"{prefix}inbox",
            Column("consumer", String(KEY_CHARACTERS), primary_key=True),
            Column("id", String(KEY_CHARACTERS), primary_key=True),
            Column("at", DateTime(timezone=True), nullable=False, index=True),
        )
        self.marks = self._table(
            f"{prefix}marks",
            Column("target", String(KEY_CHARACTERS), primary_key=True),
            Column("key", String(KEY_CHARACTERS), primary_key=True),
            Column("version", Text),
            Column("bound", Boolean, nullable=False),
            Column("observed", Text),
            Column("deleted", Boolean, nullable=False),
            Column("told", Text),
            Column("told_version", Text),
            Column("gone", Text),
            Column("wrote", Text),
            Column("event", Text),
            Column("at", DateTime(timezone=True), nullable=False),
        )
        self.conflicts = self._table(
            f"{prefix}conflicts",
            Column("target", String(KEY_CHARACTERS), primary_key=True),
            Column("id", String(KEY_CHARACTERS), primary_key=True),
            Column("key", String(KEY_CHARACTERS), nullable=False, index=True),
            Column("version", Text),
            Column("observed", Text),
            Column("reason", Text, nullable=False),
            Column("body", LargeBinary),
            Column("times", Integer, nullable=False),
            Column("at", DateTime(timezone=True), nullable=False),
            Column("settled_at", DateTime(timezone=True)),
        )
        self.dead_letters = self._table(
            f"{prefix}dead_letters",
            Column("consumer", String(KEY_CHARACTERS), primary_key=True),
            Column("digest", String(64), primary_key=True),
            Column("id", Text),
            Column("body", LargeBinary, nullable=False),
            Column("headers", Text, nullable=False),
            Column("reason", Text, nullable=False),
            Column("at", DateTime(timezone=True), nullable=False),
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
