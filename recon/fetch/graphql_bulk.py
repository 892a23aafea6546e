"""Bulk exports: a whole connection written to a file by the third party, waited for, and read with every count held against it.

As Shopify has them (https://shopify.dev/docs/api/usage/bulk-operations/queries, read 2026-11): a mutation starts an operation, which
changes nothing of the shop; it is looked at until it is COMPLETED; its `url` leads to a JSONL file on another host.
A mutation is not asked again blindly: an operation bears a mark of ours in its query, so one whose answer was lost is found by it.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from recon.clock import Clock
from recon.duration import words_of
from recon.errors import CursorExpired, InvalidPage, Refused, Throttled, Unreachable
from recon.fetch.download import Download, Downloads, identity_of
from recon.fetch.graphql_ask import Asker
from recon.fetch.graphql_lines import Gathered, Gatherer, lines_of
from recon.fetch.page import Checkpoint, End, Page, Unread

MARK = "nightly-recon"
RUN = """mutation($query: String!, $grouped: Boolean!) {
  bulkOperationRunQuery(query: $query, groupObjects: $grouped) { bulkOperation { id } userErrors { code message } }
}"""
LATEST = "{ bulkOperations(first: 20) { nodes { id query } } }"
STATE = """query($id: ID!) {
  bulkOperation(id: $id) { id status errorCode objectCount rootObjectCount fileSize url partialDataUrl }
}"""
BUSY = frozenset({"OPERATION_IN_PROGRESS", "LIMIT_REACHED"})
TRIES = 3
ITEMS, BYTES = 1000, 4 * 1024 * 1024


class Busy(Exception):
    """Other operations hold every place, and have done so for as long as is waited; `why` says so."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What one export asks for, and how long is waited: seconds between two looks, for a place, for the end."""

    query: str
    #: The type of each nested connection's nodes, and the field of the record that they belong to.
    nested: Mapping[str, str]
    poll: float = 10.0
    busy: float = 600.0
    wait: float = 4 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation as it stands. The counts are the third party's own."""

    id: str
    status: str
    error: str
    objects: int
    roots: int
    size: int | None
    url: str | None
    partial: str | None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Operation":
        """Out of an answer; raises InvalidPage. Counts come as texts, being wider than a JSON number may be."""
        try:
            return cls(
                id=str(told["id"]),
                status=str(told["status"]),
                error=str(told["errorCode"] or ""),
                objects=int(told["objectCount"]),
                roots=int(told["rootObjectCount"]),
                size=None if told["fileSize"] is None else int(told["fileSize"]),
                url=told["url"],
                partial=told["partialDataUrl"],
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the export's state cannot be read: {type(error).__name__} {str(error)[:80]}"
            raise InvalidPage(msg) from None


class Exports:
    """Runs exports. `once` sends a mutation a single time, `asker` everything else; `downloads` reads files, with no credential."""

    def __init__(self, asker: Asker, once: Asker, downloads: Downloads) -> None:
        self._asker = asker
        self._once = once
        self._downloads = downloads

    def pages(self, bulk: Bulk, resume: Checkpoint | None, clock: Clock) -> Iterator[Page]:
        """The export's records, page by page. The first two pages are empty: they are the places from which a killed fetch goes on.

        Raises Busy before the operation was begun, ProviderError leaves else: CursorExpired where a new export may do better.
        """
        mark = str((resume or {}).get("export") or secrets.token_hex(8))
        if resume is None:
            yield Page(items=[], next={"export": mark})
        gid = (resume or {}).get("operation")
        if gid is None:
            gid = self._begun(bulk, mark, clock, resumed=resume is not None)
            yield Page(items=[], next={"export": mark, "operation": gid, "offset": 0})
        operation = self._ended(bulk, str(gid), clock)
        yield from _Reading(self._downloads, bulk, operation, {"export": mark, "operation": gid}, clock).pages(resume)

    def _begun(self, bulk: Bulk, mark: str, clock: Clock, *, resumed: bool) -> str:
        """The id of our operation: the one that bears the mark, or a new one. One whose answer was lost is looked for before a second try."""
        query = f"# {MARK} {mark}\n{bulk.query}"
        began = clock.monotonic()
        lost = 0
        look = resumed
        while True:
            if look and (found := self._marked(mark, clock)) is not None:
                return found
            look = False
            try:
                return self._run(query, bulk, clock)
            except (Unreachable, Throttled):
                lost += 1
                if lost >= TRIES:
                    raise
                look = True
            except _InProgress as busy:
                waited = clock.monotonic() - began
                if waited + bulk.poll > bulk.busy:
                    why = f"other bulk operations of this app hold every place, for {words_of(waited)} now: {busy}"
                    raise Busy(why) from None
                # One of those that hold the places may be ours, its answer lost.
                look = lost > 0
            _pause(clock, bulk.poll)

    def _run(self, query: str, bulk: Bulk, clock: Clock) -> str:
        data = self._once.read(RUN, {"query": query, "grouped": bool(bulk.nested)}, subject="the bulk export", clock=clock)
        told = data.get("bulkOperationRunQuery") or {}
        errors = told.get("userErrors") or []
        said = "; ".join(str(error.get("message"))[:200] for error in errors)
        if any(error.get("code") in BUSY for error in errors):
            raise _InProgress(said)
        if errors or not told.get("bulkOperation"):
            msg = f"the bulk export was refused: {said or 'no operation, and no reason'}"
            raise self._asker.session.masked(Refused(msg, hint="bulk = false reads the list page by page"))
        return str(told["bulkOperation"]["id"])

    def _marked(self, mark: str, clock: Clock) -> str | None:
        nodes = self._asker.read(LATEST, {}, subject="the bulk operations", clock=clock).get("bulkOperations", {}).get("nodes") or []
        return next((str(node["id"]) for node in nodes if f"{MARK} {mark}" in str(node.get("query"))), None)

    def _ended(self, bulk: Bulk, gid: str, clock: Clock) -> Operation:
        """The operation, once it has ended; Unreachable where that takes longer than is waited, to be gone on with later."""
        began = clock.monotonic()
        pause = min(1.0, bulk.poll)
        while True:
            told = self._asker.read(STATE, {"id": gid}, subject="the bulk export", clock=clock).get("bulkOperation")
            if told is None:
                msg = f"the bulk export {gid} is not known any more"
                raise CursorExpired(msg)
            operation = Operation.of(told)
            if operation.status not in ("CREATED", "RUNNING", "CANCELING"):
                return operation
            if clock.monotonic() - began + pause > bulk.wait:
                msg = f"the bulk export {gid} still runs after {words_of(bulk.wait)}, at {operation.objects:,} objects"
                raise Unreachable(msg, hint="run it again: it goes on with this very export; bulk_wait bounds the waiting")
            _pause(clock, pause)
            pause = min(bulk.poll, pause * 2)


class _Reading:
    """The file of an operation that has ended, from an offset on."""

    def __init__(self, downloads: Downloads, bulk: Bulk, operation: Operation, place: Mapping[str, Any], clock: Clock) -> None:
        self._downloads = downloads
        self._bulk = bulk
        self._operation = operation
        self._place = dict(place)
        self._clock = clock
        self._subject = f"the bulk export {operation.id}"

    def pages(self, resume: Checkpoint | None) -> Iterator[Page]:
        at = int((resume or {}).get("offset", 0))
        gatherer = Gatherer(self._bulk.nested, objects=int((resume or {}).get("_objects", 0)), roots=int((resume or {}).get("_roots", 0)))
        url = self._url()
        if url is None:
            self._prove(gatherer, 0)
            yield Page(items=[], end=End(f"{self._subject} is COMPLETED, and holds nothing"), total=0)
            return
        pinned = (resume or {}).get("_file")
        file = self._downloads.file(url, clock=self._clock, pinned=identity_of(pinned) if pinned else None)
        ended = pinned is not None and pinned.get("size") == at
        yield from self._read(file, gatherer, at, ended=ended)

    def _url(self) -> str | None:
        """Where the file is; None for an export of nothing. Raises for one that has failed and left none."""
        operation = self._operation
        match operation.status:
            case "COMPLETED":
                if operation.url is None and operation.objects:
                    msg = f"{self._subject} is COMPLETED with {operation.objects:,} objects, and has no file"
                    raise CursorExpired(msg)
                return operation.url
            case "FAILED" if operation.partial is not None:
                return operation.partial
            case "FAILED" if operation.error == "ACCESS_DENIED":
                msg = f"{self._subject} FAILED: ACCESS_DENIED"
                raise Refused(msg, hint="the app lacks a right that the query needs; run the query by hand to see which")
            case status:
                msg = f"{self._subject} is {status}{f' ({operation.error})' if operation.error else ''}, and left no file"
                raise CursorExpired(msg)

    def _read(self, file: Download, gatherer: Gatherer, at: int, *, ended: bool) -> Iterator[Page]:
        page = _Batch()
        blocks = _Counted(file.blocks(at), at)
        for start, line in lines_of(blocks, at, self._subject) if not ended else ():
            before = (gatherer.objects, gatherer.roots)
            begins, done = gatherer.add(line)
            page.take(done)
            if begins and page.full:
                yield page.made(self._next(file, start, *before), self._total())
                page = _Batch()
        page.take(gatherer.last())
        size = at if ended else blocks.at
        if self._operation.status != "COMPLETED":
            if not ended:
                yield page.made(self._next(file, size, gatherer.objects, gatherer.roots), None)
            msg = (
                f"{self._subject} FAILED ({self._operation.error or 'no reason'}) and left part of the data: "
                f"{gatherer.roots:,} records of it are here, and more are not"
            )
            raise InvalidPage(msg, hint="ask for fewer fields, or read the list page by page with bulk = false")
        self._prove(gatherer, size)
        proof = f"{self._subject} is COMPLETED: {gatherer.roots:,} records, {gatherer.objects:,} objects, {size:,} bytes, all as it says"
        yield page.made(None, self._total(), End(proof))

    def _prove(self, gatherer: Gatherer, size: int) -> None:
        """Holds what came against what the operation says of itself."""
        operation = self._operation
        pairs = [("objectCount", operation.objects, gatherer.objects), ("rootObjectCount", operation.roots, gatherer.roots)]
        if operation.size is not None:
            pairs.append(("fileSize", operation.size, size))
        for name, said, came in pairs:
            if said != came:
                msg = f"{self._subject}: {name} is {said:,}, and {came:,} came; the file is not whole"
                raise InvalidPage(msg)

    def _next(self, file: Download, offset: int, objects: int, roots: int) -> Checkpoint:
        pin = file.identity.as_json() if file.identity is not None and file.identity.pinned else None
        return {**self._place, "offset": offset, "_objects": objects, "_roots": roots, "_file": pin}

    def _total(self) -> int:
        return self._operation.roots


class _Batch:
    """A page as it fills."""

    def __init__(self) -> None:
        self._items: list[bytes] = []
        self._unread: list[Unread] = []
        self._size = 0

    @property
    def full(self) -> bool:
        return len(self._items) + len(self._unread) >= ITEMS or self._size >= BYTES

    def take(self, gathered: Gathered | None) -> None:
        if gathered is None:
            return
        if gathered.item is not None:
            self._items.append(gathered.item)
            self._size += len(gathered.item)
        if gathered.unread is not None:
            self._unread.append(gathered.unread)

    def made(self, following: Checkpoint | None, total: int | None, end: End | None = None) -> Page:
        return Page(items=self._items, next=following, end=end, unread=tuple(self._unread), total=total, bytes_read=self._size)


class _Counted:
    """Blocks, and the offset behind the last of them."""

    def __init__(self, blocks: Iterator[bytes], at: int) -> None:
        self._blocks = blocks
        self.at = at

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            self.at += len(block)
            yield block


class _InProgress(Exception):
    """The third party has no place for another operation."""


def _pause(clock: Clock, seconds: float) -> None:
    """Waits; raises Unreachable where the process is asked to stop meanwhile: the next attempt goes on from here."""
    began = clock.monotonic()
    clock.sleep(seconds)
    if clock.monotonic() - began < seconds / 2:
        msg = "stopped while a bulk export was waited for"
        raise Unreachable(msg, hint="run it again: it goes on with the same export")
