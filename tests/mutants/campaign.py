"""Every safety mechanism taken out, alone and in pairs: does the suite notice?

    python -m tests.mutants.campaign                    each alone, with the table mechanism -> killer
    python -m tests.mutants.campaign --pairs            every pair too; --sample N and --draw SEED for some of them
    python -m tests.mutants.campaign --find             looks for seeds of the simulation anew and writes seeds.json
    python -m tests.mutants.campaign --json FILE        the figures, as the page on reliability takes them

Each trial is a child of this process, forked once everything is imported: quick, and whatever a mutant does ends with its child. A
mutant is killed when its killer fails: a named test, or the simulation's oracle under a recorded seed, which says nothing when
nothing is taken out (`--controls`, and the suite itself for the tests).
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.faults.results import record
from tests.mutants.killers import SEARCHES, SEEDS, TESTS, Search, Seed, Test, seeds
from tests.mutants.mechanisms import MECHANISMS, removed

Killer = Seed | Test
PATIENCE = 90.0
"""Seconds after which a trial is given up: the mutant is not counted as killed."""
TRIED = 32
"""Seeds that are tried for each mechanism."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """These mechanisms gone, and this killer asked."""

    gone: tuple[str, ...]
    killer: Killer


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a trial: `killed`, `survived`, or `broken` (neither can be said), in words, and in how many seconds."""

    trial: Trial
    outcome: str
    words: str
    seconds: float


# -- one trial -----------------------------------------------------------------------------------------------------------------


def ask(trial: Trial) -> tuple[str, str]:
    """The trial itself, in a child of its own."""
    if isinstance(trial.killer, Seed):
        return _simulated(trial.gone, trial.killer)
    return _tested(trial.gone, trial.killer)


def _simulated(gone: Sequence[str], killer: Seed) -> tuple[str, str]:
    from recon.testing.simulation.run import run_world
    from recon.testing.simulation.world import World

    world = World(name="mutants", **{name: tuple(value) if isinstance(value, list) else value for name, value in killer.world.items()})
    with removed(*gone):
        found = run_world(world, killer.seed, nights=killer.nights).violations
    return ("killed", str(found[0].law)) if found else ("survived", "")


def _tested(gone: Sequence[str], killer: Test) -> tuple[str, str]:
    import pytest

    os.environ["RECON_WITHOUT"] = ",".join(gone)
    told = io.StringIO()
    options = ["-x", "-q", "--no-header", "--assert=plain", "-o", "addopts=--import-mode=importlib"]
    options += ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.mutants.plugin"]
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = pytest.main([*options, killer.id])
    last = [line for line in told.getvalue().splitlines() if line.strip()]
    failed = [line for line in last if line.startswith("E  ")][:1] if code == 1 else last[-12:]
    return {0: "survived", 1: "killed"}.get(int(code), "broken"), "\n".join(failed)


# -- many at once, each in a child ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Child:
    """A trial under way."""

    trial: Trial
    pid: int
    pipe: int
    begun: float


def run(trials: Iterable[Trial], jobs: int) -> Iterator[Verdict]:
    """The trials' verdicts as they come, at most `jobs` at a time."""
    waiting, open_ = iter(trials), {}
    while True:
        while len(open_) < jobs and (trial := next(waiting, None)) is not None:
            child = _forked(trial)
            open_[child.pipe] = child
        if not open_:
            return
        ready, _, _ = select.select(list(open_), [], [], 1.0)
        late = [pipe for pipe, child in open_.items() if pipe not in ready and time.monotonic() - child.begun > PATIENCE]
        for pipe in [*ready, *late]:
            yield _ended(open_.pop(pipe), late=pipe in late)


def _forked(trial: Trial) -> Child:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return Child(trial, pid, reading, time.monotonic())
    # The child: whatever happens, it answers once and ends here.
    os.setsid()
    os.close(reading)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    try:
        answer = ask(trial)
    except BaseException as error:
        answer = "broken", f"{type(error).__name__}: {error}"
    os.write(writing, json.dumps(answer).encode()[:60_000])
    os._exit(0)


def _ended(child: Child, *, late: bool) -> Verdict:
    if late:
        os.killpg(child.pid, signal.SIGKILL)
    text = b"".join(iter(lambda: os.read(child.pipe, 65_536), b"")) if not late else b""
    os.close(child.pipe)
    os.waitpid(child.pid, 0)
    outcome, words = json.loads(text) if text else ("broken", f"no answer within {PATIENCE:g} s" if late else "the child died")
    return Verdict(trial=child.trial, outcome=outcome, words=words, seconds=round(time.monotonic() - child.begun, 2))


# -- which trials --------------------------------------------------------------------------------------------------------------


def killers_of(name: str) -> list[Killer]:
    """What notices that the mechanism is gone, the quickest first: its named test, then its recorded seed."""
    found: list[Killer] = [Test(id=TESTS[name])] if name in TESTS else []
    return found + ([seeds()[name]] if name in seeds() else [])


def alone() -> list[Trial]:
    """Each mechanism gone, each of its killers asked."""
    return [Trial(gone=(name,), killer=killer) for name in MECHANISMS for killer in killers_of(name)]


def controls() -> list[Trial]:
    """Nothing gone: the recorded seeds must be silent then."""
    return [Trial(gone=(), killer=seed) for seed in seeds().values()]


def pairs(sample: int | None, draw: int) -> list[tuple[str, str]]:
    """Every pair of mechanisms, or some of them drawn."""
    every = list(itertools.combinations(MECHANISMS, 2))
    return every if sample is None else random.Random(draw).sample(every, min(sample, len(every)))


