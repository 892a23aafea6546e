"""Settings: layers, origins, lines, and how each mistake is told."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.errors import BadSetting, MissingSecret
from recon.secret import MASK, SecretRef
from recon.settings import Settings, load
from recon.settings.places import lines_of


def written(folder: Path, text: str, **environ: str) -> Settings:
    """The settings of a project with this recon.toml, in an environment of nothing but `environ`."""
    (folder / "recon.toml").write_text(text)
    return load(folder / "recon.toml", environ=environ)


def told(folder: Path, text: str, **environ: str) -> BadSetting:
    """The complaint about this recon.toml."""
    with pytest.raises(BadSetting) as caught:
        written(folder, text, **environ)
    return caught.value


def origins(found: Settings) -> dict[str, tuple[str, str]]:
    """Key -> (value as shown, origin)."""
    return {setting.key: (setting.shown, setting.origin) for setting in found.listing()}


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    """A project needs no setting: SQLite in .recon/, reports beside it, UTC, the folder's own name."""
    folder = tmp_path / "My Shop"
    folder.mkdir()

    found = written(folder, "")

    assert found.name == "my-shop"
    assert found.timezone == "UTC"
    assert found.state_url == f"sqlite:///{folder}/.recon/state.db"
    assert found.reports == folder / "reports"
    assert {origin for _, origin in origins(found).values()} == {"default"}


def test_each_value_knows_its_line(tmp_path: Path) -> None:
    """The line of each key is told, past comments, arrays and texts of several lines that look like TOML themselves."""
    found = written(
        tmp_path,
        """[project]
name = "shop" # [jobs.fake]

[providers.shop]
note = \"\"\"
[not.a.table]
base_url = "no"
\"\"\"
list = [
  "]", # ]
  { a = 1 },
]
base_url = "https://x/"
auth = { basic = { user = "u", password = { env = "P" } } }
resources.orders.path = 'a"b'
[providers."shop".resources.refunds]
path = '''
it''s'''
"key with space" = 1
[stores]
main.url = "sqlite:///a.db"
""",
    )

    lines = {key: origin for key, (_, origin) in origins(found).items()}
    assert lines["project.name"] == "recon.toml:2"
    assert lines["providers.shop.list"] == "recon.toml:9"
    assert lines["providers.shop.base_url"] == "recon.toml:13"
    assert lines["providers.shop.auth.basic.password"] == "recon.toml:14"
    assert lines["providers.shop.resources.orders.path"] == "recon.toml:15"
    assert lines["providers.shop.resources.refunds.path"] == "recon.toml:17"
    assert lines["providers.shop.resources.refunds.key with space"] == "recon.toml:19"
    assert lines["stores.main.url"] == "recon.toml:21"
    assert found.providers["shop"].where("base_url") == "recon.toml:13 [providers.shop] base_url"
    assert found.providers["shop"].sub("auth").sub("basic").where("user") == "recon.toml:14 [providers.shop.auth.basic] user"


KEYS = st.text("abcxyz_", min_size=1, max_size=4)
VALUES = st.sampled_from(
    [
        '"x"',
        "'#'",
        "1",
        "true",
        '"""\n[a]\nb = 1\n"""',
        "'''\nc = 2\n'''",
        '[\n "]", # c\n [1],\n]',
        '{ k = 1, j = { i = "}" } }',
        '"\\""',
        '""""q" """',
        '"""a""""',
        "'''b'''''",
    ]
)


@given(st.lists(st.tuples(KEYS, st.dictionaries(KEYS, VALUES, max_size=4)), max_size=5, unique_by=lambda t: t[0]))
@settings(max_examples=60, deadline=None)
def test_lines_are_right_for_any_document(tables: list[tuple[str, dict[str, str]]]) -> None:
    """For generated documents every key is found, at the line that it was written on."""
    lines: list[str] = []
    wanted: dict[tuple[str, ...], int] = {}
    for name, pairs in tables:
        lines.append(f"# {name} = 1")
        lines.append(f"[{name}]")
        wanted[name,] = len(lines)
        for key, value in pairs.items():
            wanted[name, key] = len(lines) + 1
            lines += f"{key} = {value}".split("\n")
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)

    found = lines_of(text)

    assert {path: line for path, line in found.items() if path in wanted} == wanted
    assert {path[:2] for path in found} == set(wanted)


def test_the_layers_win_in_order(tmp_path: Path) -> None:
    """Flag over environment over project over the user's own file over the default, and each says so."""
    home = tmp_path / "home"
    (home / ".config/recon").mkdir(parents=True)
    (home / ".config/recon/recon.toml").write_text('[project]\nname = "user"\ntimezone = "Europe/Paris"\n[reports]\nfolder = "u"\n')
    project = tmp_path / "p"
    project.mkdir()
    (project / "recon.toml").write_text('[project]\nname = "mine"\n[reports]\nfolder = "p"\n[engine]\nthreads = 2\n')
    environ = {"HOME": str(home), "RECON_REPORTS": "e", "RECON__ENGINE__THREADS": "3"}

    by_environment = load(project / "recon.toml", environ=environ)
    by_flag = load(project / "recon.toml", environ=environ, reports="f")

    shown = origins(by_environment)
    assert shown["project.name"] == ("mine", "recon.toml:2")
    assert shown["project.timezone"] == ("Europe/Paris", "~/.config/recon/recon.toml:3")
    assert shown["reports.folder"] == ("e", "env RECON_REPORTS")
    assert shown["engine.threads"] == ("3", "env RECON__ENGINE__THREADS")
    assert by_environment.engine.threads == 3
    assert by_environment.reports == project / "e"
    assert origins(by_flag)["reports.folder"] == ("f", "flag --reports")


