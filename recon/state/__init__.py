"""The reconciler's own database: tables, migrations, runs, lease and fence."""
