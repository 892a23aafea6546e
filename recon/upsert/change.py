"""What an event asks of one row, and why it may not be done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Conflict(Exception):
    """The row is not as the event expects it; the message says which columns."""


class Unfit(Exception):
    """The event is none that can be applied."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an event asks of one row: `wanted` and `before` by column, in wire values; `before` is None where there was no row."""

    op: str
    key: str
    wanted: Mapping[str, Any]
    before: Mapping[str, Any] | None
