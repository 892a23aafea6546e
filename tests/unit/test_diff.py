"""The comparison as a whole: seals, streams that break off, duplicates, keys, a full disk, and what is counted."""

import json
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from recon import kind as k
from recon.compare import Limits, compare, seal, second_look
from recon.compare.snapshot import opened
from recon.discrepancy import DiscrepancyKind
from recon.errors import LocalFault, StoreMismatch, StoreUnreachable
from recon.fetch.page import Unread
from recon.job import Field
from recon.stores.base import Scan
from tests.unit.sides import ONE, Pages, compared, job_of, lines_of, scan_of

TEXT = {"v": pa.string()}


def rows_of(**values):
    return [{"key": key, "v": value} for key, value in values.items()]


def test_what_differs_is_told_field_by_field():
    """Missing, extra and changed, each with both sides' values, what changed, and tokens that the second look confirms."""
    job = job_of(Field("v"), Field("n", "integer"), Field("note", compare=False))
    lines = lines_of(
        [{"id": "a", "v": "x", "n": 1, "note": "p"}, {"id": "b", "v": "x", "n": 2, "note": "p"}, {"id": "c", "v": "x", "n": 3, "note": "p"}]
    )
    types = {"v": pa.string(), "n": pa.int64(), "note": pa.string()}
    rows = [
        {"key": "b", "v": "y", "n": 2, "note": "s"},
        {"key": "c", "v": "x", "n": 3, "note": "s"},
        {"key": "d", "v": "x", "n": 4, "note": "s"},
    ]
    _, found, (changed, extra, missing) = compared(job, lines, scan_of(rows, types))
    assert (changed.kind, changed.key, changed.changed) == (DiscrepancyKind.CHANGED, "b", ("v",))
    assert (changed.source, changed.target) == ({"v": "x", "n": 2, "note": "p"}, {"v": "y", "n": 2, "note": "s"})
    assert (extra.key, extra.source, extra.source_token) == ("d", None, "")
    assert (missing.key, missing.target, missing.target_token) == ("a", None, "")
    assert (found.compared, found.equal, found.by_field, found.control_key()) == (2, 1, {"v": 1}, "c")
    looks = second_look(
        job,
        {"b": lines[1], "c": lines[2], "a": lines[0], "d": None},
        pa.Table.from_pylist(rows, schema=pa.schema([("key", pa.string()), *types.items()])),
    )
    assert [looks[d.key].discrepancy for d in (changed, extra, missing)] == [changed, extra, missing]
    assert looks["c"].discrepancy is None
    assert looks["c"].provider_token == looks["c"].store_token != ""


def test_a_job_may_look_from_the_store_outwards():
    """Outbound, the store is the source: what the provider lacks is missing there."""
    job = job_of(Field("v"), direction="outbound")
    _, _, (extra, missing) = compared(job, lines_of([{"id": "p", "v": "x"}]), scan_of(rows_of(s="y"), TEXT))
    assert (extra.kind, extra.key, extra.target) == ("extra", "p", {"v": "x"})
    assert (missing.kind, missing.key, missing.source) == ("missing", "s", {"v": "y"})


def test_empty_sides_compare():
    """Nothing against nothing is clean, nothing against something is all missing or all extra."""
    job = job_of(Field("v"))
    _, none, listed = compared(job, [], scan_of([], TEXT))
    assert (listed, none.compared, none.control_key()) == ([], 0, None)
    assert [d.kind for d in compared(job, [], scan_of(rows_of(a="x"), TEXT))[2]] == ["extra"]
    assert [d.kind for d in compared(job, lines_of([{"id": "a", "v": "x"}]), scan_of([], TEXT))[2]] == ["missing"]


def test_duplicates_are_counted_on_either_side_and_suspected_on_none():
    """A key that is twice, alike or not, on the provider's side or the store's, is a duplicate and nothing else."""
    job = job_of(Field("v"))
    lines = lines_of([{"id": key, "v": value} for key, value in ("ax", "ax", "bx", "by", "cx", "dx", "ex")])
    rows = [{"key": key, "v": value} for key, value in ("ax", "cx", "cx", "dx", "dy", "fx", "fx", "ex")]
    _, found, listed = compared(job, lines, scan_of(rows, TEXT))
    assert listed == []
    assert {(d.place, d.key, d.count) for d in found.duplicates} == {
        ("provider", "a", 2), ("provider", "b", 2), ("store", "c", 2), ("store", "d", 2), ("store", "f", 2)
    }  # fmt: skip
    assert (found.duplicate_keys, found.compared, found.equal) == (5, 1, 1)


def test_keys_that_become_one_key_are_duplicates_whatever_the_store_says():
    """With folded keys a unique index proves nothing: `A1` and `a1` are the same key twice."""
    job = job_of(Field("v"), key=k.Text(case="fold"))
    rows = [{"key": "A1", "v": "x"}, {"key": "a1", "v": "x"}, {"key": "B2", "v": "y"}]
    _, found, listed = compared(job, lines_of([{"id": "a1", "v": "x"}, {"id": "b2", "v": "y"}]), scan_of(rows, TEXT, unique=True))
    assert [(d.place, d.key, d.count) for d in found.duplicates] == [("store", "a1", 2)]
    assert (listed, found.equal) == ([], 1)


