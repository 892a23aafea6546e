"""Where files lie: a folder, a web server, a bucket, an SFTP server."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from recon.clock import Clock
from recon.dumps.pin import Pin
from recon.fetch.listing import Meter
from recon.section import Section

WAYS = 'one of folder = "incoming", base_url = "https://…", bucket = "…" and host = "sftp.example"'


class Place(Protocol):
    """Must: `blocks` raises CursorExpired where the file is not the pinned one any more, and ends only where the file does."""

    #: Where it is, for the certificate: never a secret.
    words: str
    #: Who asks, where the place knows.
    credential: str
    #: Whether files are read where they lie; else they are brought here first.
    local: bool
    #: Whether it can say which files there are.
    lists: bool

    def names(self, pattern: str) -> list[str]:
        """The files that fit the pattern, sorted."""
        ...

    def look(self, names: Sequence[str]) -> list[Pin]:
        """How each file stands now; one without a size is not there. Raises ProviderError leaves."""
        ...

    def blocks(self, name: str, pin: Pin, at: int, clock: Clock) -> Iterator[bytes]:
        """The pinned file's bytes from `at` on, as they are stored."""
        ...

    def small(self, name: str) -> bytes | None:
        """A small file whole; None where it is not there."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


def place_of(section: Section, counts: Meter) -> Place:
    """The place that a provider's table names. Nothing is connected yet; raises BadSetting."""
    keys = [key for key in ("folder", "base_url", "bucket", "host") if key in section.table]
    if len(keys) > 1 and keys != ["folder", "host"]:
        raise section.bad(keys[1], f"does not go together with {keys[0]}: the files lie at {WAYS}")
    if "host" in keys:
        from recon.dumps.sftp import sftp_of

        return sftp_of(section, counts)
    if "base_url" in keys:
        from recon.dumps.web import web_of

        return web_of(section, counts)
    if "bucket" in keys:
        from recon.dumps.bucket import bucket_of

        return bucket_of(section, counts)
    from recon.dumps.folder import Folder

    return Folder(section.folder / section.text("folder", "."))
