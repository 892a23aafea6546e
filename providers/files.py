"""Files as the third party: settlement files, exports, dumps in a folder or on a server: `type = "files"`."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path

from recon import End, Listing, Lookup, Meter, Page, Section, Unread
from recon.clock import Clock, SystemClock
from recon.dumps.copies import Copies
from recon.dumps.dates import MOST_DAYS, Days, dated, on_days
from recon.dumps.folder import Folder
from recon.dumps.pin import Pin
from recon.dumps.place import place_of
from recon.dumps.rows import Dialect, Row, rows
from recon.dumps.unpack import Packing, packing_of
from recon.errors import BadRequest, CursorExpired, InvalidPage, Refused
from recon.fetch.partition import Part, Partition

ROWS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """One list: its files, in the order in which they count, and how they are written."""

    #: Patterns, of which each must fit, or names.
    patterns: tuple[str, ...]
    names: tuple[str, ...]
    days: Days
    expect: int | None
    checksum: str | None
    sums: str | None
    newest_wins: bool
    empty_ok: bool
    key: str
    packing: str
    dialect: Dialect


class Files:
    """Lists that come as files, several files together being one state.

    Settings: where they lie, `folder` (beside recon.toml by default), `base_url`, `bucket` or `host`, with the keys of `recon.dumps`; `cache`,
    where copies from elsewhere stand while they are read; a table `[….resources.NAME]` each with `files`, a pattern such as
    `"settled-*.csv"` or a list of names of which every one must be there, either with `{date}` or `{date:%Y%m%d}` in it: the run's local date, or
    `days` dates up to the one `days_ago`; `expect`, how many a pattern must fit; `concurrency`, how many files are read side by side; `format` (`csv`, `jsonl`,
    `json` with `records`, `parquet`); `packing`, by the name's end where it is not said; `key`; for CSV `delimiter`, `quote`, `encoding`,
    `columns`, and `trailer` with `count`, `sum` and `total`; `checksum = "sha256"`, which wants `FILE.sha256` beside each, or all of them in `sums`;
    `newest_wins`: a key in two files is a reissue, and the later file counts; `empty_ok`: a file may have no record.

    A file that is not there is not an empty file: a name that is missing leaves the list partial, and a pattern that fits nothing is
    refused. Nor is a file that holds nothing an empty list, unless it says so itself: a trailer of 0, an array that is closed. The list of files is taken first; one that changes until the last of them was read is begun anew. Single items cannot be read, so the second
    look is a second listing.
    """

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self.meter = Meter()
        section.take("type", None)
        self._place = place_of(section, self.meter)
        self._copies = Copies(section.folder / section.text("cache", ".recon/files"), self._place)
        self.concurrency: int = section.integer("concurrency", 1 if self._place.local else 4, low=1)
        tables = section.mapping("resources", {})
        if not tables:
            hint = f'add [{section.path}.resources.settlements] with files = "settled-*.csv"'
            raise section.bad("resources", "declares nothing to fetch", hint=hint)
        parent = section.sub("resources")
        self.catalogue: Mapping[str, Dump] = {name: _read_dump(parent.sub(name), lists=self._place.lists) for name in tables}
        section.finish()
        #: The files as they were when the scope was told: the plan is made of these very ones.
        self._told: dict[str, list[Partition]] = {}
        self._dates: dict[str, date] = {}

    def resources(self) -> Sequence[str]:
        return sorted(self.catalogue)

    def key_path(self, resource: str) -> str:
        one = self._of(resource)
        # A dot in a column's name is none of a path.
        return one.key.replace(".", "\\.") if one.dialect.format in {"csv", "parquet"} else one.key

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

    def prepare(self, listing: Listing) -> None:
        """Keeps the run's date, by which files are named."""
        self._dates[listing.resource] = _date_of(listing)

    def width(self, resource: str) -> int:
        """How many files are read side by side; one where the order in which they come says which of two counts."""
        return 1 if self._of(resource).newest_wins else self.concurrency

    def changed(self, listing: Listing, partitions: Sequence[Partition]) -> Mapping[str, str]:
        """The files that are other ones by now than those that were read; where a place keeps versions, the listed ones were, and stand."""
        pins = self._place.look([str(part.params["file"]) for part in partitions])
        told = {part.name: (Pin.of(part.params), pin) for part, pin in zip(partitions, pins, strict=True)}
        where = f"{self.name} {listing.resource}"
        return {name: _replaced(f"{where}: {name}", pin, now) for name, (pin, now) in told.items() if now != pin and not pin.version}

    def drifts(self, resource: str) -> bool:
        """Whether a key in two files is one item, of which the later file tells."""
        return self._of(resource).newest_wins

    def identity(self, resource: str) -> str:
        """How the files are read: pages that were read in two ways are never put together."""
        return repr((self._place.words, self._of(resource)))

    def scope(self, resource: str) -> Mapping[str, str]:
        """The place, what was asked for, and the files that were there: should they change, the fetch begins anew."""
        today = self._dates.get(resource) or SystemClock().now().date()
        one, there = self._of(resource), self._listed(resource, today)
        self._told[resource] = there
        print_ = hashlib.sha256(json.dumps([part.params for part in there], sort_keys=True, default=str).encode()).hexdigest()
        asked = ", ".join(one.patterns or one.names)
        if dated([asked]):
            days = one.days.before(today)
            asked += f" of {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "")
        told = {"account": self._place.words, "filters": asked, "files": f"{len(there):,}, as of {print_[:12]}"}
        return told | ({"credential": self._place.credential} if self._place.credential else {})

    def planner(self, listing: Listing) -> "_Files":
        """A part for each file."""
        return _Files(self._told.get(listing.resource) or self._listed(listing.resource, _date_of(listing)))

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """One file, a page of rows at a time. Raises Refused where it is not there, CursorExpired where it changed, InvalidPage where it breaks off."""
        if listing.params:
            msg = f"{self.name} {listing.resource}: the job gives params ({', '.join(sorted(listing.params))}), and a file takes none"
            raise BadRequest(msg, hint="take params out of the job; which files are read is said by files in the resource")
        one, name = self._of(listing.resource), str(listing.partition.params["file"])
        subject, pin = f"{self.name} {listing.resource}: {name}", Pin.of(listing.partition.params)
        self._hold(name, pin, subject)
        done = int((listing.resume or {"rows": 0})["rows"])
        with self._at_hand(name, pin, listing.clock) as path:
            sum_ = self._checked(path, name, one, subject)
            every = rows(path, one.dialect, _packing(one, name, pin), subject)
            for _ in islice(every, done):
                """What was read before is passed over, not read again."""
            page = list(islice(every, ROWS))
            while following := list(islice(every, ROWS)):
                done += len(page)
                yield _page(page, {"rows": done}, None)
                page = following
            done += len(page)
            self._hold(name, pin, subject)
        if not done and not one.empty_ok and one.dialect.trailer is None and one.dialect.format in {"csv", "jsonl"}:
            msg = f"{subject}: there is no record in it, and nothing in it says that this is meant"
            raise InvalidPage(
                msg, hint="was it cut on its way, or not written yet? empty_ok = true in the resource where such a file is right"
            )
        size = f"{pin.size:,} bytes to their end" if pin.size is not None and pin.size >= 0 else "read to its end"
        last = _page(page, None, End(f"{name}: {size}, {_counted(one.dialect, done)}{sum_}"))
        yield replace(last, notes=self._rest_of_proof(listing, one, name))

    def sample(self, listing: Listing) -> Iterator[Page]:
        """The first file, for a look at how the rows are: a listing as a whole names none."""
        return self.fetch(replace(listing, partition=self._listed(listing.resource, _date_of(listing))[0]))

    def close(self) -> None:
        self._place.close()

    def _rest_of_proof(self, listing: Listing, one: Dump, name: str) -> tuple[str, ...]:
        """What the certificate is to say beside the proof, once for all files: that a file cut at a line's end would not show it."""
        listed = self._told.get(listing.resource) or [listing.partition]
        files = [str(part.params["file"]) for part in listed]
        bare = [file for part, file in zip(listed, files, strict=True) if _is_bare(one, file, Pin.of(part.params))]
        if not bare or name != files[0]:
            return ()
        which = "the file" if len(files) == 1 else f"{len(bare):,} of {len(files):,} files" if len(bare) < len(files) else "the files"
        return (
            f"nothing in {which} says how many rows there are: that none is lacking rests on the end of {'it' if len(files) == 1 else 'each'} alone",
        )

    # -- files -------------------------------------------------------------------------------------------------------------

    def _of(self, resource: str) -> Dump:
        if resource not in self.catalogue:
            msg = f"provider {self.name} has no resource {resource!r}; it has {', '.join(sorted(self.catalogue))}"
            raise BadRequest(msg)
        return self.catalogue[resource]

    def _listed(self, resource: str, today: date) -> list[Partition]:
        """A part for each file, in the order in which they count, with what tells whether it is still the same one."""
        one = self._of(resource)
        days = one.days.before(today)
        names = on_days(one.names, days)
        for pattern in on_days(one.patterns, days):
            fits = self._place.names(pattern)
            if not fits:
                msg = f"{self.name} {resource}: {pattern} in {self._place.words} fits no file, and a file that is not there is not an empty one"
                raise Refused(msg, hint="has the delivery come? check folder and files in the provider's table of recon.toml")
            names += [name for name in fits if name not in names]
        where = f"{self.name} {resource}: {', '.join(one.patterns)} in {self._place.words}"
        if one.expect is not None and len(names) != one.expect:
            msg = f"{where} fits {len(names):,} {'file' if len(names) == 1 else 'files'}, {one.expect:,} are expected"
            raise Refused(msg, hint="has the whole delivery come? expect in the resource says how many there must be")
        return [
            Partition(name=name, params={"file": name, **pin.params()}) for name, pin in zip(names, self._place.look(names), strict=True)
        ]

    def _hold(self, name: str, pin: Pin, subject: str) -> None:
        """Raises Refused where the file was not there, CursorExpired where it is another one by now; a file from elsewhere is held on its way."""
        now = self._place.look([name])[0] if isinstance(self._place, Folder) else pin
        if now.size is None:
            msg = f"{subject} is not there"
            raise Refused(msg, hint="a file that is not there is not an empty one; has the delivery come?")
        if now != pin:
            raise CursorExpired(_replaced(subject, pin, now))

    @contextmanager
    def _at_hand(self, name: str, pin: Pin, clock: Clock) -> Iterator[Path]:
        """The file on this machine: where it lies, or a copy."""
        if isinstance(self._place, Folder):
            self.meter.requests += 1
            yield self._place.path(name)
        else:
            with self._copies.brought(name, pin, clock) as path:
                yield path

    def _checked(self, path: Path, name: str, one: Dump, subject: str) -> str:
        """Holds the file against the sum that was delivered with it; says so for the certificate."""
        if one.checksum is None:
            return ""
        beside = one.sums or f"{name}.{one.checksum}"
        said = _sum_of(self._place.small(beside) or b"", name, several=one.sums is not None)
        if said is None:
            msg = f"{subject}: there is no {beside} beside it that could be read" + (" and names it" if one.sums else "")
            raise InvalidPage(msg, hint="checksum in the resource asks for one beside each file, or for all of them in sums")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, one.checksum).hexdigest()
        if found != said:
            msg = f"{subject}: its {one.checksum} is {found[:12]}…, and {beside} says {said[:12]}…"
            raise InvalidPage(msg, hint="the file was cut or changed on its way; fetch it again")
        return f", {one.checksum} {found[:12]}…"


