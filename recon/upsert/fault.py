"""Whose fault an error of the database is: the event's own, or the database's."""

from sqlalchemy import exc

from recon.stores.mysql import UNFIT, code

DATA_CLASSES = ("22", "23")
"""SQLSTATE classes that are the event's own fault: a value that does not fit, a constraint that it breaks."""
REFUSED = ("P0001", "44000")
"""What a trigger raises, and a view's check: the application's own rules. https://www.postgresql.org/docs/current/errcodes-appendix.html (read 2026-11)"""
DATA_ERRORS = (exc.DataError, exc.IntegrityError)


def unfit(error: Exception) -> bool:
    """Whether the event itself does not fit, so that no retry will better it; else the database is gone, busy, or not set up for it."""
    number = code(error)
    if number is not None:
        return number in UNFIT or isinstance(error, DATA_ERRORS)
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return str(state)[:2] in DATA_CLASSES or state in REFUSED if state is not None else isinstance(error, DATA_ERRORS)
