"""What goes wrong between a job and a database, in words: built here, so that every store says it alike."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from recon.errors import StoreMismatch

SHOWN_NAMES = 12


def near(name: str, names: Iterable[str]) -> str:
    """The real names nearest to a wrong one, in words; else what there is."""
    real = sorted(set(names))
    folded = {other.casefold(): other for other in real}
    close = get_close_matches(name.casefold(), list(folded), 3, 0.6)
    if close:
        return "did you mean " + " or ".join(repr(folded[other]) for other in close) + "?"
    if not real:
        return "there are none that this user can see"
    more = f" and {len(real) - SHOWN_NAMES} more" if len(real) > SHOWN_NAMES else ""
    return f"there are: {', '.join(real[:SHOWN_NAMES])}{more}"


def no_table(store: str, table: str, tables: Iterable[str]) -> StoreMismatch:
    """The job names a table that is not there."""
    hint = near(table.rpartition(".")[2], tables)
    return StoreMismatch(
        f"{store}: there is no table {table!r}; {hint}", hint="mend table= in the job (a schema is given as schema=, not in the name)"
    )


def no_column(store: str, relation: str, column: str, use: str, columns: Iterable[str]) -> StoreMismatch:
    """The job names a column that is not there; `use` says what for (`field amount`, `the key`)."""
    return StoreMismatch(
        f"{store}: {relation} has no column {column!r}, which {use} needs; {near(column, columns)}",
        hint="mend the job's fields (column=) or its key",
    )


def refused(store: str, relation: str, words: str, *, field: str | None = None, hint: str | None = None) -> StoreMismatch:
    """The database refuses a statement as it is written."""
    what = f"field {field}: " if field else ""
    return StoreMismatch(f"{store}: {relation}: {what}{words}", hint=hint or "see the statement with --show-sql")


def wanted_columns(key: str, columns: Mapping[str, tuple[str | None, str | None]]) -> list[tuple[str, str]]:
    """Every real column a selection needs, with what it is needed for."""
    return [(key, "the key"), *((column, f"field {name}") for name, (column, _) in columns.items() if column is not None)]
