"""What a person mistypes: told with file, line and the way out, exit code 2, and the other domains go on."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from recon.commands.console import Console
from recon.commands.outcome import most_severe
from recon.commands.several import Several
from recon.errors import StateError
from recon.report.figures import RunFigures
from recon.secret import MASK
from tests.acceptance.cli_project import JOB, SETTINGS, TOKEN, Shell, Shop
from tests.acceptance.commands import heed_interrupts


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A project that works."""
    return Shop.made(tmp_path)


@pytest.fixture
def recon(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Command lines in that project."""
    return Shell(shop, monkeypatch, capsys)


def test_outside_a_project(tmp_path: Path, recon: Shell) -> None:
    """Without a project a command says how to get one."""
    (tmp_path / "recon.toml").unlink()

    said = recon("list")

    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("error: no recon.toml in ")
    assert "hint: recon init shop" in said.err


def test_an_unknown_key(shop: Shop, recon: Shell) -> None:
    """An unknown key stops every command with its line and the near miss."""
    shop.write("recon.toml", SETTINGS.replace('name = "shop"', 'nmae = "shop"'))

    said = recon("run", "orders")

    assert (said.code, said.out) == (2, "")
    assert said.err == "error: recon.toml:2 [project] nmae: is not a setting\n  hint: did you mean 'name'?\n"


def test_broken_toml(shop: Shop, recon: Shell) -> None:
    """A file that is no TOML is told by line and column."""
    shop.write("recon.toml", "[project]\nname = shop\n")

    said = recon("list")

    assert said.code == 2
    assert said.err.startswith("error: recon.toml:2:8: not TOML: ")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("jobs/bad.py", "from recon import Job\nx = Jbo()\n", "jobs/bad.py:2: NameError: name 'Jbo' is not defined"),
        ("jobs/bad.py", JOB.format(name="bad").replace('resource="bad"', 'resource="order"'), "names resource 'order'"),
        (
            "jobs/bad.py",
            JOB.format(name="bad").replace('store="main"', "").replace("settle=0", 'settle="soon"'),
            "settle: not a duration: 'soon'",
        ),
    ],
    ids=["does not load", "unknown resource", "cannot be"],
)
def test_a_broken_job_leaves_others_unharmed(shop: Shop, recon: Shell, name: str, text: str, words: str) -> None:
    """--all runs what can run; the broken domain is told with its place, repeated in the summary, and the exit code is 2."""
    shop.write(
        "providers/shop.py",
        shop.folder.joinpath("providers/shop.py")
        .read_text()
        .replace("class Shop:", 'class Shop:\n    catalogue = {"orders": 1, "refunds": 1}'),
    )
    shop.write(name, text)

    said = recon("run", "--all")

    assert said.code == 2
    assert re.search(r"^CLEAN  orders", said.out, re.MULTILINE)
    assert re.search(r"^CLEAN  refunds", said.out, re.MULTILINE)
    assert words in said.out
    summary = said.err.partition("3 domains, exit code 2")[2]
    assert words in summary
    assert "hint: " in summary or "orders" in summary


def test_a_broken_file_shows_its_source_line(shop: Shop, recon: Shell) -> None:
    """The line at fault and the traceback from the file on are shown, without the loader's own frames."""
    shop.write("jobs/bad.py", "import json\n\nx = json.loads('{')\n")

    said = recon("run", "bad")

    assert said.code == 2
    assert "x = json.loads('{')" in said.err
    assert "importlib" not in said.err


@pytest.mark.parametrize("words", [("run", "orders"), ("check", "orders"), ("doctor", "orders")], ids=" ".join)
def test_settings_for_no_job_are_told_of_with_the_job_that_runs_without_them(shop: Shop, recon: Shell, words: tuple[str, ...]) -> None:
    """A table [jobs.ordres] is told of by each command of the job that it may be meant for, with its line and the near miss."""
    shop.write("recon.toml", f"{SETTINGS}[jobs.ordres]\nsettle = 5\n")

    said = recon(*words)

    told = said.out + said.err
    assert "[jobs.ordres]: no file declares a job 'ordres', so what it says reaches nobody" in told
    assert "did you mean [jobs.orders]?" in told
    assert said.code in {0, 1}, told


def test_a_duplicate_name(shop: Shop, recon: Shell) -> None:
    """Two files with one domain: both are named, exit code 2, the other domain runs."""
    shop.write("jobs/again.py", JOB.format(name="orders"))

    said = recon("run", "orders", "refunds", "--json")

    assert said.code == 2
    document = json.loads(said.out)
    problems = {one["domain"]: one["problem"] for one in document["runs"]}
    assert problems["orders"]["kind"] == "DuplicateName"
    assert "jobs/again.py and in jobs/orders.py" in problems["orders"]["message"]
    assert problems["refunds"] is None


def test_the_listing_marks_what_is_broken(shop: Shop, recon: Shell) -> None:
    """The listing goes on past a broken file, and shows its problem and the way out."""
    shop.write("jobs/bad.py", "x =\n")

    said = recon("list")

    assert said.code == 0
    assert re.search(r"^job +bad +broken +jobs/bad\.py$", said.out, re.MULTILINE)
    assert "! jobs/bad.py:1: SyntaxError" in said.out
    assert re.search(r"^job +orders +on +jobs/orders\.py +shop\.orders -> main", said.out, re.MULTILINE)
    assert re.search(r"^provider +shop +defined +providers/shop\.py", said.out, re.MULTILINE)
    assert re.search(r"^job +stripe_charges +off ", said.out, re.MULTILINE)
    entries = json.loads(recon("list", "--json").out)["entries"]
    assert {(e["what"], e["name"]) for e in entries if e["standing"] == "broken"} == {("job", "bad")}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "ordrs"], "no job declares the domain 'ordrs'"),
        (["run", "stripe_charges"], "is shipped, and this project does not name it"),
        (["run"], "which domain?"),
        (["run", "--all", "orders"], "domains and --all exclude each other"),
        (["run", "--due", "orders"], "--due decides by itself"),
        (["run", "orders", "refunds", "--id", "o001"], "--id goes with one domain, not 2"),
        (["run", "orders", "--slot", "yesterday"], "--slot yesterday"),
        (["run", "--resume", "zz"], "no run begins with zz"),
        (["show", "nothing!"], "is no run"),
        (["approve", "01", "--plan", "x", "--reason", "y"], "no run begins with 01"),
        (["explain", "orders"], "Missing argument 'KEY'"),
        (["approve", "01"], "Missing option '--plan'"),
        (["runn"], "no command 'runn'; did you mean run"),
        (["run", "--jsn"], "No such option '--jsn'"),
        (["report", "01", "-f", "pdf"], "'pdf' is not one of"),
        (["ack", "orders", "o001", "--reason", "x", "--until", "2020-01-01"], "--until 2020-01-01 has passed"),
        (["ack", "orders", "o001", "--reason", "x"], "there is no open discrepancy to acknowledge"),
        (["unack", "orders", "o001"], "nothing is acknowledged"),
        (["new", "domain", "Orders"], "a name is lower case letters"),
        (["new", "domain", "orders"], "is there already"),
        (["new", "domain", "more", "--from", "stripe.charge"], "provider 'stripe' has no resource 'charge'"),
        (["new", "domain", "more", "--from", "strip.charges"], "no provider type 'strip'"),
        (["new", "provider", "shop"], "is there already, and nothing is overwritten"),
    ],
    ids=" ".join,
)
def test_a_wrong_command(recon: Shell, words: list[str], told: str) -> None:
    """A command that cannot be served as asked says why, on stderr alone but for a run's own verdict, and exits with 2."""
    said = recon(*words)

    assert said.code == 2
    assert told in said.err + said.out
    assert "Traceback" not in said.err


