"""A database's address: a URL taken apart once, shown only with its password masked."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from recon.secret import MASK
from recon.section import Section

POSTGRES = ("postgresql", "postgres")
MYSQL = ("mysql", "mariadb")
"""What SQLAlchemy calls the dialect of both."""
SECRET_KEY = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)
SHORTEST_SECRET = 3


class Address:
    """Where a database is. `str` and `repr` are masked; `scrub` takes the password out of a driver's words."""

    __slots__ = ("_url",)

    def __init__(self, url: URL) -> None:
        self._url = url

    @classmethod
    def of(cls, section: Section, key: str = "url") -> "Address":
        """The address that the section's `url` gives; a relative SQLite path starts from the section's folder.

        Raises BadSetting where it is no database URL, or names no file for SQLite.
        """
        text = section.text_or_secret(key).strip()
        hint = "write postgresql://user@host/database, sqlite:///file.db or any other SQLAlchemy URL"
        if text.startswith("postgres://"):  # The scheme many hosts hand out, which SQLAlchemy does not know.
            text = "postgresql" + text.removeprefix("postgres")
        try:
            url = make_url(text)
            url.get_backend_name()
        except (ArgumentError, ValueError):
            # The driver's own message may quote the text, password and all.
            raise section.bad(key, "is not a database URL", hint=hint) from None
        if url.get_backend_name() == "sqlite":
            url = _sqlite_file(url, section, key)
        return cls(url)

    @property
    def url(self) -> URL:
        """The URL with its password, for a driver and nothing else."""
        return self._url

    @property
    def dialect(self) -> str:
        """`postgresql`, `sqlite`, `mysql`, …"""
        return self._url.get_backend_name()

    @property
    def engine_url(self) -> URL:
        """The URL for SQLAlchemy: PostgreSQL goes through psycopg whatever driver the URL names, SQLite through sqlite3.

        MySQL and MariaDB go through PyMySQL where the URL names no driver, and in UTF-8: in a narrower set the server would write `?` for
        what the set has not.
        """
        drivers = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+pysqlite"}
        url = self._url.set(drivername=drivers.get(self.dialect, self._url.drivername))
        if self.dialect not in MYSQL:
            return url
        if "+" not in url.drivername:
            url = url.set(drivername=f"{url.drivername}+pymysql")
        return url.update_query_dict({"charset": "utf8mb4"}) if url.get_driver_name() in {"pymysql", "mysqldb"} else url

    def installing(self, module: str | None) -> str:
        """The command that installs a driver which is not there."""
        return 'pip install "nightly-recon[mysql]"' if module == "pymysql" else f"pip install {module}"

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(self._url.database or "")

    def conninfo(self) -> dict[str, str]:
        """What libpq takes, by its own key words."""
        url = self._url
        words: dict[str, str] = {}
        for key, value in url.query.items():
            words[key] = value if isinstance(value, str) else ",".join(value)
        given = {"host": url.host, "port": url.port, "user": url.username, "password": url.password, "dbname": url.database}
        words.update({key: str(value) for key, value in given.items() if value is not None})
        return words

    def secrets(self) -> list[str]:
        """Every text of the URL that must not be seen, in each spelling a message could have."""
        found = [str(self._url.password)] if self._url.password else []
        found += [str(value) for key, value in self._url.query.items() if SECRET_KEY.search(key)]
        spelled = {form for text in found for form in (text, quote(text, safe=""), quote_plus(text), repr(text)[1:-1])}
        return sorted((form for form in spelled if len(form) >= SHORTEST_SECRET), key=len, reverse=True)

    def scrub(self, words: object) -> str:
        """A driver's message on one line, without any secret of this URL."""
        text = " ".join(str(words).split())
        for secret in self.secrets():
            text = text.replace(secret, MASK)
        return text

    def __str__(self) -> str:
        url = self._url
        shown: Mapping[str, str | tuple[str, ...]] = {k: v for k, v in url.query.items() if not SECRET_KEY.search(k)}
        return url.set(query=shown).render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"Address({self})"


def _sqlite_file(url: URL, section: Section, key: str) -> URL:
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        raise section.bad(key, "names no SQLite file", hint="write sqlite:///shop.db, or sqlite:////var/lib/shop.db for an absolute path")
    return url.set(database=str((section.folder / name).absolute()))
