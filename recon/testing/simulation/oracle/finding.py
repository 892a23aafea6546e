"""Laws of what is found: only real drift, nothing that moves, nothing dropped, no deletion out of doubt."""

from collections.abc import Iterator

from recon.testing.simulation.oracle.common import (
    DAY,
    acknowledged,
    born,
    both,
    ended_hold,
    equal,
    fields_at,
    first_look,
    looks,
    names,
    number,
    when,
    whole_runs,
)
from recon.testing.simulation.oracle.facts import Delivery, Ended, Facts


def _firsts(facts: Facts) -> Iterator[Delivery]:
    """Each event's first delivery of every emission."""
    seen: set[tuple[str, int]] = set()
    for delivery in facts.deliveries:
        if (delivery.id, delivery.emission) not in seen:
            seen.add((delivery.id, delivery.emission))
            yield delivery


def real_drift(facts: Facts) -> Iterator[str]:
    """At some instant between the first look and the delivery the source held what the event says, and the target did not."""
    for delivery in _firsts(facts):
        begin = born(facts, delivery)
        if _another_account(facts, delivery):
            continue
        if begin is None:
            yield f"{names(delivery)}: its run {delivery.event['reconrunid']} was never written down"
            continue
        data, fields = delivery.event["data"], fields_at(facts, delivery.process)
        source, target = facts.source[delivery.domain], facts.target[delivery.domain]
        state = data["state"] if data["op"] != "deleted" else None
        instants = list(both(source, target, data["key"], begin, delivery.at))
        if not any(equal(one, state, fields) and not equal(other, state, fields) for _, one, other in instants):
            yield f"{names(delivery)}: from {when(begin)} on the source never held {state} while the target did not"
        elif not any(equal(other, data["before"], fields) for _, _, other in instants):
            yield f"{names(delivery)}: from {when(begin)} on the target never held {data['before']}"


def _another_account(facts: Facts, delivery: Delivery) -> bool:
    """Whether it tells what a listing of somebody else's account showed, from a plan that was held and that a person let go: nobody else can tell."""
    data, run = delivery.event["data"], str(delivery.event["reconrunid"])
    let_go = any(act.kind == "approve" and act.run == run and act.taken is not False for act in facts.acts)
    return let_go and any(
        page.fault == "wrong tenant" and page.place == "listing" and page.domain == delivery.domain and key == data["key"]
        for page in facts.shown
        for key, _ in page.items
    )


def nothing_moving(facts: Facts) -> Iterator[str]:
    """Whatever a process saw of a key while it made an event of it says the same as the event."""
    seen: set[str] = set()
    for delivery in facts.deliveries:
        if delivery.id in seen:
            continue
        seen.add(delivery.id)
        row = facts.rows.get(str(delivery.event["reconrunid"]))
        pages = looks(facts, delivery.domain, delivery.process, "listing")
        if row is None or not pages or not pages[0].at - 90 <= row.started <= delivery.at or delivery.emission != 1:
            # Found by another process, which is not here any more: what it saw is not what this one made the event of.
            continue
        data, fields = delivery.event["data"], fields_at(facts, delivery.process)
        state = data["state"] if data["op"] != "deleted" else None
        shown = [(at.at, held) for at in pages for key, held in at.items if key == data["key"] and at.at <= delivery.at]
        reads = [
            (at.at, held)
            for at in looks(facts, delivery.domain, delivery.process, "item")
            for key, held in at.items
            if key == data["key"] and pages[0].at <= at.at <= delivery.at
        ]
        for at, held in shown[-1:] + reads:
            if not equal(held, state, fields):
                yield f"{names(delivery)}: at {when(at)} the third party had shown {held}, not {state}"


