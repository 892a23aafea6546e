"""`type = "fold"`: a table of events instead of a table of rows. What is compared is the latest state of each key, folded from its events.

The fold is one SQL statement, so that the database does it, in bulk, within its own memory, and in the one consistent read of the store
beneath: its bulk ways, its by-key read and its limits hold as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from recon.errors import StoreError, StoreMismatch
from recon.job import Sql
from recon.section import Section
from recon.stores.address import MYSQL
from recon.stores.base import Scan, Selection, Store, StoreHealth
from recon.stores.fold_words import NO_JSON, Words
from recon.versions import Versions

if TYPE_CHECKING:
    import pyarrow as pa

    from recon.stores.fold_versions import Raising

VERSION, DATA = "recon_version", "recon_data"
"""What the fold calls an event's version and its JSON, where they are taken apart here."""

LOOKED_AT = 1_000
"""In so many of the newest events the doctor looks for each field."""

DIALECTS = ("postgresql", "sqlite", *MYSQL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Where in an event's row what stands: `position` orders the events of a key, `op` says which remove it (`deleted`), `data` is the
    event's JSON, and `state` the dotted path in it to the item's state, "" for the whole of it.
    """

    position: str = "position"
    op: str | None = "type"
    deleted: tuple[str, ...] = ("deleted",)
    data: str = "data"
    state: tuple[str, ...] = ()
    fold: Literal["replace", "merge"] = "replace"
    #: The column with the version of an event's data, where the log holds several.
    version: str | None = None

    @classmethod
    def of(cls, section: Section, dialect: str) -> "Log":
        """What a table of recon.toml says. Raises BadSetting."""
        if dialect not in DIALECTS:
            raise section.bad("type", f'"fold" reads PostgreSQL, SQLite and MariaDB, not {dialect}')
        op: str = section.text("op", "type")
        deleted = section.typed("deleted", list, ["deleted"], words='a list of texts, such as ["order.deleted"]')
        if not all(isinstance(one, str) for one in deleted):
            raise section.bad("deleted", 'wants a list of texts, such as ["order.deleted"]')
        state: str = section.text("state", "")
        fold = section.choice("fold", ("replace", "merge"), "replace")
        version: str | None = section.text("version", None)
        if version is not None and fold == "merge":
            raise section.bad("version", 'is for fold = "replace": members of several versions cannot be merged')
        return cls(
            position=section.text("position", "position"),
            op=op or None,
            deleted=tuple(deleted),
            data=section.text("data", "data"),
            state=tuple(state.split(".")) if state else (),
            fold=fold,
            version=version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded(Sql):
    """The fold as the relation that the store beneath reads; `title` is how messages call it."""

    title: str


class FoldStore:
    """The latest state per key of a table of events, over the store that reads the database.

    A job's table is the table of events, its key the column with the item's key. A field's `column` is a dotted path from `state` on; its
    `expression` is SQL over the columns of the newest event's row. Two events of a key in one position leave open which is the newest:
    both come, and the key is told as a duplicate.
    """

    def __init__(self, name: str, inner: Store, log: Log, dialect: str) -> None:
        self.name = name
        self.inner = inner
        self.log = log
        self.dialect = dialect

    @property
    def removes(self) -> bool:
        """Whether there are events that remove their key."""
        return self.log.op is not None and bool(self.log.deleted)

    def __repr__(self) -> str:
        return f"FoldStore({self.name}, {self.inner!r})"

    @contextmanager
    def scan(self, selection: Selection) -> Iterator[Scan]:
        with self._readable(selection), self.inner.scan(self._folded(selection)) as scan:
            raising = self._raising(selection)
            if raising is None:
                yield scan
                return
            from recon.stores.reading import Watch

            schema = raising.schema(scan.reader.schema)
            watch = Watch(lambda error: StoreMismatch(f"store {self.name}: {self._title(selection)}: {error}"))
            with watch.held():
                yield replace(scan, reader=watch.reader(schema, (raising.batch(raw, schema) for raw in scan.reader)))

    def get_many(self, selection: Selection, keys: Sequence[str]) -> "pa.Table":
        with self._readable(selection):
            found = self.inner.get_many(self._folded(selection), keys)
        raising = self._raising(selection)
        if raising is None:
            return found
        import pyarrow as pa

        schema = raising.schema(found.schema)
        return pa.Table.from_batches([raising.batch(raw, schema) for raw in found.to_batches()], schema)

    @contextmanager
    def _readable(self, selection: Selection) -> Iterator[None]:
        """An event that is no JSON is told as such where the database has only a number for it."""
        try:
            yield
        except StoreError as error:
            if Words(self.dialect).mysql and NO_JSON in error.message:
                hint = "mend the event; nothing was inferred from the rest"
                msg = f"store {self.name}: {self._title(selection)}: an event is no JSON in its column {self.log.data}"
                raise StoreMismatch(msg, hint=hint) from None
            raise

    def _raising(self, selection: Selection) -> "Raising | None":
        """What raises the events of a log of several versions."""
        if self.log.version is None:
            return None
        from recon.stores.fold_versions import Raising

        chain = selection.versions or Versions(1)
        return Raising(f"store {self.name}: {self._title(selection)}", self.log.state, chain, selection)

    def statements(self, selection: Selection) -> Sequence[str]:
        return self.inner.statements(self._folded(selection))

    def health(self, selection: Selection | None) -> StoreHealth:
        """As of the store beneath; `detail` names the fields that none of the newest events has: misspelt, or only seldom there."""
        health = self.inner.health(None if selection is None else self._folded(selection))
        if selection is None or not health.readable_columns:
            return health
        absent = self._absent(selection)
        if not absent:
            return health
        what = ", ".join(f"field {name} ({'.'.join(self._path(selection, name))})" for name in absent)
        detail = f"{health.detail}; " if health.detail else ""
        detail += f"none of the newest {LOOKED_AT:,} events of {self._title(selection)} has {what} in its column {self.log.data}"
        return replace(health, detail=detail)

    def close(self) -> None:
        self.inner.close()

    def _absent(self, selection: Selection) -> list[str]:
        """The fields whose path no event among the newest has; none where there is no event."""
        names = [name for name, (column, _) in selection.columns.items() if column is not None]
        words = Words(self.dialect)
        data = words.json(f"l.{words.name(self.log.data)}")
        counts = [f"count(CASE WHEN {words.present(data, self._path(selection, name))} THEN 1 END) AS {words.name(name)}" for name in names]
        wanted = [self._not_deleted(words, "l")] if self.removes else []
        if self.log.version is not None:
            # Older events have other names for the fields.
            wanted.append(f"l.{words.name(self.log.version)} = '{(selection.versions or Versions(1)).current}'")
        kept = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        newest = f"SELECT * FROM {self._events(selection, words)} AS l{kept}"
        newest += f" ORDER BY l.{words.name(self.log.position)} DESC LIMIT {LOOKED_AT}"
        text = f"SELECT 'x' AS {words.key}, count(*) AS recon_events{''.join(f', {count}' for count in counts)} FROM ({newest}) AS l"
        columns = {one: (one, None) for one in ("recon_events", *names)}
        asked = Selection(relation=Folded(text=text, params=selection.relation.params, title=self._title(selection)), columns=columns)
        with self.inner.scan(asked) as scan:
            (found,) = scan.reader.read_all().to_pylist()
        return [name for name in names if int(found["recon_events"]) and not int(found[name])]

    # The statement ---------------------------------------------------------------------------------------------------------------

    def _folded(self, selection: Selection) -> Selection:
        """The selection over the fold, by the same names."""
        words = Words(self.dialect)
        if self.log.version is not None:
            columns = [*self._raw(selection, words, "f")]
            names = [VERSION, DATA, *(name for name, (column, _) in selection.columns.items() if column is None)]
        else:
            columns, names = [*self._columns(selection, words, "f")], [*selection.columns]
        text = self._replaced(selection, words, columns) if self.log.fold == "replace" else self._merged(selection, words)
        relation = Folded(text=text, key="key", params=selection.relation.params, title=self._title(selection))
        return Selection(relation=relation, columns={name: (name, None) for name in names}, key_kind=selection.key_kind)

    def _raw(self, selection: Selection, words: Words, row: str) -> Iterator[str]:
        """The event as it stands, its version and what is an expression: the fields are taken out here."""
        assert self.log.version is not None
        yield f"{row}.{words.name(self.log.version)} AS {VERSION}"
        yield f"{words.written(f'{row}.{words.name(self.log.data)}')} AS {DATA}"
        yield from (f"({said}) AS {words.name(name)}" for name, (column, said) in selection.columns.items() if column is None)

    def _title(self, selection: Selection) -> str:
        relation = selection.relation
        if isinstance(relation, Sql):
            return "the log in the job's SQL"
        return f"the log {relation.schema}.{relation.name}" if relation.schema else f"the log {relation.name}"

    def _path(self, selection: Selection, name: str) -> tuple[str, ...]:
        column, _ = selection.columns[name]
        assert column is not None
        return (*self.log.state, *column.split("."))

    def _events(self, selection: Selection, words: Words) -> str:
        """The log as a relation in brackets."""
        relation = selection.relation
        if isinstance(relation, Sql):
            body = relation.text.strip().rstrip(";").rstrip()
            return f"({body}\n)"
        table = words.name(relation.name) if relation.schema is None else f"{words.name(relation.schema)}.{words.name(relation.name)}"
        return f"(SELECT * FROM {table}{f' WHERE ({relation.where}{chr(10)})' if relation.where else ''})"

    def _not_deleted(self, words: Words, row: str) -> str:
        assert self.log.op is not None
        op = f"{row}.{words.name(self.log.op)}"
        return f"({op} IS NULL OR {words.exactly(op)} NOT IN ({', '.join(map(words.text, self.log.deleted))}))"

    def _columns(self, selection: Selection, words: Words, row: str) -> Iterator[str]:
        data = words.json(f"{row}.{words.name(self.log.data)}")
        for name, (column, expression) in selection.columns.items():
            value = words.value(data, self._path(selection, name)) if column is not None else f"({expression})"
            yield f"{value} AS {words.name(name)}"

    def _replaced(self, selection: Selection, words: Words, columns: Sequence[str]) -> str:
        """The newest event of each key has the whole state, unless it removes the key."""
        key, position = words.name(selection.relation.key), words.name(self.log.position)
        newest = f"rank() OVER (PARTITION BY {words.apart(f'l.{key}')} ORDER BY l.{position} {words.newest_first}) AS recon_rank"
        events = f"SELECT l.*, {newest} FROM {self._events(selection, words)} AS l"
        kept = f" AND {self._not_deleted(words, 'f')}" if self.removes else ""
        return f"SELECT f.{key} AS {words.key}{''.join(f', {one}' for one in columns)} FROM ({events}) AS f WHERE f.recon_rank = 1{kept}"

    def _merged(self, selection: Selection, words: Words) -> str:
        """Each member of the state as the newest event has it that has it at all, since the key was last removed."""
        odd = next((name for name, (column, _) in selection.columns.items() if column is None), None)
        if odd is not None:
            msg = f'store {self.name}: field {odd} is an SQL expression, which fold = "merge" has no single row for'
            raise StoreMismatch(msg, hint="give the field a column=, a dotted path into the event's data")
        key, position = words.name(selection.relation.key), words.name(self.log.position)
        events = f"SELECT l.* FROM {self._events(selection, words)} AS l"
        since = ""
        if self.removes:
            removed = f"CASE WHEN NOT {self._not_deleted(words, 'l')} THEN l.{position} END"
            events = f"SELECT l.*, max({removed}) OVER (PARTITION BY {words.apart(f'l.{key}')}) AS recon_end FROM {self._events(selection, words)} AS l"
            since = f" WHERE e.recon_end IS NULL OR e.{position} > e.recon_end"
        data = words.json(f"e.{words.name(self.log.data)}")
        newest = f"PARTITION BY {words.apart(f'e.{key}')} ORDER BY "
        columns = []
        for name in selection.columns:
            path = self._path(selection, name)
            there = f"CASE WHEN {words.present(data, path[: len(self.log.state) + 1])} THEN 0 ELSE 1 END, e.{position} {words.newest_first}"
            columns.append(f"first_value({words.value(data, path)}) OVER ({newest}{there}) AS {words.name(name)}")
        rank = f"rank() OVER ({newest}e.{position} {words.newest_first}) AS recon_rank"
        inner = f"SELECT e.{key} AS {words.key}, {rank}{''.join(f', {one}' for one in columns)} FROM ({events}) AS e{since}"
        return (
            f"SELECT {words.key}{''.join(f', {words.name(name)}' for name in selection.columns)} FROM ({inner}) AS g WHERE g.recon_rank = 1"
        )
