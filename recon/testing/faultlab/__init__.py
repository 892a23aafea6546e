"""A third party on loopback that can do, on any page of any way of paging, what third parties do: `Api` serves, a `Fault` spoils, `FAULTS` lists them."""

from recon.testing.faultlab.api import Api, Served
from recon.testing.faultlab.drift import BETWEEN_PAGES
from recon.testing.faultlab.fault import Fault, Moment, Outcome, Trouble, kind_of, trouble
from recon.testing.faultlab.pages import IN_THE_PAGE
from recon.testing.faultlab.wire import ON_THE_WIRE

FAULTS: tuple[Fault, ...] = (*ON_THE_WIRE, *IN_THE_PAGE, *BETWEEN_PAGES)

__all__ = [
    "BETWEEN_PAGES",
    "FAULTS",
    "IN_THE_PAGE",
    "ON_THE_WIRE",
    "Api",
    "Fault",
    "Moment",
    "Outcome",
    "Served",
    "Trouble",
    "kind_of",
    "trouble",
]
