"""The plan: confirmed discrepancies as events, with a checksum. It can refuse."""

from recon.plan.plan import PlannedEvent, Plans, short

__all__ = ["PlannedEvent", "Plans", "short"]