def test_any_setting_can_come_from_the_environment(tmp_path: Path) -> None:
    """RECON__ names find a key whatever its case and hyphens; numbers, flags and tables are read as TOML, and 0123 stays a text."""
    found = written(
        tmp_path,
        '[providers.My-Shop]\nbase_url = "a"\n',
        RECON__PROVIDERS__MY_SHOP__BASE_URL="https://b/",
        RECON__PROVIDERS__MY_SHOP__ACCOUNT="0123",
        RECON__PROVIDERS__MY_SHOP__INSECURE="true",
        RECON__PROVIDERS__MY_SHOP__AUTH='{ bearer = { env = "T" } }',
        RECON__JOBS__STRIPE_CHARGES__SCHEDULE="5 2 * * *",
        RECON__JOBS__STRIPE_CHARGES__GUARD__FLOOR="7",
        RECON_UNRELATED="x",
    )

    shop = found.providers["My-Shop"].table
    assert shop["base_url"] == "https://b/"
    assert shop["account"] == "0123"
    assert shop["insecure"] is True
    assert isinstance(shop["auth"]["bearer"], SecretRef)
    assert found.jobs["stripe_charges"].table == {"schedule": "5 2 * * *", "guard": {"floor": 7}}


def test_the_dotenv_file_is_below_the_environment(tmp_path: Path) -> None:
    """.env beside recon.toml gives secrets and settings, and the environment wins over it."""
    (tmp_path / ".env").write_text("# comment\nexport A='from file'\nB=\"b\"\n\nRECON_REPORTS=r\nEMPTY=\nQ=a=b#c\n")

    found = written(tmp_path, '[stores.main]\nurl = { env = "A" }\nother = { env = "B" }\nthird = { env = "Q" }\n', B="machine")

    table = found.stores["main"].table
    assert table["url"].get().reveal() == "from file"
    assert table["other"].get().reveal() == "machine"
    assert table["third"].get().reveal() == "a=b#c"
    assert found.reports == tmp_path / "r"


def test_a_bad_dotenv_line_is_told_without_quoting_it(tmp_path: Path) -> None:
    """A line that is no KEY=VALUE is named by number only: it may hold a secret."""
    (tmp_path / ".env").write_text("A=1\nsk_live_oops\n")

    error = told(tmp_path, "")

    assert str(error) == ".env:2: not a KEY=VALUE line"


def test_secret_references_are_kept_and_masked(tmp_path: Path) -> None:
    """References stay unresolved until asked for; shown are the reference, never the secret, nor a password inside a URL."""
    (tmp_path / "key.txt").write_text("file-secret\n")
    found = written(
        tmp_path,
        """[providers.shop]
auth = { bearer = { env = "TOKEN" } }
list = [{ file = "key.txt" }]
api_key = "written out by mistake"
[providers.other]
auth = { header = { name = "X-Key", value = "also by mistake" } }
base_url = "https://other.example/"
[providers.third]
cmd = { command = "pass show recon --hidden x" }
[stores.main]
url = "postgresql://me:hunter2@db/x"
""",
        TOKEN="env-secret",
        RECON_STATE_URL="postgresql://u:statepw@h/s",
    )

    text = " ".join(f"{setting.key}={setting.shown}" for setting in found.listing())
    assert 'providers.shop.auth.bearer={ env = "TOKEN" }' in text
    assert 'state.url={ env = "RECON_STATE_URL" }' in text
    assert f"postgresql://me:{MASK}@db/x" in text
    assert "providers.other.auth.header.name=X-Key" in text
    assert "https://other.example/" in text
    for secret in ("env-secret", "file-secret", "hunter2", "statepw", "by mistake", "hidden"):
        assert secret not in text
    assert found.providers["shop"].table["list"][0].get().reveal() == "file-secret"
    assert found.state_url == "postgresql://u:statepw@h/s"


def test_a_missing_secret_names_its_line(tmp_path: Path) -> None:
    """A reference that leads nowhere is told with the file, line and key that made it."""
    found = written(tmp_path, '[providers.shop]\n\nauth = { bearer = { env = "NOPE" } }\n')

    with pytest.raises(MissingSecret) as caught:
        found.providers["shop"].table["auth"]["bearer"].get()

    assert str(caught.value) == "recon.toml:3 [providers.shop] auth.bearer: the environment variable NOPE is not set"


