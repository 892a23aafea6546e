"""Bad input, whole nights of it: the words are clear, the exit code is right, nothing is emitted that should not be, and the other domain is unharmed."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import recon
from tests.acceptance.shop import Outcome, Shop, listing, record
from tests.servers.fault_server import Answer, Asked, FaultServer, page


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Two domains that agree, 30 items each."""
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def unharmed(outcome: Outcome) -> None:
    """The other domain had its ordinary night, and nothing was emitted."""
    assert outcome.good["verdict"] == "clean"
    assert outcome.events == []
    assert "tok_canary_1234567890" not in outcome.said + json.dumps(outcome.bad)


def body(text: bytes, **headers: str) -> Answer:
    return Answer(headers={"Content-Type": "application/json", **headers}, pieces=[text])


def circle(asked: Asked) -> Answer:
    """The same page for ever."""
    return page({"data": [record(n) for n in range(10)], "has_more": True})


FIRST = json.dumps({"data": [record(n) for n in range(10)], "has_more": True}).encode()
INCOMPLETE = {
    "an HTML login page as 200": (
        Answer(headers={"Content-Type": "text/html"}, pieces=[b"<html><title>Sign in</title><form></form></html>"]),
        ["Sign in"],
    ),
    "a JSON error body as 200": (page({"error": {"code": "maintenance", "message": "back soon"}}), ["back soon", "data"]),
    "a truncated body": (body(FIRST[:-40]), ["cut", f"{len(FIRST) - 40}"]),
    "a body shorter than it said": (Answer(pieces=[FIRST], framing="cut"), ["byte"]),
    "a page repeated for ever": (circle, ["page 2", "circle"]),
    "a 404 for everything": (Answer(status=404), ["404"]),
    "no right to read": (Answer(status=403), ["403"]),
    "a listing without its marker": (page({"data": [record(1)]}), ["has_more"]),
    "a redirect elsewhere": (Answer(status=302, headers={"Location": "http://127.0.0.2:1/login"}), ["302"]),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_what_is_no_listing_is_never_compared(shop: Shop, case: str) -> None:
    """An answer that is no page ends the domain as incomplete, exit 75, with words that say what came instead."""
    answer, words = INCOMPLETE[case]
    shop.server.on("/bad", answer)

    night = shop.night()

    unharmed(night)
    assert (night.code, night.bad["verdict"]) == (75, "incomplete"), night.problem
    # Where a page of it came, that much is compared; both sides are the same, and nothing goes out.
    assert not (night.bad["plan"] or {}).get("events")
    for word in words:
        assert word in night.problem, night.problem


def test_a_next_page_on_another_host_is_not_followed(shop: Shop) -> None:
    """A `next` URL on an origin that was not declared gets neither a request nor the token."""
    toml = shop.folder / "recon.toml"
    rule = 'paging = { rule = "last_id", param = "after", more = "has_more" }'
    head, tail = toml.read_text().rsplit(rule, 1)
    toml.write_text(head + 'paging = { rule = "next_url", at = "next" }' + tail)
    with FaultServer() as elsewhere:
        elsewhere.on("*", page({"data": [], "next": None}))
        shop.server.on("/bad", page({"data": [record(1)], "next": f"{elsewhere.url}/bad?page=2"}))

        night = shop.night()

        assert elsewhere.requests == []
    unharmed(night)
    assert (night.code, night.bad["verdict"]) == (75, "incomplete")
    assert elsewhere.url.removeprefix("http://") in night.problem


def test_an_empty_list_beside_a_full_store_is_held(shop: Shop) -> None:
    """A third party that answers with nothing has its plan held: exit 4, the exact command in the message, nothing emitted."""
    shop.serve("bad", [])

    night = shop.night()

    unharmed(night)
    assert (night.code, night.bad["verdict"]) == (4, "held")
    assert any(guard["tripped"] and guard["name"] == "empty" for guard in night.bad["guards"])
    held = recon("held", cwd=shop.folder, env=shop.env)
    assert f"recon approve {night.bad['run']} --plan {night.bad['plan']['checksum'][:8]}" in held.stdout


def test_a_wiped_account_that_forbids_nothing_is_held_too(tmp_path: Path) -> None:
    """With guards too wide to notice, an item that the list leaves out and the API still has is dismissed, not deleted."""
    with FaultServer() as server:
        shop = Shop(tmp_path, server)
        server.on("/bad", listing(shop.records[:25]))

        night = shop.night()

        unharmed(night)
        assert night.bad["suspects"] == 5
        assert night.bad["extra"] == 0
        assert sum(night.bad["dismissed"].values()) == 5


def test_a_404_proves_nothing_when_known_items_are_not_found_either(shop: Shop) -> None:
    """Items missing from the list whose reads answer 404 stay unconfirmed while a known item is not found either: the night is to be tried again."""
    shop.server.on("/bad", listing(shop.records[:25]))
    for one in shop.records:
        shop.server.on(f"/bad/{one['id']}", Answer(status=404))

    night = shop.night()

    unharmed(night)
    assert night.bad["unconfirmed"] == 5
    assert (night.code, night.bad["verdict"], night.bad["state"]) == (75, "incomplete", "failed")
    assert "known item" in json.dumps(night.bad["unconfirmed_why"])


def test_a_true_deletion_is_corrected_once(shop: Shop) -> None:
    """Five items gone from list and reads, with a known item found beside them, become five events, and no more the next night."""
    shop.serve("bad", shop.records[:25])

    night = shop.night()
    assert [event["type"] for event in night.events] == ["bad.deleted"] * 5
    again = shop.night()

    assert night.good["verdict"] == "clean"
    assert {event["id"] for event in again.events} == {event["id"] for event in night.events}


POISON = {
    "a record without key": '{"status":"paid","amount":7}',
    "a key that is an object": '{"id":{"a":1},"status":"paid","amount":7}',
    "a lone surrogate": '{"id":"x1","status":"\\ud800","amount":7}',
    "a NUL": '{"id":"x1","status":"a\\u0000b","amount":7}',
    "NaN": '{"id":"x1","status":"paid","amount":NaN}',
    "2**70": f'{{"id":"x1","status":"paid","amount":{2**70}}}',
    "a fraction for an integer": '{"id":"x1","status":"paid","amount":1.5}',
    "100k nesting": '{"id":"x1","status":' + "[" * 100_000 + "]" * 100_000 + ',"amount":7}',
    "a number among the records": "5",
}


@pytest.mark.parametrize("case", POISON)
def test_an_unreadable_item_is_counted_and_the_run_goes_on(shop: Shop, case: str) -> None:
    """A poisonous item is counted as unreadable, shown, and neither missing nor extra; the other 30 are compared as ever, and clean is not said."""
    rest = ",".join(json.dumps(one) for one in shop.records)
    shop.server.on("/bad", body(f'{{"data":[{POISON[case]},{rest}],"has_more":false}}'.encode()))

    night = shop.night()

    unharmed(night)
    assert (night.code, night.bad["verdict"]) == (0, "discrepancies"), night.problem
    assert (night.bad["compared"], night.bad["equal"], night.bad["unreadable_items"]) == (30, 30, 1)
    assert (night.bad["missing"], night.bad["extra"], night.bad["changed"]) == (0, 0, 0)
    assert night.bad["unreadable"][0]["why"]


def test_a_key_that_comes_twice_is_set_aside(shop: Shop) -> None:
    """A key twice in the listing is counted as a duplicate and compared with nothing, whatever its copies say."""
    shop.serve("bad", [*shop.records, record(3, amount=999)])

    night = shop.night()

    unharmed(night)
    assert night.bad["duplicate_keys"] == 1
    assert night.bad["duplicates"] == [{"place": "provider", "key": "k03", "count": 2}]
    assert night.bad["compared"] == 29


@pytest.mark.parametrize(
    ("statement", "words"), [("drop table bad", ["bad", "table"]), ("alter table bad rename column amount to total", ["amount", "total"])]
)
def test_a_store_that_does_not_fit_the_job_is_named(shop: Shop, statement: str, words: list[str]) -> None:
    """A table or column that is not there ends the domain with exit 2, naming it and what is there instead."""
    shop.sql(statement)

    night = shop.night()

    unharmed(night)
    assert (night.code, night.bad["verdict"]) == (2, "failed")
    for word in words:
        assert word in night.problem, night.problem


def test_a_report_folder_that_cannot_be_written(shop: Shop) -> None:
    """The corrections go out and are counted; the missing report is said, with the way out, and exit 75."""
    (shop.folder / "reports").write_text("a file where the folder should be")
    shop.sql("delete from bad where id = 'k03'")

    night = shop.night("bad")

    assert night.code == 75
    assert [event["data"]["key"] for event in night.events] == ["k03"]
    assert "report" in night.problem
    assert str(shop.folder / "reports") in night.problem


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk(tmp_path: Path) -> None:
    """A disk that fills while pages arrive ends the run as incomplete with the folder and the way out; with room again it goes on to clean."""
    work = tmp_path / ".recon"
    work.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(work)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        with FaultServer() as server:
            shop = Shop(tmp_path, server)
            noise = os.urandom(1_500_000).hex()
            shop.serve("bad", [{**one, "noise": noise[n * 100_000 : (n + 1) * 100_000]} for n, one in enumerate(shop.records)])

            night = shop.night("bad")

            assert (night.code, night.bad["verdict"]) == (75, "incomplete"), night.problem
            assert str(work) in night.problem
            assert night.events == []
            subprocess.run(["mount", "-o", "remount,size=64m", str(work)], check=True)
            assert shop.night("bad").bad["verdict"] == "clean"
    finally:
        subprocess.run(["umount", str(work)], check=True)


def test_old_runs_leave_the_disk(shop: Shop) -> None:
    """Pages are kept for as long as the settings say, those of the last three nights always, and every night can still be shown."""
    nights = [shop.night("bad").bad["run"] for _ in range(5)]
    before = sorted(path.name for path in (shop.folder / ".recon/runs").iterdir())
    pruned = recon("prune", "bad", cwd=shop.folder, env={**shop.env, "RECON__RETENTION__FILES": "0s"})

    assert before == sorted(nights)
    assert pruned.returncode == 0, pruned.stderr
    kept = sorted(path.name for path in (shop.folder / ".recon/runs").iterdir())
    first = recon("show", nights[0], cwd=shop.folder, env=shop.env)

    assert kept == sorted(nights[2:])
    assert first.returncode == 0
