"""The application's endpoint for the third party's webhooks, and how the third party signs them: an ordinary one, that knows nothing of recon.

It checks the signature over time and body, remembers the ids that it took for a while, and writes what the webhook says. One that goes by
versions writes nothing older over what is newer; one that knows none has the last one win.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from recon.clock import iso, parse_iso
from recon.testing.simulation.application import Application, words
from recon.testing.simulation.clock import DAY, moment, second
from recon.testing.simulation.oracle.facts import Applied
from recon.testing.simulation.oracle.history import Values
from recon.testing.simulation.third_party import Change

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

TOLERANCE = 300.0
"""So many seconds a signature may be off the receiver's clock."""
TOPICS = {"created": "placed", "updated": "changed", "deleted": "removed"}
"""The third party's own words for what happened to an item."""
WINDOW = {"versions": 30 * DAY, "last": 2 * DAY}
"""For so long an endpoint remembers the id of a webhook."""
ID, TOPIC, SIGNATURE = "x-shop-delivery", "x-shop-topic", "x-shop-signature"
FILE = "hook"
"""Where a host has the secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What became of a webhook: refused (then `why`), applied, older, seen, strange; and the status that it is answered."""

    verdict: str
    status: int = 200
    why: str = ""
    before: Values = None
    after: Values = None


class Seal:
    """The secret that webhooks are signed with. The third party changes it now and then, and the hosts of the reconciler learn of it later."""

    def __init__(self, universe: "Universe") -> None:
        self._universe = universe
        self._number = 1
        #: An earlier secret, and until when it is taken beside the newest.
        self._earlier: tuple[str, float] = ("", 0.0)

    @property
    def secret(self) -> str:
        """What the third party signs with now."""
        return f"known to the shop, number {self._number}"

    def taken(self) -> list[str]:
        """What the endpoint takes now."""
        earlier, until = self._earlier
        return [self.secret, earlier] if self._universe.time.at < until else [self.secret]

    def plan(self, night: int) -> None:
        """Perhaps another secret on this day; each host is told some hours later."""
        universe, chance = self._universe, self._universe.chance
        if not chance.happens("secret rotated", universe.world.rotates, night):
            return
        at = night * DAY + chance.between(0, DAY, "rotated", night)
        universe.time.later(at, lambda: self._rotate(night))
        for host in universe.hosts.names:
            delay = chance.between(600, 30 * 3600.0, "told of the secret", night, host)
            universe.time.later(at + delay, partial(self.tell, host))

    def _rotate(self, night: int) -> None:
        grace = self._universe.chance.one_of((0.0, 0.0, 6 * 3600.0), "grace", night)
        self._earlier = self.secret, self._universe.time.at + grace
        self._number += 1
        self._universe.story.tell("third party", f"signs with another secret; the endpoint takes the one before for {grace:.0f} s")

    def tell(self, host: str) -> None:
        """The host has the newest from now on."""
        file = self._universe.folder / host / FILE
        file.write_text(self.secret)
        file.chmod(0o600)


def signed(secret: str, stamp: int, body: bytes) -> str:
    """The header's value."""
    return f"t={stamp},v1={hmac.new(secret.encode(), f'{stamp}.'.encode() + body, hashlib.sha256).hexdigest()}"


def stamp_of(headers: Mapping[str, str]) -> int:
    """The time in the signature, in seconds since 1970; 0 where there is none."""
    first = headers.get(SIGNATURE, "").partition(",")[0].removeprefix("t=")
    return int(first) if first.isdigit() else 0


