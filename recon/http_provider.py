"""HTTPProvider: what a provider file builds on. A subclass says where, what and how it pages; the rest is in `recon.fetch`."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import msgspec

from recon.clock import Clock
from recon.duration import seconds_of
from recon.errors import BadRequest
from recon.fetch.auth import Auth, Basic, Bearer, HeaderKey, QueryKey
from recon.fetch.body import MIB, Bounds
from recon.fetch.classify import Action, Classifier, Rule
from recon.fetch.declared import rates_of, rules_of
from recon.fetch.listing import Listing, Meter
from recon.fetch.lookup import Reader
from recon.fetch.oauth import OAuth2
from recon.fetch.origin import BadUrl, Location, Origins, parse_url, shown
from recon.fetch.page import Lookup, Page
from recon.fetch.partition import Planner
from recon.fetch.path import at_path
from recon.fetch.planning import planner_of
from recon.fetch.rate import Rate
from recon.fetch.resource import Resource
from recon.fetch.retry import Policy
from recon.fetch.session import Session, Terms, wire
from recon.fetch.signin import auth_of
from recon.fetch.signing import Hmac
from recon.fetch.transport import Request
from recon.fetch.unchanged import Unchanged
from recon.fetch.walk import Walk
from recon.secret import Secret
from recon.section import Section

__all__ = [
    "Action",
    "Auth",
    "Basic",
    "Bearer",
    "HTTPProvider",
    "HeaderKey",
    "Hmac",
    "OAuth2",
    "QueryKey",
    "Rate",
    "Request",
    "Resource",
    "Rule",
]

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2: a token."""


