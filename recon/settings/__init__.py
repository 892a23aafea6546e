"""recon.toml and the environment, as frozen settings that know where each value came from."""

from recon.settings.load import Engine, Schedule, Setting, Settings, default_state_url, load

__all__ = ["Engine", "Schedule", "Setting", "Settings", "default_state_url", "load"]
