"""A store from its table in recon.toml: the bulk way for PostgreSQL and SQLite, SQLAlchemy's for every other database."""

from typing import TYPE_CHECKING

from recon.section import Section
from recon.stores.base import Store

if TYPE_CHECKING:
    from recon.stores.address import Address


def open_store(section: Section) -> Store:
    """The store that `[stores.NAME]` describes. Nothing is connected yet.

    Keys: `type` (`sql`, the default, or `fold`: `recon.stores.fold` has its keys), `url` (a text, or a secret by reference), `bulk` (false takes the general way on PostgreSQL and SQLite too), and per way
    `connect_timeout`, `statement_timeout`, `lock_timeout`, `batch_bytes`, `row_security` (PostgreSQL), `busy_timeout`, `batch_rows`
    (SQLite), `connect_timeout`, `batch_rows`, `options` (the general way; `options` goes to the driver's own connect). Raises
    BadSetting for an unknown key, a URL that is none, a dialect or driver that is not there.
    """
    from recon.stores.address import Address

    kind = section.choice("type", ("sql", "fold"), "sql")
    address = Address.of(section)
    if kind == "fold":
        from recon.stores.fold import FoldStore, Log

        log = Log.of(section, address.dialect)
        return FoldStore(section.name, _opened(section, address), log, address.dialect)
    return _opened(section, address)


def _opened(section: Section, address: "Address") -> Store:
    bulk = section.flag("bulk", True)
    if bulk and address.dialect == "postgresql":
        return _postgres(section, address)
    if bulk and address.dialect == "sqlite":
        return _sqlite(section, address)
    return _general(section, address)


def _postgres(section: Section, address: "Address") -> Store:
    from recon.stores.postgres import Limits, PostgresStore

    limits = Limits(
        connect_timeout=section.duration("connect_timeout", 10.0),
        statement_timeout=section.duration("statement_timeout", 3600.0),
        lock_timeout=section.duration("lock_timeout", 30.0),
        batch_bytes=section.integer("batch_bytes", 4 << 20, low=1 << 16),
        row_security=section.flag("row_security", False),
    )
    section.finish()
    return PostgresStore(section.name, address, limits)


def _sqlite(section: Section, address: "Address") -> Store:
    from recon.stores.sqlite import Limits, SqliteStore

    limits = Limits(busy_timeout=section.duration("busy_timeout", 10.0), batch_rows=section.integer("batch_rows", 4_000, low=1))
    section.finish()
    return SqliteStore(section.name, address, limits)


def _general(section: Section, address: "Address") -> Store:
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from recon.stores.sql import Limits, SqlStore

    limits = Limits(
        connect_timeout=section.duration("connect_timeout", 10.0),
        batch_rows=section.integer("batch_rows", 10_000, low=1),
        options=section.mapping("options", {}),
    )
    section.finish()
    try:
        return SqlStore(section.name, address, limits)
    except (NoSuchModuleError, ArgumentError):
        hint = "SQLAlchemy lists its dialects at https://docs.sqlalchemy.org/en/20/dialects/; some are packages of their own to install"
        raise section.bad("url", f"nothing here speaks {address.url.drivername!r}", hint=hint) from None
    except ModuleNotFoundError as error:
        hint = f"install it beside this program: {address.installing(error.name)}"
        raise section.bad(
            "url", f"{address.url.drivername!r} needs the Python package {error.name!r}, which is not installed", hint=hint
        ) from None