def pair_trials(chosen: Sequence[tuple[str, str]], jobs: int) -> Iterator[Verdict]:
    """Each pair gone: the one's killers are asked, and where none notices, the other's, until one does. The last word of each pair is answered."""
    left = {pair: [*killers_of(pair[0]), *killers_of(pair[1])] for pair in chosen}
    while left:
        trials = [Trial(gone=pair, killer=killers.pop(0)) for pair, killers in left.items()]
        for verdict in run(trials, jobs):
            pair: Any = verdict.trial.gone
            if verdict.outcome == "killed" or not left[pair]:
                del left[pair]
                yield verdict


# -- looking for seeds ---------------------------------------------------------------------------------------------------------


def find(names: Sequence[str], jobs: int, say: Callable[[str], None]) -> dict[str, Seed]:
    """For each mechanism a seed under which the oracle speaks up without it, and is silent with it, written down as it is found."""
    found = {}
    for name in names:
        search: Search = SEARCHES[name]
        for first in range(0, TRIED, 2 * jobs):
            tries = [Seed(world=search.world, seed=seed, nights=search.nights) for seed in range(first, first + 2 * jobs)]
            spoken = [v for v in run([Trial(gone=(name,), killer=one) for one in tries], jobs) if v.outcome == "killed"]
            silent = [v.trial.killer for v in run([Trial(gone=(), killer=v.trial.killer) for v in spoken], jobs) if v.outcome == "survived"]
            kept = [v for v in spoken if v.trial.killer in silent]
            if kept:
                best = min(kept, key=lambda v: v.seconds)
                found[name] = replace(best.trial.killer, law=best.words)  # type: ignore[arg-type]  # only seeds are looked for
                break
        say(f"{name}: {found[name].words() if name in found else f'none of {TRIED} seeds'}")
        SEEDS.write_text(json.dumps({one: asdict(seed) for one, seed in sorted({**seeds(), **found}.items())}, indent=1) + "\n")
    return found


# -- the command ---------------------------------------------------------------------------------------------------------------


def figures(singles: Sequence[Verdict], paired: Sequence[Verdict] | None) -> list[dict[str, str]]:
    """N of N and M of M, as the page on reliability takes them."""
    dead = {verdict.trial.gone for verdict in singles if verdict.outcome == "killed"}
    told = [
        {"name": "safety mechanisms removed alone, noticed", "figure": f"{len(dead)} of {len({verdict.trial.gone for verdict in singles})}"}
    ]
    if paired is not None:
        killed = sum(verdict.outcome == "killed" for verdict in paired)
        told.append({"name": "pairs of safety mechanisms removed, noticed", "figure": f"{killed} of {len(paired)}"})
    return told


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """Mechanism -> killer, a line each; what was not noticed in full."""
    wide = max((len(" + ".join(v.trial.gone)) for v in verdicts), default=0)
    lines = []
    for verdict in sorted(verdicts, key=lambda v: v.trial.gone):
        name = " + ".join(verdict.trial.gone) or "nothing"
        lines.append(f"{name:<{wide}}  {verdict.outcome:<8}  {verdict.seconds:>5.1f} s  {verdict.trial.killer.words()}")
        lines += [f"    {line}" for line in verdict.words.splitlines()] if verdict.outcome == "broken" else []
    return lines


def warm() -> None:
    """Imports what every child needs, and starts nothing: no engine, no thread may be there when a child is forked."""
    import pytest  # noqa: F401 - imported for the children

    import recon.run
    import recon.testing.simulation.run  # noqa: F401 - likewise
    import tests.integration.state.world  # noqa: F401 - likewise


def main(words: Sequence[str]) -> int:
    """The command; 1 where a mutant survived or a trial was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.campaign")
    parser.add_argument("--only", nargs="*", default=list(MECHANISMS), help="these mechanisms")
    parser.add_argument("--pairs", action="store_true", help="every pair too")
    parser.add_argument("--sample", type=int, help="so many pairs, drawn")
    parser.add_argument("--draw", type=int, default=1, help="the seed that the pairs are drawn by")
    parser.add_argument("--controls", action="store_true", help="the recorded seeds with nothing gone, too")
    parser.add_argument("--find", action="store_true", help="look for seeds of the simulation anew")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write figures and verdicts there")
    asked = parser.parse_args(words)
    began = time.monotonic()
    warm()
    if asked.find:
        find([name for name in SEARCHES if name in asked.only], asked.jobs, print)
        return 0
    singles = list(run([trial for trial in alone() if trial.gone[0] in asked.only], asked.jobs))
    silent = list(run(controls(), asked.jobs)) if asked.controls else []
    chosen = pairs(asked.sample, asked.draw) if asked.pairs or asked.sample else None
    paired = list(pair_trials(chosen, asked.jobs)) if chosen is not None else None
    for line in table([*singles, *silent, *(v for v in paired or () if v.outcome != "killed")]):
        print(line)
    told = figures(singles, paired)
    for one in told:
        figure, of = (int(number) for number in one["figure"].split(" of "))
        draw = asked.draw if asked.sample and one["name"].startswith("pairs") else None
        record(one["name"], figure, of, seconds=time.monotonic() - began, seed=draw)
    if asked.json:
        every = [{**asdict(v), "killer": v.trial.killer.words()} for v in [*singles, *silent, *(paired or ())]]
        asked.json.write_text(json.dumps({"figures": told, "verdicts": every}, indent=1))
    noticed = {v.trial.gone for v in singles if v.outcome == "killed"}
    alive = [v for v in [*singles, *(paired or ())] if v.outcome == "broken" or (v.outcome != "killed" and v.trial.gone not in noticed)]
    alive += [v for v in silent if v.outcome != "survived"]
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
