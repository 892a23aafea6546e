"""Whether a listing that is fetched in parts can be: one page with the bounds of a part that the first page's own item lies in."""

import json
import math
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace

from recon.doctor.check import Check, ok, warn
from recon.errors import FilterIgnored
from recon.fetch.cut import key_of
from recon.fetch.edges import place
from recon.fetch.narrowing import Ranges, Shards
from recon.fetch.page import Page
from recon.fetch.partition import Partition
from recon.fetch.path import ABSENT, at_path
from recon.fetch.session import wire
from recon.job import Job
from recon.provider import Listing, Provider


def in_parts(provider: Provider, job: Job, page: Page, listing: Listing) -> Iterator[Check]:
    """Asks for the narrowest part that an item of the first page lies in; nothing where the listing is fetched in one. Raises ProviderError leaves."""
    plan = getattr(provider, "planner", None)
    planner = plan(listing) if callable(plan) else None
    first = planner.following([]) if planner is not None else None
    if first is None or not first.narrowed or not page.items:
        return
    part = _around(page.items[0], getattr(provider, "catalogue", {}).get(job.resource), first)
    name = f"{job.provider}.{job.resource}: one page of {part.name}"
    try:
        pages = provider.fetch(replace(listing, partition=part))
        with closing(pages) if isinstance(pages, Generator) else nullcontext():
            found = next(pages)
    except FilterIgnored as error:
        yield warn("in parts", error.message, error.hint or "it is fetched in one, and that takes longer", job.domain)
        return
    path = job.key_path or provider.key_path(job.resource)
    keys = {key_of(item, path) for item in found.items}
    if part != first and found.end is not None and key_of(page.items[0], path) not in keys:
        hint = "the bounds, their form, or the field that they bound are not as declared: such parts would lose items"
        yield warn("in parts", f"{name} does not hold the item that lies in it", hint, job.domain)
        return
    yield ok("in parts", f"{name}: {len(found.items):,} items, each within its bounds", job.domain)


def _around(item: bytes, resource: object, first: Partition) -> Partition:
    """The narrowest part that the item lies in, as far as can be told; else the first one of the plan."""
    ranges, shards = getattr(resource, "ranges", None), getattr(resource, "shards", None)
    record = json.loads(item)
    if isinstance(ranges, Ranges):
        at = place(at_path(record, ranges.at), ranges.form)
        if at is not None and math.isfinite(at):
            low = math.floor(at)
            return Partition(name=f"{ranges.at} from {ranges.low} to {ranges.high} of its first item", low=low, high=low + 1)
    if isinstance(shards, Shards) and shards.at is not None:
        value = at_path(record, shards.at)
        if value is not ABSENT and isinstance(value, str | int | float) and wire(value) in shards.values:
            return Partition(name=f"{shards.param} = {wire(value)}", params={shards.param: wire(value)}, shard=wire(value))
    return first
