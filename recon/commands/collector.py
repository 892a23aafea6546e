"""The cyclic garbage collector, set for a run: it makes hundreds of thousands of small objects that hold no cycles."""

import gc

YOUNG, MIDDLE, OLD = 100_000, 50, 50


def relax() -> None:
    """Collects seldom from here on.

    The default looks at the young objects after every 700 new ones, which a reader of rows makes in a moment: of a night over
    200,000 records a fifteenth was spent on it. https://docs.python.org/3/library/gc.html#gc.set_threshold
    """
    gc.set_threshold(YOUNG, MIDDLE, OLD)
