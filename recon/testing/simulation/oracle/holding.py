"""Laws of what is held: nothing leaves unless it was approved; a mass change is held; what cannot be read is not missing."""

from collections.abc import Iterator

from recon.testing.simulation.oracle.common import looks, names, when
from recon.testing.simulation.oracle.facts import UNREADABLE, Delivery, Facts

MASS = ("wiped", "wrong tenant")


def held_back(facts: Facts) -> Iterator[str]:
    """An event of a held run goes out by an approval of exactly its plan, in time, or since a later run found it again."""
    for delivery in facts.deliveries:
        held = facts.held.get(str(delivery.event["reconrunid"]))
        if held is None or delivery.id not in held.ids or delivery.at < held.at:
            continue
        # Held again by a later run, it may go out by the approval of that one's plan.
        plans = [one.run for one in facts.held.values() if delivery.id in one.ids]
        if not any(_approved(facts, run, delivery) for run in plans) and not _found_again(facts, delivery, held.at):
            yield f"{names(delivery)}: its run {held.run} is held since {when(held.at)}, and nobody approved it"


def approvals(facts: Facts) -> Iterator[str]:
    """An approval is by the checksum of what was shown, in time, once; and nothing joins what was approved."""
    for act in facts.acts:
        held = facts.held.get(act.run)
        if act.kind != "approve" or not act.taken or held is None:
            continue
        if not held.checksum.startswith(act.checksum):
            yield f"run {act.run} was approved at {when(act.at)} by the checksum {act.checksum}, and its plan has {held.checksum[:12]}"
        if act.at > held.expires:
            yield f"run {act.run} was approved at {when(act.at)}, and had expired at {when(held.expires)}"
        earlier = [one for one in facts.acts if one.run == act.run and one.taken and one.ended <= act.at and one is not act]
        if earlier:
            yield f"run {act.run} was decided at {when(earlier[0].at)}, and approved again at {when(act.at)}"
        for delivery in facts.deliveries:
            joined = delivery.process == act.process and delivery.id not in held.ids and delivery.event["reconrunid"] == act.run
            if joined:
                yield f"{names(delivery)}: went out by the approval of run {act.run}, whose plan did not have it"


def _approved(facts: Facts, run: str, delivery: Delivery) -> bool:
    # An act is written down when it is over; what it sends goes out while it lasts, by the process that carries it out.
    return any(
        act.kind == "approve" and act.run == run and (act.taken or act.process in facts.dead) and act.at <= delivery.at
        for act in facts.acts
    )


def _found_again(facts: Facts, delivery: Delivery, since: float) -> bool:
    """Whether a run that began later, and was not held itself, may have sent it."""
    # What is written down has whole microseconds, and a run may begin at the very instant at which another one is held.
    since -= 1e-6
    later = [row for row in facts.rows.values() if row.domain == delivery.domain and since <= row.started <= delivery.at and not row.dry]
    return any(row.id not in facts.held for row in later)


def mass_and_unreadable(facts: Facts) -> Iterator[str]:
    """No event of a process to which the third party showed a wiped account, another's records, or an item that cannot be read."""
    for delivery in facts.deliveries:
        row = facts.rows.get(str(delivery.event["reconrunid"]))
        pages = [page for page in looks(facts, delivery.domain, delivery.process, "listing") if page.at <= delivery.at]
        if row is None or not pages or row.started < pages[0].at - 90:
            continue
        if pages[-1].fault in MASS:
            yield f"{names(delivery)}: the third party showed an account that was {pages[-1].fault}"
        key = delivery.event["data"]["key"]
        last = [held for page in pages for shown, held in page.items if shown == key]
        if last and last[-1] == UNREADABLE:
            yield f"{names(delivery)}: the item could not be read"
