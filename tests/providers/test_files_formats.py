"""How files are written and packed: every format to its proven end, and hostile ones at the cost of themselves alone."""

import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from providers.files import Files
from recon.errors import BadSetting, ProviderError
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.provider import Listing
from tests.providers.sections import section
from tests.servers.manual_clock import ManualClock

CSV = b"id,name,amount\n1,Ann,10.50\n2,Bo,-0.25\n"
DOCUMENT = b'{"meta": {"rows": [7]}, "data": {"rows": [ {"id": 1, "at": "a]}\\""},\n {"id":\n2} , {"id": "\\ud800"}, 7, {"id": 5}]}}'


def provider(folder: Path, name: str, **resource: Any) -> Files:
    """The provider over one file."""
    return Files(section("providers.psp", {"folder": str(folder), "resources": {"rows": {"files": name, **resource}}}))


def landed(folder: Path, name: str, body: bytes, **resource: Any) -> tuple[Coverage, list[dict[str, Any]], list[str]]:
    """The certificate of one file, its records, and why rows could not be read."""
    (folder / name).write_bytes(body)
    spool = Spool.open(folder / "spool")
    try:
        coverage = land(provider(folder, name, **resource), Listing(resource="rows"), spool, clock=ManualClock())
        return coverage, [json.loads(line) for text in spool.frames() for line in text.splitlines()], [one.why for one in spool.unread]
    finally:
        spool.close()


def refused(folder: Path, name: str, body: bytes, **resource: Any) -> str:
    """Why a list that consists of one broken file is not whole."""
    try:
        coverage, _, _ = landed(folder, name, body, **resource)
    except ProviderError as error:
        return str(error)
    assert not coverage.whole
    return coverage.proof


@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_an_array_in_a_document(tmp_path: Path, packed: str) -> None:
    """Found by its path, read item by item; brackets in texts are texts, an item that is none costs itself, and a packed document is unpacked."""
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[packed]

    coverage, records, why = landed(tmp_path, f"a.json{packed}", pack(DOCUMENT), format="json", records="data.rows")

    assert (coverage.whole, coverage.unreadable) == (True, 2)
    assert [record["id"] for record in records] == [1, 2, 5]
    assert "surrogate" in why[0]
    assert "a number stands" in why[1]


@pytest.mark.parametrize(
    ("body", "resource", "says"),
    [
        (DOCUMENT[:-3], {}, "the JSON is cut or broken"),
        (DOCUMENT[:60], {}, "the JSON is cut or broken"),
        (DOCUMENT + b"{}", {}, "the JSON is cut or broken"),
        (b"", {}, "the file is empty"),
        (DOCUMENT, {"records": "rows"}, "no array at 'rows'"),
        (b'{"error": "try later"}', {}, "an error body: try later"),
        (b"\xef\xbb\xbf" + DOCUMENT, {}, "byte order mark"),
    ],
)
def test_a_document_that_does_not_close_gives_nothing(tmp_path: Path, body: bytes, resource: dict[str, Any], says: str) -> None:
    """Cut, empty, with something behind it, or with no array where one was declared: not one item is taken from it."""
    assert says in refused(tmp_path, "a.json", body, format="json", **{"records": "data.rows", **resource})


