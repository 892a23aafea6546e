"""Dotted paths as a msgspec type: only what a job asks for is decoded, and all of it in one pass over a page.

`billing.address.city` goes down through objects; a segment of digits (`items.0.id`) indexes an array. An object that
is null on the way makes what lies below it missing; anything else that is no object there is a wrong shape.
"""

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from recon.errors import BadDefinition

NULL = b"null"


@dataclass(slots=True)
class Node:
    """A place in the record: the columns that are read from it, and what lies below."""

    where: str = ""
    columns: list[int] = field(default_factory=list)
    children: dict[str, "Node"] = field(default_factory=dict)
    decoder: Any = None

    @property
    def is_list(self) -> bool:
        """Whether the children are array members."""
        return bool(self.children) and next(iter(self.children)).isdigit()

    def add(self, path: str, column: int) -> None:
        """Puts a column at the end of a path."""
        node = self
        for segment in path.split("."):
            if not segment:
                raise BadDefinition(f"path {path!r}: a segment is empty", hint="write it dotted: billing.address.city")
            if node.children and segment.isdigit() != node.is_list:
                raise BadDefinition(f"path {path!r}: {node.where or 'the record'} cannot be an array and an object at once")
            node = node.children.setdefault(segment, Node(where=f"{node.where}.{segment}".lstrip(".")))
        node.columns.append(column)

    def build(self, hints: list[Any]) -> Any:
        """The msgspec type of this place. `hints` has a type per column; Raw where nothing is known, and below arrays always."""
        inner = self._inner(hints) if self.children else None
        if inner is None:
            kinds = {hints[column] for column in self.columns}
            return kinds.pop() if len(kinds) == 1 else Raw
        if self.columns:
            # Wanted whole and in parts: taken whole, and the parts read from that.
            self.decoder = msgspec.json.Decoder(inner)
            return Raw
        return inner

    def _inner(self, hints: list[Any]) -> Any:
        types = [child.build(hints) for child in self.children.values()]
        if self.is_list:
            for child, type_ in zip(self.children.values(), types, strict=True):
                if type_ is not Raw:
                    child.decoder = msgspec.json.Decoder(type_)
            return list[Raw]
        rename = {f"c{place}": segment for place, segment in enumerate(self.children)}
        members = [(f"c{p}", t | UnsetType if t is Raw else t | None | UnsetType, UNSET) for p, t in enumerate(types)]
        return msgspec.defstruct("Record", members, rename=rename, gc=False)

    def spread(self, values: list[Any], out: list[list[Any]]) -> None:
        """Distributes the decoded values of this place, one per record, to the columns."""
        for column in self.columns:
            out[column] = values
        if not self.children:
            return
        if self.decoder is not None:
            decode = self.decoder.decode
            values = [UNSET if v is UNSET or v == NULL_RAW else decode(v) for v in values]
        for place, (segment, child) in enumerate(self.children.items()):
            if self.is_list:
                index = int(segment)
                child.spread([v[index] if v.__class__ is list and len(v) > index else UNSET for v in values], out)
            else:
                read = attrgetter(f"c{place}")
                child.spread([read(v) if isinstance(v, Struct) else UNSET for v in values], out)

    def spread_records(self, records: list[Any], out: list[list[Any]]) -> None:
        """The same for whole records, each of which is there."""
        for place, child in enumerate(self.children.values()):
            child.spread(list(map(attrgetter(f"c{place}"), records)), out)


NULL_RAW = Raw(NULL)
"""What a raw member holds where the record says null; raws compare by their bytes."""


def at(record: Any, path: str) -> Any:
    """The value at a path of a decoded record; None where it is not there. For the rare record that is read apart."""
    for segment in path.split("."):
        if isinstance(record, dict):
            record = record.get(segment)
        elif isinstance(record, list) and segment.isdigit() and int(segment) < len(record):
            record = record[int(segment)]
        else:
            return None
    return record
