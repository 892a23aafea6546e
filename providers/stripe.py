"""Stripe: https://docs.stripe.com/api (the pages cited below were read 2026-11)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from recon import Bearer, HTTPProvider, LastId, Rate, Resource, Secret, Section
from recon.errors import MissingSecret
from recon.fetch.narrowing import Ranges, Shards
from recon.http_provider import Action, Request, Rule
from recon.job import Scalar
from recon.native import Native

API_VERSION = "2026-04-22.dahlia"
"""The version that the shipped jobs were written against. A version stays available, so a pinned one never changes a shape overnight
(https://docs.stripe.com/api/versioning)."""

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")
SANDBOX = Rate(requests=25, per=1.0)
SEARCH = "search?query={key}"
CREATED = Ranges(at="created", low="created[gte]", high="created[lt]", start=1_262_304_000)
"""Every list here takes `created`, which is set once, in whole seconds (https://docs.stripe.com/api/charges/list); nothing is older than 2010."""

EXPANDED = re.compile(r"[a-z_]+(\.[a-z_]+){0,2}")
DASHBOARD = "https://dashboard.stripe.com"
WRITES = (
    "the key is a live secret key (sk_live_…), which may write everything; nothing here writes, "
    "so give a restricted key (rk_live_…) that may read what the jobs compare, and no more"
)
NO_KEY = "the key is neither a restricted key (rk_live_…, rk_test_…) nor a secret key (sk_…); no other kind of key may list objects"


def _listed(path: str, page: str = "", *, shards: Shards | None = None, **params: Scalar) -> Resource:
    """A list of Stripe's.

    All are alike: newest first, at most 100 a page, `starting_after` the last id, and `has_more` says whether there is more
    (https://docs.stripe.com/api/pagination). A deleted object leaves its list; a read by id then answers `deleted: true`
    (https://docs.stripe.com/api/customers/retrieve). Read by ranges of `created`, unless `shards` cuts it. `page` is the dashboard's, where its
    path is not the list's; its search box finds what has none.
    """
    return Resource(
        path=path,
        records="data",
        key="id",
        paging=LastId(param="starting_after", more="has_more"),
        params={"limit": 100, **params},
        get=f"{path}/{{key}}",
        deleted=("deleted", True),
        link=page or f"{path}/{{key}}",
        ranges=None if shards else CREATED,
        shards=shards,
    )


class Stripe(HTTPProvider):
    """Stripe's lists, whole, by the list endpoints; Search is never used, since it lags behind (https://docs.stripe.com/search).

    Settings beside HTTPProvider's own: `api_key` (by default `{ env = "STRIPE_API_KEY" }`), best a restricted key (`rk_…`) that
    may only read (https://docs.stripe.com/keys); `api_version`, by default the one that the shipped jobs know; `account`, a
    connected account's id (https://docs.stripe.com/connect/authentication); `expand`, a table of what is written out in a resource's
    records instead of its id, `charges = ["customer"]` (https://docs.stripe.com/api/expanding_objects).

    25 requests a second are allowed to one endpoint, 100 to a live account, 25 to a sandbox, which the key tells
    (https://docs.stripe.com/rate-limits). At 100 records a request that is about 2,500 records a second of one list.

    Left out, since they cannot be listed whole: payment methods and subscription items (only those of one customer or subscription), prices made
    inline (never listed, but read by id), events (30 days), and in a sandbox what belongs to a test clock.
    """

    base_url = "https://api.stripe.com/v1/"
    rate = (Rate(requests=25, per=1.0, each="endpoint"), Rate(requests=100, per=1.0))
    # Both mean that somebody else is writing to the object just now (https://docs.stripe.com/rate-limits#object-lock-timeouts): no throttle.
    classify = (Rule(statuses=frozenset({429}), body="lock_timeout", do=Action.RETRY), Rule(statuses=frozenset({409}), do=Action.RETRY))
    catalogue: Mapping[str, Resource] = {
        "charges": _listed("charges", "payments/{key}"),
        "customers": _listed("customers"),
        "payment_intents": _listed("payment_intents", "payments/{key}"),
        "invoices": _listed("invoices"),
        # Without status=all the cancelled ones are left out (https://docs.stripe.com/api/subscriptions/list).
        "subscriptions": _listed("subscriptions", status="all"),
        "refunds": _listed("refunds"),
        "disputes": _listed("disputes"),
        "payouts": _listed("payouts"),
        "products": _listed("products"),
        # Without `active` only the active ones are listed (https://docs.stripe.com/api/prices/list): both are asked for, one after the other.
        "prices": _listed("prices", shards=Shards(param="active", values=("true", "false"), at="active")),
        "balance_transactions": _listed("balance_transactions", SEARCH),
        "application_fees": _listed("application_fees", SEARCH),
        "checkout_sessions": _listed("checkout/sessions", SEARCH),
        "coupons": _listed("coupons"),
        "credit_notes": _listed("credit_notes", SEARCH),
        "invoice_items": _listed("invoiceitems", SEARCH),
        "promotion_codes": _listed("promotion_codes", SEARCH),
        "setup_intents": _listed("setup_intents"),
        "subscription_schedules": _listed("subscription_schedules"),
        "tax_rates": _listed("tax_rates", SEARCH),
        "topups": _listed("topups", SEARCH),
        "transfers": _listed("transfers", SEARCH),
    }

    def configure(self, section: Section) -> None:
        """Takes the key, the version and the account."""
        # A reference is kept as one: a command that fetches nothing needs no key.
        self.api_key = section.reference("api_key", {"env": "STRIPE_API_KEY"})
        if "auth" in section.table:
            raise section.bad("auth", "Stripe has one way to sign in", hint='write api_key = { env = "STRIPE_API_KEY" }')
        self.auth = Bearer(self.api_key)
        self.api_version: str = section.text("api_version", API_VERSION)
        if not VERSION.fullmatch(self.api_version):
            raise section.bad("api_version", f"is {self.api_version!r}, not of the form {API_VERSION}")
        self.account: str | None = section.text("account", None)
        if self.account is not None and not self.account.startswith("acct_"):
            raise section.bad("account", f"is {self.account!r}; the id of a connected account starts with acct_")
        self._sandbox_told = self.rate is not type(self).rate
        expand = section.sub("expand")
        self.catalogue = {name: _expanded(resource, expand, name) for name, resource in self.catalogue.items()}
        expand.finish()

    def before_request(self, request: Request) -> None:
        """Says which version of the API is spoken, and for which account."""
        if not self._sandbox_told:
            # The key is read no sooner than it is sent.
            self._sandbox_told = True
            if "_test_" in request.headers.get("Authorization", ""):
                self.session.declare(SANDBOX)
        request.headers["Stripe-Version"] = self.api_version
        if self.account is not None:
            request.headers["Stripe-Account"] = self.account

    def identity(self, resource: str) -> str:
        """As of HTTPProvider; pages of two accounts, modes or versions are never put together."""
        return repr((super().identity(resource), self.account, self.api_version, self._mode()))

    def scope(self, resource: str) -> Mapping[str, str]:
        """As of HTTPProvider, with the account, the mode and the version."""
        told = {"account": self.account or "the key's own", "api_version": self.api_version}
        mode = self._mode()
        named = dict(super().scope(resource))
        if mode:
            told["credential"] = ", ".join(filter(None, (mode, named.get("credential"))))
        return {**named, **told}

    def link(self, resource: str, key: str) -> str | None:
        """The object's page at the dashboard, in test mode for a test key; None where no key says which mode it is."""
        page = self.catalogue[resource].link
        kind = self._key_kind()
        if page is None or kind is None:
            return None
        folders = [DASHBOARD, *([self.account] if self.account else []), *(["test"] if kind.endswith("_test_") else [])]
        return "/".join([*folders, page.replace("{key}", quote(key, safe=""))])

    def native(self, section: Section) -> Native:
        """Stripe's own webhooks, for a publisher with `render = "native"`."""
        from ._stripe_webhooks import StripeWebhooks  # noqa: PLC0415 - only who sends webhooks needs it; a copy of this file does without

        return StripeWebhooks(self, section)

    @property
    def live(self) -> bool:
        """Whether the key is of live mode."""
        return "_live_" in (self._key_kind() or "")

    def warnings(self) -> list[str]:
        """What `recon doctor` should say about the key; empty where there is none yet, which doctor finds by itself."""
        kind = self._key_kind()
        if kind is None or kind.startswith("rk_") or kind == "sk_test_":
            return []
        if kind == "sk_live_":
            return [WRITES]
        return [NO_KEY]

    def _mode(self) -> str:
        kind = self._key_kind() or ""
        return f"{'restricted' if kind.startswith('rk_') else 'secret'} key, {'test' if 'test' in kind else 'live'} mode" if kind else ""

    def _key_kind(self) -> str | None:
        """`sk_live_`, `rk_test_`, …, "" for anything else, None where there is no key: what the key says of itself without being told."""
        try:
            text = (self.api_key if isinstance(self.api_key, Secret) else self.api_key.get()).reveal()
        except MissingSecret:
            return None
        found = re.match(r"[sr]k_(live|test)_", text)
        return found.group() if found else ""


def _expanded(resource: Resource, expand: Section, name: str) -> Resource:
    """The resource with what its table entry names written out: in the list below `data`, in a read by id as it is."""
    paths = expand.typed(name, list, [], words="a list of fields")
    for path in paths:
        # Four levels at most, of which the list's `data` is one.
        if not isinstance(path, str) or not EXPANDED.fullmatch(path) or path.startswith("data."):
            raise expand.bad(
                name,
                f"{path!r} is no field that can be written out",
                hint=f'write {name} = ["customer"], without data., three levels at most',
            )
    if not paths:
        return resource
    return replace(
        resource,
        params={**resource.params, **{f"expand[{n}]": f"data.{path}" for n, path in enumerate(paths)}},
        get_params={**resource.get_params, **{f"expand[{n}]": path for n, path in enumerate(paths)}},
    )
