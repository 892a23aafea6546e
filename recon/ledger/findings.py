"""What one run found, read back: its items in the order of the report, and the sums that a report says over them.

Everything streams or is summed up in the database, so a run of a million discrepancies costs no memory here.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Connection, Row, func, select, text, type_coerce

from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.report.figures import Convergence, Item, Standing, Transition
from recon.state.database import State
from recon.state.tables import EPOCH, findings, micros, moment

Links = Callable[[str], str | None]
CHUNK = 1000
DISTINCT = 20_000
SHOWN = 200
OPEN = findings.c.standing != Standing.RESOLVED
UNSILENCED = OPEN & (findings.c.standing != Standing.ACKNOWLEDGED)

BY_FIELD_SQLITE = """
SELECT c.value AS field, count(*) AS n FROM recon_findings AS f, json_each(f.changed) AS c
WHERE f.run_id = :run AND f.kind = 'changed' AND f.standing NOT IN ('resolved', 'acknowledged') GROUP BY 1 ORDER BY 2 DESC, 1
"""
BY_FIELD_POSTGRES = """
SELECT c.value AS field, count(*) AS n FROM recon_findings AS f, json_array_elements_text(CAST(f.changed AS json)) AS c
WHERE f.run_id = :run AND f.kind = 'changed' AND f.standing NOT IN ('resolved', 'acknowledged') GROUP BY 1 ORDER BY 2 DESC, 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSummary:
    """A run's findings, counted. Acknowledged ones stand in `acknowledged` and nowhere else."""

    new: int = 0
    #: Kind to how many of it are new.
    new_by_kind: dict[str, int] = field(default_factory=dict)
    continuing: int = 0
    resolved: int = 0
    acknowledged: int = 0
    #: Kind to how many of it are open, new or continuing.
    by_kind: dict[str, int] = field(default_factory=dict)
    #: What became of corrections that had been delivered; known only while it is recorded.
    convergence: Convergence | None = field(default=None, compare=False)

    @property
    def open(self) -> int:
        """New and continuing."""
        return self.new + self.continuing

    @classmethod
    def of(cls, counts: Counter[tuple[str, str]]) -> "LedgerSummary":
        """From counts by (standing, kind)."""

        def total(standing: Standing) -> int:
            return sum(n for (s, _), n in counts.items() if s == standing)

        by_kind: Counter[str] = Counter()
        for (standing, kind), n in counts.items():
            if standing in {Standing.NEW, Standing.CONTINUING}:
                by_kind[kind] += n
        return cls(
            new=total(Standing.NEW),
            new_by_kind={kind: n for (standing, kind), n in sorted(counts.items()) if standing == Standing.NEW},
            continuing=total(Standing.CONTINUING),
            resolved=total(Standing.RESOLVED),
            acknowledged=total(Standing.ACKNOWLEDGED),
            by_kind=dict(sorted(by_kind.items())),
        )


