"""Any GraphQL API that lists Relay connections, declared in recon.toml with no Python: `type = "graphql"`. docs/providers.md shows it at work."""

from typing import Any

from recon import Section
from recon.clock import parse_iso
from recon.errors import BadSetting
from recon.fetch.graphql import ById, Connection, Nested
from recon.fetch.narrowing import Ranges
from recon.graphql_provider import GraphQLProvider

QUERY_HINT = 'query = """…""", or query_file = "queries/orders.graphql" beside recon.toml'
FORMS = ("iso", "epoch", "epoch_ms", "date", "integer")


class GraphQL(GraphQLProvider):
    """A third party as `[providers.NAME]` declares it: HTTPProvider's own keys, `base_url` being the endpoint, and a table per resource.

    `[providers.NAME.resources.RESOURCE]` takes `query` (or `query_file`) and `nodes`, and may take `key`, `variables`, `cursor`, `first`, `page`, `least`,
    `most`, `get`, `batch`, `nested`, `search`, `ranges`, `parallel`, `total`, `link`, `lag` and `cursor_age`. What they mean stands with
    `recon.fetch.graphql.Connection`.

    Raises BadSetting for a key that is unknown, missing or of the wrong shape, naming file, table and key.
    """

    def configure(self, section: Section) -> None:
        """Reads the resources."""
        tables = section.mapping("resources", {})
        if not tables:
            hint = f'add [{section.path}.resources.orders] with query = """…""" and nodes = "orders.nodes"'
            raise section.bad("resources", "declares nothing to fetch", hint=hint)
        parent = section.sub("resources")
        self.catalogue = {name: read_connection(parent.sub(name)) for name in tables}


def read_connection(section: Section) -> Connection:
    """The connection that a table declares; BadSetting where it declares none that can be."""
    declared: dict[str, Any] = {
        "query": _query(section),
        "nodes": section.text("nodes"),
        "key": section.text("key", "id"),
        "variables": section.mapping("variables", {}),
        "cursor": section.text("cursor", "after"),
        "first": _or_none(section, "first", "first"),
        "page": section.integer("page", 100, low=1),
        "least": section.integer("least", 1, low=1),
        "most": section.integer("most", None, low=1),
        "search": section.text("search", "query"),
        "total": section.text("total", None),
        "link": section.text("link", None),
        "lag": section.duration("lag", 0.0),
        "parallel": section.integer("parallel", 4, low=1),
        "cursor_age": section.duration("cursor_age", None),
        "one": _by_id(section, "get"),
        "many": _by_id(section, "batch"),
        "nested": tuple(_nested(section)),
        "ranges": _ranges(section),
    }
    section.finish()
    try:
        return Connection(**declared)
    except ValueError as error:
        msg = f"{section.file.name} [{section.path}]: {error}"
        raise BadSetting(msg) from None


def _query(section: Section) -> str:
    """The query's text: as it stands there, or from a file beside recon.toml."""
    text: str | None = section.text("query", None)
    name: str | None = section.text("query_file", None)
    if (text is None) == (name is None):
        raise section.bad("query", "is missing" if text is None else "stands beside query_file; give one of them", hint=QUERY_HINT)
    if name is None:
        assert text is not None
        return text
    try:
        return (section.folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise section.bad(
            "query_file", f"{name}: {error.__class__.__name__}", hint="the path starts from the folder of recon.toml"
        ) from None


def _or_none(section: Section, key: str, default: str) -> str | None:
    """A variable's name; "" where the query has no such variable."""
    name: str = section.text(key, default)
    return name or None


def _by_id(section: Section, key: str) -> ById | None:
    if section.take(key, None) is None:
        return None
    table = section.sub(key)
    several = key == "batch"
    declared: dict[str, Any] = {
        "query": _query(table),
        "record": table.text("records" if several else "record"),
        "variable": table.text("variable", "ids" if several else "id"),
        "size": table.integer("size", 50, low=2) if several else 1,
    }
    table.finish()
    made: ById = _declared(table, ById, declared)
    return made


def _nested(section: Section) -> list[Nested]:
    tables = section.take("nested", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise section.bad("nested", "wants a table for each nested connection", hint=f"add [{section.path}.nested.lineItems]")
    parent = section.sub("nested")
    found = []
    for name in tables:
        table = parent.sub(name)
        declared: dict[str, Any] = {
            "name": name,
            "query": _query(table),
            "nodes": table.text("nodes"),
            "of": table.text("of", "id"),
            "parent": table.text("parent", "id"),
            "cursor": table.text("cursor", "after"),
            "first": _or_none(table, "first", "first"),
            "page": table.integer("page", 100, low=1),
            "most": table.integer("most", 100_000, low=1),
        }
        table.finish()
        found.append(_declared(table, Nested, declared))
    return found


def _ranges(section: Section) -> Ranges | None:
    if section.take("ranges", None) is None:
        return None
    table = section.sub("ranges")
    form = table.choice("form", FORMS, "iso")
    start = table.take("start", 0)
    if isinstance(start, str):
        try:
            start = int(parse_iso(start if "T" in start else f"{start}T00:00:00Z").timestamp())
        except ValueError:
            raise table.bad("start", f"is {start!r}; a date such as 2015-01-01, or a whole number, is wanted") from None
    if isinstance(start, bool) or not isinstance(start, int):
        raise table.bad("start", "wants a date in quotation marks, or a whole number")
    ranges = Ranges(
        at=table.text("at"), low=table.text("low"), high=table.text("high"), form=form, start=start, pages=table.integer("pages", 50, low=1)
    )
    table.finish()
    return ranges


def _declared(table: Section, kind: Any, given: dict[str, Any]) -> Any:
    try:
        return kind(**given)
    except ValueError as error:
        msg = f"{table.file.name} [{table.path}]: {error}"
        raise BadSetting(msg) from None
