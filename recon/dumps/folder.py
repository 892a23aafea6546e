"""A folder of this machine."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from recon.clock import Clock
from recon.dumps.pin import SMALL, Pin


class Folder:
    """Implements `Place`: files are read where they lie."""

    credential = ""
    local = True
    lists = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words = str(folder)

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self.folder / name

    def names(self, pattern: str) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.glob(pattern) if path.is_file())

    def look(self, names: Sequence[str]) -> list[Pin]:
        return [self._look(name) for name in names]

    def _look(self, name: str) -> Pin:
        try:
            about = self.path(name).stat()
        except OSError:
            return Pin()
        return Pin(size=about.st_size, changed=datetime.fromtimestamp(about.st_mtime, UTC).isoformat())

    def blocks(self, name: str, pin: Pin, at: int, clock: Clock) -> Iterator[bytes]:
        del pin, clock
        with self.path(name).open("rb") as file:
            file.seek(at)
            while block := file.read(SMALL):
                yield block

    def small(self, name: str) -> bytes | None:
        try:
            with self.path(name).open("rb") as file:
                return file.read(SMALL)
        except OSError:
            return None

    def close(self) -> None:
        """Nothing stays open."""
