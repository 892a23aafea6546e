"""What answers ask for: the default table, a provider's own rules before it, and bodies that only look like errors."""

import pytest

from recon.fetch.classify import Action, Classifier, Rule, change_wanted
from recon.fetch.transport import Response


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status=status, headers={n.replace("_", "-"): v for n, v in headers.items()}, body=body, wire_bytes=len(body))


THROTTLED = b'{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]}'


@pytest.mark.parametrize(
    ("response", "wanted"),
    [
        *((answer(status), Action.RETRY) for status in (408, 425, 500, 502, 503, 504)),
        (answer(429), Action.THROTTLE),
        (answer(503, retry_after="3"), Action.THROTTLE),
        (answer(403, retry_after="60"), Action.THROTTLE),
        (answer(403, x_ratelimit_remaining="0"), Action.THROTTLE),
        (answer(403, x_ratelimit_remaining="10"), None),
        (answer(403, b'{"message":"API Rate Limit Exceeded for user"}'), Action.THROTTLE),
        (answer(403, b'{"message":"You have exceeded a secondary rate limit"}'), Action.THROTTLE),
        (answer(403, b'{"message":"not yours"}'), None),
        (answer(401), Action.REFRESH),
        (answer(413), Action.SHRINK),
        (answer(200, THROTTLED), Action.THROTTLE),
        (answer(200, b'{"data":[{"error":"x","note":"THROTTLED"}],"has_more":false}'), None),
        (answer(200, b'{"errors":null,"data":{"state":"throttled"}}'), None),
        (answer(200, b'{"error":"broken"'), None),
        *((answer(status), None) for status in (200, 204, 301, 400, 404, 409, 410, 422, 501)),
    ],
)
def test_the_default_table(response: Response, wanted: Action | None) -> None:
    """What holds for every provider, without a word in its table."""
    assert Classifier().action(response) is wanted


def test_own_rules_stand_before_the_default_ones_and_the_first_that_fits_decides() -> None:
    """A provider may say otherwise of any status, by header, by words, or by both; what it does not speak of stays."""
    classifier = Classifier(
        [
            Rule(statuses=frozenset({500}), body="corrupt record", do=Action.SKIP),
            Rule(statuses=frozenset({500, 502}), header=("X-Final", None), do=Action.GIVE_UP),
            Rule(header=("X-Reason", "Busy"), do=Action.THROTTLE),
            Rule(statuses=frozenset({200}), body="maintenance", do=Action.RETRY),
        ]
    )
    assert classifier.action(answer(500, b'{"message":"Corrupt Record 7"}', x_final="1")) is Action.SKIP
    assert classifier.action(answer(502, x_final="")) is Action.GIVE_UP
    assert classifier.action(answer(400, x_reason=" busy ")) is Action.THROTTLE
    assert classifier.action(answer(400, x_reason="lazy")) is None
    assert classifier.action(answer(200, b'{"error":{"message":"Maintenance until four"}}')) is Action.RETRY
    assert classifier.action(answer(200, b'{"data":[{"error":0,"status":"maintenance"}]}')) is None
    assert classifier.action(answer(500)) is Action.RETRY


@pytest.mark.parametrize("action", list(Action))
def test_only_shrink_split_and_skip_want_another_request(action: Action) -> None:
    """Each of the three has its own error, with the status, the request's id, the API's words and a way out."""
    response = answer(422, b'{"error":{"message":"over 10,000 rows"}}', request_id="req_7")
    error = change_wanted(action, response, "GET /v1/x")
    assert (error is not None) == (action in {Action.SHRINK, Action.SPLIT, Action.SKIP})
    if error is not None:
        assert str(error).startswith("GET /v1/x -> 422 (request req_7): ")
        assert str(error).endswith(": over 10,000 rows")
        assert error.hint
