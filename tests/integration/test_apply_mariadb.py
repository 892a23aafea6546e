"""Corrections straight into MariaDB: to the row of the key's own bytes, in UTC, never cut to fit, and never behind a lock for longer than allowed."""

import contextlib
import sys
import threading
import time
from datetime import datetime
from typing import Any

import pytest

from providers.sql import Sql
from recon.errors import BadSetting, DeliveryError, Refused
from recon.provider import Listing
from recon.publishers.base import Outcome, OutcomeKind
from recon.publishers.table import TablePublisher
from recon.stores.factory import open_store
from recon.testing.section import section
from tests.integration.test_publisher_apply import kinds, message, publisher_of, sent
from tests.providers.sections import section as provider_section
from tests.servers.mariadb import PASSWORD, MariaServer, maria, mariadb

__all__ = ["maria", "mariadb"]

OPEN, PAID = {"status": "open"}, {"status": "paid"}


def test_a_correction_goes_to_the_key_s_own_row(mariadb: MariaServer, maria: str) -> None:
    """Under a collation that folds case and padding `A` is not the row `a`, and in a column of numbers `12-A` is not 12: neither is touched."""
    mariadb.run(
        "CREATE TABLE orders (id varchar(20) PRIMARY KEY, status varchar(20)); INSERT INTO orders VALUES ('a', 'open');"
        "CREATE TABLE numbers (id bigint unsigned PRIMARY KEY, status varchar(20));"
        "INSERT INTO numbers VALUES (12, 'open'), (0, 'open'), (18446744073709551615, 'open')",
        url=maria,
    )
    for key in ("A", "a ", "á"):
        assert kinds(sent(maria, message("deleted", key, None, OPEN))) == [("confirmed", True)]
        assert sent(maria, message("updated", key, PAID, OPEN))[0].reason == "conflict: the row is gone"
        assert sent(maria, message("created", key, PAID))[0].kind is OutcomeKind.REJECTED  # The table itself cannot hold both.
    for key in ("12-A", "x", "012"):
        assert kinds(sent(maria, message("deleted", key, None, OPEN), table="numbers")) == [("confirmed", True)]
    assert mariadb.run("SELECT * FROM orders UNION SELECT * FROM numbers", url=maria) == [
        ("a", "open"),
        ("0", "open"),
        ("12", "open"),
        ("18446744073709551615", "open"),
    ]
    assert kinds(sent(maria, message("updated", "a", PAID, OPEN))) == [("confirmed", False)]
    assert kinds(sent(maria, message("updated", "18446744073709551615", PAID, OPEN), table="numbers")) == [("confirmed", False)]


def test_an_instant_is_an_instant_and_a_version_stays(mariadb: MariaServer, maria: str) -> None:
    """A TIMESTAMP is written in UTC whatever the server's zone; one that turns at every write keeps what the event tells of it."""
    mariadb.run(
        "CREATE TABLE orders (id int PRIMARY KEY, status varchar(20), at timestamp NULL,"
        " updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6))",
        url=maria,
    )
    told = {"at": "2026-11-23T10:11:12Z", "updated_at": "2026-11-23T10:11:12.345678Z"}
    create = message("created", "7", {**OPEN, **told})
    update = message("updated", "7", {**PAID, **told}, {**OPEN, **told})
    assert kinds(sent(maria, create, create, update, update)) == [("confirmed", False), ("confirmed", True)] * 2
    moment = datetime(2026, 11, 23, 10, 11, 12)
    assert mariadb.run("SELECT status, at, updated_at FROM orders", url=maria, zone="+00:00") == [
        ("paid", moment, moment.replace(microsecond=345678))
    ]
    assert mariadb.run("SELECT at FROM orders", url=maria) == [(datetime(2026, 11, 23, 15, 41, 12),)]


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"status": "longer than it may be"}, "Data too long"),
        ({"total": "much"}, "Incorrect"),
        ({"total": 2**70}, "Out of range"),
        ({"total": -1}, "positive"),
        ({"at": "no time"}, "Incorrect datetime"),
        ({"meta": "{no json"}, "meta"),
        ({"status": None}, "cannot be null"),
        ({"customer": 99}, "foreign key"),
        ({"total": 7}, "never seven"),
        ({"status": "x" * (16 << 20)}, "max_allowed_packet takes, 16,777,216"),
    ],
)
def test_what_does_not_fit_is_the_event_s_own_fault(mariadb: MariaServer, maria: str, odd: dict[str, Any], says: str) -> None:
    """Rejected, and not cut until it fits though the server's own mode would; its neighbours are applied."""
    mariadb.run(
        "CREATE TABLE customers (id int PRIMARY KEY);"
        "CREATE TABLE orders (id int PRIMARY KEY, status varchar(10) NOT NULL, total bigint, at datetime, meta json, customer int,"
        " CONSTRAINT positive CHECK (total >= 0), FOREIGN KEY (customer) REFERENCES customers (id));"
        "CREATE TRIGGER seven BEFORE INSERT ON orders FOR EACH ROW"
        " IF NEW.total = 7 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'never seven'; END IF",
        url=maria,
    )
    mariadb.run("SET GLOBAL sql_mode = ''")
    try:
        outcomes = sent(maria, *(message("created", key, {**OPEN, **(odd if key == "2" else {})}) for key in "123"))
    finally:
        mariadb.run("SET GLOBAL sql_mode = DEFAULT")
    assert [one.kind.value for one in outcomes] == ["confirmed", "rejected", "confirmed"]
    assert says in outcomes[1].reason


