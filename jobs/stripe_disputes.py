"""Disputes: few, dear and with a date by which an answer is due, so each one missed is worth a look.

The object: https://docs.stripe.com/api/disputes/object (read 2026-11). `evidence_details.due_by` is null once the answer is in.

```sql
create table stripe_disputes (
  id              text primary key,
  amount          bigint not null,
  currency        text not null,
  status          text not null,
  reason          text not null,
  charge_id       text not null,
  payment_intent  text,
  due_by          timestamptz,
  metadata        jsonb not null,
  created_at      timestamptz not null
);
```
"""

from recon import Field, Job, Money, Table, Timestamp

disputes = Job(
    domain="stripe_disputes",
    description="Disputes at Stripe against stripe_disputes.",
    provider="stripe",
    resource="disputes",
    table=Table(name="stripe_disputes", key="id"),
    fields=(
        Field("amount", Money(currency="currency")),
        Field("currency"),
        Field("status"),
        Field("reason"),
        Field("charge", column="charge_id"),
        Field("payment_intent"),
        Field("due_by", Timestamp(provider="epoch_s"), path="evidence_details.due_by"),
        Field("metadata", "json"),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="dispute",
    created="created",
    money="amount",
    schedule="35 2 * * *",
    timezone="UTC",
)
