"""Laws of the way from the outbox to the consumer: nothing lost, in order per key, one id per fact, effects once, versions that end."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from recon.testing.simulation.oracle.common import equal, names, when
from recon.testing.simulation.oracle.facts import Answered, Delivery, Facts, Queued, Taken

SETTLED = frozenset({"applied", "already", "seen", "older"})
"""A consumer's answers that leave nothing to be done."""


def nothing_lost(facts: Facts) -> Iterator[str]:
    """What a plan put into the outbox stays there, whatever becomes of it; what the broker took, each consumer that reads its version took in."""
    there = {row.id for row in facts.outbox.values()}
    for run, id_ in sorted(facts.enqueued):
        if id_ not in there:
            yield f"{id_[:8]} of run {run} was put into the outbox, and was never seen there"
    for row in facts.outbox.values():
        gone = [at for at, state in row.looks if state == "gone"]
        if gone:
            yield f"{_row(row)} was {row.looks[-2][1] if len(row.looks) > 1 else 'there'}, and is in the outbox no more at {when(gone[0])}"
    if facts.calm == float("inf"):
        return
    for consumer, versions in facts.readers.items():
        arrived = {(one.id, one.version) for one in facts.answered if one.consumer == consumer}
        for taken in _firsts(facts.taken):
            mine = taken.domain == _domain(consumer) and (versions is None or taken.version in versions)
            if mine and (taken.id, taken.version) not in arrived:
                yield f"{_message(taken)}: the broker took it at {when(taken.at)}, and {consumer} never had it"


def confirmed_is_taken(facts: Facts) -> Iterator[str]:
    """What the outbox says was sent, the destination confirmed; and what it confirmed, the broker has."""
    confirmed = {(one.id, one.lane) for one in facts.deliveries if one.outcome == "confirmed"}
    taken = {(one.id, one.lane) for one in facts.taken}
    for row in facts.outbox.values():
        sent = [at for at, state in row.looks if state == "sent"]
        if sent and (row.id, row.lane) not in confirmed:
            yield f"{_row(row)} counts as sent at {when(sent[0])}, and nobody confirmed it"
        elif sent and facts.broker and (row.id, row.lane) not in taken:
            yield f"{_row(row)} counts as sent at {when(sent[0])}, and the broker never took it"


def in_order(facts: Facts) -> Iterator[str]:
    """Of each key, in each version, no event goes out before one that was put into the outbox earlier and waits; and consumers have them in the order of the broker."""
    waiting: dict[tuple[str, str, int], list[Queued]] = defaultdict(list)
    for row in facts.outbox.values():
        waiting[row.domain, row.key, row.lane].append(row)
    confirmed: dict[tuple[str, int, int], float] = {}
    for one in facts.deliveries:
        if one.outcome == "confirmed":
            confirmed.setdefault((one.id, one.lane, one.emission), one.at)
    for delivery in facts.deliveries:
        rows = waiting[delivery.domain, delivery.event.get("partitionkey", ""), delivery.lane]
        # A row may be seen as sent at the very instant of its delivery, so it is told by the emission that it carries.
        of_it = [row for row in rows if row.id == delivery.id]
        mine = [row.seq for row in of_it if delivery.emission in row.emissions]
        mine = mine or [row.seq for row in of_it if row.at(delivery.at) in {"", "waiting"}]
        if not mine:
            continue
        for row in rows:
            # Seen to wait before, and to wait or be sent after: it waited all the while.
            waited = row.at(delivery.at) == "waiting" and row.after(delivery.at) in {"waiting", "sent"}
            gone = any(confirmed.get((row.id, row.lane, number), delivery.at) < delivery.at for number in row.emissions)
            if row.seq < min(mine) and row.id != delivery.id and waited and not gone:
                yield f"{names(delivery)}: {_row(row)} waited before it"
    yield from _consumed_in_order(facts)


