"""Calls that carry several events, several of them at once, and never two events of one key under way at the same time (`recon.publishers.rounds`)."""

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from recon.publishers.base import Message, Outcome, OutcomeKind
from recon.publishers.rounds import STUCK, in_rounds

LATE = Outcome(kind=OutcomeKind.RETRY, reason="not sent: the time for this delivery was over")
NO_ANSWER = Outcome(kind=OutcomeKind.UNKNOWN, reason="sent, and no answer within the time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One event, made ready for its transport: `entry` is what the client library wants, `size` its bytes as the server counts them."""

    message: Message
    place: str
    entry: Any
    size: int


Call = Callable[[str, Sequence[Parcel]], Sequence[Outcome]]
"""Sends parcels to one place: one outcome for each, in order; never raises."""


def prepared(
    batch: Sequence[Message], make: Callable[[Message], Parcel], send: Callable[[Sequence[Parcel]], Sequence[Outcome]]
) -> list[Outcome]:
    """`send`'s outcomes for what `make` could make ready, REJECTED with the reason for what it raised ValueError for; one for each, in order."""
    made: list[Parcel | Outcome] = []
    for message in batch:
        try:
            made.append(make(message))
        except ValueError as error:
            made.append(Outcome(kind=OutcomeKind.REJECTED, reason=str(error)[:200]))
    parcels = [one for one in made if isinstance(one, Parcel)]
    found = iter(send(parcels) if parcels else ())
    return [next(found) if isinstance(one, Parcel) else one for one in made]


def hashed(key: str) -> str:
    """A name for a key that cannot be one: always the same, and another one for each."""
    return f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"


class Keyed:
    """Calls of at most `most` events and `limit` bytes, `at_once` of them at a time."""

    def __init__(self, name: str, *, most: int, limit: int, at_once: int) -> None:
        self._name = name
        self._most = most
        self._limit = limit
        self._at_once = at_once
        self._pool: ThreadPoolExecutor | None = None

    def send(self, parcels: Sequence[Parcel], until: float, call: Call) -> list[Outcome]:
        """One outcome for each parcel, in order, by the instant `until` of the monotonic clock.

        Where a whole call fails, that place is given no further ones: the fault is most likely not of these events.
        """
        by_message = {id(parcel.message): parcel for parcel in parcels}
        stopped: dict[str, Outcome] = {}

        def wave(some: Sequence[Message]) -> Sequence[Outcome]:
            return self._wave([by_message[id(message)] for message in some], until, call, stopped)

        return in_rounds([parcel.message for parcel in parcels], wave)

    def close(self) -> None:
        """Ends the threads; the next call makes new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _wave(self, wave: Sequence[Parcel], until: float, call: Call, stopped: dict[str, Outcome]) -> Sequence[Outcome]:
        self._pool = self._pool or ThreadPoolExecutor(self._at_once, thread_name_prefix=f"recon-{self._name}")

        def one(chunk: Sequence[Parcel]) -> Sequence[Outcome]:
            # Looked at when its turn comes, and not when it is put in line.
            place = chunk[0].place
            if place in stopped:
                return [stopped[place]] * len(chunk)
            if time.monotonic() >= until:
                return [LATE] * len(chunk)
            found = call(place, chunk)
            if all(outcome.kind in STUCK for outcome in found):
                stopped[place] = Outcome(kind=OutcomeKind.RETRY, reason=f"not sent after: {found[0].reason}", after=found[0].after)
            return found

        chunks = self._chunks(wave)
        futures = [self._pool.submit(one, [wave[index] for index in chunk]) for chunk in chunks]
        wait(futures, timeout=max(0.0, until - time.monotonic()))
        outcomes: list[Outcome] = [LATE] * len(wave)
        for future, chunk in zip(futures, chunks, strict=True):
            if not future.cancel():
                found = future.result() if future.done() else [NO_ANSWER] * len(chunk)
                for index, outcome in zip(chunk, found, strict=True):
                    outcomes[index] = outcome
        return outcomes

    def _chunks(self, wave: Sequence[Parcel]) -> list[list[int]]:
        """The wave cut into calls: of one place each, within the limits, in order."""
        chunks: list[list[int]] = []
        filling: dict[str, tuple[list[int], int]] = {}
        for index, parcel in enumerate(wave):
            chunk, size = filling.get(parcel.place, ([], 0))
            if not chunk or len(chunk) == self._most or size + parcel.size > self._limit:
                chunk, size = [], 0
                chunks.append(chunk)
            chunk.append(index)
            filling[parcel.place] = chunk, size + parcel.size
        return chunks
