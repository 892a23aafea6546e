"""A run that is killed goes on from its last page: nothing lost, nothing doubled, nothing asked for twice."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT, heed_interrupts, recon
from tests.acceptance.shop import PAGE, Shop, listing, record
from tests.servers.fault_server import Answer, Asked, FaultServer

RECORDS = 200


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop of 200 items, three of which the store lacks, whose pages take their time."""
    with FaultServer() as server:
        one = Shop(tmp_path, server)
        records = [record(number) for number in range(RECORDS)]
        database = sqlite3.connect(tmp_path / "shop.db")
        database.executemany("insert or ignore into bad values (?,?,?)", [(r["id"], r["status"], r["amount"]) for r in records])
        database.execute("delete from bad where id in ('k05', 'k77', 'k99')")
        database.commit()
        database.close()
        one.serve("bad", records)
        whole = listing(records)

        def slowly(asked: Asked) -> Answer:
            answer = whole(asked)
            return Answer(headers=answer.headers, pieces=[0.08, *answer.pieces])

        server.on("/bad", slowly)
        yield one


def start(shop: Shop) -> "subprocess.Popen[bytes]":
    env = {**os.environ, **shop.env, "PYTHONPATH": str(ROOT), "HOME": str(shop.folder)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "recon", "run", "bad"],
        cwd=shop.folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - no thread of this process is at work here
    )


def asked_pages(shop: Shop) -> int:
    return sum(asked.path == "/bad" for asked in shop.server.requests)


def wait_for_pages(shop: Shop, pages: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 30
    while asked_pages(shop) < pages:
        assert time.monotonic() < until, "the run never got so far"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)


def lease_expires(shop: Shop) -> None:
    """What a minute of waiting does: the dead holder's lease has run out."""
    database = sqlite3.connect(shop.folder / ".recon/state.db")
    database.execute("update recon_leases set expires_at = 0")
    database.commit()
    database.close()


@pytest.mark.timeout(120)
def test_three_kills_and_the_listing_is_fetched_once(shop: Shop) -> None:
    """Killed with -9 at three random pages, the run ends whole, resumed, with each of 20 pages asked for about once, and three events."""
    seed = int(os.environ.get("RECON_SEED", "20261123"))
    print(f"RECON_SEED={seed}")
    chance = random.Random(seed)
    for kill in range(3):
        process = start(shop)
        wait_for_pages(shop, asked_pages(shop) + chance.randint(2, 5), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"kill {kill}"
        lease_expires(shop)

    night = shop.night("bad")

    assert night.bad["coverage"]["whole"] is True
    assert night.bad["coverage"]["resumed"] is True
    assert night.bad["coverage"]["records"] == RECORDS
    assert sorted(event["data"]["key"] for event in night.events) == ["k05", "k77", "k99"]
    # Each kill can cost the page on its way and the one after it, and no more.
    assert asked_pages(shop) <= RECORDS // PAGE + 3 * 2


@pytest.mark.timeout(60)
def test_a_second_process_is_told_who_is_at_work(shop: Shop) -> None:
    """While one process works on a domain another one is refused, exit 75, with the holder and the way out."""
    process = start(shop)
    wait_for_pages(shop, 2, process)

    other = recon("run", "bad", cwd=shop.folder, env=shop.env)
    process.communicate(timeout=40)

    assert other.returncode == 75
    assert f":{process.pid} is at work" in other.stdout + other.stderr
    assert process.returncode == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_it_stops_at_once_and_the_next_goes_on(shop: Shop, number: signal.Signals, code: int) -> None:
    """A signal ends the run with its own exit code and frees the domain; the next run goes on where it stood."""
    process = start(shop)
    wait_for_pages(shop, 4, process)
    process.send_signal(number)
    process.communicate(timeout=20)

    night = shop.night("bad")

    assert process.returncode == code
    assert night.bad["coverage"]["resumed"] is True
    assert len(night.events) == 3, json.dumps(night.bad["problem"])