def table(**columns: Any) -> pa.Table:
    """Three rows of what Parquet has and JSON has not."""
    return pa.table(
        {
            "id": pa.array([1, 2, 2**62], pa.int64()),
            "amount": pa.array([Decimal("10.50"), None, Decimal("-0.10")], pa.decimal128(12, 2)),
            "at": pa.array([datetime(2026, 11, 1, 3, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
            "fine": pa.array([1_700_000_000_123_456_789] * 3, pa.timestamp("ns")),
            "day": pa.array([date(2026, 11, 1)] * 3),
            **columns,
        }
    )


def test_parquet(tmp_path: Path) -> None:
    """Decimals, times to the nanosecond and large numbers come exactly; NaN and bytes cost their row; the footer's count is the proof."""
    pq.write_table(table(rate=pa.array([1.5, float("nan"), 2.5])), tmp_path / "made", row_group_size=2)

    coverage, records, why = landed(tmp_path, "a.parquet", (tmp_path / "made").read_bytes(), format="parquet")

    assert (coverage.whole, [record["id"] for record in records]) == (True, [1, 2**62])
    assert (records[0]["amount"], records[0]["at"], records[0]["day"]) == ("10.50", "2026-11-01T03:00:00Z", "2026-11-01")
    assert records[0]["fine"].endswith(".123456789")
    assert "column rate holds nan" in why[0]
    assert "its footer says 3 rows" in coverage.proof


def test_parquet_that_is_cut_gives_nothing(tmp_path: Path) -> None:
    """Without its footer it cannot be opened."""
    pq.write_table(table(), tmp_path / "made")

    assert "cannot be read as Parquet" in refused(tmp_path, "a.parquet", (tmp_path / "made").read_bytes()[:-9], format="parquet")


LONG = b"id,name\n" + b"".join(b"%d,somebody number %d\n" % (n, n * 7919 % 9973) for n in range(30_000))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_in_members_and_packed_short(tmp_path: Path, suffix: str) -> None:
    """Several members one after another are one file; a cut anywhere, even between two members, or a damaged byte is no end."""
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    half = LONG.index(b"\n", len(LONG) // 2) + 1
    first, second = pack(LONG[:half]), pack(LONG[half:])

    coverage, records, _ = landed(tmp_path, f"a.csv{suffix}", first + second)
    cut = refused(tmp_path, f"a.csv{suffix}", first + second[:-3])
    damaged = refused(tmp_path, f"a.csv{suffix}", b"nothing of the kind")

    assert (coverage.whole, len(records)) == (True, 30_000)
    assert "breaks off before its end" in cut
    assert "is damaged after 0 unpacked bytes" in damaged


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_bomb_is_refused(tmp_path: Path, suffix: str) -> None:
    """A small file that becomes a very large one is stopped long before."""
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    bomb = pack(b"[" + b" " * 70_000_000 + b"]")

    assert "the bound is 500 to 1" in refused(tmp_path, f"a.json{suffix}", bomb, format="json")


def test_a_declared_packing_counts_more_than_the_name(tmp_path: Path) -> None:
    """A packed file without the suffix, and a plain one that has it."""
    packed, _, _ = landed(tmp_path, "a.dat", gzip.compress(CSV), packing="gzip")
    plain, _, _ = landed(tmp_path, "b.csv.gz", CSV, packing="none")

    assert (packed.whole, plain.whole, packed.records, plain.records) == (True, True, 2, 2)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (CSV + b"T,2,10.25\n", ""),
        (CSV + b"T,2,10.2500\n", ""),
        (CSV + b"T,2,10.26\n", "the trailer says '10.26' for the sum of amount, and the rows come to 10.25"),
        (CSV + b"T,2\n", "the trailer says '' for the sum"),
        (CSV + b"3,Cy,many\nT,3,10.25\n", "beside 1 amounts that could not be read"),
        (CSV + b"3,Cy\nT,3,10.25\n", "beside 1 amounts that could not be read"),
        (b"id,name\n1,a\nT,1,0\n", "there is no column 'amount' to add up"),
    ],
)
def test_a_trailer_with_a_sum(tmp_path: Path, body: bytes, says: str) -> None:
    """The column is added up exactly; another sum, or one that an unreadable row leaves open, is no end."""
    resource = {"trailer": "T", "sum": "amount"}
    if says:
        assert says in refused(tmp_path, "a.csv", body, **resource)
    else:
        coverage, _, _ = landed(tmp_path, "a.csv", body, **resource)
        assert coverage.whole
        assert "its trailer says 2 records and the sum of amount" in coverage.proof


def test_hostile_rows_cost_themselves(tmp_path: Path) -> None:
    """NUL, a stray quote, a cell as long as a book, line ends of three kinds: what can be read is read, as it stands."""
    body = b'id,name\r\n1,a\0b\r\n2,x"y\n3,"' + b"z" * 300_000 + b'"\n4,"p"q\n5,"line\rend"\n'

    coverage, records, why = landed(tmp_path, "a.csv", body)

    assert coverage.whole
    assert {record["id"]: len(record["name"]) for record in records} == {"1": 3, "2": 3, "3": 300_000, "5": 8}
    assert len(why) == 1
    assert "line 5" in why[0]


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        ({"format": "json", "delimiter": ";"}, "belongs to CSV"),
        ({"records": "data"}, 'belongs to format = "json"'),
        ({"sum": "amount"}, "goes together with trailer"),
        ({"sums": "SHA256SUMS"}, "goes together with checksum"),
        ({"format": "parquet", "packing": "gzip"}, "packed within itself"),
        ({"packing": "rar"}, "packing"),
    ],
)
def test_keys_that_say_nothing_together_are_refused(tmp_path: Path, resource: dict[str, Any], says: str) -> None:
    """Each is named with its table."""
    with pytest.raises(BadSetting, match=says):
        provider(tmp_path, "a.csv", **resource)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ({"base_url": "http://files.example/"}, "plain http"),
        ({"base_url": "https://files.example/?token=x"}, "holds a query"),
        ({"base_url": "https://files.example/", "bucket": "b"}, "does not go together with base_url"),
        ({"base_url": "https://files.example/"}, "a web server lists nothing"),
        ({"bucket": "b", "access_key": "plain"}, "by reference only"),
        ({"bucket": "b", "access_key": {"env": "A"}}, "go together"),
        ({"bucket": "b", "endpoint_url": "http://s3.example"}, "plain http"),
        ({"host": "h", "user": "u", "password": {"env": "P"}}, "exactly one of fingerprint and known_hosts"),
        ({"host": "h", "user": "u", "fingerprint": "SHA256:x"}, "exactly one of password and key"),
        ({"host": "h", "user": "u", "password": {"env": "P"}, "fingerprint": "MD5:x"}, "SHA256"),
        ({"host": "h", "user": "u", "password": "plain", "fingerprint": "SHA256:x"}, "by reference only"),
        ({"folder": "in", "prefix": "p"}, "is not a setting"),
    ],
)
def test_a_place_that_cannot_be_is_refused(place: dict[str, Any], says: str) -> None:
    """Two places at once, a secret in clear, a server that nothing pins: the message names the key."""
    with pytest.raises(BadSetting, match=says):
        Files(section("providers.psp", {**place, "resources": {"rows": {"files": "*.csv"}}}))
