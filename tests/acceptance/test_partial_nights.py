"""Nights whose fetch was partial: what was had is compared and corrected, nothing is taken for absent, and nobody is told that all is well."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import recon
from tests.acceptance.shop import Shop, listing, record
from tests.servers.fault_server import Answer, Asked, FaultServer, page

LOGIN = Answer(headers={"Content-Type": "text/html"}, pieces=[b"<html><title>Sign in</title></html>"])
RANGES = 'ranges = { at = "amount", low = "from", high = "to", form = "integer", start = 100 }\n'


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Two domains of thirty items, equal on both sides."""
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def broken_after(shop: Shop, records: list[dict[str, Any]], last: str) -> None:
    """The listing is honest up to the page that `last` asks for; there it is a login page, for ever."""
    shop.serve("bad", records)
    honest = listing(records)
    shop.server.on("/bad", lambda asked: LOGIN if asked.query.get("after") == last else honest(asked))


def drifted(shop: Shop) -> None:
    """k03 was paid back, k05 is new, k07 is gone at the shop; k25 was paid back on a page that never comes. The store knows none of it."""
    records = [record(n, **({"status": "refunded"} if n in {3, 25} else {})) for n in range(30) if n != 7]
    broken_after(shop, records, "k20")
    shop.sql("delete from bad where id = 'k05'")


def told(outcome: Any) -> set[tuple[str, str]]:
    """Key and operation of every event."""
    return {(event["data"]["key"], event["data"]["op"]) for event in outcome.events}


def test_what_was_had_is_corrected_and_nothing_is_taken_for_gone(shop: Shop) -> None:
    """Changed and missing items of the pages that came are told; no deletion, not even of what is really gone; exit 75, incomplete, why."""
    drifted(shop)

    night = shop.night()

    assert told(night) == {("k03", "updated"), ("k05", "created")}
    assert (night.code, night.bad["verdict"], night.bad["exit_code"]) == (75, "incomplete", 75)
    assert night.bad["coverage"]["whole"] is False
    assert "Sign in" in night.bad["coverage"]["proof"]
    assert night.bad["problem"]["kind"] == "PartialListing"
    assert (night.bad["extra"], night.bad["state"], night.bad["consistent_as_of"]) == (0, "done", None)
    assert night.bad["unjudged"] == 10
    assert night.good["verdict"] == "clean"


def test_the_report_says_so_in_every_form(shop: Shop) -> None:
    """Text, HTML, Markdown and JUnit say partial and why, and how many rows of the store were not judged."""
    drifted(shop)
    seen = recon("run", "bad", cwd=shop.folder, env=shop.env).stdout
    run = shop.night("bad").bad["run"]

    for form, words in (("md", "partial"), ("html", "Partial"), ("junit", "partial"), ("json", '"whole": false')):
        said = recon("report", run, "-f", form, "-o", f"out.{form}", cwd=shop.folder, env=shop.env)
        assert said.returncode == 0, said.stderr
        text = (shop.folder / f"out.{form}").read_text()
        assert words in text
    assert "of the part that was fetched: emitted, 2 events (2 accepted); 10 store rows not judged" in seen
    assert "10 store rows that the fetch did not come to" in seen
    assert "--resume" not in seen


def test_a_partial_night_is_no_measure_for_later_ones(shop: Shop) -> None:
    """It holds twenty of thirty records: neither is it held as shrunken, nor does the whole night after it count from there, and that one is clean."""
    assert shop.night().code == 0
    broken_after(shop, shop.records, "k19")
    partial = shop.night()
    assert (partial.bad["verdict"], [g["name"] for g in partial.bad["guards"] if g["tripped"]]) == ("incomplete", [])
    shop.serve("bad", shop.records)

    after = shop.night()

    assert (after.code, after.bad["verdict"]) == (0, "clean")
    assert told(partial) == set()


def test_an_open_deletion_is_neither_resolved_nor_told_again_by_it(shop: Shop) -> None:
    """What an earlier night found gone is open still: the pages lack it, which says nothing, and no event tells of it tonight."""
    shop.serve("bad", [one for one in shop.records if one["id"] != "k29"])
    first = shop.night()
    assert told(first) == {("k29", "deleted")}
    broken_after(shop, [one for one in shop.records if one["id"] != "k29"], "k19")

    second = shop.night()

    assert second.bad["verdict"] == "incomplete"
    assert (second.bad["extra"], second.bad["resolved"], second.bad["unconfirmed"]) == (0, 0, 1)
    assert second.bad["delivery"] is None or second.bad["delivery"]["confirmed"] == 0
    explained = json.loads(recon("explain", "bad", "k29", "--json", cwd=shop.folder, env=shop.env).stdout)
    assert explained["open"] is True


