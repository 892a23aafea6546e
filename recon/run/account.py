"""The account of a run: facts gathered stage by stage, and the figures made of them at the end.

Whatever cuts a run short, its account can give figures: what is not known yet is simply not in them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from recon import __version__
from recon.clock import Clock
from recon.compare import Comparison
from recon.confirm import Confirmation, summary_of
from recon.discrepancy import DiscrepancyKind
from recon.errors import ReconError
from recon.fetch.coverage import Coverage
from recon.job import Job
from recon.ledger import Ledger
from recon.ledger.converging import alone
from recon.ledger.findings import LedgerSummary
from recon.personal import KEY, Veil
from recon.redact import redact
from recon.report.created import CreatedCounts
from recon.report.figures import (
    LEFT_OUT,
    MOVED,
    Convergence,
    DeliveryFigure,
    GuardFigure,
    PlanFigure,
    Problem,
    RunFigures,
    RunPoint,
    StoreRead,
    Verdict,
)
from recon.report.words import nothing_readable
from recon.state.database import State
from recon.state.run import VERIFIED, Run, RunState
from recon.state.runs import Runs

HISTORY = 30
"""Runs in the sparkline."""

RECORDED = frozenset({"emitted", "done", "held", "approved"})
"""States of a run whose findings and plan are written down; before them, nothing of what it found counts."""

HISTOGRAM_SECONDS = 60
"""Creation times are counted by the minute; the report makes its own, wider bars of them."""


@dataclass(slots=True)
class Account:
    """What is known of a run so far. `before` is what the run itself had written down when it was interrupted or held."""

    domain: str
    clock: Clock
    started_at: datetime
    trigger: str
    #: None where the domain's job does not load.
    job: Job | None = None
    slot: datetime | None = None
    dry_run: bool = False
    only_key: str | None = None
    run: Run | None = None
    before: RunFigures | None = None
    coverage: Coverage | None = None
    #: The certificate of the second listing, where there was one.
    second: Coverage | None = None
    #: What changed after this is in flight; None where nothing says when it changed.
    in_flight_since: datetime | None = None
    #: Deletions that wait for a later night; None until they were counted.
    waiting: int | None = None
    store: StoreRead | None = None
    comparison: Comparison | None = None
    confirmation: Confirmation | None = None
    guards: tuple[GuardFigure, ...] = ()
    ledger: LedgerSummary | None = None
    plan: PlanFigure | None = None
    deliveries: tuple[DeliveryFigure, ...] = ()
    problem: Problem | None = None
    #: How personal values are shown; None until the job is known.
    veil: Veil | None = None
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the seconds of a stage, also where it fails."""
        begun = self.clock.monotonic()
        try:
            yield
        finally:
            self.stages[name] = round(self.stages.get(name, 0.0) + self.clock.monotonic() - begun, 3)

    def fail(self, error: ReconError) -> None:
        """Remembers what ended the run; the first one counts."""
        if self.problem is None:
            self.problem = Problem(kind=type(error).__name__, message=redact(error.message), hint=redact(error.hint or ""))

    def figures(self, state: State | None, *, standing: str, exit_code: int) -> RunFigures:
        """The frozen figures, as of now. `standing` is the run's state; with a `state` database, the ledger's sums are read from it."""
        known: dict[str, Any] = {
            "finished_at": self.clock.now(),
            "state": standing,
            "exit_code": exit_code,
            "problem": self.problem,
            "stages": {**(self.before.stages or {} if self.before else {}), **self.stages},
        }
        known |= {
            name: value
            for name in ("coverage", "second", "in_flight_since", "waiting", "store", "plan")
            if (value := getattr(self, name)) is not None
        }
        known |= {"guards": self.guards} if self.guards else {}
        known |= {"deliveries": self.deliveries, "delivery": self.deliveries[0]} if self.deliveries else {}
        known |= {"delete_nights": self.job.delete_nights} if self.job is not None else {}
        known |= self._compared() | self._confirmed() | self._found(state)
        drawn = replace(self.before, **known) if self.before is not None else self._first(known)
        judged = replace(drawn, verdict=judge(drawn, only_key=self.only_key))
        drawn = replace(judged, consistent_as_of=self._consistent(state, judged.verdict), history=self._history(state, judged))
        # Here, where figures come into being, and not in each place that shows them.
        return self.veil.figures(drawn) if self.veil is not None else drawn

    def written(self, figures: RunFigures) -> dict[str, Any]:
        """Figures as they are written down: with the controls as they are, since an approval has to read them again."""
        controls = self.comparison.controls if self.comparison is not None else controls_of(self.run)
        document: dict[str, Any] = msgspec.to_builtins(figures, str_keys=True)
        return {**document, "controls": list(controls)}

    def _history(self, state: State | None, figures: RunFigures) -> tuple[RunPoint, ...]:
        """The runs before this one, and this one last, for the sparkline; a dry run and a look at one key are no night."""
        if state is None:
            return figures.history
        earlier = history(state, self.domain, before=self.run)
        if self.dry_run or self.only_key is not None or not figures.run:
            return earlier
        point = RunPoint(
            run=figures.run,
            started_at=figures.started_at,
            verdict=figures.verdict,
            discrepancies=figures.discrepancies,
            compared=figures.compared,
        )
        return (*earlier, point)[-HISTORY:]

    def _first(self, known: Mapping[str, Any]) -> RunFigures:
        return RunFigures(
            run=self.run.id if self.run else "",
            domain=self.domain,
            description=self.job.description if self.job else "",
            direction=self.job.direction if self.job else "inbound",
            provider=self.job.provider if self.job else "",
            resource=self.job.resource if self.job else "",
            trigger=self.trigger,
            slot=self.slot,
            timezone=self.job.timezone if self.job else "UTC",
            started_at=self.started_at,
            version=__version__,
            verdict=Verdict.INCOMPLETE,
            consistent_as_of=None,
            dry_run=self.dry_run,
            **known,
        )

    def _compared(self) -> dict[str, Any]:
        found = self.comparison
        if found is None:
            return {}
        return {
            "compared": found.compared,
            "equal": found.equal,
            "unjudged": found.unjudged,
            "suspects": sum(found.counts.values()),
            "missing": found.counts.get(DiscrepancyKind.MISSING, 0),
            "extra": found.counts.get(DiscrepancyKind.EXTRA, 0),
            "changed": found.counts.get(DiscrepancyKind.CHANGED, 0),
            "by_field": dict(found.by_field),
            "duplicates": tuple(found.duplicates),
            "duplicate_keys": found.duplicate_keys,
            "unreadable": tuple(found.unreadable),
            "unreadable_items": found.unreadable_items,
            "controls": found.controls,
        }

    def _confirmed(self) -> dict[str, Any]:
        found = self.confirmation
        if found is None:
            return {}
        return {
            "dismissed": summary_of(found.dismissed),
            "unconfirmed": sum(found.unconfirmed.values()),
            "unconfirmed_why": summary_of(found.unconfirmed),
            "in_flight": found.in_flight,
            "in_flight_keys": tuple(found.in_flight_keys),
        }

    def _found(self, state: State | None) -> dict[str, Any]:
        """What the ledger counted and sums up, and the runs before this one."""
        known: dict[str, Any] = {}
        if self.ledger is not None:
            known = {
                **{kind.value: self.ledger.by_kind.get(kind.value, 0) for kind in DiscrepancyKind},
                "new": self.ledger.new,
                "new_by_kind": self.ledger.new_by_kind,
                "continuing": self.ledger.continuing,
                "resolved": self.ledger.resolved,
                "acknowledged": self.ledger.acknowledged,
                "convergence": self._converged(self.ledger.convergence),
            }
        if state is None:
            return known
        if self.run is not None and self.ledger is not None and self.job is not None:
            ledger, created = Ledger(state), CreatedCounts()
            if self.job.created is not None:
                for moment, count in ledger.created_histogram(self.run.id, HISTOGRAM_SECONDS):
                    created.add(moment, count)
            known |= {
                "by_field": ledger.by_field(self.run.id),
                "transitions": ledger.transitions(self.run.id),
                "created": created.window(self.job.timezone),
                "money": ledger.money(self.run.id) if self.job.money else None,
            }
        return known

    def _converged(self, found: Convergence | None) -> Convergence | None:
        return alone(found) if self.only_key == VERIFIED else found

    def _consistent(self, state: State | None, verdict: Verdict) -> datetime | None:
        if verdict is Verdict.CLEAN and self.run is not None and not self.dry_run:
            return self.run.watermark
        return Runs(state).consistent_as_of(self.domain) if state is not None else None


