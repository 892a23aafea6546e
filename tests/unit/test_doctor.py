"""The doctor's findings, one by one, over doubles."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recon.doctor.check import Check, Level, exit_code, fail, guarded, ok, warn
from recon.doctor.examine import examine
from recon.doctor.machine import skew
from recon.doctor.third_party import third_party
from recon.errors import BadSetting, DeliveryError, Refused, StoreMismatch, StoreUnreachable, Unreachable
from recon.fetch.page import LookupStatus
from recon.job import Field, Job, Table
from recon.project import Project
from recon.secret import Secret
from recon.stores.base import StoreHealth
from recon.testing import FakeProvider, FixedClock

NOW = datetime(2026, 1, 3, 3, 0, tzinfo=UTC)
ROWS = [{"id": "a", "status": "paid"}, {"id": "b", "status": "open"}]
orders = Job(
    domain="orders", provider="shop", resource="items", fields=(Field("status"),), table=Table(name="orders"), schedule="0 3 * * *"
)


def asked(provider: FakeProvider, job: Job = orders) -> dict[str, Check]:
    """What the doctor finds of this third party, by name (the last of each name)."""
    project = SimpleNamespace(provider=lambda _: provider)
    found = list(guarded("provider", "orders", lambda: third_party(project, job, FixedClock(NOW))))
    assert all(check.domain == "orders" for check in found)
    return {check.name: check for check in found}


def test_a_sound_third_party() -> None:
    """One page is fetched and one item of it read by id."""
    provider = FakeProvider(ROWS)

    found = asked(provider)

    assert {name: check.level for name, check in found.items()} == {"provider": Level.OK, "by id": Level.OK}
    assert "2 items, the whole listing, 2 in all" in found["provider"].message
    assert provider.lookups == ["a"]


def test_only_one_page_is_fetched() -> None:
    """The listing is not read to its end, and its generator is closed."""
    closed: list[int] = []

    class Long(FakeProvider):
        def fetch(self, listing: Any) -> Iterator[Any]:
            try:
                yield from super().fetch(listing)
            finally:
                closed.append(self.meter.requests)

    found = asked(Long(ROWS * 50, page_size=10))

    assert closed == [1]
    assert "10 items, more follow" in found["provider"].message


@pytest.mark.parametrize(
    ("provider", "name", "level", "words"),
    [
        (FakeProvider({"other": ROWS}), "provider", Level.FAIL, "has no resource 'items'"),
        (FakeProvider([]), "by id", Level.WARN, "the first page is empty"),
        (FakeProvider([{"name": "x"}]), "by id", Level.FAIL, "the first item has no key at 'id'"),
        (FakeProvider(ROWS, answers={"a": LookupStatus.FORBIDDEN}), "by id", Level.FAIL, "item a of the first page, read by id: forbidden"),
        (FakeProvider(ROWS, fail_page={1: Unreachable("GET /items -> 503")}), "provider", Level.FAIL, "GET /items -> 503"),
        (FakeProvider([b"{"]), "provider", Level.FAIL, "unexpected JSONDecodeError"),
    ],
    ids=["resource", "empty", "no key", "forbidden", "down", "no JSON"],
)
def test_what_is_wrong_with_a_third_party(provider: FakeProvider, name: str, level: Level, words: str) -> None:
    """Each thing that would make tonight fail is a finding with its words; nothing is raised."""
    found = asked(provider)

    assert found[name].level is level
    assert words in found[name].message
    assert (found[name].exit_code == 0) is (level is not Level.FAIL)


def test_a_list_without_reads_by_id_is_warned_of() -> None:
    """Where items cannot be read by id everything is listed a second time, and the hint says so."""
    provider = FakeProvider(ROWS)
    provider.can_get = lambda _: False  # type: ignore[method-assign]

    found = asked(provider)["by id"]

    assert found.level is Level.WARN
    assert "everything is listed a second time" in found.hint


def test_a_providers_own_warnings_and_clock_are_passed_on() -> None:
    """warnings() and server_date of a provider, where it has them, become findings."""
    provider = FakeProvider(ROWS)
    provider.warnings = lambda: ["a key that may write"]  # type: ignore[attr-defined]
    provider.server_date = NOW + timedelta(seconds=30)  # type: ignore[attr-defined]

    found = list(third_party(SimpleNamespace(provider=lambda _: provider), orders, FixedClock(NOW)))

    assert [(c.name, c.level) for c in found[2:]] == [("clock", Level.WARN), ("provider", Level.WARN)]
    assert "30.0 s behind" in found[2].message
    assert found[3].message == "a key that may write"


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0, Level.OK), (1.9, Level.OK), (-2.5, Level.WARN), (59, Level.WARN), (61, Level.FAIL), (-3600, Level.FAIL)],
)
def test_clocks_beside_each_other(seconds: float, level: Level) -> None:
    """Two seconds of skew are said, a minute fails, in both directions."""
    check = skew("clock", "orders", "store main", NOW + timedelta(seconds=seconds), NOW)

    assert check.level is level
    if level is not Level.OK:
        assert ("behind" if seconds > 0 else "ahead") in check.message


def test_the_exit_code_is_that_of_the_worst() -> None:
    """2 where a definition must be mended, else 75 where something failed, else 0, warnings or not."""
    mend, again = fail("a", BadSetting("x")), fail("b", Refused("y"))

    assert exit_code([ok("a", "x"), warn("b", "y")]) == 0
    assert exit_code([again, ok("a", "x")]) == 75
    assert exit_code([again, mend]) == 2
    assert fail("c", DeliveryError("z")).exit_code == 75


def test_findings_are_masked() -> None:
    """What an error quotes of a secret is masked in the finding."""
    Secret("canary-doctor-991")

    def look() -> Iterator[Check]:
        raise ValueError("token canary-doctor-991")
        yield

    (check,) = guarded("x", None, look)

    assert "991" not in check.message
    assert "991" not in fail("y", Refused("canary-doctor-991", hint="canary-doctor-991")).message
    assert "991" not in fail("y", Refused("x", hint="canary-doctor-991")).hint


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project on disk whose store, provider and publisher are doubles, put in place by `stand_in`."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/orders.py").write_text(
        "from recon import Field, Job, Table\n"
        "orders = Job(domain='orders', provider='rest', resource='items', fields=(Field('status'),), table=Table(name='orders'),"
        " publisher='stdout', schedule='30 2 * * *', timezone='Europe/Paris')\n"
    )
    (tmp_path / "recon.toml").write_text('[stores.main]\nurl = "sqlite://"\n')
    return Project.find(tmp_path, environ={"RECON_PLUGINS": "none"})


def stand_in(project: Project, *, health: StoreHealth | Exception, publisher: Callable[[], str] = lambda: "fine") -> None:
    """The doubles."""

    class Store:
        def health(self, _: Any) -> StoreHealth:
            if isinstance(health, Exception):
                raise health
            return health

    project.store = lambda _: Store()  # type: ignore[method-assign,assign,return-value]
    project.provider = lambda _: FakeProvider(ROWS)  # type: ignore[method-assign,assign,return-value]
    project.publisher = lambda _: SimpleNamespace(health=publisher)  # type: ignore[method-assign,assign,return-value]


def sound(**changes: Any) -> StoreHealth:
    """A store that is well."""
    known: dict[str, Any] = {"server": "PostgreSQL 18", "user": "ro", "writable": False, "now": NOW, "readable_columns": True}
    return StoreHealth(**{**known, **changes})


def of_domain(checks: Sequence[Check]) -> list[tuple[str, Level]]:
    """Names and levels of the domain's own findings, in order."""
    return [(check.name, check.level) for check in checks if check.domain == "orders"]


