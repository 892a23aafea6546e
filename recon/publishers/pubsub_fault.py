"""What an error of Google Pub/Sub says of the events that met it: later, after somebody mended something, never, or nobody knows.

https://cloud.google.com/pubsub/docs/reference/error-codes (read 2026-11)
"""

import re
from typing import Any

from recon.publishers.base import Outcome, OutcomeKind
from recon.publishers.faults import MENDED_SECONDS, THROTTLED_SECONDS, printable

OF_THE_EVENT = re.compile(r"too (large|long|many)|exceeds|larger than max|ordering key|is empty", re.IGNORECASE)
"""In the words of INVALID_ARGUMENT: said of a message; the rest is said of a name, a schema or a setting."""
NOT_SENT = re.compile(r"failed to connect|connection refused|DNS resolution|name resolution|lookup (error|failed)", re.IGNORECASE)
MENDED = {
    "UNAUTHENTICATED": "Google does not accept the credentials ({said}): renew them, or set credentials",
    "PERMISSION_DENIED": "the credentials may not publish to {topic} ({said}): grant roles/pubsub.publisher on it",
    "NOT_FOUND": "{topic} is not there ({said}): make it, or set topic and project right",
    "FAILED_PRECONDITION": "{topic} cannot take events now ({said}): look at its encryption key and its settings",
    "UNIMPLEMENTED": "what answers is no Pub/Sub ({said}): set endpoint right",
}
"""Faults that somebody can mend, by gRPC's names of them."""


def of_error(error: Exception, *, topic: str) -> Outcome:
    """What was raised instead of an answer. INVALID_ARGUMENT that speaks of a message is REJECTED: where a request has several, of one of them."""
    import grpc
    from google.auth.exceptions import GoogleAuthError

    if isinstance(error, GoogleAuthError):
        reason = f"there are no credentials for Google Cloud ({printable(str(error))}): set credentials, or run gcloud auth application-default login"
        return Outcome(kind=OutcomeKind.RETRY, reason=reason, after=MENDED_SECONDS)
    if not isinstance(error, grpc.RpcError):
        return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"{topic}: {type(error).__name__}: {printable(str(error))}")
    return of_status(error, topic=topic)


def of_status(error: Any, *, topic: str) -> Outcome:
    """A status of gRPC."""
    code, said = error.code().name, printable(error.details() or "")
    told = f"{code}: {said}"
    if code in MENDED:
        return Outcome(kind=OutcomeKind.RETRY, reason=MENDED[code].format(topic=topic, said=told), after=MENDED_SECONDS)
    if code in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"} and OF_THE_EVENT.search(said):
        return Outcome(kind=OutcomeKind.REJECTED, reason=told)
    if code == "INVALID_ARGUMENT":
        return Outcome(kind=OutcomeKind.RETRY, reason=f"{topic} refuses it: {told}: look at its name and its schema", after=MENDED_SECONDS)
    if code == "RESOURCE_EXHAUSTED":
        return Outcome(kind=OutcomeKind.RETRY, reason=f"{topic} throttles: {told}", after=THROTTLED_SECONDS)
    if code == "UNAVAILABLE" and NOT_SENT.search(said):
        return Outcome(kind=OutcomeKind.RETRY, reason=f"no connection to Pub/Sub: {said}")
    return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"sent, and no whole answer from {topic}: {told}")
