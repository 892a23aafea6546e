"""HubSpot's CRM objects: https://developers.hubspot.com/docs/api-reference/crm-objects-v3 (the pages cited below were read 2026-11)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from recon import Bearer, CursorInBody, HTTPProvider, Rate, Resource, Section
from recon.clock import Clock
from recon.fetch.lookup import Reader
from recon.fetch.narrowing import Batch, Shards
from recon.fetch.page import Lookup, LookupStatus
from recon.http_provider import Action, Rule
from recon.job import Scalar

MERGED = "hs_merged_object_ids"
#: The numbers that the site has for HubSpot's own objects (https://developers.hubspot.com/docs/guides/crm/understanding-the-crm).
OBJECT_IDS = {"contacts": "0-1", "companies": "0-2", "deals": "0-3", "tickets": "0-5", "products": "0-7", "line_items": "0-8"}
NAME = re.compile(r"[A-Za-z0-9_-]+")
#: The most records that one read takes (https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-read).
CHUNK = 100


def _listed(kind: str, properties: Sequence[str], page: str | None, *, archived: bool) -> Resource:
    """A list of records: by `after`, at most 100 a page; the last page has no `paging`.

    A record carries the properties that were asked for and no others, so they are declared. The list is of the records that are not archived,
    or of those that are, never of both: two shards, where both are wanted.
    """
    active: dict[str, Scalar] = {} if archived else {"archived": False}
    wanted = list(dict.fromkeys([*properties, MERGED]))
    asked = ",".join(wanted)
    return Resource(
        path=f"crm/v3/objects/{kind}",
        records="results",
        paging=CursorInBody(param="after", at="paging.next.after", end="absent"),
        params={"limit": 100, "properties": asked, **active},
        get=f"crm/v3/objects/{kind}/{{key}}",
        get_params={"properties": asked, "archived": False},
        # What it leaves out is named beside what it has, with 207, and is read alone: an old id of a merged record, one that is archived or nowhere.
        batch=Batch(
            path=f"crm/v3/objects/{kind}/batch/read",
            records="results",
            size=CHUNK,
            body={"inputs": "{keys}", "properties": wanted},
            each="id",
            params={"archived": False},
        ),
        merged=f"properties.{MERGED}",
        shards=Shards(param="archived", values=("false", "true"), at="archived") if archived else None,
        link=page,
    )


class HubSpot(HTTPProvider):
    """HubSpot's lists of CRM objects, whole. Search is never used: it ends at 10,000 records and lags behind.

    Settings beside HTTPProvider's own: `objects`, a table of each object's properties (`contacts = ["email", "lastname"]`; a custom object by
    its id or name, `"2-3465404"`, `p_cars`); `token`, an app's access token (by default `{ env = "HUBSPOT_TOKEN" }`), unless `auth` has OAuth 2;
    `archived`, the objects whose archived records are compared too, each with `archived: true`; `portal` and `site`, for links.

    Deleting archives a record: it leaves the list, a read by id answers 404, and with `archived=true` it is found for 90 days. That proves the
    deletion, so what was not found is asked for once more in that way. Merging makes a new record with a new id; an old id then answers with
    that one, which names it in `hs_merged_object_ids`
    (https://developers.hubspot.com/changelog/updated-merge-functionality-for-contacts-and-companies): so the old one is deleted.

    190 requests in 10 seconds are allowed to an app of a Professional or Enterprise account; others have 100, an app by OAuth 110
    (https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines): then `rate` says so. The day's limit ends the fetch, which
    goes on the next time. The token needs the scope `crm.objects.NAME.read` of each object. An unknown property is passed over in silence.
    """

    base_url = "https://api.hubapi.com/"
    rate = Rate(requests=190, per=10.0)
    # https://developers.hubspot.com/docs/api-reference/error-handling: locks last 2 seconds; 477 is a move between data centres, with Retry-After.
    classify = (
        Rule(statuses=frozenset({429}), body='"daily"', do=Action.THROTTLE, wait=3600.0),
        Rule(statuses=frozenset({423}), do=Action.RETRY, wait=2.0),
        Rule(statuses=frozenset({477}), do=Action.THROTTLE, wait=3600.0),
        Rule(statuses=frozenset({521, 522, 523, 524}), do=Action.RETRY, wait=5.0),
    )

    def configure(self, section: Section) -> None:
        """Takes the objects and their properties, the token, and what links need."""
        token = section.reference("token", {"env": "HUBSPOT_TOKEN"})
        if "auth" not in section.table:
            self.auth = Bearer(token)
        objects = section.mapping("objects", {})
        if not objects:
            raise section.bad("objects", "declares nothing to fetch", hint='write objects = { contacts = ["email", "lastname"] }')
        table = section.sub("objects")
        properties = {kind: _names(table, kind) for kind in objects}
        self.archived = frozenset(_names(section, "archived") if "archived" in section.table else section.take("archived", ()))
        if unknown := sorted(self.archived - objects.keys()):
            raise section.bad("archived", f"{unknown[0]!r} is none of the objects")
        portal = section.integer("portal", None, low=1)
        site = section.text("site", "https://app.hubspot.com").rstrip("/")
        self.catalogue: Mapping[str, Resource] = {
            kind: _listed(
                kind,
                names,
                f"{site}/contacts/{portal}/record/{OBJECT_IDS.get(kind, kind)}/{{key}}" if portal else None,
                archived=kind in self.archived,
            )
            for kind, names in properties.items()
        }

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """As of HTTPProvider; what is not found is looked for among the archived records, where it is proven deleted."""
        left = iter(keys)
        while chunk := list(islice(left, CHUNK)):
            answers = list(super().get_many(resource, chunk, clock=clock))
            missing = [answer.key for answer in answers if answer.status is LookupStatus.NOT_FOUND]
            again = {answer.key: answer for answer in self._archived(resource, missing, clock)} if missing else {}
            for answer in answers:
                second = again.get(answer.key)
                yield second if second is not None and second.status in (LookupStatus.DELETED, LookupStatus.FOUND) else answer

    def _archived(self, resource: str, keys: Sequence[str], clock: Clock) -> Iterator[Lookup]:
        """The same keys among the archived records: deleted, unless those are compared too."""
        declared = self.resource(resource)
        told = None if resource in self.archived else ("archived", True)
        batch = None if declared.batch is None else replace(declared.batch, params={"archived": True})
        among = replace(declared, get_params={**declared.get_params, "archived": True}, batch=batch, deleted=told)
        return Reader(self.session, among, self.deleted).read_many(keys, clock)


def _names(section: Section, key: str) -> list[str]:
    values = section.typed(key, list, words="a list of names")
    if not values or not all(isinstance(value, str) and NAME.fullmatch(value) for value in values) or not NAME.fullmatch(key):
        raise section.bad(key, "wants a list of names", hint=f'write {key} = ["email", "lastname"]')
    return list(values)
