"""From recon.toml's table to a store: the right way for each database, and every wrong setting named."""

from pathlib import Path
from typing import Any

import pytest

from recon.errors import BadSetting, MissingSecret
from recon.secret import SecretRef
from recon.section import Section
from recon.stores.address import Address
from recon.stores.base import Store
from recon.stores.factory import open_store
from recon.stores.postgres import PostgresStore
from recon.stores.sql import SqlStore
from recon.stores.sqlite import SqliteStore


def section_of(folder: Path = Path("/srv/shop"), **table: Any) -> Section:
    """A table of recon.toml."""
    return Section(name="main", file=folder / "recon.toml", path="stores.main", table=table, folder=folder)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://u:p@h/d", PostgresStore),
        ("postgres://u:p@h/d", PostgresStore),
        ("postgresql+psycopg://u:p@h/d?sslmode=require", PostgresStore),
        ("sqlite:///shop.db", SqliteStore),
    ],
)
def test_the_dialect_picks_the_way(url: str, kind: type) -> None:
    """PostgreSQL and SQLite take their bulk way, and the general one when bulk is false; nothing is connected."""
    store = open_store(section_of(url=url))
    assert isinstance(store, kind)
    assert isinstance(store, Store)
    assert isinstance(open_store(section_of(url=url, bulk=False)), SqlStore)
    store.close()


def test_a_relative_file_starts_from_the_project(tmp_path: Path) -> None:
    """sqlite:///shop.db is beside recon.toml wherever the command runs; an absolute path stays."""
    assert Address.of(section_of(tmp_path, url="sqlite:///data/shop.db")).path == tmp_path / "data" / "shop.db"
    assert Address.of(section_of(tmp_path, url="sqlite:////var/shop.db")).path == Path("/var/shop.db")


def test_the_url_may_be_a_secret_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable gives the URL; one that is not set is named."""
    reference = SecretRef({"env": "SHOP_DB"}, where="recon.toml [stores.main] url", folder=tmp_path)
    monkeypatch.setenv("SHOP_DB", "postgresql://u:very-secret@h/d")
    store = open_store(section_of(tmp_path, url=reference))
    assert "very-secret" not in repr(store)
    monkeypatch.delenv("SHOP_DB")
    with pytest.raises(MissingSecret, match="SHOP_DB"):
        open_store(section_of(tmp_path, url=reference))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "url: is missing"),
        ({"url": "no url, but s3cr3t-words"}, "is not a database URL"),
        ({"url": "postgresql://u:s3cr3t-words@h:port/d"}, "is not a database URL"),
        ({"url": "nosuchdb://u:s3cr3t-words@h/d"}, "nothing here speaks 'nosuchdb'"),
        ({"url": "mysql+mysqldb://u:s3cr3t-words@h/d"}, "needs the Python package 'MySQLdb'"),
        ({"url": "sqlite://"}, "names no SQLite file"),
        ({"url": "sqlite:///x.db", "statement_timeout": "1h"}, "statement_timeout: is not a setting"),
        ({"url": "postgresql://h/d", "batch_byte": 1}, "did you mean 'batch_bytes'"),
        ({"url": "postgresql://h/d", "statement_timeout": "soon"}, "statement_timeout"),
        ({"url": "postgresql://h/d", "batch_bytes": 5}, "at least"),
        ({"url": "postgresql://h/d", "bulk": "no"}, "bulk: wants true or false"),
    ],
)
def test_a_wrong_setting_is_named(table: dict[str, Any], words: str) -> None:
    """Each mistake is a BadSetting that names file, table and key, and tells no secret."""
    with pytest.raises(BadSetting) as caught:
        open_store(section_of(**table))
    said = f"{caught.value} {caught.value.hint}"
    assert words in said
    assert "recon.toml [stores.main]" in said
    assert "s3cr3t-words" not in said


def test_no_spelling_of_a_password_survives() -> None:
    """A driver's words are scrubbed of the password, raw and percent-encoded, in the URL and in its query."""
    address = Address.of(section_of(url="postgresql://u:p%40ss%2Fword@h/d?sslpassword=key-words&sslmode=require"))
    words = 'cannot parse "postgresql://u:p%40ss%2Fword@h/d" with p@ss/word and key-words,\n again'
    assert address.scrub(words) == 'cannot parse "postgresql://u:••••@h/d" with •••• and ••••, again'
    assert "key-words" not in str(address)
    assert "p@ss" not in repr(address)
    assert address.conninfo()["password"] == "p@ss/word"
    assert address.conninfo()["sslmode"] == "require"
