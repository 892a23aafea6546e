"""The outbox: events that are to be delivered, written with their run, and brought to their destination."""

from recon.outbox.dead import DeadLetter, DeadLetters
from recon.outbox.delivery import drain
from recon.outbox.outbox import Outbox, Waiting
from recon.outbox.replay import Choice, Replays

__all__ = ["Choice", "DeadLetter", "DeadLetters", "Outbox", "Replays", "Waiting", "drain"]
