"""The way from the outbox to the consumer in the simulated world: with a safeguard taken away, the oracle finds it by the law that it holds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

import pytest

from recon.consume import consuming, guard
from recon.consume.beside import Inbox
from recon.consume.ruling import Ruling
from recon.ledger import ledger
from recon.outbox import delivery
from recon.outbox.outbox import Outbox
from recon.publishers.base import Outcome, OutcomeKind
from recon.testing.simulation import World, run_world
from recon.versions import Version
from tests.simulation.calm import CALM

Patch = pytest.MonkeyPatch

WORLD = CALM.but(name="carried", nights=3, broker=True, applier=True, consumer_crashes=0.0)


def unknown_counts(patch: Patch) -> None:
    """No answer is taken for a confirmation."""
    real = delivery.mark

    def mark(conn: Any, answered: Sequence[Any], now: Any, *, heals: bool) -> None:
        sure = Outcome(kind=OutcomeKind.CONFIRMED)
        real(
            conn,
            [delivery.Answered(one.row, sure) if one.outcome.kind is OutcomeKind.UNKNOWN else one for one in answered],
            now,
            heals=heals,
        )

    patch.setattr(delivery, "mark", mark)


def done_too_soon(patch: Patch) -> None:
    """A consumer settles what it has, and then applies it."""
    real = consuming.Consuming._batch

    def batch(self: Any, received: Any) -> None:
        self.reader.subscription.finish(self.reader, [one.handle for one in received])
        real(self, received)

    patch.setattr(consuming.Consuming, "_batch", batch)


def rows_left_out(patch: Patch) -> None:
    """What a plan says does not come into the outbox."""
    patch.setattr(Outbox, "_queue", lambda *_: None)


def no_line(patch: Patch) -> None:
    """A later event of a key goes though an earlier one waits."""
    patch.setattr(delivery, "oldest", iter)


def no_ruling(patch: Patch) -> None:
    """Whatever comes is written, be it older or not, and nobody remembers whose side effect ran."""
    patch.setattr(guard, "over_row", lambda _fact, row, _mark: (Ruling.ALREADY if row.equal else Ruling.WRITE, ""))
    patch.setattr(Inbox, "has", lambda *_: False)
    patch.setattr(Inbox, "put", lambda *_: None)


def no_sunset(patch: Patch) -> None:
    """A version never ends."""
    patch.setattr(Version, "over", lambda *_: False)


def newest_only(patch: Patch) -> None:
    """A raised version is told alone."""
    patch.setattr("recon.versions.Versions.sent_on", lambda *_: ())


def another_id_each_time(patch: Patch) -> None:
    """The same fact has another id each time it is found."""
    numbers, real = count(), ledger.seen

    def seen(*found: Any, **circumstances: Any) -> Any:
        return replace(real(*found, **circumstances), event_id=f"00000000-0000-0000-0000-{next(numbers):012}")

    patch.setattr(ledger, "seen", seen)


PROMPT = WORLD.but(moods={"prompt": 1.0})
REPLAYED = PROMPT.but(replays=1.0)
"""People who replay each day."""
NOBODY_TELLS = WORLD.but(moods={"partial": 1.0}, replays=1.0, lost=1.0, records=(4, 5), changes=(8, 10))
"""The same few items differ night after night, and of a batch only a part is taken."""


class Safeguard(NamedTuple):
    """What is taken away, the law that is violated then with what it says, a world in which it matters, and the first seed that is looked at."""

    take_away: Callable[[Patch], None]
    law: str
    says: tuple[str, ...]
    world: World
    seed: int = 1


LOST = "14 no event is lost between outbox and consumer"
ENDS = "17 an older version is told until its sunset"
SAFEGUARDS = [
    Safeguard(
        unknown_counts, "14 what counts as confirmed was taken", ("nobody confirmed it",), WORLD.but(moods={"unknown": 1.0}, nights=1)
    ),
    Safeguard(done_too_soon, LOST, ("never had it",), PROMPT.but(consumer_crashes=1.0, nights=2)),
    Safeguard(rows_left_out, LOST, ("was never seen there",), PROMPT.but(nights=1)),
    Safeguard(no_line, "15 the order within a key is kept", ("waited before it",), NOBODY_TELLS),
    Safeguard(no_ruling, "16 an effect runs once, and a replay changes nothing", ("a replay of", "times"), REPLAYED, 4),
    Safeguard(no_sunset, ENDS, ("ended at",), PROMPT.but(migrates=True, nights=10)),
    Safeguard(newest_only, ENDS, ("is not sent in version 1",), PROMPT.but(migrates=True)),
    Safeguard(another_id_each_time, "3 one fact has one id", ("another id",), WORLD.but(moods={"down": 1.0}, nights=2)),
]


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda one: one.take_away.__name__)
def test_a_safeguard_that_is_missing_is_found(safeguard: Safeguard, monkeypatch: Patch) -> None:
    """Of a program without the safeguard the law that it holds is found violated, within few seeds."""
    safeguard.take_away(monkeypatch)

    for seed in range(safeguard.seed, safeguard.seed + 8):
        broken = run_world(safeguard.world, seed).violations
        print(f"seed {seed}: {[str(one) for one in broken]}")
        said = "\n".join(one.words for one in broken if one.law == safeguard.law)
        if all(words in said for words in safeguard.says):
            return
    pytest.fail(f"{safeguard.law}: not found in 8 seeds")
