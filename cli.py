"""The command line: parse, call, print, exit code. Each command's body is imported when it runs, and not before."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from recon.commands.outcome import INTERRUPTED, report_error
from recon.commands.signals import Terminated, terminating

#: Name -> (module and object, one line of help, section of `recon --help`).
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("recon.commands.init:init", "Write a new project: settings, a job, a provider, a test.", "Start"),
    "demo": ("recon.commands.demo:demo", "Five nights of a small shop, on this machine, with no keys.", "Start"),
    "new": ("recon.commands.new:new", "Add a domain or a provider to the project.", "Start"),
    "doctor": ("recon.commands.doctor:doctor", "Check what would make tonight fail.", "Start"),
    "list": ("recon.commands.list_:list_", "Show each job, provider, store and publisher, and its file.", "Start"),
    "config": ("recon.commands.config:config", "Show the settings and where each came from.", "Start"),
    "check": ("recon.commands.check:check", "Compare now, read only: nothing is emitted.", "Reconcile"),
    "run": ("recon.commands.run:run", "Reconcile domains: fetch, compare, confirm, emit, report.", "Reconcile"),
    "publish": ("recon.commands.publish:publish", "Deliver events that still wait in the outbox.", "Reconcile"),
    "replay": ("recon.commands.replay:replay", "Send events again that were sent before, under their ids.", "Reconcile"),
    "schedule": ("recon.commands.schedule:schedule", "Run each job at its time, in the foreground; or print units.", "Reconcile"),
    "prune": ("recon.commands.prune:prune", "Remove by age what ended runs left.", "Reconcile"),
    "runs": ("recon.commands.runs:runs", "List past runs and since when each domain agrees.", "Look"),
    "show": ("recon.commands.show:show", "Show the discrepancies of a run.", "Look"),
    "explain": ("recon.commands.explain:explain", "Tell the life of one key across nights.", "Look"),
    "record": ("recon.commands.record:record", "Print a record as the third party listed it that night.", "Look"),
    "events": ("recon.commands.events:events", "List event types; print schemas and AsyncAPI; keep the register.", "Look"),
    "report": ("recon.commands.report:report", "Write a run's report as HTML, JSON, CSV, Markdown or JUnit.", "Look"),
    "held": ("recon.commands.held:held", "List plans that wait for a person.", "Decide"),
    "approve": ("recon.commands.approve:approve", "Let a held plan go out, once, by its checksum.", "Decide"),
    "reject": ("recon.commands.approve:reject", "Turn a held plan down.", "Decide"),
    "dead": ("recon.commands.dead:dead", "List events refused for good; send them again, or let them go.", "Decide"),
    "ack": ("recon.commands.ack:ack", "Silence a known discrepancy until a date or a change.", "Decide"),
    "unack": ("recon.commands.ack:unack", "Take an acknowledgement back.", "Decide"),
    "state": ("recon.commands.state:state", "Copy the state database, or check that it is sound.", "Look"),
    "version": ("recon.commands.version:version", "Print the version.", "Look"),
}


class Lazy(click.Group):
    """A group that knows its commands by name and loads one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of `COMMANDS`."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest names where there is no such command."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 3)
            ways = f"did you mean {' or '.join(near)}?" if near else "recon --help lists the commands"
            raise click.UsageError(f"no command {args[0]!r}; {ways}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, from the table above: nothing is imported."""
        del ctx
        for section in dict.fromkeys(entry[2] for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, entry[1]) for name, entry in COMMANDS.items() if entry[2] == section])


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--project", metavar="DIR", help="The project's folder [RECON_PROJECT, else the nearest recon.toml upward].")
@click.option("--version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def cli(ctx: click.Context, project: str | None, version: bool) -> None:
    """Nightly reconciliation: compare a third party's full state with your own records, and emit what corrects them."""
    ctx.obj = project
    del version


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and answers its exit code; every error is told on stderr, with secrets masked."""
    if "_RECON_COMPLETE" in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "recon", "_RECON_COMPLETE", os.environ["_RECON_COMPLETE"])
    words = ["version", *arguments[1:]] if arguments[:1] == ["--version"] else list(arguments)
    try:
        with terminating(), cli.make_context("recon", words) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("\ninterrupted\n")
        code = INTERRUPTED
    except Terminated as ended:
        sys.stderr.write("terminated\n")
        code = ended.exit_code
    except BrokenPipeError:
        code = 0
    except Exception as error:  # noqa: BLE001 - the last door: whatever comes is told, masked, with an exit code
        code = report_error(error)
    return code if isinstance(code, int) else 0


def main() -> None:
    """The entry point of the `recon` script."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away; what the interpreter would still flush goes nowhere, and quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
