"""The demo: five nights for real over loopback, checked by itself, by its output and by what it leaves behind."""

import io
import os
import re
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from recon.demo import run_demo
from recon.demo.application import Application
from recon.demo.nights import Stage
from recon.demo.server import Response
from recon.demo.third_party import ThirdParty
from recon.demo.world import Outage, World
from recon.errors import BadRequest, ReconError

START = datetime(2026, 1, 5, 3, tzinfo=UTC)


class Played(NamedTuple):
    """The demo as it was played: its folder, what it told, and the seconds it took, by the clock and of the processor."""

    folder: Path
    text: str
    wall: float
    cpu: float


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The demo, played once by the command."""
    folder = tmp_path_factory.mktemp("demo") / "five nights"
    wall, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "recon", "demo", str(folder)], capture_output=True, text=True, timeout=150)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Played(folder, done.stdout, time.monotonic() - wall, cpu)


def test_five_nights_in_order(played: Played) -> None:
    """The command tells five nights: corrected, clean, an outage named by its window, held, approved; each checked."""
    text = played.text
    nights = re.split(r"\nNIGHT \d  ", text)[1:]
    assert len(nights) == 5
    for night, verdict in zip(nights, ("EMITTED", "CLEAN", "EMITTED", "HELD", "HELD"), strict=True):
        assert f"| {verdict}" in night
    assert text.count("order by order") == 4
    assert text.count("nothing reached the application") == 2
    assert re.search(r"9\d% of the missing were created between 02:10 and 02:40", nights[2])
    assert "the source holds nothing" in nights[3]
    assert "recon approve " in nights[4]
    assert "EMITTED" in nights[4].split("approves exactly this plan")[1]


def test_it_is_quick(played: Played) -> None:
    """It takes less than fifteen seconds of the processor, and of the clock too where nothing else keeps the machine busy."""
    told = re.search(r"Five nights in ([\d.]+) s", played.text)
    assert told is not None
    assert played.cpu < 15
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    assert float(told[1]) <= played.wall < (90 if busy else 15)


def test_it_ends_with_the_report(played: Played) -> None:
    """The last line is the path of a report that is there and links to every run."""
    folder, text = played.folder, played.text
    index = Path(text.rstrip().splitlines()[-1].removeprefix("Report: "))
    assert index == folder / "reports" / "index.html"
    page = index.read_text()
    runs = [path.parent.name for path in index.parent.glob("*/index.html")]
    assert len(runs) == 5
    assert all(run in page for run in runs)
    assert "What to do next" in text


def test_what_it_leaves_can_be_asked(played: Played) -> None:
    """The project it leaves is a project: its runs are listed, and one more run says that the shop is gone, with 75 or an end in words."""
    folder = played.folder
    done = subprocess.run([sys.executable, "-m", "recon", "runs", "--project", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert [word for word in ("clean", "held", "discrepancies") if word in done.stdout] == ["clean", "held", "discrepancies"]
    with closing(sqlite3.connect(folder / "app.db")) as database:
        (cancelled,) = database.execute("select count(*) from orders where status = 'cancelled'").fetchone()
    assert cancelled > 500, "the approved recall has reached the application's own store"


def test_secrets_are_nowhere_but_in_their_files(played: Played) -> None:
    """Neither the token nor the signing secret is in the output, the reports or the state."""
    folder, text = played.folder, played.text
    secrets = [(folder / "secrets" / name).read_text() for name in ("shop-token", "recon-hook")]
    for path in [p for p in folder.rglob("*") if p.is_file() and p.parent.name != "secrets"]:
        body = path.read_bytes()
        assert not any(secret.encode() in body for secret in secrets), path
    assert not any(secret in text for secret in secrets)


def test_a_handler_that_ignores_corrections_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's own check can fail: an application that takes corrections and does nothing ends it loudly."""
    real = Application._once

    def deaf(self: Application, name: str, sender: str, kind: str, order: dict[str, Any]) -> Response:
        return Response(body={"ok": True}) if sender == "recon" else real(self, name, sender, kind, order)

    monkeypatch.setattr(Application, "_once", deaf)
    with pytest.raises(ReconError, match="the two sides still differ: ord_"):
        run_demo(tmp_path / "demo", io.StringIO())


