"""Products: what is sold. The list holds those that are no longer active too.

The object: https://docs.stripe.com/api/products/object (read 2026-11), one of the few that say when they were `updated`.

```sql
create table stripe_products (
  id             text primary key,
  name           text not null,
  description    text,
  active         boolean not null,
  default_price  text,
  metadata       jsonb not null,
  created_at     timestamptz not null,
  updated_at     timestamptz not null
);
```
"""

from recon import Field, Job, Table, Timestamp

products = Job(
    domain="stripe_products",
    description="Products at Stripe, active or not, against stripe_products.",
    provider="stripe",
    resource="products",
    table=Table(name="stripe_products", key="id"),
    fields=(
        Field("name"),
        Field("description"),
        Field("active", "boolean"),
        Field("default_price", missing_is_null=True),
        Field("metadata", "json"),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
        # Shown, not compared: it moves with every field, also with those that this job does not look at.
        Field("updated", Timestamp(provider="epoch_s"), column="updated_at", compare=False),
    ),
    event="product",
    created="created",
    updated="updated",
    schedule="45 2 * * *",
    timezone="UTC",
)
