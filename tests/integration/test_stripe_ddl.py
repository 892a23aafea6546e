"""The shipped jobs' DDL in a real PostgreSQL."""

import re
from pathlib import Path

import psycopg
import pytest

from tests.servers.postgres import database, postgres

__all__ = ["database", "postgres"]

FILES = sorted((Path(__file__).resolve().parents[2] / "jobs").glob("stripe_*.py"))


def test_every_tables_ddl_executes_in_postgresql(database: str) -> None:
    """Each docstring's DDL makes its table, with types that PostgreSQL keeps as moments, booleans and JSON."""
    with psycopg.connect(database) as connection:
        for path in FILES:
            (block,) = re.findall(r"```sql\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
            connection.execute(block)
        rows = connection.execute("select table_name, column_name, data_type from information_schema.columns where table_schema = 'public'")
        types = {(table, column): kind for table, column, kind in rows}
    assert {table for table, _ in types} == {path.stem for path in FILES}
    assert {kind for (_, column), kind in types.items() if column.endswith("_at")} == {"timestamp with time zone"}
    assert {kind for (_, column), kind in types.items() if column == "metadata"} == {"jsonb"}
    assert {kind for (_, column), kind in types.items() if column in {"amount", "total", "net"}} == {"bigint"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_docs_name_the_job(path: Path) -> None:
    """docs/jobs-stripe.md has a line for each shipped job."""
    page = (path.parents[1] / "docs" / "jobs-stripe.md").read_text(encoding="utf-8")
    assert f"| `{path.stem}` |" in page
