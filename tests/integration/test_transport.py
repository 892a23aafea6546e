"""The transport against a server that misbehaves on purpose: deadlines, bounds, cut bodies, origins."""

import gzip
import logging
import shutil
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from recon.errors import ForeignOrigin, InvalidPage, OversizedBody, ProviderError, Unreachable
from recon.fetch import transport as transport_module
from recon.fetch.body import Bounds
from recon.fetch.origin import Origin, Origins, parse_url
from recon.fetch.transport import Request, Response, Transport
from tests.servers.fault_server import Answer, FaultServer, fault_server, gzipped, page

__all__ = ["fault_server"]
TEXT = b'{"data":[' + b",".join(b'{"id":"ch_%d"}' % i for i in range(500)) + b"]}"


@pytest.fixture
def transport(fault_server: FaultServer) -> Iterator[Transport]:
    made = Transport(Origins(parse_url(fault_server.url)), timeout=0.6, bounds=Bounds(max_bytes=1024 * 1024, max_ratio=50))
    yield made
    made.close()


def get(transport: Transport, server: FaultServer, path: str = "/x", **query: str) -> Response:
    return transport.send(Request(origin=parse_url(server.url).origin, path=path, query=query, headers={"X-Api-Key": "hush"}))


def test_plain_chunked_and_compressed_bodies_come_whole(fault_server: FaultServer, transport: Transport) -> None:
    """Length, chunks, gzip, gzip in members, deflate with and without its frame all give the same bytes."""
    raw = zlib.compressobj(wbits=-15)
    bare = raw.compress(TEXT) + raw.flush()
    half = len(TEXT) // 2
    answers = [
        Answer(pieces=[TEXT]),
        Answer(pieces=[TEXT[:100], TEXT[100:]], framing="chunked"),
        gzipped(TEXT),
        Answer(pieces=[gzip.compress(TEXT)[:50], gzip.compress(TEXT)[50:]], headers={"Content-Encoding": "GZip"}, framing="chunked"),
        Answer(pieces=[gzip.compress(TEXT[:half]) + gzip.compress(TEXT[half:])], headers={"Content-Encoding": "gzip"}),
        Answer(pieces=[zlib.compress(TEXT)], headers={"Content-Encoding": "deflate"}),
        Answer(pieces=[bare], headers={"Content-Encoding": "deflate"}),
        # A gzip trailer proves the end by itself.
        Answer(pieces=[gzip.compress(TEXT)], headers={"Content-Encoding": "gzip"}, framing="close"),
    ]
    fault_server.on("/x", *answers)
    for answer in answers:
        response = get(transport, fault_server)
        assert response.body == TEXT
        assert response.wire_bytes == sum(len(p) for p in answer.pieces if isinstance(p, bytes))
    assert fault_server.requests[0].headers["accept-encoding"] == "gzip"
    assert fault_server.requests[0].headers["host"] == fault_server.url.removeprefix("http://")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(pieces=[TEXT], framing="cut"), "broke off its answer"),
        (Answer(pieces=[b"5\r\nabcde\r\n"], headers={"Transfer-Encoding": "chunked"}, framing="close"), "broke off its answer"),
        (gzipped(TEXT, keep=-1), "cut after"),
        (gzipped(TEXT, keep=-8), "cut after"),
        (gzipped(TEXT, keep=30), "cut after"),
        (Answer(pieces=[], headers={"Content-Encoding": "gzip"}), "cut after 0 bytes"),
        (Answer(pieces=[gzip.compress(TEXT)[:-4] + b"abcd"], headers={"Content-Encoding": "gzip"}), "damaged"),
        (Answer(pieces=[gzip.compress(TEXT) + b"rest"], headers={"Content-Encoding": "gzip"}), "damaged"),
        (Answer(pieces=[TEXT], headers={"Content-Encoding": "gzip"}), "damaged"),
    ],
)
def test_a_cut_or_damaged_body_is_never_taken_for_a_whole_one(
    fault_server: FaultServer, transport: Transport, answer: Answer, words: str
) -> None:
    """Each kind of cut is Unreachable, which is asked again, and not a shorter page."""
    fault_server.on("/x", answer)
    with pytest.raises(Unreachable, match=words):
        get(transport, fault_server)


def test_a_body_whose_end_nothing_marks_proves_nothing(fault_server: FaultServer, transport: Transport) -> None:
    """Neither length nor chunks nor a trailer: refused, even though it parses."""
    fault_server.on("/x", Answer(pieces=[TEXT], framing="close"))
    with pytest.raises(InvalidPage, match="neither a Content-Length nor chunked"):
        get(transport, fault_server)


