"""What an answer says of the limits, read from its headers and, where a cost stands there, from its body. Nonsense says nothing."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from recon.fetch.quota import Points, Window
from recon.fetch.transport import Response

#: Above this a reset is a moment and not a number of seconds: 1e9 is in 2001, and as seconds it is 31 years.
EPOCH, EPOCH_MS = 1e9, 1e12
#: Shopify's buckets hold what comes back in 20 seconds, on every plan (https://shopify.dev/docs/api/usage/limits, read 2026-11).
SHOPIFY_SECONDS = 20.0
#: The names that others use for the three numbers of GitHub's X-RateLimit-*, each family by itself.
FAMILIES = ("x-ratelimit", "ratelimit", "x-rate-limit", "x-hubspot-ratelimit")
LIMIT, REMAINING = ("limit", "max"), ("remaining",)
#: Seconds left, whatever their size; milliseconds; and the one that may be either seconds or a moment.
RESET_AFTER, RESET_MS, RESET = ("reset-after",), ("reset-ms", "interval-milliseconds"), ("reset",)
COST = "cost"
"""The name of the points that Shopify counts a query's cost by."""

#: How far from either end of a body a cost is looked for.
EDGE = 4096
ITEM = re.compile(r'\s*(?:"([^"]*)"|([^";,=\s]+))\s*((?:;[^,]*)?)')
PARAMETER = re.compile(r"(?:^|[;,])\s*([a-z]+)\s*=\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE)


def told(response: Response, now: datetime) -> list[Window | Points]:
    """Everything that an answer says of the limits; empty where it says nothing."""
    cost = _cost(response.body)
    found: list[Window | Points] = [] if cost is None else [cost]
    # Most answers say nothing, and are not to be looked through name by name.
    if any("limit" in name for name in response.headers):
        shop = _shopify(response.headers.get("x-shopify-shop-api-call-limit", ""))
        found += [*_families(response.headers, now), *_draft(response.headers), *([] if shop is None else [shop])]
    return found


def reset_after(windows: list[Window | Points]) -> float | None:
    """Seconds until the last of the windows that have nothing left starts anew, for an answer that says to slow down; None where none does."""
    spent = [one.resets_in for one in windows if isinstance(one, Window) and one.resets_in is not None and (one.remaining or 0) < 1]
    short = [
        (min(one.cost, one.capacity) - one.available) / one.restored
        for one in windows
        if isinstance(one, Points) and one.restored > 0 and one.available < min(one.cost, one.capacity)
    ]
    return max([*spent, *short], default=None)


def _families(headers: Mapping[str, str], now: datetime) -> Iterator[Window]:
    """`X-RateLimit-Limit`, `-Remaining` and `-Reset` (GitHub and many others), the IETF draft's older `RateLimit-*`, HubSpot's and Okta's."""
    for family in FAMILIES:
        remaining = _number(headers, family, REMAINING)
        resets = _resets(headers, family, now)
        if remaining is not None or resets is not None:
            # GitHub counts its search apart from all else, and says which it was.
            name = f"{family} {headers.get(f'{family}-resource', '')}".strip()
            yield Window(name=name, limit=_number(headers, family, LIMIT), remaining=remaining, resets_in=resets)


def _resets(headers: Mapping[str, str], family: str, now: datetime) -> float | None:
    if (after := _number(headers, family, RESET_AFTER)) is not None:
        return max(0.0, after)
    if (milliseconds := _number(headers, family, RESET_MS)) is not None:
        return max(0.0, milliseconds / 1000)
    text = headers.get(f"{family}-reset", "")
    value = _number(headers, family, RESET)
    if value is None:
        moment = _moment(text)
        return None if moment is None else max(0.0, (moment - _their_now(headers, now)).total_seconds())
    if value >= EPOCH:
        seconds = value / 1000 if value >= EPOCH_MS else value
        return max(0.0, seconds - _their_now(headers, now).timestamp())
    return max(0.0, value)


def _their_now(headers: Mapping[str, str], now: datetime) -> datetime:
    """The third party's own clock where it gives it: its reset is a moment on that one."""
    return _moment(headers.get("date", "")) or now


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            moment = read(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _number(headers: Mapping[str, str], family: str, names: tuple[str, ...]) -> float | None:
    """The number of the first header there; the smallest of several (`100, 100;w=60`)."""
    for name in names:
        found = [value for part in headers.get(f"{family}-{name}", "").split(",") if (value := _finite(part.partition(";")[0])) is not None]
        if found:
            return min(found)
    return None


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _draft(headers: Mapping[str, str]) -> Iterator[Window]:
    """The IETF draft's `RateLimit: "default";r=50;t=30`, with its policy's quota, and its form before that, `limit=100, remaining=50, reset=5`."""
    text = headers.get("ratelimit", "")
    if not text:
        return
    flat = {name.lower(): float(value) for name, value in PARAMETER.findall(text)}
    if "remaining" in flat:
        yield Window(name="ratelimit", limit=flat.get("limit"), remaining=flat["remaining"], resets_in=flat.get("reset"))
        return
    quotas = {name: parameters.get("q") for name, parameters in _items(headers.get("ratelimit-policy", ""))}
    for name, parameters in _items(text):
        if "r" in parameters:
            yield Window(name=f"ratelimit {name}", limit=quotas.get(name), remaining=parameters["r"], resets_in=parameters.get("t"))


def _items(text: str) -> Iterator[tuple[str, dict[str, float]]]:
    for quoted, bare, parameters in ITEM.findall(text):
        if quoted or bare:
            yield quoted or bare, {name.lower(): float(value) for name, value in PARAMETER.findall(parameters)}


def _shopify(text: str) -> Points | None:
    """`32/40`: used and capacity; what comes back in a second is a twentieth of it."""
    used, slash, capacity = text.partition("/")
    taken, size = _finite(used), _finite(capacity)
    if not slash or taken is None or not size:
        return None
    return Points(name="shopify", capacity=size, available=max(0.0, size - taken), restored=size / SHOPIFY_SECONDS)


class _Extensions(msgspec.Struct):
    extensions: Any = None


def _cost(body: bytes) -> Points | None:
    """Shopify's `extensions.cost` beside a GraphQL answer: what it cost, and what is left of the points."""
    # Extensions stand before or after the data: pages of records are not searched through for them.
    if b'"throttleStatus"' not in body[:EDGE] and b'"throttleStatus"' not in body[-EDGE:]:
        return None
    try:
        extensions = msgspec.json.decode(body, type=_Extensions).extensions
        cost = extensions["cost"]
        status = cost["throttleStatus"]
        capacity, available, restored = (float(status[name]) for name in ("maximumAvailable", "currentlyAvailable", "restoreRate"))
        # What was asked for is what must be there before it runs; what it really cost is known only afterwards.
        asked = cost.get("requestedQueryCost") or cost.get("actualQueryCost") or 1.0
        return Points(name=COST, capacity=capacity, available=available, restored=restored, cost=max(1.0, float(asked)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError, AttributeError):
        return None
