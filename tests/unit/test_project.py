"""Projects: found, loaded by path, doubles refused, and one broken file never takes another domain with it."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from recon.errors import BadDefinition, BadRequest, BadSetting, DuplicateName, NoProject, UnknownName
from recon.job import Guard
from recon.project import Project, find_file
from recon.project import jobs as jobs_module
from recon.project import plugins as plugins_module

SETTINGS = """
[providers.shop]
base_url = "https://shop.example/"
[stores.main]
url = "sqlite:///app.db"
[publishers.bus]
type = "stdout"
"""
JOB = """
from recon import Field, Job, Table
{name} = Job(domain="{name}", provider="shop", resource="{name}", fields=(Field("status"),), table=Table(name="{name}"))
"""
PROVIDER = """
class Shop:
    catalogue = {{"orders": 1, "refunds": 2, "{extra}": 3}}
    def __init__(self, section):
        self.name, self.base_url = section.name, section.text("base_url")
        section.finish()
        self.closed = False
    def fetch(self, listing): ...
    def get_many(self, resource, keys, *, clock): ...
    def close(self): self.closed = True
"""

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """What a project put into sys.modules is taken out again."""
    yield
    for name in [name for name in sys.modules if name.startswith(("recon_project", "recon_shipped"))]:
        del sys.modules[name]


def made(folder: Path, files: dict[str, str], *, settings: str = SETTINGS, **environ: str) -> Project:
    """A project with these files, and an `orders` job and `shop` provider unless they say otherwise."""
    base = {"recon.toml": settings, "jobs/orders.py": JOB.format(name="orders"), "providers/shop.py": PROVIDER.format(extra="extra")}
    for name, text in {**base, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Project.find(folder, environ={"RECON_PLUGINS": "none", **environ})


def test_the_nearest_file_upward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project is that of the flag, else of RECON_PROJECT, else the nearest recon.toml upward."""
    for name in ("a", "b", "c"):
        (tmp_path / name / "deep/er").mkdir(parents=True)
        (tmp_path / name / "recon.toml").write_text("")
    monkeypatch.chdir(tmp_path / "a/deep/er")

    assert find_file(environ={}) == tmp_path / "a/recon.toml"
    assert find_file(environ={"RECON_PROJECT": str(tmp_path / "b")}) == tmp_path / "b/recon.toml"
    assert find_file(tmp_path / "c", environ={"RECON_PROJECT": str(tmp_path / "b")}) == tmp_path / "c/recon.toml"
    assert find_file(tmp_path / "c/recon.toml", environ={}) == tmp_path / "c/recon.toml"


def test_no_project_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a project the message names the place and `recon init`."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(NoProject, match=r"no recon\.toml in .* or any folder above it") as caught:
        find_file(environ={})
    assert caught.value.hint is not None
    assert "recon init" in caught.value.hint
    with pytest.raises(NoProject, match="RECON_PROJECT"):
        find_file(environ={"RECON_PROJECT": str(tmp_path / "nowhere")})


def test_jobs_are_laid_over_with_settings(tmp_path: Path) -> None:
    """[jobs.NAME] changes what differs by environment, key by key, and leaves the rest of the job alone."""
    project = made(
        tmp_path,
        {},
        settings=SETTINGS
        + """
[stores.replica]
url = "sqlite:///r.db"
[jobs.orders]
publisher = "bus"
store = "replica"
schedule = "30 2 * * *"
timezone = "Europe/Paris"
settle = "5m"
hold_expires = 7200
table = "orders_v2"
schema = "shop"
guard = { missing = 0.5, floor = 3 }
params = { state = "all", limit = 50 }
""",
    )

    job = project.job("orders")

    assert (job.publisher, job.store, job.schedule, job.timezone) == ("bus", "replica", "30 2 * * *", "Europe/Paris")
    assert (job.settle_seconds, job.hold_expires) == (300.0, 7200.0)
    assert (job.table.name, job.table.schema) == ("orders_v2", "shop")
    assert job.guard == Guard(missing=0.5, floor=3)
    assert job.params == {"state": "all", "limit": 50}
    assert job.fields[0].name == "status"
    assert list(project.jobs) == ["orders"]


def test_the_projects_zone_holds_for_jobs_that_name_none(tmp_path: Path) -> None:
    """[project] timezone moves a job that stands at UTC, and [jobs.NAME] timezone = "UTC" keeps it there."""
    zone = '[project]\ntimezone = "Asia/Tokyo"\n'

    assert made(tmp_path, {}, settings=zone + SETTINGS).job("orders").timezone == "Asia/Tokyo"
    assert made(tmp_path, {}, settings=zone + SETTINGS + '[jobs.orders]\ntimezone = "UTC"\n').job("orders").timezone == "UTC"


