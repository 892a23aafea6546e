"""What an answer asks for: status, headers and body held against a table of rules, the first that fits decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from recon.errors import ItemRefused, PageTooLarge, ProviderError, RangeTooWide
from recon.fetch.refusal import error_body_words, error_words
from recon.fetch.transport import Response

#: As much of an error's body is searched; the transport keeps no more of one.
SEARCHED = 64 * 1024
EDGE = 4096
#: Without one of these no body with status 200 is an error's, and none is decoded to find that out.
ERROR_KEYS = (b'"error"', b'"errors"', b'"fault"', b'"problem"')


class Action(StrEnum):
    """What to do about an answer that is no page."""

    #: A passing fault: ask again, with growing waits.
    RETRY = "retry"
    #: Too fast: the whole account pauses, slows down, and asks again.
    THROTTLE = "throttle"
    #: The credential is not taken: renew it, once, and ask again.
    REFRESH = "refresh"
    #: The page is too large for the third party: PageTooLarge.
    SHRINK = "shrink"
    #: The range asked for is too wide: RangeTooWide.
    SPLIT = "split"
    #: This one item cannot be had: ItemRefused.
    SKIP = "skip"
    #: Final: no repeat betters it.
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Fits an answer of one of the `statuses` (any, where there are none) that has the header (with that value, unless it is None) and says the words.

    Words are looked for in an error's body without regard to case; in an answer with status 200 only where it is an error body
    (`error`, `errors` …), so that no record can be taken for an error. `code` is such a word too, in capitals as it stands here, and
    looked for only at the ends of a body, which costs a page of records nothing. `wait` is for how many seconds to leave it at least, where
    the answer itself names no time.
    """

    do: Action
    statuses: frozenset[int] = frozenset()
    header: tuple[str, str | None] | None = None
    body: str | None = None
    code: str | None = None
    wait: float = 0.0

    def fits(self, response: Response) -> bool:
        """Whether it does."""
        if self.statuses and response.status not in self.statuses:
            return False
        if self.header is not None:
            name, wanted = self.header
            value = response.headers.get(name.lower())
            if value is None or (wanted is not None and value.strip().lower() != wanted.lower()):
                return False
        if self.code is not None and not _bears(response.body, self.code):
            return False
        return self.body is None or _says(response, self.body.lower())


def _bears(body: bytes, code: str) -> bool:
    word = code.encode()
    return (word in body[:EDGE] or word in body[-EDGE:]) and code in error_body_words(body)


def _says(response: Response, words: str) -> bool:
    body = response.body
    if response.status != 200:
        return words in body[:SEARCHED].decode("utf-8", "replace").lower()
    if words.encode() not in body.lower() or not any(key in body for key in ERROR_KEYS):
        return False
    return words in error_body_words(body).lower()


DEFAULT = (
    Rule(statuses=frozenset({429}), do=Action.THROTTLE),
    # Both speak of the whole credential where they carry it (RFC 9110 section 15.6.4; GitHub answers 403 to what is too fast).
    Rule(statuses=frozenset({403, 503}), header=("Retry-After", None), do=Action.THROTTLE),
    Rule(statuses=frozenset({403}), header=("X-RateLimit-Remaining", "0"), do=Action.THROTTLE),
    Rule(statuses=frozenset({403}), body="rate limit exceeded", do=Action.THROTTLE),
    Rule(statuses=frozenset({403}), body="secondary rate limit", do=Action.THROTTLE),
    # GraphQL answers 200 to everything (https://shopify.dev/docs/api/usage/limits, read 2026-11).
    Rule(statuses=frozenset({200}), code="THROTTLED", do=Action.THROTTLE),
    Rule(statuses=frozenset({408, 425, 500, 502, 503, 504}), do=Action.RETRY),
    Rule(statuses=frozenset({401}), do=Action.REFRESH),
    Rule(statuses=frozenset({413}), do=Action.SHRINK),
)
"""What holds for every provider; its own rules stand before these."""


class Classifier:
    """The rules of one provider, its own first."""

    def __init__(self, own: Sequence[Rule] = ()) -> None:
        self._rules = (*own, *DEFAULT)
        self._of_status: dict[int, list[Rule]] = {}

    def action(self, response: Response) -> Action | None:
        """What the answer asks for; None for one that is to be read as it is."""
        rule = self._rule(response)
        return None if rule is None else rule.do

    def wait(self, response: Response) -> float | None:
        """For how many seconds an answer that names no time itself asks to be left; None where its rule names none either."""
        rule = self._rule(response)
        return rule.wait if rule is not None and rule.wait else None

    def _rule(self, response: Response) -> Rule | None:
        status = response.status
        rules = self._of_status.get(status)
        if rules is None:
            rules = self._of_status[status] = [rule for rule in self._rules if not rule.statuses or status in rule.statuses]
        return next((rule for rule in rules if rule.fits(response)), None)


CHANGES: dict[Action, tuple[type[ProviderError], str, str]] = {
    Action.SHRINK: (PageTooLarge, "the page is too large for it", "ask for fewer items a page, in the resource's params or paging"),
    Action.SPLIT: (RangeTooWide, "the range asked for is too wide for it", "narrow the resource's params"),
    Action.SKIP: (ItemRefused, "it does not give this one out", "its other items are read; ask their support about this one"),
}


def change_wanted(action: Action, response: Response, subject: str) -> ProviderError | None:
    """The error for an answer that wants another request than the one it got; None where it wants none."""
    if action not in CHANGES:
        return None
    error, words, hint = CHANGES[action]
    named = f" (request {response.request_id})" if response.request_id else ""
    said = error_words(response.body)
    return error(f"{subject} -> {response.status}{named}: {words}" + (f": {said}" if said else ""), hint=hint)
