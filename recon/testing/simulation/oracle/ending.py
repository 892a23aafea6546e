"""The law of the end: once nothing goes wrong any more, both sides come together, and the last night says so."""

from collections.abc import Iterator

from recon.testing.simulation.oracle.common import equal, when, whole_runs
from recon.testing.simulation.oracle.facts import Facts


def converged(facts: Facts) -> Iterator[str]:
    """The last run of each domain is clean, and every key is alike on both sides."""
    if facts.calm == float("inf"):
        return
    for domain in facts.source:
        runs = [run for run in whole_runs(facts, domain) if run.began >= facts.calm]
        if not runs:
            yield f"{domain}: no run came to its end after {when(facts.calm)}"
            continue
        last = runs[-1]
        source, target = facts.source[domain], facts.target[domain]
        apart = [
            key
            for key in sorted({*source.keys(), *target.keys()})
            if not equal(source.at(key, last.ended), target.at(key, last.ended), last.fields)
        ]
        if apart:
            yield f"{domain}: {', '.join(apart)} still differ after {when(last.ended)}"
        if last.verdict != "clean" or last.exit_code:
            yield f"{domain}: the last night, at {when(last.ended)}, is {last.verdict}, exit {last.exit_code}"