@pytest.mark.parametrize(
    ("line", "words", "hint"),
    [
        ('shedule = "x"', "[jobs.orders] shedule: is not a setting", "did you mean 'schedule'?"),
        ('schedule = "0 3 * *"', "[jobs.orders] schedule: '0 3 * *' has 4 fields", "five fields"),
        ('schedule = "0 25 * * *"', "[jobs.orders] schedule: '0 25 * * *' is no cron line", "five fields"),
        ('timezone = "Paris"', "[jobs.orders] timezone: 'Paris' is no time zone", "Europe/Paris"),
        ('settle = "soon"', "[jobs.orders] settle: not a duration: 'soon'", None),
        ("guard = { missing = 5 }", "[jobs.orders.guard] missing: is 5; a share lies between 0 and 1", None),
        ("guard = { mising = 0.1 }", "[jobs.orders.guard] mising: is not a setting", "did you mean 'missing'?"),
        ("params = { a = [1] }", "[jobs.orders.params] a: wants a text, a number, true or false, not list", None),
        ('enabled = "no"', "[jobs.orders] enabled: wants true or false, not str 'no'", None),
        ('publisher = "buss"', "orders names publisher 'buss', which nobody defines", "did you mean 'bus'?"),
        ('store = "mian"', "orders names store 'mian', which nobody defines", "did you mean 'main'?"),
        ('provider = "shpo"', "orders names provider 'shpo', which nobody defines", "did you mean 'shop'?"),
    ],
)
def test_a_wrong_override_breaks_one_domain_only(tmp_path: Path, line: str, words: str, hint: str | None) -> None:
    """A mistake in one job's table is told with file, line and near miss, and the other domain is there all the same."""
    project = made(tmp_path, {"jobs/refunds.py": JOB.format(name="refunds")}, settings=f"{SETTINGS}[jobs.orders]\n{line}\n")

    assert list(project.jobs) == ["refunds"]
    assert [broken.domain for broken in project.broken] == ["orders"]
    with pytest.raises((BadSetting, UnknownName)) as caught:
        project.job("orders")
    assert str(caught.value).startswith("recon.toml:9")
    assert words in str(caught.value)
    assert caught.value.exit_code == 2
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "words", "note"),
    [
        ("from recon import Job\n\nx = Jbo()\n", "jobs/bad.py:3: NameError: name 'Jbo' is not defined", "x = Jbo()"),
        ("x = (\n", "jobs/bad.py:1: SyntaxError: '(' was never closed", "x = ("),
        ("import recon\ny = 1\n", "jobs/bad.py: declares no job", None),
        (
            (
                "from recon import Field, Job, Table\n\nbad = Job(\n    domain='Bad',\n    provider='shop', resource='x',"
                " fields=(Field('a'),), table=Table(name='t'))\n"
            ),
            "jobs/bad.py:3: domain 'Bad': a name is lower case",
            "bad = Job(",
        ),
        ("import no_such_module_here\n", "jobs/bad.py:1: ModuleNotFoundError: No module named 'no_such_module_here'", None),
        ("from recon import Feild\n", "jobs/bad.py:1: ImportError: cannot import name 'Feild'", None),
        ("raise SystemExit(3)\n", "jobs/bad.py: the file ends the program", None),
    ],
)
def test_a_broken_file_is_told_by_its_line_and_others_go_on(tmp_path: Path, text: str, words: str, note: str | None) -> None:
    """A job file that does not load is kept with path, line and source line; the other domains are there."""
    project = made(tmp_path, {"jobs/bad.py": text})

    assert list(project.jobs) == ["orders"]
    (broken,) = project.broken
    assert broken.domain == "bad"
    assert words in str(broken.error)
    assert isinstance(broken.error, BadDefinition)
    assert broken.error.exit_code == 2
    notes = "\n".join(getattr(broken.error, "__notes__", ()))
    assert note is None or note in notes
    assert "importlib" not in notes
    with pytest.raises(BadDefinition):
        project.job("bad")


def test_an_error_below_the_file_names_the_files_own_line(tmp_path: Path) -> None:
    """Where a library raises, the line told is the one of the job file that called it."""
    project = made(tmp_path, {"jobs/bad.py": "import json\n\nx = json.loads('{')\n"})

    assert str(project.broken[0].error).startswith("jobs/bad.py:3: JSONDecodeError")


