"""What a campaign must reach: a simulation that never comes to a state proves nothing of it."""

from recon.state.run import TRANSITIONS, RunState
from recon.testing.simulation.consumers import MOODS
from recon.testing.simulation.faults import ITEM_FAULTS, LISTING_FAULTS

STEPS = ("sql", "commit", "committed", "request", "publish", "published", "write", "fsync", "rename", "sleep")

UNREACHABLE = frozenset({
    # The program takes these never, or only where a guard trips at the second look and not at the first; the table of transitions allows them.
    "diffed -> emitted",
    "diffed -> done",
    "diffed -> failed",
    "confirming -> held",
    "confirming -> done",
    "approved -> done",
    "approved -> failed",
    "emitted -> failed",
    "planned -> failed",
})  # fmt: skip
"""Transitions that no campaign is asked to reach."""

WEBHOOKS = ("webhook lost", "webhook twice", "webhook late", "webhook overtaken", "outage")
NIGHTS = ("wiped", "wrong tenant", "clamped", "reads 404", "forbidden", "unreadable", "store away", "listing lag", "key doubled")
DECISIONS = ("approved", "wrong checksum", "rejected", "approved too late", "ignored", "approved twice", "acknowledged", "job edited")
BY_HAND = ("run by hand", "dry run", "look at one", "publish by hand")
SCHEDULE = ("night missed", "caught up", "clock forward", "clock back")
PLACES = ("absence by 404", "absence by 410", "absence by marker", "cursor expired")
VERDICTS = ("clean", "discrepancies", "held", "incomplete", "agrees")

DECLARED: frozenset[str] = frozenset(
    {
        *(f"run {state}" for state in RunState),
        *(f"{before} -> {after}" for before, afters in TRANSITIONS.items() for after in afters),
        *LISTING_FAULTS,
        *ITEM_FAULTS,
        *(f"consumer {mood}" for mood in MOODS if mood != "prompt"),
        *(f"crash at {step}" for step in STEPS),
        *(f"freeze at {step}" for step in STEPS if step != "commit"),
        *WEBHOOKS,
        *NIGHTS,
        *DECISIONS,
        *BY_HAND,
        *SCHEDULE,
        *PLACES,
        *(f"verdict {verdict}" for verdict in VERDICTS),
    }
    - UNREACHABLE
)
"""Everything that must be reached, by the name under which it is counted."""
