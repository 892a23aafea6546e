"""GitHub's own webhooks, for corrections that go to an endpoint of GitHub's (https://docs.github.com/en/webhooks; the pages cited here were read 2026-11)."""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from recon.clock import Clock
from recon.fetch.page import Lookup
from recon.native import JSON, Happened, NoWebhook, Webhook, whole

if TYPE_CHECKING:
    from .github import GitHub

EVENTS: Mapping[str, tuple[str, str]] = {
    "issues": ("issues", "issue"),
    "pulls": ("pull_request", "pull_request"),
    "repositories": ("repository", "repository"),
}
"""By resource the event's name, and where the item stands in the body (https://docs.github.com/en/webhooks/webhook-events-and-payloads)."""

ACTIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "issues": {"created": ["opened"], "updated": ["closed", "reopened", "edited"], "deleted": ["deleted"]},
    "pulls": {"created": ["opened"], "updated": ["closed", "reopened", "converted_to_draft", "ready_for_review", "edited"]},
    "repositories": {
        "created": ["created"],
        "updated": ["archived", "unarchived", "privatized", "publicized", "renamed", "edited"],
        "deleted": ["deleted"],
    },
}
FRESH_SECONDS = 600.0
"""For so long the repository is believed to be as it was read."""

TOLD = {"issues": ("title", "body"), "pulls": ("title", "body"), "repositories": ("description", "homepage", "default_branch")}
"""What `changes` tells of in an edit."""


class GitHubWebhooks:
    """GitHub's webhooks: the event's body, `X-GitHub-Event`, and `X-Hub-Signature-256`.

    `X-GitHub-Delivery` is the corrective event's id. What only GitHub knows is left out: `X-GitHub-Hook-ID`, `installation`, who did it.
    `sender` stands in every body of GitHub's, so it is whoever closed or merged the item, else its author, else the repository's owner.
    """

    name = "GitHub"
    several = False
    headers = frozenset({"x-github-event", "x-github-delivery", "x-hub-signature", "x-hub-signature-256"})
    shape = re.compile(r"[a-z_]+\.[a-z_]+")
    example = "issues.edited"

    def __init__(self, provider: "GitHub") -> None:
        self._provider = provider
        self._repository: tuple[float, bytes] | None = None

    def topics(self, resource: str) -> Mapping[str, Sequence[str]]:
        """As of `recon.native.Native`; an event and its action."""
        event = EVENTS.get(resource, (resource, ""))[0]
        return {op: [f"{event}.{action}" for action in actions] for op, actions in ACTIONS.get(resource, {}).items()}

    def read(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """The items, by number or id."""
        return self._provider.get_many(resource, keys, clock=clock)

    def render(self, happened: Happened, *, clock: Clock) -> Webhook:
        """The event. Raises Refused where the repository, which stands in it, cannot be read."""
        topic = happened.topic or self._topic(happened)
        if topic is None or happened.resource not in EVENTS:
            msg = f"GitHub has no event that tells of {happened.resource} {happened.op} with what can be read by its key"
            raise NoWebhook(msg)
        event, _, action = topic.partition(".")
        body = self._body(happened, action, clock)
        headers = {"content-type": JSON, "x-github-event": event, "x-github-delivery": happened.id}
        return Webhook(id=happened.id, topic=topic, body=whole(body), headers=headers)

    def sign(self, webhook: Webhook, secrets: Sequence[str], *, now: datetime) -> Mapping[str, str]:
        """`sha256=` and the HMAC in hexadecimal; GitHub still sends the older SHA-1 one beside it.

        https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        """
        del now
        key = secrets[0].encode()
        return {
            "x-hub-signature-256": f"sha256={hmac.new(key, webhook.body, hashlib.sha256).hexdigest()}",
            "x-hub-signature": f"sha1={hmac.new(key, webhook.body, hashlib.sha1).hexdigest()}",
        }

    def notes(self, resource: str) -> Sequence[str]:
        """What stands for the one who did it, which nobody knows."""
        del resource
        return ["sender is who closed or merged it, else its author"]

    @staticmethod
    def _topic(happened: Happened) -> str | None:
        actions = ACTIONS.get(happened.resource, {}).get(happened.op)
        if not actions:
            return None
        action = _action(happened) if happened.op == "updated" else actions[0]
        return f"{EVENTS[happened.resource][0]}.{action}"

    def _body(self, happened: Happened, action: str, clock: Clock) -> dict[str, Any]:
        item = EVENTS[happened.resource][1]
        now = happened.now or self._gone(happened)
        told: Any = msgspec.Raw(happened.record) if happened.record is not None else now
        changes = _changes(happened, action)
        body: dict[str, Any] = {"action": action, **({"number": now["number"]} if item == "pull_request" else {}), item: told}
        if changes:
            body["changes"] = changes
        around = now
        if item != "repository":
            raw = self._read_repository(clock)
            body["repository"], around = msgspec.Raw(raw), msgspec.json.decode(raw)
        organization = around.get("organization")
        if self._provider.org and isinstance(organization, dict):
            body["organization"] = organization
        senders = (now.get("merged_by"), now.get("closed_by") if action == "closed" else None, now.get("user"), around.get("owner"))
        body["sender"] = next((one for one in senders if isinstance(one, dict)), None)
        return body

    def _gone(self, happened: Happened) -> dict[str, Any]:
        """What is known of an item that cannot be read any more: its number or id, and where it was."""
        if happened.resource == "repositories":
            return {"id": int(happened.key)}
        place = f"repos/{self._provider.owner}/{self._provider.repo}"
        api = self._provider.base_url.rstrip("/")
        page = f"{self._provider.web}/{self._provider.owner}/{self._provider.repo}/issues/{happened.key}"
        url = f"{api}/{place}/issues/{happened.key}"
        return {"number": int(happened.key), "url": url, "repository_url": f"{api}/{place}", "html_url": page}

    def _read_repository(self, clock: Clock) -> bytes:
        """The repository, read again now and then."""
        if self._repository is not None and clock.monotonic() - self._repository[0] < FRESH_SECONDS:
            return self._repository[1]
        session = self._provider.session
        path = f"repos/{quote(self._provider.owner)}/{quote(self._provider.repo or '')}"
        answer = session.get(session.origins.resolve(path), clock=clock)
        if answer.status != 200:
            raise session.refusal(answer, f"the repository {self._provider.owner}/{self._provider.repo}")
        self._repository = clock.monotonic(), answer.body
        return answer.body


def _action(happened: Happened) -> str:
    """What GitHub would call this change, by what differs."""
    now, changed = happened.now, happened.changed
    if happened.resource == "repositories":
        visible = "privatized" if now.get("private") else "publicized"
        known = {"archived": "archived" if now.get("archived") else "unarchived", "private": visible, "visibility": visible}
        known |= dict.fromkeys(("name", "full_name"), "renamed")
    else:
        known = {"state": "closed" if now.get("state") == "closed" else "reopened"}
        if happened.resource == "pulls":
            known |= {"merged_at": "closed", "draft": "converted_to_draft" if now.get("draft") else "ready_for_review"}
    return next((action for path, action in known.items() if path in changed), "edited")


def _changes(happened: Happened, action: str) -> Mapping[str, Any]:
    """What an edit changed, with what the application had; of a rename the old name."""
    if action == "renamed" and "name" in happened.before:
        return {"repository": {"name": {"from": happened.before["name"]}}}
    if action != "edited":
        return {}
    return {path: {"from": happened.before[path]} for path in TOLD[happened.resource] if path in happened.before}