def test_unreadable_items_are_counted_shown_and_never_missing():
    """An item that cannot be read, on either side, takes its key out of the comparison; nothing is inferred from it."""
    job = job_of(Field("v", "integer"))
    lines = [b'{"id":"a","v":"x"}', b'{"id":"b","v":1}', b'{"id":"c","v":NaN}', b'{"v":1}', b'{"id":"d","v":2}']
    rows = [{"key": key, "v": v} for key, v in (("a", "1"), ("b", "one"), ("c", "3"), (None, "1"), ("d", "2"))]
    _, found, listed = compared(job, lines, scan_of(rows, TEXT), unread=(Unread(raw=b'{"id":"e"', why="is cut"),))
    assert listed == []
    assert (found.unreadable_items, found.store_unreadable, found.compared) == (6, 2, 1)
    told = {(u.place, u.key): (u.field, u.why) for u in found.unreadable}
    assert told["provider", "a"] == ("v", "is no whole number of 64 bits")
    assert told["store", "b"] == ("v", "is no whole number of 64 bits")
    assert told["store", None] == ("key", "has no readable key")
    assert told["provider", None][1] in {"has no key at 'id'", "is cut"}


def test_numeric_keys_meet_their_text():
    """Keys are text on both sides: 7 is `7`, and with an integer key `07` is too."""
    _, found, listed = compared(job_of(Field("v")), [b'{"id":7,"v":"x"}'], scan_of([{"key": 7, "v": "x"}], TEXT, key_type=pa.int64()))
    assert (listed, found.equal) == ([], 1)
    _, found, listed = compared(job_of(Field("v"), key=k.Integer()), [b'{"id":"07","v":"x"}'], scan_of([{"key": "7", "v": "x"}], TEXT))
    assert (listed, found.equal) == ([], 1)


def test_a_field_named_like_the_engine_s_own_words_is_no_trouble():
    """Names that SQL knows are quoted."""
    names = ("select", "order", "place", "fingerprint", "kind", "changed", "n")
    job = job_of(*(Field(name) for name in names))
    record = dict.fromkeys(names, "x")
    _, found, listed = compared(
        job,
        lines_of([{"id": "a"} | record, {"id": "b"} | record]),
        scan_of([{"key": "a"} | record, {"key": "b"} | record | {"kind": "y"}], dict.fromkeys(names, pa.string())),
    )
    assert found.equal == 1
    assert [(d.key, d.changed) for d in listed] == [("b", ("kind",))]


def broken(types, rows, error):
    """A scan that breaks off after its first batch."""
    schema = pa.schema([("key", pa.string()), *types.items()])

    def batches():
        yield from pa.Table.from_pylist(rows, schema=schema).to_batches()
        raise error

    return Scan(
        reader=pa.RecordBatchReader.from_batches(schema, batches()),
        key_unique=True,
        duplicates=lambda limit: [],
        isolation="",
        taken_at=None,
    )


@pytest.mark.parametrize("normalize", [None, str.upper])
@pytest.mark.parametrize("key", [k.Text(), k.Text(case="fold")])
def test_a_stream_that_breaks_off_is_never_a_short_comparison(normalize, key, tmp_path):
    """Whatever breaks the store's stream, and on whichever way through the engine, StoreUnreachable says after how many rows."""
    job = job_of(Field("v", normalize=normalize), key=key)
    snapshot = seal(job, Pages(lines_of([{"id": "a", "v": "x"}, {"id": "b", "v": "x"}])), "id", tmp_path / "run", limits=ONE)
    for error in (OSError("server closed the connection unexpectedly"), pa.ArrowInvalid("bad frame"), ValueError("odd")):
        with pytest.raises(StoreUnreachable, match=f"orders: reading the store broke off after 1 rows: {error}"):
            compare(job, snapshot, broken(TEXT, rows_of(a="x"), error), limits=ONE)
    with pytest.raises(StoreUnreachable, match="lost its lease"):
        compare(job, snapshot, broken(TEXT, rows_of(a="x"), StoreUnreachable("lost its lease")), limits=ONE)
    assert not (tmp_path / "run" / "suspects.parquet").exists()


def test_columns_that_are_not_there_are_named():
    """A scan without a field's column, and a column of an impossible type, are the job's mistake and are told before anything is read."""
    with pytest.raises(StoreMismatch, match="orders: the store's rows have no column w; they have key, v"):
        compared(job_of(Field("v"), Field("w")), [], scan_of([], TEXT))
    with pytest.raises(StoreMismatch, match=r"orders\.v: the store's column is of type BIGINT\[\], from which no integer"):
        compared(job_of(Field("v", "integer")), [], scan_of([], {"v": pa.list_(pa.int64())}))


