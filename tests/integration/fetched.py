"""A list at a real server, declared as recon.toml declares it, landed into a spool."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.rest import Rest
from recon.clock import Clock
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.provider import Listing
from recon.testing import section
from tests.servers.manual_clock import ManualClock


@dataclass(frozen=True)
class Fetched:
    """The certificate, and the records that lie on disk."""

    coverage: Coverage
    records: list[dict[str, Any]]

    @property
    def keys(self) -> list[str]:
        return [record["id"] for record in self.records]


def rest(url: str, orders: str, **settings: Any) -> Rest:
    """A rest provider with one resource, `orders`, whose table is `orders` in TOML."""
    return Rest(section("shop", base_url=url, resources={"orders": tomllib.loads(orders)}, **settings))


def fetched(provider: Rest, folder: Path, clock: Clock | None = None, on_page: Callable[[Coverage], None] | None = None) -> Fetched:
    """The whole list, each item once, as the last page that has it says where pages shift."""
    clock = clock or ManualClock()
    spool = Spool.open(folder)
    try:
        coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock, on_page=on_page)
        records = [json.loads(line) for frame in spool.frames() for line in frame.splitlines()]
        return Fetched(coverage, list({one["id"]: one for one in records}.values()) if spool.union else records)
    finally:
        spool.close()
