"""Files on servers that nobody here wrote: a bucket (moto), an SFTP server (asyncssh); and on the web. Brought here whole, or not read at all."""

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from providers.files import Files
from recon.errors import Refused, Unreachable
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.provider import Listing
from tests.providers.sections import section
from tests.servers.bucket import KEYS, S3, moto_url, s3
from tests.servers.fault_server import fault_server
from tests.servers.file_server import FileServer, Served, file_server
from tests.servers.manual_clock import ManualClock
from tests.servers.sftp import PASSWORD, USER, SftpServer, sftp_server

__all__ = ["fault_server", "file_server", "moto_url", "s3", "sftp_server"]
ROWS = 60_000
LARGE = b"id,name\n" + b"".join(b"%d,somebody number %d\n" % (n, n * 7919 % 99991) for n in range(ROWS))


def files(cache: Path, place: dict[str, Any], **resource: Any) -> Files:
    """The provider, with its copies in a folder of the test's own."""
    table = {**place, "cache": str(cache / "copies"), "resources": {"rows": {"files": "*.csv", **resource}}}
    return Files(section("providers.psp", table))


def landed(provider: Files, folder: Path) -> tuple[Coverage, list[dict[str, Any]]]:
    """The whole listing, and its records; no copy is left behind."""
    spool = Spool.open(folder / "spool")
    try:
        coverage = land(provider, Listing(resource="rows"), spool, clock=ManualClock())
        return coverage, [json.loads(line) for text in spool.frames() for line in text.splitlines()]
    finally:
        spool.close()
        provider.close()


def left(folder: Path) -> list[str]:
    """The copies that still lie there."""
    return [path.name for path in (folder / "copies").glob("*") if path.suffix == ".copy"]


def at_web(server: FileServer) -> dict[str, Any]:
    return {"base_url": f"{server.url}/out/", "timeout": "3s", "tries": 3}


def at_bucket(s3: S3, **more: Any) -> dict[str, Any]:
    keys = {"access_key": {"env": "RECON_S3_KEY"}, "secret_key": {"env": "RECON_S3_SECRET"}}
    return {"bucket": s3.bucket, "prefix": "out/", "endpoint_url": s3.url, "region": "us-east-1", **keys, **more}


def at_sftp(server: SftpServer, **more: Any) -> dict[str, Any]:
    place = {"host": "127.0.0.1", "port": server.port, "user": USER, "folder": "/", "timeout": "5s"}
    return {**place, "password": {"env": "SFTP_PASSWORD"}, "fingerprint": server.fingerprint, **more}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, "SFTP_PASSWORD": PASSWORD}.items():
        monkeypatch.setenv(name, value)


# -- the web ---------------------------------------------------------------------------------------------------------------


def test_named_files_of_a_web_server_are_one_state(file_server: FileServer, tmp_path: Path) -> None:
    """A line that breaks twice, a file that the server packs, and one that is not there: read on, unpacked, and lacking."""
    file_server.files["/out/a.csv"] = Served(LARGE, breaks=[300_000, 900_000])
    file_server.files["/out/b.csv"] = Served(gzip.compress(b"id,name\nz,Zoe\n"), headers={"Content-Encoding": "gzip"})
    place = at_web(file_server)

    coverage, records = landed(files(tmp_path, place, files=["a.csv", "b.csv"]), tmp_path)
    short, _ = landed(files(tmp_path / "2", place, files=["a.csv", "c.csv"]), tmp_path / "2")

    assert (coverage.whole, len(records)) == (True, ROWS + 1)
    assert {"id": "z", "name": "Zoe"} in records
    assert (coverage.retries, left(tmp_path)) == (2, [])
    assert "bytes=900000-" in [asked.headers.get("range") for asked in file_server.requests]
    assert not short.whole
    assert "c.csv is not there" in short.proof


def test_a_file_that_is_replaced_on_its_way_gives_no_row(file_server: FileServer, tmp_path: Path) -> None:
    """The second half would be another file's: it is never put together, and the certificate says why it is partial."""
    file = file_server.files["/out/a.csv"] = Served(LARGE, breaks=[300_000])
    file_server.files["/out/b.csv"] = Served(b"id,name\nz,Zoe\n")
    provider = files(tmp_path, at_web(file_server), files=["a.csv", "b.csv"])
    provider.scope("rows")
    file.content = LARGE.replace(b"somebody", b"SOMEBODY")

    coverage, records = _landed_as_told(provider, tmp_path)

    assert not coverage.whole
    assert "was replaced while it was read" in coverage.proof
    assert [record["id"] for record in records] == ["z"]


