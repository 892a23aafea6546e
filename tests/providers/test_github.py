"""GitHub: issues without pull requests, pages by Link, what its refusals mean, and what the token says of itself."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from providers.github import API_VERSION, GitHub
from recon.errors import BadSetting, Refused
from recon.fetch.landing import land
from recon.fetch.page import LookupStatus
from recon.fetch.spool import Spool
from recon.fetch.unchanged import TOLD
from recon.provider import Listing
from tests.providers.listing import whole
from tests.providers.sections import section
from tests.servers.manual_clock import ManualClock
from tests.servers.scripted import Answer, Call, scripted

TOKEN = "github_pat_11NIGHTLY"
ISSUES = [{"number": n, "state": "open", **({"pull_request": {"url": "x"}} if n % 3 == 0 else {})} for n in range(1, 251)]


def github(monkeypatch: pytest.MonkeyPatch, url: str, key: str = TOKEN, **settings: Any) -> GitHub:
    """GitHub at `url`, with this token in the environment."""
    monkeypatch.setenv("GITHUB_TOKEN", key)
    settings = {"org": "octo-org", "repo": "hello", **settings}
    return GitHub(section("providers.github", {"base_url": f"{url}/", **{k: v for k, v in settings.items() if v is not None}}))


def paged(call: Call, records: list[dict[str, Any]]) -> Answer:
    """A page of 100 with GitHub's Link header, which is left out where all fits on one."""
    number, pages = int(call.query.get("page", "1")), -(-len(records) // 100)
    links = [f'<http://{call.headers["host"]}{call.path}?page={number + 1}>; rel="next"'] if number < pages else []
    links += [f'<http://{call.headers["host"]}{call.path}?page=1>; rel="first"'] if number > 1 else []
    return Answer(records[(number - 1) * 100 : number * 100], headers={"Link": ", ".join(links)} if links else {})


def test_issues_come_without_pull_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pages by Link, of every state; what holds pull_request is left out of them, and counted."""
    with scripted(lambda call: paged(call, ISSUES)) as server:
        provider = github(monkeypatch, server.url)
        pages = list(provider.fetch(Listing(resource="issues")))
        provider.close()
        first = server.calls[0]
    assert [json.loads(item)["number"] for page in pages for item in page.items] == [n for n in range(1, 251) if n % 3]
    assert [page.left_out for page in pages] == [33, 33, 17]
    assert first.path == "/repos/octo-org/hello/issues"
    assert first.query == {"per_page": "100", "state": "all", "sort": "created", "direction": "asc"}
    assert (first.headers["authorization"], first.headers["x-github-api-version"]) == (f"Bearer {TOKEN}", API_VERSION)


def test_the_certificate_counts_what_was_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A repository with 10,200 pull requests in a row is read to its end, and the certificate says how many items are no issues."""
    records = [{"number": n, "pull_request": {"url": "x"}} for n in range(10_200)] + ISSUES[:1]
    with scripted(lambda call: paged(call, records)) as server:
        provider = github(monkeypatch, server.url)
        spool = Spool.open(tmp_path)
        coverage = land(provider, Listing(resource="issues", clock=ManualClock()), spool, clock=ManualClock())
        spool.close()
        provider.close()
        again = Spool.open(tmp_path)
        kept = [part.left_out for part in again.live]
        again.close()
    assert (coverage.whole, coverage.records, coverage.pages) == (True, 1, 103)
    assert coverage.notes == ("10,200 items of the list left out, none of this resource's",)
    assert kept == [10_200]


def test_a_read_by_number_says_what_it_proves(monkeypatch: pytest.MonkeyPatch) -> None:
    """An issue is found; a pull request is no issue; 410 is a deletion; a transfer and a block prove nothing; a 404 is not found."""
    answers = {
        "1": Answer(ISSUES[0]),
        "3": Answer(ISSUES[2]),
        "4": Answer({"message": "This issue was deleted"}, status=410),
        "5": Answer({"message": "Moved Permanently"}, status=301, headers={"Location": "/repositories/9/issues/1"}),
        "6": Answer({"message": "Repository access blocked"}, status=451),
        "7": Answer({"message": "Resource not accessible by personal access token"}, status=403),
    }
    with scripted(lambda call: answers.get(call.path.rsplit("/", 1)[1], Answer({"message": "Not Found"}, status=404))) as server:
        provider = github(monkeypatch, server.url)
        found = [answer.status.value for answer in provider.get_many("issues", [*"1345678"], clock=ManualClock())]
        provider.close()
    assert found == ["found", "not_found", "deleted", "unknown", "unknown", "forbidden", "not_found"]


def test_each_resource_asks_its_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulls, repositories and members of an organisation; of a user the repositories alone; one page without a Link is whole."""
    with scripted(lambda call: paged(call, [{"id": 7, "number": 7}])) as server:
        provider = github(monkeypatch, server.url)
        assert provider.resources() == ["issues", "members", "pulls", "repositories"]
        for name in ("pulls", "repositories", "members"):
            records, end = whole(provider, name)
            assert (len(records), end.proof) == (1, "no Link header on page 1, so there is one page only")
        user = github(monkeypatch, server.url, org=None, user="octocat", repo=None)
        whole(user, "repositories")
        assert user.resources() == ["repositories"]
        provider.close()
        user.close()
        asked = [(call.path, call.query.get("state"), call.query.get("type")) for call in server.calls]
    assert asked == [
        ("/repos/octo-org/hello/pulls", "all", None),
        ("/orgs/octo-org/repos", None, "all"),
        ("/orgs/octo-org/members", None, None),
        ("/users/octocat/repos", None, "owner"),
    ]


def tagged(call: Call, records: list[dict[str, Any]]) -> Answer:
    """As `paged`, with an ETag of the body alone: the Link may change under it."""
    answer = paged(call, records)
    etag = f'W/"{hashlib.sha256(json.dumps(answer.body).encode()).hexdigest()}"'
    same = call.headers.get("if-none-match") == etag
    return Answer(b"" if same else answer.body, status=304 if same else 200, headers={**({} if same else answer.headers), "ETag": etag})


def test_a_second_pass_asks_for_what_has_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the members' second pass, what is as it was comes as a 304; what changed is sent, and so is what came behind a last page that stayed."""
    members = [{"id": n} for n in range(300)]

    def answer(call: Call) -> Answer:
        if len(server.calls) == 4:
            members.append({"id": 999})
            members[150] = {"id": 150, "site_admin": True}
        return tagged(call, members)

    with scripted(answer) as server:
        provider = github(monkeypatch, server.url)
        spool = Spool.open(tmp_path)
        coverage = land(provider, Listing(resource="members", clock=ManualClock()), spool, clock=ManualClock())
        found = {one["id"]: one for frame in spool.frames() for one in map(json.loads, frame.splitlines())}
        spool.close()
        provider.close()
        asked = [(call.query.get("page", "1"), "if-none-match" in call.headers) for call in server.calls]
    assert coverage.whole
    assert asked == [("1", False), ("2", False), ("3", False), ("1", True), ("2", True), ("3", False), ("4", False)]
    assert found == {one["id"]: one for one in members}
    assert coverage.notes == (f"pass 2, {TOLD}",)


def test_a_repository_of_another_owner_is_deleted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its id a repository is found wherever it went; one that was given away is none of this owner's."""
    with scripted(
        lambda call: Answer({"id": int(call.path[-1]), "owner": {"login": "Octo-Org" if call.path[-1] == "1" else "b"}})
    ) as server:
        provider = github(monkeypatch, server.url)
        answers = [answer.status for answer in provider.get_many("repositories", ["1", "2"], clock=ManualClock())]
        provider.close()
    assert answers == [LookupStatus.FOUND, LookupStatus.DELETED]


@pytest.mark.parametrize(
    ("refusal", "least"),
    [
        (Answer({"message": "You have exceeded a secondary rate limit"}, status=403), 60),
        (Answer({"message": "Too many"}, status=429), 60),
        (Answer({"message": "slow down"}, status=403, headers={"Retry-After": "17"}), 17),
        (Answer({"message": "API rate limit exceeded"}, status=403, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "90"}), 90),
    ],
    ids=["secondary", "429", "retry-after", "primary"],
)
def test_each_limit_is_waited_out_as_github_asks(refusal: Answer, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After, else the reset where nothing remains, else a minute at least; then the list is read whole."""
    refusals = [refusal]
    clock = ManualClock()
    with scripted(lambda call: refusals.pop() if refusals else paged(call, ISSUES[:2])) as server:
        provider = github(monkeypatch, server.url)
        pages = list(provider.fetch(Listing(resource="pulls", clock=clock)))
        provider.close()
    assert sum(len(page.items) for page in pages) == 2
    assert least <= sum(clock.slept) < least + 10
    assert provider.meter.throttled == 1


@pytest.mark.parametrize(("status", "words"), [(301, "renamed or moved: open http"), (404, "may not see"), (403, "GITHUB_TOKEN")])
def test_a_refused_list_says_the_way_out(status: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed repository, one that the token does not see, and a token without the right are told apart, without the token."""
    body = Answer({"message": "no"}, status=status, headers={"Location": "/repositories/9/issues"} if status == 301 else {})
    with scripted(lambda _: body) as server:
        provider = github(monkeypatch, server.url)
        with pytest.raises(Refused, match=str(status)) as caught:
            whole(provider, "issues")
        provider.close()
    assert words in (caught.value.hint or "")
    assert TOKEN not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("base", "link"),
    [
        ("https://api.github.com", "https://github.com/octo-org/hello/issues/7"),
        ("https://git.example/api/v3", "https://git.example/octo-org/hello/issues/7"),
        ("https://api.octo.ghe.com", "https://octo.ghe.com/octo-org/hello/issues/7"),
    ],
)
def test_links_lead_to_the_site_of_the_api(base: str, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """github.com, a server of one's own and a subdomain of ghe.com each have their own pages."""
    assert github(monkeypatch, base).link("issues", "7") == link


def test_doctor_is_warned_of_a_token_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classic token and one that ends after an hour are warned of; a fine-grained one is not; without a token nothing is said."""
    url = "https://api.github.com"
    assert github(monkeypatch, url).warnings() == []
    assert "classic" in github(monkeypatch, url, "ghp_1").warnings()[0]
    assert "ends after an hour" in github(monkeypatch, url, "ghs_1").warnings()[0]
    provider = github(monkeypatch, url)
    monkeypatch.delenv("GITHUB_TOKEN")
    assert provider.warnings() == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"org": None}, "org: one of org and user is wanted"),
        ({"user": "b"}, "org: one of org and user is wanted"),
        ({"repo": "octo-org/hello"}, "repo: is 'octo-org/hello', where a name without its owner"),
        ({"api_version": "v3"}, "api_version: is 'v3'"),
        ({"token": "ghp_in_the_file"}, "token: a secret is given by reference only"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake names its key; a token written into the file is not repeated."""
    with pytest.raises(BadSetting) as caught:
        github(monkeypatch, "https://api.github.com", **settings)
    assert str(caught.value).startswith(f"recon.toml [providers.github] {message}")
    assert "ghp_in" not in str(caught.value)
