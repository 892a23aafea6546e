"""An event that goes out is written down once: its row of the outbox says whether it counts as delivered, and the event stays as it is."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Adds one column, and has one index do what two did. What was confirmed before stays in `recon_events.confirmed_at`, and is read there."""
    op.add_column("recon_outbox", sa.Column("heals", sa.Boolean(), nullable=True))
    op.drop_index("recon_outbox_waiting_by_domain", "recon_outbox")
    op.drop_index("recon_outbox_waiting", "recon_outbox")
    columns = ["domain", "publisher", "seq"]
    op.create_index("recon_outbox_waiting", "recon_outbox", columns, sqlite_where=WAITING, postgresql_where=WAITING)
    if op.get_context().dialect.name == "postgresql":
        # The room that revision 0005 left beside each event was for its confirmation.
        op.execute("ALTER TABLE recon_events RESET (fillfactor)")
