"""`recon state`."""

from dataclasses import asdict

import click

from recon.commands.frame import Frame, framed

UNSOUND = 1
MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@click.group()
def state() -> None:
    """Copy the reconciler's own database, or check that it is sound."""


@state.command()
@click.argument("file", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def backup(frame: Frame, file: str | None, as_json: bool) -> None:
    """Copy the SQLite state into FILE while others go on writing; by default into .recon/backups, under the time.

    The copy is consistent, checked, for its owner only, and takes FILE's place in one step. A state in PostgreSQL is not copied: exit
    code 2, with the pg_dump command that does it.
    """
    from pathlib import Path

    from recon.files import private_folder
    from recon.state.backup import backup as copied
    from recon.state.soundness import size_words

    with frame.project() as project:
        if file is None:
            stamp = frame.clock.now().strftime("%Y%m%dT%H%M%SZ")
            # Made only once it is known that there is something to copy.
            target = project.work_folder / "backups" / f"state-{stamp}.db"
            private_folder(target.parent)
        else:
            target = Path(file)
        done = copied(project.state_url, target)
    if as_json:
        frame.console.json({"schema": "recon.state.backup/1", **asdict(done), "file": str(done.file)})
    else:
        frame.console.say(f"{done.file}: {size_words(done.bytes)}, revision {done.revision}, {done.runs:,} runs, whole")


@state.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def check(frame: Frame, as_json: bool) -> int:
    """Check that the state is sound: its file, its rows, and what must hold between them. Nothing is changed.

    Revision, integrity, foreign keys, the state's own laws, rows that belong nowhere, runs that were left, room on the disk, and the
    size of each table. Exit code 0, or 1 where something is broken.
    """
    from recon.state.soundness import Level, examine, size_words

    with frame.project() as project:
        findings, sizes = examine(project.state_url)
    code = UNSOUND if any(finding.level is Level.FAIL for finding in findings) else 0
    if as_json:
        body = {"findings": [asdict(finding) for finding in findings], "tables": [asdict(size) for size in sizes]}
        frame.console.json({"schema": "recon.state.check/1", "exit_code": code, **body})
        return code
    for finding in findings:
        if frame.console.quiet and finding.level is not Level.FAIL:
            continue
        frame.console.out(f"{MARKS[finding.level]}  {finding.name}: {finding.message}")
        if finding.hint:
            frame.console.out(f"      {finding.hint}")
    if not frame.console.quiet:
        frame.console.out("\n")
        for size in sizes:
            frame.console.out(f"{size.table:<18}  {size.rows:>12,} rows  {size_words(size.bytes):>12}")
    return code
