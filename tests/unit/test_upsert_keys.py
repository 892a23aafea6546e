"""By what a row is found, in the words of a database that no test runs: what is compiled, without a connection."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, String, Table
from sqlalchemy.dialects import mssql, mysql, sqlite

from recon.upsert.rows import Rows


@pytest.mark.parametrize(
    ("dialect", "kind", "bound", "odd"),
    [
        (mssql.dialect(), String(40), ["12"], ["12-A"]),
        (mssql.dialect(), BigInteger(), [12], ["12-A"]),
        (mysql.dialect(), String(40), ["12"], ["12-A"]),
        (mysql.dialect(), BigInteger(), [12], []),
    ],
)
def test_a_key_is_compared_as_its_column_is(dialect: Any, kind: Any, bound: Sequence[Any], odd: Sequence[Any]) -> None:
    """A text is never compared with a number: such a database would read the row `12-A` as 12, and the correction would go to it."""
    assert asked(dialect, kind, "12") == bound
    assert asked(dialect, kind, "12-A") == odd


def test_a_column_of_sqlite_may_hold_either() -> None:
    """Its columns need not hold what they declare, and it does not read a text as a number."""
    assert asked(sqlite.dialect(), String(40), "12") == ["12", 12]
    assert asked(sqlite.dialect(), String(40), "012") == ["012"]


def asked(dialect: Any, kind: Any, key: str) -> list[Any]:
    """The values that a row is looked for by."""
    rows = Rows(Table("orders", MetaData(), Column("id", kind, primary_key=True)), key="id", columns={}, scale={})
    connection: Any = SimpleNamespace(dialect=dialect)
    return list(rows._keyed(connection, key).compile(dialect=dialect).params.values())
