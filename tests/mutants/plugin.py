"""A plugin of pytest that takes mechanisms out for the length of a session: `RECON_WITHOUT=fence,guards pytest -p tests.mutants.plugin …`."""

import os
from contextlib import ExitStack

import pytest

from tests.mutants.mechanisms import removed

HELD = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Takes them out before anything is collected."""
    del config
    names = [name for name in os.environ.get("RECON_WITHOUT", "").split(",") if name]
    HELD.enter_context(removed(*names))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Puts them back."""
    del config
    HELD.close()