@dataclass(frozen=True, slots=True)
class _Files:
    """The plan: one file after another."""

    listed: Sequence[Partition]
    ranged: bool = False

    def following(self, parts: Sequence[Part]) -> Partition | None:
        begun = {part.partition.name for part in parts}
        return next((one for one in self.listed if one.name not in begun), None)


def _date_of(listing: Listing) -> date:
    return listing.day or listing.clock.now().date()


def _replaced(subject: str, pin: Pin, now: Pin) -> str:
    return f"{subject} was {pin.words()} when the files were listed, and is {now.words()}"


def _sum_of(text: bytes, name: str, *, several: bool) -> str | None:
    """The file's sum out of what `sha256sum` and its kin write: the sum alone, or `SUM  NAME` on each line."""
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.split(maxsplit=1)
        if words and (not several or (len(words) == 2 and words[1].removeprefix("*").removeprefix("./") == name)):
            return words[0].lower()
    return None


def _packing(one: Dump, name: str, pin: Pin) -> Packing | None:
    """How the file is packed: as declared, by its name's end, or by the server's word for it."""
    match one.packing:
        case "gzip" | "zstd" as how:
            return how
        case "none":
            return None
    return packing_of(name) or ("gzip" if pin.packed == "gzip" else None)


def _is_bare(one: Dump, name: str, pin: Pin) -> bool:
    """Whether nothing but its end speaks for a file: no trailer, no sum, no packing that counts its bytes, no format that closes."""
    return (
        one.dialect.format in {"csv", "jsonl"} and one.dialect.trailer is None and one.checksum is None and _packing(one, name, pin) is None
    )


