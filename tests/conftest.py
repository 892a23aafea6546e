"""What every test shares: the real servers, and the rule that in CI nothing skips."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from recon import secret
from tests.servers.pocketbase import pocketbase
from tests.servers.postgres import database, postgres
from tests.servers.receiver import receiver
from tests.servers.stripe_mock import stripe_mock
from tests.spread import spread

__all__ = ["database", "pocketbase", "postgres", "receiver", "stripe_mock"]

# Speed belongs to the bench: a machine that is busy with something else must fail no test.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

SKIPPED: list[str] = []


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    """What was a secret in one test is a word in the next: a process masks everything that it ever held as one."""
    before = set(secret._seen)
    yield
    secret._seen.intersection_update(before)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several workers share the tests, the long ones are begun first; every worker puts them in the same order."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = spread(items, workers)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers what was skipped."""
    if report.skipped and not hasattr(report, "wasxfail"):
        SKIPPED.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skip is a failure: the machine lacked something that the suite is meant to have."""
    if os.environ.get("CI") and SKIPPED and exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says so."""
    if os.environ.get("CI") and SKIPPED:
        terminalreporter.write_line(f"{len(SKIPPED)} tests were skipped, which CI does not allow; the reasons stand above", red=True)
