"""Document: the JSON body of a request that only reads, made of a template and of what one request puts into it."""

from collections.abc import Mapping
from typing import Any

from recon.fetch.path import segments
from recon.job import Scalar

KEY, KEYS = "{key}", "{keys}"
"""What stands in a template, whole, in the place of one key, or of a list of them."""


def filled(template: Any, marks: Mapping[str, Any]) -> Any:
    """A copy of the template with what stands in the place of each mark."""
    if isinstance(template, str) and template in marks:
        return marks[template]
    if isinstance(template, dict):
        return {name: filled(value, marks) for name, value in template.items()}
    if isinstance(template, list | tuple):
        return [filled(value, marks) for value in template]
    return template


def placed(template: Any, params: Mapping[str, Scalar]) -> Any:
    """A copy of the template with each parameter at its dotted path; one that is None is left out.

    What is not there on the way is made; a number steps into a list. Where the template holds a number, a text of digits is written as
    one, and a number as a text where it holds a text: an id that goes on in a list is as the API wrote it. Raises ValueError
    for a path that leads through what holds nothing.
    """
    document = filled(template, {})
    for path, value in params.items():
        if value is not None:
            _put(document, segments(path), value, path)
    return document


def holds_mark(template: Any, mark: str) -> bool:
    """Whether the mark stands somewhere in the template, whole."""
    if isinstance(template, dict):
        return any(holds_mark(value, mark) for value in template.values())
    if isinstance(template, list | tuple):
        return any(holds_mark(value, mark) for value in template)
    return bool(template == mark)


def _put(document: Any, names: tuple[str, ...], value: Scalar, path: str) -> None:
    at = document
    for name, following in zip(names, (*names[1:], None), strict=True):
        blank: Any = value if following is None else [] if following == "0" else {}
        if isinstance(at, dict):
            at[name] = _like(at.get(name), value) if following is None else at.get(name, blank)
            at = at[name]
        elif isinstance(at, list) and name.isdigit() and int(name) <= len(at):
            place = int(name)
            if place == len(at):
                at.append(blank)
            elif following is None:
                at[place] = _like(at[place], value)
            at = at[place]
        else:
            msg = f"{path!r} leads nowhere in the body: {name!r} is looked for in {type(at).__name__} {str(at)[:40]!r}"
            raise ValueError(msg)


def _like(there: Any, value: Scalar) -> Scalar:
    if isinstance(there, bool) or isinstance(value, bool):
        return value
    if isinstance(there, int) and isinstance(value, str) and value.lstrip("-").isascii() and value.lstrip("-").isdigit():
        return int(value)
    return str(value) if isinstance(there, str) and isinstance(value, int) else value
