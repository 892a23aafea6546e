"""How the events of one domain are told to one destination."""

from collections.abc import Callable
from dataclasses import dataclass

from recon.personal import Veil
from recon.versions import Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """As they are stored, to a destination that heals, unless said otherwise."""

    #: How values may be shown: what a receiver quotes of a personal one is not kept.
    veil: Veil | None = None
    #: The versions of the events' data; None where no job declares them: then all is told as it is stored.
    versions: Versions | None = None
    #: Whether a confirmation by this destination counts as delivered.
    heals: bool = True


Manners = Callable[[str], Manner]
"""By domain."""


def plain(_domain: str) -> Manner:
    """Of any domain, where nobody says more."""
    return Manner()
