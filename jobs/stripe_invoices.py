"""Invoices, drafts included. `number` and the moment of finalization are null while an invoice is a draft.

The object: https://docs.stripe.com/api/invoices/object (read 2026-11). Since version 2025-03-31.basil the subscription stands
under `parent.subscription_details`, and `parent` is null for an invoice that was made by hand.

```sql
create table stripe_invoices (
  id                text primary key,
  number            text,
  status            text,
  total             bigint not null,
  amount_paid       bigint not null,
  amount_remaining  bigint not null,
  currency          text not null,
  customer_id       text,
  subscription_id   text,
  due_date          timestamptz,
  finalized_at      timestamptz,
  metadata          jsonb,
  created_at        timestamptz not null
);
```
"""

from recon import Field, Job, Money, Table, Timestamp

invoices = Job(
    domain="stripe_invoices",
    description="Invoices at Stripe, drafts included, against stripe_invoices.",
    provider="stripe",
    resource="invoices",
    table=Table(name="stripe_invoices", key="id"),
    fields=(
        Field("number"),
        Field("status"),
        Field("total", Money(currency="currency")),
        Field("amount_paid", Money(currency="currency")),
        Field("amount_remaining", Money(currency="currency")),
        Field("currency"),
        Field("customer", column="customer_id"),
        Field("subscription", path="parent.subscription_details.subscription", column="subscription_id", missing_is_null=True),
        Field("due_date", Timestamp(provider="epoch_s")),
        Field("finalized_at", Timestamp(provider="epoch_s"), path="status_transitions.finalized_at"),
        Field("metadata", "json"),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="invoice",
    created="created",
    money="total",
    settle="5m",
    schedule="20 2 * * *",
    timezone="UTC",
)
