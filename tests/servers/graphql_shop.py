"""A shop behind GraphQL, as strict as a real one: a schema that graphql-core holds every query to, points, bulk exports on a second host.

It stands for Shopify's Admin API in what that documents: connections, `nodes(ids:)`, cost and THROTTLED, `bulkOperationRunQuery` and its
JSONL. Faults are told to it by its fields; all that a test may want to know of what was asked is in `asked`.
"""

import base64
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, build_schema, execute_sync, parse, validate
from graphql.language import ast

VERSION = "2026-10"
TOKEN = "shpat_nightly"
CLIENT_SECRET = "shpss_nightly"
PATH = f"/admin/api/{VERSION}/graphql.json"
SCHEMA = """
interface Node { id: ID! }
type PageInfo { hasNextPage: Boolean! endCursor: String }
type Money { amount: String! currencyCode: String! }
type MoneyBag { shopMoney: Money! presentmentMoney: Money! }
type LineItem implements Node { id: ID! sku: String quantity: Int! currentQuantity: Int! originalUnitPriceSet: MoneyBag! }
type LineItemEdge { node: LineItem cursor: String! }
type LineItemConnection { nodes: [LineItem!]! edges: [LineItemEdge!]! pageInfo: PageInfo! }
type CustomerRef { id: ID! }
type Order implements Node {
  id: ID! legacyResourceId: String! name: String! createdAt: String! updatedAt: String! processedAt: String cancelledAt: String
  closedAt: String displayFinancialStatus: String displayFulfillmentStatus: String! currencyCode: String! presentmentCurrencyCode: String!
  test: Boolean! email: String customer: CustomerRef
  currentTotalPriceSet: MoneyBag! totalPriceSet: MoneyBag! totalRefundedSet: MoneyBag!
  lineItems(first: Int, after: String): LineItemConnection!
}
type OrderEdge { node: Order cursor: String! }
type OrderConnection { nodes: [Order]! edges: [OrderEdge!]! pageInfo: PageInfo! }
type Count { count: Int! }
type Customer implements Node {
  id: ID! legacyResourceId: String! createdAt: String! updatedAt: String! firstName: String lastName: String state: String! numberOfOrders: String!
  amountSpent: Money!
}
type CustomerEdge { node: Customer cursor: String! }
type CustomerConnection { nodes: [Customer]! edges: [CustomerEdge!]! pageInfo: PageInfo! }
type AccessScope { handle: String! }
type AppInstallation { accessScopes: [AccessScope!]! }
enum BulkOperationStatus { CREATED RUNNING COMPLETED CANCELING CANCELED FAILED EXPIRED }
type BulkOperation {
  id: ID! status: BulkOperationStatus! errorCode: String query: String! createdAt: String! completedAt: String objectCount: String!
  rootObjectCount: String! fileSize: String url: String partialDataUrl: String
}
type BulkOperationConnection { nodes: [BulkOperation!]! }
type BulkOperationUserError { code: String field: [String!] message: String! }
type BulkOperationRunQueryPayload { bulkOperation: BulkOperation userErrors: [BulkOperationUserError!]! }
enum SortKeys { ID CREATED_AT }
type Query {
  orders(first: Int, after: String, query: String, sortKey: SortKeys, reverse: Boolean): OrderConnection
  ordersCount: Count!
  order(id: ID!): Order
  customers(first: Int, after: String, query: String, sortKey: SortKeys, reverse: Boolean): CustomerConnection
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
  currentAppInstallation: AppInstallation!
  bulkOperation(id: ID!): BulkOperation
  bulkOperations(first: Int!): BulkOperationConnection!
}
type Mutation { bulkOperationRunQuery(query: String!, groupObjects: Boolean! = false): BulkOperationRunQueryPayload! }
"""
CREATED = re.compile(r"created_at:(>=|<)'([^']+)'")
FIRST_CREATED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """One request to the endpoint."""

    query: str
    variables: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Answer:
    """What goes back. `drop` breaks the connection off instead."""

    status: int
    body: bytes
    drop: bool = False


