"""Downloads against a server of files: gone on with where the line broke, never pieced together from two files."""

import pytest

from recon.errors import CursorExpired, ForeignOrigin, InvalidPage, OversizedBody, Refused, Unreachable
from recon.fetch.auth import Bearer
from recon.fetch.download import Downloads, Identity, identity_of
from recon.fetch.listing import Meter
from recon.fetch.origin import Origins, parse_url
from recon.fetch.retry import Policy
from recon.secret import Secret
from tests.servers.fault_server import Answer, FaultServer, fault_server
from tests.servers.file_server import FileServer, Served, file_server
from tests.servers.manual_clock import ManualClock

__all__ = ["fault_server", "file_server"]
CONTENT = b"".join(b"%07d," % number for number in range(100_000))
MIB = 1024 * 1024


def downloads(server: FileServer | FaultServer, **options: object) -> Downloads:
    settings = {"timeout": 2.0, "policy": Policy(tries=3), "counts": Meter(), **options}
    return Downloads(Origins(parse_url(server.url)), **settings)  # type: ignore[arg-type]  # each test sets what it is about


def read(server: FileServer, at: int = 0, pinned: Identity | None = None, **options: object) -> bytes:
    by = downloads(server, **options)
    try:
        return b"".join(by.file("/day.csv", clock=ManualClock(), pinned=pinned).blocks(at))
    finally:
        by.close()


def test_a_broken_line_is_taken_up_where_it_broke(file_server: FileServer) -> None:
    """Two breaks cost two requests for the rest under If-Match, and every byte comes once."""
    file = file_server.files["/day.csv"] = Served(CONTENT, breaks=[300_000, 600_001])

    assert read(file_server) == CONTENT

    assert [asked.headers.get("range") for asked in file_server.requests] == [None, "bytes=300000-", "bytes=600001-"]
    assert [asked.headers.get("if-match") for asked in file_server.requests] == [None, file.etag, file.etag]
    assert {asked.headers["accept-encoding"] for asked in file_server.requests} == {"identity"}


@pytest.mark.parametrize(
    "served",
    [
        Served(CONTENT, breaks=[300_000], ranges=False),
        Served(CONTENT, breaks=[300_000], etags="weak"),
        Served(CONTENT, breaks=[300_000], etags="none", conditions=False),
        Served(CONTENT, breaks=[300_000], piece=50_000),
        Served(CONTENT, framing="chunked"),
    ],
    ids=["no ranges", "a weak ETag and a date", "a date alone", "ranges in pieces", "chunks"],
)
def test_servers_that_know_less_give_the_same_bytes(file_server: FileServer, served: Served) -> None:
    """A server without ranges, with a date alone, or that answers ranges piecemeal costs more requests, never a byte."""
    file_server.files["/day.csv"] = served

    assert read(file_server) == CONTENT


@pytest.mark.parametrize("conditions", [True, False], ids=["412", "conditions ignored"])
@pytest.mark.parametrize("ranges", [True, False], ids=["206", "200"])
@pytest.mark.parametrize("etags", ["strong", "none"])
def test_a_file_replaced_between_two_requests_is_never_pieced_together(
    file_server: FileServer, conditions: bool, ranges: bool, etags: str
) -> None:
    """Whatever the server makes of the precondition, another file's rest is CursorExpired."""
    file = file_server.files["/day.csv"] = Served(CONTENT, breaks=[300_000], conditions=conditions, ranges=ranges, etags=etags)
    by = downloads(file_server)
    blocks = by.file("/day.csv", clock=ManualClock()).blocks()
    next(blocks)
    file.content, file.modified = CONTENT[::-1], file.modified + 1

    with pytest.raises(CursorExpired, match="replaced while it was read"):
        list(blocks)
    by.close()


def test_what_nothing_pins_is_not_gone_on_with(file_server: FileServer) -> None:
    """Without ETag and date a broken line means reading anew, since the rest may be another file's."""
    file_server.files["/day.csv"] = Served(CONTENT, breaks=[300_000], etags="none", dated=False)

    with pytest.raises(CursorExpired, match="without an ETag or Last-Modified"):
        read(file_server)


