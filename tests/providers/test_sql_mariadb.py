"""MariaDB as the third party: one snapshot, exact values, keys by their bytes, and each failure told as what it is."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.sql import Sql
from recon.clock import SystemClock
from recon.errors import CursorExpired, Refused, Unreachable
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.page import LookupStatus
from recon.fetch.spool import Spool
from recon.provider import Listing
from tests.providers.sections import section
from tests.servers.mariadb import PASSWORD, MariaServer, maria, mariadb

__all__ = ["maria", "mariadb"]

Made = Callable[..., Any]
ORDERS = """
CREATE TABLE orders (id bigint unsigned PRIMARY KEY, name varchar(20), amount decimal(12,2), seen timestamp(3) NULL, paid bit(1), took time, extra json);
SET time_zone = '+05:30';
INSERT INTO orders SELECT seq, concat('o', seq), 12.50, '2026-11-25 08:30:00.5', 1, '-01:30:00', '{"sum": 12345678901234567.89}' FROM seq_0_to_24;
"""


@pytest.fixture
def url(mariadb: MariaServer, maria: str) -> str:
    """A database with 25 orders."""
    mariadb.run(ORDERS, url=maria)
    return maria


@pytest.fixture
def made() -> Iterator[Made]:
    """Makes the provider from its table, and closes it."""
    opened = []

    def make(url: str, resource: dict[str, Any] | None = None, **more: Any) -> Any:
        table = {"url": url, "page": 10, "resources": {"orders": resource or {"table": "orders"}}, **more}
        opened.append(Sql(section("providers.erp", table)))
        return opened[-1]

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


def looked_up(provider: Any, *keys: str) -> dict[str, LookupStatus]:
    """What each key's look says."""
    return {one.key: one.status for one in provider.get_many("orders", keys, clock=SystemClock())}


def test_a_table_is_read_whole_from_one_snapshot(mariadb: MariaServer, url: str, made: Made, tmp_path: Path) -> None:
    """Every row as it is, in three pages; what is committed after the first page is not seen; instants are in UTC, a bit is a number, no password is told."""
    provider = made(url)
    pages = provider.fetch(Listing(resource="orders"))
    first = next(pages)
    mariadb.run("DELETE FROM orders WHERE id >= 10; INSERT INTO orders (id) VALUES (99)", url=url)
    assert sorted(json.loads(item)["id"] for page in (first, *pages) for item in page.items) == list(range(25))
    mariadb.run(f"DROP TABLE orders; {ORDERS}", url=url)

    coverage, records = landed(provider, tmp_path / "s")

    assert coverage.whole
    assert (coverage.records, coverage.pages, coverage.total) == (25, 3, 25)
    assert "came to its end after 25 rows, in one repeatable read transaction, read only" in coverage.proof
    assert PASSWORD not in repr(coverage.scope)
    assert [record for record in records if record["id"] == 7] == [
        {
            "id": 7,
            "name": "o7",
            "amount": "12.50",
            "seen": "2026-11-25T03:00:00.500+00:00",
            "paid": 1,
            "took": "-01:30:00",
            "extra": '{"sum": 12345678901234567.89}',
        }
    ]


def test_single_rows_are_read_by_the_bytes_of_their_key(mariadb: MariaServer, url: str, made: Made) -> None:
    """A number by its digits; a text under a collation that folds case, accents and padding only as it stands; two rows of one key are no answer."""
    assert looked_up(made(url), "3", "77", "x", "3-A", "24") == {
        "3": LookupStatus.FOUND,
        "77": LookupStatus.NOT_FOUND,
        "x": LookupStatus.NOT_FOUND,
        "3-A": LookupStatus.NOT_FOUND,
        "24": LookupStatus.FOUND,
    }
    mariadb.run("CREATE TABLE texts (code varchar(20)); INSERT INTO texts VALUES ('a'), ('É'), ('twice'), ('twice')", url=url)
    for resource in ({"table": "texts", "key": "code"}, {"sql": "select code from texts -- all of them", "key": "code"}):
        assert looked_up(made(url, resource), "a", "A", "a ", "É", "E", "twice", "Twice") == {
            "a": LookupStatus.FOUND,
            "A": LookupStatus.NOT_FOUND,
            "a ": LookupStatus.NOT_FOUND,
            "É": LookupStatus.FOUND,
            "E": LookupStatus.NOT_FOUND,
            "twice": LookupStatus.UNKNOWN,
            "Twice": LookupStatus.NOT_FOUND,
        }


