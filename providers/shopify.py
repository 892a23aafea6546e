"""Shopify: the GraphQL Admin API (https://shopify.dev/docs/api/admin-graphql/2026-10; the pages cited below were read 2026-11)."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from recon import HeaderKey, Section
from recon.clock import Clock, SystemClock
from recon.errors import CursorExpired, InvalidPage, Refused
from recon.fetch.auth import Auth
from recon.fetch.download import Downloads
from recon.fetch.graphql import ById, Connection, Nested
from recon.fetch.graphql_ask import Asker
from recon.fetch.graphql_bulk import Bulk, Busy, Exports
from recon.fetch.listing import Listing
from recon.fetch.narrowing import Ranges
from recon.fetch.oauth import OAuth2
from recon.fetch.origin import BadUrl, Origins, parse_url
from recon.fetch.page import Lookup, LookupStatus, Page
from recon.fetch.partition import Planner
from recon.fetch.quota import Points
from recon.fetch.session import Session
from recon.fetch.told import COST
from recon.fetch.transport import Response
from recon.graphql_provider import GraphQLProvider
from recon.native import Native

logger = logging.getLogger(__name__)

API_VERSION = "2026-10"
"""A version is supported for a year; after that Shopify answers by a later one, which `look` refuses (https://shopify.dev/docs/api/usage/versioning)."""

DOWNLOADS = "https://storage.googleapis.com"
"""Where the files of bulk operations lie (https://shopify.dev/docs/api/usage/bulk-operations/queries)."""

VERSION = re.compile(r"20\d\d-(01|04|07|10)")
SHOP = re.compile(r"[a-z0-9][a-z0-9-]*(\.myshopify\.com)?")
TOKEN_HEADER = "X-Shopify-Access-Token"  # noqa: S105 - a header's name
VISIBLE = timedelta(days=60)
HIDDEN = "only the last 60 days are visible: read_all_orders is not granted"
WAY_OUT = "ask Shopify for read_all_orders in the Partner Dashboard, and grant it (https://shopify.dev/docs/api/usage/access-scopes)"
RIGHTS = "{ currentAppInstallation { accessScopes { handle } } }"
MORE = "pageInfo { hasNextPage endCursor }"

#: What one query may ask for: 250 items a page (https://shopify.dev/docs/api/usage/pagination-graphql), 1,000 points
#: (https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits); of a list no more than 25,000 can be paged through
#: (https://shopify.dev/docs/api/usage/limits).
PAGE, NESTED_PAGE, MOST, IDS = 250, 10, 25_000, 50
#: Points that come back in a second, by the shop's plan; the bucket holds what comes back in twenty, and one query may ask for 1,000
#: (https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits).
PLANS: Mapping[str, float] = {"standard": 100.0, "advanced": 200.0, "plus": 1000.0, "enterprise": 2000.0}
BUCKET, DEAREST = 20, 1000.0
FIRST_SHOPS = int(datetime(2006, 1, 1, tzinfo=UTC).timestamp())

MONEY = "shopMoney { amount currencyCode } presentmentMoney { amount currencyCode }"
"""Decimal texts, in the shop's currency and in the one that the customer saw (https://shopify.dev/docs/api/admin-graphql/2026-10/objects/MoneyBag)."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One list of Shopify's: the query's field, the objects' type, what is selected of them, and of the connections inside them.

    `created` is the search term of the time of creation, `page` the admin's page. Lists that can be sorted are, by id: no change moves an item.
    """

    name: str
    type: str
    fields: str
    nested: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    created: str | None = "created_at"
    page: str | None = None
    sorted: bool = True
    search: str = ""


KINDS: Mapping[str, Kind] = {
    "orders": Kind(
        name="orders",
        type="Order",
        fields=f"id legacyResourceId name createdAt updatedAt processedAt cancelledAt closedAt test displayFinancialStatus displayFulfillmentStatus "
        f"currencyCode presentmentCurrencyCode customer {{ id }} "
        f"totalPriceSet {{ {MONEY} }} currentTotalPriceSet {{ {MONEY} }} totalRefundedSet {{ {MONEY} }}",
        nested={"lineItems": ("LineItem", f"id sku quantity currentQuantity originalUnitPriceSet {{ {MONEY} }}")},
        page="orders",
    ),
    "draft_orders": Kind(
        name="draftOrders",
        type="DraftOrder",
        fields=f"id legacyResourceId name status createdAt updatedAt completedAt currencyCode order {{ id }} totalPriceSet {{ {MONEY} }}",
        page="draft_orders",
    ),
    # Names and addresses are protected data, and need a grant of their own (https://shopify.dev/docs/apps/launch/protected-customer-data).
    "customers": Kind(
        name="customers",
        type="Customer",
        fields="id legacyResourceId createdAt updatedAt state numberOfOrders amountSpent { amount currencyCode }",
        created="customer_date",
        page="customers",
    ),
    "products": Kind(
        name="products",
        type="Product",
        fields="id legacyResourceId title handle status vendor productType createdAt updatedAt",
        nested={"variants": ("ProductVariant", "id sku barcode price inventoryQuantity")},
        page="products",
    ),
    "product_variants": Kind(
        name="productVariants",
        type="ProductVariant",
        fields="id legacyResourceId sku barcode title price inventoryQuantity createdAt updatedAt product { id }",
        created=None,
    ),
    "inventory_items": Kind(
        name="inventoryItems",
        type="InventoryItem",
        fields="id legacyResourceId sku tracked requiresShipping createdAt updatedAt",
        sorted=False,
    ),
}


class ClientToken(OAuth2):
    """A token by client credentials, which lives for a day; Shopify wants it in a header of its own.

    https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/client-credentials-grant
    """

    def headers(self) -> dict[str, str]:
        assert self._token is not None
        return {TOKEN_HEADER: self._token.reveal()}


class Shopify(GraphQLProvider):
    """A shop's lists, whole: by a bulk operation, or page by page with `bulk = false`.

    Settings beside HTTPProvider's own: `shop` (`acme`, or `acme.myshopify.com`); `token`, by default `{ env = "SHOPIFY_TOKEN" }`, of an
    app that may read and no more, or `client_id` and `client_secret` of an app made in the Dev Dashboard; `api_version`; `plan`; `ids`: `gid` (`gid://shopify/Order/1`, the default) or `numeric` (`1`); `bulk`, and of it
    `bulk_poll`, `bulk_busy`, `bulk_wait`; `downloads`, the origins of its files; and `resources.NAME` with `fields`, `nested`, `filter`.

    A bulk operation is begun by a mutation, and changes nothing of the shop: it writes a file that only this app can fetch. The list page by
    page takes terms of Shopify's search for its ranges, which is an index and may lag behind. Points are learned from each answer's cost;
    `plan` says how many come back in a second before the first answer does.

    A deleted object is null where it is asked for by id. So is an order that the app may not see: without `read_all_orders` those older
    than 60 days (https://shopify.dev/docs/api/usage/access-scopes). No listing of orders is whole then, and no order is told missing.
    """

    def __init__(self, section: Section) -> None:
        self.shop: str = section.text("shop")
        if not SHOP.fullmatch(self.shop):
            raise section.bad("shop", f"is {self.shop!r}, not of the form acme or acme.myshopify.com")
        self.shop = self.shop.removesuffix(".myshopify.com")
        self.api_version: str = section.text("api_version", API_VERSION)
        if not VERSION.fullmatch(self.api_version) or self.api_version < "2026-01":
            raise section.bad("api_version", f"is {self.api_version!r}, not of the form {API_VERSION}, or older than 2026-01")
        self.base_url = f"https://{self.shop}.myshopify.com/admin/api/{self.api_version}/graphql.json"
        super().__init__(section)
        once = Session(self.session.origins, self.auth, replace(self.terms, policy=replace(self.terms.policy, tries=1)), counts=self.meter)
        if self.plan is not None:
            restored = PLANS[self.plan]
            self.session.expect(Points(name=COST, capacity=restored * BUCKET, available=restored * BUCKET, restored=restored, cost=DEAREST))
        self.exports = Exports(self.asker, Asker(once, self.look), self.downloads)
        self._others = [once]
        self._rights: frozenset[str] | None = None

    def configure(self, section: Section) -> None:
        """Takes the token, the ways of fetching, and what is selected of each list."""
        if "auth" in section.table:
            raise section.bad(
                "auth", "Shopify signs in its own way", hint='write token = { env = "SHOPIFY_TOKEN" }, or client_id and client_secret'
            )
        self.auth = _signs(section, self.base_url)
        self.plan: str | None = section.choice("plan", tuple(PLANS), None)
        self.numeric = section.choice("ids", ("gid", "numeric"), "gid") == "numeric"
        self.bulk: bool = section.flag("bulk", True)
        self.poll, self.busy = section.duration("bulk_poll", 10.0), section.duration("bulk_busy", 600.0)
        self.wait = section.duration("bulk_wait", 4 * 3600.0)
        self.downloads = Downloads(_origins(section), auth=None, counts=self.meter, timeout=self.timeout)
        chosen = section.mapping("resources", {})
        parent = section.sub("resources")
        for name in chosen:
            if name not in KINDS:
                raise parent.bad(name, "is no list of this provider", hint=f"it has {', '.join(sorted(KINDS))}")
        self.kinds = {name: _chosen(kind, parent.sub(name)) if name in chosen else kind for name, kind in KINDS.items()}
        self.catalogue = {name: connection_of(kind, numeric=self.numeric) for name, kind in self.kinds.items()}

    def look(self, response: Response) -> None:
        """An answer by another version than was asked for may have another shape, and other orders in it."""
        spoken = response.headers.get("x-shopify-api-version", self.api_version)
        if spoken != self.api_version:
            msg = (
                f"Shopify answers by version {spoken[:20]!r} of its API, and {self.api_version} was asked for: it is not supported any more"
            )
            raise InvalidPage(msg, hint="look what has changed, and set api_version to a supported one")

    def planner(self, listing: Listing) -> Planner | None:
        """An export is one part; page by page the list is cut by the time of creation."""
        return None if self.bulk else super().planner(listing)

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """The list, by a bulk operation, or by pages. Orders that are hidden from the app make it end without proof: Refused."""
        hidden = self._hidden(listing.resource) and _reaches_back(listing)
        if listing.resume is not None and "ended" in listing.resume:
            if hidden:
                raise Refused(HIDDEN, hint=WAY_OUT)
            msg = "read_all_orders was granted since this was listed"
            raise CursorExpired(msg)
        for page in self._pages(listing):
            if page.end is None or not hidden:
                yield page
                continue
            yield replace(page, end=None, next={"ended": page.end.proof})
            raise Refused(HIDDEN, hint=WAY_OUT)

    def _pages(self, listing: Listing) -> Iterator[Page]:
        exported = listing.resume is None or "export" in listing.resume
        if self.bulk and exported and not listing.partition.ranged:
            self._granted()  # So that a dead token is said before anything is written down.
            try:
                yield from self.exports.pages(self._export(listing.resource), listing.resume, listing.clock)
            except Busy as busy:
                logger.warning("%s %s: %s; it is read page by page instead", self.name, listing.resource, busy.why)
                listing = replace(listing, resume=None)
            else:
                return
        yield from super().fetch(listing)

    def _export(self, resource: str) -> Bulk:
        kind = self.kinds[resource]
        types = {of: name for name, (of, _) in kind.nested.items()}
        return Bulk(query=bulk_query(kind), nested=types, poll=self.poll, busy=self.busy, wait=self.wait)

    def sample(self, listing: Listing) -> Iterator[Page]:
        """The list by pages: nobody waits for an export to see whether a token is taken."""
        return super().fetch(listing)

    def warnings(self) -> list[str]:
        """What `recon doctor` should say of the app's rights."""
        rights = self._granted()
        writing = sorted(right for right in rights if right.startswith("write_"))
        hidden = [] if "read_all_orders" in rights else [f"{HIDDEN}; {WAY_OUT}"]
        return [
            *hidden,
            *([f"the app may write ({', '.join(writing[:5])}); nothing here writes, so grant it read rights only"] if writing else []),
        ]

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """Each key's item as it stands now. An order that may only be hidden is not told missing."""
        for answer in super().get_many(resource, keys, clock=clock):
            if answer.status is LookupStatus.NOT_FOUND and self._hidden(resource):
                yield Lookup(key=answer.key, status=LookupStatus.UNKNOWN, why=f"it is deleted or it is older: {HIDDEN}")
            else:
                yield answer

    def native(self, section: Section) -> Native:
        """Shopify's own webhooks, for a publisher with `render = "native"`."""
        from ._shopify_webhooks import ShopifyWebhooks  # noqa: PLC0415 - only who sends webhooks needs it; a copy of this file does without

        del section  # They take no settings of their own.
        made = ShopifyWebhooks(self)
        self._others.append(made.session)
        return made

    def wire_id(self, resource: str, key: str) -> str:
        """The global id of a key."""
        return f"gid://shopify/{self.kinds[resource].type}/{key}" if self.numeric else key

    def link(self, resource: str, key: str) -> str | None:
        """The object's page in the shop's admin, where it has one."""
        page = self.kinds[resource].page if resource in self.kinds else None
        return f"https://admin.shopify.com/store/{self.shop}/{page}/{quote(key.rsplit('/', 1)[-1], safe='')}" if page else None

    def identity(self, resource: str) -> str:
        """An export and a list by pages are not put together."""
        return f"{super().identity(resource)} {'bulk' if self.bulk else 'pages'} {self.kinds[resource]}"

    def scope(self, resource: str) -> Mapping[str, str]:
        """What is asked for, and what of it the app may see."""
        told = {"account": self.shop, "api_version": self.api_version}
        if resource == "orders":
            told["access"] = HIDDEN if self._hidden(resource) else "read_all_orders"
        search = self.kinds[resource].search
        return {**told, **({"filters": search} if search else {})}

    def _hidden(self, resource: str) -> bool:
        return resource == "orders" and "read_all_orders" not in self._granted()

    def _granted(self) -> frozenset[str]:
        """The rights of the app, asked for once."""
        if self._rights is None:
            told = self.asker.read(RIGHTS, {}, subject="the app's rights", clock=SystemClock())
            try:
                self._rights = frozenset(str(scope["handle"]) for scope in told["currentAppInstallation"]["accessScopes"])
            except (KeyError, TypeError):
                msg = "the app's rights: currentAppInstallation { accessScopes } cannot be read"
                raise InvalidPage(msg) from None
        return self._rights

    def close(self) -> None:
        super().close()
        for other in self._others:
            other.close()
        self.downloads.close()


def connection_of(kind: Kind, *, numeric: bool = False) -> Connection:
    """The declaration of a list, its queries written out."""
    inside = "".join(f" {name}(first: {NESTED_PAGE}) {{ nodes {{ {fields} }} {MORE} }}" for name, (_, fields) in kind.nested.items())
    selected = f"{kind.fields}{inside}"
    order = ", sortKey: ID" if kind.sorted else ""
    return Connection(
        query=f"query($first: Int!, $after: String, $query: String) {{ {kind.name}(first: $first, after: $after, query: $query{order}) "
        f"{{ nodes {{ {selected} }} {MORE} }} }}",
        nodes=f"{kind.name}.nodes",
        key="legacyResourceId" if numeric else "id",
        variables={"query": kind.search} if kind.search else {},
        page=PAGE,
        most=MOST,
        many=ById(
            query=f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on {kind.type} {{ {selected} }} }} }}",
            record="nodes",
            variable="ids",
            size=IDS,
        ),
        nested=[_nested(kind, name) for name in kind.nested],
        ranges=None
        if kind.created is None
        else Ranges(
            at="createdAt",
            form="iso",
            low=f"{kind.created}:>='{{value}}'",
            high=f"{kind.created}:<'{{value}}'",
            start=FIRST_SHOPS,
        ),
    )


