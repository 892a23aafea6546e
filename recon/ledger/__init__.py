"""The ledger: each discrepancy's life across nights, what one run found, and what a person has acknowledged."""

from recon.ledger.findings import LedgerSummary
from recon.ledger.ledger import Ledger, source_of

__all__ = ["Ledger", "LedgerSummary", "source_of"]