def _consumed_in_order(facts: Facts) -> Iterator[str]:
    for consumer in facts.readers:
        place = {
            (one.key, one.version, one.id): number
            for number, one in enumerate(_firsts(one for one in facts.taken if one.domain == _domain(consumer)))
        }
        last: dict[tuple[str, int], Answered] = {}
        for one in _firsts(one for one in facts.answered if one.consumer == consumer):
            before = last.get((one.key, one.version))
            last[one.key, one.version] = one
            mine = place.get((one.key, one.version, one.id))
            if mine is None:
                yield f"{consumer} had {one.id[:8]} at {when(one.at)}, which the broker never took"
            elif before is not None and mine < place[before.key, before.version, before.id]:
                yield f"{consumer} had {before.id[:8]} of {one.key} before {one.id[:8]}, at {when(one.at)}, and the broker took it after"


def one_fact(facts: Facts) -> Iterator[str]:
    """The same source, key, operation, tokens and generation never stand under two ids."""
    ids: dict[tuple[Any, ...], Delivery] = {}
    for delivery in facts.deliveries:
        event, data = delivery.event, delivery.event["data"]
        if "observed" not in data or delivery.lane:
            continue
        seen, found = data["observed"] or {}, data.get("precondition") or {}
        tokens = seen.get("fingerprint"), found.get("fingerprint")
        fact = (event["source"], data["key"], data["op"], *tokens, event.get("generation"))
        other = ids.setdefault(fact, delivery)
        if other.id != delivery.id:
            yield f"{names(delivery)} says what {names(other)} says, and has another id"


def effects_once(facts: Facts) -> Iterator[str]:
    """The side effect of an id runs once at each consumer; and what it has taken in before changes nothing when it is replayed."""
    for consumer, ids in facts.effects.items():
        for id_, times in Counter(ids).items():
            if times > 1:
                yield f"{consumer}: the effect of {id_[:8]} ran {times} times"
    settled: set[tuple[str, str]] = set()
    for one in facts.answered:
        if one.consumer not in facts.effects:
            continue
        if (
            one.replay
            and (one.consumer, one.id) in settled
            and not equal(one.before, one.after, ("status", "amount", "currency", "version"))
        ):
            yield f"{one.consumer}: a replay of {one.id[:8]} at {when(one.at)} made {one.before} of {one.key} into {one.after}"
        if one.kind in SETTLED:
            settled.add((one.consumer, one.id))


def versions_end(facts: Facts) -> Iterator[str]:
    """From the raise to the sunset each new event goes out in both versions, and after it in the older one no more."""
    older = {row.id for row in facts.outbox.values() if row.version == 1}
    for row in facts.outbox.values():
        run = facts.rows.get(row.run)
        # What was seen before the sunset was there before it.
        both = run is not None and run.started > facts.raised and row.looks[0][0] < facts.sunset
        if both and row.version == 0 and not row.replay and row.id not in older:
            yield f"{_row(row)}, seen at {when(row.looks[0][0])}, is not sent in version 1, which ends at {when(facts.sunset)}"
    for delivery in facts.deliveries:
        slept = any(one.process == delivery.process and one.at < facts.sunset <= one.until for one in facts.frozen)
        if delivery.lane and delivery.at > facts.sunset + 1 and not slept:
            yield f"{names(delivery)}: version {delivery.lane} ended at {when(facts.sunset)}"
        if delivery.lane and not delivery.event.get("deprecated"):
            yield f"{names(delivery)}: nothing in it says that version {delivery.lane} ends"


def _firsts(found: Iterable[Any]) -> Iterator[Any]:
    """Each message the first time, by its id and version."""
    seen: set[tuple[str, int]] = set()
    for one in found:
        if (one.id, one.version) not in seen:
            seen.add((one.id, one.version))
            yield one


def _domain(consumer: str) -> str:
    return consumer.partition("/")[0]


def _row(row: Queued) -> str:
    lane = f" in version {row.lane}" if row.lane else ""
    return f"row {row.seq} of {row.domain} {row.key} ({row.id[:8]}{lane})"


def _message(taken: Taken) -> str:
    return f"{taken.domain} {taken.key} {taken.id[:8]} in version {taken.version}"
