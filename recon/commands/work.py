"""What `run` and `check` share: one domain worked on, its outcome printed as asked."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from recon.commands.frame import Frame
from recon.commands.several import Several
from recon.inert import terminal

if TYPE_CHECKING:
    from recon.project import Project
    from recon.report.figures import RunFigures
    from recon.run import Order
    from recon.state.database import State


@dataclass(frozen=True, slots=True)
class Work:
    """One command's way of working on a domain."""

    frame: Frame
    project: "Project"
    state: "State"
    as_json: bool
    unheard: list[str] = field(default_factory=list)

    def order(self, order: "Order") -> "RunFigures":
        """Runs the order, shows progress, prints the outcome."""
        from recon.run import run_domain, veil_of

        if order.key is not None:
            # A report shows a personal key by its mark, and the commands in it are meant to be typed.
            order = replace(order, key=veil_of(self.project, self.state, order.domain).typed(self.state, order.domain, order.key))
        broken = self.project.found.broken.get(order.domain)
        for note in getattr(broken.error, "__notes__", ()) if broken is not None else ():
            self.frame.console.complain(terminal_lines(note))
        with self.frame.console.progress(order.domain) as progress:
            figures = run_domain(self.project, self.state, order, clock=self.frame.clock, progress=progress)
        self.tell(figures)
        if not order.dry_run:
            self.remind()
        return figures

    def remind(self, *, overdue: bool = False) -> None:
        """Has people told of what waits for them, and with `overdue` of nights that did not happen. A receiver that is away is said once, and not asked again by this command."""
        if self.project.settings.notify.url is None or self.unheard:
            return
        from recon.notify import remind

        why = remind(self.project, self.state).why
        if overdue and why is None:
            from recon.schedule.telling import tell_overdue

            why = tell_overdue(self.project, state=self.state, clock=self.frame.clock)
        if why is not None:
            self.unheard.append(why)
            self.frame.console.complain(terminal(why))

    def tell(self, figures: "RunFigures") -> None:
        """The block after a run: on stdout, unless it is JSON that is wanted; with -q only what is no success."""
        from recon.commands.outcome import DONE

        if self.as_json or (self.frame.console.quiet and figures.exit_code == DONE):
            return
        from recon.report.text import summary
        from recon.run import items_of

        items = items_of(self.state, figures.run, self.project) if figures.discrepancies else ()
        self.frame.console.lines(summary(figures, items, report=report_path(self.project, figures)))
        self.frame.console.out("\n")


def terminal_lines(text: str) -> str:
    """A text of several lines, inert."""
    return "\n".join(terminal(line) for line in text.split("\n"))


def report_path(project: "Project", figures: "RunFigures") -> str | None:
    """The run's HTML report, where it was written, as a path from here."""
    from recon.report.render import path_of

    if not figures.run:  # It never got as far as a run.
        return None
    path = path_of(project.reports_folder, figures)
    return str(path) if path.is_file() else None


def finish(frame: Frame, several: Several, *, as_json: bool) -> int:
    """The end of a command over several domains: one JSON document, or the summary; its exit code."""
    if as_json:
        frame.console.json(several.document())
    else:
        several.summary()
    return several.exit_code


def show_sql(frame: Frame, project: "Project", domains: list[str]) -> int:
    """Prints the SQL that each domain's store would be asked, and asks nothing."""
    from recon.stores.base import Selection

    for domain in domains:
        job = project.job(domain)
        frame.console.out(f"-- {domain}, store {job.store}")
        for statement in project.store(job.store).statements(Selection.of(job)):
            text = statement.rstrip().removesuffix(";")
            # A statement that ends in a remark has its end before it.
            frame.console.out(text if text.rpartition("\n")[2].startswith("--") else f"{text};")
    return 0


def slot_text(slot: datetime | None) -> str:
    """A slot for a person."""
    from recon.clock import iso

    return iso(slot) if slot is not None else "by hand"
