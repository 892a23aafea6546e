"""Any REST API that lists JSON, declared in recon.toml with no Python: `type = "rest"`. docs/providers.md shows each paging rule at work."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Literal, get_args

from recon.errors import BadSetting
from recon.fetch.narrowing import PAGES_A_PART, Batch, Form, PageSize, Ranges, Shards
from recon.fetch.paging import (
    OVERLAP,
    CursorInBody,
    LastId,
    LinkHeader,
    NextUrlInBody,
    NextUrlInHeader,
    Offset,
    PageNumber,
    Paginator,
    Single,
)
from recon.fetch.resource import Resource
from recon.http_provider import HTTPProvider
from recon.job import Scalar
from recon.native import Native
from recon.section import Section


class Rest(HTTPProvider):
    """A third party as `[providers.NAME]` declares it: HTTPProvider's own keys, and a table per resource.

    `[providers.NAME.webhooks]` says how its webhooks look, for corrections in their shape (`_rest_webhooks`).
    `[providers.NAME.resources.RESOURCE]` takes `path`, `records` and `paging`, and may take `key`, `get`, `get_record`,
    `get_body`, `get_params`, `params`, `method`, `body`, `deleted`, `merged`, `without`, `total`, `link`, `lag`, `ranges`, `shards`, `parallel`,
    `page_size`, `batch`, `cursor_age`, `passes` and `etags`. What a key means stands with `recon.fetch.resource.Resource`,
    what a paging rule means with `recon.fetch.paging`. Nothing is guessed: a paging rule is always named.

    Raises BadSetting for a key that is unknown, missing or of the wrong shape, naming file, table and key.
    """

    def configure(self, section: Section) -> None:
        """Reads the resources."""
        tables = section.mapping("resources", {})
        if not tables:
            hint = f'add [{section.path}.resources.orders] with path = "orders", records = "data" and paging = {{ rule = … }}'
            raise section.bad("resources", "declares nothing to fetch", hint=hint)
        parent = section.sub("resources")
        self.catalogue = {name: read_resource(parent.sub(name)) for name in tables}
        self._webhooks = section.sub("webhooks") if section.mapping("webhooks", None) is not None else None

    def native(self, section: Section) -> Native:
        """The webhooks that `[providers.NAME.webhooks]` declares; raises BadSetting where there is no such table."""
        from ._rest_webhooks import RestWebhooks  # noqa: PLC0415 - only who sends webhooks needs it; a copy of this file does without

        if self._webhooks is None:
            hint = f"write [providers.{self.name}.webhooks], as docs/native-webhooks.md has it; or leave out render and provider"
            raise section.bad("provider", f"{self.name!r} does not say how its third party's webhooks look", hint=hint)
        return RestWebhooks(self, self._webhooks)


def read_resource(section: Section) -> Resource:
    """The resource that a table declares; BadSetting where it declares none that can be."""
    path = _word(section, "path")
    try:
        records = section.text("records")
    except BadSetting as error:
        error.hint = error.hint or RECORDS_HINT
        raise
    method = section.choice("method", ("GET", "POST"), "GET")
    body, get_body = section.mapping("body", None), section.mapping("get_body", None)
    get = _word(section, "get", None) if get_body is not None else _template(section, "get")
    declared = {
        "key": _word(section, "key", "id"),
        "get_record": section.text("get_record", ""),
        "params": _scalars(section, "params"),
        "get_params": _scalars(section, "get_params"),
        "deleted": _deleted(section),
        "total": _word(section, "total", None),
        "link": _template(section, "link"),
        "lag": section.duration("lag", 0.0),
        "without": _word(section, "without", None),
        "merged": _word(section, "merged", None),
        "paging": _paging(section),
        "ranges": _ranges(section),
        "shards": _shards(section),
        "parallel": section.integer("parallel", Resource.parallel, low=1),
        "size": _page_size(section),
        "batch": _batch(section),
        "cursor_age": section.duration("cursor_age", None),
        "passes": section.integer("passes", None, low=1),
        "etags": section.flag("etags", False),
    }
    section.finish()
    if body is not None and method == "GET":
        raise section.bad("body", "is a document, which a list by GET is not asked for with", hint='write method = "POST" beside it')
    if get is None:
        for key in ("get_record", "get_body", "get_params", "deleted", "merged", "batch"):
            if key in section.table:
                raise section.bad(key, 'says something of a read by id, and there is no get = "…/{key}"')
    try:
        posted = (body or {}) if method == "POST" else None
        return Resource(path=path, records=records, get=get, get_body=get_body, body=posted, **declared)
    except ValueError as error:
        msg = f"{section.file.name} [{section.path}]: {error}"
        raise BadSetting(msg) from None


def _cursor(section: Section) -> Paginator:
    return CursorInBody(param=_word(section, "param"), at=_word(section, "at"), more=_word(section, "more", None), end=_or_absent(section))


def _last_id(section: Section) -> Paginator:
    return LastId(param=_word(section, "param"), more=_word(section, "more", "has_more"))


def _next_url(section: Section) -> Paginator:
    return NextUrlInBody(at=_word(section, "at"), end=_or_absent(section))


def _next_header(section: Section) -> Paginator:
    return NextUrlInHeader(header=_word(section, "header"), end=_or_absent(section))


def _link(section: Section) -> Paginator:
    return LinkHeader(rel=_word(section, "rel", "next"), end=section.choice("end", ("marker", "absent", "single"), "marker"))


def _page(section: Section) -> Paginator:
    return PageNumber(
        param=_word(section, "param", "page"),
        size_param=_word(section, "size_param", None),
        size=section.integer("size", None, low=1),
        start=section.integer("start", 1, low=0),
        total_pages=_word(section, "total_pages", None),
        total=_word(section, "total", None),
        more=_word(section, "more", None),
        end=_or_empty(section),
    )


def _offset(section: Section) -> Paginator:
    return Offset(
        param=_word(section, "param", "offset"),
        limit_param=_word(section, "limit_param", None),
        size=section.integer("size", None, low=1),
        start=section.integer("start", 0, low=0),
        overlap=section.integer("overlap", OVERLAP, low=0),
        total=_word(section, "total", None),
        more=_word(section, "more", None),
        end=_or_empty(section),
    )


RULES: Mapping[str, Callable[[Section], Paginator]] = {
    "none": lambda _: Single(),
    "single": lambda _: Single(),
    "cursor": _cursor,
    "last_id": _last_id,
    "next_url": _next_url,
    "next_header": _next_header,
    "link": _link,
    "page": _page,
    "offset": _offset,
}
"""Paging rules by the word that recon.toml names them with."""

RECORDS_HINT = 'the dotted path of the array in the answer, such as "data" or "result.items"; "" where the answer itself is the array'
RULES_HINT = f'a rule is never guessed: paging = {{ rule = "…" }}, one of {", ".join(RULES)}'


def _paging(section: Section) -> Paginator:
    try:
        given = section.take("paging")
    except BadSetting as error:
        error.hint = error.hint or RULES_HINT
        raise
    if isinstance(given, str):
        raise section.bad("paging", "is a table", hint=f'write paging = {{ rule = "{given}" }}')
    table = section.sub("paging")
    rule = table.choice("rule", tuple(RULES))
    if ("size" in table.table) != (_size_name(rule) in table.table):
        raise table.bad("size", f"goes together with {_size_name(rule)}, the parameter that it is sent in; give both or neither")
    try:
        paging = RULES[rule](table)
    except ValueError as error:
        raise section.bad("paging", str(error)) from None
    table.finish()
    return paging


def _size_name(rule: str) -> str:
    return {"page": "size_param", "offset": "limit_param"}.get(rule, "size")


def _or_absent(section: Section) -> Literal["marker", "absent"]:
    word: Literal["marker", "absent"] = section.choice("end", ("marker", "absent"), "marker")
    return word


def _or_empty(section: Section) -> Literal["marker", "empty"]:
    word: Literal["marker", "empty"] = section.choice("end", ("marker", "empty"), "marker")
    return word


def _word(section: Section, key: str, *default: str | None) -> Any:
    """A text that is not empty."""
    value = section.text(key, *default)
    if value is not None and not value.strip():
        raise section.bad(key, "is empty")
    return value


def _template(section: Section, key: str) -> str | None:
    """A text with the place of the item's key in it."""
    value: str | None = _word(section, key, None)
    if value is not None and "{key}" not in value:
        raise section.bad(key, f"is {value!r}, which has no {{key}} in it", hint=f'such as {key} = "{value.rstrip("/")}/{{key}}"')
    return value


