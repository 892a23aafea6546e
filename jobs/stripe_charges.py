"""Charges: every attempt to move money into the account, held against the application's own table.

The object: https://docs.stripe.com/api/charges/object (read 2026-11). Amounts are in minor units of `currency`.

```sql
create table stripe_charges (
  id              text primary key,
  amount          bigint not null,
  amount_refunded bigint not null,
  currency        text not null,
  status          text not null,
  captured        boolean not null,
  customer_id     text,
  payment_intent  text,
  metadata        jsonb not null,
  created_at      timestamptz not null
);
```
"""

from recon import Field, Job, Money, Table, Timestamp

charges = Job(
    domain="stripe_charges",
    description="Charges at Stripe against stripe_charges.",
    provider="stripe",
    resource="charges",
    table=Table(name="stripe_charges", key="id"),
    fields=(
        Field("amount", Money(currency="currency")),
        Field("amount_refunded", Money(currency="currency")),
        Field("currency"),
        Field("status"),
        Field("captured", "boolean"),
        Field("customer", column="customer_id"),
        Field("payment_intent"),
        Field("metadata", "json"),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="charge",
    created="created",
    money="amount",
    schedule="5 2 * * *",
    timezone="UTC",
)
