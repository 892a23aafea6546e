"""What an error of AWS says of the events that met it: later, after somebody mended something, never, or nobody knows.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_BatchResultErrorEntry.html,
https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html and
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html (read 2026-11)
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

from recon.publishers.base import Outcome, OutcomeKind
from recon.publishers.faults import MENDED_SECONDS, THROTTLED_SECONDS, printable

NO_ANSWER = Outcome(kind=OutcomeKind.UNKNOWN, reason="sent, and the answer does not say what became of it")


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


THROTTLED = _codes("""
    Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException TooManyRequestsException SlowDown
    RequestLimitExceeded BandwidthLimitExceeded LimitExceededException OverLimit KmsThrottled KMSThrottling KMSThrottlingException
    ServiceUnavailable ServiceUnavailableException
""")
UNKNOWN_CALLER = _codes("""
    ExpiredToken ExpiredTokenException RequestExpired InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch
    InvalidSignatureException RequestTimeTooSkewed IncompleteSignature IncompleteSignatureException MissingAuthenticationToken
    MissingAuthenticationTokenException InvalidAccessKeyId AuthFailure InvalidSecurity InvalidSecurityException OptInRequired
""")
FORBIDDEN = _codes("""
    AccessDenied AccessDeniedException AuthorizationError AuthorizationErrorException UnauthorizedOperation NotAuthorized
    KmsAccessDenied KMSAccessDeniedException NotAuthorizedForSourceException NotAuthorizedForDetailTypeException
""")
ABSENT = _codes("NonExistentQueue QueueDoesNotExist QueueDeletedRecently NotFound NotFoundException ResourceNotFoundException")
OF_A_PLACE = (
    (THROTTLED, "{place} throttles: {said}", THROTTLED_SECONDS),
    (
        UNKNOWN_CALLER,
        "AWS does not accept the credentials ({said}): renew them where this machine has them from, or set profile or access_key",
        MENDED_SECONDS,
    ),
    (
        FORBIDDEN,
        "the credentials may not do this at {place} ({said}): allow it in IAM, or in the policy of the queue, topic, bus or key",
        MENDED_SECONDS,
    ),
    (ABSENT, "{place} is not there ({said}): make it, or set its name, the region and the account right", MENDED_SECONDS),
)
"""Faults that somebody can mend or that pass: which codes, what to say, and how long the place is left alone."""
UNFIT = _codes("InvalidMessageContents MalformedDetail BatchRequestTooLong BatchRequestTooLongException")
"""Said of the events themselves; where one call carries several, of one of them."""
DOUBTFUL = _codes("""
    InvalidParameterValue InvalidParameterValueException InvalidParameter InvalidParameterException InvalidArgument ValidationError
    ValidationException InvalidAttributeValue
""")
"""Said of an event or of a setting: the words tell which."""
OF_THE_EVENT = re.compile(r"shorter than|too long|too large|over the limit|invalid (binary )?characters?|\bDetail(Type)?\b", re.IGNORECASE)

log = logging.getLogger(__name__)


def code_of(response: Mapping[str, Any]) -> str:
    """The code of an error, without the service that SQS puts before it."""
    return str(response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def of_code(code: str, words: str, *, place: str, status: int = 200) -> Outcome:
    """An error by its code and words, as an answer gives it for a call (`status` of HTTP) or, with 200, for one event of several."""
    name, said = code_of({"Error": {"Code": code}}), printable(f"{code}: {words}" if words else code)
    for codes, reason, pause in OF_A_PLACE:
        if name in codes:
            return Outcome(kind=OutcomeKind.RETRY, reason=reason.format(place=place, said=said), after=pause)
    if name in UNFIT or (name in DOUBTFUL and OF_THE_EVENT.search(words)):
        return Outcome(kind=OutcomeKind.REJECTED, reason=said)
    if status >= 500 and status != 503:
        return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"{place} failed at it, and may have taken it: {said}")
    if status in {429, 503}:
        return Outcome(kind=OutcomeKind.RETRY, reason=f"{place} is too busy: {said}", after=THROTTLED_SECONDS)
    # An entry that failed by the service's own fault comes with 200; a refused call speaks of settings.
    after = None if status == 200 and name not in DOUBTFUL else MENDED_SECONDS
    return Outcome(kind=OutcomeKind.RETRY, reason=f"{place} refused it: {said}", after=after)


def of_error(error: Exception, *, place: str) -> Outcome:
    """What boto3 raised instead of an answer: RETRY where nothing can have been sent, UNKNOWN where it may have arrived."""
    from botocore import exceptions

    said, no_credentials = (
        printable(str(error)),
        (
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.TokenRetrievalError,
            exceptions.SSOError,
            exceptions.ProfileNotFound,
        ),
    )
    kind, after = OutcomeKind.RETRY, MENDED_SECONDS
    if isinstance(error, exceptions.ClientError):
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        return of_code(str(told.get("Code", "")), str(told.get("Message", "")), place=place, status=int(status))
    if isinstance(error, no_credentials):
        reason = f"there are no credentials for AWS ({said}): set profile, or access_key and secret_key, or any way of boto3's own"
    elif isinstance(error, exceptions.NoRegionError):
        reason = 'there is no region for AWS: set region = "eu-central-1" or the like'
    elif isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError | exceptions.ProxyConnectionError):
        return Outcome(kind=kind, reason=f"no connection to {place}: {said}")
    elif isinstance(error, exceptions.ParamValidationError):
        # Its words quote what it was given.
        kind, reason, after = OutcomeKind.REJECTED, "boto3 does not take the event as a parameter", 0.0
    elif isinstance(error, exceptions.BotoCoreError):
        return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"sent, and no whole answer from {place}: {said}")
    else:
        log.error("%s: %s", place, printable(repr(error)), exc_info=error, extra={"action": "publisher_broke"})
        return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"{place}: {type(error).__name__}: {said}")
    return Outcome(kind=kind, reason=reason, after=after or None)


def of_entry(failed: dict[str, Any], place: str) -> Outcome:
    """One of `Failed[]`, as SQS and SNS write it: a fault that is not the sender's is never held against the event."""
    outcome = of_code(str(failed.get("Code", "")), str(failed.get("Message", "")), place=place)
    if outcome.kind is OutcomeKind.REJECTED and not failed.get("SenderFault"):
        return Outcome(kind=OutcomeKind.RETRY, reason=outcome.reason)
    return outcome