class HTTPProvider:
    """A third party behind HTTP and JSON: implements `recon.provider.Provider`.

    A subclass sets the class attributes below; its table in recon.toml may set over them: `base_url`, `auth`, `headers`, `scope_headers`,
    `rate = { requests, per, each }` or a list of them, `classify` (what answers mean, before the class's own rules), `timeout` (of one
    attempt), `tries`, `max_wait` (for one request with all its tries), `retry_share` (retries for each request of a run), `max_body`
    (bytes), `origins`, `concurrency` (requests side by side), `insecure` (plain http to another machine). Raises BadSetting.
    """

    #: By default the section's name.
    name: str = ""
    base_url: str = ""
    auth: Auth | None = None
    #: Other origins that this third party's own URLs lead to.
    origins: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    #: The headers in which its answers say whom and what they are for, by what they say: `{"rights": "X-OAuth-Scopes"}`. All pages say the same.
    scope_headers: Mapping[str, str] = {}
    #: What the third party allows: one rate, or several that hold together.
    rate: Rate | tuple[Rate, ...] | None = None
    #: What its answers mean where that differs from `recon.fetch.classify.DEFAULT`.
    classify: tuple[Rule, ...] = ()
    catalogue: Mapping[str, Resource] = {}
    #: Seconds for one attempt, from connecting to the body's last byte.
    timeout: float = 30.0
    #: Attempts of one request, and seconds for all of them.
    tries: int = 8
    max_wait: float = 300.0
    #: Retries that a run may spend for each of its requests, beside 50 in all.
    retry_share: float = 0.25
    #: Bytes of one body, encoded and decoded.
    max_body: int = 64 * MIB
    #: Requests side by side, all of a process under one credential together; halved while the third party throttles.
    concurrency: int = 4

    def __init__(self, section: Section) -> None:
        self.meter = Meter()
        self.name = section.name
        section.take("type", None)
        insecure = section.flag("insecure", False)
        self.base_url = section.text("base_url", *([self.base_url] if self.base_url else []))
        base = _location(section, "base_url", self.base_url, insecure=insecure)
        others = (*self.origins, *_texts(section, "origins"))
        origins = Origins(base, [_location(section, "origins", other, insecure=insecure).origin for other in others])
        self.auth = auth_of(section, insecure=insecure) or self.auth
        self.headers = {**self.headers, **_table(section, "headers")}
        self.scope_headers = {**self.scope_headers, **_header_names(section, "scope_headers")}
        rates = rates_of(section)
        self.rate = (rates[0] if len(rates) == 1 else rates) or self.rate
        self.classify = (*rules_of(section), *self.classify)
        self.timeout = section.duration("timeout", self.timeout)
        self.concurrency = section.integer("concurrency", self.concurrency, low=1)
        policy = Policy(
            tries=section.integer("tries", self.tries, low=1),
            max_wait=section.duration("max_wait", self.max_wait),
            retry_share=_share(section, "retry_share", self.retry_share),
        )
        bounds = Bounds(max_bytes=section.integer("max_body", self.max_body, low=1024))
        self.configure(section)
        section.finish()
        if isinstance(self.auth, OAuth2) and self.auth.rotated is None:
            self.auth.rotated = self.token_rotated
        #: How the session goes about it, for a subclass that needs another one.
        self.terms = Terms(
            headers=self.headers,
            rates=self.rate if isinstance(self.rate, tuple) else (self.rate,) if self.rate else (),
            # Without a credential of ours nothing tells accounts apart but the provider's own name.
            account=None if self.auth is not None else self.name,
            classifier=Classifier(self.classify),
            scope=self.scope_headers,
            endpoint=self._endpoint,
            timeout=self.timeout,
            policy=policy,
            bounds=bounds,
            connections=self.concurrency,
        )
        self.unchanged = Unchanged()
        self.session = Session(origins, self.auth, self.terms, counts=self.meter, before=self.before_request)

    def configure(self, section: Section) -> None:
        """Hook: a subclass takes its own keys here, once all of the base's are set; unknown keys are refused after it."""

    def before_request(self, request: Request) -> None:
        """Hook: called at every attempt, after the credentials; may change `request.headers` and `request.query`."""

    def token_rotated(self, token: Secret) -> bool:
        """Hook: OAuth 2 exchanged the refresh token for this one; keeps it for the next run, and says whether it did."""
        del token
        return False

    def deleted(self, resource: Resource, body: Any) -> bool:
        """Hook: whether the body of a read by id, decoded, says that the item was deleted."""
        if resource.deleted is None:
            return False
        path, value = resource.deleted
        found = at_path(body, path)
        # 1 == True in Python, and not in JSON.
        return bool(found == value) and isinstance(found, bool) == isinstance(value, bool)

    def link(self, resource: str, key: str) -> str | None:
        """Hook: a page for people; by default what the resource's `link` makes of the key."""
        template = self.resource(resource).link
        return template.replace("{key}", quote(key, safe="")) if template else None

    def resource(self, name: str) -> Resource:
        """The resource of that name; BadRequest where there is none."""
        if name not in self.catalogue:
            known = ", ".join(sorted(self.catalogue)) or "none"
            msg = f"provider {self.name} has no resource {name!r}; it has {known}"
            raise BadRequest(msg)
        return self.catalogue[name]

    def resources(self) -> Sequence[str]:
        return sorted(self.catalogue)

    def key_path(self, resource: str) -> str:
        return self.resource(resource).key

    def lag(self, resource: str) -> float:
        """For how many seconds after a change this third party may still show the old state."""
        return seconds_of(self.resource(resource).lag)

    def can_get(self, resource: str) -> bool:
        return self.resource(resource).get is not None

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """The resource, or the part of it that `listing.partition` names, page by page, the last one with its end's proof. Raises ProviderError leaves."""
        walk = Walk(self.session, self.resource(listing.resource), listing.clock, listing.partition, self.unchanged)
        yield from walk.pages(listing.params, listing.resume)

    def planner(self, listing: Listing) -> Planner | None:
        """How the resource is cut into parts: by its ranges, by its shards, or by a second pass; None: it is fetched in one, once."""
        return planner_of(self.resource(listing.resource), listing, lag=self.lag(listing.resource))

    def width(self, resource: str) -> int:
        """How many parts are fetched side by side."""
        return min(self.resource(resource).parallel, self.concurrency)

    def drifts(self, resource: str) -> bool:
        """Whether its pages shift while items come and go, so that an item may stand on two of them, and the later one counts."""
        return self.resource(resource).drifts

    def cursor_age(self, resource: str) -> float | None:
        """For how many seconds a cursor leads on; None: for as long as any."""
        age = self.resource(resource).cursor_age
        return None if age is None else seconds_of(age)

    def scope(self, resource: str) -> Mapping[str, str]:
        """What is asked for, for the certificate: the account's place, where its credential comes from, the API's version, the filters. Never a secret."""
        version = {name: value for name, value in self.headers.items() if "version" in name.lower()}
        declared = self.resource(resource)
        filters = [f"{name}={wire(value)}" for name, value in sorted(declared.params.items())]
        filters += [] if declared.body is None else [msgspec.json.encode(declared.body, order="sorted").decode()]
        told = {
            "account": self.base_url,
            "credential": self.auth.origin if self.auth is not None else "",
            "api_version": ", ".join(f"{name}: {value}" for name, value in sorted(version.items())),
            "filters": "&".join(filters),
        }
        return {name: self.session.mask(text) for name, text in told.items() if text}

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """Each key's item as it stands now, in the order of the keys; `concurrency` of them are read side by side."""
        return Reader(self.session, self.resource(resource), self.deleted).read_many(keys, clock)

    def identity(self, resource: str) -> str:
        """What tells this listing from another one under the same name: pages of two of them are never put together.

        Headers may name an account or a version, and may be secret: a digest of them stands in it.
        """
        declared = self.resource(resource)
        headers = hashlib.sha256(repr(sorted(self.headers.items())).encode()).hexdigest()[:12] if self.headers else ""
        narrowed = [one for one in (declared.ranges, declared.shards) if one is not None]
        return repr(
            (
                *(self.base_url, headers, declared.path, declared.records, declared.without, declared.key),
                *(declared.paging, sorted(declared.params.items()), *narrowed),
                *(() if declared.body is None else (declared.body,)),
            )
        )

    @property
    def server_date(self) -> datetime | None:
        """The third party's clock, to the second, as its last answer gave it (RFC 9110, Date); None where it gave none."""
        try:
            return parsedate_to_datetime(self.session.date or "").astimezone(UTC)
        except ValueError:
            return None

    def _endpoint(self, path: str) -> str:
        """The resource whose list, or an item of it, a path leads to: what a rate that is `each` endpoint's is counted by."""
        base = self.session.origins.base.path.rstrip("/")
        paths = [resource.path.partition("?")[0] for resource in self.catalogue.values()]
        places = [path_ if path_.startswith("/") else f"{base}/{path_}" for path_ in paths]
        return max((place for place in places if path == place or path.startswith(f"{place.rstrip('/')}/")), key=len, default="")

    def close(self) -> None:
        self.session.close()


