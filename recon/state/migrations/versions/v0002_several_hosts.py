"""Slots that several services share, notices, and what was pruned."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds columns and one table; nothing that was there changes."""
    op.add_column("recon_slots", sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("recon_slots", sa.Column("again_at", sa.BigInteger(), nullable=True))
    op.add_column("recon_slots", sa.Column("taken_by", sa.Text(), nullable=True))
    op.add_column("recon_slots", sa.Column("taken_until", sa.BigInteger(), nullable=True))
    op.add_column("recon_runs", sa.Column("pruned_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "recon_notices",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "subject"),
    )
    op.create_index("recon_notices_by_next", "recon_notices", ["next_at"])