def test_a_held_night_that_sends_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party that does not go blank after all is not held, and the demo says so."""
    monkeypatch.setattr(ThirdParty, "pretend_empty", property(lambda self: False, lambda self, value: None), raising=False)
    with pytest.raises(ReconError, match="not held"):
        run_demo(tmp_path / "demo", io.StringIO())


def test_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    """A folder with something in it is refused, with the way out, and nothing is touched."""
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(BadRequest, match="not an empty folder"):
        run_demo(tmp_path, io.StringIO())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_drift_arises_from_the_network(tmp_path: Path) -> None:
    """With a perfect network there is no difference after a day; with losses there is; with an outage there is much more."""
    with World(tmp_path, start=START) as world:
        world.day(START + timedelta(days=1))
        assert world.differences() == []
        world.network.loss, world.network.late = 0.02, 0.05
        world.day(START + timedelta(days=2))
        ordinary = len(world.differences())
        end = START + timedelta(days=3)
        world.day(end, outage=Outage(start=end - timedelta(hours=10), end=end - timedelta(hours=4)))
        assert 0 < ordinary < 40 < len(world.differences())


def test_the_same_seed_tells_the_same_story(tmp_path: Path) -> None:
    """Two worlds of the same seed have the same orders and lose the same webhooks."""
    ends = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with World(tmp_path / name, start=START) as world:
            world.network.loss = 0.02
            world.day(START + timedelta(days=1))
            ends.append((world.third_party.records, world.differences()))
    assert ends[0] == ends[1]


def test_third_party_over_http() -> None:
    """Pages end with has_more false, a deletion between pages loses nobody, reads by id tell found, deleted and unknown apart."""
    with ThirdParty(page_size=2, token="t") as shop:
        for n in range(5):
            shop.create({"id": f"o{n}", "status": "open"})
        client = httpx.Client(base_url=shop.url, headers={"authorization": "Bearer t"}, trust_env=False)
        with client:
            first = client.get("orders?limit=2").json()
            shop.delete("o0")
            second = client.get("orders", params={"limit": 2, "cursor": first["next_cursor"]}).json()
            third = client.get("orders", params={"limit": 2, "cursor": second["next_cursor"]}).json()
            assert [r["id"] for page in (first, second, third) for r in page["data"]] == ["o0", "o1", "o2", "o3", "o4"]
            assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
            assert client.get("orders/o1").json()["status"] == "open"
            assert client.get("orders/o0").json() == {"id": "o0", "deleted": True}
            assert client.get("orders/nope").status_code == 404
            assert client.get("orders?cursor=x").status_code == 400
            assert client.get("orders", headers={"authorization": "Bearer no"}).status_code == 401


def test_third_party_throttles_and_fails_on_request() -> None:
    """Every third request is a 429 with Retry-After, and the seeded share are 500s."""
    with ThirdParty(throttle_every=3, error_share=0.3, seed=1) as shop, httpx.Client(trust_env=False) as client:
        answers = [client.get(shop.url + "orders", headers={"authorization": "Bearer demo-token"}) for _ in range(30)]
        assert [a.status_code for a in answers].count(429) == 10
        assert all(a.headers["retry-after"] == "1" for a in answers if a.status_code == 429)
        assert 0 < [a.status_code for a in answers].count(500) == shop.errors


def test_application_takes_only_signed_webhooks_and_each_once(tmp_path: Path) -> None:
    """An unsigned webhook is refused with 401, a repeated one is answered 409 and changes nothing."""
    with World(tmp_path, start=START) as world, httpx.Client(trust_env=False) as client:
        assert client.post(world.application.url, json={"type": "order.deleted", "data": {"id": "ord_1001"}}).status_code == 401
        before = len(world.application.rows())
        world.third_party.create(world.shop.history(START, 1)[0])
        ((_, _, _, name, body),) = world.network._heap
        assert [world.network._post(name, body), world.network._post(name, body)] == [200, 409]
        assert len(world.application.rows()) == before + 1
        assert world.network._post("other", b"{}") == 422


def test_stage_tells_inert_text(tmp_path: Path) -> None:
    """What the story says goes through the same door as everything else on a terminal: no escape gets out."""
    out = io.StringIO()
    Stage(world=None, project=None, state=None, clock=None, out=out).say("a\x1b[31mb")  # type: ignore[arg-type]
    assert "\x1b" not in out.getvalue()
