"""What a range is called: a person reads it at night, in the reason why a part could not be had."""

from recon.clock import SystemClock
from recon.fetch.narrowing import Ranges
from recon.fetch.planning import RangePlan


def test_ranges_are_named_in_words() -> None:
    """The topmost is `from … on`, the lowest `before …`, one between `… to …`."""
    plan = RangePlan(ranges=Ranges(at="n", low="from", high="to", form="integer"), now=int(SystemClock().now().timestamp()))
    first = plan.following([])
    assert first is not None
    assert first.name == "n before 5000"
    halves = plan.split(first)
    assert halves is not None
    assert halves[0].name.startswith("n before ")
    assert halves[1].name.endswith(" to 5000")