def test_a_lock_is_waited_for_and_no_longer_than_allowed(mariadb: MariaServer, maria: str) -> None:
    """A row that the application holds: RETRY at the deadline; where it commits in time the row is looked at anew, and is a conflict."""
    mariadb.run("CREATE TABLE orders (id int PRIMARY KEY, status varchar(20)); INSERT INTO orders VALUES (7, 'open')", url=maria)
    with contextlib.closing(mariadb.connect(maria, autocommit=False)) as application, application.cursor() as cursor:
        cursor.execute("UPDATE orders SET status = 'refunded'")
        begun = time.monotonic()
        outcomes = publisher_of(maria).publish([message("updated", "7", PAID, OPEN)] * 2, 0.5)
        assert [one.kind for one in outcomes] == [OutcomeKind.RETRY] * 2
        assert time.monotonic() - begun < 5
        found: list[Outcome] = []
        thread = threading.Thread(target=lambda: found.extend(sent(maria, message("updated", "7", PAID, OPEN))))
        thread.start()
        mariadb.await_a_lock()
        application.commit()
        thread.join()
    assert [one.reason for one in found] == ["conflict: status changed since the event was made"]
    assert mariadb.run("SELECT status FROM orders", url=maria) == [("refunded",)]


def test_a_server_that_is_away_means_try_again(mariadb: MariaServer, maria: str) -> None:
    """Killed, or with a wrong password: RETRY for every event and no password told; once it is back the same events are applied once."""
    mariadb.run("CREATE TABLE orders (id int PRIMARY KEY, status varchar(20))", url=maria)
    publisher, batch = publisher_of(maria), [message("created", key, OPEN) for key in "12"]
    assert "orders" in publisher.health()
    mariadb.kill()
    try:
        assert [one.kind for one in publisher.publish(batch, 5)] == [OutcomeKind.RETRY] * 2
    finally:
        mariadb.start()
    assert kinds(list(publisher.publish([*batch, *batch], 5))) == [("confirmed", False)] * 2 + [("confirmed", True)] * 2
    wrong = publisher_of(maria.replace(PASSWORD, "wr0ng-words"))
    outcomes = wrong.publish(batch, 5)
    with pytest.raises(DeliveryError) as caught:
        wrong.health()
    assert [one.kind for one in outcomes] == [OutcomeKind.RETRY] * 2
    assert "wr0ng-words" not in f"{outcomes} {caught.value} {caught.value.hint}"


def test_a_table_without_transactions_is_refused(mariadb: MariaServer, maria: str) -> None:
    """MyISAM would write half of what is taken back: told with the way out, and tried again once it is mended."""
    mariadb.run("CREATE TABLE orders (id int PRIMARY KEY, status varchar(20)) ENGINE = MyISAM", url=maria)
    with pytest.raises(DeliveryError, match="MyISAM, which has no transactions") as caught:
        publisher_of(maria).health()
    assert caught.value.hint == "ALTER TABLE orders ENGINE = InnoDB"
    assert sent(maria, message("created", "1", OPEN))[0].kind is OutcomeKind.RETRY


def test_the_driver_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store, third party and publisher say which command installs it, before anything is connected."""
    monkeypatch.setitem(sys.modules, "pymysql", None)
    monkeypatch.setitem(sys.modules, "pymysql.constants", None)
    for made in (
        lambda: open_store(section("main", url="mysql://u:secret-words@h/d")),
        lambda: publisher_of("mariadb://u:secret-words@h/d"),
        lambda: list(
            Sql(provider_section("providers.erp", {"url": "mysql://u:secret-words@h/d", "resources": {"o": {"table": "o"}}})).fetch(
                Listing(resource="o")
            )
        ),
    ):
        with pytest.raises((BadSetting, Refused)) as caught:
            made()
        said = f"{caught.value} {caught.value.hint}"
        assert 'pip install "nightly-recon[mysql]"' in said
        assert "secret-words" not in said


def test_the_table_of_events_is_refused_with_the_way_out() -> None:
    """`table` is for PostgreSQL and SQLite; what can be done with MariaDB is said. No server is needed to know."""
    with pytest.raises(BadSetting, match="PostgreSQL and SQLite, not to mariadb") as caught:
        TablePublisher(section("inbox", url="mariadb://h/d"))
    assert 'type = "apply"' in str(caught.value.hint)


def test_what_the_driver_does_not_take_of_the_url_is_told(maria: str) -> None:
    """An authority's file that is not there is told with the publisher and the way out, as a destination at fault."""
    with pytest.raises(DeliveryError, match=r"the driver pymysql does not take what url says: .*No such file") as caught:
        publisher_of(f"{maria}?ssl_ca=/nowhere.pem").health()

    assert PASSWORD not in caught.value.message
