"""Another database as the third party, on PostgreSQL and SQLite: one snapshot, exact values, and no answer that is taken for less than it is."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from providers.sql import Sql
from recon.clock import SystemClock
from recon.errors import BadSetting, CursorExpired, Refused, Unreachable
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.page import LookupStatus
from recon.fetch.spool import Spool
from recon.provider import Listing
from tests.providers.sections import section

ROWS = [(number, f"o{number}", "paid", "12.50") for number in range(25)]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind with 25 orders."""
    if request.param == "postgresql":
        address = str(request.getfixturevalue("database"))
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(
                "create table orders (id bigint primary key, name text, status text, amount numeric(12,2), seen timestamptz, extra jsonb)"
            )
            for row in ROWS:
                connection.execute("insert into orders values (%s, %s, %s, %s, '2026-11-25 03:00:00.5+01', '{\"a\": [1]}')", row)
        return address
    with sqlite3.connect(tmp_path / "erp.db") as database:
        database.execute("create table orders (id integer primary key, name text, status text, amount text)")
        database.executemany("insert into orders values (?,?,?,?)", ROWS)
    database.close()
    return f"sqlite:///{tmp_path}/erp.db"


Made = Callable[..., Any]


@pytest.fixture
def made() -> Iterator[Made]:
    """Makes the provider from its table, and closes it."""
    opened = []

    def make(url: str, resource: dict[str, Any] | None = None, **more: Any) -> Any:
        table = {"url": url, "page": 10, "resources": {"orders": resource or {"table": "orders"}}, **more}
        provider = Sql(section("providers.erp", table))
        opened.append(provider)
        return provider

    yield make
    for provider in opened:
        provider.close()


def landed(provider: Any, folder: Path) -> tuple[Coverage, list[dict[str, Any]]]:
    """The whole listing, and its records."""
    spool = Spool.open(folder)
    try:
        coverage = land(provider, Listing(resource="orders"), spool, clock=SystemClock())
        return coverage, [json.loads(line) for text in spool.frames() for line in text.splitlines()]
    finally:
        spool.close()


def test_a_table_is_read_whole_from_one_snapshot(url: str, made: Made, tmp_path: Path) -> None:
    """Every row as it is, in three pages; the certificate says how it was read and of which database, and no password."""
    coverage, records = landed(made(url), tmp_path / "s")

    assert coverage.whole
    assert (coverage.records, coverage.pages, coverage.total) == (25, 3, 25)
    assert "came to its end after 25 rows, in one" in coverage.proof
    assert {record["id"] for record in records} == set(range(25))
    assert {record["amount"] for record in records} == {"12.50"}
    assert "loopback-only" not in repr(coverage.scope)
    if "postgresql" in url:
        assert records[0]["extra"] == {"a": [1]}
        assert records[0]["seen"].startswith("2026-11-25T")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_rows_that_move_meanwhile_are_not_half_seen(url: str, made: Made) -> None:
    """Rows deleted and added after the first page change nothing of what the fetch sees (SQLite's reader sees no others' writes either)."""
    provider = made(url)
    pages = provider.fetch(Listing(resource="orders"))
    first = next(pages)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("delete from orders where id >= 10")
        connection.execute("insert into orders values (99, 'late', 'paid', 1)")
    seen = [json.loads(item)["id"] for page in (first, *pages) for item in page.items]

    assert sorted(seen) == list(range(25))


def test_single_rows_are_read_by_key(url: str, made: Made) -> None:
    """A key that is there is found, one that is not is not, whatever type the column has."""
    answers = {one.key: one for one in made(url).get_many("orders", ["3", "77", "x", "24"], clock=SystemClock())}

    assert {key: one.status for key, one in answers.items()} == {
        "3": LookupStatus.FOUND,
        "77": LookupStatus.NOT_FOUND,
        "x": LookupStatus.NOT_FOUND,
        "24": LookupStatus.FOUND,
    }
    assert json.loads(answers["3"].item)["name"] == "o3"


