"""Asking: one GraphQL query and its answer, of which only one without `errors` counts.

GraphQL answers 200 to nearly everything, and an answer may hold part of the data beside `errors`
(https://spec.graphql.org/October2021/#sec-Errors, read 2026-11): such a page is short and does not say so, so it is no page.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from recon.clock import Clock
from recon.errors import InvalidPage, ProviderError, Refused
from recon.fetch.classify import Action, Rule
from recon.fetch.cut import Cut, Cutter, loose
from recon.fetch.origin import Location
from recon.fetch.path import ABSENT, at_path
from recon.fetch.refusal import describe, error_body_words
from recon.fetch.session import Session
from recon.fetch.transport import Response

OK = frozenset({200})
RULES = (
    Rule(statuses=OK, code="MAX_COST_EXCEEDED", do=Action.SHRINK),
    Rule(statuses=OK, code="INTERNAL_SERVER_ERROR", do=Action.RETRY),
    Rule(statuses=OK, code="TIMEOUT", do=Action.RETRY),
)
"""What the codes of the usual servers mean (https://shopify.dev/docs/api/admin-graphql, read 2026-11); THROTTLED is known to all providers."""

ERRORS = "errors"
DENIED = ("ACCESS_DENIED", "FORBIDDEN", "UNAUTHORIZED", "UNAUTHENTICATED")


class Asker:
    """Sends queries to one endpoint. `look` sees every answer before it is read, and raises where it should not be."""

    def __init__(self, session: Session, look: Callable[[Response], None] = lambda _: None) -> None:
        self.session = session
        self._look = look

    @property
    def location(self) -> Location:
        """The endpoint."""
        return self.session.origins.base

    def ask(self, query: str, variables: Mapping[str, Any], *, subject: str, clock: Clock) -> Response:
        """The answer, with status 200 and not looked into further. Raises ProviderError leaves."""
        document = msgspec.json.encode({"query": query, "variables": dict(variables)})
        response = self.session.post(self.location, document, clock=clock)
        if response.status != 200:
            raise self.session.refusal(response, subject)
        self._look(response)
        return response

    def read(self, query: str, variables: Mapping[str, Any], *, subject: str, clock: Clock) -> Any:
        """What the answer's `data` holds, decoded; for small answers. Raises ProviderError leaves."""
        response = self.ask(query, variables, subject=subject, clock=clock)
        try:
            body = msgspec.json.decode(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = None
        self.free_of_errors(at_path(body, ERRORS), response.body, subject)
        data = at_path(body, "data")
        if not isinstance(data, dict):
            msg = f"{subject}: no data; the body is {describe(response.body)}"
            raise self.session.masked(InvalidPage(msg))
        return data

    def cut(self, cutter: Cutter, body: bytes, subject: str) -> Cut:
        """The answer cut by a cutter that reads ERRORS too. Raises InvalidPage, and Refused for a right that is not granted."""
        try:
            cut = cutter.cut(body, subject)
        except InvalidPage as error:
            self.free_of_errors(at_path(loose(body), ERRORS), body, subject)
            raise self.session.masked(error) from error.__cause__
        self.free_of_errors(cut.values.get(ERRORS), body, subject)
        return cut

    def free_of_errors(self, errors: Any, body: bytes, subject: str) -> None:
        """Raises where an answer has errors: Refused for a right that is not granted, else InvalidPage."""
        if errors is ABSENT or errors is None or errors == []:
            return
        said = error_body_words(body) or "errors without words"
        error: ProviderError = InvalidPage(f"{subject}: the answer has errors, so what stands beside them is no page: {said}")
        if any(code in said for code in DENIED):
            error = Refused(f"{subject}: {said}", hint="check what the credential may read")
        raise self.session.masked(error)