def test_two_files_with_one_domain_are_refused(tmp_path: Path) -> None:
    """A domain declared twice in a project is broken, and the message names both files; others go on."""
    project = made(tmp_path, {"jobs/a.py": JOB.format(name="refunds"), "jobs/b.py": JOB.format(name="refunds")})

    assert list(project.jobs) == ["orders"]
    with pytest.raises(DuplicateName, match=r"refunds: defined twice, in jobs/a\.py and in jobs/b\.py"):
        project.job("refunds")


def test_a_project_shadows_a_shipped_job(tmp_path: Path) -> None:
    """A project's own job of a shipped name is the one that runs, and the listing shows both."""
    text = JOB.format(name="stripe_charges").replace('resource="stripe_charges"', 'resource="orders"')
    project = made(tmp_path, {"jobs/stripe_charges.py": text})

    assert project.job("stripe_charges").provider == "shop"
    standings = {(e.standing, e.file.split("/")[-2]) for e in project.inventory() if e.name == "stripe_charges"}
    assert ("on", "jobs") in standings
    assert any(standing == "shadowed" for standing, _ in standings)


def test_a_shipped_job_is_off_until_it_is_named(tmp_path: Path) -> None:
    """A shipped job is off, says how to switch it on, and is on with a table of its name."""
    off = made(tmp_path, {})

    assert "stripe_charges" not in off.jobs
    with pytest.raises(BadRequest, match="shipped") as caught:
        off.job("stripe_charges")
    assert "[jobs.stripe_charges]" in (caught.value.hint or "")

    on = made(tmp_path, {}, settings=SETTINGS + "[jobs.stripe_charges]\n")
    assert "stripe_charges" in on.jobs


def test_a_project_job_can_be_switched_off(tmp_path: Path) -> None:
    """The setting enabled = false takes a job of the project out, and asking for it says where that stands."""
    project = made(tmp_path, {}, settings=SETTINGS + "[jobs.orders]\nenabled = false\n")

    assert not project.jobs
    with pytest.raises(BadRequest, match=r"orders: switched off, at recon\.toml:9"):
        project.job("orders")


def test_a_table_for_no_job_is_told(tmp_path: Path) -> None:
    """[jobs.ordres] configures nothing: it is broken, with the near miss, and orders goes on."""
    project = made(tmp_path, {}, settings=SETTINGS + '[jobs.ordres]\nschedule = "0 3 * * *"\n')

    assert list(project.jobs) == ["orders"]
    with pytest.raises(UnknownName, match=r"recon\.toml:9 \[jobs\.ordres\]: no file declares a job") as caught:
        project.job("ordres")
    assert caught.value.hint == "did you mean [jobs.orders]?"


def test_an_unknown_domain_has_near_misses(tmp_path: Path) -> None:
    """A domain typed wrongly is answered with the nearest one."""
    with pytest.raises(UnknownName, match="no job declares the domain 'ordrs'") as caught:
        made(tmp_path, {}).job("ordrs")

    assert caught.value.hint == "did you mean 'orders'?"


def test_an_unknown_resource_has_near_misses(tmp_path: Path) -> None:
    """A job's resource that its provider does not declare is told with the job's file and the nearest resource."""
    text = JOB.format(name="orders").replace('resource="orders"', 'resource="order"')

    with pytest.raises(UnknownName, match=r"jobs/orders\.py: orders names resource 'order'") as caught:
        made(tmp_path, {"jobs/orders.py": text}).job("orders")

    assert caught.value.hint == "did you mean 'orders'?"


def test_a_declared_schedule_that_cannot_be_is_told_with_the_file(tmp_path: Path) -> None:
    """A cron line or zone in the job's own file is checked like one in recon.toml."""
    bad = JOB.format(name="refunds").replace("resource=", 'schedule="61 * * * *", resource=')
    zone = JOB.format(name="tips").replace("resource=", 'timezone="Nowhere", resource=')
    project = made(tmp_path, {"jobs/refunds.py": bad, "jobs/tips.py": zone})

    told = {broken.domain: str(broken.error) for broken in project.broken}
    assert told["refunds"].startswith("jobs/refunds.py: refunds: schedule '61 * * * *' is no cron line")
    assert told["tips"] == "jobs/tips.py: tips: timezone 'Nowhere' is no time zone"


def test_providers_are_constructed_once_and_closed(tmp_path: Path) -> None:
    """A provider is made from its table on first use, kept, and closed with the project."""
    with made(tmp_path, {}) as project:
        first = project.provider("shop")
        assert project.provider("shop") is first
        assert first.base_url == "https://shop.example/"

    assert first.closed is True


