"""GitHub: https://docs.github.com/en/rest (the pages cited below were read 2026-11)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from recon import Bearer, HTTPProvider, LinkHeader, Rate, Resource, Secret, Section
from recon.errors import MissingSecret, Refused
from recon.fetch.page import Page
from recon.http_provider import Action, Rule
from recon.job import Scalar
from recon.native import Native
from recon.provider import Listing

API_VERSION = "2022-11-28"
"""The version that every supported GitHub Enterprise Server speaks too; kept until March 2028 at least
(https://github.blog/changelog/2026-03-12-rest-api-version-2026-03-10-is-now-available)."""

NONE: Mapping[str, Scalar] = {}
ORDER: Mapping[str, Scalar] = {"sort": "created", "direction": "asc"}
TOO_FAST = frozenset({403, 429})
CLASSIC = (
    "the token is a classic one (ghp_…), which reaches all that its user may, in every organisation; "
    "a fine-grained one (github_pat_…) with read permission for what the jobs compare is enough"
)
SHORT = "an installation token (ghs_…) ends after an hour; give it by { command = … }, which is run again when it is refused"
MOVED = (
    "the repository or its owner was renamed or moved: open {page}, which leads to the new name, and write that into the provider's table"
)
HIDDEN = "GitHub answers 404 also for what the token may not see: check the names, and which repositories the token was given"


def _listed(
    path: str,
    key: str,
    get: str | None,
    link: str,
    *,
    without: str | None = None,
    passes: int | None = None,
    etags: bool = False,
    params: Mapping[str, Scalar] = NONE,
) -> Resource:
    """A list of GitHub's.

    Each is the array itself, at most 100 items a page, and the Link header leads on; where all fits on one page there is no such header
    (https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api). Sorted by creation, oldest first, where the list can
    be: what is new comes at the end then, and no page shifts for it.
    """
    return Resource(
        path=path,
        records="",
        key=key,
        get=get,
        paging=LinkHeader(end="single"),
        params={"per_page": 100, **params},
        link=link,
        without=without,
        passes=passes,
        etags=etags,
    )


class GitHub(HTTPProvider):
    """A repository's issues and pull requests, and the repositories and members of their owner.

    Settings beside HTTPProvider's own: `org` or `user`, whose they are; `repo`, for `issues` and `pulls`; `token` (by default
    `{ env = "GITHUB_TOKEN" }`), best a fine-grained one that may only read; `api_version`. GitHub Enterprise Server is
    `base_url = "https://HOST/api/v3/"`.

    - `issues`, by `number`: pull requests stand in this list too, told by `pull_request`; they are left out
      (https://docs.github.com/en/rest/issues/issues#list-repository-issues). A deleted issue answers 410, a transferred one 301.
    - `pulls`, by `number`; none can be deleted. The list leaves out some fields of the single read (`merged`, `mergeable`): compare `merged_at`.
    - `repositories`, by `id`, which a rename leaves alone. Of a `user` only the public ones
      (https://docs.github.com/en/rest/repos/repos#list-repositories-for-a-user).
    - `members` of an `org`, by `id`; who is no member himself sees the public ones only
      (https://docs.github.com/en/rest/orgs/members#list-organization-members). The order is not documented, so the list is passed over twice.
      There is no read by id that answers the same record: the second look is a second listing.

    Limits (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api): 5,000 requests an hour to a token, 900 points a
    minute (a read is one), and one request at a time, as GitHub asks for. A 404 may mean no access: absence is only believed beside a known
    item that is found with the same token. The members' second pass asks by ETag for what has changed since the first: a 304 costs nothing of
    the hour's requests (https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api). Nothing of an earlier night is
    ever asked for so: its page would be that night's, and the certificate would no longer say what was fetched.
    """

    base_url = "https://api.github.com/"
    rate = (Rate(requests=5000, per=3600.0), Rate(requests=900, per=60.0))
    concurrency = 1
    # A classic token's rights stand in every answer (https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps).
    scope_headers: Mapping[str, str] = {"rights": "X-OAuth-Scopes"}
    # Retry-After first, then the reset where nothing remains, else a minute at least
    # (https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api).
    classify = (
        Rule(statuses=TOO_FAST, header=("Retry-After", None), do=Action.THROTTLE),
        Rule(statuses=TOO_FAST, header=("X-RateLimit-Remaining", "0"), do=Action.THROTTLE, wait=60.0),
        Rule(statuses=TOO_FAST, body="secondary rate limit", do=Action.THROTTLE, wait=60.0),
        Rule(statuses=frozenset({429}), do=Action.THROTTLE, wait=60.0),
    )

    def configure(self, section: Section) -> None:
        """Takes the owner, the repository, the token and the version."""
        self.token = section.reference("token", {"env": "GITHUB_TOKEN"})
        if "auth" in section.table:
            raise section.bad("auth", "GitHub takes a token", hint='write token = { env = "GITHUB_TOKEN" }')
        self.auth = Bearer(self.token)
        self.api_version: str = section.text("api_version", API_VERSION)
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", self.api_version):
            raise section.bad("api_version", f"is {self.api_version!r}, not of the form {API_VERSION}")
        self.headers = {**self.headers, "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": self.api_version}
        self.org: str | None = section.text("org", None)
        user: str | None = section.text("user", None)
        if (self.org is None) == (user is None):
            raise section.bad("org", "one of org and user is wanted: whose repositories these are", hint='write org = "octo-org"')
        self.owner = self.org or user or ""
        self.repo: str | None = section.text("repo", None)
        for key, name in (("org", self.org), ("user", user), ("repo", self.repo)):
            if name is not None and not re.fullmatch(r"[\w.-]+", name):
                raise section.bad(key, f"is {name!r}, where a name without its owner is wanted")
        self.web = _web(self.base_url)
        self.catalogue = self._catalogue()

    def _catalogue(self) -> Mapping[str, Resource]:
        owner = quote(self.owner)
        # A list of repositories in which only some are asked for by `type` is none of all.
        kind = "all" if self.org else "owner"
        path = f"orgs/{owner}/repos" if self.org else f"users/{owner}/repos"
        found = {
            "repositories": _listed(
                path, "id", "repositories/{key}", f"{self.web}/{owner}?tab=repositories&q={{key}}", params={"type": kind, **ORDER}
            )
        }
        if self.org:
            found["members"] = _listed(
                f"orgs/{owner}/members", "id", None, f"{self.web}/orgs/{owner}/people?query={{key}}", passes=2, etags=True
            )
        if self.repo:
            at, web = f"repos/{owner}/{quote(self.repo)}", f"{self.web}/{owner}/{quote(self.repo)}"
            # Without state=all the closed ones are left out.
            found["issues"] = _listed(
                f"{at}/issues",
                "number",
                f"{at}/issues/{{key}}",
                f"{web}/issues/{{key}}",
                without="pull_request",
                params={"state": "all", **ORDER},
            )
            found["pulls"] = _listed(
                f"{at}/pulls", "number", f"{at}/pulls/{{key}}", f"{web}/pull/{{key}}", params={"state": "all", **ORDER}
            )
        return found

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """As of HTTPProvider; a redirect and a 404 say what they mean at GitHub."""
        try:
            yield from super().fetch(listing)
        except Refused as error:
            if error.status in (301, 302, 307, 308):
                error.hint = MOVED.format(page="/".join([self.web, self.owner, *([self.repo] if self.repo else [])]))
            elif error.status == 404:
                error.hint = HIDDEN
            raise

    def deleted(self, resource: Resource, body: Any) -> bool:
        """A repository that another owner has now is none of this one's: it is read by id wherever it is."""
        if resource is not self.catalogue.get("repositories") or not isinstance(body, dict):
            return False
        owner = body.get("owner")
        login = owner.get("login") if isinstance(owner, dict) else None
        return isinstance(login, str) and login.lower() != self.owner.lower()

    def native(self, section: Section) -> Native:
        """GitHub's own webhooks, for a publisher with `render = "native"`; they take no settings of their own."""
        from ._github_webhooks import GitHubWebhooks  # noqa: PLC0415 - only who sends webhooks needs it; a copy of this file does without

        del section
        return GitHubWebhooks(self)

    def warnings(self) -> list[str]:
        """What `recon doctor` should say about the token, from what it is called; empty where there is none yet."""
        try:
            text = (self.token if isinstance(self.token, Secret) else self.token.get()).reveal()
        except MissingSecret:
            return []
        return [words for prefix, words in (("ghp_", CLASSIC), ("ghs_", SHORT)) if text.startswith(prefix)]


def _web(base_url: str) -> str:
    """The site for people that goes with an API: github.com, a server of one's own, or a subdomain of ghe.com."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}"
