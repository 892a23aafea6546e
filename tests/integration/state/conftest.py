"""The fixtures of the tests of the state, by import, so that a test names only what it takes."""

from tests.integration.state.world import clock, migrated_file, migrated_url, nights, state, state_url, url

__all__ = ["clock", "migrated_file", "migrated_url", "nights", "state", "state_url", "url"]
