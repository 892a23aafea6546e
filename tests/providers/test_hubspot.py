"""HubSpot: declared properties, pages by `after`, archived and merged records, and its limits."""

import json
from typing import Any

import pytest

from providers.hubspot import HubSpot
from recon.errors import BadSetting, Throttled
from recon.fetch.page import LookupStatus
from recon.provider import Listing
from tests.providers.listing import whole
from tests.providers.sections import section
from tests.servers.manual_clock import ManualClock
from tests.servers.scripted import Answer, Call, scripted

LIVE = [{"id": str(n), "properties": {"email": f"c{n}@example.com"}, "archived": False} for n in range(1, 231)]
GONE = [{"id": str(n), "properties": {"email": None}, "archived": True} for n in range(301, 304)]
SURVIVOR = {"id": "900", "properties": {"hs_merged_object_ids": "401;402"}, "archived": False}


def hubspot(monkeypatch: pytest.MonkeyPatch, url: str, **settings: Any) -> HubSpot:
    """HubSpot at `url`, with contacts and their e-mail."""
    monkeypatch.setenv("HUBSPOT_TOKEN", "pat-eu1-nightly")
    return HubSpot(section("providers.hubspot", {"base_url": f"{url}/", "objects": {"contacts": ["email"]}, **settings}))


def crm(call: Call) -> Answer:
    """Contacts as HubSpot lists and reads them; 401 and 402 were merged into 900, 403 answers with another that does not say so."""
    if call.path.endswith("/batch/read"):
        return batch_read(call)
    key = call.path.rsplit("/", 1)[1]
    records = GONE if call.query.get("archived") == "true" else LIVE
    if key != "contacts":
        other = {"401": SURVIVOR, "403": LIVE[0]}.get(key) if records is LIVE else None
        record = other or next((record for record in records if record["id"] == key), None)
        return Answer(record) if record else Answer({"status": "error", "message": "resource not found"}, status=404)
    start = int(call.query.get("after", "0"))
    more = {"paging": {"next": {"after": str(start + 100), "link": "x"}}} if start + 100 < len(records) else {}
    return Answer({"results": records[start : start + 100], **more})


def batch_read(call: Call) -> Answer:
    """Those of the ids that there are; with 207 where some are not, as HubSpot says it."""
    asked = json.loads(call.body)
    assert asked["properties"] == ["email", "hs_merged_object_ids"]
    keys = [one["id"] for one in asked["inputs"]]
    records = GONE if call.query.get("archived") == "true" else LIVE
    found = [record for record in records if record["id"] in keys]
    left = sorted({*keys} - {str(record["id"]) for record in found})
    told = {"numErrors": 1, "errors": [{"category": "OBJECT_NOT_FOUND", "context": {"ids": left}}]} if left else {}
    return Answer({"status": "COMPLETE", "results": found, **told}, status=207 if left else 200)


def test_many_are_read_by_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred contacts by two requests; three archived ones among a hundred cost one each, and one for all three among the archived."""
    with scripted(crm) as server:
        provider = hubspot(monkeypatch, server.url)
        live = list(provider.get_many("contacts", [str(n) for n in range(1, 201)], clock=ManualClock()))
        whole = len(server.calls)
        mixed = list(provider.get_many("contacts", [str(n) for n in range(1, 98)] + ["301", "302", "303"], clock=ManualClock()))
        provider.close()
    assert (whole, {one.status.value for one in live}) == (2, {"found"})
    assert (len(server.calls) - whole, [one.status.value for one in mixed[-4:]]) == (1 + 3 + 1, ["found", "deleted", "deleted", "deleted"])


def test_contacts_come_whole_with_the_properties_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pages of what is not archived, each asking for the declared properties; a page without paging is the last."""
    with scripted(crm) as server:
        provider = hubspot(monkeypatch, server.url)
        records, end = whole(provider, "contacts")
        provider.close()
        first = server.calls[0]
    assert records == LIVE
    assert end.proof == "no paging.next.after on page 3"
    assert first.path == "/crm/v3/objects/contacts"
    assert first.query == {"limit": "100", "properties": "email,hs_merged_object_ids", "archived": "false"}
    assert first.headers["authorization"] == "Bearer pat-eu1-nightly"