def test_a_provider_that_will_not_close_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What raises on close is logged by name, and the others are closed all the same."""
    text = PROVIDER.format(extra="x").replace("self.closed = True", "raise RuntimeError('still busy')")
    with made(tmp_path, {"providers/bad.py": text}, settings=SETTINGS + '[providers.bad]\nbase_url = "b"\n') as project:
        project.provider("bad")
        good = project.provider("shop")

    assert good.closed is True
    assert "closing providers.bad failed" in caplog.text


def test_two_tables_may_share_a_type(tmp_path: Path) -> None:
    """A type names the file; each table makes an instance of its own with its own name."""
    extra = '[providers.shop_eu]\ntype = "shop"\nbase_url = "https://eu.example/"\n'
    project = made(tmp_path, {}, settings=SETTINGS + extra)

    assert project.provider("shop_eu").name == "shop_eu"
    assert project.provider("shop_eu").base_url == "https://eu.example/"
    assert type(project.provider("shop_eu")) is type(project.provider("shop"))


def test_an_unknown_type_has_near_misses(tmp_path: Path) -> None:
    """A type that no file defines is told with its line and the nearest type."""
    project = made(tmp_path, {}, settings=SETTINGS.replace('base_url = "https://shop.example/"', 'type = "shpo"'))

    with pytest.raises(UnknownName, match=r"recon\.toml:3 \[providers\.shop\] type: no provider type 'shpo'") as caught:
        project.provider("shop")
    assert caught.value.hint == "did you mean 'shop'?"


def test_a_provider_file_with_no_class_or_two_is_refused(tmp_path: Path) -> None:
    """One class per provider file; of a base and what is built on it, the latter counts."""
    two = PROVIDER.format(extra="a") + PROVIDER.format(extra="b").replace("Shop", "Other")
    based = "class Base:\n    def fetch(self): ...\nclass Shop(Base):\n    def __init__(self, section): self.name = 'built'\n    def close(self): ...\n"

    with pytest.raises(BadDefinition, match="one class with a method fetch is wanted; found Other, Shop"):
        made(tmp_path / "two", {"providers/shop.py": two}).provider("shop")
    with pytest.raises(BadDefinition, match="found none"):
        made(tmp_path / "none", {"providers/shop.py": "x = 1\n"}).provider("shop")
    assert made(tmp_path / "based", {"providers/shop.py": based}).provider("shop").name == "built"


def test_an_unknown_key_of_a_provider_is_told_with_its_line(tmp_path: Path) -> None:
    """What the plug-in did not ask for is an unknown key, with line and near miss."""
    project = made(tmp_path, {}, settings=SETTINGS.replace("[stores", 'base_ulr = "x"\n[stores', 1))

    with pytest.raises(BadSetting, match=r"recon\.toml:4 \[providers\.shop\] base_ulr: is not a setting") as caught:
        project.provider("shop")
    assert caught.value.hint == "did you mean 'base_url'?"


def test_a_constructor_that_fails_is_told_by_file_and_line(tmp_path: Path) -> None:
    """A provider whose own code falls over while it is made is told like a file that does not load."""
    text = "class Shop:\n    def __init__(self, section):\n        self.x = section.nothing\n    def fetch(self): ...\n"

    with pytest.raises(BadDefinition, match=r"providers/shop\.py:3: AttributeError"):
        made(tmp_path, {"providers/shop.py": text}).provider("shop")


def test_helpers_and_dataclasses_in_definition_files(tmp_path: Path) -> None:
    """A job file may import a helper beside it by the package name, and use dataclasses with postponed annotations."""
    helper = "from recon import Field\nFIELDS = (Field('status'), Field('note'))\n"
    job = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom recon import Job, Table\n"
        "from recon_project.jobs._shared import FIELDS\n@dataclass\nclass Extra:\n    a: int | None = None\n"
        "orders = Job(domain='orders', provider='shop', resource='orders', fields=FIELDS, table=Table(name='orders'))\n"
    )

    project = made(tmp_path, {"jobs/_shared.py": helper, "jobs/orders.py": job})

    assert [f.name for f in project.job("orders").fields] == ["status", "note"]


def test_two_projects_do_not_see_each_others_files(tmp_path: Path) -> None:
    """Opening a second project in the same process loads its own files, not those of the first under the same names."""
    text = "from recon_project.jobs._where import RESOURCE" + JOB.format(name="orders").replace('resource="orders"', "resource=RESOURCE")
    first = made(tmp_path / "one", {"jobs/orders.py": text, "jobs/_where.py": "RESOURCE = 'orders'\n"})
    assert first.job("orders").resource == "orders"

    second = made(tmp_path / "two", {"jobs/orders.py": text, "jobs/_where.py": "RESOURCE = 'refunds'\n"})

    assert second.job("orders").resource == "refunds"
    assert first.job("orders").resource == "orders"


def entry(name: str, group: str, value: str) -> EntryPoint:
    """An installed entry point."""
    return EntryPoint(name=name, value=value, group=group)


def test_installed_packages_are_loaded_on_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed job is off, and not even imported, until it is named; a failing package breaks only its own domain."""
    package = tmp_path / "site"
    package.mkdir()
    (package / "acme_jobs.py").write_text(JOB.format(name="acme").replace('resource="acme"', 'resource="orders"'))
    (package / "acme_broken.py").write_text("raise RuntimeError('half installed')\n")
    monkeypatch.syspath_prepend(str(package))
    points = {
        "recon.jobs": [entry("acme", "recon.jobs", "acme_jobs:acme"), entry("worse", "recon.jobs", "acme_broken:job")],
        "recon.providers": [],
        "recon.publishers": [],
    }
    monkeypatch.setattr(plugins_module.importlib.metadata, "entry_points", lambda group: points[group])
    assert jobs_module.entry_points("jobs", {"RECON_PLUGINS": "none"}) == []
    assert [e.name for e in jobs_module.entry_points("jobs", {"RECON_PLUGINS": "acme"})] == ["acme"]

    unnamed = made(tmp_path / "a", {}, RECON_PLUGINS="")
    assert list(unnamed.jobs) == ["orders"]
    assert "acme_jobs" not in sys.modules

    named = made(tmp_path / "b", {}, settings=SETTINGS + "[jobs.acme]\n[jobs.worse]\n", RECON_PLUGINS="")
    assert sorted(named.jobs) == ["acme", "orders"]
    assert [broken.domain for broken in named.broken] == ["worse"]
    assert "RuntimeError: half installed" in str(named.broken[0].error)


