"""Stripe's own webhooks, for corrections that go to an endpoint of Stripe's (https://docs.stripe.com/webhooks; the pages cited here were read 2026-11)."""

import hashlib
import hmac
import logging
import re
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from recon import Section
from recon.clock import Clock
from recon.errors import InvalidPage
from recon.fetch.lookup import Reader
from recon.fetch.page import Lookup
from recon.fetch.path import segments
from recon.native import JSON, Happened, NoWebhook, Webhook, agree, whole

if TYPE_CHECKING:
    from .stripe import Stripe

log = logging.getLogger(__name__)

UNDELIVERED_PAGES = 20
"""So far back is looked for events that were not delivered, newest first: 2,000 of one kind."""

FRESH_SECONDS = 60.0
"""For so long a list of them is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The types of events that Stripe has for one kind of object (https://docs.stripe.com/api/events/types).

    `status` is by the object's own status: it goes before `updated` where the status differs, and for `created` where there is no such event;
    with `always` before both, for kinds whose every state has an event of its own. `changed` goes first: by a field that differs. None: Stripe
    has none.
    """

    object: str
    prefix: str
    created: str | None = None
    updated: str | None = None
    deleted: str | None = None
    status: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, str] = field(default_factory=dict)
    always: bool = False

    def topic(self, happened: Happened) -> str | None:
        """The type that Stripe would send for this now."""
        if happened.op == "deleted":
            return self.deleted
        by_field = [self.changed[path] for path in sorted(happened.changed & self.changed.keys())]
        if happened.op == "updated" and by_field:
            return by_field[0]
        by_status = self.status.get(str(happened.now.get("status")))
        if by_status and (self.always or (happened.op == "updated" and "status" in happened.changed)):
            return by_status
        return (self.created or by_status) if happened.op == "created" else self.updated

    def topics(self) -> Mapping[str, Sequence[str]]:
        """By operation what `topic` may answer."""
        status = list(dict.fromkeys(self.status.values()))
        created = [self.created, *(status if self.always or self.created is None else [])]
        updated = [self.updated, *status, *dict.fromkeys(self.changed.values())]
        told = {"created": created, "updated": updated, "deleted": [self.deleted]}
        return {op: topics for op, found in told.items() if (topics := list(dict.fromkeys(filter(None, found))))}


def _plain(prefix: str, *, deleted: bool = True, **more: Any) -> Said:
    """A kind with `created`, `updated` and, mostly, `deleted`."""
    gone = f"{prefix}.deleted" if deleted else None
    return Said(object=prefix, prefix=prefix, created=f"{prefix}.created", updated=f"{prefix}.updated", deleted=gone, **more)


INTENT = {
    "requires_action": "payment_intent.requires_action",
    "processing": "payment_intent.processing",
    "requires_capture": "payment_intent.amount_capturable_updated",
    "canceled": "payment_intent.canceled",
    "succeeded": "payment_intent.succeeded",
}
SAID: Mapping[str, Said] = {
    "charges": Said(
        object="charge",
        prefix="charge",
        updated="charge.updated",
        status={"succeeded": "charge.succeeded", "pending": "charge.pending", "failed": "charge.failed"},
        changed={"amount_refunded": "charge.refunded", "captured": "charge.captured"},
    ),
    "customers": _plain("customer"),
    # There is no payment_intent.updated: each status has an event of its own.
    "payment_intents": Said(
        object="payment_intent",
        prefix="payment_intent",
        created="payment_intent.created",
        updated="payment_intent.created",
        status=INTENT,
        always=True,
    ),
    "setup_intents": Said(
        object="setup_intent",
        prefix="setup_intent",
        created="setup_intent.created",
        updated="setup_intent.created",
        status={name: f"setup_intent.{name}" for name in ("requires_action", "canceled", "succeeded")},
        always=True,
    ),
    "invoices": _plain(
        "invoice",
        status={
            "open": "invoice.finalized",
            "paid": "invoice.paid",
            "void": "invoice.voided",
            "uncollectible": "invoice.marked_uncollectible",
        },
    ),
    "subscriptions": Said(
        object="subscription",
        prefix="customer.subscription",
        created="customer.subscription.created",
        updated="customer.subscription.updated",
        deleted="customer.subscription.deleted",
        status={"canceled": "customer.subscription.deleted", "paused": "customer.subscription.paused"},
    ),
    "refunds": _plain("refund", deleted=False, status={"failed": "refund.failed"}),
    "disputes": Said(
        object="dispute",
        prefix="charge.dispute",
        created="charge.dispute.created",
        updated="charge.dispute.updated",
        status=dict.fromkeys(("won", "lost", "warning_closed"), "charge.dispute.closed"),
    ),
    "payouts": _plain("payout", deleted=False, status={name: f"payout.{name}" for name in ("paid", "failed", "canceled")}),
    "products": _plain("product"),
    "prices": _plain("price"),
    "coupons": _plain("coupon"),
    "credit_notes": _plain("credit_note", deleted=False, status={"void": "credit_note.voided"}),
    "invoice_items": Said(object="invoiceitem", prefix="invoiceitem", created="invoiceitem.created", deleted="invoiceitem.deleted"),
    "promotion_codes": _plain("promotion_code", deleted=False),
    "subscription_schedules": _plain(
        "subscription_schedule",
        deleted=False,
        status={name: f"subscription_schedule.{name}" for name in ("completed", "canceled", "released")},
    ),
    "tax_rates": _plain("tax_rate", deleted=False),
    "topups": Said(
        object="topup",
        prefix="topup",
        created="topup.created",
        updated="topup.created",
        status={name: f"topup.{name}" for name in ("succeeded", "failed", "canceled", "reversed")},
        always=True,
    ),
    "transfers": _plain("transfer", deleted=False, changed={"reversed": "transfer.reversed", "amount_reversed": "transfer.reversed"}),
    "application_fees": Said(
        object="application_fee", prefix="application_fee", created="application_fee.created", updated="application_fee.refunded"
    ),
    "checkout_sessions": Said(
        object="checkout.session",
        prefix="checkout.session",
        status={"complete": "checkout.session.completed", "expired": "checkout.session.expired"},
        always=True,
    ),
}
"""Of a charge, `created` is told by its status: there is no charge.created. Balance transactions have no events at all."""


