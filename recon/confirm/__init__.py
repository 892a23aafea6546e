"""Confirmation: every suspect is read again, on both sides, before it is believed.

A suspect is *confirmed* only when both looks agree: the same difference, the same values on both sides. It is
*dismissed* when the sides agree now, or when either has moved since the first look: something is at work on it, and
tomorrow's run will see what came of that. It is *in flight* when a side says that it changed after the fetch began, or just
before. It stays *unconfirmed* when the second look proves nothing: no answer, no right to look, a record that cannot be read, or
an absence that no positive control stands beside.

Where single items can be read, the second look reads each suspect by id (`ById`); where they cannot, it is a second listing of
everything (`ByListing`).
"""

from recon.confirm.by_id import ById
from recon.confirm.by_listing import ByListing
from recon.confirm.confirmation import Confirmation, SecondLook, confirm, recheck, summary_of, without, write_discrepancies
from recon.confirm.in_flight import Sifted, revisit, sift

__all__ = [
    "ById",
    "ByListing",
    "Confirmation",
    "SecondLook",
    "Sifted",
    "confirm",
    "recheck",
    "revisit",
    "sift",
    "summary_of",
    "without",
    "write_discrepancies",
]
