"""The commands at work on a small real project: runs, what they leave to be read, and what a person decides."""

import io
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recon.commands.console import Console, HeartbeatProgress
from recon.progress import Silent
from tests.acceptance.cli_project import SETTINGS, TOKEN, Shell, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A project that works."""
    return Shop.made(tmp_path)


@pytest.fixture
def recon(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Command lines in that project."""
    return Shell(shop, monkeypatch, capsys)


def newest(recon: Shell, domain: str = "orders") -> str:
    """The id of the domain's last run."""
    run: str = json.loads(recon("runs", domain, "--json").out)["runs"][0]["run"]
    return run


def test_a_run_and_what_it_leaves(shop: Shop, recon: Shell) -> None:
    """A run emits its corrections once; runs, show, explain and report tell of it afterwards; each JSON is one document."""
    shop.drift()

    said = recon("run", "orders")

    assert said.code == 0
    assert re.search(r"^EMITTED 3 events", said.out, re.MULTILINE)
    assert "report" in said.out
    events = [json.loads(line) for line in shop.folder.joinpath("events.jsonl").read_text().splitlines()]
    assert sorted(event["type"] for event in events) == ["order.created", "order.deleted", "order.updated"]
    run = newest(recon)
    assert Path(shop.folder / "reports" / run / "index.html").is_file()
    listed = recon("runs").out
    assert run in listed
    assert "consistent as of" in listed
    shown = recon("show", run[:20], "--kind", "changed")
    assert "o002" in shown.out
    assert "o001" not in shown.out
    document = json.loads(recon("show", run, "--json", "--limit", "2").out)
    assert document["schema"] == "recon.run/1"
    assert len(document["items"]) == 2
    told = recon("explain", "orders", "o002").out
    assert told.startswith("orders o002: changed, open")
    assert "open -> paid" in told
    assert "order.updated to bus: sent" in told
    moments = json.loads(recon("explain", "orders", "o002", "--json").out)["timeline"]
    assert [moment["what"] for moment in moments] == ["seen", "enqueued", "sent"]
    assert recon("explain", "orders", "o005").out.startswith("orders o005: never found to differ")
    assert json.loads(recon("explain", "orders", "o002", "--json").out)["schema"] == "recon.ledger.story/1"


def test_a_key_that_was_held_before_it_was_confirmed(shop: Shop, recon: Shell) -> None:
    """explain tells of a difference in a held plan that no second look confirmed; an approval that is refused does not change since when it is held."""
    recon("run", "orders")
    shop.third_party(orders=[], refunds=[])
    assert recon("run", "orders").code == 4

    assert recon("explain", "orders", "o005").out.startswith("orders o005: extra at a first look, never confirmed\n  20")
    assert recon("approve", newest(recon), "--plan", "deadbeef", "--reason", "x").code == 4
    told = json.loads(recon("runs", "orders", "--json").out)
    (held,) = told["unfinished"]
    assert datetime.fromisoformat(held["since"]) == datetime.fromisoformat(told["runs"][0]["finished_at"])


def test_check_emits_nothing(shop: Shop, recon: Shell) -> None:
    """A check compares and confirms, and no event leaves; --exit-code answers 3 only where asked."""
    shop.drift()

    plain, asked, clean = recon("check", "orders"), recon("check", "orders", "--exit-code"), recon("check", "refunds", "--exit-code")

    assert (plain.code, asked.code, clean.code) == (0, 3, 0)
    assert "DRY RUN 3 discrepancies, nothing was emitted" in plain.out
    assert not shop.folder.joinpath("events.jsonl").exists()
    assert recon("publish").err.strip() == "nothing waits"


def test_quiet_prints_nothing_on_success(shop: Shop, recon: Shell) -> None:
    """-q is silent on both streams when all went well, and speaks when something did not."""
    well = recon("run", "--all", "-q")
    shop.write("shop.json", '{"down": true}')
    badly = recon("run", "orders", "-q")

    assert (well.code, well.out, well.err) == (0, "", "")
    assert badly.code == 75
    assert "503" in badly.out
    assert TOKEN not in badly.out