def test_a_domain_is_looked_at_in_the_order_of_a_run(project: Project) -> None:
    """Job, secrets, store with rights and clock, provider, publisher, schedule with its next instant."""
    stand_in(project, health=sound())

    found = list(examine(project, [], FixedClock(NOW)))

    names = ["job", "secrets", "store", "rights", "clock", "provider", "by id", "publisher", "schedule"]
    assert of_domain(found) == [(name, Level.OK) for name in names]
    assert found[-1].message == "30 2 * * *: next at 2026-01-04T01:30:00Z (02:30 Europe/Paris)"
    assert {check.name for check in found if check.domain is None} == {"settings", "state", "delivery", "reports", "work", "disk"}


@pytest.mark.parametrize(
    ("health", "name", "level", "code"),
    [
        (sound(writable=True), "rights", Level.WARN, 0),
        (sound(writable=None), "rights", Level.OK, 0),
        (sound(now=NOW - timedelta(minutes=5)), "clock", Level.FAIL, 75),
        (sound(readable_columns=False, detail="no column status"), "store", Level.FAIL, 2),
        (StoreMismatch("no table orders"), "store", Level.FAIL, 2),
        (StoreUnreachable("refused"), "store", Level.FAIL, 75),
        (RuntimeError("driver"), "store", Level.FAIL, 75),
    ],
    ids=["writable", "unknown rights", "clock", "columns", "mismatch", "down", "unexpected"],
)
def test_what_is_wrong_with_a_store(project: Project, health: StoreHealth | Exception, name: str, level: Level, code: int) -> None:
    """Rights are warned of, everything else fails with its code, and the provider is looked at all the same."""
    stand_in(project, health=health)

    found = list(examine(project, ["orders"], FixedClock(NOW)))

    assert (name, level) in of_domain(found)
    assert ("provider", Level.OK) in of_domain(found)
    assert exit_code(found) == code


def test_a_publisher_that_cannot_be_reached(project: Project) -> None:
    """A destination that is down is a finding, with its way out."""

    def down() -> str:
        raise DeliveryError("no route to the bus", hint="start it")

    stand_in(project, health=sound(), publisher=down)

    found = [check for check in examine(project, ["orders"], FixedClock(NOW)) if check.name == "publisher"]

    assert [(check.level, check.hint) for check in found] == [(Level.FAIL, "start it")]


def test_folders_that_cannot_be_written(project: Project) -> None:
    """A reports folder that is a file is a finding with the path in it."""
    stand_in(project, health=sound())
    project.reports_folder.write_text("in the way")

    found = {check.name: check for check in examine(project, ["orders"], FixedClock(NOW))}

    assert found["reports"].level is Level.FAIL
    assert str(project.reports_folder) in found["reports"].message
    assert found["work"].level is Level.OK


def test_an_unknown_domain_is_a_finding(project: Project) -> None:
    """A domain mistyped is told with its near miss, exit code 2."""
    found = list(examine(project, ["ordrs"], FixedClock(NOW)))

    assert found[-1].level is Level.FAIL
    assert found[-1].hint == "did you mean 'orders'?"
    assert exit_code(found) == 2
