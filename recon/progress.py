"""Progress: what a run says of itself while it works. A terminal, a log line a minute, or nothing at all listens."""

from typing import Protocol


class Progress(Protocol):
    """A listener; it must not raise and must not be slow."""

    def stage(self, name: str) -> None:
        """A new stage has begun: `fetch`, `compare`, `confirm`, …"""
        ...

    def advance(self, done: int, total: int | None, unit: str) -> None:
        """So much of the stage is done; `total` is None where nobody knows it."""
        ...

    def note(self, text: str) -> None:
        """One sentence that a person should see, such as a retry or a resumed fetch."""
        ...


class Silent:
    """Listens to nothing."""

    def stage(self, name: str) -> None:
        del name

    def advance(self, done: int, total: int | None, unit: str) -> None:
        del done, total, unit

    def note(self, text: str) -> None:
        del text
