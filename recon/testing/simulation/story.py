"""The story of a world: one line for everything that happened, in order; the same seed tells the same story, byte for byte."""

from recon.testing.simulation.clock import Time


class Story:
    """The lines so far. What depends on this machine (paths, process numbers, seconds of its own clocks) is never told."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.lines: list[str] = []

    def tell(self, who: str, what: str) -> None:
        """One line."""
        self.lines.append(f"{self._time.words()} {who:<12} {what}")
