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
from recon.errors import BadRequest, BadSetting, CursorExpired, Refused, Unreachable
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
        list(made("mysql+mysqldb://reader@127.0.0.1:1/x").fetch(Listing(resource="orders")))


def test_a_number_in_json_keeps_every_digit(database: str, made: Made, tmp_path: Path) -> None:
    """A sum in a JSON column comes as the database writes it, and not as the nearest one that a float can hold; on one line."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table orders (id int primary key, j jsonb, k json)")
        connection.execute(
            """insert into orders values (1, '{"sum": 12345678901234567.89, "b": 1.10}', '{"big":\n 123456789012345678901234567890}')"""
        )

    provider = made(database)
    (page,) = provider.fetch(Listing(resource="orders"))

    assert b"12345678901234567.89" in page.items[0]
    assert b"1.10" in page.items[0]
    assert b"123456789012345678901234567890" in page.items[0]
    assert b"\n" not in page.items[0]
    assert landed(provider, tmp_path / "s")[0].whole


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ("'infinity'::timestamptz", "no time"),
        ("'-infinity'::date", "no time"),
        ("array['NaN'::float8]", "nan, which JSON has not"),
        ("'NaN'::numeric", "which is no number"),
        ("array['\\x00'::bytea]", "bytes"),
    ],
)
def test_a_value_that_nothing_can_carry_costs_its_own_row(database: str, made: Made, odd: str, says: str) -> None:
    """A time of infinity, or NaN and bytes in a list, make one row unreadable: the other 24 come."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table orders (id int)")
        connection.execute("insert into orders select generate_series(0, 24)")
    provider = made(database, {"sql": f"select id, case when id = 7 then {odd} end as odd from orders"})

    pages = list(provider.fetch(Listing(resource="orders")))

    assert sum(len(page.items) for page in pages) == 24
    ((unread,),) = [page.unread for page in pages if page.unread]
    assert says in unread.why
    assert b'"id":7' in unread.raw


def test_a_text_that_is_none_costs_its_own_row(tmp_path: Path, made: Made) -> None:
    """SQLite keeps any bytes as a text: such a row is unreadable, and the list is not called unreachable."""
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("create table orders (id integer primary key, t text)")
        database.execute("insert into orders values (1, cast(x'ff41' as text)), (2, 'fine')")
    database.close()

    (page,) = made(f"sqlite:///{tmp_path}/x.db").fetch(Listing(resource="orders"))

    assert [json.loads(item)["id"] for item in page.items] == [2]
    assert "no UTF-8" in page.unread[0].why


@pytest.mark.parametrize(
    ("sql", "key", "says"),
    [
        ("select 1 as id, 10 as v, 20 as v", "id", "two columns are called 'v'"),
        ("select 1 as number", "id", "no column is called 'id'"),
    ],
)
def test_columns_that_make_no_record_are_refused(database: str, made: Made, sql: str, key: str, says: str) -> None:
    """Two columns of one name would leave one value, and a list without its key nothing to compare."""
    with pytest.raises(Refused, match=says):
        list(made(database, {"sql": sql, "key": key}).fetch(Listing(resource="orders")))


def test_a_query_is_taken_as_it_is_written(url: str, made: Made) -> None:
    """A comment at its end, a colon and a percent sign in its texts mean nothing else here."""
    sql = "select id, ' :x 5%' as t from orders where name like 'o1%' -- every one that begins so"

    pages = list(made(url, {"sql": sql}).fetch(Listing(resource="orders")))

    assert {json.loads(item)["t"] for page in pages for item in page.items} == {" :x 5%"}
    assert sum(len(page.items) for page in pages) == 11


def test_params_of_a_job_are_refused_and_never_ignored(url: str, made: Made) -> None:
    """A job that asks for a part of the list does not get the whole of it."""
    with pytest.raises(BadRequest, match=r"gives params \(status\)"):
        list(made(url).fetch(Listing(resource="orders", params={"status": "paid"})))


def test_two_rows_of_one_key_are_no_answer(database: str, made: Made) -> None:
    """Which of them is meant nobody knows; a key that no database can hold is not asked for, and the others are."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table orders (id int, v int); insert into orders values (1, 1), (1, 2), (2, 3)")

    answers = {one.key: one for one in made(database).get_many("orders", ["1", "2", "a\0b"], clock=SystemClock())}

    assert {key: one.status for key, one in answers.items()} == {
        "1": LookupStatus.UNKNOWN,
        "2": LookupStatus.FOUND,
        "a\0b": LookupStatus.UNKNOWN,
    }
    assert "2 rows have this key" in answers["1"].why


def test_a_replica_that_is_behind_or_does_not_know_is_refused(database: str, made: Made) -> None:
    """Far behind, or with nothing to tell by: neither is the present. The questions are answered by functions that stand before the server's own."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table orders (id int)")
        connection.execute("create function pg_is_in_recovery() returns bool language sql as 'select true'")
        connection.execute("create function pg_last_xact_replay_timestamp() returns timestamptz language sql as 'select null::timestamptz'")
        (name,) = connection.execute("select quote_ident(current_database())").fetchone() or ("",)
        connection.execute(f"alter database {name} set search_path = public, pg_catalog")

        with pytest.raises(Refused, match="nothing says how far it is behind"):
            list(made(database).fetch(Listing(resource="orders")))
        late = "create or replace function pg_last_xact_replay_timestamp() returns timestamptz language sql as $$select now() - interval '1 hour'$$"
        connection.execute(late)
        with pytest.raises(Refused, match="1h 00m behind, and max_lag allows 5m"):
            list(made(database).fetch(Listing(resource="orders")))
        assert len(list(made(database, max_lag="2h").fetch(Listing(resource="orders")))) == 1


def test_an_answer_that_does_not_come_is_given_up(database: str, made: Made) -> None:
    """A query that works longer than `timeout` is ended by the server, and told as something that may pass, not as a query to correct."""
    provider = made(database, {"sql": "select 1 as id, pg_sleep(60)::text as slow"}, timeout=0.3)
    with pytest.raises(Unreachable, match="statement timeout"):
        list(provider.fetch(Listing(resource="orders")))


@pytest.mark.parametrize("url", ["nosuch://a:hunter2@h/db", "postgresql//a:hunter2@h:x/db", "sqlite:///:memory:"])
def test_a_url_that_is_none_is_told_without_its_password(url: str, made: Made, tmp_path: Path) -> None:
    """A mistake in the address is a word to the person who made it, from a whole landing too, and never shows the password."""
    with pytest.raises((BadSetting, Refused)) as told:
        landed(made(url), tmp_path / "s")
    assert "hunter2" not in f"{told.value} {told.value.hint}"


def test_the_address_as_hosts_hand_it_out_is_taken(database: str, made: Made) -> None:
    """`postgres://` is the scheme that many of them write."""
    provider = made(database.replace("postgresql://", "postgres://", 1), {"sql": "select 1 as id"})
    assert len(list(provider.fetch(Listing(resource="orders")))) == 1
