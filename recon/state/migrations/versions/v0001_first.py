"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Every table of the first version; later revisions only ever add to this."""
    acks()
    events()
    leases()
    ledger()
    meta()
    runs()
    slots()
    doubts()
    findings()
    outbox()
    plan_events()
    plans()


def acks() -> None:
    """`recon_acks`, see recon/state/tables.py."""
    op.create_table(
        "recon_acks",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source_token", sa.Text(), nullable=False),
        sa.Column("target_token", sa.Text(), nullable=False),
        sa.Column("until", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("domain", "key"),
    )


def events() -> None:
    """`recon_events`, see recon/state/tables.py."""
    op.create_table(
        "recon_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("partitionkey", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("emissions", sa.Integer(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("recon_events_by_key", "recon_events", ["domain", "key"], unique=False)


def leases() -> None:
    """`recon_leases`, see recon/state/tables.py."""
    op.create_table(
        "recon_leases",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("acquired_at", sa.BigInteger(), nullable=False),
        sa.Column("renewed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("domain"),
    )


def ledger() -> None:
    """`recon_ledger`, see recon/state/tables.py."""
    op.create_table(
        "recon_ledger",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source_token", sa.Text(), nullable=False),
        sa.Column("target_token", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("first_run", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_run", sa.Text(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("nights", sa.Integer(), nullable=False),
        sa.Column("last_night", sa.Text(), nullable=False),
        sa.Column("unheeded", sa.Integer(), nullable=False),
        sa.Column("emissions", sa.Integer(), nullable=False),
        sa.Column("emitted_at", sa.BigInteger(), nullable=True),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("resolved_run", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("domain", "key"),
    )
    op.create_index("recon_ledger_by_event", "recon_ledger", ["event_id"], unique=False)
    op.create_index(
        "recon_ledger_open",
        "recon_ledger",
        ["domain"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )


def meta() -> None:
    """`recon_meta`, see recon/state/tables.py."""
    op.create_table(
        "recon_meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def runs() -> None:
    """`recon_runs`, see recon/state/tables.py."""
    op.create_table(
        "recon_runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("logical_start", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("watermark", sa.BigInteger(), nullable=True),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("coverage", sa.Text(), nullable=True),
        sa.Column("figures", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("whole", sa.Boolean(), nullable=True),
        sa.Column("source_records", sa.BigInteger(), nullable=True),
        sa.Column("target_records", sa.BigInteger(), nullable=True),
        sa.Column("compared", sa.BigInteger(), nullable=True),
        sa.Column("discrepancies", sa.BigInteger(), nullable=True),
        sa.Column("plan_checksum", sa.Text(), nullable=True),
        sa.Column("hold_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("consistent_as_of", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("resumes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("recon_runs_by_domain", "recon_runs", ["domain", "started_at"], unique=False)
    op.create_index("recon_runs_by_state", "recon_runs", ["state"], unique=False)
    op.create_index("recon_runs_one_per_slot", "recon_runs", ["domain", "slot"], unique=True)


def slots() -> None:
    """`recon_slots`, see recon/state/tables.py."""
    op.create_table(
        "recon_slots",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("domain", "slot"),
    )
    op.create_index("recon_slots_by_state", "recon_slots", ["state"], unique=False)


def doubts() -> None:
    """`recon_doubts`, see recon/state/tables.py."""
    op.create_table(
        "recon_doubts",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["recon_runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "key"),
    )


def findings() -> None:
    """`recon_findings`, see recon/state/tables.py."""
    op.create_table(
        "recon_findings",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("changed", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("source_token", sa.Text(), nullable=False),
        sa.Column("target_token", sa.Text(), nullable=False),
        sa.Column("first_run", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("nights", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=True),
        sa.Column("money", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("acknowledged", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["recon_runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )
    op.create_index("recon_findings_by_key", "recon_findings", ["key", "run_id"], unique=True)


def outbox() -> None:
    """`recon_outbox`, see recon/state/tables.py."""
    op.create_table(
        "recon_outbox",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
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
        sa.Column("tried_at", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("duplicate", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["recon_events.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("recon_outbox_by_run", "recon_outbox", ["run_id"], unique=False)
    op.create_index(
        "recon_outbox_one_waiting",
        "recon_outbox",
        ["event_id", "publisher"],
        unique=True,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "recon_outbox_waiting",
        "recon_outbox",
        ["publisher", "domain", "seq"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "recon_outbox_waiting_by_domain",
        "recon_outbox",
        ["domain"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )


def plan_events() -> None:
    """`recon_plan_events`, see recon/state/tables.py."""
    op.create_table(
        "recon_plan_events",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("partitionkey", sa.Text(), nullable=False),
        sa.Column("source_token", sa.Text(), nullable=False),
        sa.Column("target_token", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["recon_runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "event_id"),
    )


def plans() -> None:
    """`recon_plans`, see recon/state/tables.py."""
    op.create_table(
        "recon_plans",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("by_type", sa.Text(), nullable=False),
        sa.Column("guards", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["recon_runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id"),
    )
