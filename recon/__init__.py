"""Nightly reconciliation: the names a job file or a provider file needs."""

__version__ = "0.1.0"
