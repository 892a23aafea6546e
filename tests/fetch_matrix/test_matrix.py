"""Each fault x each page x each paging kind: in every case the certificate tells the truth."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from recon.testing.faultlab import FAULTS, Fault
from recon.testing.faultlab.trial import Servers, Subject, Trial, servers
from tests.faults.results import record
from tests.fetch_matrix.kinds import KINDS, subject


@dataclass(frozen=True)
class Case:
    fault: Fault
    kind: str
    place: str
    subject: Subject


@pytest.fixture(scope="module")
def lab() -> Iterator[Servers]:
    """The servers of all cases."""
    with servers() as both:
        yield both


def cases(kind: str) -> list[Case]:
    """Every fault on every page that it means something for."""
    subjects = {slow: subject(KINDS[kind], slow=slow) for slow in (False, True)}
    return [Case(fault, kind, place, subjects[fault.slow]) for fault in FAULTS for place in subjects[False].places(fault)]


def covering(kind: str) -> list[Case]:
    """Of the product, each fault once with each kind; the pages take turns from kind to kind, so that each fault meets each of its pages."""
    turn = list(KINDS).index(kind)
    places: dict[str, list[Case]] = {}
    for case in cases(kind):
        places.setdefault(case.fault.name, []).append(case)
    picked = [those[(turn + at) % len(those)] for at, those in enumerate(places.values())]
    # What waits for silence waits in real seconds: of that, every fifth.
    return [case for at, case in enumerate(picked) if not case.fault.slow or (turn + at) % 5 == 0]


def tried(chosen: list[Case], lab: Servers, name: str) -> None:
    """Runs them, and says what they came to."""
    began = time.monotonic()
    trials = [Trial(case.subject, case.fault, case.place, lab).run() for case in chosen]
    wrongs = [str(wrong) for trial in trials for wrong in trial.wrongs]
    outcomes = Counter(trial.outcome for trial in trials)
    note = ", ".join(f"{outcome} {count:,}" for outcome, count in outcomes.most_common())
    record(name, sum(not trial.wrongs for trial in trials), len(trials), seconds=time.monotonic() - began, note=note)
    assert not wrongs, f"{len(wrongs)} laws broken:\n" + "\n".join(wrongs[:60])


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_on_a_page_of_this_kind(kind: str, lab: Servers) -> None:
    """Whatever a page does, whole is only said of what is whole, and what is not is named; nothing is made up, and the credential stays at home."""
    tried(covering(kind), lab, f"fetch faults, {kind}")


@pytest.mark.soak
def test_each_fault_on_each_page_of_each_kind(lab: Servers) -> None:
    """The whole product of what the covering part tries."""
    tried([case for kind in KINDS for case in cases(kind)], lab, "fetch faults: each fault x each page x each kind")
