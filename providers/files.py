"""Files as the third party: settlement files, exports, dumps in a folder: `type = "files"`."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from recon import End, Listing, Lookup, Meter, Page, Section, Unread
from recon.clock import Clock
from recon.errors import BadRequest, CursorExpired, InvalidPage, Refused
from recon.fetch.dump import Dialect, Row, opened, rows
from recon.fetch.partition import Part, Partition

ROWS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """One list: its files, in the order in which they count, and how they are written."""

    pattern: str | None
    names: tuple[str, ...]
    expect: int | None
    checksum: str | None
    newest_wins: bool
    key: str
    dialect: Dialect


class Files:
    """Lists that come as files of a folder, several files together being one state.

    Settings: `folder`, beside recon.toml by default; a table `[….resources.NAME]` each with `files`, a pattern such as
    `"settled-*.csv"` or a list of names of which every one must be there; `expect`, how many a pattern must fit; `format` (`csv`, `jsonl`; a
    name that ends in .gz is unpacked); `key`; for CSV `delimiter`, `quote`, `encoding`, `columns`, and `trailer` with `count`;
    `checksum = "sha256"`, which wants `FILE.sha256` beside each; `newest_wins`: a key in two files is a reissue, and the later file counts.

    A file that is not there is not an empty file: a name that is missing leaves the list partial, and a pattern that fits nothing is
    refused. The list of files is taken first; one that changes while it is read is begun anew. Single items cannot be read, so the second
    look is a second listing.
    """

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self.meter = Meter()
        section.take("type", None)
        self._folder = section.folder / section.text("folder", ".")
        tables = section.mapping("resources", {})
        if not tables:
            hint = f'add [{section.path}.resources.settlements] with files = "settled-*.csv"'
            raise section.bad("resources", "declares nothing to fetch", hint=hint)
        parent = section.sub("resources")
        self.catalogue: Mapping[str, Dump] = {name: _read_dump(parent.sub(name)) for name in tables}
        section.finish()
        #: The files as they were when the scope was told: the plan is made of these very ones.
        self._told: dict[str, list[Partition]] = {}

    def resources(self) -> Sequence[str]:
        return sorted(self.catalogue)

    def key_path(self, resource: str) -> str:
        return self._of(resource).key.replace(".", "\\.") if self._of(resource).dialect.format == "csv" else self._of(resource).key

    def can_get(self, resource: str) -> bool:
        del resource
        return False

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        del keys, clock
        msg = f"{self.name} {resource}: a file has no single items to ask for"
        raise BadRequest(msg)

    def link(self, resource: str, key: str) -> str | None:
        del resource, key
        return None

    def drifts(self, resource: str) -> bool:
        """Whether a key in two files is one item, of which the later file tells."""
        return self._of(resource).newest_wins

    def identity(self, resource: str) -> str:
        """How the files are read: pages that were read in two ways are never put together."""
        return repr((str(self._folder), self._of(resource)))

    def scope(self, resource: str) -> Mapping[str, str]:
        """The folder, what was asked for, and the files that were there: should they change, the fetch begins anew."""
        one, there = self._of(resource), self._listed(resource)
        self._told[resource] = there
        print_ = hashlib.sha256(json.dumps([part.params for part in there], sort_keys=True, default=str).encode()).hexdigest()
        asked = one.pattern or ", ".join(one.names)
        return {"account": str(self._folder), "filters": asked, "files": f"{len(there):,}, as of {print_[:12]}"}

    def planner(self, listing: Listing) -> "_Files":
        """A part for each file."""
        return _Files(self._told.get(listing.resource) or self._listed(listing.resource))

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """One file, a page of rows at a time. Raises Refused where it is not there, CursorExpired where it changed, InvalidPage where it breaks off."""
        one, part = self._of(listing.resource), listing.partition
        path = self._folder / str(part.params["file"])
        name = f"{self.name} {listing.resource}: {path.name}"
        self._hold_identity(path, part, name)
        self.meter.requests += 1
        sum_ = _checked(path, one.checksum, name) if one.checksum is not None else ""
        done = int((listing.resume or {"rows": 0})["rows"])
        with opened(path, one.dialect) as text:
            every = rows(text, one.dialect, name)
            for _ in islice(every, done):
                """What was read before is passed over, not read again."""
            page = list(islice(every, ROWS))
            while following := list(islice(every, ROWS)):
                done += len(page)
                yield _page(page, {"rows": done}, None)
                page = following
            done += len(page)
        self._hold_identity(path, part, name)
        how = f"its trailer says {done:,} records" if one.dialect.trailer is not None else f"{done:,} records"
        yield _page(page, None, End(f"{path.name}: {part.params['size']:,} bytes to their end, {how}{sum_}"))

    def sample(self, listing: Listing) -> Iterator[Page]:
        """The first file, for a look at how the rows are: a listing as a whole names none."""
        return self.fetch(replace(listing, partition=self._listed(listing.resource)[0]))

    def close(self) -> None:
        """Nothing stays open."""

    # -- files -------------------------------------------------------------------------------------------------------------

    def _of(self, resource: str) -> Dump:
        if resource not in self.catalogue:
            msg = f"provider {self.name} has no resource {resource!r}; it has {', '.join(sorted(self.catalogue))}"
            raise BadRequest(msg)
        return self.catalogue[resource]

    def _listed(self, resource: str) -> list[Partition]:
        """A part for each file, in the order in which they count, with what tells whether it is still the same one."""
        one = self._of(resource)
        names = list(one.names) or sorted(path.name for path in self._folder.glob(one.pattern or "") if path.is_file())
        where = f"{self.name} {resource}: {one.pattern} in {self._folder}"
        if not names:
            msg = f"{where} fits no file, and a file that is not there is not an empty one"
            raise Refused(msg, hint="has the delivery come? check folder and files in the provider's table of recon.toml")
        if one.expect is not None and len(names) != one.expect:
            msg = f"{where} fits {len(names):,} files, {one.expect:,} are expected"
            raise Refused(msg, hint="has the whole delivery come? expect in the resource says how many there must be")
        return [Partition(name=name, params={"file": name, **_identity(self._folder / name)}) for name in names]

    def _hold_identity(self, path: Path, part: Partition, name: str) -> None:
        now = _identity(path)
        if now["size"] is None:
            msg = f"{name} is not there"
            raise Refused(msg, hint="a file that is not there is not an empty one; has the delivery come?")
        if any(now[what] != part.params[what] for what in now):
            msg = f"{name} was {part.params['size']} bytes of {part.params['changed']} when the files were listed, and is {now['size']} of {now['changed']}"
            raise CursorExpired(msg)


@dataclass(frozen=True, slots=True)
class _Files:
    """The plan: one file after another."""

    listed: Sequence[Partition]
    ranged: bool = False

    def following(self, parts: Sequence[Part]) -> Partition | None:
        begun = {part.partition.name for part in parts}
        return next((one for one in self.listed if one.name not in begun), None)


def _identity(path: Path) -> dict[str, Any]:
    try:
        about = path.stat()
    except OSError:
        return {"size": None, "changed": None}
    return {"size": about.st_size, "changed": datetime.fromtimestamp(about.st_mtime, UTC).isoformat()}


def _checked(path: Path, kind: str, name: str) -> str:
    """Holds the file against the sum beside it; says so for the certificate."""
    beside = path.with_name(f"{path.name}.{kind}")
    try:
        said = beside.read_text(encoding="ascii", errors="replace").split()[0].lower()
    except (OSError, IndexError):
        msg = f"{name}: there is no {beside.name} beside it that could be read"
        raise InvalidPage(msg, hint="checksum in the resource asks for one beside each file") from None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found != said:
        msg = f"{name}: its {kind} is {found[:12]}…, and {beside.name} says {said[:12]}…"
        raise InvalidPage(msg, hint="the file was cut or changed on its way; fetch it again")
    return f", {kind} {found[:12]}…"


def _page(page: Sequence[Row], following: dict[str, int] | None, end: End | None) -> Page:
    items = [row for row in page if isinstance(row, bytes)]
    unread = tuple(row for row in page if isinstance(row, Unread))
    return Page(items=items, unread=unread, next=following, end=end, bytes_read=sum(map(len, items)))


def _read_dump(section: Section) -> Dump:
    """The list that a table of recon.toml declares; BadSetting where it declares none that can be."""
    given = section.take("files")
    names = tuple(given) if isinstance(given, list) else ()
    if not (isinstance(given, str) and given.strip()) and not (names and all(isinstance(name, str) and name for name in names)):
        raise section.bad("files", "wants a pattern or a list of names", hint='files = "settled-*.csv", or files = ["a.csv", "b.csv"]')
    format_ = section.choice("format", ("csv", "jsonl"), "csv")
    columns = section.typed("columns", list, [], words="a list of names")
    dialect = Dialect(
        format=format_,
        delimiter=section.text("delimiter", ","),
        quote=section.text("quote", '"'),
        encoding=section.text("encoding", "utf-8"),
        columns=tuple(str(name) for name in columns),
        trailer=section.text("trailer", None),
        count=section.integer("count", 1, low=0),
    )
    for key in ("delimiter", "quote"):
        if len(getattr(dialect, key)) != 1:
            raise section.bad(key, f"is {getattr(dialect, key)!r}, one character is wanted")
    try:
        "".encode(dialect.encoding)
    except LookupError:
        raise section.bad("encoding", f"is {dialect.encoding!r}, which is none", hint="such as utf-8, iso-8859-1 or cp1252") from None
    if format_ == "jsonl":
        for key in ("delimiter", "quote", "columns", "trailer", "count"):
            if key in section.table:
                raise section.bad(key, "belongs to CSV")
    dump = Dump(
        pattern=given if isinstance(given, str) else None,
        names=names,
        expect=section.integer("expect", None, low=1),
        checksum=section.choice("checksum", ("sha256", "sha512", "md5"), None),
        newest_wins=section.flag("newest_wins", False),
        key=section.text("key", "id"),
        dialect=dialect,
    )
    section.finish()
    return dump
