"""Payment intents: what a customer set out to pay, and how far it came.

The object: https://docs.stripe.com/api/payment_intents/object (read 2026-11). An intent changes its status for days, so the
settle time is longer than elsewhere: a webhook that is under way is no discrepancy.

```sql
create table stripe_payment_intents (
  id               text primary key,
  amount           bigint not null,
  amount_received  bigint not null,
  currency         text not null,
  status           text not null,
  customer_id      text,
  latest_charge    text,
  metadata         jsonb not null,
  canceled_at      timestamptz,
  created_at       timestamptz not null
);
```
"""

from recon import Field, Job, Money, Table, Timestamp

payment_intents = Job(
    domain="stripe_payment_intents",
    description="Payment intents at Stripe against stripe_payment_intents.",
    provider="stripe",
    resource="payment_intents",
    table=Table(name="stripe_payment_intents", key="id"),
    fields=(
        Field("amount", Money(currency="currency")),
        Field("amount_received", Money(currency="currency")),
        Field("currency"),
        Field("status"),
        Field("customer", column="customer_id"),
        Field("latest_charge"),
        Field("metadata", "json"),
        Field("canceled_at", Timestamp(provider="epoch_s")),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="payment_intent",
    created="created",
    money="amount",
    settle="5m",
    schedule="15 2 * * *",
    timezone="UTC",
)
