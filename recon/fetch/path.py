r"""Dotted paths into JSON: `data`, `meta.page.next`; a dot inside a name is written `\.`, as in `@odata\.nextLink`."""

import re
from typing import Any

DOT = re.compile(r"(?<!\\)\.")
ABSENT: Any = object()


def segments(path: str) -> tuple[str, ...]:
    """The names along a path; none for "", the body itself."""
    return tuple(part.replace("\\.", ".") for part in DOT.split(path)) if path else ()


def at_path(value: Any, path: str) -> Any:
    """What a decoded value holds at a path; ABSENT where it holds nothing there. A number steps into an array."""
    for name in segments(path):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return ABSENT
    return value
