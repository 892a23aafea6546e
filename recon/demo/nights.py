"""The five nights: what happens in the world, what the reconciler makes of it, and an independent look at whether that is true."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TextIO

from recon.clock import iso
from recon.demo.clock import StoryClock
from recon.demo.world import Outage, World
from recon.errors import ReconError
from recon.progress import Silent
from recon.project import Project
from recon.report.figures import RunFigures, Verdict
from recon.report.text import Line, emit, line, summary
from recon.run import Order, approve, items_of, run_domain
from recon.state.database import State

DOMAIN = "orders"
RECALLED = 560
SALE = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything a night is played on."""

    world: World
    project: Project
    state: State
    clock: StoryClock
    out: TextIO

    def say(self, text: str = "") -> None:
        """One line of the story."""
        emit([line(text)], self.out)


def play(stage: Stage, first: datetime) -> None:
    """All five nights, the first slot at `first`. Raises ReconError where a night does not end as it must."""
    stories: list[tuple[str, Callable[[Stage, datetime], None]]] = [
        ("an ordinary day: a few webhooks get lost, doubled or late", ordinary),
        ("a good day: every webhook arrives", clean),
        ("an outage: the application's webhook endpoint answers 503 while a sale is on", outage),
        ("the shop's API answers with an empty list, and a perfectly good 200", blank),
        ("a recall: the shop cancels a supplier's orders in bulk, and its bulk editor sends no webhooks", recall),
    ]
    for number, (title, story) in enumerate(stories):
        slot = first + timedelta(days=number)
        stage.say()
        stage.say(f"NIGHT {number + 1}  {slot:%A, %d %B}: {title}")
        stage.world.network.told.clear()
        story(stage, slot)


def ordinary(stage: Stage, slot: datetime) -> None:
    """Drift arises from what the network loses; the corrections heal it."""
    _troubled(stage.world)
    stage.world.day(slot)
    _healed(stage, slot)


def clean(stage: Stage, slot: datetime) -> None:
    """Nothing is lost, and nothing is found."""
    network = stage.world.network
    network.loss = network.doubled = network.late = 0.0
    stage.world.day(slot)
    _tell_network(stage)
    _demand(not stage.world.differences(), "the good day left differences", stage.world.differences())
    sent = _corrections(stage)
    figures = _run(stage, slot)
    _demand(figures.verdict is Verdict.CLEAN, f"the verdict is {figures.verdict}, not clean", [])
    _demand(_corrections(stage) == sent, "a clean night sent corrections", [])
    _agree(stage)


def outage(stage: Stage, slot: datetime) -> None:
    """Half an hour of lost webhooks; the report names the window by itself."""
    world = stage.world
    _troubled(world, loss=0.004)
    start, end = slot - timedelta(minutes=50), slot - timedelta(minutes=20)
    sale = world.shop.rush(slot - timedelta(minutes=60), slot - timedelta(minutes=10), SALE, slot)
    world.day(slot, extra=sale, outage=Outage(start=start, end=end))
    figures = _healed(stage, slot)
    sentence = figures.created.sentence if figures.created is not None else ""
    _demand(bool(sentence), "the report names no window", [])


def blank(stage: Stage, slot: datetime) -> None:
    """An empty list is no reason to delete everything: held, and nothing emitted."""
    world = stage.world
    _troubled(world)
    world.day(slot)
    _tell_network(stage)
    world.third_party.pretend_empty = True
    try:
        figures = _held(stage, slot)
    finally:
        world.third_party.pretend_empty = False
    stage.say(
        f"  Nobody deleted {figures.store.rows if figures.store else 0:,} orders. The shop's API is well again by morning, and this plan is left to expire."
    )


def recall(stage: Stage, slot: datetime) -> None:
    """Something large and real: held as well, looked at by a person, approved, delivered."""
    world = stage.world
    _troubled(world)
    world.day(slot)
    recalled = _recall(world, slot)
    _tell_network(stage)
    stage.say(f"  {len(recalled):,} orders of supplier {world.suppliers[0]!r} were cancelled in bulk.")
    figures = _held(stage, slot)
    assert figures.plan is not None
    stage.say()
    stage.say("  A person looks at the report, asks the shop, hears of the recall, and approves exactly this plan:")
    plan = figures.plan.checksum[:8]
    stage.say(f'  $ recon approve {figures.run} --plan {plan} --reason "recall confirmed by the shop"')
    differing = _keys(world)
    stage.clock.sleep(4 * 3600)
    sent = _corrections(stage)
    done = approve(
        stage.project, stage.state, figures.run, plan=plan, reason="recall confirmed by the shop", by="demo",
        clock=stage.clock, progress=Silent(),
    )  # fmt: skip
    lines = summary(done, limit=0)
    _block(stage, lines[max(at for at, each in enumerate(lines) if not each) + 1 :])
    _demand(done.exit_code == 0, f"the approved run ended with exit {done.exit_code}", [done.problem.message if done.problem else ""])
    _demand(
        _corrections(stage) - sent == len(differing), f"{_corrections(stage) - sent} corrections for {len(differing)} differing orders", []
    )
    _agree(stage)


