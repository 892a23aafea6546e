"""The command line's surface: help for everything, documents that are complete, and a cold start that stays cheap."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cli
import recon
from recon import errors
from recon.job import Guard
from recon.project.overlay import JOB_KEYS
from recon.settings import load

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HEAVY = {
    "duckdb",
    "pyarrow",
    "sqlalchemy",
    "httpx",
    "alembic",
    "rich",
    "jinja2",
    "apscheduler",
    "zstandard",
    "psycopg",
    "tenacity",
    "cronsim",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its path, subcommands too."""
    for name in cli.COMMANDS:
        command = cli.cli.get_command(click.Context(cli.cli), name)
        assert command is not None
        if isinstance(command, click.Group):
            for sub, inner in command.commands.items():
                yield f"{name} {sub}", inner
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield name, command


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_help(path: str) -> None:
    """--help of each command exits 0, says what it does, and has a sentence for each of its options."""
    result = CliRunner().invoke(cli.cli, [*path.split(), "--help"])

    assert result.exit_code == 0
    assert ALL[path].help
    assert result.output.startswith("Usage: ")
    for parameter in ALL[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.opts[-1] in result.output


def test_the_root_help_lists_every_command() -> None:
    """`recon --help` names each command with the line of the table, without importing its body."""
    result = CliRunner().invoke(cli.cli, ["--help"])

    assert result.exit_code == 0
    for name, (_, words, _) in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(words[:30])}", result.output, re.MULTILINE), name


@pytest.mark.parametrize("path", ALL)
def test_every_command_is_documented(path: str) -> None:
    """docs/commands.md has a section per command, with every option of it, and none that is not there."""
    text = (DOCS / "commands.md").read_text()
    section = re.search(rf"^## `recon {path}`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)

    assert section is not None
    own = [p for p in ALL[path].params if isinstance(p, click.Option) and p.name not in {"folder", "quiet", "verbose"}]
    documented = set(re.findall(r"^\|.*?\|", section[1], re.MULTILINE))
    named = set(re.findall(r"`(-{1,2}[a-z-]+)", " ".join(documented)))
    assert named == {name for option in own for name in option.opts}
    for option in own:
        assert option.help is not None
        assert option.help.split(":")[0][:40] in section[1]


def test_only_real_commands_are_documented() -> None:
    """Each section of docs/commands.md is a command."""
    assert set(re.findall(r"^## `recon (.*)`", (DOCS / "commands.md").read_text(), re.MULTILINE)) == set(ALL)


def leaves() -> list[type[errors.ReconError]]:
    """The errors that are raised: those of the tree that are no mere branch."""
    every = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.ReconError)]
    return [c for c in every if not any(issubclass(other, c) and other is not c for other in every)]


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: leaf.__name__)
def test_every_error_is_documented(leaf: type[errors.ReconError]) -> None:
    """docs/errors.md has a row per error: what it means, what to do, and the exit code that the class really has."""
    row = re.search(rf"^\| `{leaf.__name__}` \| (.+) \| (.+) \| (\d+) \|$", (DOCS / "errors.md").read_text(), re.MULTILINE)

    assert row is not None
    assert len(row[1]) > 20
    assert len(row[2]) > 20
    assert int(row[3]) == leaf.exit_code


def test_only_real_errors_are_documented() -> None:
    """Each row of docs/errors.md is an error of the tree, and the tree in the module's docstring has them all too."""
    rows = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE))

    assert rows - {"StateError"} == {leaf.__name__ for leaf in leaves()}
    assert errors.__doc__ is not None
    assert rows <= set(re.findall(r"[+x] (\w+)", errors.__doc__))


def test_every_setting_is_documented(tmp_path: Path) -> None:
    """docs/settings.md lists each key of each table of the engine, the keys of a job and its guard, and nothing else."""
    text = (DOCS / "settings.md").read_text()
    documented: dict[str, set[str]] = {}
    for table, body in re.findall(r"^## `\[([\w.]+)\]`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
        cells = re.findall(r"^\| (`.+?) \|", body, re.MULTILINE)
        documented[table] = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    (tmp_path / "recon.toml").write_text("")
    wanted: dict[str, set[str]] = {}
    for setting in load(tmp_path / "recon.toml", environ={}).listing():
        table, _, key = setting.key.partition(".")
        wanted.setdefault(table, set()).add(key)

    assert {table: keys for table, keys in documented.items() if "NAME" not in table} == wanted
    assert documented["jobs.NAME"] == set(JOB_KEYS)
    assert {"providers.NAME", "stores.NAME", "publishers.NAME"} <= set(documented)
    for field in fields(Guard):
        assert f"{field.name} = " in text


def test_public_names_are_what_they_say() -> None:
    """recon.__all__ is sorted, and each name in it can be had."""
    assert recon.__all__ == sorted(recon.__all__)
    assert set(recon.__all__) == set(recon.LAZY)
    for name in recon.__all__:
        assert getattr(recon, name).__name__ == name


def test_help_imports_nothing_heavy() -> None:
    """`recon --help` and `import recon` load none of the heavy libraries, nor do the names that a job file needs."""
    code = (
        "import sys, cli, recon\n"
        "from recon import Field, Job, Money, Table\n"
        "cli.run(['--help'])\n"
        "cli.run(['version'])\n"
        "print('LOADED', sorted(m for m in sys.modules if '.' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)

    loaded = set(re.findall(r"'(\w+)'", done.stdout.rpartition("LOADED")[2]))
    assert "click" in loaded
    assert not loaded & HEAVY
