"""The judgement: every law over all the facts of a world. A law is a function that yields what breaks it, in words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from recon.testing.simulation.oracle import asking, carrying, covering, delivering, ending, finding, holding, posting, telling
from recon.testing.simulation.oracle.facts import Facts

Law = Callable[[Facts], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that was broken, and how."""

    law: str
    words: str

    def __str__(self) -> str:
        return f"law {self.law}: {self.words}"


LAWS: dict[str, Law] = {
    "1 no event without real drift": finding.real_drift,
    "1 no event for what changed while it was looked at": finding.nothing_moving,
    "2 lasting drift is corrected or accounted for": finding.nothing_dropped,
    "3 one id per fact": delivering.one_id,
    "3 one fact has one id": carrying.one_fact,
    "4 nothing leaves a held run unless it was approved": holding.held_back,
    "4 an approval covers what was shown": holding.approvals,
    "5 both sides come together once faults stop": ending.converged,
    "6 clean is said of proven equality only": telling.clean_is_clean,
    "7 doubt never deletes": finding.no_doubtful_deletion,
    "8 an overtaken process delivers no more than what it had in hand": delivering.overtaken,
    "8 fences grow, and a slot has one run": delivering.fenced,
    "9 an older event never undoes a newer state": delivering.never_older,
    "10 unreadable is not missing, and a mass change is held": holding.mass_and_unreadable,
    "11 what went wrong is loud": telling.loud,
    "12 a pause that was asked for is kept": asking.pauses_kept,
    "12 a token that ended costs one request": asking.dead_tokens,
    "13 absence is inferred from the whole only": covering.absent_of_whole_only,
    "13 clean is said of parts that make the whole": covering.clean_of_whole_only,
    "14 no event is lost between outbox and consumer": carrying.nothing_lost,
    "14 what counts as confirmed was taken": carrying.confirmed_is_taken,
    "15 the order within a key is kept": carrying.in_order,
    "16 an effect runs once, and a replay changes nothing": carrying.effects_once,
    "17 an older version is told until its sunset": carrying.versions_end,
    "18 a native webhook says what the third party has": posting.as_it_is,
    "18 of what is not shown no native webhook tells": posting.shown_only,
    "19 a native webhook keeps its id": posting.one_webhook_id,
    "20 a native webhook is signed": posting.signed,
    "21 what is told natively heals": posting.heals,
}
"""The laws by their names."""


def judge(facts: Facts) -> list[Violation]:
    """Everything that was violated, in the order of the laws."""
    return [Violation(name, words) for name, law in LAWS.items() for words in law(facts)]