def test_a_later_process_goes_on_from_an_offset(file_server: FileServer) -> None:
    """The identity, written down as JSON, pins the file for another process; at the very end nothing is left to come."""
    file_server.files["/day.csv"] = Served(CONTENT)
    by = downloads(file_server)
    seen = by.file("/day.csv", clock=ManualClock()).look()
    assert seen is not None
    pinned = identity_of(seen.as_json())
    assert by.file("/none.csv", clock=ManualClock()).look() is None
    by.close()

    assert read(file_server, 700_000, pinned) == CONTENT[700_000:]
    with pytest.raises(CursorExpired):
        read(file_server, 700_000, Identity(etag='"other"', size=len(CONTENT)))


def test_tries_end(file_server: FileServer) -> None:
    """A line that breaks again and again with nothing gained is given up, with the bytes and the tries in words."""
    file_server.files["/day.csv"] = Served(CONTENT, breaks=[100, 200, 300, 400])

    with pytest.raises(Unreachable, match=r"300 bytes had come, 3 tries in a row brought less than 262,144 bytes"):
        read(file_server)


def test_bounds_and_ends_are_held(file_server: FileServer) -> None:
    """A file past the bound, by its length or as it comes, and one whose end nothing marks are refused."""
    file_server.files["/day.csv"] = Served(CONTENT)
    with pytest.raises(OversizedBody, match="800,000 bytes are announced"):
        read(file_server, max_bytes=1000)
    file_server.files["/day.csv"] = Served(CONTENT, framing="chunked")
    with pytest.raises(OversizedBody, match="more than 1,000 bytes came"):
        read(file_server, max_bytes=1000)
    file_server.files["/day.csv"] = Served(CONTENT, framing="close")
    with pytest.raises(InvalidPage, match="a cut would not show"):
        read(file_server)
    by = downloads(file_server)
    assert b"".join(by.file("/day.csv", clock=ManualClock()).blocks(proven_elsewhere=True)) == CONTENT
    by.close()
    with pytest.raises(Refused, match=r"GET /day\.csv -> 404"):
        del file_server.files["/day.csv"]
        read(file_server)


def test_redirects_keep_to_the_declared_origins_and_credentials_to_their_own(fault_server: FaultServer) -> None:
    """A redirect within the origin is followed, one to another declared origin goes without the credential, any other is refused."""
    with FaultServer() as other, FaultServer() as stranger:
        other.on("*", Answer(pieces=[b"rows"]))
        fault_server.on("/here", Answer(status=302, headers={"Location": "/there"}))
        fault_server.on("/there", Answer(status=307, headers={"Location": f"{other.url}/rows?signature=s"}))
        fault_server.on("/away", Answer(status=302, headers={"Location": f"{stranger.url}/rows?token=hush"}))
        origins = Origins(parse_url(fault_server.url), [parse_url(other.url).origin])
        by = Downloads(origins, auth=Bearer(Secret("hush")), counts=Meter(), timeout=2.0)

        assert b"".join(by.file("/here", clock=ManualClock()).blocks()) == b"rows"
        with pytest.raises(ForeignOrigin) as refused:
            list(by.file("/away", clock=ManualClock()).blocks())
        by.close()

        assert [asked.headers.get("authorization") for asked in fault_server.requests[:2]] == ["Bearer hush", "Bearer hush"]
        assert "authorization" not in other.requests[0].headers
        assert other.requests[0].query == {"signature": "s"}
        assert stranger.requests == []
        assert "hush" not in str(refused.value)


def test_a_passing_fault_is_asked_again_and_a_drip_ends(fault_server: FaultServer) -> None:
    """503 and 429 are waited out; a body that drips does not outlast the deadline of its block."""
    fault_server.on("/busy", Answer(status=503), Answer(status=429, headers={"Retry-After": "7"}), Answer(pieces=[b"rows"]))
    fault_server.on("/drip", Answer(pieces=[b"x", 0.1] * 20))
    clock, counts = ManualClock(), Meter()
    by = downloads(fault_server, counts=counts, timeout=0.3, policy=Policy(tries=3))

    assert b"".join(by.file("/busy", clock=clock).blocks()) == b"rows"
    assert (counts.requests, counts.retries, counts.throttled) == (3, 2, 1)
    assert clock.elapsed >= 7
    with pytest.raises(CursorExpired, match="no whole answer"):
        list(by.file("/drip", clock=clock).blocks())
    by.close()
