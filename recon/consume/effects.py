"""Side effects of the application's own: their failures are told from those of the database."""

from sqlalchemy import Connection, exc

from recon.consume.applier import Effect
from recon.event import Event
from recon.stores.mysql import PASSING, code

SQLITE_ERROR = 1
"""A statement that is wrong, of which sqlite3 makes an OperationalError as well. https://www.sqlite.org/rescode.html#error"""


class EffectFailed(Exception):
    """The application's own side effect raised; the cause says what."""


def named(effect: Effect) -> Effect:
    """The same effect; what it raises is EffectFailed, but where the database is gone or busy."""

    def run(connection: Connection, event: Event) -> None:
        try:
            effect(connection, event)
        except Exception as error:
            if isinstance(error, exc.SQLAlchemyError) and _of_the_database(connection, error):
                raise
            raise EffectFailed from error

    return run


def _of_the_database(connection: Connection, error: exc.SQLAlchemyError) -> bool:
    """Whether it is gone or busy; else the effect's own statement is wrong."""
    if connection.invalidated or not isinstance(error, exc.OperationalError | exc.InterfaceError):
        return connection.invalidated
    number = code(error)
    if number is not None:  # MySQL's drivers call a wrong column operational as well.
        return number in PASSING
    sqlite = getattr(error.orig, "sqlite_errorcode", None)
    return sqlite is None or sqlite & 0xFF != SQLITE_ERROR


def words_about(error: Exception) -> str:
    """Without the statement and its values."""
    cause = error.__cause__ if isinstance(error, EffectFailed) and error.__cause__ is not None else error
    said = getattr(cause, "orig", None) or cause
    lines = str(said).splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0][:300]}"
