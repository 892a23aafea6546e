"""What the outbox says of the destinations: events that wait, that were refused for good, and a backlog that has grown too large."""

from collections.abc import Iterator

from recon.clock import iso
from recon.doctor.check import Check, ok, warn
from recon.project import Project


def delivery(project: Project) -> Iterator[Check]:
    """A warning for each destination that lacks events, and one for dead letters."""
    from recon.outbox import DeadLetters, Outbox
    from recon.outbox.standing import standings
    from recon.state.database import State

    with State.open(project.state_url) as state:
        waiting, down = Outbox(state).waiting(), standings(state)
        dead = DeadLetters(state).count()
    most = project.settings.delivery.backlog
    for name in dict.fromkeys(one.publisher for one in waiting):
        mine = [one for one in waiting if one.publisher == name]
        count = sum(one.count for one in mine)
        said = f"; it was down when it was last asked, since {iso(down[name].since)} ({down[name].failures} tries)" if name in down else ""
        much = f"; that is more than [delivery] backlog allows ({most:,})" if count > most else ""
        since = iso(min(one.oldest for one in mine))
        yield warn(
            "delivery", f"{name}: {count:,} events wait, the oldest since {since}{said}{much}", "mend the destination, then: recon publish"
        )
    if dead:
        yield warn("delivery", f"{dead:,} events were refused for good", "recon dead list says why; then recon dead redrive or discard")
    if not waiting and not dead:
        yield ok("delivery", "no event waits, and none was refused for good")
