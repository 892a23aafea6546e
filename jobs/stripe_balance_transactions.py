"""Balance transactions: every movement of the account's balance, which is what a ledger is checked against.

The object: https://docs.stripe.com/api/balance_transactions/object (read 2026-11). `net` is `amount` less `fee`, and may be
negative. Nothing is ever taken out of this list, so anything that only the table has is held for a person.

```sql
create table stripe_balance_transactions (
  id            text primary key,
  type          text not null,
  amount        bigint not null,
  fee           bigint not null,
  net           bigint not null,
  currency      text not null,
  status        text not null,
  source_id     text,
  available_on  timestamptz not null,
  created_at    timestamptz not null
);
```
"""

from recon import Field, Guard, Job, Money, Table, Timestamp

balance_transactions = Job(
    domain="stripe_balance_transactions",
    description="Balance transactions at Stripe against stripe_balance_transactions.",
    provider="stripe",
    resource="balance_transactions",
    table=Table(name="stripe_balance_transactions", key="id"),
    fields=(
        Field("type"),
        Field("amount", Money(currency="currency")),
        Field("fee", Money(currency="currency")),
        Field("net", Money(currency="currency")),
        Field("currency"),
        Field("status"),
        Field("source", column="source_id"),
        Field("available_on", Timestamp(provider="epoch_s")),
        Field("created", Timestamp(provider="epoch_s"), column="created_at"),
    ),
    event="balance_transaction",
    created="created",
    money="amount",
    guard=Guard(extra=0.0, floor=0),
    schedule="55 2 * * *",
    timezone="UTC",
)