def test_a_query_of_one_s_own(url: str, made: Made, tmp_path: Path) -> None:
    """`sql` gives the list; reads by key go through it as well, so what it leaves out is not there."""
    provider = made(url, {"sql": "select name as code, status from orders where id < 5;", "key": "code"})

    coverage, records = landed(provider, tmp_path / "s")

    assert (coverage.whole, {record["code"] for record in records}) == (True, {"o0", "o1", "o2", "o3", "o4"})
    assert [one.status for one in provider.get_many("orders", ["o4", "o5"], clock=SystemClock())] == [
        LookupStatus.FOUND,
        LookupStatus.NOT_FOUND,
    ]


def test_what_json_cannot_carry_is_unreadable(url: str, made: Made, tmp_path: Path) -> None:
    """A row with NaN or bytes in it is counted and kept with its reason; the others are read."""
    odd = "cast('NaN' as double precision)" if "postgresql" in url else "x'00ff'"
    provider = made(url, {"sql": f"select id, case when id = 7 then {odd} end as odd from orders"})

    coverage, records = landed(provider, tmp_path / "s")

    assert (coverage.whole, coverage.unreadable, len(records)) == (True, 1, 24)
    (answer,) = provider.get_many("orders", ["7"], clock=SystemClock())
    assert answer.status is LookupStatus.UNKNOWN


def test_it_cannot_write(url: str, made: Made) -> None:
    """A query that writes is refused by the database itself, and nothing is changed."""
    writes = "delete from orders returning id" if "postgresql" in url else "select id from orders"
    provider = made(url, {"sql": writes} if "postgresql" in url else {"table": "orders; drop table orders"})
    with pytest.raises(Refused):
        list(provider.fetch(Listing(resource="orders")))
    assert len(list(made(url).fetch(Listing(resource="orders")))) == 3


def test_what_broke_off_begins_anew(url: str, made: Made, tmp_path: Path) -> None:
    """The snapshot is gone with its transaction: nothing is gone on from, and the landing asks again from the first row."""
    provider = made(url)
    with pytest.raises(CursorExpired, match="gone with its transaction"):
        next(provider.fetch(Listing(resource="orders", resume={"rows": 10})))
    spool = Spool.open(tmp_path / "s")
    pages = provider.fetch(Listing(resource="orders"))
    spool.append(next(pages))
    pages.close()
    spool.close()

    coverage, records = landed(provider, tmp_path / "s")

    assert (coverage.whole, len(records)) == (True, 25)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"resources": {}}, "declares nothing to fetch"),
        ({"resources": {"orders": {}}}, "exactly one of table and sql"),
        ({"resources": {"orders": {"table": "a", "sql": "b"}}}, "exactly one of table and sql"),
        ({"resources": {"orders": {"sql": "b", "schema": "c"}}}, "goes together with table"),
        ({"resources": {"orders": {"table": "a", "link": "https://x"}}}, "no {key} in it"),
        ({"resources": {"orders": {"table": "a", "tabel": "b"}}}, "tabel"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    """Each mistake is named with its table and key."""
    with pytest.raises(BadSetting, match=says):
        Sql(section("providers.erp", {"url": "sqlite:///x.db", **table}))


def test_a_database_that_is_away_and_a_table_that_is_not_there(url: str, made: Made) -> None:
    """No connection may be tried again later; a query that is refused may not."""
    with pytest.raises(Refused) as refused:
        list(made(url, {"table": "no_such_table"}).fetch(Listing(resource="orders")))
    assert "correct table, key or sql" in str(refused.value.hint)
    with pytest.raises(Unreachable):
        list(made("postgresql://nobody@127.0.0.1:1/x").fetch(Listing(resource="orders")))


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, made: Made) -> None:
    """A wrong SQLite path is told as such, and no empty database comes to be; a query that is none is refused, not tried again; so is a lacking driver."""
    with pytest.raises(Refused, match="there is no file"):
        list(made(f"sqlite:///{tmp_path}/gone.db").fetch(Listing(resource="orders")))
    assert not (tmp_path / "gone.db").exists()
    sqlite3.connect(tmp_path / "there.db").execute("create table orders (id text)").connection.close()
    with pytest.raises(Refused, match="syntax error"):
        list(made(f"sqlite:///{tmp_path}/there.db", {"sql": "selec 1"}).fetch(Listing(resource="orders")))
    with pytest.raises(Refused, match="which is not installed"):
        list(made("mysql://reader@127.0.0.1:1/x").fetch(Listing(resource="orders")))
