"""What becomes of corrections, through the command line: healed is said only where it was seen, and a consumer that does not act is named."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from recon.report import json_
from tests.acceptance.cli_project import Shell, Shop


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """One order is missing, one is gone there, one differs; told to a file, which heals nothing by itself."""
    shop = Shop.made(tmp_path)
    shop.drift()
    return Shell(shop, monkeypatch, capsys)


def heal(shell: Shell, *keys: str) -> None:
    """The consumer at work."""
    acts = {
        "o001": "insert into orders values ('o001', 'paid', 101)",
        "o002": "update orders set status = 'paid' where id = 'o002'",
        "o999": "delete from orders where id = 'o999'",
    }
    for key in keys:
        shell.shop.sql(acts[key])


def verified(shell: Shell, *words: str) -> dict[str, Any]:
    """The last run of a command that verifies, as JSON, held against the schema."""
    body = json.loads(shell("run", *words, "--verify", "--json").out)
    run: dict[str, Any] = body.get("runs", [body])[-1]
    valid(run)
    return run


def valid(run: dict[str, Any]) -> None:
    """By the schema that is shipped."""
    jsonschema.Draft202012Validator(json_.schema(), format_checker=jsonschema.FormatChecker()).validate(run)


def is_open(shell: Shell, key: str) -> bool:
    """Whether the ledger holds it to differ still."""
    story: dict[str, Any] = json.loads(shell("explain", "orders", key, "--json").out)
    return bool(story["open"])


def told(shell: Shell) -> list[str]:
    """The ids in the file."""
    return [json.loads(line)["id"] for line in (shell.shop.folder / "events.jsonl").read_text().splitlines()]


def test_a_run_that_verifies_says_what_its_corrections_came_to(shell: Shell) -> None:
    """Nothing was applied: all three persist, each with its delivery; no event is sent a second time, and the report says so in every form."""
    said = shell("run", "orders", "--verify")

    assert said.code == 0
    assert "PERSISTING 3 of 3 corrections that were delivered changed nothing" in said.out
    assert "o002: delivered 1 x, last " in said.out
    assert "to bus (event " in said.out
    assert "the consumer has not acted (1 night)" in said.out
    assert len(told(shell)) == 3
    run = json.loads(shell("runs", "--json").out)["runs"][0]["run"]
    for form in ("html", "md", "junit"):
        assert "the consumer has not acted" in shell("report", run, "-f", form, "-o", "-").out
    assert "the consumer has not acted" in shell("show", run).out


def test_what_was_healed_is_seen_to_be_and_closed(shell: Shell) -> None:
    """By itself `--verify` looks at what earlier runs delivered: two healed and are closed, one is not; then there is nothing left to say of the two."""
    assert shell("run", "orders").code == 0
    heal(shell, "o001", "o002")

    run = verified(shell)

    found = run["convergence"]
    assert (found["healed"], found["persisting"], found["unknown"], found["alone"]) == (2, 1, 0, True)
    assert found["healed_within"] > 0
    assert (run["resolved"], run["plan"]["events"]) == (2, 0)
    assert [is_open(shell, key) for key in ("o001", "o002", "o999")] == [False, False, True]
    heal(shell, "o999")
    assert shell("run", "orders").code == 0
    assert "no correction that was delivered is open" in shell("run", "--verify").err
    assert len(told(shell)) == 3


def test_the_next_night_says_it_by_itself(shell: Shell) -> None:
    """A whole night counts what healed and what did not, and says how long the healing took at most."""
    assert shell("run", "orders", "--slot", "2026-11-01T03:00:00Z").code == 0
    heal(shell, "o001", "o999")
    night = json.loads(shell("run", "orders", "--slot", "2026-11-02T03:00:00Z", "--json").out)
    valid(night)
    found = night["convergence"]
    assert (found["healed"], found["persisting"], found["raised"], found["alone"]) == (2, 1, 0, False)
    assert [(one["key"], one["deliveries"], one["publishers"], one["nights"]) for one in found["unheeded"]] == [("o002", 1, ["bus"], 2)]
    labels = [step["label"] for step in night["next"]]
    assert labels.count("healed") == labels.count("unheeded") == 1


def test_past_its_patience_a_correction_gets_a_new_id_and_the_report_says_to_whom_it_was_delivered(shell: Shell) -> None:
    """With `raise_after = 2`: two nights after the delivery the id changes, and the events that had no effect are named."""
    nights = [json.loads(shell("run", "orders", "--slot", f"2026-11-0{day}T03:00:00Z", "--json").out) for day in (1, 2, 3)]

    assert nights[0]["convergence"] is None
    assert [night["convergence"]["raised"] for night in nights[1:]] == [0, 3]
    worst = nights[2]["convergence"]["unheeded"][0]
    assert (worst["deliveries"], worst["nights"], worst["raised"]) == (2, 3, True)
    assert worst["events"][0] in told(shell)[:3]
    assert any(step["label"] == "told anew" and "3 corrections got a new id" in step["text"] for step in nights[2]["next"])
    assert len(set(told(shell))) == 6


def test_how_long_that_takes_is_a_setting_of_the_job(shell: Shell) -> None:
    """With `raise_after = 1` the next night tells it anew."""
    toml = (shell.shop.folder / "recon.toml").read_text()
    shell.shop.write("recon.toml", toml + "raise_after = 1\n")
    nights = [json.loads(shell("run", "orders", "--slot", f"2026-11-0{day}T03:00:00Z", "--json").out) for day in (1, 2)]
    assert nights[1]["convergence"]["raised"] == 3
    shell.shop.write("recon.toml", toml + "raise_after = 0\n")
    assert shell("run", "orders").code == 2


@pytest.mark.parametrize("body", [{"down": True}, {"orders": [], "refunds": []}], ids=["down", "404 to everything"])
def test_a_third_party_that_answers_nothing_is_no_healing(shell: Shell, body: dict[str, Any]) -> None:
    """Nothing was seen, so nothing is closed, and the command fails as a night would."""
    assert shell("run", "orders").code == 0
    heal(shell, "o001", "o002", "o999")
    shell.shop.third_party(**body)
    said = shell("run", "--verify")
    assert said.code == 75
    assert "HEALED" not in said.out
    assert all(is_open(shell, key) for key in ("o001", "o002", "o999"))


def test_what_has_changed_meanwhile_is_neither_healed_nor_held_against_the_consumer(shell: Shell) -> None:
    """The source moved on: that is another fact, and the next night's."""
    assert shell("run", "orders").code == 0
    shell.shop.sql("update orders set status = 'void' where id = 'o002'")
    heal(shell, "o001")
    found = verified(shell)["convergence"]
    assert (found["healed"], found["persisting"], found["unknown"]) == (1, 1, 1)


