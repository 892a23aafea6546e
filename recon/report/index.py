"""reports/index.html: every domain with its last verdict, since when it is known to agree, and a link to each run's report.

No script at all; it works from a disk, from object storage and as an artefact of a CI.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from recon.inert import utf8
from recon.report.charts import MOST_RUNS, Chart, points, sparkline
from recon.report.figures import RunFigures, RunPoint, Verdict
from recon.report.page import asset, own, policy, template
from recon.report.words import plural

REPORT_NAME = "index.html"
SEVERITY = (Verdict.CLEAN, Verdict.AGREES, Verdict.DISCREPANCIES, Verdict.HELD, Verdict.INCOMPLETE, Verdict.FAILED)

WORDS = {Verdict.DISCREPANCIES: "with discrepancies"}


@dataclass(frozen=True, slots=True)
class Domain:
    """What the index says of one domain; `runs` in any order."""

    domain: str
    runs: tuple[RunPoint, ...]
    consistent_as_of: datetime | None = None
    description: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run with the link to its report, where there is one."""

    point: RunPoint
    link: str | None

    @property
    def known(self) -> bool:
        """False where nothing was compared, so that no count means anything."""
        return self.point.verdict not in {Verdict.INCOMPLETE, Verdict.FAILED}

    @property
    def found(self) -> str:
        """The number of discrepancies, or a dash."""
        return f"{self.point.discrepancies:,}" if self.known else "-"


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One line of the table."""

    domain: str
    description: str
    timezone: str
    consistent_as_of: datetime | None
    runs: tuple[RunRow, ...]
    spark: Chart | None

    @property
    def last(self) -> RunPoint | None:
        """The latest run."""
        return self.runs[0].point if self.runs else None

    @property
    def last_link(self) -> str | None:
        """The link to the latest run's report."""
        return self.runs[0].link if self.runs else None

    @property
    def found(self) -> str:
        """The latest run's number of discrepancies, or a dash."""
        return self.runs[0].found if self.runs else "-"


def domain_of(figures: RunFigures) -> Domain:
    """A domain from its latest run's figures: its history and itself."""
    return Domain(figures.domain, points(figures), figures.consistent_as_of, figures.description, figures.timezone)


def pieces(domains: Iterable[Domain], *, made: datetime | None = None, folder: Path | None = None) -> Iterator[bytes]:
    """The page. `folder` is where it will lie: a run is linked where its report lies there too; without a folder all are."""
    rows = [_row(domain, folder) for domain in sorted(domains, key=_latest, reverse=True)]
    style = asset("report.css")
    worst, banner, sentence = _banner(rows)
    page = template("index.html.j2")
    yield from (
        piece.encode()
        for piece in page.generate(
            title=f"Reconciliation: {banner}",
            style=own(style),
            policy=policy(styles=(style,), scripts=()),
            rows=rows,
            made=made or datetime.now(UTC),
            worst=worst,
            banner=banner,
            sentence=sentence,
            most=MOST_RUNS,
        )
    )


def _latest(domain: Domain) -> tuple[datetime, str]:
    return max((point.started_at for point in domain.runs), default=datetime(1970, 1, 1, tzinfo=UTC)), domain.domain


def _row(domain: Domain, folder: Path | None) -> DomainRow:
    points = sorted(domain.runs, key=lambda point: point.started_at, reverse=True)
    runs = tuple(RunRow(point, _link(point.run, folder)) for point in points)
    spark = sparkline(domain.runs, domain.timezone)
    return DomainRow(domain.domain, domain.description, domain.timezone, domain.consistent_as_of, runs, spark)


def _link(run: str, folder: Path | None) -> str | None:
    if folder is not None and not (folder / run / REPORT_NAME).is_file():
        return None
    return f"{quote(utf8(run), safe='')}/{REPORT_NAME}"


def _banner(rows: Sequence[DomainRow]) -> tuple[str, str, str]:
    """The worst verdict there is, the page's largest words, and the sentence below them. All clean is said of no less than all."""
    last = [row.last.verdict for row in rows if row.last is not None]
    if not last:
        return "incomplete", "No run yet", "nothing is known of any domain"
    worst = max(last, key=SEVERITY.index)
    counted = "last runs: " + ", ".join(
        f"{last.count(verdict):,} {WORDS.get(verdict, verdict.value)}" for verdict in reversed(SEVERITY) if verdict in last
    )
    waiting = len(rows) - len(last)
    if worst is Verdict.CLEAN and not waiting:
        return "clean", "All clean", f"{plural(len(last), 'domain')}, each compared whole on its last run"
    tail = f", {waiting:,} not run yet" if waiting else ""
    subject = rows[0].domain if len(rows) == 1 else f"{last.count(worst):,} of {len(rows):,} domains"
    banner = "Clean so far" if worst is Verdict.CLEAN else f"{subject}: {worst.value}"
    return worst.value, banner, counted + tail