def _landed_as_told(provider: Files, folder: Path) -> tuple[Coverage, list[dict[str, Any]]]:
    """Lands with the files as they were told before."""
    told = dict(provider._told)
    provider.scope = lambda resource: {"files": str(len(told[resource]))}  # type: ignore[method-assign]  # the listing of a moment ago
    return landed(provider, folder)


def test_a_killed_process_goes_on_with_its_copy(file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had safely come is not asked for again, and what is not sure to lie on the disk is."""
    monkeypatch.setattr("recon.dumps.copies.MARK_BYTES", 100_000)
    file_server.files["/out/a.csv"] = Served(LARGE, breaks=[800_000, 800_001, 800_002, 800_003, 800_004])
    place = at_web(file_server)
    with pytest.raises(Unreachable, match="tries in a row"):
        landed(files(tmp_path, place, files=["a.csv"]), tmp_path)
    (copy,) = (tmp_path / "copies").glob("*.copy")
    with copy.open("ab") as torn:
        torn.write(b"\0" * 5000)
    file_server.requests.clear()
    file_server.files["/out/a.csv"].breaks.clear()

    coverage, records = landed(files(tmp_path, place, files=["a.csv"]), tmp_path)

    asked = [int(found.headers["range"][6:-1]) for found in file_server.requests if "range" in found.headers]
    assert (coverage.whole, len(records), len(asked)) == (True, ROWS, 1)
    assert 600_000 <= asked[0] <= 800_004
    assert left(tmp_path) == []


def test_a_sum_that_differs_gives_no_row_and_is_fetched_anew(file_server: FileServer, tmp_path: Path) -> None:
    """Damage on the way is found before the first row, and a later try does not go on with the damaged copy."""
    good, bad = b"id,name\n1,Ann\n", b"id,name\n1,Bob\n"
    sums = hashlib.sha256(good).hexdigest() + " *a.csv\n" + "0" * 64 + "  other.csv\n"
    file_server.files["/out/SHA256SUMS"] = Served(sums.encode())
    file_server.files["/out/a.csv"] = Served(bad, etags="none")
    provider = files(tmp_path, at_web(file_server), files=["a.csv"], checksum="sha256", sums="SHA256SUMS")
    with pytest.raises(Exception, match="its sha256 is"):
        landed(provider, tmp_path)
    file_server.files["/out/a.csv"] = Served(good, etags="none")

    coverage, records = landed(files(tmp_path, at_web(file_server), files=["a.csv"], checksum="sha256", sums="SHA256SUMS"), tmp_path)

    assert (coverage.whole, records) == (True, [{"id": "1", "name": "Ann"}])
    assert "sha256 " in coverage.proof


# -- a bucket --------------------------------------------------------------------------------------------------------------


def test_a_bucket_is_listed_and_read(s3: S3, tmp_path: Path) -> None:
    """A pattern finds the objects under the prefix; plain and packed are read whole; no secret stands in the certificate."""
    s3.put("out/2026-11-01.csv", LARGE)
    s3.put("out/2026-11-02.csv.gz", gzip.compress(b"id,name\nz,Zoe\n"))
    s3.put("out/readme.txt", b"no")
    s3.put("other/2026-11-03.csv", b"id,name\nq,No\n")

    coverage, records = landed(files(tmp_path, at_bucket(s3), files="2026-11-*.csv*", expect=2), tmp_path)

    assert (coverage.whole, coverage.finished, len(records)) == (True, 2, ROWS + 1)
    assert {"id": "z", "name": "Zoe"} in records
    assert coverage.scope["account"] == f"s3://{s3.bucket}/out/"
    assert "loopback-only" not in repr(coverage)
    assert left(tmp_path) == []


def test_an_object_replaced_since_the_list_is_refused_by_its_etag(s3: S3, tmp_path: Path) -> None:
    """GetObject under If-Match answers 412; with a version kept, the version that was listed is read to its end."""
    s3.put("out/a.csv", b"id,name\n1,Ann\n")
    s3.put("out/b.csv", b"id,name\nz,Zoe\n")
    provider = files(tmp_path, at_bucket(s3))
    provider.scope("rows")
    s3.put("out/a.csv", b"id,name\n1,Bob\n")
    coverage, records = _landed_as_told(provider, tmp_path)
    assert (coverage.whole, [record["id"] for record in records]) == (False, ["z"])
    assert "412" in coverage.proof

    s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put("out/a.csv", b"id,name\n1,Cy\n")
    provider = files(tmp_path / "2", at_bucket(s3))
    provider.scope("rows")
    s3.put("out/a.csv", b"id,name\n1,Di\n")
    coverage, records = _landed_as_told(provider, tmp_path / "2")
    assert coverage.whole
    assert {record["name"] for record in records} == {"Cy", "Zoe"}


def test_what_a_bucket_refuses_is_told_in_words(s3: S3, tmp_path: Path) -> None:
    """No such bucket, a pattern that fits nothing, an object that is not there: each says so, and none is an empty list."""
    with pytest.raises(Refused, match="NoSuchBucket"):
        landed(files(tmp_path, at_bucket(s3, bucket="none-such")), tmp_path)
    with pytest.raises(Refused, match="fits no file"):
        landed(files(tmp_path, at_bucket(s3)), tmp_path)
    with pytest.raises(Refused, match=r"a\.csv is not there"):
        landed(files(tmp_path, at_bucket(s3), files=["a.csv"]), tmp_path)


# -- SFTP ------------------------------------------------------------------------------------------------------------------


def test_a_dropped_line_is_taken_up_at_its_offset(sftp_server: SftpServer, tmp_path: Path) -> None:
    """The server drops the line twice in the middle of a file: nothing that came is asked for again, and every row is there once."""
    (sftp_server.folder / "a.csv").write_bytes(LARGE)
    (sftp_server.folder / "b.csv").write_bytes(b"id,name\nz,Zoe\n")
    sftp_server.drops = [700_000, 1_300_000]

    coverage, records = landed(files(tmp_path, at_sftp(sftp_server)), tmp_path)

    assert (coverage.whole, len(records), len({record["id"] for record in records})) == (True, ROWS + 1, ROWS + 1)
    assert sftp_server.drops == []
    assert coverage.retries == 2
    assert len([at for at in sftp_server.reads if at == 0]) == 2
    assert coverage.scope["credential"] == USER


def test_only_the_server_whose_key_was_declared_is_spoken_to(sftp_server: SftpServer, tmp_path: Path) -> None:
    """Another key is refused with its fingerprint in the hint, before a credential is sent; known_hosts serves as well, and so does a key of ours."""
    (sftp_server.folder / "a.csv").write_bytes(b"id,name\nz,Zoe\n")
    with pytest.raises(Refused, match="nothing was said to it") as refused:
        landed(files(tmp_path, at_sftp(sftp_server, fingerprint="SHA256:" + "A" * 43)), tmp_path)
    assert sftp_server.fingerprint in (refused.value.hint or "")
    known = tmp_path / "known_hosts"
    known.write_text("[127.0.0.1]:1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE8Gp8mcCmpsZ9gYe0nKBwTSsq4vyyfBV7o6cPyI9MNJ\n")
    with pytest.raises(Refused, match="nothing was said to it"):
        landed(files(tmp_path, at_sftp(sftp_server, fingerprint=None, known_hosts=str(known))), tmp_path)
    known.write_text(sftp_server.known_hosts())
    (tmp_path / "id").write_bytes(sftp_server.client_key.export_private_key("openssh"))
    place = at_sftp(sftp_server, fingerprint=None, password=None, known_hosts=str(known), key={"file": str(tmp_path / "id")})

    coverage, _ = landed(files(tmp_path, place), tmp_path)

    assert (coverage.whole, coverage.records) == (True, 1)


def test_a_wrong_password_a_silent_server_and_a_missing_file_are_told(
    sftp_server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in words, without the password."""
    with pytest.raises(Refused, match="fits no file"):
        landed(files(tmp_path, at_sftp(sftp_server)), tmp_path)
    with pytest.raises(Refused, match=r"a\.csv is not there"):
        landed(files(tmp_path, at_sftp(sftp_server), files=["a.csv"]), tmp_path)
    monkeypatch.setenv("SFTP_PASSWORD", "wrong-word")
    with pytest.raises(Refused, match="does not take the credential of recon") as refused:
        landed(files(tmp_path, at_sftp(sftp_server)), tmp_path)
    assert "wrong-word" not in str(refused.value)


def test_a_file_that_changes_on_the_server_is_not_whole(sftp_server: SftpServer, tmp_path: Path) -> None:
    """Its size or time is another one at the end, or when the line is taken up: it gives no row."""
    (sftp_server.folder / "a.csv").write_bytes(LARGE)
    (sftp_server.folder / "b.csv").write_bytes(b"id,name\nz,Zoe\n")
    provider = files(tmp_path, at_sftp(sftp_server))
    provider.scope("rows")
    (sftp_server.folder / "a.csv").write_bytes(LARGE.replace(b"somebody", b"SOMEBODY"))
    os.utime(sftp_server.folder / "a.csv", (1_764_000_000, 1_764_000_000))

    coverage, records = _landed_as_told(provider, tmp_path)

    assert (coverage.whole, [record["id"] for record in records]) == (False, ["z"])
    assert "was replaced while it was read" in coverage.proof
