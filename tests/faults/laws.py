"""The laws that hold after every fault, judged from files and tables alone; nothing of the engine is imported here."""

from collections import defaultdict
from dataclasses import dataclass

from tests.faults.world import World

OPEN = ("planned", "fetching", "sealed", "diffed", "confirming", "approved", "emitted")


@dataclass(frozen=True)
class Undisturbed:
    """What a night without any fault leaves: the ids by key, and the figures of the run that sent them."""

    ids: dict[str, str]
    figures: set[tuple[object, ...]]
    #: How often "clean" was said before the sides were set apart.
    cleans: int

    @classmethod
    def of(cls, world: World) -> "Undisturbed":
        return cls({event["data"]["key"]: event["id"] for event in world.events()}, figures(world), cleans(world))


def cleans(world: World) -> int:
    """How many runs ended as clean."""
    return len(world.state("select 1 from recon_runs where verdict = 'clean'"))


def figures(world: World) -> set[tuple[object, ...]]:
    """Of each run that ended well: the verdict and the counts."""
    rows = world.state(
        "select verdict, whole, source_records, target_records, compared, discrepancies from recon_runs where state = 'done' and not dry_run"
    )
    return set(rows)


def broken(world: World, wanted: Undisturbed, *, fence_before: int = 0) -> list[str]:
    """Every law that does not hold, in words; nothing where all is well."""
    return [*_delivered(world, wanted), *_standing(world, wanted, fence_before)]


def _delivered(world: World, wanted: Undisturbed) -> list[str]:
    wrong = []
    bodies: dict[str, set[bytes]] = defaultdict(set)
    ids: dict[str, set[str]] = defaultdict(set)
    for line, event in zip(world.lines(), world.events(), strict=True):
        bodies[event["id"]].add(line)
        ids[event["data"]["key"]].add(event["id"])
    got = {key: sorted(found) for key, found in ids.items()}
    if got != {key: [one] for key, one in wanted.ids.items()}:
        wrong.append(f"one id per fact, each delivered, nothing else: wanted {wanted.ids}, got {got}")
    if any(len(found) > 1 for found in bodies.values()):
        wrong.append("one id, one text")
    if world.consume() != world.truth():
        wrong.append(f"the sides converge: {world.consume()} is not {world.truth()}")
    return wrong


def _standing(world: World, wanted: Undisturbed, fence_before: int) -> list[str]:
    wrong = []
    left = world.state(f"select id, state from recon_runs where state in {OPEN}")
    if left:
        wrong.append(f"nothing is left in the middle: {left}")
    waiting = world.state("select event_id, state, reason from recon_outbox where state not in ('sent', 'withdrawn')")
    if waiting:
        wrong.append(f"nothing is left to send: {waiting}")
    if world.rows() != world.truth() and cleans(world) > wanted.cleans:
        wrong.append("clean was said of sides that differ")
    unproven = world.state("select id from recon_runs where verdict = 'clean' and (whole is not true or discrepancies <> 0)")
    if unproven:
        wrong.append(f"clean was said of an unproven comparison: {unproven}")
    if world.fence() <= fence_before:
        wrong.append(f"the fence grows with every claim: {world.fence()} after {fence_before}")
    if not figures(world) <= wanted.figures:
        wrong.append(f"the figures of a night without faults: {figures(world)} instead of {wanted.figures}")
    return wrong
