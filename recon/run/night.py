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
from recon.compare import CONTROLS, Comparison, Limits, Snapshot, compare
from recon.confirm import Confirmation, Sifted
from recon.discrepancy import Discrepancy
from recon.duration import seconds_of
from recon.errors import ReconError
from recon.fetch.coverage import Coverage
from recon.fetch.spool import Spool
from recon.files import private_folder
from recon.guard import Stage, evaluate
from recon.job import Job
from recon.ledger import Ledger
from recon.ledger.flights import keep_in
from recon.outbox import Outbox
from recon.personal import Veil
from recon.plan import Plans
from recon.plan.let_go import let_go
from recon.progress import Progress
from recon.project import Project
from recon.redact import redact
from recon.report.figures import RunFigures, StoreRead, Verdict
from recon.run import delivering, looking, pages, partial
from recon.run.account import Account
from recon.run.guarding import rolling_guards, terms
from recon.run.listing import landed, sealing
from recon.state.database import State
from recon.state.lease import Heartbeat, check
from recon.state.run import Claim, Run, RunState
from recon.state.runs import Runs
from recon.stores.base import Selection

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
        #: When the first look ended, by a clock that only goes forward.
        self.looked = clock.monotonic()
        self.sieve: Sifted | None = None
        self.heartbeat: Heartbeat | None = None
        self.superseded: list[Run] = []
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
            return partial.exit_code(self, self.publish())
        self.ready()
        snapshot = self.fetch()
        comparison = self.compare(snapshot)
        sieve = self.sieve = looking.sifted(self, comparison.discrepancies, comparison.counts, comparison.by_field)
        if self.guard("before", sieve.weighed, sieve.by_field, comparison):
            # Too much to be believed: reading it all again would prove nothing more, and a person sees the suspects as they are.
            found = looking.unsettled(self, comparison, sieve)
            return self.hold(found, unknown=[*comparison.set_aside(), *found.unknown_keys], believed=False)
        found = looking.look_again(self, comparison, sieve, snapshot)
        unknown = [*comparison.set_aside(), *found.unknown_keys]
        if self.guard("after", found.weighed, found.by_field, comparison):
            return self.hold(found, unknown=unknown, believed=True)
        if found.proved_nothing:
            return looking.leave_open(self, found, unknown)
        return partial.exit_code(self, self.enqueue(found, unknown) or self.publish())

    def ready(self) -> None:
        """Everything the night needs, constructed before the first request: a mistake in a publisher's table must not cost a whole fetch."""
        self.project.provider(self.job.provider)
        self.project.store(self.job.store)
        for name in self.job.publishers:
            self.project.publisher(name)

    # -- the provider's side, whole ----------------------------------------------------------------------------------------

    def fetch(self) -> Snapshot:
        """The provider's state on disk, sealed: whole, or as much of it as could be had. Raises where that is nothing, or may yet become whole."""

        def tell(coverage: Coverage) -> None:
            self.account.coverage = coverage

        with closing(Spool.open(private_folder(self.folder))) as spool, sealing(self, spool, self.folder) as sealed:
            with self.stage("fetch"):
                before, usable = self.claim.run, pages.usable(spool, self.claim.run, self.state.now())
                # The watermark is taken before the first page: what moved after it was not seen whole.
                watermark = before.watermark if usable and before.watermark else self.state.now()
                self.advance(RunState.FETCHING, watermark=watermark, folder=str(self.folder), host=gethostname())
                if not usable:
                    pages.begin(spool, watermark)
                coverage = landed(self, spool, sealed, tell)
                self.account.coverage = replace(coverage, proof=coverage.proof + ("" if usable else pages.abroad(before, spool)))
            with self.stage("seal"):
                snapshot = sealed.finish()
        # Items that could be cut out of their page and still not be read count against the certificate as well; an item of two pages is one.
        coverage = self.account.coverage = replace(
            self.account.coverage, unreadable=snapshot.unreadable_items, records=snapshot.records - spool.unread_items
        )
        partial.tell(self, coverage)
        self.advance(RunState.SEALED, coverage=plain(coverage), whole=coverage.whole)
        return snapshot

    # -- the comparison ----------------------------------------------------------------------------------------------------

    def compare(self, snapshot: Snapshot) -> Comparison:
        """The store's side, streamed past the snapshot in one consistent read; or that of this run's first try, where a second listing goes on."""
        comparison = looking.taken_up(self, snapshot)
        if comparison is None:
            comparison = self._compared(snapshot)
            looking.put_by(self, comparison, snapshot)
        self.account.comparison = comparison
        self.advance(
            RunState.DIFFED,
            source_records=self._rows(comparison, "source"),
            target_records=self._rows(comparison, "target"),
            compared=comparison.compared,
        )
        return comparison

    def _compared(self, snapshot: Snapshot) -> Comparison:
        with self.stage("compare"), self.project.store(self.job.store).scan(Selection.of(self.job)) as scan:
            begun = self.clock.monotonic()
            doubt = let_go(self.state, self.job.domain, most=CONTROLS)
            comparison = compare(self.job, snapshot, scan, limits=self.limits, whole=partial.whole(self), no_controls=doubt.keys)
            comparison.controls += tuple(key for key in doubt.known_before if key not in comparison.controls)
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
        return comparison

    def _rows(self, comparison: Comparison, role: Literal["source", "target"]) -> int:
        """What the side in this role holds: inbound, the provider is the source."""
        inbound = self.job.direction == "inbound"
        return comparison.provider_rows if inbound is (role == "source") else comparison.store_rows

    def guard(self, stage: Stage, counts: Mapping[Any, int], by_field: Mapping[str, int], comparison: Comparison) -> bool:
        """Whether a guard trips; its figures stand in the report either way."""
        self.account.guards = evaluate(
            self.job.guard,
            stage=stage,
            missing=counts.get("missing", 0),
            extra=counts.get("extra", 0),
            changed=counts.get("changed", 0),
            target_rows=partial.judged_target(self, comparison, self._rows(comparison, "target")),
            source_rows=partial.known_source(self, self._rows(comparison, "source")),
            previous_source_rows=self.runs.largest_source(self.job.domain),
            by_field=by_field,
            compared=comparison.compared,
            unjudged=comparison.unjudged if self.job.direction == "inbound" else 0,
        )
        return any(guard.tripped for guard in self.account.guards)

    # -- the plan ----------------------------------------------------------------------------------------------------------

    def hold(self, found: Confirmation, *, unknown: list[str], believed: bool) -> int:
        """The plan, whole, waits for a person: it is written down, and there is no row that could be claimed.

        `believed` says that the second look confirmed what was found; the ledger takes up nothing less.
        """
        return self._decide(found, unknown, believed=believed)

    def enqueue(self, found: Confirmation, unknown: list[str], only_keys: list[str] | None = None) -> int:
        """What was found, the plan, its events in the outbox and the run's state, in one transaction; HELD where a last guard trips."""
        return self._decide(found, unknown, believed=True, only_keys=only_keys)

    def _decide(self, found: Confirmation, unknown: list[str], *, believed: bool, only_keys: list[str] | None = None) -> int:
        """The plan made, judged, and held or emitted: no other run can count or be counted between the judgement and what follows."""
        rows = self._rows(self.account.comparison, "target") if self.account.comparison is not None else None
        limit = self.project.settings.guards.total
        with self.stage("plan"), self.fenced() as conn:
            self._record_in(conn, found, unknown=unknown, complete=believed, touch=believed, only_keys=only_keys)
            self.account.guards += rolling_guards(self.state, conn, self.claim.run, self.job, limit=limit, target_rows=rows)
            expires_at = self.state.now(conn) + timedelta(seconds=seconds_of(self.job.hold_expires))
            plan = self.account.plan = self.plans.judge_in(conn, self.claim.run, self.account.guards, expires_at=expires_at)
            held = plan.state == "held"
            if held:
                self.account.plan = replace(plan, terms=terms(self.project, self.job))
                facts = {"plan_checksum": plan.checksum, "hold_expires_at": expires_at, "exit_code": HELD}
                self._advance_in(conn, RunState.HELD, verdict=Verdict.HELD, **facts)
            else:
                self.emit_in(conn)
            self.superseded = [] if self.dry else self.runs.supersede_in(conn, self.claim.run)
        if not held:
            self.account.plan = self.plans.figure(self.claim.run.id)
        return HELD if held else 0

    def _record_in(
        self,
        conn: Connection,
        found: Confirmation,
        *,
        unknown: list[str],
        complete: bool,
        touch: bool,
        only_keys: list[str] | None = None,
        planned: Job | None = None,
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
        if self.job.delete_nights > 1:
            self.account.waiting = self.ledger.waiting_in(conn, self.claim.run.id, self.job.delete_nights)
        if self.sieve is not None and self.job.updated is not None and not self.dry:
            keep_in(conn, self.job.domain, self.sieve.flights)
        self.account.plan = self.plans.make_in(conn, self.claim.run, planned or self.job)

    def write_down(self, found: Confirmation, *, unknown: list[str], only_keys: list[str] | None, to: RunState, **facts: Any) -> None:
        """What was found, and the run's move, in one transaction, where there is nothing to send."""
        with self.stage("plan"), self.fenced() as conn:
            self._record_in(conn, found, unknown=unknown, complete=True, touch=True, only_keys=only_keys)
            self._advance_in(conn, to, **facts)

    def take_note(self, found: Confirmation, keys: list[str]) -> None:
        """What was seen of these keys, and the run on to EMITTED with an empty plan: it only looked."""
        silent = replace(self.job, correct=_nothing)
        with self.stage("plan"), self.fenced() as conn:
            self._record_in(conn, found, unknown=found.unknown_keys, complete=True, touch=True, only_keys=keys, planned=silent)
            self._advance_in(conn, RunState.EMITTED)

    def emit_in(self, conn: Connection) -> None:
        """The plan's events into the outbox, where there is somebody to send them to, and the run on to EMITTED.

        DONE comes with the figures, for a run that found nothing too: one that is killed before that is finished by the next.
        """
        assert self.account.plan is not None
        self._advance_in(conn, RunState.EMITTED, plan_checksum=self.account.plan.checksum)
        if not self.dry and self.job.publishers:
            older = delivering.older_in(self, conn)
            Outbox(self.state).enqueue_in(conn, self.claim, self.claim.run.id, *self.job.publishers, older=older)

    # -- out into the world ------------------------------------------------------------------------------------------------

    def publish(self) -> int:
        """Delivers what waits for this domain, of this run and of earlier ones; what is left stays, and is loud."""
        if self.dry or not self.job.publishers:
            return 0
        with self.stage("publish"):
            self.account.deliveries = delivering.deliver(self)
        return delivering.exit_code(self)

    # -- what is written down ----------------------------------------------------------------------------------------------

    @contextmanager
    def fenced(self) -> Iterator[Connection]:
        """A writing transaction that begins with the lease's row, as a take-over does: locked in one order, none waits for the other."""
        with self.state.begin() as conn:
            check(conn, self.claim.lease)
            yield conn

    def advance(self, to: RunState, **facts: Any) -> None:
        """Moves the run in a transaction of its own."""
        with self.state.begin() as conn:
            self._advance_in(conn, to, **facts)

    def _advance_in(self, conn: Connection, to: RunState, **facts: Any) -> None:
        # What is known so far goes with every move, so that a run gone on with after a crash can still give its figures.
        facts["figures"] = self.account.written(self.account.figures(None, standing=to, exit_code=facts.get("exit_code", 0)))
        self.claim = self.runs.advance_in(conn, self.claim, to, **facts)
        self.account.run = self.claim.run

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage, shown as it goes and counted in seconds."""
        self.progress.stage(name)
        with self.account.stage(name):
            yield

    def _give_up(self, error: ReconError) -> None:
        """An error ends the run, unless its events are out or wait for a person: then only the rest is outstanding."""
        if self.claim.run.state in {RunState.EMITTED, RunState.DONE, RunState.HELD, RunState.APPROVED, RunState.EXPIRED}:
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


def _nothing(_: Discrepancy) -> None:
    """Of a plan that tells nobody anything."""


def plain(value: Any) -> Any:
    """A frozen value as JSON has it."""
    return msgspec.to_builtins(value, str_keys=True)
