"""For a guard that is simply set too low: which key to raise, and to what. Said last, since it holds for every night to come."""

from math import ceil, floor, log10

from recon.report.figures import GuardFigure

MOST_SHARE = 0.5
"""A limit above half of everything guards nothing any more; beyond it none is suggested."""

MOST_FLOOR = 200
"""The floor serves small tables; a count above this is no reason to raise it."""


def raising(guard: GuardFigure, domain: str) -> str:
    """`extra = 0.25 under [jobs.orders.guard] in recon.toml (now 0.02)`, the least round limit that lets the figure pass.

    Empty where there is no such limit: an empty source is always held, and so is what would be most of the target.
    """
    if guard.name == "total":
        return f"total = {_round_up(guard.count):,} under [guards] in recon.toml (now {guard.of:,})".replace(",", "_")
    if guard.name == "empty" or not guard.of:
        return ""
    place = f"under [jobs.{domain}.guard] in recon.toml"
    share = _share(guard)
    if share <= MOST_SHARE:
        return f"{guard.name} = {share:g} {place} (now {guard.limit:g})"
    if guard.floor and guard.count <= MOST_FLOOR:
        return f"floor = {guard.count} {place} (now {guard.floor})"
    return ""


def _share(guard: GuardFigure) -> float:
    """The count as a share, rounded up to two digits that mean something."""
    places = 1 - floor(log10(guard.count / guard.of))
    steps = ceil(guard.count / guard.of * 10.0**places)
    # What trips is compared as a product, and rounding must not leave the suggestion a hair below it.
    while steps / 10.0**places * guard.of < guard.count:
        steps += 1
    return steps / 10.0**places


def _round_up(count: int) -> int:
    step = 10 ** max(0, len(str(count)) - 2)
    return int(ceil(count / step) * step)
