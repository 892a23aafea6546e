"""The doctor's round: what concerns all, then each domain in the order in which a run would need things."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from zoneinfo import ZoneInfo

from recon.clock import Clock, iso
from recon.doctor.check import Check, Level, fail, guarded, ok, warn
from recon.doctor.events import events
from recon.doctor.machine import machine, skew
from recon.doctor.third_party import third_party
from recon.errors import BadSetting, ReconError, StoreMismatch
from recon.heartbeat import Heartbeat
from recon.job import Job
from recon.native import NoWebhook
from recon.project import Project
from recon.publishers.base import Says
from recon.secret import SecretRef
from recon.stores.base import Selection


def examine(project: Project, domains: Sequence[str], clock: Clock) -> Iterator[Check]:
    """Every finding, as it is made. `domains` empty means all that are on or broken. Raises nothing."""
    yield from machine(project, clock)
    wanted = list(domains) or project.domains
    if not wanted:
        yield warn("job", "no domain is on", "recon new domain NAME writes one; a shipped job is switched on by a table [jobs.NAME]")
    yield from guarded("events", None, lambda: events(project, clock))
    for stray in project.found.stray:
        if stray.domain not in wanted:
            yield warn("job", f"{stray.error.message}, so what it says reaches nobody", stray.error.hint or "")
    for domain in wanted:
        yield from _domain(project, domain, clock)


def _domain(project: Project, domain: str, clock: Clock) -> Iterator[Check]:
    try:
        job = project.job(domain)
    except ReconError as error:
        yield fail("job", error, domain)
        return
    yield ok("job", f"{len(job.fields)} fields, {job.provider}.{job.resource} against store {job.store}", domain)
    looks: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("secrets", lambda: _secrets(project, job)),
        ("store", lambda: _store(project, job, clock)),
        ("provider", lambda: third_party(project, job, clock)),
        *[("publisher", lambda name=name: _publisher(project, job, name)) for name in job.publishers or ("",)],
        ("schedule", lambda: _schedule(job, clock)),
        ("heartbeat", lambda: _heartbeat(project, job, clock)),
    ]
    told: set[str] = set()
    for name, look in looks:
        for check in guarded(name, domain, look):
            # A secret that is missing is told once, and not again by each part that would need it.
            if check.level is not Level.FAIL or check.message not in told:
                yield check
            told.add(check.message)


def _secrets(project: Project, job: Job) -> Iterator[Check]:
    """Each reference in the tables that this job uses leads somewhere; the secret itself is looked at by nobody."""
    tables = [("providers", job.provider), ("stores", job.store), *(("publishers", name) for name in job.publishers)]
    references = [leaf.value for path, leaf in project.settings.leaves.items() if path[:2] in tables and isinstance(leaf.value, SecretRef)]
    missing = 0
    for reference in references:
        try:
            reference.get()
        except ReconError as error:
            missing += 1
            yield fail("secrets", error, job.domain)
    if not missing:
        yield ok("secrets", f"{len(references)} of {len(references)} references lead to a secret", job.domain)


def _store(project: Project, job: Job, clock: Clock) -> Iterator[Check]:
    health = project.store(job.store).health(Selection.of(job))
    here = clock.now()
    who = f" as {health.user}" if health.user else ""
    if not health.readable_columns:
        error = StoreMismatch(
            f"{job.store}: {health.detail or 'not every column of the job can be read'}", hint=f"recon check {job.domain} --show-sql"
        )
        yield fail("store", error, job.domain)
        return
    yield ok("store", f"{health.server}{who}; every column of the job can be read", job.domain)
    if health.detail:
        yield warn("store", health.detail, "docs/stores.md says what it means", job.domain)
    if health.writable:
        hint = "give recon a user with SELECT on what it compares, and nothing else"
        yield warn("rights", f"the user of store {job.store}{who} could write", hint, job.domain)
    elif health.writable is None:
        yield ok("rights", "whether the store's user could write could not be found out; recon itself only reads", job.domain)
    else:
        yield ok("rights", "the store's user can only read", job.domain)
    yield skew("clock", job.domain, f"store {job.store}", health.now, here)


def _publisher(project: Project, job: Job, name: str) -> Iterator[Check]:
    if not name:
        hint = f'name one: publisher = "…" in [jobs.{job.domain}]'
        yield ok("publisher", f"none is named, so discrepancies are reported and nothing is sent ({hint})", job.domain)
        return
    publisher = project.publisher(name)
    yield ok("publisher", f"{name}: {publisher.health()}", job.domain)
    try:
        told = publisher.says(job) if isinstance(publisher, Says) else None
    except NoWebhook as error:
        yield fail("webhook", BadSetting(f"{name}: {error}"), job.domain)
    else:
        if told is not None:
            yield ok("webhook", f"{name}: {told}", job.domain)


def _schedule(job: Job, clock: Clock) -> Iterator[Check]:
    if job.schedule is None:
        yield warn("schedule", "it has none, and runs by hand only", f'schedule = "0 3 * * *" in [jobs.{job.domain}]', job.domain)
        return
    from cronsim import CronSim

    zone = ZoneInfo(job.timezone)
    instant = next(CronSim(job.schedule, clock.now().astimezone(zone))).astimezone(UTC)
    local = f" ({instant.astimezone(zone):%H:%M} {job.timezone})" if job.timezone != "UTC" else ""
    yield ok("schedule", f"{job.schedule}: next at {iso(instant)}{local}", job.domain)


def _heartbeat(project: Project, job: Job, clock: Clock) -> Iterator[Check]:
    """A run whose URL cannot be used pings nothing and goes on, so that it is said here; nothing is pinged."""
    said: list[str] = []
    if Heartbeat.of(project.settings, job.domain, clock=clock, say=said.append).silent:
        for why in said:
            hint = 'such as url = { env = "RECON_HEARTBEAT_URL" } under [heartbeat], and the variable set for whatever runs recon'
            yield fail("heartbeat", BadSetting(why, hint=hint), job.domain)
        return
    yield ok("heartbeat", "its URL can be used (nothing was pinged)", job.domain)
