"""Discrepancy: one item on which the two sides differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Wire = Any
"""A value as events and reports carry it: str, int, bool, None, list or dict; decimals are strings."""


class DiscrepancyKind(StrEnum):
    """How the sides differ, seen from the target, which is the side to be corrected."""

    #: The source has it and the target lacks it.
    MISSING = "missing"
    #: The target has it and the source lacks it.
    EXTRA = "extra"
    #: Both have it, and at least one compared field differs.
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One difference. `source` and `target` map field names to wire values; None where the side lacks the item.

    A field that was not there at all in the provider's record is left out of the mapping, null is None.
    `changed` names the compared fields that differ, in the job's order; empty for missing and extra.
    `source_token` and `target_token` are fingerprints (hex) of a side's compared values, "" where it lacks the item:
    equal tokens mean equal values, on any machine and in any version of the engine.
    """

    kind: DiscrepancyKind
    key: str
    source: Mapping[str, Wire] | None
    target: Mapping[str, Wire] | None
    changed: tuple[str, ...] = ()
    source_token: str = ""
    target_token: str = ""