def fits(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the signature is that of these bytes."""
    return hmac.compare_digest(headers.get(SIGNATURE, ""), signed(secret, stamp_of(headers), body))


class Endpoint:
    """Where both come: the third party's own webhooks, and what is sent in their shape. `kind` is a key of `WINDOW`."""

    def __init__(self, universe: "Universe", kind: str) -> None:
        self._universe = universe
        self._kind = kind
        self._seen: dict[str, float] = {}
        #: Of each key when that happened which was taken last, and when it was said to be deleted: the row has gone with its version.
        self._newest: dict[tuple[str, str], float] = {}
        self._gone: dict[tuple[str, str], float] = {}

    def ordinary(self, change: Change) -> None:
        """The third party's own webhook arrives: a late one is another try, signed anew, under the same id."""
        universe = self._universe
        before = universe.parties[change.domain].history.at(change.key, change.at - 1e-6)
        op = "deleted" if change.state is None else "created" if before is None else "updated"
        topic = f"{change.domain}.{TOPICS[op]}"
        data = {"id": change.key, "deleted": True} if change.state is None else {"id": change.key, **change.state}
        body = json.dumps({"event": topic, "sent_at": iso(moment(change.at)), "data": data}).encode()
        stamp = int(moment(universe.time.at).timestamp())
        headers = {TOPIC: topic, ID: f"whk_{change.domain}_{change.version}", SIGNATURE: signed(universe.seal.secret, stamp, body)}
        took = self.take(headers, body)
        universe.story.tell("endpoint", f"{change.domain} {change.key} v{change.version} {took.verdict}")

    def refused(self, headers: Mapping[str, str], body: bytes) -> Took | None:
        """Why it is not from whom it says to be; None where it is."""
        if not any(fits(secret, headers, body) for secret in self._universe.seal.taken()):
            return Took(verdict="refused", status=400, why="signature")
        if abs(moment(self._universe.time.at).timestamp() - stamp_of(headers)) > TOLERANCE:
            return Took(verdict="refused", status=400, why="late")
        return None

    def take(self, headers: Mapping[str, str], body: bytes) -> Took:
        """Checks it, and makes of it what is to be made."""
        return self.refused(headers, body) or self.handle(headers, body)

    def handle(self, headers: Mapping[str, str], body: bytes) -> Took:
        """What the handler does once the signature was found right."""
        universe, id_, now = self._universe, headers[ID], self._universe.time.at
        event: dict[str, Any] = json.loads(body)
        domain, _, word = headers[TOPIC].partition(".")
        application, data = universe.applications[domain], event["data"]
        key, row = str(data["id"]), application.rows.get(str(data["id"]))
        if now - self._seen.get(id_, -self._window) < self._window:
            return Took(verdict="seen", before=row, after=row)
        if word not in TOPICS.values():
            # As handlers do: a topic that is none of theirs is thanked for.
            return Took(verdict="strange", why=f"no topic {headers[TOPIC]}", before=row, after=row)
        if word != "removed" and not isinstance(data["amount"], int):
            return Took(verdict="strange", status=500, why="TypeError", before=row, after=row)
        self._seen[id_] = now
        state: Values = None if word == "removed" else {name: value for name, value in data.items() if name != "id"}
        at = second(parse_iso(event["sent_at"]))
        if self._kind == "versions" and self._older(application, key, state, at):
            return Took(verdict="older", before=row, after=row)
        application.write(key, state)
        universe.facts.applied.append(Applied(at=now, domain=domain, id=id_, key=key, before=row, after=state, careful=False))
        universe.story.tell("endpoint", f"{key}: {words(row)} becomes {words(state)} by {id_[:12]}")
        return Took(verdict="applied", before=row, after=state)

    @property
    def _window(self) -> float:
        return WINDOW[self._kind]

    def _older(self, application: Application, key: str, state: Values, at: float) -> bool:
        """Whether something newer was here. A deletion is told without a version, so it goes by its time."""
        place = application.domain, key
        if state is None:
            if at < self._newest.get(place, float("-inf")):
                return True
            self._gone[place] = at
            application.told.pop(key, None)
        else:
            if state["version"] <= application.told.get(key, 0) or at < self._gone.get(place, float("-inf")):
                return True
            application.told[key] = state["version"]
        self._newest[place] = max(at, self._newest.get(place, at))
        return False
