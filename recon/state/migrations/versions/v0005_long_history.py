"""A long history costs what is removed by age, looked up by event and confirmed, no more than a short one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

WAITING = sa.text("state = 'waiting'")
ENDED = sa.text("state <> 'waiting'")


def upgrade() -> None:
    """The outbox's foreign key gives way to an index: without one, each event that was removed had the whole outbox read for it."""
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("recon_outbox_event_id_fkey", "recon_outbox", type_="foreignkey")
        # An event is changed once after it was written, when it is confirmed: with room beside it no index has to be touched.
        op.execute("ALTER TABLE recon_events SET (fillfactor = 50)")
    else:
        # SQLite takes a foreign key off a table only by writing the table anew.
        with op.batch_alter_table("recon_outbox", copy_from=outbox(), recreate="always"):
            pass
    op.create_index("recon_outbox_by_event", "recon_outbox", ["event_id"], sqlite_where=ENDED, postgresql_where=ENDED)


def outbox() -> sa.Table:
    """The table as revision 0004 left it, without its foreign key."""
    table = sa.Table(
        "recon_outbox",
        sa.MetaData(),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("publisher", sa.Text(), nullable=False),
        sa.Column("partitionkey", sa.Text(), nullable=False),
        sa.Column("emission", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("enqueued_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tried_at", sa.BigInteger()),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("duplicate", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("replay", sa.Text()),
        sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    sa.Index("recon_outbox_waiting_by_domain", table.c.domain, sqlite_where=WAITING)
    sa.Index("recon_outbox_waiting", table.c.publisher, table.c.domain, table.c.seq, sqlite_where=WAITING)
    sa.Index("recon_outbox_one_waiting", table.c.event_id, table.c.publisher, table.c.version, unique=True, sqlite_where=WAITING)
    sa.Index("recon_outbox_by_run", table.c.run_id)
    return table