def test_a_read_by_id_tells_archived_merged_and_missing_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found; archived, and so deleted; merged into one that says so, and so deleted; another one that does not, unknown; nowhere, not found."""
    keys = ["1", "301", "401", "403", "999"]
    with scripted(crm) as server:
        provider = hubspot(monkeypatch, server.url)
        answers = list(provider.get_many("contacts", keys, clock=ManualClock()))
        provider.close()
    assert [(answer.key, answer.status.value) for answer in answers] == list(
        zip(keys, ["found", "deleted", "deleted", "unknown", "not_found"], strict=True)
    )
    assert "merged into '900'" in answers[2].why


def test_archived_records_are_compared_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parts, of what is not archived and of what is; an archived record is then found by id, as the record that it is."""
    with scripted(crm) as server:
        provider = hubspot(monkeypatch, server.url, archived=["contacts"])
        planner = provider.planner(Listing(resource="contacts"))
        assert planner is not None
        first = planner.following([])
        assert first is not None
        assert (first.shard, dict(first.params)) == ("false", {"archived": "false"})
        archived = provider.resource("contacts").shards
        assert archived is not None
        assert archived.values == ("false", "true")
        (answer,) = provider.get_many("contacts", ["301"], clock=ManualClock())
        provider.close()
    assert answer.status is LookupStatus.FOUND
    assert json.loads(answer.item or b"")["archived"] is True


def test_the_days_limit_ends_the_fetch_and_the_ten_seconds_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 of ten seconds is waited out; that of the day asks for more than may be waited, so the fetch ends and can be gone on with."""
    policies = ["TEN_SECONDLY_ROLLING", "DAILY"]
    clock = ManualClock()

    def serve(call: Call) -> Answer:
        if "after" not in call.query and len(policies) == 1:
            return crm(call)
        return Answer(
            {"status": "error", "errorType": "RATE_LIMIT", "policyName": policies.pop(0) if len(policies) > 1 else policies[0]}, status=429
        )

    with scripted(serve) as server:
        provider = hubspot(monkeypatch, server.url)
        pages = provider.fetch(Listing(resource="contacts", clock=clock))
        assert len(next(pages).items) == 100
        assert sum(clock.slept) < 20
        with pytest.raises(Throttled, match="1h"):
            next(pages)
        provider.close()


def test_links_need_the_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the portal's number a record's page is known, HubSpot's own objects by their numbers; without it there is none."""
    url = "https://api.hubapi.com"
    assert hubspot(monkeypatch, url).link("contacts", "7") is None
    provider = hubspot(
        monkeypatch, url, portal=62515, site="https://app-eu1.hubspot.com", objects={"deals": ["amount"], "2-3465404": ["plan"]}
    )
    assert provider.link("deals", "7") == "https://app-eu1.hubspot.com/contacts/62515/record/0-3/7"
    assert provider.link("2-3465404", "7") == "https://app-eu1.hubspot.com/contacts/62515/record/2-3465404/7"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objects": {}}, "] objects: declares nothing to fetch"),
        ({"objects": {"contacts": []}}, ".objects] contacts: wants a list of names"),
        ({"objects": {"../x": ["a"]}}, ".objects] ../x: wants a list of names"),
        ({"archived": ["deals"]}, "] archived: 'deals' is none of the objects"),
        ({"token": "pat-in-the-file"}, "] token: a secret is given by reference only"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake names its key."""
    with pytest.raises(BadSetting) as caught:
        hubspot(monkeypatch, "https://api.hubapi.com", **settings)
    assert str(caught.value).startswith(f"recon.toml [providers.hubspot{message}")
    assert "pat-in" not in str(caught.value)
