"""Refunds. `status` moves from pending to succeeded or failed days after the refund was made, so a missed webhook shows here.

The object: https://docs.stripe.com/api/refunds/object (read 2026-11). A refund of a charge made without a payment intent has
null for it; `failure_reason` is there only after a failure.

```sql
create table stripe_refunds (
  id              text primary key,
  amount          bigint not null,
  currency        text not null,
  status          text,
  charge_id       text,
  payment_intent  text,
  reason          text,
  failure_reason  text,
  metadata        jsonb,
  created_at      timestamptz not null
);
```
"""

from recon import Field, Job, Money, Table, Timestamp

refunds = Job(
    domain="stripe_refunds",
    description="Refunds at Stripe against stripe_refunds.",
    provider="stripe",
    resource="refunds",
    table=Table(name="stripe_refunds", key="id"),
    fields=(
        Field("amount", Money(currency="currency")),
        Field("currency"),
        Field("status"),
        Field("charge", column="charge_id"),
        Field("payment_intent"),
        Field("reason"),
        Field("failure_reason", missing_is_null=True),
        Field("metadata", "json"),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="refund",
    created="created",
    money="amount",
    schedule="30 2 * * *",
    timezone="UTC",
)