def _scalars(section: Section, key: str) -> dict[str, Scalar]:
    table = section.mapping(key, {})
    for name, value in table.items():
        if not isinstance(value, str | int | float | bool):
            hint = "write a time as a text, as the API wants it" if isinstance(value, date | datetime | time) else None
            raise section.bad(f"{key}.{name}", f"wants a text, a number, true or false, not {type(value).__name__}", hint=hint)
    return dict(table)


RANGES_FORM = 'write ranges = { at = "created", low = "created[gte]", high = "created[lt]", form = "epoch" }'
SHARDS_FORM = 'write shards = { param = "status", values = ["open", "closed"], at = "status" }'


def _ranges(section: Section) -> Ranges | None:
    if section.take("ranges", None) is None:
        return None
    table = _sub(section, "ranges", RANGES_FORM)
    form: Form = table.choice("form", get_args(Form), "epoch")
    ranges = Ranges(
        at=_word(table, "at"),
        low=_word(table, "low"),
        high=_word(table, "high"),
        form=form,
        start=_start(table, form),
        low_excludes=table.flag("low_excludes", False),
        high_includes=table.flag("high_includes", False),
        pages=table.integer("pages", PAGES_A_PART, low=1),
    )
    table.finish()
    if ranges.low == ranges.high:
        raise table.bad("high", f"is {ranges.high!r}, as low is; two parameters are wanted, one for each end")
    return ranges


