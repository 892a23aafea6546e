"""A run of one domain: the whole flow, spelled once, in order.

    claim -> fetch -> seal -> compare -> guard -> confirm -> guard -> plan -> held | enqueue -> publish -> figures

Each step that must survive a crash is one transaction of the state database under the run's fence; whatever is killed goes on
from the last of them. The source's pages stay on disk, so a fetch goes on from its last page; everything between the sealed
snapshot and the plan is made again from it, since that is cheap and the second look protects it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from socket import gethostname
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection

from recon.clock import Clock
from recon.compare import Comparison, Limits, Snapshot, compare, seal
from recon.compare.snapshot import Pages
from recon.confirm import Confirmation, SecondLook, confirm, recheck, write_discrepancies
from recon.duration import seconds_of, words_of
from recon.errors import ReconError
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.files import private_folder
from recon.guard import Stage, evaluate
from recon.ledger import Ledger
from recon.outbox import Outbox
from recon.outbox.delivery import drain
from recon.personal import Veil
from recon.plan import Plans
from recon.progress import Progress
from recon.project import Project
from recon.provider import Listing
from recon.redact import redact
from recon.report.figures import RunFigures, StoreRead, Verdict
from recon.run.account import Account
from recon.run.sealing import Sealing
from recon.state.database import State
from recon.state.lease import Heartbeat
from recon.state.run import Claim, RunState
from recon.state.runs import Runs
from recon.stores.base import Selection

PUBLISH_SECONDS = 60.0
"""How long one run tries to deliver; what is left then waits in the outbox for the next run or `recon publish`."""

UNDELIVERED = 6
TRY_AGAIN = 75
HELD = 4


class Night:
    """One claimed run on its way through the stages. `account` gathers what it finds."""

    def __init__(self, project: Project, state: State, account: Account, claim: Claim, *, clock: Clock, progress: Progress) -> None:
        self.project = project
        self.state = state
        assert account.job is not None
        self.account = account
        self.claim = claim
        self.clock = clock
        self.progress = progress
        self.job = account.job
        self.dry = claim.run.dry_run
        self.runs = Runs(state)
        self.plans = Plans(state)
        self.ledger = Ledger(state)
        self.veil = account.veil = Veil.of(state, account.job)
        self.looked = clock.monotonic()
        self.heartbeat: Heartbeat | None = None
        engine = project.settings.engine
        self.limits = Limits(**{name: value for name in ("memory", "threads") if (value := getattr(engine, name)) is not None})

    @property
    def folder(self) -> Path:
        """Where this run's pages and snapshots lie on this host."""
        return self.project.work_folder / "runs" / self.claim.run.id

    def run(self, flow: Callable[[], int] | None = None) -> RunFigures:
        """The flow, under a heartbeat; then its figures, written down, and the lease given back.

        A ReconError ends the run and stands in the figures. Anything else passes through, and leaves the run to be gone on with.
        """
        try:
            with self.runs.heartbeat(self.claim.lease) as self.heartbeat:
                try:
                    exit_code = (flow or self.flow)()
                except ReconError as error:
                    exit_code = error.exit_code
                    self.account.fail(error)
                    self._give_up(error)
                return self._written(exit_code)
        finally:
            self.runs.release(self.claim)

    def flow(self) -> int:
        """Every stage in its order; answers the exit code."""
        if self.claim.run.state is RunState.EMITTED:
            return self.publish()
        self.ready()
        snapshot = self.fetch()
        comparison = self.compare(snapshot)
        found = Confirmation(self.folder / "found.jsonl")
        if self.guard("before", comparison.counts, comparison.by_field, comparison):
            # Too much to be believed: reading it all again would prove nothing more, and a person sees the suspects as they are.
            write_discrepancies(found.file, comparison.discrepancies())
            return self.hold(found, unknown=list(comparison.set_aside()), believed=False)
        self.settle(sum(comparison.counts.values()))
        found = self.confirm(comparison, found.file)
        self.recheck(comparison, found)
        unknown = [*comparison.set_aside(), *found.unknown_keys]
        if self.guard("after", found.confirmed, found.by_field, comparison):
            return self.hold(found, unknown=unknown, believed=True)
        self.enqueue(found, unknown)
        code = self.publish()
        unanswered = sum(found.unconfirmed.values())
        # Suspects of which not one could be looked at again: the third party went away, and the night is to be tried again.
        return code or (TRY_AGAIN if unanswered and not found.confirmed and not found.dismissed else 0)

    def ready(self) -> None:
        """Everything the night needs, constructed before the first request: a mistake in a publisher's table must not cost a whole fetch."""
        self.project.provider(self.job.provider)
        self.project.store(self.job.store)
        if self.job.publisher is not None:
            self.project.publisher(self.job.publisher)

    # -- the provider's side, whole ----------------------------------------------------------------------------------------

    def fetch(self) -> Snapshot:
        """The provider's full state on disk, sealed; raises where it cannot be proven whole."""
        with closing(Spool.open(private_folder(self.folder))) as spool, Sealing(spool, self._seal, self.folder / "source") as sealing:
            with self._stage("fetch"):
                # The watermark is taken before the first page: what moved after it was not seen whole.
                known = self.claim.run.watermark if spool.pages else None
                self.advance(RunState.FETCHING, watermark=known or self.state.now(), folder=str(self.folder), host=gethostname())
                self.account.coverage = self._land(spool, sealing)
            with self._stage("seal"):
                snapshot = sealing.finish()
        # Items that could be cut out of their page and still not be read count against the certificate as well.
        coverage = self.account.coverage = replace(self.account.coverage, unreadable=snapshot.unreadable_items)
        self.advance(RunState.SEALED, coverage=plain(coverage), whole=coverage.whole)
        return snapshot

    def _seal(self, pages: Pages) -> Snapshot:
        """The pages as a snapshot; it is made while they arrive, in a thread of its own."""
        key_path = self.job.key_path or self.project.provider(self.job.provider).key_path(self.job.resource)
        return seal(self.job, pages, key_path, self.folder / "source", limits=self.limits)

    def _land(self, spool: Spool, sealing: Sealing) -> Coverage:
        def arrived(coverage: Coverage) -> None:
            if self.heartbeat is not None:
                self.heartbeat.check()
            sealing.grown()
            self.account.coverage = coverage
            self.progress.advance(coverage.records, coverage.total, "records")

        listing = Listing(resource=self.job.resource, params=self.job.params, clock=self.clock)
        try:
            return land(self.project.provider(self.job.provider), listing, spool, clock=self.clock, on_page=arrived)
        except ReconError as error:
            if self.account.coverage is not None:
                self.account.coverage = replace(self.account.coverage, whole=False, proof=self.veil.message(redact(error.message)))
            raise

    # -- the comparison ----------------------------------------------------------------------------------------------------

    def compare(self, snapshot: Snapshot) -> Comparison:
        """The store's side, streamed past the snapshot in one consistent read."""
        with self._stage("compare"), self.project.store(self.job.store).scan(Selection.of(self.job)) as scan:
            begun = self.clock.monotonic()
            comparison = compare(self.job, snapshot, scan, limits=self.limits)
            self.account.store = StoreRead(
                store=self.job.store,
                relation=getattr(self.job.table, "name", "SQL text"),
                rows=comparison.store_rows,
                unreadable=comparison.store_unreadable,
                isolation=scan.isolation,
                taken_at=scan.taken_at,
                seconds=round(self.clock.monotonic() - begun, 3),
            )
        self.looked = self.clock.monotonic()
        self.account.comparison = comparison
        self.advance(
            RunState.DIFFED,
            source_records=self._rows(comparison, "source"),
            target_records=self._rows(comparison, "target"),
            compared=comparison.compared,
        )
        return comparison

    def _rows(self, comparison: Comparison, role: Literal["source", "target"]) -> int:
        """What the side in this role holds: inbound, the provider is the source."""
        inbound = self.job.direction == "inbound"
        return comparison.provider_rows if inbound is (role == "source") else comparison.store_rows

    def guard(self, stage: Stage, counts: Mapping[Any, int], by_field: Mapping[str, int], comparison: Comparison) -> bool:
        """Whether a guard trips; its figures stand in the report either way."""
        last = self.runs.last_whole(self.job.domain)
        self.account.guards = evaluate(
            self.job.guard,
            stage=stage,
            missing=counts.get("missing", 0),
            extra=counts.get("extra", 0),
            changed=counts.get("changed", 0),
            target_rows=self._rows(comparison, "target"),
            source_rows=self._rows(comparison, "source"),
            previous_source_rows=last.source_records if last is not None else None,
            by_field=by_field,
            compared=comparison.compared,
        )
        return any(guard.tripped for guard in self.account.guards)

    # -- the second look ---------------------------------------------------------------------------------------------------

    def settle(self, suspects: int) -> None:
        """Waits until the suspects are old enough to be looked at again."""
        wait = self.job.settle_seconds - (self.clock.monotonic() - self.looked)
        if suspects and wait > 0:
            with self._stage("settle"):
                self.progress.note(f"waiting {words_of(wait)} before the second look at {suspects:,} suspects")
                self.clock.sleep(wait)

    def confirm(self, comparison: Comparison, file: Path) -> Confirmation:
        """Every suspect, read again on both sides."""
        total = sum(comparison.counts.values())
        self.advance(RunState.CONFIRMING)
        with self._stage("confirm"):
            found = confirm(
                self.second_look(),
                comparison.discrepancies(),
                controls=comparison.controls,
                file=file,
                total=total,
                progress=self.progress,
            )
        self.account.confirmation = found
        return found

    def recheck(self, comparison: Comparison, found: Confirmation) -> None:
        """Keys that are open since an earlier night and that tonight's comparison shows nowhere: read by id, before they count as resolved."""
        open_keys = self.ledger.open_keys(self.job.domain)
        if not open_keys or not self.project.provider(self.job.provider).can_get(self.job.resource):
            return
        seen = {suspect.key for suspect in comparison.discrepancies()} | set(comparison.set_aside())
        left = [key for key in open_keys if key not in seen]
        with self._stage("recheck"):
            recheck(self.second_look(), left, controls=comparison.controls, outcome=found)

    def second_look(self) -> SecondLook:
        """Both places, to be read by id."""
        return SecondLook(self.job, self.project.provider(self.job.provider), self.project.store(self.job.store), self.clock, self.veil)

    # -- the plan ----------------------------------------------------------------------------------------------------------

    def hold(self, found: Confirmation, *, unknown: list[str], believed: bool) -> int:
        """The plan, whole, waits for a person: it is written down, and there is no row that could be claimed.

        `believed` says that the second look confirmed what was found; the ledger takes up nothing less.
        """
        expires_at = self.state.now() + timedelta(seconds=seconds_of(self.job.hold_expires))
        with self._stage("plan"), self.state.begin() as conn:
            self._record_in(conn, found, unknown=unknown, complete=believed, touch=believed)
            plan = self.plans.judge_in(conn, self.claim.run, self.account.guards, expires_at=expires_at)
            self.account.plan = plan
            self._advance_in(
                conn, RunState.HELD, verdict=Verdict.HELD, plan_checksum=plan.checksum, hold_expires_at=expires_at, exit_code=HELD
            )
        return HELD

    def enqueue(self, found: Confirmation, unknown: list[str], only_keys: list[str] | None = None) -> None:
        """What was found, the plan, its events in the outbox and the run's state, in one transaction."""
        with self._stage("plan"), self.state.begin() as conn:
            self._record_in(conn, found, unknown=unknown, complete=True, touch=True, only_keys=only_keys)
            self.account.plan = self.plans.judge_in(conn, self.claim.run, self.account.guards, expires_at=self.state.now(conn))
            self.emit_in(conn)
        self.account.plan = self.plans.figure(self.claim.run.id)

    def _record_in(
        self,
        conn: Connection,
        found: Confirmation,
        *,
        unknown: list[str],
        complete: bool,
        touch: bool,
        only_keys: list[str] | None = None,
    ) -> None:
        self.account.ledger = self.ledger.record_in(
            conn,
            self.claim.run,
            self.job,
            found.discrepancies(),
            unknown_keys=unknown,
            complete=complete,
            only_keys=only_keys,
            touch=touch and not self.dry,
        )
        self.account.plan = self.plans.make_in(conn, self.claim.run, self.job)

    def emit_in(self, conn: Connection) -> None:
        """The plan's events into the outbox, where there is somebody to send them to, and the run on to EMITTED.

        DONE comes with the figures, for a run that found nothing too: one that is killed before that is finished by the next.
        """
        assert self.account.plan is not None
        self._advance_in(conn, RunState.EMITTED, plan_checksum=self.account.plan.checksum)
        if not self.dry and self.job.publisher is not None:
            Outbox(self.state).enqueue_in(conn, self.claim, self.claim.run.id, self.job.publisher)

    # -- out into the world ------------------------------------------------------------------------------------------------

    def publish(self) -> int:
        """Delivers what waits for this domain, of this run and of earlier ones; what is left stays, and is loud."""
        name = self.job.publisher
        if self.dry or name is None:
            return 0
        with self._stage("publish"):
            self.account.delivery = drain(
                self.state,
                self.project.publisher(name),
                name=name,
                domain=self.job.domain,
                clock=self.clock,
                deadline=PUBLISH_SECONDS,
                veils=lambda _: self.veil,
                on_batch=lambda done: self.progress.advance(done.confirmed, done.confirmed + done.waiting + done.dead, "events"),
            )
        elsewhere = [one for one in Outbox(self.state).waiting(self.job.domain) if one.publisher != name]
        for one in elsewhere:
            self.progress.note(
                f"{one.count:,} events of {self.job.domain} still wait for publisher {one.publisher}; recon publish {self.job.domain}"
            )
        return UNDELIVERED if self.account.delivery.waiting or self.account.delivery.dead or elsewhere else 0

    # -- what is written down ----------------------------------------------------------------------------------------------

    def advance(self, to: RunState, **facts: Any) -> None:
        """Moves the run in a transaction of its own."""
        with self.state.begin() as conn:
            self._advance_in(conn, to, **facts)

    def _advance_in(self, conn: Connection, to: RunState, **facts: Any) -> None:
        # What is known so far goes with every move, so that a run gone on with after a crash can still give its figures.
        facts["figures"] = self.account.written(self.account.figures(None, standing=to, exit_code=0))
        self.claim = self.runs.advance_in(conn, self.claim, to, **facts)
        self.account.run = self.claim.run

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.progress.stage(name)
        with self.account.stage(name):
            yield

    def _give_up(self, error: ReconError) -> None:
        """An error ends the run, unless its events are out or wait for a person: then only the rest is outstanding."""
        if self.claim.run.state in {RunState.EMITTED, RunState.DONE, RunState.HELD, RunState.APPROVED}:
            return
        # A transaction that was rolled back leaves nothing that was found, and nothing may be said of it.
        self.account.plan = self.account.ledger = None
        verdict = Verdict.FAILED if error.exit_code in {1, 2} else Verdict.INCOMPLETE
        try:
            self.advance(RunState.FAILED, verdict=verdict, exit_code=error.exit_code, reason=self.veil.message(redact(error.message)))
        except ReconError as worse:
            self.progress.note(f"{self.job.domain}: that the run ended could not be written down: {worse.message}")

    def _written(self, exit_code: int) -> RunFigures:
        """The run's figures, in the state database with it; an EMITTED run is DONE with that, whatever is left to deliver."""
        sent = self.claim.run.state is RunState.EMITTED
        figures = self.account.figures(self.state, standing=RunState.DONE if sent else self.claim.run.state, exit_code=exit_code)
        facts: dict[str, Any] = {
            "figures": self.account.written(figures),
            "verdict": figures.verdict,
            "exit_code": exit_code,
            "discrepancies": figures.discrepancies,
        }
        if figures.verdict is Verdict.CLEAN and not self.dry:
            facts["consistent_as_of"] = self.claim.run.watermark
        try:
            if sent:
                self.claim = self.runs.advance(self.claim, RunState.DONE, **facts)
            else:
                self.claim = self.runs.record(self.claim, **facts)
        except ReconError as error:
            self.account.fail(error)
            return self.account.figures(None, standing="not written down", exit_code=error.exit_code)
        return figures


def plain(value: Any) -> Any:
    """A frozen value as JSON has it."""
    return msgspec.to_builtins(value, str_keys=True)
