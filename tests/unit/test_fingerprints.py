"""What the narrow join calls equal: two hashes of 64 bits, each of which holds where the other fails, and pairs that are one to one."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from recon.compare import compare, diff, seal
from recon.compare.limits import connect
from recon.errors import LocalFault, StoreMismatch
from recon.job import Field
from tests.unit.sides import ONE, Pages, job_of, lines_of, scan_of

MULTIPLIER = 0xD6E8FEB86659FD93
SEED = 0xE17A1465
LENGTH = 0xC6A4A7935BD1E995
BITS = (1 << 64) - 1


def found(tmp_path: Path, provider, store, *, unique=True):
    """The comparison of two lists of records with a key and one text field."""
    job = job_of(Field("v"))
    rows = [{"key": r["id"], "v": r["v"]} for r in store]
    snapshot = seal(job, Pages(lines_of(provider)), "id", tmp_path, limits=ONE)
    return compare(job, snapshot, scan_of(rows, {"v": pa.string()}, unique=unique), limits=ONE)


def many(count: int):
    """Records of which every one differs from every other."""
    return [{"id": f"k{n:05d}", "v": f"v{n}"} for n in range(count)]


def colliding_keys() -> tuple[str, str]:
    """Two keys of sixteen letters that the engine's hash takes for one: its rounds can be run backwards, so the second eight make up for the first."""

    def state(block: bytes) -> int:
        start = SEED ^ (16 * LENGTH & BITS)
        return (start ^ int.from_bytes(block, "little")) * MULTIPLIER & BITS

    first, rest = b"aaaaaaaa", b"mmmmmmmm"
    wanted = state(first) ^ int.from_bytes(rest, "little")
    for number in range(20_000_000):
        other = number.to_bytes(5, "little").hex()[:8].encode()
        tail = (state(other) ^ wanted).to_bytes(8, "little")
        if other != first and tail.isascii() and tail.decode().isprintable():
            return (first + rest).decode(), (other + tail).decode()
    raise AssertionError


def test_two_keys_of_one_hash_are_still_two(tmp_path):
    """Keys built so that the engine hashes them alike, with equal fields, are told apart: one is missing, the other extra."""
    one, other = colliding_keys()
    engine = duckdb.connect()
    assert engine.execute("select hash(?) = hash(?), hash(?, 'x') = hash(?, 'x')", [one, other, one, other]).fetchall() == [(True, True)]
    outcome = found(tmp_path, [{"id": one, "v": "x"}, {"id": "k", "v": "x"}], [{"id": other, "v": "x"}, {"id": "k", "v": "x"}])
    assert sorted((d.kind, d.key) for d in outcome.discrepancies()) == sorted([("extra", other), ("missing", one)])
    assert (outcome.compared, outcome.equal) == (1, 1)


@pytest.mark.parametrize(("failing", "kinds"), [("KEY_HASH", {"missing", "extra", "changed"}), ("row_hash", {"missing", "extra"})])
def test_either_hash_holds_where_the_other_fails(tmp_path, monkeypatch, failing, kinds):
    """With the key's hash useless everything is found by the row's; with the row's useless, keys are still told apart by their own."""
    monkeypatch.setattr(diff, failing, "1::ubigint" if failing == "KEY_HASH" else lambda _: "1::ubigint")
    provider, store = many(300), many(300)
    del provider[7], store[11]
    store[100] = store[100] | {"v": "moved"}
    outcome = found(tmp_path, provider, store)
    assert {str(d.kind): d.key for d in outcome.discrepancies()} == {
        kind: key for kind, key in {"missing": "k00011", "extra": "k00007", "changed": "k00101"}.items() if kind in kinds
    }


def test_a_store_whose_unique_index_is_broken_is_told_so(tmp_path):
    """A key that comes twice from a store that calls its keys unique stops the run, though both rows equal the provider's."""
    with pytest.raises(StoreMismatch, match="21 rows of the store were found equal to 20 of the provider's"):
        found(tmp_path, many(20), [*many(20), many(20)[4]])


@pytest.mark.parametrize("second", ["v4", "other"])
def test_a_snapshot_with_a_key_twice_is_refused(tmp_path, second):
    """Rows that the seal says are not there, as a snapshot that was written over has them, never become a discrepancy."""
    job = job_of(Field("v"))
    snapshot = seal(job, Pages(lines_of(many(20))), "id", tmp_path, limits=ONE)
    kept = str(snapshot.source)
    with connect(ONE) as engine:
        engine.execute(f"create table t as select * from read_parquet('{kept}')")
        engine.execute(f"insert into t select * replace ('{second}' as v) from t where key = 'k00004'")
        engine.execute(f"copy t to '{kept}' (format parquet)")
    snapshot = replace(snapshot, rows=21, records=21)
    rows = [{"key": r["id"], "v": r["v"]} for r in many(20)]
    with pytest.raises((LocalFault, StoreMismatch)):
        compare(job, snapshot, scan_of(rows, {"v": pa.string()}, unique=True), limits=ONE)
