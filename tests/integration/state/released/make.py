"""Makes the fixtures of a released version's state, by running that version: `python make.py CHECKOUT NAME`, with its commit checked out.

    git worktree add ../released c798062 && python tests/integration/state/released/make.py ../released 0.1.0

Real commands on a small project leave runs in every state, a held plan, events that wait and one that was refused, an open ledger,
an acknowledgement and slots; the state is then written as SQL text, `NAME.sqlite.sql` and `NAME.postgresql.sql`, without this machine's paths.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
sys.path.insert(0, str(ROOT))

from tests.integration.state.released.shop import DOMAINS, Shop, serving  # noqa: E402 - the project's own tests, found by the line above
from tests.servers.postgres import PostgresServer  # noqa: E402 - likewise

PLACE = "/srv/shop"
SLOTS = """
import sys
from datetime import UTC, datetime
from recon.state.database import State
from recon.state.slots import Slots
with State.open(sys.argv[1]) as state:
    slots = Slots(state)
    for day in (1, 2, 3):
        slots.due("orders", datetime(2026, 11, day, 3, tzinfo=UTC))
    slots.finish("orders", datetime(2026, 11, 1, 3, tzinfo=UTC), run=sys.argv[2])
    slots.finish("orders", datetime(2026, 11, 2, 3, tzinfo=UTC), state="skipped", reason="the one before was still at work")
"""


def nights(shop: Shop, checkout: Path, url: str) -> None:
    """Everything that happens, each command a process of the released version on the host db7."""

    def recon(stage: str, *words: str) -> str:
        child = [sys.executable, "-P", str(HERE.parent / "host.py"), "db7", stage, *words]
        env = {**shop.environment(url), "RECON_CHECKOUT": str(checkout)}
        done = subprocess.run(child, cwd=shop.folder, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode == 137) is (stage != "-"), f"{words}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout

    def held(domain: str) -> dict[str, str]:
        body = json.loads(recon("-", "run", domain, "--json"))
        assert body["verdict"] == "held", body
        return {"run": body["run"], "plan": body["plan"]["checksum"][:12]}

    recon("-", "run", "orders")
    shop.mend("orders", "o002")
    recon("-", "run", "orders")
    recon("-", "ack", "orders", "o001", "--reason", "known, fixed in 4.2")
    recon("-", "run", "orders")
    for stage in ("planned", "fetching", "sealed", "diffed", "confirming", "emitted"):
        recon(stage, "run", stage)
    held("held")
    plan = held("approved")
    recon("approved", "approve", plan["run"], "--plan", plan["plan"], "--reason", "seen in the dashboard")
    recon("-", "reject", held("rejected")["run"], "--reason", "a wrong filter")
    held("expired")
    time.sleep(1.1)  # The time that its plan has.
    recon("-", "held")
    shop.down("failed")
    recon("-", "run", "failed")
    recon("-", "run", "waiting")
    run = json.loads(recon("-", "runs", "orders", "--json"))["runs"][0]["run"]
    subprocess.run([sys.executable, "-P", "-c", SLOTS, url, run], env={**os.environ, "PYTHONPATH": str(checkout)}, check=True)


def cleaned(text: str, shop: Shop) -> str:
    """Without the place where it was made."""
    return text.replace(str(shop.folder), PLACE)


def main(checkout: Path, name: str) -> None:
    """Both files."""
    head = f"-- The state of nightly-recon {name}, made {datetime.now(UTC):%Y-%m-%d} by running it: see make.py.\n"
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        shop = Shop(Path(folder).resolve() / "shop", server)
        file = shop.folder / "state.db"
        nights(shop, checkout, f"sqlite:///{file}")
        with sqlite3.connect(file) as database:
            text = "\n".join(database.iterdump())
        database.close()
        (HERE / f"{name}.sqlite.sql").write_text(head + cleaned(text, shop) + "\n")
    with tempfile.TemporaryDirectory() as folder, serving() as server, PostgresServer() as postgres:
        shop = Shop(Path(folder).resolve() / "shop", server)
        url = postgres.new_database("released")
        nights(shop, checkout, url)
        words = [postgres.binary("pg_dump"), "--inserts", "--no-owner", "--no-privileges", "--no-comments", url]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        # What psql alone understands, and what only says how it was dumped.
        text = re.sub(r"^(\\.*|--.*|SET .*|)\n", "", text, flags=re.MULTILINE)
        (HERE / f"{name}.postgresql.sql").write_text(head + cleaned(text, shop))
    print(f"{len(DOMAINS)} domains, {name}.sqlite.sql and {name}.postgresql.sql")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
