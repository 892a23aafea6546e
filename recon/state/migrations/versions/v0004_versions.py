"""In which version of its data an event waits for a destination."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Adds one column, and lets an event wait once in each version; nothing that was there changes."""
    op.add_column("recon_outbox", sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.drop_index("recon_outbox_one_waiting", "recon_outbox")
    columns = ["event_id", "publisher", "version"]
    op.create_index("recon_outbox_one_waiting", "recon_outbox", columns, unique=True, sqlite_where=WAITING, postgresql_where=WAITING)