def _counted(dialect: Dialect, done: int) -> str:
    if dialect.format == "parquet":
        return f"its footer says {done:,} rows"
    if dialect.trailer is None:
        return f"{done:,} records"
    return f"its trailer says {done:,} records" + (f" and the sum of {dialect.sum}" if dialect.sum else "")


def _page(page: Sequence[Row], following: dict[str, int] | None, end: End | None) -> Page:
    items = [row for row in page if isinstance(row, bytes)]
    unread = tuple(row for row in page if isinstance(row, Unread))
    return Page(items=items, unread=unread, next=following, end=end, bytes_read=sum(map(len, items)))


OF_CSV = ("delimiter", "quote", "columns", "trailer", "count", "sum", "total")


def _read_dump(section: Section, *, lists: bool) -> Dump:
    """The list that a table of recon.toml declares; BadSetting where it declares none that can be."""
    given = section.take("files")
    names = tuple(given) if isinstance(given, list) else ()
    if not (isinstance(given, str) and given.strip()) and not (names and all(isinstance(name, str) and name for name in names)):
        raise section.bad("files", "wants a pattern or a list of names", hint='files = "settled-*.csv", or files = ["a.csv", "b.csv"]')
    named = on_days(names or (given,), [date(2026, 1, 31)])
    outside = next((name for name in named if name.startswith("/") or ".." in name.split("/")), None)
    if outside is not None:
        raise section.bad(
            "files", f"has {outside!r}, which leads out of the folder", hint="folder says where the files lie; files names them in it"
        )
    if isinstance(given, str) and not lists:
        if any(c in given for c in "*?["):
            raise section.bad("files", "is a pattern, and a web server lists nothing", hint='name each: files = ["a.csv", "b.csv"]')
        names = (given,)
    days = Days(count=section.integer("days", 1, low=1), ago=section.integer("days_ago", 0, low=0))
    _fit_dates(section, names or (given,), days)
    format_ = section.choice("format", ("csv", "jsonl", "json", "parquet"), "csv")
    columns = section.typed("columns", list, [], words="a list of names")
    dialect = Dialect(
        format=format_,
        delimiter=section.text("delimiter", ","),
        quote=section.text("quote", '"'),
        encoding=section.text("encoding", "utf-8"),
        columns=tuple(str(name) for name in columns),
        trailer=section.text("trailer", None),
        count=section.integer("count", 1, low=0),
        sum=section.text("sum", None),
        total=section.integer("total", 2, low=0),
        records=section.text("records", ""),
    )
    for key in ("delimiter", "quote"):
        if len(getattr(dialect, key)) != 1:
            raise section.bad(key, f"is {getattr(dialect, key)!r}, one character is wanted")
    try:
        "".encode(dialect.encoding)
    except LookupError:
        raise section.bad("encoding", f"is {dialect.encoding!r}, which is none", hint="such as utf-8, iso-8859-1 or cp1252") from None
    _fit_together(section, format_)
    dump = Dump(
        patterns=() if names else (given,),
        names=names,
        days=days,
        expect=section.integer("expect", None, low=1),
        checksum=section.choice("checksum", ("sha256", "sha512", "md5"), None),
        sums=section.text("sums", None),
        newest_wins=section.flag("newest_wins", False),
        empty_ok=section.flag("empty_ok", False),
        key=section.text("key", "id"),
        packing=section.choice("packing", ("by name", "none", "gzip", "zstd"), "by name"),
        dialect=dialect,
    )
    section.finish()
    return dump


def _fit_dates(section: Section, names: Sequence[str], days: Days) -> None:
    """Raises BadSetting for days without a date in the names, and for a date that cannot be written so."""
    for key in ("days", "days_ago"):
        if key in section.table and not dated(names):
            raise section.bad(key, "says which dates, and files has no {date} in it", hint='such as files = "settled-{date:%Y%m%d}.csv"')
    if days.count + days.ago > MOST_DAYS:
        raise section.bad("days", f"goes {days.count + days.ago:,} days back, {MOST_DAYS:,} are the most")


def _fit_together(section: Section, format_: str) -> None:
    """Raises BadSetting for a key that says nothing beside the others."""
    for key in OF_CSV if format_ != "csv" else ():
        if key in section.table:
            raise section.bad(key, "belongs to CSV")
    if "records" in section.table and format_ != "json":
        raise section.bad("records", 'belongs to format = "json"')
    for key, wanted in (("count", "trailer"), ("sum", "trailer"), ("total", "sum"), ("sums", "checksum")):
        if key in section.table and wanted not in section.table:
            raise section.bad(key, f"goes together with {wanted}")
    if format_ == "parquet" and section.table.get("packing") in {"gzip", "zstd"}:
        raise section.bad("packing", "Parquet is packed within itself")