def _start(table: Section, form: Form) -> int:
    """The lowest value worth a part: an id, or a time as TOML writes one."""
    value = table.take("start", 0)
    if isinstance(value, int) and not isinstance(value, bool) and (form == "integer" or value == 0):
        return value
    if isinstance(value, date) and form != "integer":
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    wanted = "a whole number" if form == "integer" else "a date, such as 2019-01-01"
    raise table.bad("start", f"wants {wanted}, not {type(value).__name__} {str(value)[:40]!r}")


def _shards(section: Section) -> Shards | None:
    if section.take("shards", None) is None:
        return None
    table = _sub(section, "shards", SHARDS_FORM)
    values = table.typed("values", list, words="a list of texts")
    if not values or not all(isinstance(value, str) and value for value in values) or len(set(values)) < len(values):
        raise table.bad("values", "wants a list of texts, each once, and all that there are", hint=SHARDS_FORM)
    shards = Shards(param=_word(table, "param"), values=tuple(values), at=_word(table, "at", None))
    table.finish()
    return shards


BATCH_FORM = 'write batch = { path = "orders", param = "id", join = ",", records = "data", size = 50 }'


def _batch(section: Section) -> Batch | None:
    if section.take("batch", None) is None:
        return None
    table = _sub(section, "batch", BATCH_FORM)
    absent: Literal["not_found", "unknown"] = table.choice("absent", ("not_found", "unknown"), "unknown")
    batch = Batch(
        path=_word(table, "path"),
        records=table.text("records"),
        size=table.integer("size", low=2),
        param=_word(table, "param", None),
        join=_word(table, "join", None),
        body=table.mapping("body", None),
        each=_word(table, "each", None),
        params=_scalars(table, "params"),
        absent=absent,
    )
    table.finish()
    if (batch.param is None) == (batch.body is None):
        raise section.bad("batch", "wants exactly one of param (the keys in the query) and body (the keys in a POST)", hint=BATCH_FORM)
    if batch.body is not None and '"{keys}"' not in json.dumps(batch.body, default=str):
        raise table.bad("body", 'has no "{keys}" in it, in whose place the keys are sent', hint='such as body = { ids = "{keys}" }')
    return batch


def _page_size(section: Section) -> PageSize | None:
    if section.take("page_size", None) is None:
        return None
    table = _sub(section, "page_size", 'write page_size = { param = "limit", size = 200, least = 10 }')
    size = PageSize(param=_word(table, "param"), size=table.integer("size", low=1), least=table.integer("least", 1, low=1))
    table.finish()
    if size.least > size.size:
        raise table.bad("least", f"is {size.least:,}, and size is {size.size:,}")
    paging = section.table.get("paging")
    if isinstance(paging, dict) and "size" in paging:
        raise section.bad("page_size", "says what size in paging says already; give one of them")
    return size


def _sub(section: Section, key: str, form: str) -> Section:
    if not isinstance(section.take(key), dict):
        raise section.bad(key, "is a table", hint=form)
    return section.sub(key)


def _deleted(section: Section) -> tuple[str, Scalar] | None:
    if "deleted" not in section.table:
        section.take("deleted", None)
        return None
    table = section.sub("deleted")
    at = _word(table, "at")
    value = table.take("is", True)
    if not isinstance(value, str | int | float | bool):
        raise table.bad("is", f"wants a text, a number, true or false, not {type(value).__name__}")
    table.finish()
    return at, value
