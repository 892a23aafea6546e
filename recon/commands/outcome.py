"""How a command ends: exit codes, which of several is the most severe, and how an error is told."""

import sys
from collections.abc import Iterable

import click

from recon.errors import ReconError

DONE = 0
UNEXPECTED = 1
DISCREPANCIES = 3
TRY_AGAIN = 75
INTERRUPTED = 130

#: Most severe first, by how surely a person is needed: a fault in the program, a fault in the definitions, a decision, events
#: that did not arrive; then what another try may mend by itself; then what was asked for with --exit-code.
SEVERITY = (UNEXPECTED, 2, 4, 6, TRY_AGAIN, DISCREPANCIES, DONE)


def most_severe(codes: Iterable[int]) -> int:
    """The exit code of a command over several domains; an unknown code counts as unexpected."""
    return min(codes, key=lambda code: SEVERITY.index(code) if code in SEVERITY else 0, default=DONE)


def error_text(error: BaseException) -> str:
    """An error as a person should read it: what happened, where in the file, the way out; masked and inert."""
    from recon.inert import terminal
    from recon.redact import redact

    lines = [f"error: {error}"]
    if isinstance(error, ReconError):
        lines += getattr(error, "__notes__", ())
        if error.hint:
            lines.append(f"  hint: {error.hint}")
    return "".join(f"{terminal(line)}\n" for text in lines for line in redact(text).split("\n"))


def report_error(error: BaseException) -> int:
    """Tells an error on stderr and answers the exit code that it ends the command with."""
    if isinstance(error, ReconError):
        sys.stderr.write(error_text(error))
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.UsageError):
        from recon.redact import redact

        usage = f"{error.ctx.get_usage()}\n" if error.ctx is not None else ""
        help_ = f"  hint: {error.ctx.command_path} --help\n" if error.ctx is not None else ""
        sys.stderr.write(redact(f"{usage}error: {error.format_message()}\n{help_}"))
        return error.exit_code
    if isinstance(error, click.ClickException):
        sys.stderr.write(error_text(error))
        return error.exit_code
    from recon.redact import formatted

    sys.stderr.write(formatted(error))
    sys.stderr.write("error: this should not have happened; the lines above say where. Nothing more was done.\n")
    return UNEXPECTED
