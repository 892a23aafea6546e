"""One command over several domains: each on its own, none harmed by another, the most severe exit code at the end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recon.commands.console import Console
from recon.commands.outcome import DISCREPANCIES, DONE, error_text, most_severe, report_error
from recon.errors import BadRequest, ReconError
from recon.inert import terminal

if TYPE_CHECKING:
    from recon.project import Project
    from recon.report.figures import RunFigures


@dataclass(frozen=True, slots=True)
class Ended:
    """How one domain ended: with the figures of a run, or with the error that kept it from running."""

    domain: str
    exit_code: int
    figures: "RunFigures | None" = None
    error: Exception | None = None

    @property
    def hint(self) -> str:
        """The way out, where the error knows one."""
        return (self.error.hint or "") if isinstance(self.error, ReconError) else ""

    def document(self) -> dict[str, Any]:
        """As JSON types: the run's own document, or the domain with its error."""
        from recon.redact import redact

        if self.figures is not None:
            from recon.report.json_ import document

            return document(self.figures)
        assert self.error is not None
        problem = {"kind": type(self.error).__name__, "message": redact(str(self.error)), "hint": redact(self.hint)}
        return {"schema": "recon.run/1", "domain": self.domain, "verdict": "failed", "exit_code": self.exit_code, "problem": problem}


@dataclass(slots=True)
class Several:
    """The domains of one command, and how each of them ended."""

    console: Console
    exit_on_discrepancies: bool = False
    ended: list[Ended] = field(default_factory=list)

    def each(self, domains: Iterable[str], work: "Callable[[str], RunFigures | None]") -> None:
        """Works on one domain after the other, None where there was nothing to do; what concerns one domain only is told and kept, and the next has its turn."""
        for domain in domains:
            try:
                figures = work(domain)
            except ReconError as error:
                self.console.complain(error_text(error))
                self.ended.append(Ended(domain, error.exit_code, error=error))
                continue
            except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and the other domains must have their turn
                self.ended.append(Ended(domain, report_error(error), error=error))
                continue
            if figures is None:
                continue
            code = figures.exit_code
            if code == DONE and self.exit_on_discrepancies and figures.discrepancies:
                code = DISCREPANCIES
            self.ended.append(Ended(domain, code, figures=figures))

    @property
    def exit_code(self) -> int:
        """The most severe."""
        return most_severe(one.exit_code for one in self.ended)

    def summary(self) -> None:
        """On stderr, where there was more than one domain: a line each, failures repeated with their way out, since they scrolled away."""
        if len(self.ended) < 2:
            return
        width = max(len(one.domain) for one in self.ended)
        said = self.console.say if self.exit_code in {DONE, DISCREPANCIES} else self.console.complain
        count = len({one.domain for one in self.ended})
        said(f"\n{count} domain{'s' if count > 1 else ''}, exit code {self.exit_code}")
        for one in self.ended:
            if one.figures is not None:
                problem = one.figures.problem
                words = f"{one.figures.verdict.value}  run {one.figures.run}"
                why = f": {problem.message}" if problem is not None else ""
                hint = problem.hint if problem is not None else ""
            else:
                words, why, hint = "failed", f": {one.error}", one.hint
            said(terminal(f"  {one.domain:<{width}}  {words}{why}"))
            if hint:
                said(terminal(f"  {'':<{width}}    hint: {hint}"))

    def document(self) -> dict[str, Any]:
        """One document: the run's own for one domain, `recon.runs/1` with the runs in it for several or none."""
        if len(self.ended) == 1:
            return self.ended[0].document()
        return {"schema": "recon.runs/1", "exit_code": self.exit_code, "runs": [one.document() for one in self.ended]}


def chosen(project: "Project", domains: tuple[str, ...], *, every: bool, console: Console) -> list[str]:
    """The domains a command is about, each once, in the order given; raises BadRequest where none or both were named.

    A table of settings that no job goes by may be meant for one of those that are named, which then runs without it: `console` says so.
    """
    if every and domains:
        msg = "domains and --all exclude each other"
        raise BadRequest(msg)
    if every:
        if not project.domains:
            msg = f"no domain is on in {project.settings.file}"
            raise BadRequest(msg, hint="recon new domain NAME writes one; recon list shows shipped ones that can be switched on")
        return project.domains
    if not domains:
        names = ", ".join(project.domains) or "none yet"
        msg = "which domain?"
        raise BadRequest(msg, hint=f"name one or more, or --all; domains are: {names}")
    for stray in project.found.stray:
        if stray.domain not in domains:
            console.complain(f"{stray.error.message}, so what it says reaches nobody: {stray.error.hint}")
    return list(dict.fromkeys(domains))
