"""The general store on a real MariaDB: values as the server has them, keys by their bytes, one state, and no read that only looks whole."""

from datetime import UTC, datetime
from typing import Any

import pytest

from recon.errors import BadSetting, StoreError, StoreMismatch, StoreUnreachable
from recon.job import Sql, Table
from recon.kind import Integer, Text
from recon.stores.base import Selection, Store
from recon.stores.factory import open_store
from recon.testing.section import section
from tests.servers.mariadb import PASSWORD, MariaServer, maria, mariadb

__all__ = ["maria", "mariadb"]

TYPES = """
CREATE TABLE t (id varchar(40) PRIMARY KEY, n decimal(20,4), r double, ok tinyint(1), flag bit(1), mask bit(8), big bigint unsigned,
  at datetime(6), ts timestamp(6) NULL, day date, took time(3), raw blob, js json, words longtext, one enum('x','y'), c char(5),
  old varchar(20) CHARACTER SET latin1, twice decimal(20,4) AS (n * 2) VIRTUAL);
SET sql_mode = '';
SET time_zone = '+05:30';
INSERT INTO t (id, n, r, ok, flag, mask, big, at, ts, day, took, raw, js, words, one, c, old) VALUES
  ('full', '12345678901234.5670', 0.1, 1, b'1', b'101', 18446744073709551615, '2026-11-23 10:00:00.123456', '2026-11-23 10:00:00.5',
   '2026-11-23', '-12:30:00.5', x'00ff', '{"a": 1.10, "b": 12345678901234567.89}', 'hé 😀', 'x', 'ab', 'é'),
  ('zero', 0, 0, 0, b'0', 0, 0, 0, 0, 0, 0, '', '{}', '', 'y', '', '');
INSERT INTO t (id) VALUES ('none');
"""
COLUMNS = ("n", "r", "ok", "flag", "mask", "big", "at", "ts", "day", "took", "raw", "js", "words", "one", "c", "old", "twice")
KEYS = """
CREATE TABLE k (id varchar(40) COLLATE utf8mb4_nopad_bin, v text) COLLATE utf8mb4_general_ci;
INSERT INTO k VALUES ('a', '1'), ('A', '2'), ('á', '3'), ('a ', '4'), ('12-A', '5'), ('😀', '6'), ('twice', '7'), ('twice', '8'), (NULL, '9');
CREATE VIEW folded AS SELECT id COLLATE utf8mb4_general_ci AS id, v FROM k;
"""


def store_of(url: str, **keys: Any) -> Store:
    """The store of a recon.toml."""
    return open_store(section("main", url=url, **keys))


def selection(relation: Table | Sql, *columns: str, key_kind: Any = Text()) -> Selection:
    """A selection of columns by name."""
    return Selection(relation=relation, columns={name: (name, None) for name in columns}, key_kind=key_kind)


def rows_of(store: Store, chosen: Selection) -> list[dict[str, Any]]:
    """The whole read."""
    with store.scan(chosen) as scan:
        return list(scan.reader.read_all().to_pylist())


def sent_by(server: MariaServer) -> int:
    """How many bytes it has sent to connections that are over by now, and to those that asked."""
    ((sent,),) = server.run("SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'BYTES_SENT'")
    return int(sent)


def test_values_of_every_type(mariadb: MariaServer, maria: str) -> None:
    """Numbers with all their digits, instants in UTC whatever the server's zone, BIT as what it says, zero dates as their text, emoji, generated columns."""
    mariadb.run(TYPES, url=maria)
    found = {row.pop("key"): row for row in rows_of(store_of(maria), selection(Table(name="t"), *COLUMNS))}
    assert found["full"] == {
        "n": "12345678901234.5670",
        "r": 0.1,
        "ok": 1,
        "flag": True,
        "mask": "5",
        "big": "18446744073709551615",
        "at": "2026-11-23T10:00:00.123456",
        "ts": "2026-11-23T04:30:00.500000+00:00",
        "day": "2026-11-23",
        "took": "-12:30:00.500",
        "raw": b"\x00\xff",
        "js": '{"a": 1.10, "b": 12345678901234567.89}',
        "words": "hé 😀",
        "one": "x",
        "c": "ab",
        "old": "é",
        "twice": "24691357802469.1340",
    }
    assert (found["zero"]["at"], found["zero"]["day"], found["zero"]["flag"]) == ("0000-00-00 00:00:00.000000", "0000-00-00", False)
    assert set(found["none"].values()) == {None}
    with_narrow = store_of(maria + "?charset=latin1")
    assert {row["words"] for row in rows_of(with_narrow, selection(Table(name="t"), "words"))} == {"hé 😀", "", None}


