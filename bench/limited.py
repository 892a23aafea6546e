"""A third party that limits, on loopback: 60 requests a second by one of three rules. Run as `python limited.py RULE PAGES`; prints its port, serves until
its standard input closes, and then prints how many requests it let through and throttled.

- `window`: 60 in each second of the clock; 429 with Retry-After in whole seconds.
- `leaky`: a bucket that holds 40 and leaks 60 a second; 429 with Retry-After.
- `points`: 600 points a second into a bucket of 1,000, of which a request takes 10; 200 with THROTTLED, and the cost beside every answer.
- `half`: as `window`, with 30.
"""

import asyncio
import json
import sys
import time
from urllib.parse import parse_qs, urlsplit

RATE = 60
Verdict = tuple[bool, dict[str, str], dict]


class Window:
    """So many in each second of the clock."""

    def __init__(self, limit: int) -> None:
        self.limit, self.second, self.used = limit, 0, 0

    def ask(self) -> Verdict:
        second = int(time.time())
        if second != self.second:
            self.second, self.used = second, 0
        if self.used >= self.limit:
            return False, {"Retry-After": "1"}, {}
        self.used += 1
        return True, {}, {}


class Leaky:
    """Holds so much, lets so much out a second, and a request puts `cost` in."""

    def __init__(self, holds: float, leaks: float, cost: float = 1.0) -> None:
        self.holds, self.leaks, self.cost, self.level, self.last = holds, leaks, cost, 0.0, time.monotonic()

    def ask(self) -> Verdict:
        now = time.monotonic()
        self.level, self.last = max(0.0, self.level - (now - self.last) * self.leaks), now
        if self.level + self.cost > self.holds:
            return False, {"Retry-After": "1"}, {}
        self.level += self.cost
        return True, {}, {}


class Points(Leaky):
    """The same, told as Shopify's GraphQL does."""

    def ask(self) -> Verdict:
        let, _, _ = super().ask()
        status = {"maximumAvailable": self.holds, "currentlyAvailable": self.holds - self.level, "restoreRate": self.leaks}
        return let, {}, {"extensions": {"cost": {"requestedQueryCost": self.cost, "throttleStatus": status}}}


RULES = {
    "window": lambda: Window(RATE),
    "leaky": lambda: Leaky(40, RATE),
    "points": lambda: Points(1000, RATE * 10, 10),
    "half": lambda: Window(RATE // 2),
}


async def main(rule: str, pages: int) -> None:
    """Serves until standard input closes."""
    limit = RULES[rule]()
    let = throttled = 0
    quarter: tuple[float, int] = (0.0, 0)

    def answer(target: str) -> tuple[int, dict[str, str], dict]:
        nonlocal let, throttled, quarter
        passes, headers, beside = limit.ask()
        if not passes:
            throttled += 1
            if isinstance(limit, Points):
                return 200, headers, {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}], **beside}
            return 429, headers, {"error": {"code": "rate_limit", "message": "Too many requests"}}
        let += 1
        if let == pages // 4:
            quarter = time.monotonic(), throttled
        number = int(parse_qs(urlsplit(target).query).get("after", ["0"])[0]) + 1
        return 200, headers, {"data": [{"id": str(number)}], "has_more": number < pages, **beside}

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                status, headers, value = answer(request.split(b" ", 2)[1].decode())
                body = json.dumps(value).encode()
                lines = [
                    f"HTTP/1.1 {status} x",
                    f"Content-Length: {len(body)}",
                    "Content-Type: application/json",
                    *(f"{n}: {v}" for n, v in headers.items()),
                ]
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()
    later = {"seconds": time.monotonic() - quarter[0], "throttled": throttled - quarter[1]}
    print(json.dumps({"let": let, "throttled": throttled, "last_three_quarters": later}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
