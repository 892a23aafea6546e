"""Messages that fail: since when, and how often; after so much patience one is a dead letter."""

import hashlib
import time
from dataclasses import dataclass

from recon.consume.reader import Received
from recon.duration import words_of

FORGOTTEN = 4
"""After so many times `patience` without failing, a message's failures count no more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One message's, so far."""

    since: float
    last: float
    times: int
    patience: float

    @property
    def over(self) -> bool:
        """Whether it has failed for too long."""
        return self.last - self.since >= self.patience

    @property
    def telling(self) -> bool:
        """Whether it is to be said again: at first each time, then each time that it has doubled."""
        return self.times & (self.times - 1) == 0

    @property
    def words(self) -> str:
        """Where it stands."""
        left = self.patience - (self.last - self.since)
        return (
            f"attempt {self.times}, failing for {words_of(self.last - self.since)} of {words_of(self.patience)}; "
            f"if it goes on so, a dead letter in {words_of(left)}"
        )


class Failures:
    """Those of one loop."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._known: dict[str, Failure] = {}

    def more(self, one: Received) -> Failure:
        """It failed, once more or for the first time."""
        digest, now = _digest(one), time.monotonic()
        # What has not failed for long was taken in elsewhere: it is forgotten, and begins anew should it fail once more.
        self._known = {key: found for key, found in self._known.items() if now - found.last <= FORGOTTEN * self._patience}
        known = self._known.get(digest)
        found = Failure(known.since if known else now, now, known.times + 1 if known else 1, self._patience)
        self._known[digest] = found
        return found

    def forget(self, one: Received) -> None:
        """It was taken."""
        if self._known:
            self._known.pop(_digest(one), None)


def _digest(one: Received) -> str:
    return hashlib.sha256(one.body + repr(sorted(one.headers.items())).encode()).hexdigest()
