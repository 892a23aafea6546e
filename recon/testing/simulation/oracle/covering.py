"""Laws of coverage: what was fetched in parts is whole only where the parts make the whole, and nothing is absent from what is not whole."""

from collections.abc import Iterator

from recon.testing.simulation.oracle.common import number, when, whole_runs
from recon.testing.simulation.oracle.facts import Ended, Facts, PartEnd

KEPT = 8 * 3600.0
"""Parts that an earlier run of the night landed may be gone on with; not for longer."""


def absent_of_whole_only(facts: Facts) -> Iterator[str]:
    """A run from which a part was kept, and that was not given the whole instead, tells of no deletion and is not clean."""
    for cut in facts.cuts:
        for run in whole_runs(facts, cut.domain):
            if run.process != cut.process or not run.began <= cut.at <= run.ended or _covered(facts, run):
                continue
            if run.verdict == "clean":
                yield f"run {run.run} of {run.domain} is clean, and a part of the listing was refused at {when(cut.at)}"
            told = [one for one in facts.deliveries if one.event["reconrunid"] == run.run and one.event["data"]["op"] == "deleted"]
            if told or number(run.figures, "extra"):
                yield f"run {run.run} of {run.domain} finds absence, and a part of the listing was refused at {when(cut.at)}"


def clean_of_whole_only(facts: Facts) -> Iterator[str]:
    """What is called clean was asked for from open to open, or shard by shard, to the last page of each."""
    for domain in sorted({one.domain for one in facts.parts}):
        for run in whole_runs(facts, domain):
            if run.verdict == "clean" and not _covered(facts, run):
                yield f"run {run.run} of {domain} at {when(run.ended)} is clean, and the parts that ended leave a gap"


def _covered(facts: Facts, run: Ended) -> bool:
    """Whether what ended in the time of the run, and before it where it may be gone on with, is the whole."""
    begin = facts.rows[run.run].started - KEPT if run.run in facts.rows else run.began - KEPT
    ended = [one for one in facts.parts if one.domain == run.domain and begin <= one.at <= run.ended]
    if any(one.low is None and one.high is None and one.shard is None for one in ended):
        return True
    shards = {one.shard for one in ended if one.shard is not None}
    return len(shards) == facts.shards if facts.shards else _meets(ended)


def _meets(ended: list[PartEnd]) -> bool:
    """Whether the ranges reach from open to open without a gap."""
    lows = [one for one in ended if one.low is None]
    if not lows:
        return False
    edge = max((one.high for one in lows if one.high is not None), default=None)
    while edge is not None:
        reached = [one for one in ended if one.low is not None and one.low <= edge and (one.high is None or one.high > edge)]
        if not reached:
            return False
        highs = [one.high for one in reached]
        edge = None if None in highs else max(high for high in highs if high is not None)
    return True
