"""What the certificate of files says of their proof."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.providers.test_files import files, folder, landed

__all__ = ["folder"]


@pytest.mark.parametrize(
    ("names", "resource", "which"),
    [
        (["a.csv"], {}, "in the file says how many rows there are: that none is lacking rests on the end of it alone"),
        (["a.csv", "b.csv"], {}, "in the files says"),
        (["a.csv.gz", "b.csv"], {"files": "*.csv*"}, "in 1 of 2 files says"),
        (["a.csv.gz"], {"files": "*.csv*"}, None),
        (["a.csv"], {"checksum": "sha256"}, None),
    ],
)
def test_what_only_its_end_proves_is_said_to_be_so(
    folder: Path, tmp_path: Path, names: list[str], resource: dict[str, Any], which: str | None
) -> None:
    """A file that would look whole if it were cut at a line's end is whole, and the certificate says once that the proof is its end alone."""
    for name in names:
        text = b"id,name,amount\n%s1,a,10\n" % name[:1].encode()
        body = gzip.compress(text) if name.endswith(".gz") else text
        (folder / name).write_bytes(body)
        if "checksum" in resource:
            (folder / f"{name}.sha256").write_text(hashlib.sha256(body).hexdigest())

    coverage, _ = landed(files(folder, resource), tmp_path / "s")

    assert coverage.whole
    assert len(coverage.notes) == (which is not None)
    assert which is None or f"nothing {which}" in coverage.proof
