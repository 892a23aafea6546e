"""What the publishers that write into a database share: the connection, and what a failure means for the events under way."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from recon.errors import DeliveryError
from recon.publishers.base import Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.section import Section
from recon.stores.address import MYSQL, Address
from recon.stores.mysql import is_mysql, tune, words
from recon.upsert.fault import unfit

DIALECTS = ("postgresql", "sqlite")
LEAST_SECONDS = 0.05
LIVENESS = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""A peer that vanished without a word is noticed within half a minute: a deadline that the server keeps is none then."""


class Fault(StrEnum):
    """What a database's error says of the event that met it."""

    #: The event itself does not fit; no retry will better it.
    DATA = "data"
    #: The database is gone, busy, or not set up for this: later, or after somebody mended it.
    PLACE = "place"


class Late(Exception):
    """The deadline passed before this could be tried."""


class Database:
    """A user's database, written to. One connection per `publish`; every wait is bounded by the deadline."""

    def __init__(self, section: Section, *, dialects: Sequence[str] = DIALECTS) -> None:
        """Raises BadSetting for a database that is none of `dialects`, or whose driver is not there."""
        self.name = section.name
        self.address = Address.of(section)
        if self.address.dialect not in dialects:
            more = ", MariaDB and MySQL" if MYSQL[0] in dialects else ""
            places = f"PostgreSQL{',' if more else ' and'} SQLite{more}"
            hint = 'type = "apply" writes corrections into a table there' if self.is_mysql and not more else None
            raise section.bad("url", f"this publisher writes to {places}, not to {self.address.dialect}", hint=hint)
        if self.is_mysql and self.address.engine_url.get_driver_name() == "pymysql":
            needs(section, "pymysql", "mysql")
        self.connect_timeout: float = section.duration("connect_timeout", 10.0)

    @property
    def is_postgres(self) -> bool:
        """Whether it is PostgreSQL."""
        return self.address.dialect == "postgresql"

    @property
    def is_mysql(self) -> bool:
        """Whether it is MariaDB or MySQL."""
        return is_mysql(self.address.dialect)

    @contextmanager
    def connected(self, until: float) -> Iterator[Connection]:
        """A connection whose waits end with the deadline (of the monotonic clock)."""
        engine = self._engine(until)
        try:
            try:
                connection = engine.connect()
            except (TypeError, ValueError, OSError) as error:
                # Of the driver's own connect, before it asked any server: a word of the url that it does not know, a file that is not there.
                msg = f"publisher {self.name}: the driver {engine.dialect.driver} does not take what url says: {self.words(error)}"
                raise DeliveryError(msg, hint="correct the words after ? in url; a file is looked for from the working folder") from None
            with connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def transaction(self, connection: Connection, until: float) -> Iterator[None]:
        """One transaction, to be committed by `commit`; rolled back where that does not happen. Raises Late after the deadline."""
        left = until - time.monotonic()
        if left < LEAST_SECONDS:
            raise Late
        if self.is_postgres:
            milliseconds = max(1, round(left * 1000))
            for word in ("statement_timeout", "lock_timeout"):
                connection.execute(text(f"SET LOCAL {word} = {milliseconds}"))
        elif self.is_mysql:
            connection.execute(text(f"SET innodb_lock_wait_timeout = {math.ceil(left)}"))
            if getattr(connection.dialect, "is_mariadb", False):
                connection.execute(text(f"SET max_statement_time = {left:.3f}"))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # Read and write are one step: nobody writes in between.
        try:
            yield
        finally:
            if connection.in_transaction() and not connection.invalidated:
                connection.rollback()

    def fault(self, error: Exception) -> Fault:
        """Whose fault it is."""
        return Fault.DATA if unfit(error) else Fault.PLACE

    def words(self, error: Exception) -> str:
        """The database's own words, without a password."""
        return self.address.scrub(getattr(error, "orig", None) or error)[:500]

    def outcome(self, error: Exception) -> Outcome:
        """The outcome of one event that met this error, when certainly nothing was committed."""
        if isinstance(error, Late):
            return Outcome(kind=OutcomeKind.RETRY, reason="the deadline passed before it was tried")
        kind = OutcomeKind.REJECTED if self.fault(error) is Fault.DATA else OutcomeKind.RETRY
        return Outcome(kind=kind, reason=self.words(error))

    def unreachable(self, error: Exception, *, hint: str) -> DeliveryError:
        """For `health`."""
        return DeliveryError(f"publisher {self.name}: {self.address}: {self.words(error)}", hint=hint)

    def _engine(self, until: float) -> Engine:
        seconds = max(LEAST_SECONDS, min(self.connect_timeout, until - time.monotonic()))
        arguments: dict[str, Any]
        options: dict[str, Any] = {}
        if self.is_postgres:
            arguments = {
                "connect_timeout": max(2, round(seconds)),
                "application_name": "nightly-recon",
                "prepare_threshold": None,
                **LIVENESS,
            }
        elif self.is_mysql:
            arguments = words(connect=seconds, read=math.ceil(until - time.monotonic()) + 1)
            options["isolation_level"] = "READ COMMITTED"  # Each look is at the present, and no gap between rows is locked.
        else:
            arguments = {"timeout": seconds, "isolation_level": None}
        engine = create_engine(self.address.engine_url, poolclass=NullPool, connect_args=arguments, hide_parameters=True, **options)
        return tune(engine, strict=True) if self.is_mysql else engine
