"""`recon record`."""

import json
from typing import TYPE_CHECKING

import click

from recon.commands.frame import Frame, framed, known

if TYPE_CHECKING:
    from recon.job import Job
    from recon.personal import Veil
    from recon.project import Project
    from recon.state.database import State
    from recon.state.run import Run

NOT_THERE = 3


@click.command()
@click.argument("domain")
@click.argument("key")
@click.option("--run", metavar="RUN", help="As that run fetched it; by default the last one whose pages lie here.")
@click.option("--raw", is_flag=True, help="The record as it came, byte for byte; refused where the job has personal fields.")
@framed
def record(frame: Frame, domain: str, key: str, *, run: str | None, raw: bool) -> int:
    """Print a record as the third party listed it that night: the evidence behind a discrepancy. Exit code 3 where the listing had none.

    Pages are kept for as long as `[retention] files` says, on the host that fetched them. Of a job with personal fields only the
    compared fields are shown, personal ones by their hash.
    """
    from pathlib import Path

    from recon.clock import iso
    from recon.errors import BadRequest
    from recon.fetch.kept import records_of
    from recon.run import veil_of

    with frame.both() as (project, state):
        known(project, state, domain)
        job = project.job(domain)
        veil = veil_of(project, state, domain)
        if raw and veil.names:
            msg = f"{domain} has personal fields ({', '.join(sorted(veil.names))}), and a record as it came would show them"
            raise BadRequest(msg, hint="without --raw the declared fields are shown, personal ones by their hash")
        wanted = veil.typed(state, domain, key)
        found_run = _run(state, domain, run)
        folder = _folder(project, found_run)
        path = job.key_path or project.provider(job.provider).key_path(job.resource)
        found = list(records_of(Path(folder), wanted, path))
    if not found:
        lacking = ", which was fetched in part: that proves nothing" if found_run.whole is False else ""
        frame.console.say(f"{domain} {veil.key(wanted)}: not in the listing of run {found_run.id}{lacking}")
        return NOT_THERE
    for one in found:
        when = f", {iso(one.at)}" if one.at is not None else ""
        frame.console.say(f"{domain} {veil.key(wanted)}: run {found_run.id}, {one.part}, page {one.page:,}{when}")
        frame.console.out(_inert(_shown(one.raw, job, veil, as_it_came=raw)) + "\n")
    return 0


def _inert(text: str) -> str:
    """Safe for a terminal, line by line: a record may hold anything."""
    from recon.inert import terminal

    return "\n".join(terminal(line) for line in text.split("\n"))


def _run(state: "State", domain: str, run: str | None) -> "Run":
    """The run asked for, else the last one that fetched; BadRequest where there is none."""
    from recon.errors import BadRequest
    from recon.state.runs import Runs

    if run is not None:
        found = Runs(state).get(run)
        if found.domain != domain:
            msg = f"run {found.id} is of {found.domain}, not of {domain}"
            raise BadRequest(msg, hint=f"recon runs {domain}")
        return found
    fetched = next((one for one in Runs(state).recent(domain, 50) if one.folder is not None and one.key is None), None)
    if fetched is None:
        msg = f"no run of {domain} has fetched anything yet"
        raise BadRequest(msg, hint=f"recon check {domain}")
    return fetched


def _folder(project: "Project", run: "Run") -> str:
    """Where the run's pages lie; BadRequest where they lie no more, or elsewhere."""
    from pathlib import Path
    from socket import gethostname

    from recon.duration import words_of
    from recon.errors import BadRequest
    from recon.fetch.spool import PAGES

    folder = run.folder
    if folder is not None and (Path(folder) / PAGES).is_file():
        return folder
    if folder is None:
        msg, hint = f"run {run.id} of {run.domain} fetched nothing", f"recon runs {run.domain}"
    elif run.host not in {None, gethostname()}:
        msg, hint = f"the pages of run {run.id} lie on {run.host}", "ask there"
    else:
        kept = words_of(project.settings.retention.files)
        msg = f"the pages of run {run.id} are not on this disk any more: they are kept for {kept}"
        hint = f"[retention] files says for how long; recon check {run.domain} fetches now"
    raise BadRequest(msg, hint=hint)


def _shown(raw: bytes, job: "Job", veil: "Veil", *, as_it_came: bool) -> str:
    """The record for a reader. What is personal may stand anywhere in it, so of such a job only the declared fields are told."""
    if as_it_came:
        return raw.decode("utf-8", "replace")
    from recon.fetch.path import ABSENT, at_path

    whole = json.loads(raw)
    if not veil.names:
        return json.dumps(whole, indent=2, ensure_ascii=False)
    fields = {field.name: value for field in job.fields if (value := at_path(whole, field.at)) is not ABSENT}
    return json.dumps(veil.record(fields), indent=2, ensure_ascii=False)