def test_the_other_way_round_nothing_is_taken_for_missing(shop: Shop) -> None:
    """Outbound: what the provider's pages show is judged, also what it should not have; what they do not come to is not said to lack."""
    drifted(shop)
    job = shop.folder / "jobs/bad.py"
    job.write_text(job.read_text().replace("settle=0,", 'settle=0, direction="outbound",'))

    night = shop.night()

    assert told(night) == {("k03", "updated"), ("k05", "deleted")}
    assert (night.code, night.bad["verdict"], night.bad["missing"]) == (75, "incomplete", 0)


@pytest.mark.parametrize(
    ("answer", "why", "way_out"),
    [(LOGIN, "Sign in", "mend what it says"), (page({"error": "no"}, 403), "-> 403", "check the credential (")],
    ids=["login page", "403"],
)
def test_a_part_that_cannot_be_had_leaves_the_others(shop: Shop, answer: Answer, why: str, way_out: str) -> None:
    """A list cut into ranges, one of which is not to be had: the others are compared, the certificate names the one, and the message the way out."""
    toml = shop.folder / "recon.toml"
    head, tail = toml.read_text().rsplit('get = "bad/', 1)
    toml.write_text(head + RANGES + 'get = "bad/' + tail)
    records = [record(n, amount=100 + 3_000 * n) for n in range(30)]
    shop.sql("update bad set amount = 100 + 3000 * cast(substr(id, 2) as integer)")
    shop.serve("bad", records)
    asked_for: set[tuple[str | None, str | None]] = set()

    def ranged(asked: Asked) -> Answer:
        low, high = asked.query.get("from"), asked.query.get("to")
        asked_for.add((low, high))
        if low is not None and int(low) <= 40_000 < int(high or 10**9):
            return answer
        return listing([one for one in records if int(low or 0) <= one["amount"] < int(high or 10**9)])(asked)

    shop.server.on("/bad", ranged)

    night = shop.night()

    coverage = night.bad["coverage"]
    assert (night.code, night.bad["verdict"], coverage["whole"]) == (75, "incomplete", False)
    assert coverage["planned"] > coverage["finished"] == coverage["planned"] - 1
    assert coverage["parts"][0]["ended"] is False
    assert why in coverage["proof"]
    assert night.bad["problem"]["hint"].startswith(way_out)
    assert night.bad["problem"]["hint"].endswith("; then: recon run bad")
    assert told(night) == set()
    assert 0 < night.bad["unjudged"] < 30
    assert len(asked_for) == coverage["planned"]


def test_a_stranger_s_listing_that_breaks_off_is_held(shop: Shop) -> None:
    """Another account's records, in part: none of them is known here, so a person decides, however few they are."""
    broken_after(shop, [{**one, "id": f"x{one['id']}"} for one in shop.records], "xk19")

    night = shop.night()

    assert (night.code, night.bad["verdict"], told(night)) == (4, "held", set())
    assert "none of the 20 records that were fetched is among the target's 30" in json.dumps(night.bad["guards"])


def test_a_held_partial_night_stays_partial_when_it_is_approved(shop: Shop) -> None:
    """What was approved goes out, no deletion with it, and the code says as after any partial night that it is not over."""
    broken_after(shop, [{**one, "id": f"x{one['id']}"} for one in shop.records], "xk19")
    held = shop.night("bad").bad

    approved = recon(
        *("approve", held["run"], "--plan", held["plan"]["checksum"], "--reason", "so it is", "--json"), cwd=shop.folder, env=shop.env
    )

    figures = json.loads(approved.stdout)
    assert (figures["verdict"], figures["state"], figures["coverage"]["whole"]) == ("incomplete", "done", False), approved.stderr
    assert figures["plan"]["events"] == figures["missing"] == 20
    assert figures["consistent_as_of"] is None
    assert (approved.returncode, figures["exit_code"]) == (75, 75)
    assert figures["problem"]["kind"] == "PartialListing"
