"""A whole night against an unthrottled server, beside a bare httpx loop that only parses each page.

Ours does everything: fetch, spool, seal, read the store, compare, report. The bare loop keeps nothing.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import in_turn, middle, ratios
from pages import CREATED, charge

HERE = Path(__file__).parent
ROOT = HERE.parent

LOOP = """
import sys, httpx
base, after, seen = f"http://127.0.0.1:{sys.argv[1]}/v1/charges", None, 0
with httpx.Client() as client:
    while True:
        page = client.get(base, params={"limit": 100} | ({"starting_after": after} if after else {})).json()
        seen += len(page["data"])
        if not page["has_more"]:
            break
        after = page["data"][-1]["id"]
assert seen == int(sys.argv[2]), seen
"""

PROJECT = """
[providers.stripe]
base_url = "http://127.0.0.1:{port}/v1/"
api_key = {{ file = "key" }}
rate = {{ requests = 1000000, per = "1s" }}
[stores.main]
url = "sqlite:///shop.db"
[publishers.out]
type = "file"
path = "events.jsonl"
[jobs.charges]
publisher = "out"
"""

JOB = '''
"""Charges as the shop keeps them."""
from recon import Field, Job, Money, Table, Timestamp
charges = Job(
    domain="charges", provider="stripe", resource="charges", event="charge", settle=0,
    table=Table(name="charges"),
    fields=(
        Field("amount", Money(currency="currency")), Field("currency"), Field("status"), Field("customer"),
        Field("created", Timestamp(provider="epoch_s", store="epoch_s")), Field("paid", "boolean"), Field("metadata", "json"),
    ),
)
'''


def project(folder: Path, port: int, total: int) -> None:
    """A project whose store lacks nothing but what a night may find: 0.05% missing, 0.05% changed."""
    (folder / "jobs").mkdir(parents=True)
    (folder / "recon.toml").write_text(PROJECT.format(port=port))
    (folder / "jobs/charges.py").write_text(JOB)
    (folder / "key").write_text("rk_test_bench\n")
    database = sqlite3.connect(folder / "shop.db")
    database.execute(
        "create table charges (id text primary key, amount integer, currency text, status text, customer text, created integer, paid integer, metadata text)"
    )
    rows = []
    for number in range(total):
        if number % 2000 == 7:
            continue
        one = charge(number)
        status = "pending" if number % 2000 == 9 else one["status"]
        rows.append(
            (one["id"], one["amount"], one["currency"], status, one["customer"], CREATED + number, one["paid"], json.dumps(one["metadata"]))
        )
    database.executemany("insert into charges values (?,?,?,?,?,?,?,?)", rows)
    database.commit()
    database.close()


def main(total: int, runs: int) -> dict[str, object]:
    """Measures both in turn; returns medians and pairwise ratios."""
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as scratch:
        server = subprocess.Popen(
            [sys.executable, str(HERE / "pages.py"), str(total)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout
            port = int(server.stdout.readline())
            folder = Path(scratch) / "shop"
            project(folder, port, total)
            costs = in_turn(
                {
                    "loop": [sys.executable, "-c", LOOP, str(port), str(total)],
                    "night": [sys.executable, "-P", "-m", "recon", "--project", str(folder), "run", "charges", "--dry-run", "-q"],
                },
                runs=runs,
                env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": scratch},
            )
        finally:
            if server.stdin:
                server.stdin.close()
            server.wait(timeout=20)
    return {
        "records": total,
        "loop": vars(middle(costs["loop"])),
        "night": vars(middle(costs["night"])),
        "cpu_ratio": ratios(costs["night"], costs["loop"], "cpu"),
        "wall_ratio": ratios(costs["night"], costs["loop"], "wall"),
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, int(sys.argv[2]) if len(sys.argv) > 2 else 7), indent=1))