def test_a_drip_ends_at_the_deadline(fault_server: FaultServer, transport: Transport) -> None:
    """A byte now and then, in the body or in the head, does not keep an attempt alive past its timeout."""
    fault_server.on("/body", Answer(pieces=[piece for _ in range(100) for piece in (b"x", 0.2)], framing="chunked"))
    fault_server.on("/head", Answer(pieces=[TEXT], head_pause=0.1))
    fault_server.on("/silent", Answer(pieces=[5.0, TEXT]))
    for path in ("/body", "/head", "/silent"):
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"no whole answer from .* within 0\.6s"):
            get(transport, fault_server, path)
        assert 0.5 < time.monotonic() - began < 1.3


def test_a_small_body_that_becomes_a_huge_one_is_stopped(fault_server: FaultServer, transport: Transport) -> None:
    """A gzip bomb ends at the bound, by bytes and by ratio, long before it is unpacked."""
    bomb = gzip.compress(b"\0" * (64 * 1024 * 1024))
    fault_server.on("/x", Answer(pieces=[bomb], headers={"Content-Encoding": "gzip"}))
    with pytest.raises(OversizedBody, match="became more than"):
        get(transport, fault_server)
    wide = Transport(Origins(parse_url(fault_server.url)), bounds=Bounds(max_bytes=1024**3, max_ratio=50))
    with pytest.raises(OversizedBody, match="50 to 1"):
        get(wide, fault_server)
    wide.close()


def test_a_body_past_the_bound_is_stopped_whether_announced_or_not(fault_server: FaultServer, transport: Transport) -> None:
    """A length above the bound is refused unread; chunks are counted as they come."""
    big = b"x" * (2 * 1024 * 1024)
    fault_server.on(
        "/x", Answer(headers={"Content-Length": str(10**12)}, pieces=[b"x"], framing="length"), Answer(pieces=[big], framing="chunked")
    )
    with pytest.raises(OversizedBody, match="1,000,000,000,000 bytes are announced"):
        get(transport, fault_server)
    with pytest.raises(OversizedBody, match="more than 1,048,576 bytes came"):
        get(transport, fault_server)


def test_an_encoding_nobody_asked_for_is_refused(fault_server: FaultServer, transport: Transport) -> None:
    """Br and zstd are not guessed at."""
    fault_server.on("/x", Answer(pieces=[b"..."], headers={"Content-Encoding": "br"}))
    with pytest.raises(InvalidPage, match="'br'"):
        get(transport, fault_server)


def test_a_redirect_is_not_followed(fault_server: FaultServer, transport: Transport) -> None:
    """Whatever it points to, one request is sent and the 3xx comes back."""
    fault_server.on("/x", Answer(status=302, headers={"Location": f"{fault_server.url}/other"}))
    assert get(transport, fault_server).status == 302
    assert [asked.path for asked in fault_server.requests] == ["/x"]


def test_no_request_leaves_for_an_undeclared_origin(fault_server: FaultServer) -> None:
    """The last door checks too: a request built by hand for another host is not sent."""
    transport = Transport(Origins(parse_url("https://api.good.example/")))
    with pytest.raises(ForeignOrigin):
        get(transport, fault_server)
    assert fault_server.requests == []


def test_errors_carry_neither_query_nor_header(fault_server: FaultServer, transport: Transport) -> None:
    """Whatever goes wrong, no message, cause or context holds what was sent beside the path."""
    fault_server.on("/cut", Answer(pieces=[TEXT], framing="cut"))
    fault_server.on("/slow", Answer(pieces=[3.0, TEXT]))
    fault_server.on("/gzip", gzipped(TEXT, keep=20))
    for path in ("/cut", "/slow", "/gzip"):
        with pytest.raises(ProviderError) as caught:
            get(transport, fault_server, path, api_key="hush")
        error: BaseException | None = caught.value
        while error is not None:
            assert "hush" not in f"{error} {error!r} {getattr(error, 'hint', '')}"
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_header_that_cannot_be_sent_is_refused_without_its_value(fault_server: FaultServer, transport: Transport) -> None:
    """The library quotes the value in its complaint; ours does not."""
    with pytest.raises(Unreachable) as caught:
        transport.send(Request(origin=parse_url(fault_server.url).origin, path="/x", headers={"X-Key": "hush\r\nEvil: 1"}))
    assert "hush" not in str(caught.value)
    assert fault_server.requests == []


def test_the_library_logs_nothing_of_a_request(fault_server: FaultServer, transport: Transport, caplog: pytest.LogCaptureFixture) -> None:
    """Even with every logger at DEBUG, no line holds the query or a header."""
    caplog.set_level(logging.DEBUG)
    fault_server.on("/x", page({"data": []}))
    get(transport, fault_server, api_key="hush")
    assert "hush" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith(("httpx", "httpcore"))]