def judge(figures: RunFigures, *, only_key: str | None) -> Verdict:
    """What may be said: CLEAN only of a proven, whole comparison that found nothing, silences nothing and doubts nothing."""
    if figures.plan is not None and figures.plan.state == "held":
        return Verdict.HELD
    if figures.problem is not None and figures.exit_code in {1, 2}:
        return Verdict.FAILED
    # The plan is made last, of what was confirmed and written down: without it the comparison did not come to its end.
    if figures.plan is None or (figures.problem is not None and figures.state not in RECORDED):
        return Verdict.INCOMPLETE
    dismissed = figures.dismissed or {}
    moved = figures.in_flight + dismissed.get(MOVED, 0) + dismissed.get(LEFT_OUT, 0)
    doubts = figures.unconfirmed + figures.unreadable_items + figures.duplicate_keys + moved
    short = figures.coverage is not None and (figures.coverage.total or 0) > figures.coverage.records + figures.coverage.unreadable
    # What a person approved hours ago says nothing of how the sides stand now, even where nothing of it was left to send.
    decided = figures.plan.approved_by is not None
    short = short or (figures.second is not None and not figures.second.whole)
    differs = bool(figures.discrepancies or doubts or figures.acknowledged or short or decided)
    if only_key is not None:
        return Verdict.DISCREPANCIES if differs else Verdict.AGREES
    if figures.coverage is None or not figures.coverage.whole or figures.store is None or nothing_readable(figures):
        return Verdict.INCOMPLETE
    return Verdict.DISCREPANCIES if differs else Verdict.CLEAN


