"""A true night over a broker, and what is false of the way from the outbox to the consumer."""

from collections.abc import Callable
from typing import Any

from recon.testing.simulation.oracle import Facts
from recon.testing.simulation.oracle.facts import Answered, Queued, Taken
from tests.simulation.histories import BEGAN, DAY, ENDED, SENT, calm, delivery, paid


def queued(seq: int, id_: str = "E1", *looks: tuple[float, str], **changes: Any) -> Queued:
    values = {"run": "R1", "domain": "orders", "key": "k1", "publisher": "bus", "version": 0, "replay": False}
    return Queued(seq=seq, id=id_, looks=list(looks), **{**values, **changes})


def taken(at: float, id_: str = "E1", **changes: Any) -> Taken:
    return Taken(**{"at": at, "domain": "orders", "id": id_, "key": "k1", "lane": 0, "version": 1, "replay": False, **changes})


def answered(at: float, id_: str = "E1", **changes: Any) -> Answered:
    values = {"at": at, "consumer": "orders/app", "domain": "orders", "id": id_, "key": "k1", "version": 1, "kind": "applied"}
    return Answered(**{**values, "replay": False, "before": paid(), "after": paid(2, 200), **changes})


def carried(facts: Facts) -> Facts:
    """The same night over a broker: into the outbox, out of it, taken, and taken in."""
    facts.broker, facts.readers, facts.effects = True, {"orders/app": None}, {"orders/app": ["E1"]}
    facts.deliveries[0] = delivery({**facts.deliveries[0].event, "partitionkey": "k1"})
    facts.enqueued, facts.outbox = {("R1", "E1")}, {1: queued(1, "E1", (SENT - 5, "waiting"), (ENDED, "sent"))}
    facts.taken, facts.answered = [taken(SENT)], [answered(SENT + 1)]
    return facts


def never_put(facts: Facts) -> None:
    """A plan's event that never came into the outbox."""
    carried(facts).outbox.clear()


def row_gone(facts: Facts) -> None:
    """A row that waited, and is there no more."""
    carried(facts).outbox[1].looks[1:] = [(ENDED, "gone")]


def never_had(facts: Facts) -> None:
    """What the broker took, and its consumer never had."""
    calm(carried(facts)).answered.clear()


def unconfirmed(facts: Facts) -> None:
    """What counts as sent, and was answered otherwise."""
    carried(facts).deliveries[0] = delivery(facts.deliveries[0].event, outcome="unknown")


def never_taken(facts: Facts) -> None:
    """What counts as sent, and the broker does not have."""
    carried(facts).taken.clear()


def overtakes(facts: Facts) -> None:
    """A later row of the key goes out before an earlier one."""
    carried(facts).outbox[0] = queued(0, "E0", (SENT - 5, "waiting"), (ENDED, "waiting"))


def consumed_out_of_order(facts: Facts) -> None:
    """The consumer has the second message before the first."""
    carried(facts).taken.insert(0, taken(SENT - 1, "E0"))
    facts.answered.append(answered(SENT + 2, "E0"))


def same_fact(facts: Facts) -> None:
    """The same tokens and generation under two ids."""
    told = {**facts.deliveries[0].event, "generation": 0}
    told["data"] = {**told["data"], "observed": {"fingerprint": "e"}, "precondition": {"fingerprint": "f"}}
    facts.deliveries = [delivery(told), delivery(told, id="E2", at=SENT + 5)]


def effect_twice(facts: Facts) -> None:
    """An effect ran twice."""
    carried(facts).effects["orders/app"] *= 2


def replay_undoes(facts: Facts) -> None:
    """A replay puts back what was newer."""
    carried(facts).answered.append(answered(DAY, replay=True, before=paid(3, 300)))


def one_version_only(facts: Facts) -> None:
    """Between raise and sunset the new version alone is sent."""
    carried(facts).raised, facts.sunset = BEGAN - 1, DAY


def past_sunset(facts: Facts) -> None:
    """An older version after its sunset."""
    told = {**facts.deliveries[0].event, "deprecated": True}
    facts.deliveries[0], facts.raised, facts.sunset = delivery(told, lane=1), 0.0, SENT - 10


def not_deprecated(facts: Facts) -> None:
    """An older version that does not say that it ends."""
    facts.deliveries[0] = delivery(facts.deliveries[0].event, lane=1)


FALSELY_CARRIED: list[tuple[str, Callable[[Facts], None]]] = [
    ("3 one fact has one id", same_fact),
    ("14 no event is lost between outbox and consumer", never_put),
    ("14 no event is lost between outbox and consumer", row_gone),
    ("14 no event is lost between outbox and consumer", never_had),
    ("14 what counts as confirmed was taken", unconfirmed),
    ("14 what counts as confirmed was taken", never_taken),
    ("15 the order within a key is kept", overtakes),
    ("15 the order within a key is kept", consumed_out_of_order),
    ("16 an effect runs once, and a replay changes nothing", effect_twice),
    ("16 an effect runs once, and a replay changes nothing", replay_undoes),
    ("17 an older version is told until its sunset", one_version_only),
    ("17 an older version is told until its sunset", past_sunset),
    ("17 an older version is told until its sunset", not_deprecated),
]
