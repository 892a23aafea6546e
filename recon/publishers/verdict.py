"""What an answer to a delivery means for the events in it.

| answer                                  | outcome                                                                              |
|-----------------------------------------|--------------------------------------------------------------------------------------|
| 2xx                                     | CONFIRMED; for a batch answered by a JSON list, each event by its own status          |
| 409                                     | CONFIRMED, a duplicate: the receiver had it already                                   |
| 408, 425, 429, 5xx                      | RETRY, after Retry-After (seconds or a date) where it is given                        |
| 401, 403, 404, 405, 407                 | RETRY: they speak of the endpoint or the credential, not of the event                 |
| 3xx                                     | RETRY: redirects are not followed; the url has to be set                              |
| 410                                     | RETRY, and the endpoint is left alone for an hour (`WebhookPublisher`)                |
| other 4xx                               | REJECTED, with the status and the beginning of the body                               |
| no connection                           | RETRY: nothing was sent                                                               |
| sent, and no answer, or a torn one      | UNKNOWN: the same id is sent again                                                    |
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from recon.inert import terminal
from recon.publishers.base import Outcome, OutcomeKind
from recon.publishers.post import Answer

EXCERPT = 200
ENDPOINT = {401, 403, 404, 405, 407}
AGAIN = {408, 425, 429}
#: The receiver as a whole is not well: going on with the next event would only press it.
PRESSED = {429, 502, 503, 504}
ENDPOINT_SECONDS = 300.0
MAX_AFTER_SECONDS = 24 * 3600.0


def of_answer(answer: Answer, ids: Sequence[str], *, now: datetime) -> tuple[list[Outcome], Outcome | None]:
    """Each event's outcome, and the outcome of all later ones where there is no point in sending them now."""
    if answer.status is None:
        if answer.sent:
            outcome = Outcome(kind=OutcomeKind.UNKNOWN, reason=f"sent, and no answer came: {answer.failure}")
        else:
            outcome = Outcome(kind=OutcomeKind.RETRY, reason=f"not sent: {answer.failure}")
        return [outcome] * len(ids), Outcome(kind=OutcomeKind.RETRY, reason=f"not sent: the one before found no answer ({answer.failure})")
    if 200 <= answer.status < 300:
        return _listed(answer, ids), None
    outcome = of_status(answer.status, reason=excerpt(answer.body), after=retry_after(answer.headers.get("retry-after"), now=now))
    stop = None
    if answer.status in PRESSED or answer.status in ENDPOINT or 300 <= answer.status < 400:
        stop = Outcome(kind=OutcomeKind.RETRY, reason=f"not sent: the one before it was answered {answer.status}", after=outcome.after)
    return [outcome] * len(ids), stop


def of_status(status: int, *, reason: str = "", after: float | None = None) -> Outcome:
    """The table above, for one status; `reason` is the receiver's own text, already inert."""
    said = f"HTTP {status}" + (f": {reason}" if reason else "")
    kind, duplicate = OutcomeKind.RETRY, False
    if 200 <= status < 300:
        kind, said = OutcomeKind.CONFIRMED, ""
    elif status == 409:
        kind, said, duplicate = OutcomeKind.CONFIRMED, "the receiver had it already", True
    elif status in ENDPOINT:
        said += " (about the endpoint or the credential, not the event; check url, secret and headers in recon.toml)"
        after = ENDPOINT_SECONDS if after is None else after
    elif 300 <= status < 400:
        said = f"HTTP {status}: a redirect, which is not followed; set the final url in recon.toml"
        after = ENDPOINT_SECONDS
    elif status == 410:
        said, after = "HTTP 410: the receiver takes this event here no more", ENDPOINT_SECONDS
    elif 400 <= status < 500 and status not in AGAIN:
        kind = OutcomeKind.REJECTED
    elif not (status in AGAIN or 500 <= status < 600):
        kind, said = OutcomeKind.UNKNOWN, f"HTTP {status} means nothing to this publisher"
    return Outcome(kind=kind, reason=said, after=after if kind is OutcomeKind.RETRY else None, duplicate=duplicate)


def _listed(answer: Answer, ids: Sequence[str]) -> list[Outcome]:
    """A 2xx: everything, unless the body is a list of statuses, each with the event's id."""
    everything = [Outcome(kind=OutcomeKind.CONFIRMED)] * len(ids)
    if not answer.body.lstrip().startswith(b"["):
        return everything
    try:
        rows = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        torn = Outcome(kind=OutcomeKind.UNKNOWN, reason=f"HTTP {answer.status} with a list of statuses that breaks off")
        return [torn] * len(ids)
    statuses = {row["id"]: row for row in rows if _is_status(row)}
    if not statuses:
        return everything
    return [_of_row(answer, statuses.get(one)) for one in ids]


def _is_status(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), str) and type(row.get("status")) is int


def _of_row(answer: Answer, row: dict[str, Any] | None) -> Outcome:
    if row is None:
        return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"HTTP {answer.status}, and its list of statuses leaves this event out")
    after = row.get("retry_after")
    seconds = min(float(after), MAX_AFTER_SECONDS) if isinstance(after, int | float) and after >= 0 else None
    return of_status(row["status"], reason=excerpt(str(row.get("reason") or "").encode(errors="replace")), after=seconds)


def retry_after(text: str | None, *, now: datetime) -> float | None:
    """Seconds, from either form of Retry-After (RFC 9110 §10.2.3): a number of seconds or a date; None where it is neither."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), MAX_AFTER_SECONDS)


def excerpt(body: bytes) -> str:
    """The beginning of a foreign body, on one line and inert: it is printed in terminals and reports."""
    text = " ".join(body[: EXCERPT * 4].decode("utf-8", "replace").split())
    cut = text[:EXCERPT] + ("…" if len(text) > EXCERPT else "")
    return terminal(cut)
