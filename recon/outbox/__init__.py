"""The outbox: events that are to be delivered, written with their run, and brought to their destination."""

from recon.outbox.delivery import drain
from recon.outbox.outbox import DeadLetter, Outbox, Waiting

__all__ = ["DeadLetter", "Outbox", "Waiting", "drain"]