def no_doubtful_deletion(facts: Facts) -> Iterator[str]:
    """Nothing is said to be deleted that the source held all the while."""
    for delivery in facts.deliveries:
        data, begin = delivery.event["data"], born(facts, delivery)
        if data["op"] != "deleted" or begin is None:
            continue
        source = facts.source[delivery.domain]
        if all(state is not None for _, state in source.during(data["key"], begin, delivery.at)):
            yield f"{names(delivery)}: the source held it all the time from {when(begin)}"
        nights = {
            int(run.began // DAY)
            for run in whole_runs(facts, delivery.domain)
            if run.began <= delivery.at and _absent(facts, run, data["key"])
        }
        nights.add(int(delivery.at // DAY))
        if len(nights) < facts.delete_nights:
            yield f"{names(delivery)}: it was absent on {len(nights)} nights, of {facts.delete_nights}"


def _absent(facts: Facts, run: Ended, key: str) -> bool:
    """Whether the source lacked the key at some instant of the run."""
    began = facts.rows[run.run].started
    return any(state is None for _, state in facts.source[run.domain].during(key, began, run.ended))


def nothing_dropped(facts: Facts) -> Iterator[str]:
    """What differed all through a run that came to a verdict is told, or among what the run says that it does not know."""
    for domain in facts.source:
        for run in whole_runs(facts, domain):
            if run.verdict not in {"clean", "discrepancies"} or number(run.figures, "plan", "events") < 0:
                continue
            silent = [key for key in _lasting(facts, run) if not _told(facts, run, key)]
            said = run.figures
            known = (
                number(said, "unconfirmed")
                + number(said, "unreadable_items")
                + number(said, "duplicate_keys")
                + number(said, "in_flight")
                + number(said, "waiting")
                + number(said, "delivery", "waiting")
                + number(said, "delivery", "dead")
                + sum((said.get("dismissed") or {}).values())
            )
            if ended_hold(run):
                known += number(said, "missing") + number(said, "extra") + number(said, "changed")
            if run.verdict == "clean" and silent and not _unseen(facts, run, silent):
                yield f"run {run.run} of {domain} at {when(run.ended)} is clean, and {', '.join(silent)} differed all the while"
            elif len(silent) > known and not _unseen(facts, run, silent):
                yield f"run {run.run} of {domain} at {when(run.ended)}: {', '.join(silent)} differed all the while, were not told, and it accounts for {known}"


def _lasting(facts: Facts, run: Ended) -> list[str]:
    source, target = facts.source[run.domain], facts.target[run.domain]
    # Not from when the process took it up: one that was gone on with has looked before, one that came after another has not.
    began = first_look(facts, run)
    found = []
    for key in sorted({*source.keys(), *target.keys()}):
        still = source.constant(key, began, run.ended) and target.constant(key, began, _before_delivery(facts, run, key))
        if (
            still
            and not equal(source.at(key, began), target.at(key, began), run.fields)
            and not acknowledged(facts, run.domain, key, run.ended)
        ):
            found.append(key)
    return found


def _before_delivery(facts: Facts, run: Ended, key: str) -> float:
    """Until when the target counts as untouched: the run's own event may have corrected it."""
    began = facts.rows[run.run].started
    mine = [
        one.at
        for one in facts.deliveries
        if one.process == run.process and one.domain == run.domain and one.event["data"]["key"] == key and began <= one.at <= run.ended
    ]
    return min(mine, default=run.ended) - 1e-6


def _told(facts: Facts, run: Ended, key: str) -> bool:
    return any(
        one.domain == run.domain and one.event["data"]["key"] == key and facts.rows[run.run].started <= one.at <= run.ended
        for one in facts.deliveries
    )


def _unseen(facts: Facts, run: Ended, keys: list[str]) -> bool:
    """Whether the third party showed a listing that left these out, or said its end too soon: nobody can tell that from a true one."""
    pages = [page for page in looks(facts, run.domain, run.process, "listing") if page.at <= run.ended]
    shown = {key for page in pages for key, _ in page.items}
    return all(key not in shown and facts.source[run.domain].at(key, run.began) is not None for key in keys)
