"""The demo's world: a shop at a third party, an application, the network between them, and a day's work in it."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from recon.demo.application import Application
from recon.demo.network import Network
from recon.demo.orders import SUPPLIERS, Shop, Step
from recon.demo.third_party import ThirdParty
from recon.publishers.signing import new_secret

SEED = 2026
HISTORY = 3600
PER_DAY = 260


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The application's endpoint answers 503 between two times."""

    start: datetime
    end: datetime


class World:
    """Both ends, running on loopback. `day` plays one day; drift comes of what the network does and how the handler takes it."""

    def __init__(self, folder: Path, *, start: datetime) -> None:
        self.token = new_secret()
        self.recon_secret = new_secret()
        shop_secret = new_secret()
        self.shop = Shop(SEED)
        #: Whose orders the shop recalls on the last day.
        self.suppliers = SUPPLIERS[:1]
        self.third_party = ThirdParty(token=self.token, throttle_every=97, error_share=0.006, seed=SEED)
        self.application = Application(folder / "app.db", shop_secret=shop_secret, recon_secret=self.recon_secret)
        self.network = Network(self.application.url, shop_secret, seed=SEED, now=start)
        history = self.shop.history(start, HISTORY)
        for order in history:
            self.third_party.create(order)
        self.application.load(history)
        self.third_party.on_change = self.network.send

    def day(self, until: datetime, *, extra: Iterable[Step] = (), outage: Outage | None = None) -> None:
        """Play from where the story stands until `until`, then let what is under way arrive."""
        start = self.network.now
        steps = heapq.merge(self.shop.day(start, PER_DAY), extra, key=lambda step: step.at)
        for step in steps:
            if step.at >= until:
                break
            self._advance(step.at, outage)
            self._do(step)
        self._advance(until, outage)
        # Webhooks that are hours late arrive before the night is checked: what stays different then is drift, not delay.
        self._advance(until + timedelta(hours=5), outage)
        self.network.now = until

    def _advance(self, at: datetime, outage: Outage | None) -> None:
        for edge, down in () if outage is None else ((outage.start, True), (outage.end, False)):
            if self.network.now < edge <= at:
                self.network.advance(edge)
                self.application.down = down
        self.network.advance(at)

    def _do(self, step: Step) -> None:
        if step.verb == "create":
            self.third_party.create(step.values)
        elif self.third_party.holds(step.key):
            if step.verb == "update":
                self.third_party.update(step.key, **step.values)
            else:
                self.third_party.delete(step.key)

    def differences(self) -> list[str]:
        """Where the two sides differ, read directly from both, without a line of the reconciler: empty when they agree."""
        held, kept = self.third_party.records, self.application.rows()
        found = [f"{key}: only at the third party" for key in sorted(held.keys() - kept.keys())]
        found += [f"{key}: only in the application" for key in sorted(kept.keys() - held.keys())]
        for key in sorted(held.keys() & kept.keys()):
            record, row = held[key], kept[key]
            pairs: dict[str, tuple[Any, Any]] = {name: (record[name], row[name]) for name in ("status", "amount", "currency", "created_at")}
            pairs["customer"] = (record["customer"]["id"], row["customer"])
            found += [f"{key}: {name} is {there!r} there and {here!r} here" for name, (there, here) in pairs.items() if there != here]
        return found

    def close(self) -> None:
        """Stop both ends."""
        self.network.close()
        self.third_party.close()
        self.application.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