def test_each_shipped_publisher_is_one_that_is_documented() -> None:
    """What `recon list` offers as a type of publisher has its page, and no helper passes for one."""
    pages = "".join(page.read_text() for page in sorted((ROOT / "docs").glob("publishers*.md")))
    shipped = {file.stem for file in plugins_module.shipped_files("publishers")}

    assert {name for name in shipped if f'type = "{name}"' not in pages} == set()
    assert {"sqs", "kafka", "webhook", "apply"} <= shipped


def test_an_installed_type_that_clashes_with_a_shipped_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two providers of one type, neither the project's, are a DuplicateName with both places; the project's file settles it."""
    points = {"recon.jobs": [], "recon.providers": [entry("stripe", "recon.providers", "acme_stripe:Stripe")], "recon.publishers": []}
    monkeypatch.setattr(plugins_module.importlib.metadata, "entry_points", lambda group: points[group])
    monkeypatch.setattr(plugins_module, "shipped_files", lambda room: [Path("/shipped/providers/stripe.py")] if room == "providers" else [])
    clash = made(tmp_path / "a", {}, settings=SETTINGS.replace('base_url = "https://shop.example/"', 'type = "stripe"'), RECON_PLUGINS="")

    with pytest.raises(DuplicateName, match=r"defined twice: acme_stripe:Stripe .* and /shipped/providers/stripe\.py"):
        clash.provider("shop")

    settled = made(
        tmp_path / "b",
        {"providers/stripe.py": PROVIDER.format(extra="x")},
        settings=SETTINGS + '[providers.stripe]\nbase_url = "b"\n',
        RECON_PLUGINS="",
    )
    assert settled.provider("stripe").base_url == "b"


def test_the_inventory_names_every_file(tmp_path: Path) -> None:
    """The listing shows jobs, providers, stores and publishers with standing and place, broken ones with their problem."""
    project = made(tmp_path, {"jobs/bad.py": "x =\n"})

    entries = {(e.what, e.name): e for e in project.inventory()}

    assert (entries["job", "orders"].standing, entries["job", "orders"].file) == ("on", "jobs/orders.py")
    assert entries["job", "bad"].standing == "broken"
    assert "SyntaxError" in entries["job", "bad"].problem
    assert entries["job", "stripe_charges"].standing == "off"
    assert entries["provider", "shop"].file == "providers/shop.py"
    assert entries["store", "main"].file == "recon.toml:5"
    assert entries["publisher", "bus"].file.endswith("recon/publishers/stdout.py")
    assert ("publisher", "base") not in entries
    assert ("publisher", "signing") not in entries
