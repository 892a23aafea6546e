"""A fetch at the third party's own speed: 900 pages from servers that let 60 requests a second through, by three rules, and by half of what is declared.

Each is the `rest` provider over real connections, one page after another, with nothing known of the server but what stands in its table.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = 900
#: What the server lets through in a second, what is declared, and what it gives away at once before its limit is felt.
KINDS = {
    "window": (60, {"requests": 60, "per": "1s"}, 60),
    "leaky": (60, {"requests": 60, "per": "1s"}, 40),
    "points": (60, None, 100),
    "half": (30, {"requests": 60, "per": "1s"}, 30),
}


def fetch(port: int, rate: dict | None) -> tuple[int, float]:
    """The listing, whole: pages and seconds."""
    from providers.rest import Rest
    from recon.clock import SystemClock
    from recon.provider import Listing
    from recon.section import Section

    resource = {"path": "orders", "records": "data", "paging": {"rule": "last_id", "param": "after"}}
    table = {"base_url": f"http://127.0.0.1:{port}/v1/", "resources": {"orders": resource}, **({"rate": rate} if rate else {})}
    provider = Rest(Section(name="shop", file=Path("recon.toml"), path="providers.shop", table=table, folder=Path()))
    started = time.monotonic()
    pages = sum(1 for _ in provider.fetch(Listing(resource="orders", clock=SystemClock())))
    seconds = time.monotonic() - started
    provider.close()
    return pages, seconds


def one(kind: str) -> dict[str, float]:
    """One kind of limited server, from the first request to the last page."""
    allowed, rate, free = KINDS[kind]
    server = subprocess.Popen(
        [sys.executable, str(HERE / "limited.py"), kind, str(PAGES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin
    assert server.stdout
    try:
        pages, seconds = fetch(int(server.stdout.readline()), rate)
    finally:
        server.stdin.close()
        record = json.loads(server.stdout.readline() or "{}")
        server.wait(timeout=20)
    if pages != PAGES or record["let"] != PAGES:
        msg = f"{kind}: {pages} pages came, {record['let']} were let through, {PAGES} are there"
        raise RuntimeError(msg)
    later = record["last_three_quarters"]
    return {
        "allowed": allowed,
        "seconds": seconds,
        "ratio": seconds / (PAGES / allowed),
        "strict_ratio": seconds / ((PAGES - free) / allowed),
        "throttled": record["throttled"],
        "throttled_share": record["throttled"] / (PAGES + record["throttled"]),
        "later_ratio": later["seconds"] / (PAGES * 3 / 4 / allowed),
        "later_throttled": later["throttled"],
    }


def main() -> dict[str, object]:
    """Every kind in turn."""
    sys.path.insert(0, str(ROOT))
    return {"pages": PAGES, **{kind: one(kind) for kind in KINDS}}


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
