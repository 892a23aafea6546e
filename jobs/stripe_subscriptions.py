"""Subscriptions of every status, cancelled ones too: the provider lists them with `status=all`.

The object: https://docs.stripe.com/api/subscriptions/object (read 2026-11). Stripe sends null, not nothing, for a moment that
has not come (`cancel_at`, `canceled_at`, `ended_at`, `trial_end`). Since version 2025-03-31.basil the current period belongs to
each item. A subscription with more than one price has more than one item; this job compares the first: where yours
have several, compare `items.data` as JSON.

```sql
create table stripe_subscriptions (
  id                    text primary key,
  status                text not null,
  customer_id           text not null,
  price_id              text not null,
  quantity              bigint,
  current_period_end    timestamptz not null,
  cancel_at_period_end  boolean not null,
  cancel_at             timestamptz,
  canceled_at           timestamptz,
  ended_at              timestamptz,
  trial_end             timestamptz,
  currency              text not null,
  metadata              jsonb not null,
  created_at            timestamptz not null
);
```
"""

from recon import Field, Job, Table, Timestamp

moment = Timestamp(provider="epoch_s")

subscriptions = Job(
    domain="stripe_subscriptions",
    description="Subscriptions at Stripe, of every status, against stripe_subscriptions.",
    provider="stripe",
    resource="subscriptions",
    table=Table(name="stripe_subscriptions", key="id"),
    fields=(
        Field("status"),
        Field("customer", column="customer_id"),
        Field("price", path="items.data.0.price.id", column="price_id"),
        # A metered price has no quantity: the table has null there.
        Field("quantity", "integer", path="items.data.0.quantity", missing_is_null=True),
        Field("current_period_end", moment, path="items.data.0.current_period_end"),
        Field("cancel_at_period_end", "boolean"),
        Field("cancel_at", moment),
        Field("canceled_at", moment),
        Field("ended_at", moment),
        Field("trial_end", moment),
        Field("currency"),
        Field("metadata", "json"),
        Field("created", moment, column="created_at"),
    ),
    event="subscription",
    created="created",
    settle="5m",
    schedule="25 2 * * *",
    timezone="UTC",
)
