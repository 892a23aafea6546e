"""Customers. A deleted customer leaves the list, and a read by id answers `deleted: true`: that is proof, not absence.

The object: https://docs.stripe.com/api/customers/object (read 2026-11). `phone` and `name` are null until they are given.

```sql
create table stripe_customers (
  id          text primary key,
  email       text,
  name        text,
  phone       text,
  balance     bigint not null,
  currency    text,
  delinquent  boolean,
  metadata    jsonb not null,
  created_at  timestamptz not null
);
```
"""

from recon import Field, Integer, Job, Table, Text, Timestamp

customers = Job(
    domain="stripe_customers",
    description="Customers at Stripe against stripe_customers.",
    provider="stripe",
    resource="customers",
    table=Table(name="stripe_customers", key="id"),
    fields=(
        Field("email", Text(case="fold")),
        Field("name"),
        Field("phone"),
        # A customer who was never billed has no currency, so the balance is compared as the number it is.
        Field("balance", Integer()),
        Field("currency", missing_is_null=True),
        Field("delinquent", "boolean"),
        Field("metadata", "json"),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="customer",
    created="created",
    schedule="10 2 * * *",
    timezone="UTC",
)
