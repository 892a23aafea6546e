"""Chance: every decision of a world drawn from a stream of its own, so that leaving one occurrence out changes none of the others."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """The draws of one seed. What happens by chance is an *occurrence*, `kind@where`; `masked` ones do not happen, as shrinking asks.

    A mask is the name of an occurrence, or of a kind. `reached` counts what happened, by kind.
    """

    def __init__(self, seed: int, masked: Collection[str] = ()) -> None:
        self.seed = seed
        self.masked = frozenset(masked)
        self.occurred: dict[str, None] = {}
        self.reached: Counter[str] = Counter()
        #: In a world come to rest nothing happens any more.
        self.resting = False

    def stream(self, *name: object) -> random.Random:
        """The stream of this name, from its beginning."""
        text = "/".join(map(str, (self.seed, *name)))
        return random.Random(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()))  # noqa: S311 - chance that can be drawn again is the point

    def happens(self, kind: str, share: float, *where: object) -> bool:
        """Whether the occurrence comes about; remembered where it does."""
        if self.resting or share <= 0 or self.stream(kind, *where).random() >= share:
            return False
        return self.let(kind, *where)

    def let(self, kind: str, *where: object) -> bool:
        """Lets an occurrence come about that was decided otherwise, unless it is masked."""
        name = f"{kind}@{'.'.join(map(str, where))}"
        if self.resting or name in self.masked or kind in self.masked:
            return False
        if name not in self.occurred:
            self.occurred[name] = None
            self.reached[kind] += 1
        return True

    def one_of(self, options: Sequence[T], *where: object) -> T:
        """One of the options."""
        return self.stream("one", *where).choice(options)

    def weighted(self, weights: dict[str, float], *where: object) -> str:
        """One of the names, by weight."""
        return self.stream("weighted", *where).choices(list(weights), list(weights.values()))[0]

    def between(self, low: float, high: float, *where: object) -> float:
        """A number between the two."""
        return self.stream("between", *where).uniform(low, high)

    def count(self, low: int, high: int, *where: object) -> int:
        """A whole number between the two, both included."""
        return self.stream("count", *where).randint(low, high)

    def reach(self, what: str) -> None:
        """Counts something that was reached without being an occurrence, such as a run's state."""
        self.reached[what] += 1
