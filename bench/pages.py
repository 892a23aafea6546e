"""An unthrottled third party on loopback: 200,000 charges of about 2 KB in pages of 100, rendered once, then only sent.

Run as `python pages.py RECORDS`; prints its port, serves until its standard input closes.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

PAGE = 100
CREATED = 1_700_000_000


def charge(number: int) -> dict[str, object]:
    """A charge of the shape and size that payment APIs send."""
    return {
        "id": f"ch_{number:020d}",
        "object": "charge",
        "amount": 1000 + number % 90_000,
        "currency": ("usd", "eur", "jpy")[number % 3],
        "status": ("succeeded", "pending", "failed")[number % 7 % 3],
        "customer": f"cus_{number % 5000:014d}",
        "created": CREATED + number,
        "paid": number % 7 % 3 == 0,
        "metadata": {"order": f"{number:08d}", "channel": "web"},
        "billing_details": {
            "address": {"city": "Paris", "country": "FR", "line1": "1 rue de la Paix", "postal_code": "75002"},
            "name": "Jenny Rosen",
        },
        "outcome": {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 32,
            "type": "authorized",
        },
        "payment_method_details": {
            "card": {"brand": "visa", "checks": {"cvc_check": "pass"}, "exp_month": 8, "exp_year": 2027, "last4": "4242"},
            "type": "card",
        },
        "receipt_url": "https://pay.example/receipts/" + "x" * 180,
        "description": f"Order {number:08d}, " + "two lines of goods and their long names " * 24,
        "refunds": {"object": "list", "data": [], "has_more": False, "url": f"/v1/charges/ch_{number:020d}/refunds"},
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
