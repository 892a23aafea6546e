"""A step that may be taken back while its transaction goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, exc

from recon.stores.mysql import ROLLED_BACK, code


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """What fails within is undone, and only that; the error goes on.

    After a deadlock, and where a row has changed since the transaction saw it, MariaDB and MySQL have rolled back the whole transaction, and
    there is no savepoint to go back to: the error that asking for it would raise must not stand before the one that says so.
    """
    step = connection.begin_nested()
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, exc.DBAPIError) and code(error) in ROLLED_BACK):
            step.rollback()
        raise
    step.commit()
