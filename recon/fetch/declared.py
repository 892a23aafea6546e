"""What a provider's table in recon.toml declares of rates and of answers: `rate` and `classify`."""

from collections.abc import Iterator

from recon.fetch.classify import Action, Rule
from recon.fetch.rate import Rate
from recon.section import Section

RATE_FORM = 'write rate = { requests = 10, per = "1s" }, or a list of such tables'
CLASSIFY_FORM = 'write classify = [ { status = 403, body = "rate limit", do = "throttle" } ]'
ACTIONS = tuple(action.value for action in Action)


def rates_of(section: Section) -> tuple[Rate, ...]:
    """`rate = { requests = 10, per = "1s", each = "account" }` or a list of them; empty where there is none. Raises BadSetting."""
    given = section.take("rate", None)
    if given is None:
        return ()
    if not isinstance(given, dict | list) or given == []:
        raise section.bad("rate", "wants a table or a list of tables", hint=RATE_FORM)
    return tuple(_rate(table) for table in ([section.sub("rate")] if isinstance(given, dict) else _listed(section, "rate", RATE_FORM)))


def rules_of(section: Section) -> tuple[Rule, ...]:
    """`classify = [ { status, header = { name, is }, body, do, wait } ]`, in order; empty where there is none. Raises BadSetting."""
    if section.take("classify", None) is None:
        return ()
    return tuple(_rule(table) for table in _listed(section, "classify", CLASSIFY_FORM))


def _rate(table: Section) -> Rate:
    requests, per = table.number("requests"), table.duration("per", 1.0)
    each = table.choice("each", ("account", "endpoint"), "account")
    table.finish()
    try:
        return Rate(requests=requests, per=per, each=each)
    except ValueError as error:
        raise table.bad("requests", str(error)) from None


def _rule(table: Section) -> Rule:
    do = table.choice("do", ACTIONS)
    given = table.take("status", [])
    statuses = given if isinstance(given, list) else [given]
    for status in statuses:
        if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
            raise table.bad("status", "wants a status such as 403, or a list of them", hint=CLASSIFY_FORM)
    body = table.text("body", None)
    if body is not None and not body.strip():
        raise table.bad("body", "is empty, which every answer holds")
    header = None
    if table.take("header", None) is not None:
        inner = table.sub("header")
        header = (inner.text("name"), inner.text("is", None))
        inner.finish()
    wait = table.duration("wait", 0.0)
    table.finish()
    if wait and do not in (Action.RETRY.value, Action.THROTTLE.value):
        raise table.bad("wait", f'says when to ask again, and do = "{do}" does not')
    if not statuses and body is None and header is None:
        raise table.bad("do", "stands alone: without a status, a header or a body it would fit every answer", hint=CLASSIFY_FORM)
    if 200 in statuses and body is None and header is None:
        raise table.bad("status", "200 alone would fit every page", hint="say by body or header which answers are meant")
    return Rule(do=Action(do), statuses=frozenset(statuses), header=header, body=body, wait=wait)


def _listed(section: Section, key: str, form: str) -> Iterator[Section]:
    tables = section.take(key)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise section.bad(key, "wants a list of tables", hint=form)
    above = section.place
    for number, table in enumerate(tables, start=1):
        place = (lambda _: above(key)) if above else None
        path = f"{section.path}.{key}"
        yield Section(
            name=section.name,
            file=section.file,
            path=f"{path} {number}" if len(tables) > 1 else path,
            table=table,
            folder=section.folder,
            place=place,
            environ=section.environ,
        )
