"""Laws of what goes out as the third party's own webhooks: what it has, of what it shows, under one id, signed, and healing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from recon.testing.simulation.oracle.common import equal, fields_at, when
from recon.testing.simulation.oracle.facts import UNREADABLE, Facts, Posted
from recon.testing.simulation.oracle.history import Values

TOLERANCE = 300.0
"""The endpoint takes a signature that is so many seconds off."""
SAYS_GONE = ("410", "marker")
"""How an item says itself that it was deleted; a 404 may be an item that is only out of sight."""


def as_it_is(facts: Facts) -> Iterator[str]:
    """What is told of an item, the third party had at some instant between the call and the sending, and it is what the last look in the call showed.

    Where there are versions, the application had nothing newer when the call began.
    """
    looks = _looks(facts)
    for one in facts.posted:
        if one.record is None:
            continue
        look = _last(looks, one)
        if one.record not in [state for _, state in facts.source[one.domain].during(one.key, one.called, one.made)]:
            yield f"{_names(one)}: from {when(one.called)} on the third party never had {one.record}"
        elif look is None or look[1] != one.record:
            yield f"{_names(one)}: that is not what the third party showed before it was sent"
        row = facts.target[one.domain].at(one.key, one.called)
        version = one.record.get("version") or 0
        if facts.native == "versions" and row is not None and version < row["version"]:
            yield f"{_names(one)}: version {version}, and the application had {row['version']} at {when(one.called)}"


def shown_only(facts: Facts) -> Iterator[str]:
    """Of what could not be read in this call nothing is told; a deletion only where it is shown, and by a 404 only where the event says so too."""
    looks = _looks(facts)
    for one in facts.posted:
        look = _last(looks, one)
        if not one.event:
            yield f"{_names(one)}: no event of that item was to be sent"
        elif look is None:
            yield f"{_names(one)}: the item was not read since {when(one.called)}"
        elif look[1] == UNREADABLE:
            yield f"{_names(one)}: nobody can read the item"
        elif one.record is None and look[1] is not None:
            yield f"{_names(one)}: the third party showed the item at {when(look[0])}"
        elif one.record is None and one.op != "deleted" and (look[2] or facts.absence not in SAYS_GONE):
            yield f"{_names(one)}: the event says {one.op}, and a 404 is no deletion"


def one_webhook_id(facts: Facts) -> Iterator[str]:
    """However often an event is sent, its webhook has the same id, which no other event's has."""
    ids: dict[str, Posted] = {}
    events: dict[str, Posted] = {}
    for one in facts.posted:
        if one.event and (other := ids.setdefault(one.event, one)).webhook != one.webhook:
            yield f"{_names(one)}: it had the id {other.webhook} at {when(other.at)}, and has {one.webhook} now"
        if (other := events.setdefault(one.webhook, one)).event != one.event:
            yield f"{_names(one)}: that id was another event's at {when(other.at)}"


def signed(facts: Facts) -> Iterator[str]:
    """A signature is of these bytes, of this moment by the sender's clock, and taken where the secret and the clock are right."""
    for one in facts.posted:
        if not one.fits:
            yield f"{_names(one)}: its signature is not of these bytes and the secret that the sender has"
        if one.off > 1.0:
            yield f"{_names(one)}: its signature is of another time than its sending, {one.off:.0f} s away"
        if one.verdict == "refused" and one.current and one.skew + (one.at - one.made) < TOLERANCE - 1:
            yield f"{_names(one)}: refused for its {one.why}, and nothing was wrong with secret and clock"


def heals(facts: Facts) -> Iterator[str]:
    """What the endpoint took in for good it knows how to handle; and what it wrote is what the third party has, unless that has changed since."""
    first: dict[str, Posted] = {}
    for one in facts.posted:
        first.setdefault(one.webhook, one)
        if one.verdict == "strange" and one.status is not None and 200 <= one.status < 300:
            yield f"{_names(one)}: the endpoint took it in, and can make nothing of it: {one.why}"
    for applied in facts.applied:
        sent = first.get(applied.id)
        if sent is None or not facts.source[applied.domain].constant(applied.key, sent.called, applied.at):
            continue
        now = facts.source[applied.domain].at(applied.key, applied.at)
        if not equal(applied.after, now, fields_at(facts, sent.process)):
            yield f"{_names(sent)}: at {when(applied.at)} it made the row {applied.after}, and the third party has {now}"


Look = tuple[float, Values | Mapping[str, object], bool]


def _looks(facts: Facts) -> Mapping[tuple[int, str, str], list[Look]]:
    """By process, domain and key what was shown of items that were to be told of: when, what, and whether that answer was a false one."""
    found: dict[tuple[int, str, str], list[Look]] = defaultdict(list)
    for look in facts.shown:
        if look.place == "letter":
            for key, held in look.items:
                found[look.process, look.domain, key].append((look.at, held, bool(look.fault)))
    return found


def _last(looks: Mapping[tuple[int, str, str], list[Look]], posted: Posted) -> Look | None:
    """The last look at the item in the call that sent this."""
    mine = [look for look in looks.get((posted.process, posted.domain, posted.key), ()) if posted.called <= look[0] <= posted.made]
    return mine[-1] if mine else None


def _names(one: Posted) -> str:
    told = "deleted" if one.record is None else "so"
    return f"the webhook {one.webhook[:8]}, {one.domain} {one.key} is {told}, by p{one.process} at {when(one.at)}"
