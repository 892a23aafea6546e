"""MariaDB and MySQL: what their sessions, their errors and their comparisons need that no other database does.

Facts from https://mariadb.com/kb/en/ and https://dev.mysql.com/doc/refman/8.4/en/ (read 2026-11), tried on MariaDB 10.11 with PyMySQL 1.2:

- A TIMESTAMP is shown in the session's own time zone, so the session's is UTC.
- Most collations fold case and accents, and all but the binary ones of `nopad` take `a` and `a ` for the same; keys are compared as bytes.
- A text beside a number is read as one: `'12-A' = 12`.
- Rows that are not asked for in time (`net_write_timeout`, one minute) end the connection, so a reader asks for more.
- While rows are streamed the connection takes no other statement: PyMySQL would throw the rest of the rows away, which looks like their end.
"""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, LargeBinary, Text, cast, event, exc
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement

from recon.stores.address import MYSQL

READ_SECONDS = 3600
"""For how long the server waits for a reader that is busy, and a reader for the server, before either gives the other up."""

SNAPSHOT = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
"""One moment of every InnoDB table; tables of other engines are as they are when they are read. https://mariadb.com/kb/en/start-transaction/"""

PASSING = frozenset(
    {1020, 1040, 1053, 1077, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1317, 1412, 1927, 1969, 2002, 2003, 2006, 2013, 3024}
)
"""Errors of the moment: too many connections, shut down, killed, cut off, a lock, a deadlock, a limit of time. https://mariadb.com/kb/en/mariadb-error-code-reference/"""
DEADLOCK = 1213
CHANGED_SINCE = 1020
"""A row that is asked for under a lock is another one than the transaction has seen; of MariaDB's innodb_snapshot_isolation, on from 11.6 on."""
ROLLED_BACK = frozenset({DEADLOCK, CHANGED_SINCE})
"""After these the server has rolled back the whole transaction. https://mariadb.com/kb/en/innodb-system-variables/#innodb_snapshot_isolation"""
TURNED_AWAY = frozenset({1205, *ROLLED_BACK})
"""Another transaction was in the way. After 1205 the server has rolled back the statement alone."""
ACCESS = frozenset({1044, 1045, 1049, 1142, 1143, 1227, 1698, 1820})
"""No such user, password, database or right."""
UNFIT = frozenset(
    {1048, 1062, 1153, 1216, 1217, 1264, 1265, 1292, 1364, 1366, 1367, 1369, 1406, 1411, 1441, 1451, 1452, 1644, 1690, 3140, 3819, 4025}
)
"""A value that does not fit its column, a constraint that it breaks, or a trigger that refuses it."""

WITHOUT_TRANSACTIONS = frozenset({"myisam", "aria", "memory", "csv", "archive", "blackhole"})
"""Engines that commit every statement by themselves. https://mariadb.com/kb/en/choosing-the-right-storage-engine/"""

ZERO = "0000-00-00"
PACKET = "recon_packet"
"""What a strict connection's `info` has of the server's bound on a statement; what is longer ends the connection without a word."""

WRITES = re.compile(r"\b(?:ALL PRIVILEGES|INSERT|UPDATE|DELETE|DROP|CREATE|ALTER)\b")


def is_mysql(dialect: str) -> bool:
    """Whether a dialect is theirs; the URL says which of the two names it has, and either may be either server."""
    return dialect in MYSQL


def product(dialect: Dialect) -> str:
    """Which of the two it is, once connected."""
    return "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name


def code(error: BaseException) -> int | None:
    """The server's or the driver's number for an error; None where there is none."""
    cause = getattr(error, "orig", None) or error
    first = cause.args[0] if cause.args else None
    number = first if isinstance(first, int) else getattr(cause, "errno", None)
    return number if isinstance(number, int) and number > 0 else None


def words(*, connect: float, read: float = READ_SECONDS) -> dict[str, Any]:
    """What PyMySQL and mysqlclient are told: a server that takes no call, or that has fallen silent, is not waited for."""
    return {"connect_timeout": max(1, round(connect)), "read_timeout": max(1, round(read)), "write_timeout": max(1, round(read))}


