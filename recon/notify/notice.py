"""What is told: one paragraph to be read in a chat, and the same in fields for a program. Counts and names of fields, never a value of a record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from recon.clock import iso
from recon.duration import words_of
from recon.redact import redact
from recon.report.figures import RunFigures
from recon.report.raising import raising
from recon.report.verdict import NOTHING_WAITS, SHORT, commands, raised
from recon.report.words import plural

SCHEMA = "recon.notice/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to be told. `kind` and `subject` (a run's id, a slot, a domain) say what it is about: the same is told once."""

    kind: str
    subject: str
    domain: str
    #: One paragraph; chat receivers of the Slack and Mattermost kind show it as it is.
    text: str
    #: Further keys of the document, JSON types.
    facts: Mapping[str, Any] = field(default_factory=dict)

    def document(self, project: str, count: int) -> dict[str, Any]:
        """The document to post. `count` is how often it was told before; `id` is the same for the same telling, so that a receiver can tell a repeat."""
        head = {"schema": SCHEMA, "id": f"{self.kind}:{self.subject}:{count}", "project": project, "kind": self.kind, "domain": self.domain}
        return {**head, "reminder": count, "text": redact(f"[{project}] {self.text}"), **self.facts}


def held(figures: RunFigures, *, now: datetime, count: int) -> Notice:
    """A plan that waits for a person: what tripped, the figures, the ways on, and how long there is left."""
    plan = figures.plan
    assert plan is not None
    left = f", {words_of((plan.expires_at - now).total_seconds())} left" if plan.expires_at is not None and plan.expires_at > now else ""
    opening = "is held" if count == 0 else f"is still held, nobody has decided (reminder {count}{left})"
    tripped = [guard for guard in figures.guards if guard.tripped]
    why = "; ".join(f"{guard.message.removeprefix('guard ')} ({guard.hint})" if guard.hint else guard.message for guard in tripped)
    ways = ", ".join(f"{label}: {line}" for label, line in commands(figures).items())
    expires = f" It expires at {iso(plan.expires_at.replace(microsecond=0))}." if plan.expires_at is not None else ""
    too_low = "".join(f" Only if every such night is right: {key}." for key in raised(figures))
    waits = f"{plural(plan.events, 'event')} wait{'s' if plan.events == 1 else ''}" if plan.events else NOTHING_WAITS
    # Not why: the reason quotes what the third party answered, and a notice carries no value of a record.
    cut = figures.coverage is not None and not figures.coverage.whole
    part = f" The fetch was partial: {plural(figures.unjudged, 'store row')} could not be judged." if cut else ""
    text = f"{figures.domain} {opening}: nothing was emitted, {waits}. {why}.{part} {ways}.{expires}{too_low}"
    return Notice(kind="held", subject=figures.run, domain=figures.domain, text=text, facts=_facts(figures))


def expired(figures: RunFigures, reason: str) -> Notice:
    """A plan on which nobody decided in time, or that was approved and could not be proven in time."""
    events = plural(figures.plan.events if figures.plan is not None else 0, "event")
    text = (
        f"{figures.domain}: the held plan of run {figures.run} expired ({reason}); its {events} were not sent and will not be. "
        f"What still differs is found again by the next night, or now: recon run {figures.domain}."
    )
    facts = {**_facts(figures), "commands": {"inspect": f"recon show {figures.run}", "run": f"recon run {figures.domain}"}}
    return Notice(kind="expired", subject=figures.run, domain=figures.domain, text=text, facts=facts)


def lost(domain: str, subject: str, why: str, *, kind: str = "failed", next_commands: Mapping[str, str] | None = None) -> Notice:
    """A night that came to nothing: it failed, was given up, or never began. `subject` names it: the slot's time, or the run's id.

    `why` is a clause of ours with nothing of a record in it: `given up after 4 tries, the last was incomplete (exit 75)`.
    """
    ways = next_commands or {"look": f"recon runs {domain}", "run": f"recon run {domain}"}
    told = ", ".join(f"{label}: {line}" for label, line in ways.items())
    return Notice(
        kind=kind, subject=subject, domain=domain, text=f"{domain}: {why}. {told}.", facts={"why": redact(why), "commands": dict(ways)}
    )


def _facts(figures: RunFigures) -> dict[str, Any]:
    plan = figures.plan
    guards = [
        {
            **{name: getattr(guard, name) for name in ("name", "count", "of", "share", "limit", "floor", "message", "hint")},
            "raise": raising(guard, figures.domain),
        }
        for guard in figures.guards
        if guard.tripped
    ]
    return {
        "run": figures.run,
        "plan": plan.checksum[:SHORT] if plan is not None else None,
        "events": plan.events if plan is not None else 0,
        "counts": {"missing": figures.missing, "extra": figures.extra, "changed": figures.changed},
        "guards": guards,
        "commands": commands(figures),
        "expires_at": iso(plan.expires_at) if plan is not None and plan.expires_at is not None else None,
    }
