"""Laws of delivery: one id per fact, nothing from whom was overtaken, nothing older over what is newer."""

from collections import defaultdict
from collections.abc import Iterator

from recon.testing.simulation.oracle.common import equal, fields_at, names, when, whole_runs
from recon.testing.simulation.oracle.facts import Applied, Delivery, Facts

PATIENCE = 2
"""After so many nights on which a confirmed event changed nothing, its correction may have another id."""


def one_id(facts: Facts) -> Iterator[str]:
    """The bytes under an id never change, in one version; what stayed as it was has the same id each time it is told."""
    first: dict[str, Delivery] = {}
    bodies: dict[tuple[str, object, object], Delivery] = {}
    last: dict[tuple[str, str], Delivery] = {}
    for delivery in facts.deliveries:
        first.setdefault(delivery.id, delivery)
        # Beside a newer version an older one says as well that it ends.
        told = delivery.event.get("dataversion"), delivery.event.get("deprecationsunset")
        other = bodies.setdefault((delivery.id, *told), delivery)
        if other.body != delivery.body:
            yield f"{names(delivery)}: other bytes than at {when(other.at)} under the same id"
        if delivery.replay or delivery.lane:
            continue
        key = delivery.event["data"]["key"]
        before = last.get((delivery.domain, key))
        last[delivery.domain, key] = delivery
        if before is None or before.id == delivery.id:
            continue
        source, target = facts.source[delivery.domain], facts.target[delivery.domain]
        begin = facts.rows[before.event["reconrunid"]].started if before.event["reconrunid"] in facts.rows else before.at
        still = source.constant(key, begin, delivery.at) and target.constant(key, begin, delivery.at)
        edited = len({(run.fields, run.schema) for run in facts.ended if begin <= run.began <= delivery.at}) > 1
        nights = sum(1 for run in whole_runs(facts, delivery.domain) if first[before.id].at < run.began <= delivery.at)
        # The night that tells it has not come to its end yet.
        nights += 1
        if still and not edited and nights < PATIENCE:
            yield f"{names(delivery)}: nothing has changed since {names(before)}, which had another id"


def overtaken(facts: Facts) -> Iterator[str]:
    """The dead deliver nothing; who stood still while others delivered sends, on waking, no more than the call in hand of what they sent.

    What another process sent and was killed over before it wrote that down is anybody's to send again: nobody alive knows of it.
    """
    for delivery in facts.deliveries:
        if delivery.process in facts.dead and delivery.at > facts.dead[delivery.process]:
            yield f"{names(delivery)}: that process was killed at {when(facts.dead[delivery.process])}"
    for frozen in facts.frozen:
        sent = {
            (one.id, one.emission, one.lane)
            for one in facts.deliveries
            if one.process != frozen.process and frozen.at < one.at <= frozen.until and one.outcome == "confirmed"
        }
        sent = {one for one in sent if facts.marked.get(one, float("inf")) <= frozen.until}
        for one in facts.deliveries:
            mine = one.process == frozen.process and one.at >= frozen.until
            if mine and one.call > frozen.calls and (one.id, one.emission, one.lane) in sent:
                yield f"{names(one)}: it stood still until {when(frozen.until)}, and another process had delivered that meanwhile"


def fenced(facts: Facts) -> Iterator[str]:
    """A fence never goes back; of one slot there is one run."""
    for name, fences in facts.fences.items():
        if fences != sorted(fences):
            yield f"the fence of {name} went back: {fences}"
    slots: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in facts.rows.values():
        if row.slot is not None:
            slots[row.domain, row.slot].append(row.id)
    for (domain, slot), runs in slots.items():
        if len(runs) > 1:
            yield f"slot {slot} of {domain} has {len(runs)} runs: {', '.join(runs)}"


def never_older(facts: Facts) -> Iterator[str]:
    """With a consumer that looks before it writes, no event puts an older version of an item over a newer one.

    A row that was changed and changed back while its event was under way looks as the event found it; no value tells the two apart.
    """
    for one in facts.applied:
        if not one.careful or one.before is None or one.after is None:
            continue
        older = (one.after.get("version") or 0) < (one.before.get("version") or 0)
        if (
            older
            and not equal(one.before, one.after, ("status", "amount", "currency"))
            and not _again(facts, one.domain, one.key, one.after)
            and not _back_meanwhile(facts, one)
        ):
            yield f"{one.domain} {one.key} at {when(one.at)}: version {one.after['version']} over {one.before['version']}, by {one.id[:8]}"


def _back_meanwhile(facts: Facts, applied: Applied) -> bool:
    """Whether the row came to be so, with a newer version, only after the event had been delivered, and had those very values then too."""
    sent = next((one for one in facts.deliveries if one.id == applied.id), None)
    if sent is None or applied.before is None:
        return False
    target, fields = facts.target[applied.domain], fields_at(facts, sent.process)
    # A destination that applies an event twice applies it at once as well: what it found then stood a moment before.
    then = [target.at(applied.key, at) for at in (sent.at, sent.at - 1e-6)]
    return any(
        state is not None and state.get("version") != applied.before.get("version") and equal(state, applied.before, fields)
        for state in then
    )


def _again(facts: Facts, domain: str, key: str, state: object) -> bool:
    """Whether the source holds these very values once more, under a later version: then the event is right, if not new."""
    assert isinstance(state, dict)
    source = facts.source[domain]
    held = [one for _, one in source.during(key, 0.0, float("inf")) if one is not None]
    return any(
        equal(one, state, ("status", "amount", "currency")) and (one.get("version") or 0) > (state.get("version") or 0) for one in held
    )