def test_a_table_named_env_is_not_taken_for_a_secret(tmp_path: Path) -> None:
    """A store or job whose only key is `file` or `env` is a table, not a reference."""
    found = written(tmp_path, '[stores.main]\nfile = "a.db"\n[jobs.orders.params]\nenv = "prod"\n')

    assert found.stores["main"].table == {"file": "a.db"}


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("[project]\nnane = 'x'\n", "recon.toml:2 [project] nane: is not a setting", "did you mean 'name'?"),
        ("\n[sotres.main]\nurl = 'x'\n", "recon.toml:3 [sotres] main.url: there is no table [sotres]", "did you mean [stores]?"),
        ("colour = 1\n", "recon.toml:1 [colour]: there is no table [colour]", "tables are "),
        ("[stores]\nmain = 'sqlite://'\n", "recon.toml:2 stores.main: a table is wanted, not str", "[stores.NAME]"),
        ("project = 'x'\n", "recon.toml:1 project: a table is wanted, not str", "[project]"),
        ("[project]\nname = 3\n", "recon.toml:2 [project] name: wants a text, not int 3", None),
        ("[project]\nname = 'a b'\n", "recon.toml:2 [project] name: 'a b' is no name", None),
        ("[project]\ntimezone = 'Mars/Base'\n", "recon.toml:2 [project] timezone: 'Mars/Base' is no time zone", "Europe/Paris"),
        ("[engine]\n\nmemory = 'lots'\n", "recon.toml:3 [engine] memory: 'lots' is no size", "512MiB"),
        ("[engine]\nthreads = 0\n", "recon.toml:2 [engine] threads: is 0, at least 1 is wanted", None),
        ("[schedule]\ncatch_up = 'soon'\n", "recon.toml:2 [schedule] catch_up: not a duration: 'soon'", None),
        ("[state]\nurl = 5\n", "recon.toml:2 [state] url: wants a database URL or a reference", "RECON_STATE_URL"),
        ("a = 1\nb = = 2\n", "recon.toml:2:5: not TOML: Invalid value", "quotes"),
        ("a = 1\na = 2\n", "recon.toml:2:6: not TOML: Cannot overwrite a value", "second time"),
        ("[a]\n[a]\n", "recon.toml:2:3: not TOML: Cannot declare", "second time"),
        ("[project\n", "recon.toml:1:9: not TOML:", None),
        ("a = [1,\n", "recon.toml:", None),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, place: str, hint: str | None) -> None:
    """Unknown keys and tables, wrong shapes and broken TOML are told with file, line, key and the near miss; exit code 2."""
    error = told(tmp_path, text)

    assert str(error).startswith(place)
    assert error.exit_code == 2
    assert hint is None or (error.hint is not None and hint in error.hint)


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("RECON__PROJECT__NANE", "x", "env RECON__PROJECT__NANE [project] nane: is not a setting"),
        ("RECON__SOTRES__MAIN__URL", "x", "env RECON__SOTRES__MAIN__URL [sotres] main.url: there is no table"),
        ("RECON__THREADS", "x", "env RECON__THREADS: names no setting"),
        ("RECON__ENGINE__THREADS", "two", "env RECON__ENGINE__THREADS [engine] threads: wants a whole number, not str 'two'"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path, name: str, value: str, place: str) -> None:
    """A RECON__ variable that fits nothing is refused by name, so that a typing error is not passed over in silence."""
    error = told(tmp_path, "", **{name: value})

    assert str(error).startswith(place)


def test_a_plug_in_section_tells_lines_and_variables(tmp_path: Path) -> None:
    """What a plug-in finds wrong in its table is told with the line, or the variable, that set it."""
    found = written(tmp_path, '[providers.shop]\nbase_url = "x"\n\nrate = "fast"\n', RECON__PROVIDERS__SHOP__TIMEOUT="never")
    section = found.providers["shop"]
    section.text("base_url")

    with pytest.raises(BadSetting, match=r"^recon\.toml:4 \[providers\.shop\] rate: wants a number"):
        section.number("rate")
    with pytest.raises(BadSetting, match=r"^env RECON__PROVIDERS__SHOP__TIMEOUT \[providers\.shop\] timeout: not a duration"):
        section.duration("timeout")
    with pytest.raises(BadSetting, match=r"^recon\.toml \[providers\.shop\] missing: is missing"):
        section.text("missing")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    """A recon.toml in another encoding is refused with its path."""
    (tmp_path / "recon.toml").write_bytes(b"[project]\nname = '\xff'\n")

    with pytest.raises(BadSetting, match=r"recon\.toml: cannot be read as UTF-8"):
        load(tmp_path / "recon.toml", environ={})


def test_a_relative_database_file_lies_in_the_project(tmp_path: Path) -> None:
    """A relative SQLite path starts from the project's folder, wherever the command is run."""
    assert written(tmp_path, "[state]\nurl = 'sqlite:///s.db'\n").state_url == f"sqlite:///{tmp_path}/s.db"
    assert written(tmp_path, "[state]\nurl = 'sqlite:////abs/s.db'\n").state_url == "sqlite:////abs/s.db"