def test_secrets_are_masked_everywhere(shop: Shop, recon: Shell) -> None:
    """A third party's error that quotes the credential reaches no stream, no report and no file of the project."""
    shop.write("shop.json", '{"down": true}')

    said = recon("run", "orders", "-vv")
    other = recon("doctor", "orders")
    shown = recon("config", "show")
    table = recon("runs", "--json")

    assert (said.code, other.code) == (75, 75)
    assert MASK in said.out
    assert MASK in other.out
    assert 'providers.shop.token  { env = "SHOP_TOKEN" }' in re.sub(" +", "  ", shown.out).replace("  =  ", " = ").replace(
        "{  ", "{ "
    ).replace("  }", " }").replace("env  ", "env ")
    for text in (said.out, said.err, other.out, other.err, shown.out, table.out):
        assert TOKEN not in text
    written = [path for path in shop.folder.rglob("*") if path.is_file()]
    assert any(path.name == "index.html" for path in written)
    assert [str(path) for path in written if TOKEN.encode() in path.read_bytes()] == []


def test_a_missing_secret_names_its_line(shop: Shop, recon: Shell) -> None:
    """A reference that leads nowhere ends with 2 and the line that made it; doctor tells it once."""
    del shop.environ["SHOP_TOKEN"]

    said = recon("run", "orders")
    checked = recon("doctor", "orders")

    told = "recon.toml:5 [providers.shop] token: the environment variable SHOP_TOKEN is not set"
    assert said.code == 2
    assert told in said.out
    assert checked.code == 2
    assert checked.out.count(told) == 1


