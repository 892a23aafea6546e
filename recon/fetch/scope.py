"""Scope: whom and what a fetch is for, as it may be shown: what was asked for, and what the answers said of it."""

import re
from collections.abc import Mapping

from recon.secret import MASK

SECRET = re.compile(r"((?:api_?-?key|access_?-?key|token|secret|passw(?:or)?d|signature)\s?=\s?)[^&,\s]+", re.IGNORECASE)
"""A parameter whose name says that its value is a secret; such a one belongs into `auth`, and still it may stand among the filters."""


def discreet(scope: Mapping[str, str]) -> dict[str, str]:
    """A scope as it may be shown and stored."""
    return {name: SECRET.sub(rf"\1{MASK}", text) for name, text in scope.items()}


def answered(said: Mapping[str, str], headers: Mapping[str, str], pages: int) -> dict[str, str]:
    """What the answers `said` of whom they were for; a header that is declared and was on none of the `pages` is told too: it guarded nothing."""
    told = discreet(said)
    silent = {name: f"nothing, no page had the header {header}" for name, header in headers.items() if name not in told}
    return {f"answered {name}": text for name, text in (told | (silent if pages else {})).items()}
