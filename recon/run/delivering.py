"""The end of a night: each of the job's destinations is given what waits for it, one after the other, none held up for long by another."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from recon.errors import LostLease
from recon.outbox import Outbox
from recon.outbox.delivery import drain
from recon.outbox.manner import Manner
from recon.project import Project
from recon.report.figures import DeliveryFigure
from recon.run.partial import UNDELIVERED
from recon.state.database import State

if TYPE_CHECKING:
    from recon.run.night import Night

PUBLISH_SECONDS = 60.0
"""How long one run tries to deliver to one destination; what is left then waits in the outbox for the next run or `recon publish`."""


def older_in(night: "Night", conn: Connection) -> dict[str, list[int]]:
    """The older versions that are sent beside the newest tonight, by destination, by the state database's clock; one that has ended is told of."""
    chain = night.job.chain
    if not chain.sent:
        return {}
    today = night.state.now(conn).date()
    for one in chain.sent:
        if one.over(today):
            night.progress.note(
                f"{night.job.domain}: version {one.number} is sent no more: its sunset was {one.sunset}; take down= and sunset= out of the job"
            )
    takers = [name for name in night.job.publishers if night.project.publisher(name).capabilities.versions]
    return {name: [one.number for one in chain.sent_on(today)] for name in takers}


def deliver(night: "Night") -> tuple[DeliveryFigure, ...]:
    """What became of the events at each destination, in the job's order; one that was in trouble before has its turn last."""
    names = night.job.publishers
    troubled = {one.publisher for one in Outbox(night.state).waiting(night.job.domain) if one.attempts}
    done = {name: _to(night, name) for name in sorted(names, key=lambda name: name in troubled)}
    return tuple(with_backlog(night.project, night.state, [done[name] for name in names]))


def with_backlog(project: Project, state: State, figures: Sequence[DeliveryFigure]) -> list[DeliveryFigure]:
    """The figures, each with what waits for its destination in all domains where that is more than the project allows."""
    if not any(one.undelivered for one in figures):
        return list(figures)
    waiting, most = Outbox(state).backlog(), project.settings.delivery.backlog
    return [replace(one, backlog=count) if (count := waiting.get(one.publisher, 0)) > most else one for one in figures]


def _to(night: "Night", name: str) -> DeliveryFigure:
    try:
        return drain(
            night.state,
            night.project.publisher(name),
            name=name,
            domain=night.job.domain,
            clock=night.clock,
            deadline=PUBLISH_SECONDS,
            manners=lambda _: Manner(veil=night.veil, versions=night.job.chain, heals=name == night.job.publishers[0]),
            on_wait=night.progress.note,
            on_batch=lambda done: night.progress.advance(done.confirmed, done.confirmed + done.waiting + done.dead, "events"),
        )
    except LostLease as lost:
        # That of the delivery, not of the run: another process delivers what is left, and the run still has its end to write.
        night.progress.note(lost.message)
        return Outbox(night.state).figure(night.claim.run.id, name)


def exit_code(night: "Night") -> int:
    """UNDELIVERED where a destination lacks something of the domain; events that wait for one that the job does not name any more are told."""
    elsewhere = [one for one in Outbox(night.state).waiting(night.job.domain) if one.publisher not in night.job.publishers]
    for one in elsewhere:
        night.progress.note(
            f"{one.count:,} events of {night.job.domain} still wait for publisher {one.publisher}; recon publish {night.job.domain}"
        )
    return UNDELIVERED if elsewhere or any(one.undelivered for one in night.account.deliveries) else 0
