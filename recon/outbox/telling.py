"""An event in the version that it is told in: the stored bytes as they are, raised to the newest, or lowered to an older one.

What is stored is never written anew. A row of the outbox says what is wanted of it, and the bytes are made when they are sent.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import groupby
from typing import Any

import msgspec
from msgspec import structs
from sqlalchemy import BigInteger, CursorResult, type_coerce

from recon.event.event import decode
from recon.publishers.base import Outcome, OutcomeKind
from recon.state.tables import events, outbox
from recon.versions import UnknownVersion, Versions

NEWEST = 0
"""`recon_outbox.version` of a row that tells its event in the newest version."""

AS_STORED = -1
"""Of one that tells it in the bytes as they were stored, whatever version that is."""


class Due(msgspec.Struct, frozen=True, gc=False):
    """A row of the outbox that may go, in the order of `DUE`, and the bytes to send: `stored` is what was stored, `body` what goes out.

    Times are in microseconds, since most are never looked at. Nothing in it leads anywhere else, so the collector need not look at it: with
    thousands in hand it looked at all of them time and again.
    """

    seq: int
    event_id: str
    emission: int
    enqueued: int
    due: int
    replay: str | None
    version: int
    type: str
    subject: str
    partitionkey: str
    stored: bytes
    body: bytes
    #: The line that it stands in.
    lane: int

    def told(self, body: bytes) -> "Due":
        """The same, told in these bytes."""
        return structs.replace(self, body=body)


DUE = (
    *(outbox.c.seq, outbox.c.event_id, outbox.c.emission),
    type_coerce(outbox.c.enqueued_at, BigInteger).label("enqueued"),
    type_coerce(outbox.c.due_at, BigInteger).label("due"),
    *(outbox.c.replay, outbox.c.version),
    *(events.c.type, events.c.subject, outbox.c.partitionkey, events.c.body),
)
"""What is read of a row that may go, and of its event."""

CHUNK = 500
"""So many rows are taken of a result together, so that what the driver makes of each is soon gone."""


def due_of(found: CursorResult[Any]) -> list[Due]:
    """The rows of a query for `DUE`, to be told as they are stored."""
    # `lane_of` stands here in its own words, since a call for each event is felt.
    return [
        Due(*[*row, row[-1], version if (version := row.version) > NEWEST else NEWEST]) for part in found.partitions(CHUNK) for row in part
    ]


def lane_of(version: int) -> int:
    """The line within a key that a row stands in: what is stored and what is newest are one, and each older version waits for itself alone."""
    return version if version > NEWEST else NEWEST  # noqa: FURB136 - max() takes three times as long, for every event several times


def batches(rows: list[Due], size: int) -> Iterator[list[Due]]:
    """The rows in batches of one line each, the newest version first: a publisher keeps the order within a key and knows no versions,
    so that one which is refused time and again would hold up the others of its batch.
    """

    def place(row: Due) -> tuple[bool, int]:
        return row.lane != NEWEST, -row.lane

    if not any(row.lane for row in rows):
        # As it mostly is: one line, in order as it stands.
        for start in range(0, len(rows), size):
            yield rows[start : start + size]
        return
    for _, line in groupby(sorted(rows, key=place), key=place):
        found = list(line)
        for start in range(0, len(found), size):
            yield found[start : start + size]


class Untold(Exception):
    """The event cannot be told in that version; `outcome` says what becomes of its row."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class _Numbered(msgspec.Struct):
    dataversion: int


def number_of(body: bytes) -> int:
    """The version of the data in a stored event."""
    return msgspec.json.decode(body, type=_Numbered).dataversion


class Teller:
    """Tells the events of one domain. `versions` is its job's chain, None where there is no job any more; `today` is the UTC date by
    the state database's clock. `discreet`: what a job's own function says when it fails may quote a personal value.
    """

    def __init__(self, versions: Versions | None, today: date, *, discreet: bool = False) -> None:
        self.versions = versions
        self.today = today
        self.discreet = discreet

    def told(self, body: bytes, version: int) -> bytes:
        """The bytes to send for a row with this `version`. Raises Untold.

        The newest of what the job knows no way from goes as it is stored: it says truly which version it is.
        """
        chain = self.versions
        if version > NEWEST:
            return self._lowered(body, version)
        if version == AS_STORED or chain is None or not chain.older:
            return body
        stored = number_of(body)
        return body if stored == chain.current or stored not in chain.known else self._made(body, chain, chain.current)

    def _lowered(self, body: bytes, version: int) -> bytes:
        chain = self.versions
        if chain is None or version >= chain.current:
            # Switched off, broken, or an older copy of the project on this host: a wrong setting, which makes no dead letter.
            here = (
                "no job of its domain is on" if chain is None else f"the job's newest is version {chain.current} here, an older copy of it"
            )
            why = f"version {version} cannot be made: {here}; put the job back as it was when this was enqueued, then recon publish"
            raise Untold(Outcome(kind=OutcomeKind.RETRY, reason=why))
        wanted = next((one for one in chain.sent if one.number == version), None)
        if wanted is None:
            why = f"version {version} is sent no more: the job has no down= for it; let it go: recon dead discard"
            raise Untold(Outcome(kind=OutcomeKind.REJECTED, reason=why))
        if wanted.over(self.today):
            why = (
                f"version {version} ended with its sunset, {wanted.sunset}: set a later sunset= in the job and send it with recon dead "
                "redrive, or let it go: recon dead discard"
            )
            raise Untold(Outcome(kind=OutcomeKind.REJECTED, reason=why))
        return self._made(body, chain, version)

    def _made(self, body: bytes, chain: Versions, number: int) -> bytes:
        event = decode(body)
        stored = event.dataversion
        sunset = None if number == chain.current else chain.older[number].sunset
        try:
            data = event.data
            if stored != number:
                data = chain.raised(data, stored)
                data = chain.lowered(data, number)
            return replace(event, dataversion=number, data=dict(data), sunset=sunset).encode()
        except UnknownVersion as error:
            why = f"it is stored in version {stored}: {error}; let it go: recon dead discard"
            raise Untold(Outcome(kind=OutcomeKind.REJECTED, reason=why)) from error
        except Exception as error:  # A job's own functions may raise anything; the event waits until they are mended.
            said = "" if self.discreet else f": {error}"
            why = f"up= or down= of the job, from version {stored} to {number}, raised {type(error).__name__}{said}; mend it, then recon publish"
            raise Untold(Outcome(kind=OutcomeKind.RETRY, reason=why)) from error