def test_severity_is_in_the_order_that_is_documented() -> None:
    """The most severe of several exit codes wins, in the order of docs/errors.md; an unknown code counts as unexpected."""
    text = Path(__file__).parents[2].joinpath("docs/errors.md").read_text()
    found = re.search(r"in this order: ([\d, ]+)\.", text)
    assert found is not None
    order = [int(word) for word in found[1].split(", ")]

    assert order == [1, 2, 4, 6, 75, 3, 0]
    for place, code in enumerate(order):
        assert most_severe(order[place:]) == code
        assert most_severe(reversed(order[place:])) == code
    assert most_severe([]) == 0
    assert most_severe([0, 99]) == 99


def test_an_error_before_a_run_keeps_to_its_domain(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the engine that no run could carry is told, kept for the summary and the JSON, and the next domain has its turn."""
    turns: list[str] = []

    def work(domain: str) -> RunFigures:
        turns.append(domain)
        raise StateError(f"{domain}: no database", hint="start it")

    several = Several(Console())
    several.each(["orders", "refunds"], work)
    several.summary()

    err = capsys.readouterr().err
    assert turns == ["orders", "refunds"]
    assert several.exit_code == 75
    assert err.count("orders: no database") == 2
    assert err.count("hint: start it") == 4
    assert [run["problem"] for run in several.document()["runs"]] == [
        {"kind": "StateError", "message": f"{domain}: no database", "hint": "start it"} for domain in turns
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_run_and_give_its_lease_back(shop: Shop, number: signal.Signals, code: int) -> None:
    """A run that is interrupted unwinds: exit 130 or 143, no traceback, and the next run goes on at once."""
    marker = shop.folder / "waiting"
    slow = shop.folder.joinpath("providers/shop.py").read_text()
    blocking = f"        import os, time\n        if 'BLOCK' in os.environ:\n            open({str(marker)!r}, 'w').close()\n            time.sleep(60)\n"
    shop.write(
        "providers/shop.py",
        slow.replace("        rows = self._read()[listing.resource]\n", blocking + "        rows = self._read()[listing.resource]\n"),
    )
    process = subprocess.Popen(
        shop.command("run", "orders"),
        cwd=shop.folder,
        env={**shop.environment(), "BLOCK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - no thread of this process is at work here
    )
    try:
        until = time.monotonic() + 60
        while not marker.exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == code
    assert "Traceback" not in err
    again = shop.recon("run", "orders")
    assert again.returncode == 0, again.stderr


def test_a_closed_pipe_is_quiet_and_changes_nothing(shop: Shop) -> None:
    """A reader that goes away leaves no traceback, and the run's exit code stands."""
    shop.drift()
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        shop.command("run", "orders", "--exit-code"),
        cwd=shop.folder,
        env=shop.environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)

    assert process.returncode == 3
    assert "Traceback" not in process.stderr
    assert "Broken" not in process.stderr


def test_an_unexpected_error_is_told_and_masked(shop: Shop, recon: Shell) -> None:
    """A fault in a plug-in ends its domain with 1 and a traceback in which no secret stands; the other domain runs all the same."""
    text = shop.folder.joinpath("providers/shop.py").read_text()
    fault = "        if listing.resource == 'orders':\n            raise RuntimeError(self.token.reveal())\n"
    shop.write(
        "providers/shop.py",
        text.replace("        rows = self._read()[listing.resource]\n", f"{fault}        rows = self._read()[listing.resource]\n"),
    )

    said = recon("run", "--all")

    assert said.code == 1
    assert "Traceback" in said.err
    assert "RuntimeError" in said.err.partition("2 domains, exit code 1")[0]
    assert re.search(r"^  orders +failed: ", said.err, re.MULTILINE)
    assert re.search(r"^CLEAN  refunds", said.out, re.MULTILINE)
    assert TOKEN not in said.err + said.out