def test_what_json_cannot_carry_costs_its_own_row(url: str, made: Made, tmp_path: Path) -> None:
    """A row with bytes in it is counted and kept with its reason; the others are read."""
    provider = made(url, {"sql": "select id, if(id = 7, x'00ff', null) as odd from orders"})

    coverage, records = landed(provider, tmp_path / "s")

    assert (coverage.whole, coverage.unreadable, len(records)) == (True, 1, 24)
    assert looked_up(provider, "7") == {"7": LookupStatus.UNKNOWN}


def test_a_query_is_taken_as_it_is_written_and_cannot_write(mariadb: MariaServer, url: str, made: Made) -> None:
    """Colon, percent sign and comment mean nothing else here; what would write is refused by the server."""
    sql = "select id, ' :x 5%' as t from orders where name like 'o1%' -- every one that begins so"
    pages = list(made(url, {"sql": sql}).fetch(Listing(resource="orders")))
    assert [json.loads(item)["t"] for page in pages for item in page.items] == [" :x 5%"] * 11
    mariadb.run("CREATE FUNCTION gone() RETURNS int BEGIN DELETE FROM orders; RETURN 1; END", url=url)
    with pytest.raises(Refused, match="READ ONLY"):
        list(made(url, {"sql": "select gone() as id"}).fetch(Listing(resource="orders")))
    assert mariadb.run("SELECT count(*) FROM orders", url=url) == [(25,)]


def test_each_failure_is_what_it_is(mariadb: MariaServer, url: str, made: Made) -> None:
    """A password, database, table, column, right or query that is wrong is refused and not tried again; a silence or a lock may pass."""
    mariadb.run("CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'reader-words'")
    mariadb.run("CREATE TABLE salaries (id int); GRANT SELECT ON orders TO reader@'127.0.0.1'", url=url)
    reader = url.replace(f"recon:{PASSWORD}", "reader:reader-words")
    for address, resource, kind, says, more in (
        (url.replace(PASSWORD, "wr0ng-words"), {"table": "orders"}, Refused, "correct user, password or database", {}),
        (url + "x", {"table": "orders"}, Refused, "Unknown database", {}),
        (reader, {"table": "salaries"}, Refused, "grant its user SELECT", {}),
        (url, {"table": "ordres"}, Refused, "correct table, key or sql", {}),
        (url, {"sql": "select nothing from orders"}, Refused, "Unknown column", {}),
        (url, {"sql": "selec 1"}, Refused, "SQL syntax", {}),
        (url, {"sql": "select 1 as id, sleep(30) as slow"}, Unreachable, "timed out", {"timeout": 1}),
        ("mysql://reader@127.0.0.1:1/x", {"table": "orders"}, Unreachable, "Can't connect", {}),
    ):
        with pytest.raises(kind) as caught:
            list(made(address, resource, **more).fetch(Listing(resource="orders")))
        said = f"{caught.value} {caught.value.hint}"
        assert says in said
        assert "words" not in said
        assert PASSWORD not in said
    assert len(list(made(reader).fetch(Listing(resource="orders")))) == 3


def test_a_server_that_is_killed_leaves_no_whole_listing(
    mariadb: MariaServer, url: str, made: Made, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Killed after the first page the fetch is cut short, without a driver's traceback; when the server is back it begins anew and is whole."""
    mariadb.run("CREATE TABLE many AS SELECT seq AS id, repeat('x', 400) AS v FROM seq_1_to_30000", url=url)
    provider = made(url, {"table": "many"}, page=1000)
    pages = provider.fetch(Listing(resource="orders"))
    next(pages)
    try:
        mariadb.kill()
        with pytest.raises(Unreachable, match="no whole answer"):
            list(pages)
    finally:
        mariadb.start()
    with pytest.raises(CursorExpired):
        next(provider.fetch(Listing(resource="orders", resume={"rows": 1000})))
    coverage, records = landed(provider, tmp_path / "s")
    assert (coverage.whole, len(records)) == (True, 30000)
    assert capfd.readouterr().err == ""


def test_what_the_driver_does_not_take_of_the_url_is_refused(url: str, made: Made) -> None:
    """An authority's file that is not there, and a misspelt word, are told with the provider and the way out; nothing of it is a traceback."""
    for words, says in (("ssl_ca=/nowhere.pem", "No such file"), ("read_timeouts=5", "read_timeouts")):
        provider = made(f"{url}?{words}")
        with pytest.raises(Refused, match="erp: the driver pymysql does not take what url says") as caught:
            looked_up(provider, "1")
        assert says in caught.value.message
        assert PASSWORD not in caught.value.message
