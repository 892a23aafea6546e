"""The way a webhook takes from the third party to the application: some are lost, doubled, late or overtaken. Every delivery is a real POST."""

import heapq
import http.client
import random
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from recon.publishers.signing import key_of, sign

RETRIES_AFTER = (timedelta(seconds=5), timedelta(seconds=25))
"""How long after a failure the third party tries again before it gives the webhook up."""


class Network:
    """Carries signed webhooks to one URL, in the order of their arrival, which is not always that of their departure.

    Faults are seeded shares: `loss` never arrive, `doubled` arrive twice, `late` take minutes to hours. `told` counts what happened.
    The clock here is the story's: `now` is where it stands, and `advance` delivers all that arrives until then.
    """

    def __init__(self, url: str, secret: str, *, seed: int, now: datetime) -> None:
        self.loss = 0.0
        self.doubled = 0.0
        self.late = 0.0
        self.now = now
        self.told: Counter[str] = Counter()
        self._key = key_of(secret)
        self._random = random.Random(seed)  # noqa: S311 - reproducible faults, no secret
        self._heap: list[tuple[datetime, int, int, str, bytes]] = []
        self._sent = 0
        self._serial = 0
        parts = urlsplit(url)
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)

    def send(self, kind: str, record: dict[str, Any]) -> None:
        """A webhook sets out."""
        self._sent += 1
        name = f"msg_{self._sent:06d}"
        body = msgspec.json.encode({"type": kind, "data": record})
        if self._random.random() < self.loss:
            self.told["lost"] += 1
            return
        self._depart(name, body, self._delay())
        if self._random.random() < self.doubled:
            self.told["doubled"] += 1
            self._depart(name, body, self._delay() + timedelta(seconds=self._random.uniform(1, 300)))

    def advance(self, until: datetime) -> None:
        """Deliver everything that arrives by `until`."""
        while self._heap and self._heap[0][0] <= until:
            at, _, tries, name, body = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            status = self._post(name, body)
            if 200 <= status < 300 or status == 409:
                self.told["delivered"] += 1
            elif tries < len(RETRIES_AFTER):
                self._push(at + RETRIES_AFTER[tries], tries + 1, name, body)
            else:
                self.told["given up"] += 1
        self.now = max(self.now, until)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _delay(self) -> timedelta:
        if self._random.random() < self.late:
            self.told["late"] += 1
            return timedelta(minutes=self._random.uniform(5, 240))
        return timedelta(seconds=self._random.uniform(0.2, 4))

    def _depart(self, name: str, body: bytes, delay: timedelta) -> None:
        self._push(self.now + delay, 0, name, body)

    def _push(self, at: datetime, tries: int, name: str, body: bytes) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (at, self._serial, tries, name, body))

    def _post(self, name: str, body: bytes) -> int:
        # Signed with the real time, as the application checks it against its own clock.
        stamp = int(time.time())
        headers = {"webhook-id": name, "webhook-timestamp": str(stamp), "content-type": "application/json"}
        headers["webhook-signature"] = sign([self._key], message_id=name, timestamp=stamp, body=body)
        self._connection.request("POST", self._path, body=body, headers=headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status
