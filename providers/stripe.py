"""Stripe: https://docs.stripe.com/api (the pages cited below were read 2026-11)."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from recon import Bearer, HTTPProvider, LastId, Rate, Resource, Secret, Section
from recon.errors import MissingSecret
from recon.http_provider import Request
from recon.job import Scalar

API_VERSION = "2026-04-22.dahlia"
"""The version that the shipped jobs were written against. A version stays available, so a pinned one never changes a shape overnight
(https://docs.stripe.com/api/versioning)."""

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")
DASHBOARD = "https://dashboard.stripe.com"
WRITES = (
    "the key is a live secret key (sk_live_…), which may write everything; nothing here writes, "
    "so give a restricted key (rk_live_…) that may read what the jobs compare, and no more"
)
NO_KEY = "the key is neither a restricted key (rk_live_…, rk_test_…) nor a secret key (sk_…); no other kind of key may list objects"


def _listed(path: str, page: str = "", **params: Scalar) -> Resource:
    """A list of Stripe's.

    All are alike: newest first, at most 100 a page, `starting_after` the last id, and `has_more` says whether there is more
    (https://docs.stripe.com/api/pagination). A deleted object leaves its list; a read by id then answers `deleted: true`
    (https://docs.stripe.com/api/customers/retrieve). `page` is the dashboard's, where its path is not the list's.
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
    )


class Stripe(HTTPProvider):
    """Stripe's lists, whole, by the list endpoints; Search is never used, since it lags behind (https://docs.stripe.com/search).

    Settings beside HTTPProvider's own: `api_key` (by default `{ env = "STRIPE_API_KEY" }`), best a restricted key (`rk_…`) that
    may only read (https://docs.stripe.com/keys); `api_version`, by default the one that the shipped jobs know; `account`, a
    connected account's id (https://docs.stripe.com/connect/authentication).

    The rate of 25 requests a second is the limit of one endpoint, and of a whole sandbox; a live account has 100 over all
    endpoints (https://docs.stripe.com/rate-limits). At 100 records a request that is about 2,500 records a second.
    """

    base_url = "https://api.stripe.com/v1/"
    rate = Rate(requests=25, per=1.0)
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
        "prices": _listed("prices"),
        # The dashboard has no page for one; its search box finds it by id.
        "balance_transactions": _listed("balance_transactions", "search?query={key}"),
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

    def before_request(self, request: Request) -> None:
        """Says which version of the API is spoken, and for which account."""
        request.headers["Stripe-Version"] = self.api_version
        if self.account is not None:
            request.headers["Stripe-Account"] = self.account

    def link(self, resource: str, key: str) -> str | None:
        """The object's page at the dashboard, in test mode for a test key; None where no key says which mode it is."""
        page = self.catalogue[resource].link
        kind = self._key_kind()
        if page is None or kind is None:
            return None
        folders = [DASHBOARD, *([self.account] if self.account else []), *(["test"] if kind.endswith("_test_") else [])]
        return "/".join([*folders, page.replace("{key}", quote(key, safe=""))])

    def warnings(self) -> list[str]:
        """What `recon doctor` should say about the key; empty where there is none yet, which doctor finds by itself."""
        kind = self._key_kind()
        if kind is None or kind.startswith("rk_") or kind == "sk_test_":
            return []
        if kind == "sk_live_":
            return [WRITES]
        return [NO_KEY]

    def _key_kind(self) -> str | None:
        """`sk_live_`, `rk_test_`, …, "" for anything else, None where there is no key: what the key says of itself without being told."""
        try:
            text = (self.api_key if isinstance(self.api_key, Secret) else self.api_key.get()).reveal()
        except MissingSecret:
            return None
        found = re.match(r"[sr]k_(live|test)_", text)
        return found.group() if found else ""
