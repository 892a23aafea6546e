"""What each dialect calls what a fold needs: names, texts, a member of a JSON document with all its digits."""

from collections.abc import Sequence

from recon.errors import StoreMismatch
from recon.stores.address import MYSQL

NO_JSON = "7777777"
"""What stands in the error that MariaDB is made to raise for an event that is no JSON: its own functions would take it for an empty one."""


class Words:
    """What a dialect calls things."""

    def __init__(self, dialect: str) -> None:
        from sqlalchemy.dialects import mysql, postgresql, sqlite

        self.postgres = dialect == "postgresql"
        self.mysql = dialect in MYSQL
        kind = postgresql.dialect if self.postgres else mysql.dialect if self.mysql else sqlite.dialect
        made = kind()
        self._quote = made.identifier_preparer.quote_identifier
        self.key = self.name("key") if self.mysql else "key"
        #: Last is what has no position; MySQL has it so, and no words for it.
        self.newest_first = "DESC" if self.mysql else "DESC NULLS LAST"

    def name(self, name: str) -> str:
        """A column or table, quoted; a colon in it is none of a parameter."""
        return str(self._quote(name)).replace(":", "\\:")

    def text(self, text: str) -> str:
        """A text as a literal."""
        if self.mysql:
            text = text.replace("\\", "\\\\")
        return "'" + text.replace("'", "''").replace(":", "\\:") + "'"

    def written(self, value: str) -> str:
        """A value as text."""
        return f"CAST({value} AS {'CHAR' if self.mysql else 'TEXT'})"

    def exactly(self, value: str) -> str:
        """A text as it is compared: on MySQL by its bytes, which no collation folds."""
        return f"CAST(CAST({value} AS CHAR) AS BINARY)" if self.mysql else value

    def apart(self, key: str) -> str:
        """By what the events of a key are told from those of another."""
        return f"{key}, {self.exactly(key)}" if self.mysql else key

    def json(self, column: str) -> str:
        """The event's data as JSON, whatever the column is declared as."""
        if self.mysql:
            return column
        return f"CAST({column} AS {'jsonb' if self.postgres else 'TEXT'})"

    def value(self, data: str, path: Sequence[str]) -> str:
        """What stands there, as text with all its digits; null where nothing does."""
        where = self._where(path)
        if self.postgres:
            return f"{data} #>> {where}"
        if self.mysql:
            found = f"json_extract({data}, {where})"
            refused = f"exp(length({data}) + {NO_JSON})"  # Beyond what a number can be, which is an error there, whatever the mode.
            taken = f"CASE json_type({found}) WHEN 'STRING' THEN json_unquote({found}) WHEN 'NULL' THEN NULL ELSE {found} END"
            return f"CASE WHEN {data} IS NULL THEN NULL WHEN json_valid({data}) THEN {taken} ELSE {refused} END"
        # A number's own text, not the number: SQLite would make a double of 1.10.
        return f"CASE json_type({data}, {where}) WHEN 'text' THEN json_extract({data}, {where}) WHEN 'null' THEN NULL ELSE {data} -> {where} END"

    def present(self, data: str, path: Sequence[str]) -> str:
        """Whether something stands there, null included."""
        where = self._where(path)
        if self.mysql:
            return f"json_type(json_extract({data}, {where})) IS NOT NULL"
        return f"{data} #> {where} IS NOT NULL" if self.postgres else f"json_type({data}, {where}) IS NOT NULL"

    def _where(self, path: Sequence[str]) -> str:
        odd = next((part for part in path if not self.postgres and ('"' in part or "\\" in part)), None)
        if odd is not None:
            msg = f"a member called {odd!r} cannot be named in a path of {'MariaDB' if self.mysql else 'SQLite'}'s"
            raise StoreMismatch(msg, hint="give the field an expression= instead of a column=")
        quoted = ['"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in path]
        if self.postgres:
            return self.text("{" + ",".join(quoted) + "}")
        steps = (f"[{part}]" if part.isdigit() else f".{name}" for part, name in zip(path, quoted, strict=True))
        return self.text("$" + "".join(steps))
