"""A comparison kept beside its snapshot, so that a run which broke off during its second listing goes on from the same first look.

Pages of a second listing only count against a first look at the store that is older than they are: were the store read anew, an item
that changed in between would show its new state there and its old one in both listings.
"""

import os
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from recon.compare.diff import Comparison
from recon.compare.limits import engine_faults
from recon.compare.snapshot import Snapshot
from recon.discrepancy import DiscrepancyKind
from recon.files import local_faults
from recon.job import Job
from recon.report.figures import Duplicate, Unreadable

FILE = "comparison.json"
LEFT_OUT = {"job", "file"}


def mark_of(job: Job, snapshot: Snapshot, pages: bytes) -> str:
    """A hash of everything that a comparison was made of but the store's rows; `pages` tells one fetch from another."""
    columns = [[f.name, f.column, f.expression, f.tolerance] for f in job.fields]
    told = [snapshot.declaration, snapshot.engine, repr(job.table), job.store, job.direction, columns, sha256(pages).hexdigest()]
    return sha256(msgspec.json.encode(told)).hexdigest()


def keep(comparison: Comparison, snapshot: Snapshot, mark: str) -> None:
    """Writes the comparison down, last of all its files; raises LocalFault."""
    body = {f.name: getattr(comparison, f.name) for f in fields(Comparison) if f.name not in LEFT_OUT}
    with engine_faults(f"{comparison.job.domain}: writing down the comparison", snapshot.folder):
        temporary = snapshot.folder / f"{FILE}.part"
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode({"mark": mark, "file": comparison.file.name, **body}))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(snapshot.folder / FILE)


def drop(folder: Path) -> None:
    """Forgets the comparison kept in a snapshot's folder."""
    with local_faults(folder / FILE, "removing"):
        (folder / FILE).unlink(missing_ok=True)


def kept(job: Job, snapshot: Snapshot, mark: str) -> Comparison | None:
    """The comparison kept in the snapshot's folder, or None where there is none that was made of the same."""
    try:
        body: dict[str, Any] = msgspec.json.decode((snapshot.folder / FILE).read_bytes())
        if body.pop("mark") != mark:
            return None
        file = snapshot.folder / body.pop("file")
        if not file.exists():
            return None
        body["counts"] = {DiscrepancyKind(kind): count for kind, count in body["counts"].items()}
        body["duplicates"] = msgspec.convert(body["duplicates"], list[Duplicate])
        body["unreadable"] = msgspec.convert(body["unreadable"], list[Unreadable])
        body["controls"] = tuple(body["controls"])
        return Comparison(job=job, file=file, **body)
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return None
