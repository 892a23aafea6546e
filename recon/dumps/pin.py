"""Pin: what tells whether a file is still the one that was listed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recon.job import Scalar

SMALL = 1024 * 1024
"""The most that a file of checksums may hold, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One file as it was when the files were listed. `size` is None where it was not there; the rest is "" where the place tells none.

    `changed` is the time of its last change as the place writes it, `etag` and `version` what HTTP and S3 tell files apart by,
    `packed` the encoding that the place says it lies in ("gzip").
    """

    size: int | None = None
    changed: str = ""
    etag: str = ""
    version: str = ""
    packed: str = ""

    def params(self) -> dict[str, Scalar]:
        """For a partition."""
        return {"size": self.size, "changed": self.changed, "etag": self.etag, "version": self.version, "packed": self.packed}

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Pin":
        """The reverse of `params`."""
        return cls(**{name: params[name] for name in ("size", "changed", "etag", "version", "packed")})

    def words(self) -> str:
        """For a message."""
        told = [f"{self.size:,} bytes" if self.size is not None else "not there"]
        told += [f"{word} {text}" for word, text in (("of", self.changed), ("ETag", self.etag), ("version", self.version)) if text]
        return ", ".join(told)
