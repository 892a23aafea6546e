"""Which replay a row of the outbox belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds one column and one index; nothing that was there changes."""
    op.add_column("recon_outbox", sa.Column("replay", sa.Text(), nullable=True))
    op.create_index("recon_events_by_time", "recon_events", ["created_at"])
