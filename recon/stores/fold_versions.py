"""A log whose events are in several versions: the newest of each key is raised here, one by one, before its fields are taken out.

The slow path, for a log that has a `version` column: everything else is folded by the database alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from recon.errors import StoreMismatch
from recon.stores.base import Selection
from recon.stores.fold import DATA, VERSION
from recon.versions import UnknownVersion, Versions

ENCODER = msgspec.json.Encoder(decimal_format="number")


class Raising:
    """Takes a selection's fields out of events, each raised to the newest version first.

    A step is given the object that holds the item's state: of `state = "data.state"` that is `data`, and where `state` has no dot the
    document itself. Where the whole document is the state, it is given one with `key` and `state`, an empty `changed` and no `before`.
    """

    def __init__(self, title: str, state: Sequence[str], versions: Versions, selection: Selection) -> None:
        self.title = title
        self.state = tuple(state)
        self.versions = versions
        self.selection = selection

    def schema(self, raw: pa.Schema) -> pa.Schema:
        """What arrives: texts for paths, expressions as the database has them."""
        fields = {name: pa.string() if path is not None else raw.field(name).type for name, (path, _) in self.selection.columns.items()}
        return pa.schema([raw.field("key"), *(pa.field(name, kind) for name, kind in fields.items())])

    def batch(self, raw: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """One batch of raw events. Raises StoreMismatch."""
        columns = [raw.column(name).to_pylist() for name in ("key", VERSION, DATA)]
        states = [self._state(*row) for row in zip(*columns, strict=True)]
        arrays = [raw.column("key")]
        for name, (path, _) in self.selection.columns.items():
            if path is None:
                arrays.append(raw.column(name))
            else:
                steps = path.split(".")
                arrays.append(pa.array([_text(_walked(state, steps)) for state in states], pa.string()))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _state(self, key: Any, version: Any, body: str | None) -> Any:
        if body is None:
            return None
        document = self._kept(lambda: json.loads(body, parse_float=Decimal), "holds an event that is no JSON")
        number = self._kept(lambda: int(version), f"has an event in version {version!r}, which is no number")
        holder = _walked(document, self.state[:-1]) if self.state else {"key": key, "state": document, "before": None, "changed": []}
        if number != self.versions.current:
            holder = self._kept(lambda: self.versions.raised(holder, number), f"has an event in version {number} that could not be raised")
        return _walked(holder, (self.state or ("state",))[-1:])

    def _kept(self, work: Callable[[], Any], what: str) -> Any:
        try:
            return work()
        except UnknownVersion as error:
            hint = "declare the way in the job: versions=(Version(number=…, up=…),)"
            raise StoreMismatch(f"{self.title} has an event that cannot be read: {error}", hint=hint) from None
        except Exception as error:
            # Its words may quote the event.
            msg = f"{self.title} {what}: {type(error).__name__}"
            raise StoreMismatch(msg, hint="mend the event, or the up= of the job's Version; nothing was inferred from the rest") from error


def _walked(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    return value


def _text(value: Any) -> str | None:
    """A value of JSON as the database writes it: texts bare, all else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    return ENCODER.encode(value).decode()
