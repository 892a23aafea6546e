"""Alembic's way in. The connection, and the transaction around everything, come from `recon.state.upgrade`."""

from alembic import context

from recon.state.tables import metadata
from recon.state.upgrade import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # The caller's transaction holds the lock that keeps a second process out.
    transaction_per_migration=False,
)
context.run_migrations()
