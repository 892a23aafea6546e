"""What a campaign must reach: a simulation that never comes to a state proves nothing of it."""

from recon.state.run import TRANSITIONS, RunState
from recon.testing.simulation.broker import BROKER_MOODS, FATES
from recon.testing.simulation.consumers import MOODS
from recon.testing.simulation.faults import ITEM_FAULTS, LISTING_FAULTS
from recon.testing.simulation.posts import ENDPOINT_MOODS

STEPS = ("sql", "commit", "committed", "request", "publish", "published", "write", "fsync", "rename", "sleep")

UNREACHABLE = frozenset({
    # The second look comes between, always, even where there is nothing to look at.
    "diffed -> emitted",
    # A run is done when its figures are written down, and only as emitted: with an empty plan too.
    "diffed -> done",
    "confirming -> done",
    "approved -> done",
    # An error leaves what is emitted or approved as it is, for the next run to finish.
    "emitted -> failed",
    "approved -> failed",
    # Between the comparison and the second look there is only the settle time; a full disk is not among this world's faults.
    "diffed -> failed",
})  # fmt: skip
"""Transitions that the table allows and no campaign is asked to reach, each with its reason."""

WEBHOOKS = ("webhook lost", "webhook twice", "webhook late", "webhook overtaken", "outage")
NIGHTS = ("wiped", "wrong tenant", "clamped", "reads 404", "forbidden", "unreadable", "store away", "listing lag", "key doubled")
DECISIONS = ("approved", "wrong checksum", "rejected", "approved too late", "ignored", "approved twice", "acknowledged", "job edited")
BY_HAND = ("run by hand", "dry run", "look at one", "publish by hand")
SCHEDULE = ("night missed", "caught up", "clock forward", "clock back")
GATEWAY = ("over the limit", "token died", "token ends early")
PARTS = ("filter ignored", "part refused", "second pass of a part")
PLACES = ("absence by 404", "absence by 410", "absence by marker", "cursor expired", "key gone")
READS = ("page unchanged", "several by id", "several cut short")
GUARDS = ("missing", "extra", "changed", "same_field", "shrunken", "empty", "week", "total")
FOUND = ("in flight", "deletion waits", "stamped ahead")
BROKER = (
    "broker drops a repeat",
    "broker takes a repeat",
    "effect fails",
    "replayed",
    "version raised",
    "told in an older version",
    "sunset",
)
NATIVE = (
    "secret rotated",
    "letter applied",
    "letter older",
    "letter seen",
    "letter refused: signature",
    "letter refused: late",
    "letter not sent",
    "changed since the plan",
    "gone since the plan",
    "back since the plan",
    "changed on the way",
)
ANSWERS = ("applied", "older", "seen")
VERDICTS = ("clean", "discrepancies", "held", "incomplete", "agrees")

DECLARED: frozenset[str] = frozenset(
    {
        *(f"run {state}" for state in RunState),
        *(f"{before} -> {after}" for before, afters in TRANSITIONS.items() for after in afters),
        *LISTING_FAULTS,
        *ITEM_FAULTS,
        *(f"consumer {mood}" for mood in MOODS if mood != "prompt"),
        *(f"broker {mood}" for mood in BROKER_MOODS if mood != "prompt"),
        *(f"endpoint {mood}" for mood in ENDPOINT_MOODS if mood != "prompt"),
        *NATIVE,
        *(f"consumer dies {fate}" for fate in FATES),
        *BROKER,
        *(f"applier {answer}" for answer in ANSWERS),
        *(f"crash at {step}" for step in STEPS),
        *(f"freeze at {step}" for step in STEPS),
        *WEBHOOKS,
        *NIGHTS,
        *DECISIONS,
        *BY_HAND,
        *SCHEDULE,
        *PLACES,
        *GATEWAY,
        *PARTS,
        *READS,
        *(f"guard {guard}" for guard in GUARDS),
        *FOUND,
        *(f"verdict {verdict}" for verdict in VERDICTS),
    }
    - UNREACHABLE
)
"""Everything that must be reached, by the name under which it is counted."""