class Findings:
    """The findings in a state database; `run_id` is always the whole id."""

    def __init__(self, state: State) -> None:
        self.state = state

    def items(self, run_id: str, links: Links | None = None) -> Iterator[Item]:
        """What the run found, acknowledged ones too, in the order it was found. `links` makes a page's URL of a key."""
        return self._stream(run_id, OPEN, links)

    def resolved_items(self, run_id: str, links: Links | None = None) -> Iterator[Item]:
        """What the run saw to be gone, with the values of the last sighting."""
        return self._stream(run_id, findings.c.standing == Standing.RESOLVED, links)

    def discrepancies(self, run_id: str) -> Iterator[Discrepancy]:
        """What the run found and nobody acknowledged, as it was found: what its plan was made of."""
        query = select(findings).where(findings.c.run_id == run_id, UNSILENCED).order_by(findings.c.position)
        with self.state.read() as conn:
            for row in conn.execution_options(yield_per=CHUNK).execute(query):
                yield Discrepancy(
                    kind=DiscrepancyKind(row.kind),
                    key=row.key,
                    source=row.source,
                    target=row.target,
                    changed=tuple(row.changed),
                    source_token=row.source_token,
                    target_token=row.target_token,
                )

    def _stream(self, run_id: str, which: ColumnElement[bool], links: Links | None) -> Iterator[Item]:
        query = select(findings).where(findings.c.run_id == run_id, which).order_by(findings.c.position)
        with self.state.read() as conn:
            for row in conn.execution_options(yield_per=CHUNK).execute(query):
                yield _item(row, links)

    def summary(self, run_id: str) -> LedgerSummary:
        """The counts, as `Ledger.record_in` answered them."""
        query = select(findings.c.standing, findings.c.kind, func.count()).where(findings.c.run_id == run_id)
        with self.state.read() as conn:
            rows = conn.execute(query.group_by(findings.c.standing, findings.c.kind)).all()
        return LedgerSummary.of(Counter({(row[0], row[1]): row[2] for row in rows}))

    def waiting_in(self, conn: Connection, run_id: str, wanted: int) -> int:
        """How many deletions among the run's findings wait until they were confirmed on `wanted` nights."""
        waits = findings.c.run_id == run_id, UNSILENCED, findings.c.kind == DiscrepancyKind.EXTRA, findings.c.nights < wanted
        return int(conn.execute(select(func.count()).where(*waits)).scalar_one())

    def transitions(self, run_id: str, top: int = 5) -> tuple[Transition, ...]:
        """The `top` most frequent changes of each field, from the target's value to the source's; the most frequent first.

        Counted here and not in SQL: PostgreSQL takes no JSON apart that has a NUL in a text. Of a field with very many different
        changes the first `DISTINCT` are counted.
        """
        counts: dict[str, Counter[tuple[str, str]]] = {}
        query = select(findings.c.changed, findings.c.source, findings.c.target)
        query = query.where(findings.c.run_id == run_id, UNSILENCED, findings.c.kind == DiscrepancyKind.CHANGED).order_by(
            findings.c.position
        )
        with self.state.read() as conn:
            for changed, source, target in conn.execution_options(yield_per=CHUNK).execute(query):
                for name in changed:
                    counter = counts.setdefault(name, Counter())
                    pair = _shown(target, name), _shown(source, name)
                    if pair in counter or len(counter) < DISTINCT:
                        counter[pair] += 1
        found = [
            Transition(field=name, before=b, after=a, count=n) for name, counter in counts.items() for (b, a), n in counter.most_common(top)
        ]
        return tuple(sorted(found, key=lambda transition: -transition.count))

    def by_field(self, run_id: str) -> dict[str, int]:
        """Field to how many changed items differ in it, the most frequent first."""
        query = text(BY_FIELD_SQLITE if self.state.dialect == "sqlite" else BY_FIELD_POSTGRES)
        with self.state.read() as conn:
            return {row[0]: row[1] for row in conn.execute(query, {"run": run_id})}

    def money(self, run_id: str) -> dict[str, int]:
        """Currency to minor units, over what is open and not acknowledged: each item with its whole amount."""
        # PostgreSQL answers a sum of bigints as numeric.
        query = select(findings.c.currency, func.sum(findings.c.money)).where(
            findings.c.run_id == run_id, UNSILENCED, findings.c.money.is_not(None)
        )
        with self.state.read() as conn:
            rows = conn.execute(query.group_by(findings.c.currency).order_by(findings.c.currency))
            return {row[0] or "": int(row[1]) for row in rows}

    def created_range(self, run_id: str, kind: DiscrepancyKind = DiscrepancyKind.MISSING) -> tuple[datetime, datetime, int] | None:
        """The first and the last creation time among the run's findings of this kind, and how many have one; None for none."""
        query = select(func.min(findings.c.created_at), func.max(findings.c.created_at), func.count(findings.c.created_at))
        with self.state.read() as conn:
            first, last, count = conn.execute(query.where(findings.c.run_id == run_id, findings.c.kind == kind, UNSILENCED)).one()
        return (first, last, count) if count else None

    def created_histogram(
        self, run_id: str, seconds: float, kind: DiscrepancyKind = DiscrepancyKind.MISSING, origin: datetime = EPOCH
    ) -> list[tuple[datetime, int]]:
        """How many were created in each span of `seconds`, counted from `origin`: (start, count), by time; empty spans are left out."""
        width = max(1, round(seconds * 1_000_000))
        start = micros(origin)
        bucket = ((type_coerce(findings.c.created_at, BigInteger) - start) // width).label("bucket")
        query = select(bucket, func.count()).where(
            findings.c.run_id == run_id, findings.c.kind == kind, UNSILENCED, findings.c.created_at >= origin
        )
        with self.state.read() as conn:
            rows = conn.execute(query.group_by(bucket).order_by(bucket))
            return [(moment(start + row[0] * width), row[1]) for row in rows]


def _item(row: Row[Any], links: Links | None) -> Item:
    return Item(
        key=row.key,
        kind=DiscrepancyKind(row.kind),
        standing=Standing(row.standing),
        changed=tuple(row.changed),
        source=row.source,
        target=row.target,
        first_seen=row.first_seen,
        nights=row.nights,
        event=row.event_id if row.standing != Standing.ACKNOWLEDGED else None,
        link=links(row.key) if links is not None else None,
        created_at=row.created_at,
        money=row.money,
        currency=row.currency,
        acknowledged=row.acknowledged,
    )


def _shown(fields: Mapping[str, Any] | None, name: str) -> str:
    """A wire value as a reader should see it: texts bare, the rest as JSON, `absent` where there is no such field; long ones are cut."""
    if fields is None or name not in fields:
        return "absent"
    value = fields[name]
    text_ = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text_ if len(text_) <= SHOWN else f"{text_[:SHOWN]}…"