def history(state: State, domain: str, *, before: Run | None) -> tuple[RunPoint, ...]:
    """The last runs of the domain that came to a verdict, oldest first; not `before` itself, nor what came after it."""
    points = [
        RunPoint(
            run=run.id,
            started_at=run.started_at,
            verdict=Verdict(run.verdict),
            discrepancies=run.discrepancies or 0,
            compared=run.compared or 0,
        )
        for run in Runs(state).recent(domain, HISTORY + 1)
        if run.verdict is not None and run.key is None and not run.dry_run and (before is None or run.id < before.id)
    ]
    return tuple(reversed(points))


def stored(run: Run) -> RunFigures | None:
    """The figures that a run wrote down, or None where it has none yet. Controls whose keys are personal are left out.

    A held run is ended by a person or by the clock without its figures being written anew: what became of its plan is said here.
    """
    if run.figures is None:
        return None
    figures = msgspec.convert(run.figures, RunFigures)
    if run.state in {RunState.REJECTED, RunState.EXPIRED} and figures.plan is not None and figures.plan.state in {"held", "approved"}:
        plan = replace(figures.plan, state=run.state.value, reason=run.reason)
        # What came in part is in part still, whatever became of its plan.
        whole = figures.coverage is None or figures.coverage.whole
        figures = replace(figures, plan=plan, state=run.state.value, verdict=Verdict.DISCREPANCIES if whole else Verdict.INCOMPLETE)
    return replace(figures, controls=()) if KEY in figures.personal else figures


def controls_of(run: Run | None) -> tuple[str, ...]:
    """The controls that a run wrote down, as they are."""
    return () if run is None or run.figures is None else tuple(run.figures.get("controls") or ())
