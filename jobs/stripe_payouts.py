"""Payouts: what left for the bank account. One that first shows as paid can still turn to failed.

The object: https://docs.stripe.com/api/payouts/object (read 2026-11). `arrival_date` is a moment at midnight UTC, here cut to
the day, so a table may hold any time of that day.

```sql
create table stripe_payouts (
  id            text primary key,
  amount        bigint not null,
  currency      text not null,
  status        text not null,
  method        text not null,
  automatic     boolean not null,
  failure_code  text,
  arrival_date  timestamptz not null,
  metadata      jsonb,
  created_at    timestamptz not null
);
```
"""

from recon import Field, Job, Money, Table, Timestamp

payouts = Job(
    domain="stripe_payouts",
    description="Payouts at Stripe against stripe_payouts.",
    provider="stripe",
    resource="payouts",
    table=Table(name="stripe_payouts", key="id"),
    fields=(
        Field("amount", Money(currency="currency")),
        Field("currency"),
        Field("status"),
        Field("method"),
        Field("automatic", "boolean"),
        Field("failure_code"),
        Field("arrival_date", Timestamp(provider="epoch_s", precision="d")),
        Field("metadata", "json"),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="payout",
    created="created",
    money="amount",
    schedule="40 2 * * *",
    timezone="UTC",
)
