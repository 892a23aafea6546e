"""An unthrottled third party on loopback that takes ranges: records of about 1.7 KB, rendered once into a file and sent out of it by the kernel.

Run as `python ranged.py RECORDS FILE`; prints its port, serves until its standard input closes, and prints what it cost itself. `GET /v1/orders` lists
the newest first, 100 to a page; `after`, `created[gte]` and `created[lt]` are heeded. All records have one length, so that a page is a piece of the file.
"""

import json
import os
import random
import resource
import socket
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

PAGE = 100
SIZE = 1_700
WORDS = 250
YEARS = 2
#: What people write: words in no order, so that a page packs about as well as a real one does.
PROSE = " ".join(
    random.Random(1).choices([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("a", "en", "ir", "ou") for c in "dlmnrst"], k=400_000)
)
TERMS = "Delivered with the usual carrier; may be returned within thirty days, unopened, at the cost of the shop. " * 15
HEAD, MORE, LAST = b'{"object":"list","data":[', b'],"has_more":true}', b'],"has_more":false}'


def created(number: int, total: int, now: int) -> int:
    """When a record came into being, seconds since 1970: two years of them, the newest an hour old."""
    return now - 3600 - number * (YEARS * 365 * 86_400 // total)


def record(number: int, total: int, now: int) -> bytes:
    """Record `number`, counted from the newest: SIZE bytes with the comma behind it."""
    head = {
        "id": f"ord_{number:012d}",
        "object": "order",
        "created": created(number, total, now),
        "amount": 1000 + number * 37 % 90_000,
        "currency": ("usd", "eur", "jpy")[number % 3],
        "status": ("succeeded", "pending", "failed")[number % 7 % 3],
        "customer": {"id": f"cus_{number % 5000:08d}", "email": f"someone{number % 5000}@example.com", "country": "DE"},
        "lines": [
            {"sku": f"sku-{number * step % 991:04d}", "quantity": step, "price": {"value": f"{number % 97}.{step}0", "currency": "EUR"}}
            for step in (1, 2, 3, 4, 5)
        ],
        "metadata": {"channel": "web", "campaign": f"c{number % 31}", "note": None, "gift": number % 11 == 0},
    }
    text = json.dumps(head, separators=(",", ":"))[:-1] + ',"description":"'
    start = number * 7_919 % (len(PROSE) - SIZE)
    text += f'{PROSE[start : start + WORDS]}","terms":"'
    return f'{text}{TERMS[: SIZE - len(text) - 3]}"}},'.encode()


def render(total: int, file: Path, now: int) -> None:
    """Every record, the newest first."""
    with file.open("wb") as out:
        for start in range(0, total, 10_000):
            out.write(b"".join(record(n, total, now) for n in range(start, min(start + 10_000, total))))


def _received(connection: socket.socket) -> bytes:
    """A request; nothing where the other side is gone, killed or not."""
    try:
        return connection.recv(65_536)
    except ConnectionError:
        return b""


class Server:
    """One thread for each connection."""

    def __init__(self, total: int, file: Path, now: int) -> None:
        self._total, self._now = total, now
        self._step = YEARS * 365 * 86_400 // total
        self._file = os.open(file, os.O_RDONLY)

    def serve(self, connection: socket.socket) -> None:
        """Answers one request after another."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while request := _received(connection):
                target = urlsplit(request.split(b" ", 2)[1].decode())
                self._answer(connection, dict(parse_qsl(target.query)))

    def _answer(self, connection: socket.socket, query: dict[str, str]) -> None:
        newest = self._now - 3600
        # Record n is as old as n steps: those created before `lt` begin at `first`, those not before `gte` end at `last`.
        first = max(0, (newest - int(query["created[lt]"])) // self._step + 1) if "created[lt]" in query else 0
        last = min(self._total, max(0, (newest - int(query["created[gte]"])) // self._step + 1)) if "created[gte]" in query else self._total
        if "after" in query:
            first = int(query["after"][4:]) + 1
        count = max(0, min(PAGE, last - first))
        body, tail = max(0, count * SIZE - 1), MORE if first + count < last else LAST
        length = len(HEAD) + body + len(tail)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
        connection.sendall(head + HEAD, socket.MSG_MORE)
        sent = 0
        while sent < body:
            sent += os.sendfile(connection.fileno(), self._file, first * SIZE + sent, body - sent)
        connection.sendall(tail)


def main(total: int, file: Path) -> None:
    """Serves until standard input closes."""
    now = int(time.time())
    render(total, file, now)
    rendered = resource.getrusage(resource.RUSAGE_SELF)
    server = Server(total, file, now)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime - rendered.ru_utime - rendered.ru_stime
    print(json.dumps({"cpu": cpu}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
