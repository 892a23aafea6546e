"""Smaller: the request for the same place of a listing with fewer items a page, where the API says that so many are too large."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from recon.fetch.narrowing import PageSize
from recon.fetch.paging import Offset, PageNumber
from recon.fetch.resource import Resource
from recon.fetch.rule import Ask
from recon.job import Scalar


def size_of(resource: Resource) -> PageSize | None:
    """How the page size is asked for: as the resource says, or its paging rule; None where neither does."""
    rule = resource.paging
    name = rule.size_param if isinstance(rule, PageNumber) else rule.limit_param if isinstance(rule, Offset) else None
    size = rule.size if isinstance(rule, PageNumber | Offset) else None
    return resource.size or (PageSize(param=name, size=size) if name is not None and size is not None else None)


def smaller(ask: Ask, resource: Resource) -> tuple[Ask, int, int] | None:
    """The same place with half as many items a page, and the two sizes; None where it cannot be asked for.

    A page's number means another place with another size: the new size divides what comes before the page, and the items that came must
    be as many as the number says, or the API takes another size than it was asked for, and no number can be trusted.
    """
    sized = size_of(resource)
    if sized is None:
        return None
    query = dict(parse_qsl(urlsplit(ask.url).query, keep_blank_values=True)) if ask.url is not None else ask.params
    size = _number(query.get(sized.param, ""))
    if size is None or size <= sized.least:
        return None
    half = max(sized.least, size // 2)
    if ask.url is not None:
        return replace(ask, url=_with(ask.url, sized.param, half)), size, half
    changed: dict[str, Scalar] = {sized.param: half}
    if isinstance(resource.paging, PageNumber):
        rule = resource.paging
        number = _number(query.get(rule.param, rule.start))
        if number is None or (number - rule.start) * size != ask.seen:
            return None
        while half > sized.least and ask.seen % half:
            half -= 1
        if ask.seen % half:
            return None
        changed = {sized.param: half, rule.param: rule.start + ask.seen // half}
    return replace(ask, params={**ask.params, **changed}), size, half


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def _with(url: str, param: str, value: int) -> str:
    parts = urlsplit(url)
    query = [(name, str(value) if name == param else text) for name, text in parse_qsl(parts.query, keep_blank_values=True)]
    return urlunsplit(parts._replace(query=urlencode(query)))


def first_size(resource: Resource) -> Mapping[str, Scalar]:
    """The parameter of the size that the resource declares, for the first page."""
    return {} if resource.size is None else {resource.size.param: resource.size.size}
