"""Canonical values as events and reports carry them, and their fingerprint.

The token of a side is `sha256` over the UTF-8 bytes of a JSON array, written without blanks: for each compared field,
in alphabetical order of names, a pair `[name, value]`. A value is the wire value (`recon.kind`): decimals and times are
strings, JSON values and sets stand in their canonical text (keys sorted, numbers in one form), null is `null`; a field that
was not there at all has no pair; a field with `normalize` has what that returned, as canonical JSON. Only values
go in: no hash of the engine, no order of declaration, nothing of a version.
"""

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Number
from typing import Any, Final

import msgspec

from recon.clock import iso
from recon.discrepancy import Wire
from recon.job import Job
from recon.kind import Json, Kind, Set, Timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _shown(text: str) -> float | str:
    """A JSON number as a reader's double has it; one beyond any double as its text."""
    value = float(text)
    return value if math.isfinite(value) else text


_SHOWN: Final = msgspec.json.Decoder(float_hook=_shown)


def wire(kind: Kind, value: Any) -> Wire:
    """A canonical value, as fetched from the engine, in its wire form."""
    if value is None:
        return None
    if isinstance(kind, Timestamp):
        return iso(EPOCH + timedelta(microseconds=value))
    if isinstance(kind, Json | Set):
        return _SHOWN.decode(value)
    if isinstance(value, Number):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value


def fields_of(job: Job, row: Mapping[str, Any], missing: int = 0) -> dict[str, Wire]:
    """All fields of one side in wire form; those whose bit is set in `missing` were not there and are left out."""
    return {f.name: wire(f.of_kind, row[f.name]) for place, f in enumerate(job.fields) if not missing >> place & 1}


def token(job: Job, row: Mapping[str, Any], missing: int = 0) -> str:
    """The fingerprint of one side's compared values, as the module's text describes it."""
    pairs: list[tuple[str, Any]] = []
    for place, f in enumerate(job.fields):
        if not f.compare or missing >> place & 1:
            continue
        if f.normalize is not None:
            value = row[f"_n_{f.name}"]
            pairs.append((f.name, None if value is None else msgspec.Raw(value.encode())))
        elif isinstance(f.of_kind, Json | Set) and row[f.name] is not None:
            pairs.append((f.name, msgspec.Raw(row[f.name].encode())))
        else:
            pairs.append((f.name, wire(f.of_kind, row[f.name])))
    return hashlib.sha256(msgspec.json.encode(sorted(pairs, key=lambda pair: pair[0]))).hexdigest()