@pytest.mark.parametrize("relation", [Table(name="k"), Table(name="folded"), Sql(text="SELECT id, v FROM folded", key="id")])
def test_keys_are_their_bytes(mariadb: MariaServer, maria: str, relation: Table | Sql) -> None:
    """Where the collation folds case, accents and padding, a key still finds its own row alone, and only what is twice is counted as such."""
    mariadb.run(KEYS, url=maria)
    store = store_of(maria)
    chosen = selection(relation, "v")
    for asked, answer in (("a", ["1"]), ("A", ["2"]), ("á", ["3"]), ("a ", ["4"]), ("12", []), ("😀", ["6"]), ("twice", ["7", "8"])):
        assert sorted(store.get_many(chosen, [asked]).column("v").to_pylist()) == answer, asked
    with store.scan(chosen) as scan:
        assert scan.key_unique is False
        assert scan.duplicates(10) == [("twice", 2)]
        assert scan.reader.read_all().num_rows == 9
        assert scan.duplicates(10) == [("twice", 2)]
    folding = selection(relation, "v", key_kind=Text(case="fold", trim=True))
    assert sorted(store.get_many(folding, ["a"]).column("v").to_pylist()) == ["1", "2", "4"]
    with store.scan(folding) as scan:
        assert scan.duplicates(10) == [("a", 3), ("twice", 2)]


def test_a_number_is_found_by_its_digits(mariadb: MariaServer, maria: str) -> None:
    """The greatest unsigned number is a key like any other, and a text that begins with digits is none."""
    mariadb.run(
        "CREATE TABLE u (id bigint unsigned PRIMARY KEY, v int); INSERT INTO u VALUES (12, 1), (18446744073709551615, 2), (0, 3)", url=maria
    )
    store, chosen = store_of(maria), selection(Table(name="u"), "v", key_kind=Integer())
    assert store.get_many(chosen, ["18446744073709551615", "12-A", "x", "012", "99"]).to_pylist() == [
        {"key": "18446744073709551615", "v": 2}
    ]
    with store.scan(chosen) as scan:
        assert scan.key_unique is True


def test_one_state_read_only_and_never_counted_in_the_middle(mariadb: MariaServer, maria: str) -> None:
    """What is committed meanwhile is not seen; nothing can be written; and a count in the middle, which would cut the stream, is refused."""
    mariadb.run("CREATE TABLE many AS SELECT seq AS id, 'old' AS v FROM seq_1_to_5000", url=maria)
    with store_of(maria, batch_rows=100).scan(selection(Table(name="many"), "v")) as scan:
        assert scan.isolation == "REPEATABLE READ READ ONLY (mariadb)"
        assert abs((scan.taken_at - datetime.now(UTC)).total_seconds()) < 60
        assert scan.reader.read_next_batch().num_rows == 100
        mariadb.run("INSERT INTO many VALUES (1, 'new'); UPDATE many SET v = 'new' WHERE id > 4000", url=maria)
        with pytest.raises(StoreError, match="not in the middle"):
            scan.duplicates(5)
        rest = scan.reader.read_all()
        assert (rest.num_rows, set(rest.column("v").to_pylist())) == (4900, {"old"})
        assert scan.duplicates(5) == []
    mariadb.run("CREATE TABLE loose (id int, v text) ENGINE = MyISAM; CREATE VIEW seen AS SELECT id, v FROM many", url=maria)
    for name, says in (("loose", "one statement: MyISAM has no transactions"), ("seen", "REPEATABLE READ READ ONLY (mariadb)")):
        with store_of(maria).scan(selection(Table(name=name), "v")) as scan:
            assert scan.isolation == says
    with pytest.raises(StoreMismatch, match="READ ONLY"):
        rows_of(store_of(maria), selection(Sql(text="SELECT id, v FROM many FOR UPDATE", key="id"), "v"))


