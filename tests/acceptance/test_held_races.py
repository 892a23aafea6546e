"""Two processes at once over one limit, one plan, one domain: whatever the order, no more goes out than one of them alone may send."""

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.acceptance.commands import figures, recon
from tests.acceptance.house import settings
from tests.acceptance.shop import Shop, listing
from tests.servers.fault_server import Answer, Asked, FaultServer, page

WAIT_SECONDS = 60.0


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """Thirty items in each of two domains, and the state in a database of each kind."""
    with FaultServer() as server:
        one = Shop(tmp_path, server)
        if request.param == "postgresql":
            one.env = {**one.env, "RECON_STATE_URL": request.getfixturevalue("database")}
        yield one


def lines(shop: Shop) -> int:
    """How many events came out."""
    file = shop.folder / "events.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_two_domains_at_once_stay_below_the_total_together(shop: Shop) -> None:
    """Ten events each under a limit of fifteen, both at their second look at the same time: one goes out, the other is held for the total."""
    settings(shop, "[guards]\ntotal = 15")
    both = threading.Barrier(2)

    def meet(_: Asked) -> Answer:
        both.wait(WAIT_SECONDS)
        return page(shop.records[29])

    for name in ("good", "bad"):
        shop.sql(f"delete from {name} where id >= 'k20'")
        shop.server.on(f"/{name}/k29", meet)

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(recon, "run", name, "--json", cwd=shop.folder, env=shop.env) for name in ("good", "bad")]
    ended = [figures(run.result()) for run in runs]

    assert sorted(one["verdict"] for one in ended) == ["discrepancies", "held"]
    assert lines(shop) == 10
    held = next(one for one in ended if one["verdict"] == "held")
    assert [guard["name"] for guard in held["guards"] if guard["tripped"]] == ["total"]
    told = [step["text"] for step in held["next"]]
    assert "total: 20 events of all domains in 24 hours > 15 (10 went out, 10 now)" in told
    assert any("total = 20 under [guards] in recon.toml (now 15)" in text for text in told)

    shop.server.on(f"/{held['domain']}/k29", page(shop.records[29]))
    approve = next(step["text"] for step in held["next"] if step["label"] == "approve")
    done = recon(*approve.replace('"…"', "seen").split()[1:], cwd=shop.folder, env=shop.env)
    assert (done.returncode, lines(shop)) == (0, 20)


def test_two_approvals_at_once_send_it_once(shop: Shop) -> None:
    """One of two people gets the plan out; the other is told that somebody is at it, or was, and nothing is sent twice."""
    settings(shop, "[jobs.bad.guard]\nfloor = 3")
    shop.serve("bad", shop.records[:20])
    night = shop.night("bad")
    one_ended = threading.Event()

    def slow(_: Asked) -> Answer:
        one_ended.wait(WAIT_SECONDS)
        return Answer(status=404)

    shop.server.on("/bad/k20", slow)
    words = ("approve", night.bad["run"], "--plan", night.bad["plan"]["checksum"][:8], "--reason", "seen", "--json")
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(recon, *words, cwd=shop.folder, env=shop.env) for _ in range(2)]
        wait(both, timeout=WAIT_SECONDS, return_when=FIRST_COMPLETED)
        one_ended.set()
    codes = sorted(done.result().returncode for done in both)
    loser = next(done.result() for done in both if done.result().returncode)

    assert codes[0] == 0
    assert codes[1] in {4, 75}
    assert "is at work" in loser.stderr or "nothing to decide" in loser.stderr
    assert lines(shop) == 10


def test_an_approval_waits_for_a_run_at_work_and_comes_too_late_after_it(shop: Shop) -> None:
    """While a newer run of the domain looks, an approval is refused for now; once it has looked, for good, with the newer run's name."""
    settings(shop, "[jobs.bad.guard]\nfloor = 3")
    shop.serve("bad", shop.records[:20])
    night = shop.night("bad")
    looking, go_on = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Answer:
        looking.set()
        go_on.wait(WAIT_SECONDS)
        return listing(shop.records[:19])(asked)

    shop.server.on("/bad", slow)
    words = ("approve", night.bad["run"], "--plan", night.bad["plan"]["checksum"][:8], "--reason", "seen")
    with ThreadPoolExecutor(1) as pool:
        newer = pool.submit(recon, "run", "bad", "--json", cwd=shop.folder, env=shop.env)
        assert looking.wait(WAIT_SECONDS)
        early = recon(*words, cwd=shop.folder, env=shop.env)
        go_on.set()
    late = recon(*words, cwd=shop.folder, env=shop.env)
    run = figures(newer.result())

    assert (early.returncode, late.returncode) == (75, 4)
    assert run["verdict"] == "held"
    assert f"run {run['run']} has looked since" in late.stderr
    assert f"recon show {run['run']}" in late.stderr
    assert lines(shop) == 0
