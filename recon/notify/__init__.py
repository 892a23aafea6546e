"""Telling people: one JSON document is posted to `[notify] url` when a plan waits for somebody, and again while nobody decides.

`remind` is level-triggered: whatever runs regularly calls it, and it finds what is held and not told by itself, so that nothing is lost
with a process. `tell` says anything else, once for each kind and subject. Neither raises for a receiver that is away: a night is
never harmed by its messenger.
"""

from recon.notify.notice import Notice, lost
from recon.notify.reminding import Reminded, Reminding, remind
from recon.notify.telling import tell

__all__ = ["Notice", "Reminded", "Reminding", "lost", "remind", "tell"]