def _nested(kind: Kind, name: str) -> Nested:
    of, fields = kind.nested[name]
    return Nested(
        name=name,
        query=f"query($id: ID!, $first: Int!, $after: String) {{ node(id: $id) {{ ... on {kind.type} "
        f"{{ {name}(first: $first, after: $after) {{ nodes {{ {fields} }} {MORE} }} }} }} }}",
        nodes=f"node.{name}.nodes",
        page=PAGE,
        kind=of,
    )


def bulk_query(kind: Kind) -> str:
    """The same selection as an export takes it: by edges, and with no size of a page."""
    inside = "".join(f" {name} {{ edges {{ node {{ {fields} }} }} }}" for name, (_, fields) in kind.nested.items())
    search = '(query: "' + kind.search.replace("\\", "\\\\").replace('"', '\\"') + '")' if kind.search else ""
    return f"{{ {kind.name}{search} {{ edges {{ node {{ {kind.fields}{inside} }} }} }} }}"


def _reaches_back(listing: Listing) -> bool:
    """Whether a part reaches back behind what is visible of the orders; the whole does."""
    low = listing.partition.low
    return low is None or low < (listing.clock.now() - VISIBLE).timestamp()


def _chosen(kind: Kind, table: Section) -> Kind:
    """The list as the settings want it."""
    changed: dict[str, Any] = {"fields": table.text("fields", kind.fields), "search": table.text("filter", "")}
    if table.take("nested", None) is not None:
        parent = table.sub("nested")
        changed["nested"] = {name: _inside(parent.sub(name)) for name in parent.table}
    table.finish()
    types = [of for of, _ in changed.get("nested", kind.nested).values()]
    if len(set(types)) < len(types):
        raise table.bad("nested", "has two connections of one type, which an export cannot tell apart")
    for word in ("id", "legacyResourceId", *(["createdAt"] if kind.created else [])):
        if not re.search(rf"\b{word}\b", changed["fields"]):
            raise table.bad("fields", f"does not select {word}, which is needed to tell the objects apart, and the parts of the list")
    return replace(kind, **changed)


