"""Where corrective events go: one file per transport, one protocol."""