class StripeWebhooks:
    """Stripe's webhooks: the event object, `Stripe-Signature`, and the undelivered event itself where it is still to be had.

    `originals` (default true): of an object's events of the last 30 days that some endpoint did not take, the newest is sent as Stripe has it,
    provided that its object holds what the object holds now in all that is compared, that it is of the type that the settings chose, where they
    did, and that it is of the provider's own `api_version`: an event keeps the version that it was made in
    (https://docs.stripe.com/api/events/list). A correction that is sent anew because an
    earlier one did not heal has an id of its own, so that a handler which remembers the original's is reached.
    """

    name = "Stripe"
    several = True
    headers = frozenset({"stripe-signature"})
    shape = re.compile(r"[a-z_]+(\.[a-z_]+)+")
    example = "charge.updated"

    def __init__(self, provider: "Stripe", section: Section) -> None:
        self._provider = provider
        self._originals: bool = section.flag("originals", True)
        self._undelivered = Undelivered(provider)

    def topics(self, resource: str) -> Mapping[str, Sequence[str]]:
        """As of `recon.native.Native`."""
        return self._said(resource).topics()

    def read(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """The objects, by id, with nothing written out in them that a webhook has as an id."""
        bare = replace(self._provider.resource(resource), get_params={})
        return Reader(self._provider.session, bare, self._provider.deleted).read_many(keys, clock)

    def render(self, happened: Happened, *, clock: Clock) -> Webhook:
        """The undelivered event where there is one that still holds, else one of our own."""
        headers = {"content-type": f"{JSON}; charset=utf-8"}
        topic = happened.topic or self._said(happened.resource).topic(happened)
        if self._originals and not happened.renewed:
            original = self._original(happened, clock)
            if original is not None:
                return Webhook(id=happened.id, topic=str(msgspec.json.decode(original)["type"]), body=original, headers=headers)
        if topic is None:
            msg = f"Stripe has no event that tells of {happened.resource} {happened.op}"
            raise NoWebhook(f'{msg}; choose one in the publisher\'s table: topics = {{ "TYPE" = "{self.example}" }}')
        return Webhook(id=happened.id, topic=topic, body=self._event(happened, topic), headers=headers)

    def sign(self, webhook: Webhook, secrets: Sequence[str], *, now: datetime) -> Mapping[str, str]:
        """`t=…,v1=…`, one v1 for each secret, each over time and body (https://docs.stripe.com/webhooks/signature#verify-manually)."""
        stamp = int(now.timestamp())
        signed = b"%d." % stamp + webhook.body
        made = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
        return {"stripe-signature": ",".join([f"t={stamp}", *made])}

    def notes(self, resource: str) -> Sequence[str]:
        """The version, and where the events come from."""
        del resource
        first = (
            "an undelivered event of the last 30 days goes first"
            if self._originals
            else "Stripe's own undelivered events are not looked for"
        )
        return [f"api_version {self._provider.api_version}, which the endpoint has to be written for", first]

    @staticmethod
    def _said(resource: str) -> Said:
        return SAID.get(resource, Said(object=resource, prefix=resource))

    def _event(self, happened: Happened, topic: str) -> bytes:
        """The event object (https://docs.stripe.com/api/events/object). Who made the change is not known, so `request` names nobody."""
        if happened.record is None:
            # What a read by id answers of a deleted object: of Stripe's own event only the original has the rest.
            told: Any = {"id": happened.key, "object": self._said(happened.resource).object, "deleted": True}
            live = self._provider.live
        else:
            told, live = msgspec.Raw(happened.record), happened.now.get("livemode", self._provider.live)
        data = {"object": told}
        if topic.endswith(".updated") and happened.before:
            data["previous_attributes"] = _nested(happened.before)
        account = {"account": self._provider.account} if self._provider.account else {}
        return whole(
            {
                "id": f"evt_recon_{uuid.UUID(happened.id).hex}",
                "object": "event",
                **account,
                "api_version": self._provider.api_version,
                "created": int(happened.at.timestamp()),
                "data": data,
                "livemode": live,
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "type": topic,
            }
        )

    def _original(self, happened: Happened, clock: Clock) -> bytes | None:
        prefix = self._said(happened.resource).prefix
        found = self._undelivered.newest(prefix, happened.key, clock)
        if found is None:
            return None
        event = msgspec.json.decode(found)
        kind, told = str(event["type"]), event["data"]["object"]
        # Another version has another shape, and an endpoint for connected accounts is told of which account; a chosen type is meant.
        of_ours = (event.get("api_version"), event.get("account")) == (self._provider.api_version, self._provider.account)
        if not of_ours or happened.topic not in {None, kind}:
            return None
        if happened.record is None:
            return found if kind.endswith(".deleted") else None
        # A subscription that has ended is there still.
        possible = happened.resource == "subscriptions" or not kind.endswith(".deleted")
        return found if possible and agree(told, happened.now, happened.paths) else None


class Undelivered:
    """Stripe's own events that some endpoint did not take: `delivery_success=false` (https://docs.stripe.com/api/events/list)."""

    def __init__(self, provider: "Stripe") -> None:
        self._provider = provider
        self._lock = threading.Lock()
        #: By prefix when it was read, and the newest event's id by that of its object.
        self._known: dict[str, tuple[float, Mapping[str, str]]] = {}
        self._told = False

    def newest(self, prefix: str, key: str, clock: Clock) -> bytes | None:
        """The newest such event of an object, as Stripe has it; None where there is none. Raises ProviderError where it cannot be asked."""
        with self._lock:
            read, ids = self._known.get(prefix, (-FRESH_SECONDS, {}))
            if prefix not in self._known or clock.monotonic() - read > FRESH_SECONDS:
                ids = self._listed(prefix, clock)
                self._known[prefix] = clock.monotonic(), ids
        if key not in ids:
            return None
        session = self._provider.session
        answer = session.get(session.origins.resolve(f"events/{quote(ids[key], safe='')}"), clock=clock)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise session.refusal(answer, f"the undelivered event {ids[key]}")
        return answer.body

    def _listed(self, prefix: str, clock: Clock) -> Mapping[str, str]:
        found: dict[str, str] = {}
        session = self._provider.session
        params: dict[str, str | int | bool] = {"type": f"{prefix}.*", "delivery_success": False, "limit": 100}
        for _ in range(UNDELIVERED_PAGES):
            answer = session.get(session.origins.resolve("events"), params=params, clock=clock)
            if answer.status in {401, 403, 404}:
                log.warning(
                    "%s: undelivered events cannot be listed (%d), so corrections go out as our own", self._provider.name, answer.status
                )
                return {}
            if answer.status != 200:
                raise session.refusal(answer, "the undelivered events")
            events, more = _page(answer.body)
            for key, event in events:
                found.setdefault(key, event)
            if not more or not events:
                return found
            params["starting_after"] = events[-1][1]
        return found


def _page(body: bytes) -> tuple[list[tuple[str, str]], bool]:
    """Of a page the object's id and the event's, newest first; and whether there is more."""
    try:
        page = msgspec.json.decode(body)
        return [(str(one["data"]["object"].get("id")), str(one["id"])) for one in page["data"]], bool(page["has_more"])
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        msg = f"the undelivered events: no page of events: {error}"
        raise InvalidPage(msg) from None


def _nested(before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values by dotted path as Stripe nests them (https://docs.stripe.com/api/events/object#event_object-data-previous_attributes)."""
    made: dict[str, Any] = {}
    for path, value in before.items():
        *way, last = segments(path)
        if any(name.isdigit() for name in (*way, last)):
            # An item of a list has no place of its own there.
            continue
        at = made
        for name in way:
            at = at.setdefault(name, {}) if isinstance(at.get(name, {}), dict) else {}
        at[last] = value
    return made