@dataclass
class Export:
    """One bulk operation."""

    id: str
    query: str
    lines: list[bytes]
    roots: int
    polls: int
    status: str = "RUNNING"
    ours: bool = True

    @property
    def file(self) -> bytes:
        """The JSONL."""
        return b"".join(line + b"\n" for line in self.lines)


@dataclass
class Shop:
    """The shop's state, what it was asked, and how it is to fail."""

    orders: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    scopes: list[str] = field(default_factory=lambda: ["read_orders", "read_all_orders", "read_customers"])
    token: str = TOKEN
    version: str = VERSION
    #: Points: a query above `dearest` is refused; with a `bucket` of them, what is used up is THROTTLED until it comes back.
    dearest: float = 1000.0
    bucket: float | None = None
    restored: float = 1000.0
    #: No more than so many can be paged through; a filter that is not honoured.
    cap: int = 25_000
    deaf: bool = False
    #: How often an export is looked at before it is ready; what becomes of it; how many of somebody else's run.
    polls: int = 1
    ends: str = "COMPLETED"
    error_code: str | None = None
    partial: bool = False
    foreign: int = 0
    #: What is said of the file, and what is done to it on the way.
    said: dict[str, str] = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] = bytes
    #: Sees each request before it is served and may answer it; sees each answer and may put another in its place.
    before: Callable[[Asked], Answer | None] = lambda _: None
    after: Callable[[Asked, Answer], Answer] = lambda _, answer: answer

    asked: list[Asked] = field(default_factory=list)
    #: How many tokens were given for the client's secret.
    tokens: int = 0
    exports: list[Export] = field(default_factory=list)
    #: Headers of each request for a file.
    downloads: list[dict[str, str]] = field(default_factory=list)
    #: Faults of this server's own, raised when it ends.
    broken: list[Exception] = field(default_factory=list)
    url: str = ""
    files: str = ""
    _points: float = 0.0
    _at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        """The GraphQL endpoint."""
        return f"{self.url}{PATH}"

    def take(self, cost: float) -> tuple[bool, float]:
        """Whether the points are there, and how many are left."""
        if self.bucket is None:
            return True, 10_000.0
        with self._lock:
            now = time.monotonic()
            self._points = self.bucket if not self._at else min(self.bucket, self._points + (now - self._at) * self.restored)
            self._at = now
            there = self._points >= cost
            self._points -= cost if there else 0
            return there, self._points