def _location(section: Section, key: str, url: str, *, insecure: bool) -> Location:
    """A URL of the settings; plain http is for this machine only, unless `insecure = true` says otherwise."""
    try:
        location = parse_url(url)
    except BadUrl as error:
        raise section.bad(key, f"{shown(url)} cannot be used: {error}", hint="write https://api.example/v1") from None
    if location.query or "#" in url:
        raise section.bad(key, "holds a query or a fragment", hint="query parameters belong to a resource's params")
    if location.origin.scheme == "http" and not location.origin.loopback and not insecure:
        why = f"{location.origin} is plain http, so the credential and every record would cross the network in clear"
        raise section.bad(key, why, hint="write https://…, or insecure = true where the network itself is trusted")
    return location


def _texts(section: Section, key: str) -> list[str]:
    values = section.typed(key, list, [], words="a list of texts")
    if not all(isinstance(value, str) for value in values):
        raise section.bad(key, "wants a list of texts")
    return list(values)


def _table(section: Section, key: str) -> dict[str, str]:
    """A table of plain texts."""
    table = section.mapping(key, {})
    for name, value in table.items():
        if not isinstance(value, str) or not (name + value).isascii() or not (name + value).isprintable():
            raise section.bad(f"{key}.{name}", "wants a text of printable ASCII", hint="a credential belongs into auth, by reference")
    return dict(table)


def _header_names(section: Section, key: str) -> dict[str, str]:
    """A table of headers' names; one that no header can have would never be seen, and guard nothing."""
    table = _table(section, key)
    for name, header in table.items():
        if not HEADER_NAME.fullmatch(header):
            raise section.bad(f"{key}.{name}", f"{header!r} is no header's name", hint='such as "X-Account-Id"')
    return table


def _share(section: Section, key: str, default: float) -> float:
    share = float(section.number(key, default))
    if not 0 <= share <= 1:
        raise section.bad(key, f"is {share}, a number from 0 to 1 is wanted")
    return share
