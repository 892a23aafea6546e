"""The provider, really asked: one page, and one item of it by id."""

import json
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from recon.clock import Clock
from recon.doctor.check import Check, fail, ok, warn
from recon.doctor.in_parts import in_parts
from recon.doctor.machine import skew
from recon.errors import Refused, UnknownName
from recon.fetch.page import LookupStatus, Page
from recon.job import Job
from recon.project import Project
from recon.provider import Listing, Provider

ONE_BY_ONE = "every discrepancy is read again by id before it is believed; without that everything is listed a second time"


def third_party(project: Project, job: Job, clock: Clock) -> Iterator[Check]:
    """Construct, authenticate, fetch a page, read an item, compare clocks, and pass on what the provider itself warns of."""
    provider = project.provider(job.provider)
    if job.resource not in provider.resources():
        error = UnknownName(f"provider {job.provider!r} has no resource {job.resource!r}", hint=f"it has {', '.join(provider.resources())}")
        yield fail("provider", error, job.domain)
        return
    today = clock.now().astimezone(ZoneInfo(job.timezone)).date()
    listing = Listing(resource=job.resource, params=job.params, clock=clock, day=today)
    page = _first_page(provider, listing)
    more = "the whole listing" if page.end is not None else "more follow"
    total = f", {page.total:,} in all by its own count" if page.total is not None else ""
    yield ok("provider", f"{job.provider}.{job.resource}: one page fetched, {len(page.items):,} items, {more}{total}", job.domain)
    if page.unread:
        yield warn("provider", f"{len(page.unread):,} items of the page cannot be read: {page.unread[0].why}", domain=job.domain)
    yield from _scope(provider, job, page)
    yield from in_parts(provider, job, page, listing)
    yield from _by_id(provider, job, page, clock)
    date = getattr(provider, "server_date", None)
    if isinstance(date, datetime):
        yield skew("clock", job.domain, f"provider {job.provider}", date, clock.now())
    warnings = getattr(provider, "warnings", None)
    if callable(warnings):
        for text in warnings():
            yield warn("provider", str(text), domain=job.domain)


def _scope(provider: Provider, job: Job, page: Page) -> Iterator[Check]:
    """A header of `scope_headers` that the answer does not have guards nothing, whatever list the next page is of.

    One that the provider's class names by itself may be of some credentials only.
    """
    own = getattr(type(provider), "scope_headers", {})
    for name, header in getattr(provider, "scope_headers", {}).items():
        if name not in page.scope and own.get(name) != header:
            words = f"the page came without the header {header}, so nothing says that all pages are for the same {name}"
            yield warn("provider", words, f"correct scope_headers.{name} in [providers.{provider.name}], or leave it out", job.domain)


def _first_page(provider: Provider, listing: Listing) -> Page:
    sample = getattr(provider, "sample", provider.fetch)
    pages = sample(listing)
    # A generator that is left half-way lets its connection go only when it is closed.
    with closing(pages) if isinstance(pages, Generator) else nullcontext():
        return next(pages)


def _by_id(provider: Provider, job: Job, page: Page, clock: Clock) -> Iterator[Check]:
    if not provider.can_get(job.resource):
        yield warn("by id", f"{job.provider}.{job.resource} cannot be read by id", f"declare get=; {ONE_BY_ONE}", job.domain)
        return
    if not page.items:
        yield warn("by id", "the first page is empty, so no item could be read by id", "is this the right account?", job.domain)
        return
    path = job.key_path or provider.key_path(job.resource)
    key = _at(json.loads(page.items[0]), path)
    if key is None or isinstance(key, dict | list | bool):
        error = Refused(f"the first item has no key at {path!r}", hint="correct the resource's key, or key_path= of the job")
        yield fail("by id", error, job.domain)
        return
    shown = "(its key is personal)" if job.personal_key else str(key)
    lookup = next(iter(provider.get_many(job.resource, [str(key)], clock=clock)))
    if lookup.status is LookupStatus.FOUND:
        yield ok("by id", f"item {shown} of that page was read by id", job.domain)
    else:
        words = f"item {shown} of the first page, read by id: {lookup.status.value} {lookup.why.replace(str(key), shown)}".rstrip()
        yield fail("by id", Refused(words, hint=f"the credential needs the right to read single items; {ONE_BY_ONE}"), job.domain)


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict):
            value = value.get(name)
        else:
            return None
    return value