def order(number: int, *, items: int = 2, **fields: Any) -> dict[str, Any]:
    """An order of so many line items, one a minute since the beginning of 2026."""
    gid = f"gid://shopify/Order/{number}"
    price = {
        "shopMoney": {"amount": f"{number}.50", "currencyCode": "EUR"},
        "presentmentMoney": {"amount": f"{number}.99", "currencyCode": "USD"},
    }
    at = (FIRST_CREATED + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
    lines = [
        {
            "__typename": "LineItem",
            "id": f"gid://shopify/LineItem/{number}{n:04}",
            "sku": f"sku-{n}",
            "quantity": n + 1,
            "currentQuantity": n + 1,
        }
        for n in range(items)
    ]
    for line in lines:
        line["originalUnitPriceSet"] = price
    return {
        "__typename": "Order",
        "id": gid,
        "legacyResourceId": str(number),
        "name": f"#{number}",
        "createdAt": at,
        "updatedAt": at,
        "processedAt": at,
        "displayFinancialStatus": "PAID",
        "displayFulfillmentStatus": "FULFILLED",
        "currencyCode": "EUR",
        "presentmentCurrencyCode": "USD",
        "test": False,
        "currentTotalPriceSet": price,
        "totalPriceSet": price,
        "totalRefundedSet": price,
        "lineItems": lines,
        **fields,
    }


def _schema() -> GraphQLSchema:
    schema = build_schema(SCHEMA)
    query, mutation = schema.query_type, schema.mutation_type
    assert query is not None
    assert mutation is not None
    for name in ("orders", "customers"):
        query.fields[name].resolve = lambda _, info, name=name, **given: _page(info, getattr(info.context["shop"], name), given)
    query.fields["ordersCount"].resolve = lambda _, info: {"count": len(info.context["shop"].orders)}
    query.fields["order"].resolve = lambda _, info, id: _by_id(info.context["shop"], id)  # noqa: A006 - the schema's own name
    query.fields["node"].resolve = query.fields["order"].resolve
    query.fields["nodes"].resolve = lambda _, info, ids: [_by_id(info.context["shop"], one) for one in ids]
    query.fields["currentAppInstallation"].resolve = lambda _, info: {"accessScopes": [{"handle": h} for h in info.context["shop"].scopes]}
    query.fields["bulkOperation"].resolve = lambda _, info, id: _operation(info.context["shop"], id)  # noqa: A006 - the schema's own name
    query.fields["bulkOperations"].resolve = lambda _, info, first: _operations(info.context["shop"], first)
    mutation.fields["bulkOperationRunQuery"].resolve = lambda _, info, **given: _run(
        info.context["shop"], given["query"], given["groupObjects"]
    )
    lines = schema.type_map["Order"].fields["lineItems"]  # type: ignore[attr-defined]  # it is an object type
    lines.resolve = lambda order, info, **given: _page(info, order["lineItems"], given)
    return schema


def _page(info: GraphQLResolveInfo, rows: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    shop: Shop = info.context["shop"]
    first = given.get("first")
    if first is None:
        if not info.context.get("bulk"):
            msg = "you must provide one of first or last"
            raise GraphQLError(msg)
        first = len(rows)
    elif not 1 <= first <= 250:
        msg = f"first is {first}, 1 to 250 are allowed"
        raise GraphQLError(msg)
    ordered = sorted(rows, key=lambda row: (len(row["id"]), row["id"]))
    if given.get("query") and not shop.deaf:
        ordered = [row for row in ordered if _fits(row, given["query"])]
    start = 0
    if given.get("after"):
        last = base64.b64decode(given["after"]).decode()
        start = sum((len(row["id"]), row["id"]) <= (len(last), last) for row in ordered)
    if start + first > shop.cap and not info.context.get("bulk"):
        msg = f"pagination is limited to {shop.cap} objects"
        raise GraphQLError(msg)
    page = ordered[start : start + first]
    cursors = [base64.b64encode(row["id"].encode()).decode() for row in page]
    info_ = {"hasNextPage": start + first < len(ordered), "endCursor": cursors[-1] if cursors else None}
    return {"nodes": page, "edges": [{"node": n, "cursor": c} for n, c in zip(page, cursors, strict=True)], "pageInfo": info_}


def _fits(row: dict[str, Any], text: str) -> bool:
    terms = CREATED.findall(text)
    if not terms and text:
        msg = f"the search {text!r} is not understood"
        raise GraphQLError(msg)
    return all(row["createdAt"] >= at if sign == ">=" else row["createdAt"] < at for sign, at in terms)


def _by_id(shop: Shop, gid: str) -> dict[str, Any] | None:
    if not gid.startswith("gid://shopify/"):
        msg = f"Invalid global id '{gid}'"
        raise GraphQLError(msg, extensions={"code": "argumentLiteralsIncompatible"})
    return next((row for row in (*shop.orders, *shop.customers) if row["id"] == gid), None)


def _run(shop: Shop, query: str, grouped: bool) -> dict[str, Any]:
    if shop.foreign or sum(export.status == "RUNNING" for export in shop.exports) >= 5:
        error = {
            "code": "OPERATION_IN_PROGRESS",
            "field": None,
            "message": "A bulk query operation for this app and shop is already in progress",
        }
        return {"bulkOperation": None, "userErrors": [error]}
    document = parse(query)
    errors = validate(_SCHEMA, document)
    result = None if errors else execute_sync(_SCHEMA, document, context_value={"shop": shop, "bulk": True})
    if result is None or result.errors:
        said = str((errors or result.errors)[0]) if errors or result else ""  # type: ignore[index, union-attr]  # one of the two has errors
        return {"bulkOperation": None, "userErrors": [{"code": "INVALID", "field": ["query"], "message": said}]}
    assert result.data is not None
    (connection,) = result.data.values()
    lines: list[bytes] = []
    late: list[bytes] = []
    for edge in connection["edges"]:
        node = dict(edge["node"])
        inner = {name: node.pop(name) for name in list(node) if isinstance(node[name], dict) and "edges" in node[name]}
        lines.append(json.dumps(node).encode())
        children = [{**child["node"], "__parentId": node["id"]} for held in inner.values() for child in held["edges"]]
        (lines if grouped else late).extend(json.dumps(child).encode() for child in children)
    number = len(shop.exports) + 1
    export = Export(f"gid://shopify/BulkOperation/{number}", query, lines + late, len(connection["edges"]), shop.polls)
    shop.exports.append(export)
    return {"bulkOperation": _told(shop, export), "userErrors": []}


def _operation(shop: Shop, gid: str) -> dict[str, Any] | None:
    export = next((one for one in shop.exports if one.id == gid), None)
    if export is None:
        return None
    if export.status == "RUNNING":
        export.polls -= 1
        export.status = "RUNNING" if export.polls > 0 else shop.ends
    return _told(shop, export)


def _operations(shop: Shop, first: int) -> dict[str, Any]:
    return {"nodes": [_told(shop, export) for export in reversed(shop.exports)][:first]}


def _told(shop: Shop, export: Export) -> dict[str, Any]:
    number = export.id.rsplit("/", 1)[1]
    url = f"{shop.files}/bulk/{number}.jsonl?signature=s3cret" if export.lines else None
    done = export.status == "COMPLETED"
    return {
        "id": export.id,
        "query": export.query,
        "status": export.status,
        "errorCode": shop.error_code if export.status == "FAILED" else None,
        "createdAt": "2026-11-25T00:00:00Z",
        "completedAt": "2026-11-25T00:01:00Z" if done else None,
        "objectCount": str(len(export.lines)),
        "rootObjectCount": str(export.roots),
        "fileSize": str(len(export.file)) if done and export.lines else None,
        "url": url if done else None,
        "partialDataUrl": url if export.status == "FAILED" and shop.partial else None,
        **(shop.said if export.status != "RUNNING" else {}),
    }


def _cost(document: ast.DocumentNode, variables: dict[str, Any]) -> float:
    """Two points a connection and one for each item it may bring, with what stands inside it."""

    def of(selections: ast.SelectionSetNode | None) -> float:
        cost = 0.0
        for one in selections.selections if selections else ():
            inner = of(getattr(one, "selection_set", None))
            first = next((a.value for a in getattr(one, "arguments", None) or () if a.name.value == "first"), None)
            if first is None:
                cost += inner
                continue
            number = variables.get(first.name.value) if isinstance(first, ast.VariableNode) else int(getattr(first, "value", 0))
            cost += 2 + (number or 0) * (1 + inner)
        return cost

    return max(1.0, sum(of(getattr(one, "selection_set", None)) for one in document.definitions))


_SCHEMA = _schema()


def _execute(shop: Shop, asked: Asked) -> Answer:
    document = parse(asked.query)
    errors = validate(_SCHEMA, document)
    cost = _cost(document, asked.variables)
    there, left = shop.take(cost)
    status = {"maximumAvailable": shop.bucket or 10_000.0, "currentlyAvailable": left, "restoreRate": shop.restored}
    extensions = {"cost": {"requestedQueryCost": cost, "actualQueryCost": cost, "throttleStatus": status}}
    if cost > shop.dearest:
        error = {
            "message": f"Query cost is {cost:.0f}, which exceeds the single query max cost",
            "extensions": {"code": "MAX_COST_EXCEEDED"},
        }
        return _json({"errors": [error]})
    if not there:
        return _json({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}], "extensions": extensions})
    if errors:
        return _json({"errors": [error.formatted for error in errors]})
    result = execute_sync(_SCHEMA, document, variable_values=asked.variables, context_value={"shop": shop}, type_resolver=_type_of)
    body: dict[str, Any] = {"data": result.data, "extensions": extensions}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    return _json(body)


