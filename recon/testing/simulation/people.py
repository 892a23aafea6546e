"""The people: they approve what is held, rightly or wrongly, in time or late; they reject it, or are on holiday; they acknowledge."""

from datetime import timedelta
from typing import TYPE_CHECKING

from recon.ledger.acks import Acks
from recon.outbox.replay import Choice, Replays
from recon.progress import Silent
from recon.run import approve, publish, reject
from recon.testing.simulation.clock import DAY
from recon.testing.simulation.oracle.common import equal
from recon.testing.simulation.oracle.facts import Act, Held
from recon.testing.simulation.process import CURRENT
from recon.testing.simulation.records import plan_state

if TYPE_CHECKING:
    from recon.testing.simulation.hosts import Hosts
    from recon.testing.simulation.world import Universe

DEEPEST = 3


class People:
    """Whoever is asked to decide. What they mean to do is drawn when they hear of it."""

    def __init__(self, universe: "Universe", hosts: "Hosts") -> None:
        self._universe = universe
        self._hosts = hosts

    def hear(self, held: Held) -> None:
        """A plan waits for a decision."""
        universe = self._universe
        chance, time = universe.chance, universe.time
        number = len(universe.facts.held)
        universe.story.tell("person", f"hears that {held.domain} is held, with {len(held.ids)} events")
        if universe.calm:
            time.later(time.at + 600.0, lambda: self._decide("approved", held, number, 0))
            return
        weights = {"approved": 4.0, "wrong checksum": 1.0, "rejected": 1.0, "approved too late": 0.7, "ignored": 1.0, "approved twice": 0.7}
        what = chance.weighted(weights, "decision", number)
        if not chance.let(what, number):
            what = "ignored"
        delay = chance.between(120, 20 * 3600.0, "decides", number)
        if what == "approved too late":
            delay = held.expires - time.at + chance.between(1, 5 * 3600.0, "late", number)
        if what != "ignored":
            time.later(time.at + delay, lambda: self._decide(what, held, number, 0))

    def _decide(self, what: str, held: Held, number: int, tries: int) -> None:
        universe = self._universe
        if len(CURRENT) >= DEEPEST:
            universe.time.later(universe.time.at + 900.0, lambda: self._decide(what, held, number, tries))
            return
        host = universe.chance.one_of(self._hosts.names, "decides on", number)
        begun = universe.time.at
        kind = "reject" if what == "rejected" else "approve"
        checksum = "0" * 12 if what == "wrong checksum" else held.checksum[:12]
        file = universe.folder / "state.db"
        before = plan_state(file, held.run)
        universe.story.tell("person", f"{kind}s what is held of {held.domain} ({what})")
        with self._hosts.working(host) as work:

            def act() -> object:
                if kind == "reject":
                    reject(work.state, held.run, reason="no", by="ann")
                    return None
                return approve(
                    work.project, work.state, held.run, plan=checksum, reason="seen", by="ann", clock=work.process.clock, progress=Silent()
                )

            self._hosts.carry_out(work, kind, held.domain, act)
        after = plan_state(file, held.run)
        taken = before == "held" and after in ({"rejected"} if kind == "reject" else {"approved", "enqueued"})
        universe.facts.acts.append(
            Act(
                at=begun,
                ended=universe.time.at,
                process=work.process.number,
                kind=kind,
                domain=held.domain,
                run=held.run,
                checksum=checksum,
                taken=taken,
            )
        )
        if before == "held" and after == "held" and what != "wrong checksum" and tries < 4:
            # Refused since a run is at work: later again.
            universe.time.later(universe.time.at + 1200.0, lambda: self._decide(what, held, number, tries + 1))
        elif taken and what == "approved twice":
            universe.time.later(universe.time.at + 300.0, lambda: self._decide("approved once more", held, number, 9))

    def replay(self, domain: str, night: int) -> None:
        """Has what was told before told again, `recon replay --to bus`: all of the domain, or what was emitted since the day before."""
        universe, named = self._universe, ("replay", domain, night)
        if len(CURRENT) >= DEEPEST:
            return
        since = universe.database_clock.now() - timedelta(days=1) if universe.chance.between(0, 1, *named) < 0.5 else None
        choice = Choice(domain=domain, since=since)
        with self._hosts.working(universe.chance.one_of(self._hosts.names, *named)) as work:
            clock, told = work.process.clock, Silent()

            def act() -> None:
                publish(work.project, work.state, domain, clock=clock, progress=told)
                Replays(work.state).begin(choice, "bus")
                publish(work.project, work.state, domain, clock=clock, progress=told)

            universe.story.tell("person", f"replays {domain}, {'all of it' if since is None else 'of the last day'}")
            self._hosts.carry_out(work, "replay", domain, act)

    def acknowledge(self, domain: str, night: int) -> None:
        """Says of one key that differs that it is known, for some days; where nothing is open there is nothing to say it of."""
        universe = self._universe
        source, target = universe.parties[domain].history, universe.applications[domain].history
        now = universe.time.at
        keys = source.keys()
        apart = [key for key in keys if not equal(source.at(key, now), target.at(key, now), universe.compared)]
        if not apart or len(CURRENT) >= DEEPEST:
            return
        key, days = (
            universe.chance.one_of(apart, "acknowledged", domain, night),
            universe.chance.count(0, 2, "acknowledged for", domain, night),
        )
        until = universe.database_clock.now().date() + timedelta(days=days)
        begun = universe.time.at
        with self._hosts.working(self._hosts.names[0]) as work:
            self._hosts.carry_out(work, "ack", domain, lambda: Acks(work.state).add(domain, key, until=until, by="ann", reason="known"))
        last = universe.facts.ended[-1]
        taken = last.how == "ended" and not last.problem
        ends = universe.time.at + (days + 1) * DAY
        universe.facts.acts.append(
            Act(at=begun, ended=universe.time.at, process=work.process.number, kind="ack", domain=domain, key=key, until=ends, taken=taken)
        )
        universe.story.tell("person", f"acknowledges {domain} {key} for {days} days{'' if taken else ', in vain'}")