def _inside(table: Section) -> tuple[str, str]:
    of, fields = table.text("type"), table.text("fields")
    table.finish()
    if not re.search(r"\bid\b", fields):
        raise table.bad("fields", "does not select id, by which an export's lines are told apart")
    return of, fields


def _signs(section: Section, base_url: str) -> Auth:
    """By a token that was given, or by client credentials; neither is read before it is needed."""
    client: str | None = section.text("client_id", None)
    if client is None:
        return HeaderKey(TOKEN_HEADER, section.reference("token", {"env": "SHOPIFY_TOKEN"}))
    if "token" in section.table:
        raise section.bad("token", "stands beside client_id; an app has one or the other")
    place = replace(parse_url(base_url), path="/admin/oauth/access_token")
    secret = section.reference("client_secret", {"env": "SHOPIFY_CLIENT_SECRET"})
    return ClientToken(place, client_id=client, client_secret=secret, send="body")


def _origins(section: Section) -> Origins:
    """The origins of the files. No credential goes there."""
    given = section.typed("downloads", list, [DOWNLOADS], words="a list of origins")
    try:
        places = [parse_url(place) for place in given]
    except (BadUrl, TypeError, AttributeError) as error:
        raise section.bad("downloads", f"cannot be used: {error}", hint=f'write downloads = ["{DOWNLOADS}"]') from None
    for place in places:
        if place.origin.scheme != "https" and not place.origin.loopback:
            raise section.bad("downloads", f"{place.origin} is plain http: every record would cross the network in clear")
    if not places:
        raise section.bad("downloads", "names no origin", hint=f'write downloads = ["{DOWNLOADS}"], or bulk = false')
    return Origins(places[0], [place.origin for place in places[1:]])
