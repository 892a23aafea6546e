"""`recon check`."""

import click

from recon.commands.frame import Frame, framed
from recon.commands.several import Several, chosen
from recon.commands.work import Work, finish, show_sql
from recon.errors import BadRequest


@click.command()
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every domain that is on.")
@click.option("--id", "key", metavar="KEY", help="Look at this one item only.")
@click.option("--exit-code", "on_discrepancies", is_flag=True, help="Exit with 3 where there are discrepancies.")
@click.option("--show-sql", "sql", is_flag=True, help="Print the SQL that the stores would be asked, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def check(frame: Frame, *, domains: tuple[str, ...], every: bool, key: str | None, on_discrepancies: bool, sql: bool, as_json: bool) -> int:
    """Compare each DOMAIN now, read only: nothing is emitted, and no discrepancy's life is touched.

    The same as `recon run --dry-run`.
    """
    from recon.run import Order

    with frame.project() as project:
        names = chosen(project, domains, every=every, console=frame.console)
        if sql:
            return show_sql(frame, project, names)
        if key and len(names) != 1:
            msg = f"--id goes with one domain, not {len(names)}"
            raise BadRequest(msg)
        several = Several(frame.console, exit_on_discrepancies=on_discrepancies)
        with frame.state(project) as state:
            work = Work(frame, project, state, as_json)
            several.each(names, lambda name: work.order(Order(domain=name, dry_run=True, key=key)))
        return finish(frame, several, as_json=as_json)
