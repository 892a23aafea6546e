"""Laws of asking: a pause that was asked for is kept, and a token that ended is not sent again."""

from collections.abc import Iterator

from recon.testing.simulation.oracle.common import when
from recon.testing.simulation.oracle.facts import Facts


def pauses_kept(facts: Facts) -> Iterator[str]:
    """Who was told to wait sends nothing before it was to."""
    until: dict[int, float] = {}
    for one in facts.asked:
        if one.what == "throttled":
            until[one.process] = max(until.get(one.process, 0.0), one.until)
        elif one.what == "request" and one.at < until.get(one.process, 0.0) - 1e-6:
            yield f"p{one.process} asked at {when(one.at)}, and had been told to wait until {when(until[one.process])}"


def dead_tokens(facts: Facts) -> Iterator[str]:
    """A token that ended costs one request: between two refusals lies another token."""
    refused: dict[int, float] = {}
    for one in facts.asked:
        if one.what == "token":
            refused.pop(one.process, None)
        elif one.what == "token refused":
            if one.process in refused:
                yield f"p{one.process} sent at {when(one.at)} a token that was refused at {when(refused[one.process])} already"
            refused[one.process] = one.at
