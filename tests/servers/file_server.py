"""Files behind HTTP on loopback, with ranges and preconditions as RFC 9110 has them, and every way in which a server may fall short of it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime

import pytest

from tests.servers.fault_server import Answer, Asked, FaultServer


@dataclass
class Served:
    """One file. `breaks` are the offsets at which an answer breaks off, one for each answer that reaches it, in turn."""

    content: bytes
    modified: float = 1_764_000_000.0
    breaks: list[int] = field(default_factory=list)
    #: `strong`, `weak` or `none`.
    etags: str = "strong"
    dated: bool = True
    ranges: bool = True
    conditions: bool = True
    #: At most so many bytes of a range in one answer.
    piece: int | None = None
    framing: str = "length"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        digest = hashlib.md5(self.content, usedforsecurity=False).hexdigest()
        return {"strong": f'"{digest}"', "weak": f'W/"{digest}"'}.get(self.etags, "")

    @property
    def last_modified(self) -> str:
        return formatdate(self.modified, usegmt=True)


class FileServer:
    """`files` by path; what is not there is a 404."""

    def __init__(self, server: FaultServer) -> None:
        self.files: dict[str, Served] = {}
        self._server = server
        server.on("*", self._answer)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def requests(self) -> list[Asked]:
        return self._server.requests

    def _answer(self, asked: Asked) -> Answer:
        file = self.files.get(asked.path)
        if file is None:
            return Answer(status=404)
        if file.conditions and not _holds(asked, file):
            return Answer(status=412)
        headers = dict(file.headers)
        if file.etag:
            headers["ETag"] = file.etag
        if file.dated:
            headers["Last-Modified"] = file.last_modified
        start, status = 0, 200
        wanted = asked.headers.get("range", "")
        if file.ranges and wanted and asked.headers.get("if-range", file.etag) == file.etag:
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
        stop = len(file.content) if not (status == 206 and file.piece) else min(len(file.content), start + file.piece)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(file.content)}"
        if asked.method == "HEAD":
            return Answer(headers={**headers, "Content-Length": str(len(file.content))})
        broken = next((at for at in file.breaks if start < at < stop), None)
        if broken is not None:
            file.breaks.remove(broken)
            return Answer(
                status=status,
                headers=headers | {"Content-Length": str(stop - start)},
                pieces=[file.content[start:broken]],
                framing="cut",
            )
        return Answer(status=status, headers=headers, pieces=[file.content[start:stop]], framing=file.framing)


def _holds(asked: Asked, file: Served) -> bool:
    match = asked.headers.get("if-match")
    since = asked.headers.get("if-unmodified-since")
    if match is not None:
        return match == file.etag
    return since is None or file.modified <= parsedate_to_datetime(since).timestamp()


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """A file server of this test's own."""
    with FaultServer() as server:
        yield FileServer(server)
