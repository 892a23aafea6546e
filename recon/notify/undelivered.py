"""Destinations that lack events: told once while that lasts and again every `[notify] remind`, and anew when it comes again."""

from recon.clock import iso
from recon.duration import words_of
from recon.notify.notice import Notice
from recon.notify.notices import Notices
from recon.notify.telling import tell
from recon.outbox import Outbox, Waiting
from recon.project import Project
from recon.report.words import plural
from recon.state.database import State

KIND = "undelivered"


def tell_undelivered(project: Project, state: State) -> str | None:
    """Tells of each destination at which events wait that were tried, by whoever looks; answers why it could not, or None."""
    lacking: dict[str, list[Waiting]] = {}
    for one in Outbox(state).waiting():
        lacking.setdefault(one.publisher, []).append(one)
    lacking = {name: waiting for name, waiting in lacking.items() if any(one.attempts for one in waiting)}
    Notices(state).close(KIND, but=lacking)
    for name, waiting in lacking.items():
        why = tell(project, state, _notice(project, state, name, waiting), again=project.settings.notify.remind or None)
        if why is not None:
            return why
    return None


def _notice(project: Project, state: State, name: str, waiting: list[Waiting]) -> Notice:
    """How many events wait, since when, of which domains. Not why: the reason quotes what the receiver answered, and a notice carries no value of a record."""
    count, oldest = sum(one.count for one in waiting), min(one.oldest for one in waiting)
    most = project.settings.delivery.backlog
    over = f" That is more than [delivery] backlog allows ({most:,})." if count > most else ""
    domains = ", ".join(f"{one.domain} {one.count:,}" for one in waiting)
    age = words_of(max(0.0, (state.now() - oldest).total_seconds()))
    text = (
        f"{name} lacks {plural(count, 'event')}, the oldest for {age} ({domains}); nothing is lost, and each run tries again.{over} "
        "Mend the destination, then: recon publish."
    )
    facts = {
        "publisher": name,
        "waiting": count,
        "oldest": iso(oldest),
        "domains": {one.domain: one.count for one in waiting},
        "commands": {"publish": "recon publish"},
    }
    return Notice(kind=KIND, subject=name, domain=waiting[0].domain, text=text, facts=facts)