def _recall(world: World, slot: datetime) -> list[str]:
    """The shop's bulk editor at work: changes, and not one webhook."""
    at = iso(slot - timedelta(hours=2))
    open_orders = [
        key
        for key, record in world.third_party.records.items()
        if record["supplier"] in world.suppliers and record["status"] != "cancelled"
    ]
    recalled = open_orders[-RECALLED:]
    for key in recalled:
        world.third_party.quiet_update(key, status="cancelled", updated_at=at)
    return recalled


def _troubled(world: World, *, loss: float = 0.012) -> None:
    world.network.loss, world.network.doubled, world.network.late = loss, 0.02, 0.03


def _healed(stage: Stage, slot: datetime) -> RunFigures:
    """A night that finds exactly what differs, sends corrections, and leaves both sides in agreement."""
    _tell_network(stage)
    differing = _keys(stage.world)
    _demand(bool(differing), "no drift arose, so the night proves nothing", [])
    figures = _run(stage, slot)
    found = {item.key for item in items_of(stage.state, figures.run)}
    _demand(found == differing, "what was found is not what differs", sorted(found ^ differing))
    _demand(figures.exit_code == 0, f"the run ended with exit {figures.exit_code}", [figures.problem.message if figures.problem else ""])
    _agree(stage)
    return figures


def _held(stage: Stage, slot: datetime) -> RunFigures:
    """A night that is held: nothing reaches the application."""
    before, sent = stage.world.application.rows(), _corrections(stage)
    figures = _run(stage, slot)
    _demand(figures.verdict is Verdict.HELD, f"the verdict is {figures.verdict}, not held", [])
    _demand(_corrections(stage) == sent, "a held run sent corrections", [])
    _demand(stage.world.application.rows() == before, "a held run changed the application's store", [])
    stage.say("  checked  nothing reached the application: its store is byte for byte as it was")
    return figures


def _run(stage: Stage, slot: datetime) -> RunFigures:
    stage.clock.move(slot)
    figures = run_domain(
        stage.project, stage.state, Order(domain=DOMAIN, trigger="schedule", slot=slot), clock=stage.clock, progress=Silent()
    )
    _show(stage, figures)
    return figures


def _show(stage: Stage, figures: RunFigures) -> None:
    items = items_of(stage.state, figures.run) if figures.discrepancies else ()
    _block(stage, summary(figures, items, limit=2))


def _block(stage: Stage, lines: list[Line]) -> None:
    """What a command would have printed, set apart from the story."""
    stage.say()
    emit([(*line("  | "), *each) for each in lines], stage.out)
    stage.say()


def _tell_network(stage: Stage) -> None:
    told: Counter[str] = stage.world.network.told
    words = [f"{told['delivered']:,} webhooks arrived"]
    words += [
        f"{told[name]:,} {said}" for name, said in (("lost", "were lost"), ("given up", "were given up after three tries")) if told[name]
    ]
    words += [f"{told[name]:,} came {said}" for name, said in (("doubled", "twice"), ("late", "late")) if told[name]]
    stage.say(f"  {', '.join(words)}.")


def _corrections(stage: Stage) -> int:
    """How many corrections the application's handler has taken."""
    return stage.world.application.told["recon handled"]


def _keys(world: World) -> set[str]:
    return {difference.split(":", 1)[0] for difference in world.differences()}


def _agree(stage: Stage) -> None:
    """Both sides, read directly and compared in plain Python."""
    _demand(not stage.world.differences(), "the two sides still differ", stage.world.differences())
    stage.say(f"  checked  both sides read directly, order by order: {len(stage.world.third_party.records):,} orders, no difference")


def _demand(holds: bool, what: str, details: list[Any]) -> None:
    if not holds:
        shown = "; ".join(str(detail) for detail in details[:5])
        msg = f"demo: {what}" + (f": {shown}" if shown else "")
        raise ReconError(msg, hint="this is a fault of this program, not of your machine: please report it with the text above")