def test_nobody_there_is_said_in_words() -> None:
    """A refused connection names the origin and the reason."""
    transport = Transport(Origins(parse_url("http://127.0.0.1:9")))
    with pytest.raises(Unreachable, match=r"GET /x: http://127.0.0.1:9 cannot be connected to"):
        transport.send(Request(origin=Origin("http", "127.0.0.1", 9), path="/x"))


def test_an_errors_long_body_is_cut_and_its_status_kept(fault_server: FaultServer, transport: Transport) -> None:
    """A 500 with megabytes, or with a broken body, is a 500."""
    fault_server.on(
        "/x",
        Answer(status=500, pieces=[b"x" * 300_000]),
        Answer(status=500, pieces=[b"oops"], framing="cut"),
        Answer(status=500, pieces=[b"oops"], framing="close"),
    )
    assert [get(transport, fault_server).status for _ in range(3)] == [500, 500, 500]


def test_connections_are_kept_and_shared_between_threads(fault_server: FaultServer, transport: Transport) -> None:
    """Many threads through a few connections, each with its own deadline, and every answer belongs to its request."""
    fault_server.on("*", lambda asked: page({"path": asked.path}))
    wrong: list[str] = []

    def ask(worker: int) -> None:
        for number in range(30):
            path = f"/{worker}/{number}"
            if get(transport, fault_server, path).body != b'{"path": "%s"}' % path.encode():
                wrong.append(path)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(fault_server.requests) == 240


def test_what_a_server_says_too_much_is_no_answer_to_what_is_asked_next(fault_server: FaultServer, transport: Transport) -> None:
    """A second answer, or a few bytes, behind the one that was asked for: the next request has its own answer, over another connection."""
    own = b'{"path": "/own"}'
    for more in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"more"):
        fault_server.on("/much", Answer(pieces=[b"{}" + more], headers={"Content-Length": "2"}))
        fault_server.on("/own", Answer(pieces=[own]))
        assert get(transport, fault_server, "/much").body == b"{}"
        assert get(transport, fault_server, "/own").body == own
    sent = {asked.path for asked in fault_server.requests}
    assert sent == {"/much", "/own"}


def test_repeated_headers_are_joined_and_the_request_id_is_found(fault_server: FaultServer, transport: Transport) -> None:
    """Two Link headers read as one list, and the third party's own id is at hand for its support."""
    fault_server.on("/x", Answer(headers={"Link": "</1>; rel=prev\r\nLink: </2>; rel=next", "Request-Id": "req_8fX2"}, pieces=[b"{}"]))
    response = get(transport, fault_server)
    assert response.headers["link"] == "</1>; rel=prev, </2>; rel=next"
    assert response.request_id == "req_8fX2"


def test_tls_is_verified_and_kept_to_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody vouches for is refused in words; one that SSL_CERT_FILE names is taken; a slow body still ends in time."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command, to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*make.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FaultServer(tls=context) as server:
        server.on("/x", page({"a": 1}))
        server.on("/slow", Answer(pieces=[5.0, b"x"]))
        transport_module._trust.cache_clear()
        plain = Transport(Origins(parse_url(server.url)), timeout=0.6)
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            get(plain, server)
        plain.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        transport_module._trust.cache_clear()
        trusting = Transport(Origins(parse_url(server.url)), timeout=0.6)
        assert get(trusting, server).body == b'{"a": 1}'
        began = time.monotonic()
        with pytest.raises(Unreachable, match="within"):
            get(trusting, server, "/slow")
        assert time.monotonic() - began < 1.3
        trusting.close()
    transport_module._trust.cache_clear()


def test_the_environments_proxy_is_used_but_never_for_this_machine(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine is reached through the proxy that http_proxy names, with its login; loopback is spoken to directly."""
    host = fault_server.url.removeprefix("http://")
    monkeypatch.setenv("http_proxy", f"http://user:p%40ss@{host}")
    monkeypatch.delenv("no_proxy", raising=False)
    fault_server.on("*", page({}))
    direct = Transport(Origins(parse_url(fault_server.url)))
    far = Transport(Origins(parse_url("http://api.example")))
    get(direct, fault_server)
    far.send(Request(origin=parse_url("http://api.example").origin, path="/y"))
    assert [asked.target for asked in fault_server.requests] == ["/x", "http://api.example:80/y"]
    assert fault_server.requests[1].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    assert "proxy-authorization" not in fault_server.requests[0].headers
    direct.close()
    far.close()
