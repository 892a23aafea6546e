"""Nightly reconciliation: the names a job file or a provider file needs.

They are imported from their modules on first use, so that `import recon` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from recon.discrepancy import Discrepancy, DiscrepancyKind
    from recon.fetch.auth import Basic, Bearer, HeaderKey, QueryKey
    from recon.fetch.limiter import Rate
    from recon.fetch.page import End, Lookup, LookupStatus, Page, Unread
    from recon.fetch.paging import CursorInBody, LastId, LinkHeader, NextUrlInBody, NextUrlInHeader, Offset, PageNumber, Single
    from recon.fetch.resource import Resource
    from recon.http_provider import HTTPProvider
    from recon.job import Correction, Field, Guard, Job, Sql, Table
    from recon.kind import Boolean, Date, Decimal, Integer, Json, Money, Set, Text, Timestamp
    from recon.provider import Listing, Meter
    from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
    from recon.secret import Secret
    from recon.section import Section
    from recon.versions import Version

__all__ = [
    "Basic",
    "Bearer",
    "Boolean",
    "Capabilities",
    "Correction",
    "CursorInBody",
    "Date",
    "Decimal",
    "Discrepancy",
    "DiscrepancyKind",
    "End",
    "Field",
    "Guard",
    "HTTPProvider",
    "HeaderKey",
    "Integer",
    "Job",
    "Json",
    "LastId",
    "LinkHeader",
    "Listing",
    "Lookup",
    "LookupStatus",
    "Message",
    "Meter",
    "Money",
    "NextUrlInBody",
    "NextUrlInHeader",
    "Offset",
    "Outcome",
    "OutcomeKind",
    "Page",
    "PageNumber",
    "QueryKey",
    "Rate",
    "Resource",
    "Secret",
    "Section",
    "Set",
    "Single",
    "Sql",
    "Table",
    "Text",
    "Timestamp",
    "Unread",
    "Version",
]

#: The module of each public name.
LAZY = {
    **dict.fromkeys(("Discrepancy", "DiscrepancyKind"), "recon.discrepancy"),
    **dict.fromkeys(("Basic", "Bearer", "HeaderKey", "QueryKey"), "recon.fetch.auth"),
    **dict.fromkeys(("Rate",), "recon.fetch.limiter"),
    **dict.fromkeys(("End", "Lookup", "LookupStatus", "Page", "Unread"), "recon.fetch.page"),
    **dict.fromkeys(
        ("CursorInBody", "LastId", "LinkHeader", "NextUrlInBody", "NextUrlInHeader", "Offset", "PageNumber", "Single"), "recon.fetch.paging"
    ),
    **dict.fromkeys(("Resource",), "recon.fetch.resource"),
    **dict.fromkeys(("HTTPProvider",), "recon.http_provider"),
    **dict.fromkeys(("Correction", "Field", "Guard", "Job", "Sql", "Table"), "recon.job"),
    **dict.fromkeys(("Boolean", "Date", "Decimal", "Integer", "Json", "Money", "Set", "Text", "Timestamp"), "recon.kind"),
    **dict.fromkeys(("Listing", "Meter"), "recon.provider"),
    **dict.fromkeys(("Capabilities", "Message", "Outcome", "OutcomeKind"), "recon.publishers.base"),
    **dict.fromkeys(("Secret",), "recon.secret"),
    **dict.fromkeys(("Section",), "recon.section"),
    **dict.fromkeys(("Version",), "recon.versions"),
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        msg = f"module 'recon' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
