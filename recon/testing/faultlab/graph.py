"""GraphApi: the same list behind a GraphQL endpoint, as a Relay connection."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from recon.fetch.graphql import DATA, Connection
from recon.fetch.path import segments
from recon.testing.fault_server import Answer, Asked, page
from recon.testing.faultlab.api import Api, Served
from recon.testing.faultlab.fault import Fault, Moment, Outcome

PART = b'"errors": [{"message": "one field failed", "path": ["orders"]}], '


def beside(errors: bytes) -> Callable[[Moment, Answer], Answer]:
    """These members before the data, which is as it was."""
    return lambda _, answer: replace(answer, pieces=[answer.body.replace(b"{", b"{" + errors, 1)])


def code(word: str) -> Callable[[Moment, Answer], Answer]:
    """An answer of errors alone, with that code."""
    body = {"data": None, "errors": [{"message": "it is ill", "extensions": {"code": word}}]}
    return lambda _, __: page(body)


IN_GRAPHQL: Sequence[Fault] = (
    Fault(name="errors beside the data, for ever", wire=beside(PART), times=None, expects=Outcome.STOPS, says="one field failed"),
    Fault(name="no errors, said beside the data", wire=beside(b'"errors": [], '), times=None),
    Fault(name="errors that are null", wire=beside(b'"errors": null, '), times=None),
    Fault(name="THROTTLED with status 200, twice", wire=code("THROTTLED"), times=2),
    Fault(name="INTERNAL_SERVER_ERROR with status 200", wire=code("INTERNAL_SERVER_ERROR")),
    Fault(name="THROTTLED with status 200, for ever", wire=code("THROTTLED"), times=None, expects=Outcome.STOPS, says="it is ill"),
    Fault(
        name="ACCESS_DENIED with status 200, for ever", wire=code("ACCESS_DENIED"), times=None, expects=Outcome.STOPS, says="ACCESS_DENIED"
    ),
)
"""What only a GraphQL answer can do (https://spec.graphql.org/October2021/#sec-Errors, read 2026-11)."""


@dataclass(kw_only=True)
class GraphApi(Api):
    """Knows the queries of its connection by their text, and nothing else of GraphQL: what a query selects is not looked at."""

    resource: Connection

    def __call__(self, asked: Asked) -> Answer:
        """The answer to one query."""
        if asked.path.rstrip("/") != self.base.rstrip("/") or asked.method != "POST":
            return page({"error": {"message": "no such place"}}, 404)
        document = json.loads(asked.body)
        query, variables = document["query"], document.get("variables") or {}
        if query == self.resource.query:
            # From here on it is a list like any other, asked for by parameters.
            given = {name: value for name, value in variables.items() if isinstance(value, str | int) and not isinstance(value, bool)}
            return self._listing(Asked("GET", f"{asked.path}?{urlencode(given)}", asked.headers))
        for by_id in (self.resource.one, self.resource.many):
            if by_id is not None and query == by_id.query:
                return self.on_item(asked, self._nodes(by_id.record, variables[by_id.variable]))
        return page({"errors": [{"message": "no such query"}]})

    def _size(self, query: Any) -> int:
        wanted = int(query.get(self.resource.first or "", self.size))
        return max(1, min(wanted, self.most or wanted))

    def _written(self, asked: Asked, served: Served) -> Answer:
        plain = list(served.rows)
        if self.resource.place.edged:
            served.rows = [b'{"cursor":"c","node":' + row + b"}" for row in plain]
        try:
            return super()._written(asked, served)
        finally:
            served.rows = plain

    def _nodes(self, path: str, ids: Any) -> Answer:
        """The node of an id, or those of several in their order; null for one that is not there."""
        there = {self.key(record): record for record in self.records}
        value = [there.get(str(key)) for key in ids] if isinstance(ids, list) else there.get(str(ids))
        body: dict[str, Any] = {}
        inner = body.setdefault(DATA, {})
        *way, last = segments(path)
        for name in way:
            inner = inner.setdefault(name, {})
        inner[last] = value
        return page(body)
