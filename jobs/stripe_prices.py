"""Prices: how much a product costs, and how often. `unit_amount` is null for tiered prices, `recurring` for one-off ones.

The object: https://docs.stripe.com/api/prices/object (read 2026-11).

```sql
create table stripe_prices (
  id              text primary key,
  product_id      text not null,
  active          boolean not null,
  currency        text not null,
  unit_amount     bigint,
  billing_scheme  text not null,
  type            text not null,
  "interval"      text,
  interval_count  bigint,
  lookup_key      text,
  metadata        jsonb not null,
  created_at      timestamptz not null
);
```
"""

from recon import Field, Job, Money, Table, Timestamp

prices = Job(
    domain="stripe_prices",
    description="Prices at Stripe, active or not, against stripe_prices.",
    provider="stripe",
    resource="prices",
    table=Table(name="stripe_prices", key="id"),
    fields=(
        Field("product", column="product_id"),
        Field("active", "boolean"),
        Field("currency"),
        Field("unit_amount", Money(currency="currency")),
        Field("billing_scheme"),
        Field("type"),
        Field("interval", path="recurring.interval", missing_is_null=True),
        Field("interval_count", "integer", path="recurring.interval_count", missing_is_null=True),
        Field("lookup_key"),
        Field("metadata", "json"),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="price",
    created="created",
    money="unit_amount",
    schedule="50 2 * * *",
    timezone="UTC",
)
