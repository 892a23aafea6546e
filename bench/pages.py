"""An unthrottled third party on loopback: charges of the shape Stripe documents (about 2 KB) in pages of 100, rendered once, then only sent.

Run as `python pages.py RECORDS`; prints its port, serves until its standard input closes.
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE = 100
CREATED = 1_700_000_000


SAMPLE = json.loads((Path(__file__).parent.parent / "tests/jobs/samples/stripe_charges.json").read_text())[0]


def charge(number: int) -> dict[str, object]:
    """A charge of the shape that Stripe documents, with what differs from one to the next."""
    return SAMPLE | {
        "id": f"ch_{number:020d}",
        "amount": 1000 + number % 90_000,
        "currency": ("usd", "eur", "jpy")[number % 3],
        "status": ("succeeded", "pending", "failed")[number % 7 % 3],
        "customer": f"cus_{number % 5000:014d}",
        "created": CREATED + number,
        "paid": number % 7 % 3 == 0,
        "metadata": {"order": f"{number:08d}", "channel": "web"},
        "payment_intent": f"pi_{number:020d}",
        "balance_transaction": f"txn_{number:020d}",
    }


def render(total: int) -> list[bytes]:
    """Every response, headers and all."""
    pages = []
    for start in range(0, total, PAGE):
        body = json.dumps(
            {
                "object": "list",
                "url": "/v1/charges",
                "has_more": start + PAGE < total,
                "data": [charge(n) for n in range(start, min(start + PAGE, total))],
            }
        ).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        pages.append(head + body)
    return pages


async def main(total: int) -> None:
    """Serves until standard input closes."""
    pages = render(total)
    single = {"head": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"}

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                target = urlsplit(request.split(b" ", 2)[1].decode())
                last = target.path.rsplit("/", 1)[-1]
                if last.startswith("ch_"):
                    body = json.dumps(charge(int(last[3:]))).encode()
                    writer.write(single["head"] % len(body) + body)
                else:
                    after = parse_qs(target.query).get("starting_after")
                    writer.write(pages[(int(after[0][3:]) + 1) // PAGE if after else 0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