def test_a_server_that_is_killed_is_no_end(mariadb: MariaServer, maria: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Killed in the middle of a read: StoreUnreachable, without a driver's traceback on the terminal; back again, the same store reads on anew."""
    mariadb.run("CREATE TABLE t AS SELECT seq AS id, repeat('x', 400) AS v FROM seq_1_to_30000", url=maria)
    store, chosen = store_of(maria, batch_rows=1000), selection(Table(name="t"), "v")

    def broken() -> None:
        with store.scan(chosen) as scan:
            scan.reader.read_next_batch()
            mariadb.kill()
            scan.reader.read_all()

    try:
        with pytest.raises(StoreUnreachable, match="the read broke off"):
            broken()
        with pytest.raises(StoreUnreachable, match="no connection"):
            rows_of(store, chosen)
    finally:
        mariadb.start()
    assert len(rows_of(store, chosen)) == 30000
    assert capfd.readouterr().err == ""


def test_a_read_that_nobody_wants_is_let_go(mariadb: MariaServer, maria: str) -> None:
    """Left after its first batch, a read asks for no more: the server does not send the rest only to have it thrown away."""
    mariadb.run("CREATE TABLE t AS SELECT seq AS id, repeat('x', 1000) AS v FROM seq_1_to_25000", url=maria)
    store, chosen = store_of(maria, batch_rows=500), selection(Table(name="t"), "v")
    before = sent_by(mariadb)
    with store.scan(chosen) as scan:
        scan.reader.read_next_batch()
    left = sent_by(mariadb) - before
    before = sent_by(mariadb)
    assert len(rows_of(store, chosen)) == 25000
    whole = sent_by(mariadb) - before
    assert whole > 25_000_000
    assert left < whole / 2, "rows are streamed, and memory is a batch"


def test_a_connection_that_an_operator_ends_is_no_end(mariadb: MariaServer, maria: str) -> None:
    """KILL in the middle of a read: StoreUnreachable."""
    mariadb.run("CREATE TABLE t AS SELECT seq AS id, repeat('x', 200) AS v FROM seq_1_to_30000", url=maria)

    def broken() -> None:
        with store_of(maria, batch_rows=100).scan(selection(Table(name="t"), "v")) as scan:
            scan.reader.read_next_batch()
            (found,) = mariadb.run(
                "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()", url=maria
            )
            mariadb.run(f"KILL {found[0]}")
            scan.reader.read_all()

    with pytest.raises(StoreUnreachable):
        broken()


@pytest.mark.parametrize("fold", ["replace", "merge"])
def test_a_log_is_folded_by_the_bytes_of_its_keys(mariadb: MariaServer, maria: str, fold: str) -> None:
    """Where the collation takes them for one, `a`, `A` and `a ` have a newest event each; a type that is written otherwise removes nothing."""
    mariadb.run("CREATE TABLE log (k varchar(20), position bigint, type varchar(20), data json, INDEX (k, position))", url=maria)
    events = [
        ("a", 1, "made", "low"),
        ("A", 2, "made", "high"),
        ("a ", 3, "made", "wide"),
        ("A", 4, "Deleted", "kept"),
        ("a", 5, "deleted", "x"),
    ]
    for key, position, kind, status in events:
        mariadb.run("INSERT INTO log VALUES (%s, %s, %s, %s)", [key, position, kind, f'{{"status": "{status}"}}'], url=maria)
    store, chosen = store_of(maria, type="fold", fold=fold), selection(Table(name="log", key="k"), "status")
    assert sorted(tuple(row.values()) for row in rows_of(store, chosen)) == [("A", "kept"), ("a ", "wide")]
    assert store.get_many(chosen, ["A", "a"]).to_pylist() == [{"key": "A", "status": "kept"}]
    with store.scan(chosen) as scan:
        assert scan.duplicates(5) == []


def test_what_does_not_fit_is_told_where(mariadb: MariaServer, maria: str) -> None:
    """A wrong password, database, table, column, right or statement: the way out in each, the password in none."""
    mariadb.run("CREATE TABLE orders (id int PRIMARY KEY, status text); CREATE TABLE salaries (id int PRIMARY KEY, status text)", url=maria)
    mariadb.run("CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'reader-words'")
    mariadb.run("GRANT SELECT ON orders TO reader@'127.0.0.1'", url=maria)
    reader = maria.replace(f"recon:{PASSWORD}", "reader:reader-words")
    orders = selection(Table(name="orders"), "status")
    for url, chosen, kind, says in (
        (maria.replace(PASSWORD, "wr0ng-words"), orders, StoreUnreachable, "check user, password and database"),
        (maria + "x", orders, StoreUnreachable, "Unknown database"),
        (reader, selection(Table(name="salaries"), "status"), StoreMismatch, "GRANT SELECT"),
        (reader, selection(Sql(text="SELECT * FROM salaries", key="id"), "status"), StoreMismatch, "GRANT SELECT"),
        (maria, selection(Table(name="ordres"), "status"), StoreMismatch, "'orders'"),
        (maria, selection(Table(name="orders"), "statsu"), StoreMismatch, "'status'"),
        (maria, selection(Sql(text="SELEC 1", key="id"), "status"), StoreMismatch, "error in your SQL syntax"),
    ):
        with pytest.raises(kind) as caught:
            rows_of(store_of(url), chosen)
        said = f"{caught.value} {caught.value.hint}"
        assert says in said
        assert "words" not in said
        assert PASSWORD not in said
    assert (store_of(maria).health(orders).writable, store_of(reader).health(orders).writable) == (True, False)
    health = store_of(reader).health(orders)
    assert (health.readable_columns, health.server[:8]) == (True, "mariadb ")


@pytest.mark.parametrize(("options", "says"), [({"read_timeouts": 5}, "read_timeouts"), ({"ssl_ca": "nowhere.pem"}, "No such file")])
def test_options_that_the_driver_does_not_take_are_a_mistake_of_the_settings(maria: str, options: dict[str, Any], says: str) -> None:
    """A misspelt option, and a file that is not there, name the store and the option; nothing of it is a traceback."""
    with pytest.raises(BadSetting, match=r"\[stores.main\]: the driver pymysql does not take options\.") as caught:
        store_of(maria, options=options).health(None)

    assert says in caught.value.message
    assert PASSWORD not in caught.value.message