def test_a_sealed_folder_reopens_without_work(tmp_path):
    """The seal is the manifest, written last: with it the pages are not read again, without it or for another declaration they are."""
    job, folder = job_of(Field("v")), tmp_path / "run"
    pages = Pages(lines_of([{"id": "a", "v": "x"}, {"id": "a", "v": "y"}, {"id": "b", "v": "x"}, {"v": "z"}]))
    first = seal(job, pages, "id", folder, limits=ONE)
    reads = []
    pages.frames = lambda: reads.append(1) or Pages.frames(pages)
    assert seal(job, pages, "id", folder, limits=ONE) == first == opened(folder)
    assert reads == []
    assert (first.records, first.rows, first.duplicate_keys, first.unreadable_items) == (4, 1, 1, 1)
    (folder / "manifest.json").unlink()
    assert opened(folder) is None
    assert seal(job, pages, "id", folder, limits=ONE) == first
    assert reads == [1]
    assert seal(job_of(Field("v", "json")), pages, "id", folder, limits=ONE) != first
    assert reads == [1, 1]


def test_a_spool_that_holds_less_than_it_says_is_not_sealed(tmp_path):
    """Fewer records in the pages than in the spool's own count is a fault of this machine, and no snapshot."""
    pages = Pages(lines_of([{"id": "a", "v": "x"}, {"id": "b", "v": "x"}]))
    pages.frames = lambda: iter([b'{"id":"a","v":"x"}\n'])
    with pytest.raises(LocalFault, match="the spool says 2 items, and 1 were read from it"):
        seal(job_of(Field("v")), pages, "id", tmp_path, limits=ONE)
    assert opened(tmp_path) is None


def test_an_error_of_the_spool_is_told_in_its_own_words(tmp_path):
    """What the spool raises while it is read comes out as it is, not in the engine's words."""
    pages = Pages(lines_of([{"id": "a", "v": "x"}]))

    def frames():
        yield b'{"id":"a","v":"x"}\n'
        raise LocalFault("page 2 does not fit its checksum")

    pages.frames = frames
    with pytest.raises(LocalFault, match="page 2 does not fit its checksum"):
        seal(job_of(Field("v")), pages, "id", tmp_path, limits=ONE)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    mount = tmp_path / "small"
    mount.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs takes root's rights")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk_is_a_local_fault_that_names_the_folder(small_disk):
    """Sealing onto a full disk ends in LocalFault with the way out, and leaves no seal."""
    lines = [json.dumps({"id": f"k{n}", "v": os.urandom(24).hex()}).encode() for n in range(120_000)]
    with pytest.raises(LocalFault) as caught:
        seal(job_of(Field("v")), Pages(lines, page=1000), "id", small_disk / "run", limits=Limits(memory="200MB"))
    assert str(small_disk) in caught.value.message
    assert "free space" in caught.value.hint
    assert opened(small_disk / "run") is None


def test_more_rows_than_memory_spill_and_compare_all_the_same(tmp_path):
    """Every row different, in an engine held to little memory: each one is found, and the folder holds no leftovers."""
    job, n = job_of(Field("v")), 60_000
    lines = [b'{"id":"k%06d","v":"%s"}' % (i, b"x" * 200) for i in range(n)]
    rows = [{"key": f"k{i:06d}", "v": "y" * 200} for i in range(n)]
    limits = Limits(memory="48MB", threads=2)
    snapshot = seal(job, Pages(lines, page=500), "id", tmp_path / "run", limits=limits)
    found = compare(job, snapshot, scan_of(rows, TEXT, unique=True, batch=5000), limits=limits)
    assert found.counts["changed"] == n
    assert [d.key for d in found.discrepancies()] == [f"k{i:06d}" for i in range(n)]
    left = {path.name for path in Path(tmp_path / "run").rglob("*") if path.is_file()}
    assert left <= {"source.parquet", "manifest.json", "suspects.parquet", "aside.parquet"}


def test_a_second_look_says_why_nothing_can_be_said():
    """Unreadable or twice on either side is unknown, whatever the other side holds; absent on both is no discrepancy."""
    job = job_of(Field("v", "integer"))
    rows = pa.table({"key": ["twice", "twice", "bad", "ok"], "v": ["1", "1", "x", "1"]})
    looks = second_look(
        job, {"twice": b'{"v":1}', "bad": b'{"v":1}', "poison": b'{"v":NaN}', "gone": None, "ok": b'{"v":1,"id":"other"}'}, rows
    )
    assert looks["twice"].unreadable == "the store has it 2 times"
    assert looks["bad"].unreadable == "the store's v is no whole number of 64 bits"
    assert looks["poison"].unreadable.startswith("the provider's record is no such record")
    assert all(looks[key].discrepancy is None for key in ("twice", "bad", "poison", "gone", "ok"))
    assert looks["ok"].unreadable is None
    assert looks["gone"].provider_token == looks["gone"].store_token == ""
    assert second_look(job, {}, rows) == {}
