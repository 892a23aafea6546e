"""The oracle itself: of each law a false history that it must condemn, by that law, beside a true one in which it finds nothing."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recon.testing.simulation.oracle import LAWS, Facts, judge
from recon.testing.simulation.oracle.facts import (
    UNREADABLE,
    Act,
    Applied,
    Asked,
    Cut,
    Frozen,
    Held,
    PartEnd,
    Shown,
)
from recon.testing.simulation.oracle.history import History
from tests.simulation.carried import FALSELY_CARRIED, carried
from tests.simulation.histories import DAY, SENT, calm, delivery, ended, event, night, paid, row, shown
from tests.simulation.posted import FALSELY_POSTED, posted


def no_drift(facts: Facts) -> None:
    facts.source["orders"] = History()
    for key in ("k1", "k2"):
        facts.source["orders"].put(0.0, key, paid())
    facts.shown = []


def moving(facts: Facts) -> None:
    facts.source["orders"].put(200.0, "k1", paid(3, 300))
    facts.shown[1] = shown(250.0, ("k1", paid(3, 300)), place="item")


def dropped(facts: Facts) -> None:
    facts.deliveries = []
    facts.target["orders"] = History()
    for key in ("k1", "k2"):
        facts.target["orders"].put(0.0, key, paid())


def two_ids(facts: Facts) -> None:
    dropped(facts)
    told = event(state=paid(2, 200), before=paid())
    facts.deliveries = [delivery(told), delivery(told, id="E2", at=DAY + 300)]


def other_bytes(facts: Facts) -> None:
    facts.deliveries.append(delivery(event(state=paid(2, 200), before=paid()), at=305.0, body=b"{}"))


def unapproved(facts: Facts) -> None:
    facts.held["R1"] = Held(at=200.0, domain="orders", run="R1", checksum="abc123", expires=DAY, ids=frozenset({"E1"}))


def approved(**changes: Any) -> Callable[[Facts], None]:
    def make(facts: Facts) -> None:
        unapproved(facts)
        values = {"at": 290.0, "ended": 301.0, "process": 1, "kind": "approve", "domain": "orders", "run": "R1", "checksum": "abc123"}
        facts.acts = [Act(**{**values, "taken": True, **changes})]

    return make


def joined(facts: Facts) -> None:
    approved()(facts)
    facts.held["R1"] = Held(at=200.0, domain="orders", run="R1", checksum="abc123", expires=DAY, ids=frozenset({"E9"}))


def apart(facts: Facts) -> None:
    calm(facts)
    facts.target["orders"].put(DAY + 50, "k2", paid(1, 999))
    facts.ended[-1] = ended(began=DAY + 100, ended=DAY + 110, verdict="discrepancies", run="R2", process=2, figures={"unconfirmed": 1})


def false_clean(facts: Facts) -> None:
    dropped(facts)
    facts.ended = [ended(verdict="clean")]


def unread_clean(facts: Facts) -> None:
    calm(facts)
    facts.shown.append(
        Shown(at=DAY + 105, process=2, domain="orders", place="listing", fault="", items=(("k1", paid(2, 200)), ("k2", UNREADABLE)))
    )


def doubtful(facts: Facts) -> None:
    facts.shown = []
    facts.deliveries = [delivery(event("k2", "deleted", before=paid()))]


def told_too_early(facts: Facts) -> None:
    facts.delete_nights = 2
    facts.source["orders"].put(90.0, "k2", None)
    facts.deliveries.append(delivery(event("k2", "deleted", before=paid()), id="E2"))


def undead(facts: Facts) -> None:
    facts.dead[1] = 200.0


def zombie(facts: Facts) -> None:
    facts.frozen = [Frozen(process=2, at=200.0, until=400.0, calls=1)]
    facts.deliveries.append(delivery(facts.deliveries[0].event, process=2, at=410.0, call=2))
    facts.marked["E1", 1, 0] = 301.0


def stepped_back(facts: Facts) -> None:
    facts.fences["orders"] = [3, 2]


def two_runs(facts: Facts) -> None:
    facts.rows["R9"] = row("R9", slot="R1")


def undone(facts: Facts) -> None:
    facts.applied = [Applied(at=SENT, domain="orders", id="E1", key="k2", before=paid(5, 700), after=paid(4, 600), careful=True)]


def mass(facts: Facts) -> None:
    facts.shown[0] = shown(110.0, ("k1", paid(2, 200)), fault="wrong tenant")


def unreadable(facts: Facts) -> None:
    facts.shown = [shown(110.0, ("k1", UNREADABLE))]


def quiet(facts: Facts) -> None:
    facts.ended = [ended(figures={"changed": 1, "delivery": {"waiting": 2}}, exit_code=0)]


def unanswered(facts: Facts) -> None:
    told = facts.deliveries[0].event
    dropped(facts)
    facts.deliveries = [delivery(told, outcome="retry")]


def raised(facts: Facts) -> None:
    facts.ended = [ended(how="raised", verdict="", problem="KeyError: 1")]


def mismatched(facts: Facts) -> None:
    facts.ended = [ended(figures={"changed": 1}, verdict="held", exit_code=0)]


def impatient(facts: Facts) -> None:
    """It asks again before the pause that it was told is over."""
    facts.asked = [Asked(at=110.0, process=1, what="throttled", until=130.0), Asked(at=129.0, process=1, what="request")]


def stubborn(facts: Facts) -> None:
    """It sends a token again that was refused."""
    facts.asked = [Asked(at=at, process=1, what="token refused") for at in (110.0, 111.0)]


def part_refused(verdict: str) -> Callable[[Facts], None]:
    """A part is refused, and the run speaks as if it had come."""

    def falsify(facts: Facts) -> None:
        told = event(op="deleted", before=paid())
        facts.deliveries = [delivery(told)] if verdict == "discrepancies" else []
        facts.cuts = [Cut(at=120.0, process=1, domain="orders")]
        facts.parts = [part(10, None)]
        facts.ended = [ended(verdict=verdict)]

    return falsify


def part(low: int | None, high: int | None) -> PartEnd:
    return PartEnd(at=115.0, process=1, domain="orders", low=low, high=high, shard=None)


def gap(facts: Facts) -> None:
    """Two ranges do not meet, and the run is clean."""
    facts.parts = [part(None, 10), part(11, None)]
    facts.ended = [ended(verdict="clean")]


def shard_left_out(facts: Facts) -> None:
    """Of two shards one was asked for, and the run is clean."""
    facts.shards = 2
    facts.parts = [PartEnd(at=115.0, process=1, domain="orders", low=None, high=None, shard="eu")]
    facts.ended = [ended(verdict="clean")]


FALSE: list[tuple[str, Callable[[Facts], None]]] = [
    ("1 no event without real drift", no_drift),
    ("1 no event for what changed while it was looked at", moving),
    ("2 lasting drift is corrected or accounted for", dropped),
    ("3 one id per fact", two_ids),
    ("3 one id per fact", other_bytes),
    ("4 nothing leaves a held run unless it was approved", unapproved),
    ("4 an approval covers what was shown", approved(checksum="fff")),
    ("4 an approval covers what was shown", approved(at=DAY + 1)),
    ("4 an approval covers what was shown", joined),
    ("5 both sides come together once faults stop", apart),
    ("6 clean is said of proven equality only", false_clean),
    ("6 clean is said of proven equality only", unread_clean),
    ("7 doubt never deletes", doubtful),
    ("7 doubt never deletes", told_too_early),
    ("8 an overtaken process delivers no more than what it had in hand", undead),
    ("8 an overtaken process delivers no more than what it had in hand", zombie),
    ("8 fences grow, and a slot has one run", stepped_back),
    ("8 fences grow, and a slot has one run", two_runs),
    ("9 an older event never undoes a newer state", undone),
    ("10 unreadable is not missing, and a mass change is held", mass),
    ("10 unreadable is not missing, and a mass change is held", unreadable),
    ("11 what went wrong is loud", quiet),
    ("11 what went wrong is loud", unanswered),
    ("11 what went wrong is loud", raised),
    ("11 what went wrong is loud", mismatched),
    ("12 a pause that was asked for is kept", impatient),
    ("12 a token that ended costs one request", stubborn),
    ("13 absence is inferred from the whole only", part_refused("clean")),
    ("13 absence is inferred from the whole only", part_refused("discrepancies")),
    ("13 clean is said of parts that make the whole", gap),
    ("13 clean is said of parts that make the whole", shard_left_out),
    *FALSELY_CARRIED,
    *FALSELY_POSTED,
]


def test_a_true_history_is_acquitted() -> None:
    """Of a night with a real correction, and a calm one after it, nothing is condemned."""
    assert judge(calm(night())) == []
    assert judge(calm(carried(night()))) == []
    assert judge(calm(posted(night()))) == []


@pytest.mark.parametrize(("law", "falsify"), FALSE, ids=lambda one: getattr(one, "__name__", "")[:30])
def test_a_false_history_is_condemned(law: str, falsify: Callable[[Facts], None]) -> None:
    """Each false history is condemned, and by the law that it breaks."""
    facts = night()
    falsify(facts)

    assert law in {violation.law for violation in judge(facts)}


def test_an_approval_in_order_is_acquitted() -> None:
    """What went out by an approval of its plan, in time, breaks no law."""
    facts = night()
    approved()(facts)

    assert judge(facts) == []


def test_what_a_killed_process_did_not_write_down_may_be_sent_again() -> None:
    """Who wakes after another process sent an event and was killed before its mark sends it again, and breaks no law."""
    facts = night()
    zombie(facts)
    facts.dead[1], facts.marked = SENT, {}

    assert judge(facts) == []


@pytest.mark.parametrize(("since", "condemned"), [(400.0, False), (0.0, True)], ids=["changed back meanwhile", "stood there all the while"])
def test_an_older_state_over_a_newer_row_of_the_same_values(since: float, condemned: bool) -> None:
    """A row that took the values the event found only after it was sent is no fault of the event; one that stood there newer was."""
    facts = night()
    newer = paid(5, 100)
    facts.target["orders"] = History()
    facts.target["orders"].put(0.0, "k2", paid())
    facts.target["orders"].put(0.0, "k1", paid())
    facts.target["orders"].put(since, "k1", newer)
    facts.applied = [Applied(at=500.0, domain="orders", id="E1", key="k1", before=newer, after=paid(2, 200), careful=True)]

    assert any(one.law.startswith("9 ") for one in judge(facts)) is condemned


def test_every_law_has_its_false_history() -> None:
    """No law is without a history that it must condemn."""
    assert {law for law, _ in FALSE} == set(LAWS)


def test_the_oracle_shares_no_code_with_what_it_judges() -> None:
    """The oracle imports nothing of recon but itself."""
    folder = Path(__file__).parent.parent.parent / "recon/testing/simulation/oracle"
    own = "recon.testing.simulation.oracle"
    found = {
        name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }

    assert {name for name in found if name.split(".")[0] == "recon" and not name.startswith(own)} == set()