def test_the_declared_wait_comes_before_the_look(shell: Shell) -> None:
    """`verify_after` counts from the delivery."""
    shell.shop.write("recon.toml", (shell.shop.folder / "recon.toml").read_text() + 'verify_after = "1s"\n')
    run = verified(shell, "orders")
    assert 0.1 < run["stages"]["wait"] < 5


def test_verify_goes_with_no_dry_run(shell: Shell) -> None:
    """Nothing is delivered by one, so there is nothing to look at."""
    for words in (("--dry-run",), ("--id", "o001"), ("--due",)):
        said = shell("run", *([] if words == ("--due",) else ["orders"]), "--verify", *words)
        assert (said.code, "--verify looks at what a run has delivered" in said.err) == (2, True)


def test_explain_tells_the_whole_story_in_the_order_of_time(shell: Shell) -> None:
    """Found, acknowledged, told, sent again, looked at, healed: every moment once, the oldest first, and how long the healing took."""
    assert shell("run", "orders", "--slot", "2026-11-01T03:00:00Z").code == 0
    assert shell("ack", "orders", "o002", "--reason", "known").code == 0
    assert shell("unack", "orders", "o002").code == 0
    assert shell("run", "orders", "--slot", "2026-11-02T03:00:00Z").code == 0
    assert shell("replay", "--domain", "orders", "--key", "o002", "--to", "bus").code == 0
    heal(shell, "o002")
    assert shell("run", "--verify").code == 0

    story = json.loads(shell("explain", "orders", "o002", "--json").out)
    told = shell("explain", "orders", "o002").out

    words = ["seen", "enqueued", "sent", "acknowledged", "ended", "seen", "enqueued", "sent", "enqueued", "sent", "seen"]
    assert [moment["what"] for moment in story["timeline"]] == words
    assert [moment["at"] for moment in story["timeline"]] == sorted(moment["at"] for moment in story["timeline"])
    assert ", looking at what was corrected  changed, resolved, " in story["timeline"][-1]["text"]
    assert "after its correction was delivered" in told
    assert "for the second time" in told
    assert "replay " in told
    assert story["open"] is False
