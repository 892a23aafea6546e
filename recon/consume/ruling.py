"""May this be written? The rules of the guard, without a database.

State first: what is so already is left alone. Then the item's own versions: newer is written, older is not. Where they say nothing, what a
correction found before is compared with what is there, and corrections of one item among each other by when the source was looked at.
Whatever none of this settles is a conflict, for the next night.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from recon.clock import iso
from recon.consume.order import moment_of, newer
from recon.upsert.change import Change


class Ruling(Enum):
    """What is to be done."""

    WRITE = "write"
    ALREADY = "already"
    OLDER = "older"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What a correction or an ordinary webhook says of one item."""

    change: Change
    #: Of the item at its source, by which facts are compared; None where it is not known.
    version: Any = None
    #: What orders facts of the same version at the source, where it has such a thing.
    sequence: Any = None
    #: Whether `version` is only a lower bound: a deletion that was found names none, and is newer than what was there before.
    bound: bool = False
    #: Of the row, when a correction was found; None where that is not known.
    found: Any = None
    #: When the source was seen so; None for an ordinary webhook, which does not say what was there before either.
    observed: datetime | None = None
    id: str = ""
    #: Whether it came in an older version of its data, which may say less than the newest does under the same id.
    lesser: bool = False
    #: Of an ordinary webhook: whether it stands over another of the same version that came before it.
    stands: bool = False

    @property
    def correction(self) -> bool:
        """Whether it is a correction; else it is an ordinary webhook."""
        return self.observed is not None

    @property
    def deletes(self) -> bool:
        """Whether it says that the item is gone."""
        return self.change.op == "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is remembered of an item beside its row: the last correction, and the version as of which it was deleted."""

    version: Any = None
    bound: bool = False
    #: When the source was looked at, for the last correction.
    observed: datetime | None = None
    deleted: bool = False
    #: When an ordinary webhook told the deletion: by then at the latest the source was without it.
    told: datetime | None = None
    told_version: Any = None
    #: The version of the last deletion that was taken, though the item may be back since.
    gone: Any = None
    #: The columns that the last correction wrote, and a fingerprint of what stood there then.
    wrote: str | None = None
    event: str | None = None
    at: datetime

    def outlived(self, fact: "Fact") -> bool:
        """Whether the source was seen to have the item since it is known to have gone; the correction itself that made the row counts.

        Each deletion by its own measure: one that was found by when, one that was told by its version, or by when.
        """
        if fact.observed is None:
            return False
        if not self.deleted:
            return self.observed is None or fact.observed >= self.observed
        if self.observed is not None and fact.observed <= self.observed:
            return False
        return self.told is None or newer(self.told_version, fact.version) == 1 or fact.observed > self.told


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How the row stands, as far as a ruling needs it. `equal`: all is as wanted. `moved`: the columns that are not as before."""

    version: Any
    equal: bool
    moved: tuple[str, ...]
    sequence: Any = None
    #: Nobody wrote to it since the correction that its mark remembers.
    untouched: bool = False


Ruled = tuple[Ruling, str]
LATER = "a correction that was found later is here already"
GONE = "the row is gone"


def over_row(fact: Fact, row: Row, mark: Mark | None) -> Ruled:  # noqa: PLR0911 -- A return per rule, read as a table.
    """For an item that is there."""
    if row.equal and not fact.deletes:
        return Ruling.ALREADY, ""
    last = mark.observed if mark is not None else None
    if fact.deletes and fact.observed is not None and last is not None and fact.observed < last:
        return Ruling.OLDER, LATER
    order = newer(row.version, fact.version)
    if order == 0 and not fact.deletes:
        # Of one version, and the source says in which order; where it does not, it is a tie as before.
        order = newer(row.sequence, fact.sequence) or 0
    if order == 0 and fact.deletes and not fact.correction and mark is not None and newer(mark.gone, fact.version) in {0, -1}:
        return Ruling.OLDER, "this deletion was taken before, and the item is back since"
    if order == 1 or (order == 0 and not fact.correction and (fact.deletes or fact.stands)):
        return Ruling.WRITE, ""
    if order == -1 and not fact.bound:
        return Ruling.OLDER, f"the row is of version {row.version}, this of {fact.version}"
    if not fact.correction:
        if row.version is None and fact.version is not None:
            return Ruling.WRITE, ""
        same = (
            f"at the same version {fact.version}"
            if order == 0
            else f"at version {row.version}, which {fact.version} cannot be compared with"
        )
        return Ruling.CONFLICT, f"the row is otherwise {same}"
    if mark is not None and fact.id and fact.id == mark.event and row.untouched:
        # The same fact in another version of its data: the newest says it in full, whichever of the two comes first.
        return (Ruling.ALREADY if fact.lesser else Ruling.WRITE), ""
    return _compared(fact, row, last)


def over_nothing(fact: Fact, mark: Mark | None) -> Ruled:  # noqa: PLR0911 -- A return per rule, read as a table.
    """For an item that is not there; with a mark it was, and is gone."""
    if fact.deletes:
        return Ruling.ALREADY, ""
    expected = not fact.correction or fact.change.before is None
    if mark is None:
        if expected or fact.version is not None:
            return Ruling.WRITE, ""
        return Ruling.CONFLICT, GONE
    order = newer(mark.version, fact.version)
    if order == 1 and not mark.bound:
        return Ruling.WRITE, ""
    if mark.outlived(fact):
        # What a deletion left behind, and was seen to be there again since, needs no row to be as before.
        return (Ruling.WRITE, "") if expected or mark.deleted else (Ruling.CONFLICT, GONE)
    if fact.correction or order in {0, -1}:
        return Ruling.OLDER, "it was deleted after this"
    return Ruling.CONFLICT, "it was deleted, and nothing says whether before or after this"


def _compared(fact: Fact, row: Row, last: datetime | None) -> Ruled:
    """A correction whose version says nothing: by what it found before, and by when."""
    assert fact.observed is not None
    if last is not None and fact.observed < last:
        return Ruling.OLDER, LATER
    if fact.change.before is not None and not row.moved:
        return Ruling.WRITE, ""
    if last is not None and fact.observed > last and row.untouched:
        return Ruling.WRITE, ""
    if fact.change.before is None:
        return Ruling.CONFLICT, "the row is there, and other than the event wants it"
    return Ruling.CONFLICT, f"{', '.join(row.moved)} changed since the event was made"


def remembered(fact: Fact, mark: Mark | None, *, written: bool, row_version: Any, wrote: str | None, at: datetime) -> Mark | None:
    """The mark after a fact that is so now; None where it stays as it is: after an ordinary webhook about an item that is there."""
    if fact.observed is None and not fact.deletes:
        return (
            None
            if mark is None or not mark.deleted
            else replace(mark, deleted=False, bound=False, told=None, told_version=None, wrote=None, at=at)
        )
    held = mark or Mark(at=at)
    last = held.observed
    latest = fact.observed is not None and (last is None or fact.observed >= last)
    deleted = fact.deletes if written or latest or fact.observed is None else held.deleted
    told, told_version = held.told, held.told_version
    if fact.observed is None and (told is None or newer(told_version, fact.version) == 1):
        told, told_version = at, fact.version
    version = _newest(held.version, fact.version, row_version if fact.deletes else None)
    # A deletion without a version of its own is newer than whatever it found, and nobody knows by how much.
    bound = (held.bound and held.deleted) or (fact.bound and (written or latest))
    gone = _newest(held.gone, fact.version if fact.deletes else None)
    if not latest:
        wrote = None if written or deleted else held.wrote
    return Mark(
        version=version,
        bound=bound and deleted,
        observed=fact.observed if latest else last,
        deleted=deleted,
        told=told if deleted else None,
        told_version=told_version if deleted else None,
        gone=gone,
        wrote=None if deleted else wrote,
        event=fact.id if latest else held.event,
        at=at,
    )


def deletion(before: Any, version: Any, observed: datetime) -> tuple[Any, bool]:
    """The version as of which a found deletion holds, and whether that is a lower bound only; `before` is that of what was there before.

    Where versions are times, the source was seen without the item at `observed`: whatever changed before that is older. Else nothing
    but the version of what was there before is known.
    """
    if version is not None:
        return version, False
    moment = moment_of(before)
    if moment is not None:
        return (before if moment > observed else iso(observed)), False
    return before, True


def _newest(*versions: Any) -> Any:
    found = None
    for one in versions:
        if one is not None and (found is None or newer(found, one) == 1):
            found = one
    return found
