"""The demo's project folder: the files a user would write, with the addresses of the demo's two ends."""

import json
import os
from pathlib import Path

SETTINGS = """\
# The project of `recon demo`. The shop and the application ran on loopback and are gone when the demo is over,
# so a run from here says INCOMPLETE; the reports, the state and the store are all still there to look at.

[providers.shop]
type = "rest"
base_url = {api}
auth = {{ bearer = {{ file = "secrets/shop-token" }} }}
rate = {{ requests = 2000, per = 1 }}

[providers.shop.resources.orders]
path = "orders"
records = "data"
paging = {{ rule = "cursor", param = "cursor", at = "next_cursor", more = "has_more" }}
params = {{ limit = 100 }}
get = "orders/{{key}}"
deleted = {{ at = "deleted", is = true }}
link = "https://dashboard.shop.example/orders/{{key}}"

[stores.main]
url = "sqlite:///app.db"

# Corrections go to the application's own webhook handler.
[publishers.application]
type = "webhook"
url = {hook}
secret = {{ file = "secrets/recon-hook" }}

[jobs.orders]
publisher = "application"
schedule = "0 3 * * *"
settle = "2m"
# The story's days end at midnight sharp: nothing is still on its way when the night begins.
lag = "0s"
"""

JOB = '''\
"""Orders: what the shop has, held against what the application keeps of it."""

from recon import Field, Job, Money, Table, Timestamp

orders = Job(
    domain="orders",
    description="Orders of the shop, as the application knows them from its webhooks",
    provider="shop",
    resource="orders",
    table=Table(name="orders"),
    fields=(
        Field("status"),
        Field("total", Money(currency="currency"), path="amount", column="amount"),
        Field("currency"),
        Field("customer", path="customer.id"),
        Field("created", Timestamp(store="iso"), path="created_at", column="created_at"),
        # Shown and not compared: when it changed says nothing about whether it is right.
        Field("updated", Timestamp(store="iso"), path="updated_at", column="updated_at", compare=False),
    ),
    created="created",
    updated="updated",
    money="total",
    event="order",
)
'''


def write_project(folder: Path, *, api: str, hook: str, token: str, secret: str) -> None:
    """Writes recon.toml, jobs/orders.py and the two secrets (0600)."""
    (folder / "jobs").mkdir()
    (folder / "secrets").mkdir(mode=0o700)
    (folder / "recon.toml").write_text(SETTINGS.format(api=json.dumps(api), hook=json.dumps(hook)), encoding="utf-8")
    (folder / "jobs" / "orders.py").write_text(JOB, encoding="utf-8")
    for name, text in (("shop-token", token), ("recon-hook", secret)):
        handle = os.open(folder / "secrets" / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