def tune(engine: Engine, *, strict: bool = False) -> Engine:
    """The engine with sessions in UTC that wait for a busy reader, values as the server writes them, and streams that can be let go of.

    `strict` for one that writes: what does not fit is an error there, and not cut until it fits.
    """
    event.listen(engine, "connect", _session)
    event.listen(engine, "connect", _strict if strict else _as_read)
    if engine.dialect.driver == "pymysql" and engine.dialect.supports_server_side_cursors:
        # SQLAlchemy has no other door for the class of a streaming cursor.
        dialect: Any = engine.dialect
        dialect._sscursor = _stream()  # noqa: SLF001 -- As said.
    return engine


def let_go(connection: Connection) -> None:
    """Ends a connection whose rows nobody wants any more: else the driver would read them all before it closes."""
    if not connection.closed and not connection.invalidated:
        connection.invalidate()


def exact(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """A value's text as bytes in UTF-8, so that no collation folds it and no padding is ignored."""
    return cast(cast(expression, Text()), LargeBinary())


def writable(connection: Connection) -> bool | None:
    """Whether the user may write anywhere; None where the server does not tell."""
    try:
        grants = [str(row[0]) for row in connection.exec_driver_sql("SHOW GRANTS")]
    except exc.SQLAlchemyError:
        return None
    return any(WRITES.search(grant.partition(" ON ")[0].upper()) for grant in grants)


def loose_engine(options: Mapping[str, Any]) -> str | None:
    """A table's storage engine, of its options as reflected, where it has no transactions."""
    engine = next((str(value) for name, value in options.items() if name in {f"{dialect}_engine" for dialect in MYSQL}), "")
    return engine if engine.lower() in WITHOUT_TRANSACTIONS else None


def bits(value: Any) -> int:
    """A BIT column's value, which the driver hands over as bytes."""
    return int.from_bytes(value, "big") if isinstance(value, bytes | bytearray) else int(value)


def _session(connection: Any, _record: Any = None) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET time_zone = '+00:00', net_write_timeout = {READ_SECONDS}")
    cursor.close()


def _strict(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SET sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
    cursor.execute("SELECT @@max_allowed_packet")
    record.info[PACKET] = int(cursor.fetchone()[0])
    cursor.close()


def _as_read(connection: Any, _record: Any = None) -> None:
    """PyMySQL's values as their texts: what would only be written as a text again is none other in between."""
    decoders = getattr(connection, "decoders", None)
    if isinstance(decoders, dict):  # By the numbers of the protocol's types.
        from pymysql.constants import FIELD_TYPE as KIND

        texts = dict.fromkeys((KIND.DECIMAL, KIND.NEWDECIMAL, KIND.DATE, KIND.TIME), _as_written)
        connection.decoders = {**decoders, **texts, KIND.BIT: bits, KIND.DATETIME: _moment, KIND.TIMESTAMP: _instant}


def _moment(value: str | bytes) -> str:
    """A DATETIME in ISO 8601; a zero date as its text."""
    written = _as_written(value)
    return written if written.startswith(ZERO) else written.replace(" ", "T", 1)


def _instant(value: str | bytes) -> str:
    """A TIMESTAMP of a session in UTC: an instant, and not a time of which nobody knows the zone; a zero date as its text."""
    written = _as_written(value)
    return written if written.startswith(ZERO) else f"{written.replace(' ', 'T', 1)}+00:00"


def _as_written(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _stream() -> Any:
    from pymysql.cursors import SSCursor

    class Stream(SSCursor):  # type: ignore[misc]  # PyMySQL ships no types.
        """A streaming cursor that, closed before its end, takes the connection with it instead of reading the rest."""

        def close(self) -> None:
            result: Any = self._result
            if result is None or not result.unbuffered_active:
                super().close()
                return
            result.unbuffered_active = False
            connection: Any = self.connection
            self.connection: Any = None
            if connection is not None and connection.open:
                connection.close()

        __del__ = close

    return Stream
