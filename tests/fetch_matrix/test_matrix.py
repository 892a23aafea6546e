"""Each fault x each page x each paging kind: in every case the certificate tells the truth."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from recon.testing.fault_server import FaultServer
from tests.faults.results import record
from tests.fetch_matrix.case import Case, Lab, Result, cases, run
from tests.fetch_matrix.kinds import KINDS


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The servers of all cases."""
    with FaultServer() as home, FaultServer() as foreign:
        found = Lab(home, foreign, Path(tmp_path_factory.mktemp("spools")))
        home.site = found.site
        yield found


def covering(all_of_them: list[Case]) -> list[Case]:
    """Of the product, each fault once with each kind; the pages take turns, so that each fault meets each of its pages too."""
    chosen: dict[tuple[str, str], list[Case]] = {}
    for case in all_of_them:
        chosen.setdefault((case.fault.name, case.kind), []).append(case)
    turns: Counter[str] = Counter()
    picked = []
    for (fault, _), places in chosen.items():
        picked.append(places[turns[fault] % len(places)])
        turns[fault] += 1
    # What waits for silence waits in real seconds: three kinds of it are enough.
    slow: Counter[str] = Counter()
    return [case for case in picked if not case.fault.slow or (slow.update([case.fault.name]) or slow[case.fault.name] % 5 == 1)]


def tried(chosen: list[Case], lab: Lab, name: str) -> list[Result]:
    """Runs them, and says what they came to."""
    began = time.monotonic()
    results = [run(case, lab) for case in chosen]
    wrongs = [wrong for result in results for wrong in result.wrongs]
    outcomes = Counter(result.outcome for result in results)
    note = ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common())
    held = sum(not result.wrongs for result in results)
    record(name, held, len(results), seconds=time.monotonic() - began, note=note)
    assert not wrongs, f"{len(wrongs)} laws broken:\n" + "\n".join(wrongs[:60])
    return results


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_on_a_page_of_this_kind(kind: str, lab: Lab) -> None:
    """Whatever a page does, whole is only said of what is whole, and what is not is named; nothing is made up, and the credential stays at home."""
    tried([case for case in covering(cases()) if case.kind == kind], lab, f"fetch faults: {kind}")


@pytest.mark.soak
def test_each_fault_on_each_page_of_each_kind(lab: Lab) -> None:
    """The whole product of what the covering part tries."""
    tried(cases(), lab, "fetch faults: each fault x each page x each kind")