def test_a_process_says_nothing_of_its_own_end(shop: Shop) -> None:
    """-q is silent to the very end of the process: no library that is loaded by then has a word on stderr, which cron would mail."""
    done = subprocess.run(
        shop.command("run", "orders", "-q"),
        cwd=shop.folder,
        env=shop.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_json_of_several_domains_is_one_document(recon: Shell) -> None:
    """With --json stdout holds exactly one document: the run's own for one domain, all runs for several."""
    one, two = recon("run", "orders", "--json"), recon("run", "orders", "refunds", "--json")

    single = json.loads(one.out)
    assert (single["schema"], single["domain"], single["verdict"]) == ("recon.run/1", "orders", "clean")
    several = json.loads(two.out)
    assert (several["schema"], several["exit_code"]) == ("recon.runs/1", 0)
    assert [run["domain"] for run in several["runs"]] == ["orders", "refunds"]


def test_show_sql_runs_nothing(shop: Shop, recon: Shell) -> None:
    """--show-sql prints the statements of the job's store, and starts no run."""
    said = recon("run", "orders", "--show-sql")

    assert said.code == 0
    assert "-- orders, store main" in said.out
    assert re.search(r"SELECT .*orders\.total.*FROM orders", said.out, re.DOTALL)
    assert not shop.folder.joinpath(".recon/state.db").exists()


def test_one_item_by_id(shop: Shop, recon: Shell) -> None:
    """--id looks at one item alone."""
    shop.drift()

    said = recon("run", "orders", "--id", "o001", "--json")

    assert said.code == 0
    assert json.loads(said.out)["discrepancies"] == 1
    assert [json.loads(line)["subject"] for line in shop.folder.joinpath("events.jsonl").read_text().splitlines()] == ["order/o001"]


def test_every_report_format(shop: Shop, recon: Shell) -> None:
    """A report goes in each format to a private file, and to stdout as the same bytes."""
    shop.drift()
    recon("check", "orders")
    run = next((shop.folder / "reports").glob("*/index.html")).parent.name

    for form, word in [
        ("html", b"<!doctype"),
        ("json", b"o002"),
        ("jsonl", b"o002"),
        ("csv", b"o002"),
        ("md", b"o002"),
        ("junit", b"<testsuites"),
        ("text", b"o002"),
    ]:
        said = recon("report", run, "-f", form, "-o", f"out.{form}")
        written = shop.folder / f"out.{form}"
        assert said.code == 0
        assert word in written.read_bytes()[:8000].lower()
        assert written.stat().st_mode & 0o077 == 0
    printed = subprocess.run(
        shop.command("report", run, "-f", "csv"), cwd=shop.folder, env=shop.environment(), capture_output=True, timeout=60
    )
    assert printed.stdout == (shop.folder / "out.csv").read_bytes()


def test_held_approved_and_rejected(shop: Shop, recon: Shell) -> None:
    """A mass change is held with exit 4 and nothing emitted; reject ends it; a later one is approved by its checksum, once."""
    shop.write("recon.toml", f"{SETTINGS}guard = {{ floor = 1 }}\n")
    shop.third_party(orders=[{"id": "o000", "status": "paid", "total": 100}], refunds=[])

    held = recon("run", "orders")
    listed = recon("held")
    run = newest(recon)

    assert held.code == 4
    assert re.search(r"^HELD  orders", held.out, re.MULTILINE)
    assert not shop.folder.joinpath("events.jsonl").exists()
    assert run in listed.out
    assert f"recon reject {run}" in listed.out
    assert recon("reject", run, "--reason", "the shop was blank").code == 0
    assert recon("held").err.strip() == "no plan is held"
    assert recon("reject", run, "--reason", "again").code in {2, 4}

    assert recon("run", "orders").code == 4
    again = newest(recon)
    plan = json.loads(recon("held", "--json").out)["runs"][0]["plan"]
    wrong = recon("approve", again, "--plan", "0" * len(plan["checksum"]), "--reason", "x")
    assert wrong.code == 4
    assert not shop.folder.joinpath("events.jsonl").exists()
    right = recon("approve", again, "--plan", plan["checksum"], "--reason", "the shop has closed down")
    assert right.code == 0, right.err
    assert len(shop.folder.joinpath("events.jsonl").read_text().splitlines()) == 9
    assert recon("approve", again, "--plan", plan["checksum"], "--reason", "twice").code in {2, 4}
    assert len(shop.folder.joinpath("events.jsonl").read_text().splitlines()) == 9


def test_acknowledge_and_take_back(shop: Shop, recon: Shell) -> None:
    """An acknowledged discrepancy is counted apart and not emitted again; unack makes it count."""
    shop.drift()
    recon("run", "orders")

    assert recon("ack", "orders", "o002", "--until", "2999-01-01", "--reason", "known").code == 0
    silenced = json.loads(recon("run", "orders", "--json").out)
    assert (silenced["discrepancies"], silenced["acknowledged"]) == (2, 1)
    assert "acknowledged: known (" in recon("explain", "orders", "o002").out
    assert recon("unack", "orders", "o002").code == 0
    assert json.loads(recon("run", "orders", "--json").out)["discrepancies"] == 3


def test_due_runs_once_per_slot(shop: Shop, recon: Shell) -> None:
    """--due runs each scheduled domain for its latest slot, and a second time nothing; a broken domain is never silent."""
    first, second = recon("run", "--due"), recon("run", "--due")

    assert first.code == 0
    assert sorted(re.findall(r"^CLEAN  (\w+)", first.out, re.MULTILINE)) == ["orders", "refunds"]
    assert (second.code, second.out, second.err.strip()) == (0, "", "nothing is due")
    shop.write("jobs/bad.py", "x =\n")
    third = recon("run", "--due")
    assert third.code == 2
    assert "jobs/bad.py:1: SyntaxError" in third.out


def test_a_due_run_that_could_not_be_made_stays_due(shop: Shop, recon: Shell) -> None:
    """A slot whose run was incomplete waits for its next try, which is said, and then is run."""
    body = shop.folder.joinpath("shop.json").read_text()
    shop.write("shop.json", '{"down": true}')
    down = recon("run", "--due")
    shop.write("shop.json", body)

    early = recon("run", "--due")
    with sqlite3.connect(shop.folder / ".recon/state.db") as database:
        database.execute("update recon_slots set again_at = 0")
    database.close()
    up = recon("run", "--due")

    assert down.code == 75
    assert early.code == 0
    assert early.err.count("was incomplete (exit 75); it is tried again at") == 2
    assert up.code == 0
    assert len(re.findall(r"^CLEAN", up.out, re.MULTILINE)) == 2


def test_undelivered_events_wait_and_are_published_later(shop: Shop, recon: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination that is down ends the run with 6; recon publish says what waits, and delivers once it is back."""
    monkeypatch.setattr("recon.run.delivering.PUBLISH_SECONDS", 0.3)
    monkeypatch.setattr("recon.run.PUBLISH_SECONDS", 0.3)
    shop.drift()
    blocker = shop.folder / "events.jsonl"
    blocker.mkdir()

    down = recon("run", "orders", "--json")
    still = recon("publish", "orders")
    blocker.rmdir()
    monkeypatch.setattr("recon.run.PUBLISH_SECONDS", 90.0)
    up = recon("publish", "--json")

    assert down.code == 6
    assert still.code == 6
    assert "3 waiting" in still.out
    assert up.code == 0
    assert sum(one["confirmed"] for one in json.loads(up.out)["deliveries"]) == 3
    assert len(blocker.read_text().splitlines()) == 3


def test_the_schedule_in_other_words(recon: Shell) -> None:
    """The schedule is printed as crontab lines, systemd units and CronJobs for each scheduled domain."""
    for kind, word in (("cron", "0 3 * * *"), ("systemd", "OnCalendar="), ("k8s", "kind: CronJob")):
        said = recon("schedule", "print", kind)
        assert said.code == 0, said.err
        assert word in said.out
        assert "orders" in said.out


def test_the_service_starts_and_stops(shop: Shop) -> None:
    """The service runs in the foreground until SIGTERM, and then ends in order with 0."""
    process = subprocess.Popen(shop.command("schedule"), cwd=shop.folder, env=shop.environment(), stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    try:
        assert process.stderr is not None
        while line := process.stderr.readline():
            lines.append(line)
            if "orders" in line or "refunds" in line:
                break
        process.send_signal(signal.SIGTERM)
        lines.append(process.communicate(timeout=30)[1])
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0, lines
    assert lines[-1].strip().endswith("stopped")


def test_doctor_tells_what_is_well_and_what_is_not(shop: Shop, recon: Shell) -> None:
    """The doctor really fetches a page and an item, shows the provider's own warnings, and exits 0, 75 or 2 by the worst finding."""
    well = json.loads(recon("doctor", "orders", "--json").out)
    names = [(check["name"], check["level"]) for check in well["checks"]]

    assert well["exit_code"] == 0
    for name in ("settings", "state", "reports", "work", "disk", "job", "secrets", "store", "provider", "by id", "publisher", "schedule"):
        assert (name, "ok") in names, name
    assert ("provider", "warn") in names
    assert any("may write" in check["message"] for check in well["checks"])

    shop.write("shop.json", '{"down": true}')
    assert recon("doctor", "orders").code == 75
    shop.sql("alter table orders rename column total to sum")
    worse = recon("doctor")
    assert worse.code == 2
    assert re.search(r"FAIL  store", worse.out)
    assert re.search(r"\d+ that would fail", worse.err)


def test_doctor_without_a_domain_that_is_on(shop: Shop, recon: Shell) -> None:
    """A project with nothing switched on is told so; a broken job is a finding, not a crash."""
    for path in (shop.folder / "jobs").iterdir():
        path.unlink()
    shop.write("recon.toml", SETTINGS.partition("[jobs")[0])
    assert "no domain is on" in recon("doctor").out

    shop.write("jobs/bad.py", "x =\n")
    said = recon("doctor", "--json")
    assert said.code == 2
    assert any("SyntaxError" in check["message"] for check in json.loads(said.out)["checks"])


def test_the_environment_and_flags_name_the_project(shop: Shop, recon: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    """--project before or after the command, and RECON_PROJECT, work from any folder."""
    elsewhere = Shop(tmp_path_factory.mktemp("elsewhere"), dict(shop.environ))
    away = Shell(elsewhere, recon.monkeypatch, recon.capsys)

    assert away("list").code == 2
    assert away("--project", str(shop.folder), "list").code == 0
    assert away("list", "--project", str(shop.folder)).code == 0
    elsewhere.environ["RECON_PROJECT"] = str(shop.folder)
    assert "orders" in away("list").out


def test_a_heartbeat_says_where_a_run_stands() -> None:
    """Off a terminal a line tells stage, count and time, and says when nothing moves; notes come at once, masked and inert."""
    lines: list[str] = []
    with HeartbeatProgress("orders", every=0.05, write=lines.append) as progress:
        progress.stage("fetch")
        progress.advance(1200, 5000, "records")
        progress.note("waiting\x1b[31m postgresql://u:hunter2@h/x")
        until = time.monotonic() + 10
        while not any("nothing moved" in line for line in lines):
            assert time.monotonic() < until
            time.sleep(0.01)

    assert lines[0].startswith("orders: waiting")
    assert "\x1b" not in lines[0]
    assert "hunter2" not in lines[0]
    assert any(line.startswith("orders: fetch, 1,200 of 5,000 records, ") for line in lines[1:])


def test_progress_fits_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars on a terminal, which are gone afterwards; a heartbeat elsewhere; nothing with -q."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with Console(quiet=True).progress("orders") as silent:
        assert isinstance(silent, Silent)
    with Console().progress("orders") as beating:
        assert isinstance(beating, HeartbeatProgress)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Console().progress("orders") as bars:
        bars.stage("fetch [bold]")
        bars.advance(5, 10, "records")
        bars.advance(6, None, "records")
        bars.note("a [red]note[/red]")

    assert "fetch [bold]" in screen.getvalue()
    assert "a [red]note[/red]" in screen.getvalue()


def cut_off(shop: Shop, stage: str, *words: str) -> None:
    """A process on the host db7 that dies when its run has come to this stage."""
    child = Path(__file__).parents[1] / "integration/state/host.py"
    done = subprocess.run(
        [sys.executable, str(child), "db7", stage, *words], cwd=shop.folder, env=shop.environment(), capture_output=True, timeout=60
    )
    assert done.returncode == 137, done.stderr


def leases_end(shop: Shop) -> None:
    """What a minute of waiting does."""
    with sqlite3.connect(shop.folder / ".recon/state.db") as database:
        database.execute("update recon_leases set expires_at = 0")
    database.close()


def unfinished(recon: Shell) -> dict[str, Any]:
    """The newest unfinished run, as `recon runs --json` tells of it."""
    one: dict[str, Any] = json.loads(recon("runs", "--json").out)["unfinished"][0]
    return one


def test_runs_says_who_is_at_work_and_then_what_goes_on(shop: Shop, recon: Shell) -> None:
    """A process that died is at work until its lease ends; then the next run goes on with it, and the command that is named does."""
    shop.drift()
    cut_off(shop, "sealed", "run", "orders")

    before = unfinished(recon)
    leases_end(shop)
    after = unfinished(recon)
    said, shown = recon("runs").out, recon("show", after["run"])

    assert (before["state"], before["at_work"], before["command"]) == ("sealed", True, None)
    assert before["owner"].startswith("db7:")
    assert before["lease_until"] > before["since"]
    assert (after["at_work"], after["lease_until"], after["command"]) == (False, None, "recon run orders")
    assert "next: the next run of orders goes on with it\n        recon run orders\n" in said
    assert re.search(rf"^{after['run']} +orders .* sealed ", said, re.MULTILINE), "the state stands where a verdict will"
    assert "no discrepancy" not in shown.out
    assert "recon run orders" in shown.out
    assert json.loads(recon("show", after["run"], "--json").out)["outlook"] == after
    assert recon(*after["command"].split()[1:]).code == 0
    assert json.loads(recon("runs", "--json").out)["unfinished"] == []
    assert newest(recon) == after["run"]


@pytest.mark.parametrize(
    ("stage", "words", "says", "command"),
    [
        ("planned", ("run", "orders"), "goes on with it", "recon run orders"),
        ("emitted", ("run", "orders"), "delivers and reports, before its own work", "recon run orders"),
        ("diffed", ("check", "orders"), "the next check of orders goes on with it", "recon check orders"),
        ("diffed", ("run", "orders", "--id", "o001"), "looks at one item", "recon run orders --resume RUN"),
    ],
)
def test_each_sort_of_unfinished_run_has_its_way_on(
    shop: Shop, recon: Shell, *, stage: str, words: tuple[str, ...], says: str, command: str
) -> None:
    """The way on that is named is the one that brings that very run to its end."""
    shop.drift()
    cut_off(shop, stage, *words)
    leases_end(shop)

    one = unfinished(recon)

    assert says in one["next"]
    assert one["command"] == command.replace("RUN", one["run"])
    assert one["run"] in recon("show", one["run"]).out
    assert recon(*one["command"].split()[1:]).code == 0
    with sqlite3.connect(shop.folder / ".recon/state.db") as database:
        assert database.execute("select state from recon_runs where id = ?", [one["run"]]).fetchone() == ("done",)
    database.close()


def test_the_table_fits_a_terminal_of_80(shop: Shop, recon: Shell) -> None:
    """Where COLUMNS says 80, ids are cut and one column counts; what is listed still names the run."""
    shop.drift()
    recon("run", "orders")
    shop.environ["COLUMNS"] = "80"

    head, row = recon("runs").out.splitlines()

    assert max(len(head), len(row)) <= 80
    assert "found" in head
    assert recon("show", row.split()[0]).code == 0
