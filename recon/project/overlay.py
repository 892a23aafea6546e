"""What `[jobs.NAME]` in recon.toml says, laid over the job that a file declares."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from recon.errors import BadDefinition
from recon.job import BadJob, Guard, Job, Table
from recon.secret import SecretRef
from recon.section import Section
from recon.settings.load import is_zone

#: Keys that name something else in recon.toml or in the provider.
NAMES = ("provider", "resource", "store")
SHARES = tuple(f.name for f in fields(Guard) if f.name != "floor")


def overlay(job: Job, section: Section, *, zone: str) -> Job:
    """The job as this project runs it; raises BadSetting with key and line.

    `zone` is `[project] timezone`: it holds for a job that neither its file nor its table moves away from UTC.
    """
    section.flag("enabled", True)
    changes: dict[str, Any] = {key: section.text(key) for key in (*NAMES, "description", "account", "region") if key in section.table}
    if "publisher" in section.table:
        changes["publisher"] = _publishers(section)
    _times(section, changes)
    if "schedule" in section.table:
        changes["schedule"] = section.text("schedule") or None
        problem = schedule_problem(changes["schedule"])
        if problem:
            raise section.bad("schedule", problem, hint='five fields, such as "0 3 * * *" (03:00 each night); "" switches it off')
    if "guard" in section.table:
        changes["guard"] = _guard(section, job.guard)
    if "params" in section.table:
        changes["params"] = {**job.params, **_scalars(section, "params")}
    if {"table", "schema", "where"} & section.table.keys():
        changes["table"] = _table(section, job)
    if not isinstance(section.take("heartbeat", ""), str | SecretRef):
        raise section.bad(
            "heartbeat", "wants a URL or a reference", hint='such as heartbeat = { env = "ORDERS_HEARTBEAT" }; "" switches it off'
        )
    _know(section)
    section.finish()
    if job.timezone == "UTC" and "timezone" not in section.table:
        changes["timezone"] = zone
    try:
        return job.with_settings(**changes)
    except BadJob as error:
        raise section.bad(next(iter(changes), "enabled"), str(error)) from None


def _know(section: Section) -> None:
    """Has the section know every key of a job's table, so that a near miss finds it."""
    for key in JOB_KEYS:
        section.take(key, None)


JOB_KEYS = (
    *NAMES,
    "account",
    "delete_nights",
    "description",
    "enabled",
    "guard",
    "heartbeat",
    "hold_expires",
    "lag",
    "params",
    "publisher",
    "raise_after",
    "region",
    "schedule",
    "schema",
    "settle",
    "table",
    "timezone",
    "verify_after",
    "where",
)


def _publishers(section: Section) -> str | tuple[str, ...]:
    """One name, or a list of them."""
    names = section.typed("publisher", (str, list), words="a name or a list of names")
    if isinstance(names, str):
        return names
    if not names or not all(isinstance(name, str) for name in names):
        raise section.bad(
            "publisher", "wants a name or a list of names", hint='such as publisher = ["bus", "audit"]; leave it out to send nothing'
        )
    return tuple(names)


def _times(section: Section, changes: dict[str, Any]) -> None:
    for key in ("settle", "lag", "hold_expires", "verify_after"):
        if key in section.table:
            changes[key] = section.duration(key)
    for key in ("delete_nights", "raise_after"):
        if key in section.table:
            changes[key] = section.integer(key, low=1)
    if "timezone" in section.table:
        changes["timezone"] = section.text("timezone")
        if not is_zone(changes["timezone"]):
            raise section.bad(
                "timezone", f"{changes['timezone']!r} is no time zone", hint="names are such as UTC, Europe/Paris, America/New_York"
            )


def _guard(section: Section, guard: Guard) -> Guard:
    table = section.sub("guard")
    changes: dict[str, Any] = {}
    for name in SHARES:
        if (share := table.number(name, None)) is not None:
            changes[name] = float(share)
            if not 0 <= share <= 1:
                raise table.bad(name, f"is {share}; a share lies between 0 and 1 (0.02 is 2%)")
    if (floor := table.integer("floor", None, low=0)) is not None:
        changes["floor"] = floor
    table.finish()
    return replace(guard, **changes)


def _scalars(section: Section, key: str) -> dict[str, Any]:
    table = section.mapping(key)
    for name, value in table.items():
        if not isinstance(value, str | int | float | bool):
            raise section.sub(key).bad(name, f"wants a text, a number, true or false, not {type(value).__name__}")
    return dict(table)


def _table(section: Section, job: Job) -> Table:
    given = {"table": "name", "schema": "schema", "where": "where"}
    changes = {field: section.text(key) for key, field in given.items() if key in section.table}
    if not isinstance(job.table, Table):
        key = next(key for key in given if key in section.table)
        raise section.bad(key, f"{job.domain} reads an SQL text, not a table", hint="change the text in the job's file")
    return replace(job.table, **changes)


def schedule_problem(line: str | None) -> str | None:
    """Why a cron line cannot serve, or None where it can."""
    if line is None:
        return None
    from cronsim import CronSim, CronSimError

    if len(line.split()) != 5:
        return f"{line!r} has {len(line.split())} fields; a cron line has five: minute hour day month weekday"
    try:
        next(CronSim(line, datetime.now(UTC)))
    except (CronSimError, StopIteration) as error:
        return f"{line!r} is no cron line: {str(error) or 'it never fires'}"
    return None


def check_declared(job: Job, place: str) -> None:
    """The declarations that only the project can check; raises BadDefinition naming the file."""
    problem = schedule_problem(job.schedule)
    if problem:
        msg = f"{place}: {job.domain}: schedule {problem}"
        raise BadDefinition(msg, hint='five fields, such as "0 3 * * *" (03:00 each night)')
    if not is_zone(job.timezone):
        msg = f"{place}: {job.domain}: timezone {job.timezone!r} is no time zone"
        raise BadDefinition(msg, hint="names are such as UTC, Europe/Paris, America/New_York")
