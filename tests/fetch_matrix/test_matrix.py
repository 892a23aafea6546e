"""Each fault x each page x each paging kind: in every case the certificate tells the truth."""

import functools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from recon.testing.faultlab import Fault
from recon.testing.faultlab.trial import Servers, Subject, Trial, servers
from tests.faults.results import record
from tests.fetch_matrix.kinds import CONNECTIONS, KINDS, PARTS, subject

EVERY = [*KINDS, *PARTS, *CONNECTIONS]


@dataclass(frozen=True)
class Case:
    fault: Fault
    kind: str
    place: str
    subject: Subject


@dataclass
class Lab:
    """The servers of all cases, and what came of them."""

    servers: Servers
    trials: list[Trial] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One for all; at its end its figures are written down."""
    with servers() as both:
        one = Lab(both)
        yield one
    outcomes = Counter(trial.outcome for trial in one.trials)
    note = ", ".join(f"{outcome} {count:,}" for outcome, count in outcomes.most_common())
    held = sum(not trial.wrongs for trial in one.trials)
    record("faults on pages of a listing", held, len(one.trials), seconds=time.monotonic() - one.began, note=note)


def cases(kind: str) -> list[Case]:
    """Every fault on every page that it means something for."""
    subjects = {slow: subject(kind, slow=slow) for slow in (False, True)}
    return [Case(fault, kind, place, subjects[fault.slow]) for fault in subjects[False].faults for place in subjects[False].places(fault)]


@functools.cache
def word(kind: str) -> str:
    """The paging kind as the faults name it."""
    return subject(kind).kind


def covering(kind: str) -> list[Case]:
    """Of the product, each fault once with each kind: its pages take turns from kind to kind, and where there are fewer kinds, all of them."""
    places: dict[str, list[Case]] = {}
    for case in cases(kind):
        places.setdefault(case.fault.name, []).append(case)
    picked: list[Case] = []
    for at, those in enumerate(places.values()):
        fault = those[0].fault
        # What waits for silence waits in real seconds: of that, every seventh.
        if fault.slow and (EVERY.index(kind) + at) % 7:
            continue
        kinds = [one for one in EVERY if word(one) in fault.kinds]
        picked += those if len(kinds) < len(those) else [those[kinds.index(kind) % len(those)]]
    return picked


def tried(chosen: list[Case], lab: Lab) -> None:
    """Runs them; each law that was broken is named with its case."""
    trials = [Trial(case.subject, case.fault, case.place, lab.servers).run() for case in chosen]
    lab.trials += trials
    wrongs = [str(wrong) for trial in trials for wrong in trial.wrongs]
    assert not wrongs, f"{len(wrongs)} laws broken:\n" + "\n".join(wrongs[:60])


@pytest.mark.parametrize("kind", EVERY)
def test_each_fault_on_a_page_of_this_kind(kind: str, lab: Lab) -> None:
    """Whatever a page does, whole is only said of what is whole, and what is not is named; nothing is made up, and the credential stays at home."""
    tried(covering(kind), lab)


SEED = 20261125


def several(kind: str, rng: random.Random) -> list[tuple[Fault, str]]:
    """A fault for each of two or three pages of one list; none that waits for silence."""
    one = subject(kind)
    open_to = {
        place: [fault for fault in one.faults if not fault.slow and place in one.places(fault)] for place in ("first", "middle", "last")
    }
    places = rng.sample(list(open_to), rng.choice((2, 3)))
    return [(rng.choice(open_to[place]), place) for place in places]


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind != "single"])
def test_several_faults_in_one_listing(kind: str, lab: Lab) -> None:
    """Faults that come together are held to the same laws: drawn by a seed, ten listings of each kind."""
    rng = random.Random(f"{SEED} {kind}")
    print(f"seed {SEED} {kind}")
    trials = []
    for _ in range(10):
        (fault, place), *others = several(kind, rng)
        trials.append(Trial(subject(kind), fault, place, lab.servers, others).run())
    wrongs = [str(wrong) for trial in trials for wrong in trial.wrongs]
    assert not wrongs, "\n".join(wrongs)


@pytest.mark.soak
@pytest.mark.parametrize("kind", EVERY)
def test_each_fault_on_each_page_of_this_kind(kind: str, lab: Lab) -> None:
    """The whole product of what the covering part tries."""
    tried(cases(kind), lab)
