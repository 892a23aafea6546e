"""Shopify's own webhooks, for corrections that go to an endpoint of Shopify's (https://shopify.dev/docs/apps/build/webhooks; the pages cited here were read 2026-11).

A webhook's body is the resource as the REST Admin API shows it, which GraphQL, by which the lists are read, cannot be made to say. So each item
is read again by REST (https://shopify.dev/docs/api/admin-rest/2026-10/resources/order), with the same token: that API is legacy since October
2024, still served, and closed to public apps that are new since April 2025.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from recon import LastId, Rate, Resource
from recon.clock import Clock, iso
from recon.fetch.lookup import Reader
from recon.fetch.page import Lookup, LookupStatus
from recon.fetch.session import Session
from recon.native import JSON, Happened, NoWebhook, Webhook, whole

if TYPE_CHECKING:
    from .shopify import Shopify

REST_RATE = Rate(requests=2, per=1.0)
"""What a shop on the smallest plan restores; the bucket holds 40 (https://shopify.dev/docs/api/admin-rest/usage/rate-limits)."""

KINDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "orders": ("order", {"created": "orders/create", "updated": "orders/updated", "deleted": "orders/delete"}),
    "draft_orders": (
        "draft_order",
        {"created": "draft_orders/create", "updated": "draft_orders/update", "deleted": "draft_orders/delete"},
    ),
    "customers": ("customer", {"created": "customers/create", "updated": "customers/update", "deleted": "customers/delete"}),
    "products": ("product", {"created": "products/create", "updated": "products/update", "deleted": "products/delete"}),
    "inventory_items": (
        "inventory_item",
        {"created": "inventory_items/create", "updated": "inventory_items/update", "deleted": "inventory_items/delete"},
    ),
}
"""By resource where its record stands in a REST body, and the topics (https://shopify.dev/docs/api/webhooks/latest). Variants have none of their own."""


class ShopifyWebhooks:
    """Shopify's webhooks: the REST resource, `X-Shopify-Topic` and its kin, and `X-Shopify-Hmac-Sha256`.

    `X-Shopify-Webhook-Id` and `X-Shopify-Event-Id` are the corrective event's id, `X-Shopify-Triggered-At` is the run's start.
    """

    name = "Shopify"
    several = False
    headers = frozenset(
        f"x-shopify-{name}" for name in ("topic", "hmac-sha256", "shop-domain", "api-version", "webhook-id", "event-id", "triggered-at")
    )
    shape = re.compile(r"[a-z_]+/[a-z_]+")
    example = "orders/updated"

    def __init__(self, provider: "Shopify") -> None:
        self._provider = provider
        # Points of GraphQL and requests of REST are counted apart at Shopify.
        terms = replace(provider.terms, rates=(REST_RATE,), account=("rest", provider.terms.account))
        self.session = Session(provider.session.origins, provider.auth, terms, counts=provider.meter)

    def topics(self, resource: str) -> Mapping[str, Sequence[str]]:
        """As of `recon.native.Native`."""
        return {op: [topic] for op, topic in KINDS.get(resource, ("", {}))[1].items()}

    def read(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """The items by REST, under the keys that were asked for, whether global ids or numbers."""
        if resource not in KINDS:
            # Nothing could be made of it: the answer says so where it is to be rendered.
            yield from (Lookup(key=key, status=LookupStatus.FOUND, item=b"{}") for key in keys)
            return
        folder = self.session.origins.base.path.rpartition("/")[0]
        place = f"{folder}/{resource}/{{key}}.json"
        declared = Resource(path=resource, records=resource, paging=LastId(param="since_id"), get=place, get_record=KINDS[resource][0])
        numbers = {_number(key): key for key in keys}
        reader = Reader(self.session, declared, self._provider.deleted)
        for found in reader.read_many(list(numbers), clock):
            yield replace(found, key=numbers[found.key])

    def render(self, happened: Happened, *, clock: Clock) -> Webhook:
        """The webhook. Of a deleted item Shopify tells the id and no more."""
        del clock
        topic = happened.topic or KINDS.get(happened.resource, ("", {}))[1].get(happened.op)
        if topic is None or happened.resource not in KINDS:
            msg = f"Shopify has no webhook that tells of {happened.resource} {happened.op} with what can be read by its key"
            raise NoWebhook(msg)
        body = happened.record if happened.record is not None else whole({"id": int(_number(happened.key))})
        headers = {
            "content-type": JSON,
            "x-shopify-topic": topic,
            "x-shopify-shop-domain": f"{self._provider.shop}.myshopify.com",
            "x-shopify-api-version": self._provider.api_version,
            "x-shopify-webhook-id": happened.id,
            "x-shopify-event-id": happened.id,
            "x-shopify-triggered-at": iso(happened.at),
        }
        return Webhook(id=happened.id, topic=topic, body=body, headers=headers)

    def sign(self, webhook: Webhook, secrets: Sequence[str], *, now: datetime) -> Mapping[str, str]:
        """The base64 of the body's HMAC by the app's client secret (https://shopify.dev/docs/apps/build/webhooks/verify-deliveries)."""
        del now
        return {"x-shopify-hmac-sha256": base64.b64encode(hmac.digest(secrets[0].encode(), webhook.body, hashlib.sha256)).decode()}

    def notes(self, resource: str) -> Sequence[str]:
        """The version, and by which way it is read."""
        del resource
        return [f"read by the REST Admin API {self._provider.api_version}, as webhooks show it"]


def _number(key: str) -> str:
    """The number in a global id, or the number itself."""
    return key.rpartition("/")[2]
