"""The gateway before the third party: who may come in, by a token that ends, and how often, by a limit that it tells."""

from typing import TYPE_CHECKING

from recon.fetch.transport import Request
from recon.testing.simulation.faults import Answer
from recon.testing.simulation.oracle.facts import Asked

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
WINDOW = 60.0
EARLY = 0.4
"""The share of tokens that end before the time they were given for."""


class Gateway:
    """One for the whole account: every process that asks counts for the same limit."""

    def __init__(self, universe: "Universe") -> None:
        self._universe = universe
        self._tokens: dict[str, float] = {}
        self._window = (0, 0)
        self._number = 0

    def token(self, process: int) -> Answer:
        """A new token, and how long it lives, if nothing comes between."""
        universe = self._universe
        life, name = universe.world.token_life, f"t{len(self._tokens) + 1}"
        ends = universe.time.at + life
        if universe.chance.happens("token ends early", EARLY, name):
            ends = universe.time.at + universe.chance.between(0.0, life, "ends early", name)
        self._tokens[name] = ends
        universe.facts.asked.append(Asked(at=universe.time.at, process=process, what="token"))
        return Answer(document={"access_token": name, "token_type": "Bearer", "expires_in": life})

    def refusal(self, request: Request, process: int) -> Answer | None:
        """What the gateway answers itself; None where the request may pass. What it says of its limit is in `told`."""
        universe = self._universe
        now = universe.time.at
        if universe.world.token_life:
            ends = self._tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
            if ends is None or now >= ends:
                universe.chance.reach("token died")
                universe.facts.asked.append(Asked(at=now, process=process, what="token refused"))
                return Answer.error(401, "the token has ended", fault="token ended")
        if not universe.world.allowed or universe.calm:
            return None
        window, count = self._window
        if window != int(now // WINDOW):
            window, count = int(now // WINDOW), 0
        # Others use the account as well, and nobody tells us beforehand.
        self._number += 1
        count += universe.chance.count(0, 3, "others", self._number)
        self._window = (window, count + 1)
        if count < universe.world.allowed:
            return None
        universe.chance.reach("over the limit")
        answer = Answer.error(429, "too many requests", fault="over the limit")
        answer.headers = {"retry-after": str(int(WINDOW - now % WINDOW) + 1)}
        return answer

    def told(self) -> dict[str, str]:
        """The headers that tell of the limit."""
        allowed = self._universe.world.allowed
        if not allowed or self._universe.calm:
            return {}
        left = max(0, allowed - self._window[1])
        resets = WINDOW - self._universe.time.at % WINDOW
        return {"ratelimit-limit": str(allowed), "ratelimit-remaining": str(left), "ratelimit-reset": str(int(resets) + 1)}
