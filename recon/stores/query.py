"""The statements that read a store, from a `Selection`: SQLAlchemy Core quotes the names, values are always bound."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Select, Text, bindparam, cast, column, func, literal_column, select, table, text
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement, TextClause
from sqlalchemy.sql.selectable import FromClause
from sqlalchemy.types import NullType

from recon.errors import StoreMismatch
from recon.job import Scalar, Sql, Table
from recon.kind import Integer as IntegerKind
from recon.kind import Text as TextKind
from recon.stores.base import Selection
from recon.stores.mysql import exact, is_mysql

KEYS_AT_ONCE = 500
"""How many keys one by-key statement carries; SQLite of old takes 999 parameters at most."""

BIND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
"""What SQLAlchemy's text() takes for a parameter: `:name`, but neither `::type` nor `12:30` nor `\\:name`."""

MOST_WRITTEN = 512
_WRITTEN: dict[tuple[str, Hashable], tuple[str, list[tuple[str, Any]]]] = {}

Shape = Callable[[ColumnElement[Any]], ColumnElement[Any]]
Binds = dict[str, Any]


class Query:
    """The statements for one selection in one dialect. `shapes` wraps output columns, by name (`key` among them), in a cast or the like."""

    def __init__(self, selection: Selection, dialect: Dialect, *, store: str) -> None:
        self.selection = selection
        self.dialect = dialect
        self.store = store
        relation = selection.relation
        self.params: Mapping[str, Scalar] = relation.params
        self._check_params()
        self.source: FromClause = self._source(relation)

    @property
    def names(self) -> tuple[str, ...]:
        """The output columns: `key`, then the fields."""
        return ("key", *self.selection.columns)

    @property
    def relation(self) -> str:
        """The relation in words, for messages and reports: `table shop.orders`, `the job's SQL`."""
        relation = self.selection.relation
        if isinstance(relation, Sql):
            return getattr(relation, "title", "the job's SQL")
        return f"table {relation.schema}.{relation.name}" if relation.schema else f"table {relation.name}"

    @cached_property
    def mark(self) -> str:
        """What the text of a statement hangs on, and the parameters that the job gives it."""
        selection = self.selection
        return repr((self.dialect.name, selection.relation, list(selection.columns.items()), selection.key_kind))

    def expression(self, name: str) -> ColumnElement[Any]:
        """What an output column is read from."""
        relation = self.selection.relation
        if name == "key":
            return self.source.c[relation.key]
        plain, written = self.selection.columns[name]
        return self.source.c[plain] if plain is not None else literal_column(f"({written})")

    def select(self, shapes: Mapping[str, Shape] | None = None, *, only: Sequence[str] | None = None) -> Select[Any]:
        """Every row; `only` these output columns."""
        return self._from(*(self._output(name, shapes or {}) for name in (only or self.names)))

    def by_key(self, predicate: ColumnElement[bool], shapes: Mapping[str, Shape] | None = None) -> Select[Any]:
        """The rows whose key satisfies `predicate`."""
        return self.select(shapes).where(predicate)

    def duplicates(self, limit: int, render: Shape | None = None) -> Select[Any]:
        """Keys that come more than once, as text and count; `render` is how the dialect writes a key as text."""
        key = self.expression("key")
        written = self.compared(self.folded(render(key) if render else cast(key, Text())))
        often = func.count().label("n")
        counted = self._from(written.label("key"), often).where(key.is_not(None)).group_by(written)
        return counted.having(func.count() > 1).order_by(func.count().desc(), written).limit(limit)

    def count(self) -> Select[Any]:
        """How many rows."""
        return self._from(func.count().label("n"))

    def folded(self, written: ColumnElement[Any]) -> ColumnElement[Any]:
        """A key's text as the job's kind of key sees it."""
        kind = self.selection.key_kind
        if isinstance(kind, TextKind):
            written = func.trim(written) if kind.trim else written
            written = func.lower(written) if kind.case == "fold" else written
        return written

    def compared(self, written: ColumnElement[Any]) -> ColumnElement[Any]:
        """A key's text as it is compared: by its bytes, where the database's own comparison would fold it."""
        return exact(written) if is_mysql(self.dialect.name) else written

    @property
    def exact_key(self) -> bool:
        """Whether keys that the database tells apart are told apart by the job too, so that its unique index proves what it seems to."""
        kind = self.selection.key_kind
        return isinstance(kind, IntegerKind) or (isinstance(kind, TextKind) and kind.case == "exact" and not kind.trim)

    def render(self, statement: Any) -> tuple[str, Binds]:
        """The statement's text in its dialect, and its parameters by name."""
        compiled = statement.compile(dialect=self.dialect)
        return str(compiled), dict(compiled.params)

    def render_positional(self, statement: Any) -> tuple[str, list[Any]]:
        """The same for a driver that counts its parameters."""
        compiled = statement.compile(dialect=self.dialect)
        return str(compiled), [compiled.params[name] for name in compiled.positiontup or ()]

    def written(self, sort: Hashable, build: Callable[[], Any], given: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """`render_positional` of what `build` puts together, which is done once for a `sort` of statement; `given` are the values that change.

        A second look reads a few rows, and putting its statements together cost more than they did.
        """
        known = _WRITTEN.get((self.mark, sort))
        if known is None:
            compiled = build().compile(dialect=self.dialect)
            known = str(compiled), [(name, compiled.params[name]) for name in compiled.positiontup or ()]
            if len(_WRITTEN) < MOST_WRITTEN:
                _WRITTEN[self.mark, sort] = known
        return known[0], [given.get(name, value) for name, value in known[1]]

    def show(self, title: str, statement: Any) -> str:
        """The statement with its parameters beside it, for `--show-sql`."""
        written, binds = self.render(statement)
        lines = [f"-- {title}", written.replace(" \n", "\n").replace("%%", "%") + ";"]
        lines += [f"-- {name} = {_shown(value)}" for name, value in binds.items()]
        return "\n".join(lines)

    def _output(self, name: str, shapes: Mapping[str, Shape]) -> ColumnElement[Any]:
        expression = self.expression(name)
        shape = shapes.get(name)
        return (shape(expression) if shape else expression).label(name)

    def _from(self, *columns: ColumnElement[Any]) -> Select[Any]:
        statement = select(*columns).select_from(self.source)
        relation = self.selection.relation
        if isinstance(relation, Table) and relation.where:
            # The condition stands in brackets, or an OR in it would swallow what is added; the line end closes a comment in it.
            statement = statement.where(self._bound(f"({relation.where}\n)" if "--" in relation.where else f"({relation.where})"))
        return statement

    def _source(self, relation: Table | Sql) -> FromClause:
        columns = dict.fromkeys([relation.key, *(plain for plain, _ in self.selection.columns.values() if plain is not None)])
        if isinstance(relation, Table):
            return table(relation.name, *(column(name) for name in columns), schema=relation.schema)
        body = relation.text.strip().rstrip(";").rstrip()
        return self._bound(f"{body}\n" if "--" in body else body).columns(*(column(name) for name in columns)).subquery("q")

    def body(self) -> Select[Any]:
        """An `Sql` relation with all its own columns, to learn their names."""
        relation = self.selection.relation
        assert isinstance(relation, Sql)
        body = relation.text.strip().rstrip(";").rstrip()
        return select(text("*")).select_from(self._bound(f"{body}\n").columns().subquery("q"))

    def _bound(self, written: str) -> TextClause:
        # NullType: the server infers each parameter's type from where it stands, as it does for a literal.
        return text(written).bindparams(*(bindparam(name, value, type_=NullType()) for name, value in self.params.items()))

    def _check_params(self) -> None:
        relation = self.selection.relation
        written = relation.text if isinstance(relation, Sql) else relation.where or ""
        used = set(BIND.findall(written))
        place = "text" if isinstance(relation, Sql) else "where"
        for name in sorted(used - set(self.params)):
            message = f"{self.store}: {self.relation}: {place} names the parameter :{name}, and params does not give it"
            raise StoreMismatch(message, hint=f"add it to params, or write \\:{name} where a colon is meant")
        for name in sorted(set(self.params) - used):
            raise StoreMismatch(
                f"{self.store}: {self.relation}: params gives {name!r}, and {place} does not use it",
                hint=f"write :{name} in {place}, or drop it",
            )


def chunks(keys: Sequence[str], size: int = KEYS_AT_ONCE) -> list[list[str]]:
    """The keys without repeats, in their order, in lists of at most `size`.

    Keys that no database text can hold (a NUL, half a surrogate pair) are left out: no row has them.
    """
    fit = [key for key in dict.fromkeys(keys) if "\0" not in key and _encodes(key)]
    return [fit[start : start + size] for start in range(0, len(fit), size)]


def _encodes(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"up to {KEYS_AT_ONCE} keys at a time"
    return repr(value)