def _type_of(value: Any, *_: Any) -> str:
    return str(value["id"].split("/")[3])


def _json(body: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode())


def _served(shop: Shop, path: str, headers: dict[str, str], body: bytes) -> tuple[Asked | None, Answer]:
    if path == "/admin/oauth/access_token":
        return None, _token(shop, body)
    if path != PATH:
        return None, _json({"errors": "Not Found"}, 404)
    if headers.get("x-shopify-access-token") != shop.token:
        return None, _json({"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}, 401)
    if headers.get("content-type") != "application/json":
        return None, _json({"errors": "Content-Type is not application/json"}, 400)
    told = json.loads(body)
    asked = Asked(told["query"], told.get("variables") or {}, headers)
    shop.asked.append(asked)
    answer = shop.before(asked)
    return asked, shop.after(asked, answer or _execute(shop, asked))


def _rest(shop: Shop, path: str, headers: dict[str, str]) -> Answer:
    """One order by the REST Admin API, in its own words."""
    if headers.get("x-shopify-access-token") != shop.token:
        return _json({"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}, 401)
    found = re.fullmatch(rf"/admin/api/{VERSION}/orders/(\d+)\.json", path)
    one = _by_id(shop, f"gid://shopify/Order/{found[1]}") if found else None
    if one is None:
        return _json({"errors": "Not Found"}, 404)
    lines = [{"id": int(line["id"].rpartition("/")[2]), "sku": line["sku"], "quantity": line["quantity"]} for line in one["lineItems"]]
    told = {
        "id": int(one["legacyResourceId"]),
        "admin_graphql_api_id": one["id"],
        "name": one["name"],
        "financial_status": one["displayFinancialStatus"].lower(),
        "total_price": one["totalPriceSet"]["shopMoney"]["amount"],
        "currency": one["totalPriceSet"]["shopMoney"]["currencyCode"],
        "cancelled_at": one.get("cancelledAt"),
        "created_at": one["createdAt"],
        "line_items": lines,
    }
    return _json({"order": told})


def _token(shop: Shop, body: bytes) -> Answer:
    form = dict(parse_qsl(body.decode()))
    if form != {"grant_type": "client_credentials", "client_id": "app-1", "client_secret": CLIENT_SECRET}:
        return _json({"error": "invalid_client"}, 400)
    shop.tokens += 1
    return _json({"access_token": shop.token, "scope": ",".join(shop.scopes), "expires_in": 86399})


def _handlers(shop: Shop) -> tuple[type[BaseHTTPRequestHandler], type[BaseHTTPRequestHandler]]:
    class Quiet(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            """Says nothing."""

        def told(self) -> dict[str, str]:
            return {name.lower(): value for name, value in self.headers.items()}

    class Api(Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                _, answer = _served(shop, self.path, self.told(), body)
            except Exception as error:  # whatever it is, it is this server's own fault, and the test's to hear of
                shop.broken.append(error)
                answer = _json({"errors": f"the test's server is broken: {error!r}"}, 400)
            if answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Shopify-API-Version", shop.version)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def do_GET(self) -> None:
            answer = _rest(shop, self.path, self.told())
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Shopify-API-Version", shop.version)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    class Files(Quiet):
        def do_GET(self) -> None:
            shop.downloads.append(self.told())
            number = self.path.removeprefix("/bulk/").partition(".")[0]
            export = next((one for one in shop.exports if one.id.endswith(f"/{number}")), None)
            if export is None or "signature=s3cret" not in self.path:
                self.send_response(403)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            whole = shop.spoil(export.file)
            start = int(found.group(1)) if (found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
            self.send_response(206 if found else 200)
            if found:
                self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
            self.send_header("ETag", f'"{number}"')
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(whole) - start))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(whole[start:])

    return Api, Files


class _Server(ThreadingHTTPServer):
    """A server to which a client that breaks off is nothing to speak of."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def graphql_shop(**state: Any) -> Iterator[Shop]:
    """The shop, and the host of its files, on two free ports until the block ends."""
    shop = Shop(**state)
    servers = []
    for handler in _handlers(shop):
        server = _Server(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
    shop.url, shop.files = (f"http://127.0.0.1:{server.server_address[1]}" for server, _ in servers)
    try:
        yield shop
    finally:
        for server, thread in servers:
            server.shutdown()
            thread.join()
            server.server_close()
    if shop.broken:
        raise shop.broken[0]
