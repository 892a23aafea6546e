"""A true night whose correction went out as the third party's own webhook, and what is false of such a webhook."""

from collections.abc import Callable
from typing import Any

from recon.testing.simulation.oracle import Facts
from recon.testing.simulation.oracle.facts import UNREADABLE, Applied, Posted
from recon.testing.simulation.oracle.history import History
from tests.simulation.histories import SENT, paid, shown

CALLED = SENT - 5


def webhook(**changes: Any) -> Posted:
    values = {"at": SENT, "called": CALLED, "made": SENT - 1, "process": 1, "domain": "orders", "key": "k1", "event": "E1", "op": "updated"}
    more = {"webhook": "E1", "record": paid(2, 200), "status": 200, "verdict": "applied", "after": paid(2, 200)}
    return Posted(**{**values, **more, **changes})


def posted(facts: Facts, **changes: Any) -> Facts:
    """The same night: read again, posted, and taken in; `changes` are the webhook's."""
    facts.native, facts.absence = "versions", "marker"
    facts.shown.append(shown(SENT - 2, ("k1", paid(2, 200)), place="letter"))
    facts.posted = [webhook(**changes)]
    facts.applied = [Applied(at=SENT, domain="orders", id="E1", key="k1", before=paid(), after=paid(2, 200), careful=False)]
    return facts


def false(**changes: Any) -> Callable[[Facts], None]:
    """A night whose webhook is otherwise."""

    def falsify(facts: Facts) -> None:
        posted(facts, **changes)

    return falsify


def as_it_was(facts: Facts) -> None:
    """What the item was before, and the look in the call showed otherwise."""
    posted(facts, record=paid(1))
    facts.source["orders"].put(CALLED + 1, "k1", paid(1))
    facts.source["orders"].put(CALLED + 2, "k1", paid(2, 200))


def older_than_the_row(facts: Facts) -> None:
    """The application had a newer one when the call began."""
    posted(facts)
    facts.target["orders"] = History()
    facts.target["orders"].put(CALLED - 1, "k1", paid(3, 300))


def looked_at(held: Any, fault: str = "", **changes: Any) -> Callable[[Facts], None]:
    """The look in the call shows this."""

    def falsify(facts: Facts) -> None:
        posted(facts, **changes).shown[-1] = shown(SENT - 2, ("k1", held), place="letter", fault=fault)

    return falsify


def not_looked_at(facts: Facts) -> None:
    """The item is not read again."""
    del posted(facts).shown[-1]


def another_id(facts: Facts) -> None:
    """The repeat has another id."""
    posted(facts).posted.append(webhook(webhook="E1-again"))


def shared_id(facts: Facts) -> None:
    """Two events have one id."""
    posted(facts).posted.append(webhook(event="E2"))


def another_row(facts: Facts) -> None:
    """What the endpoint wrote is not what the third party has."""
    posted(facts).applied[0] = Applied(at=SENT, domain="orders", id="E1", key="k1", before=paid(), after=paid(2, 900), careful=False)


HAS = "18 a native webhook says what the third party has"
SHOWN = "18 of what is not shown no native webhook tells"
ID = "19 a native webhook keeps its id"
SIGNED = "20 a native webhook is signed"
HEALS = "21 what is told natively heals"
FALSELY_POSTED: list[tuple[str, Callable[[Facts], None]]] = [
    (HAS, false(record=paid(2, 900))),
    (HAS, as_it_was),
    (HAS, older_than_the_row),
    (SHOWN, false(event="")),
    (SHOWN, not_looked_at),
    (SHOWN, looked_at(UNREADABLE)),
    (SHOWN, looked_at(paid(2, 200), record=None)),
    (SHOWN, looked_at(None, "reads 404", record=None)),
    (ID, another_id),
    (ID, shared_id),
    (SIGNED, false(fits=False)),
    (SIGNED, false(off=60.0)),
    (SIGNED, false(verdict="refused", status=400)),
    (HEALS, false(verdict="strange")),
    (HEALS, another_row),
]
