"""`recon doctor`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from recon.commands.frame import Frame, framed
from recon.commands.outcome import report_error
from recon.errors import ReconError
from recon.inert import terminal

if TYPE_CHECKING:
    from recon.doctor import Check

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@click.command()
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option("--overdue", "nights", is_flag=True, help="Only whether a night did not happen: who is overdue, since when, why.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def doctor(frame: Frame, *, domains: tuple[str, ...], nights: bool, as_json: bool) -> int:
    """Check what would make tonight fail, for these domains or all.

    Settings, the state database, folders and room on the disk; then per domain: the job, its secrets, the store with its columns
    and rights, the provider with one page really fetched and one item read by id, the publisher, the clocks, the schedule,
    and whether the addresses of [notify] and [heartbeat] can be used (nothing is posted).
    Exit code 0, 2 (a definition must be mended) or 75.

    With --overdue, ask the timetables and the state database alone whether a night did not happen: exit code 75 where one did not.
    """
    from recon.doctor import Level, examine, exit_code, overdue

    checks: list[Check] = []
    try:
        with frame.project() as project:
            place = None
            for check in (overdue if nights else examine)(project, domains, frame.clock):
                checks.append(check)
                if as_json or (frame.console.quiet and check.level is not Level.FAIL):
                    continue
                if check.domain != place and check.domain:
                    place = check.domain
                    frame.console.out(f"\n{place}")
                frame.console.out(f"  {MARKS[check.level]}  {check.name:<9}  {terminal(check.message)}")
                if check.hint:
                    frame.console.out(f"        {'':<9}  {terminal(check.hint)}")
    except ReconError as error:
        if not as_json:
            raise
        checks.append(_failed(error))
    code = exit_code(checks)
    if as_json:
        frame.console.json({"schema": "recon.doctor/1", "exit_code": code, "checks": [asdict(check) for check in checks]})
    else:
        counts = {level: sum(check.level is level for check in checks) for level in Level}
        failing = "overdue or broken" if nights else "that would fail"
        frame.console.say(f"\n{counts[Level.OK]} ok, {counts[Level.WARN]} to look at, {counts[Level.FAIL]} {failing}")
    return code


def _failed(error: ReconError) -> "Check":
    from recon.doctor.check import fail

    report_error(error)
    return fail("settings", error)
