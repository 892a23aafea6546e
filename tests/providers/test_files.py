"""Files as the third party: several of them as one state, each proven to its end, and none taken for empty because it is not there."""

import gzip
import hashlib
import json
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from providers.files import Files
from recon.clock import SystemClock
from recon.dumps.pin import Pin
from recon.errors import BadRequest, BadSetting, InvalidPage, Refused
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.provider import Listing
from tests.providers.sections import section

CSV = 'id,name,amount\n1,Ann,10\n2,"Bo, the\nsecond",20\n'


def files(folder: Path, resource: dict[str, Any] | None = None) -> Files:
    """The provider over a folder, as a table of recon.toml makes it."""
    one = {"files": "*.csv", **(resource or {})}
    return Files(section("providers.psp", {"folder": str(folder), "resources": {"rows": {k: v for k, v in one.items() if v is not None}}}))


def landed(provider: Files, spool_folder: Path, day: date | None = None) -> tuple[Coverage, list[dict[str, Any]]]:
    """The whole listing, and its records."""
    spool = Spool.open(spool_folder)
    try:
        coverage = land(provider, Listing(resource="rows", day=day), spool, clock=SystemClock())
        return coverage, [json.loads(line) for text in spool.frames() for line in text.splitlines()]
    finally:
        spool.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files lie."""
    made = tmp_path / "in"
    made.mkdir()
    return made


def test_several_files_are_one_state(folder: Path, tmp_path: Path) -> None:
    """Each is a part of its own, plain or packed; quoted line ends and a mark at the beginning are no matter; the proof gives bytes and records."""
    (folder / "a.csv").write_bytes(b"\xef\xbb\xbf" + CSV.encode())
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"id,name,amount\r\n3,Cy,30\r\n"))

    coverage, records = landed(files(folder, {"files": "*.csv*", "expect": 2}), tmp_path / "s")

    assert (coverage.whole, coverage.planned, coverage.finished, coverage.records) == (True, 2, 2, 3)
    assert [record["id"] for record in records] == ["1", "2", "3"]
    assert records[1]["name"] == "Bo, the\nsecond"
    assert "bytes to their end, 2 records" in coverage.parts[0].proof
    assert coverage.scope["files"].startswith("2, as of ")


def test_lines_of_json(folder: Path, tmp_path: Path) -> None:
    """Each line is a record; a line that is none, or not in UTF-8, costs itself alone."""
    (folder / "a.jsonl").write_bytes(b'{"id": 1}\n{"id": \n[2]\n{"id": "\xff"}\n\n{"id": 5}')

    coverage, records = landed(files(folder, {"files": "a.jsonl", "format": "jsonl"}), tmp_path / "s")

    assert (coverage.whole, coverage.unreadable) == (True, 3)
    assert [record["id"] for record in records] == [1, 5]


def test_rows_that_cannot_be_read_cost_themselves(folder: Path, tmp_path: Path) -> None:
    """A row of another length and one in another encoding are counted with their lines; the others are read."""
    (folder / "a.csv").write_bytes(b"id,name\n1,a\n2\n3,\xff\n4,d,e\n5,e\n")

    spool = Spool.open(tmp_path / "s")
    coverage = land(files(folder), Listing(resource="rows"), spool, clock=SystemClock())
    why = [one.why for one in spool.unread]
    spool.close()

    assert (coverage.whole, coverage.records, coverage.unreadable) == (True, 2, 3)
    assert why == [
        "line 3 has 1 cells, the header 2",
        "line 4 is not in the encoding that was declared",
        "line 5 has 3 cells, the header 2",
    ]


BROKEN = {
    "cut in a quoted field": (b'id,name\n1,a\n2,"bo', {}, "ends inside a quoted field"),
    "cut in a line": (b"id,name\n1,a\n2,b", {}, "no line end"),
    "without its trailer": (b"id,name\n1,a\n2,b\n", {"trailer": "T"}, "the trailer is missing"),
    "with too few rows": (b"id,name\n1,a\nT,2\n", {"trailer": "T"}, "the trailer says '2' records, and 1 were read"),
    "with rows after the trailer": (b"id,name\n1,a\nT,1\n2,b\n", {"trailer": "T"}, "rows follow the trailer"),
    "with nothing in it": (b"", {}, "not even a header"),
    "with a doubled header": (b"id,id\n", {}, "'id' twice"),
    "without its sum": (CSV.encode(), {"checksum": "sha256"}, "no a.csv.sha256 beside it"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_breaks_off_leaves_the_list_partial(folder: Path, tmp_path: Path, case: str) -> None:
    """Another file is read to its end; the broken one is never called whole, and the certificate names it and says why."""
    body, resource, says = BROKEN[case]
    (folder / "a.csv").write_bytes(body)
    good = b"id,name\n7,g\nT,1\n" if "trailer" in resource else b"id,name\n7,g\n"
    (folder / "b.csv").write_bytes(good)
    (folder / "b.csv.sha256").write_text(hashlib.sha256(good).hexdigest() + "  b.csv\n")

    coverage, records = landed(files(folder, resource), tmp_path / "s")

    assert not coverage.whole
    assert says in coverage.proof
    assert {"id": "7", "name": "g"} in records
    assert (coverage.planned, coverage.finished) == (2, 1)


def test_a_packed_file_that_is_cut_is_not_whole(folder: Path, tmp_path: Path) -> None:
    """Its rows up to there parse cleanly, and still it did not come to its end."""
    packed = gzip.compress(b"id,name\n" + b"".join(b"%d,somebody number %d\n" % (n, n * 7919) for n in range(40_000)))
    (folder / "a.csv.gz").write_bytes(packed[: len(packed) // 2])

    coverage, _ = landed(files(folder, {"files": "*.gz"}), tmp_path / "s")

    assert not coverage.whole
    assert "breaks off before its end" in coverage.proof


def test_what_proves_it(folder: Path, tmp_path: Path) -> None:
    """A sum beside the file and a trailer's count stand in the proof; then a last line without its end is no matter."""
    body = b"id,name\n1,a\n2,b\nT,2"
    (folder / "a.csv").write_bytes(body)
    (folder / "a.csv.sha256").write_text(hashlib.sha256(body).hexdigest())

    coverage, records = landed(files(folder, {"trailer": "T", "checksum": "sha256"}), tmp_path / "s")

    assert (coverage.whole, len(records)) == (True, 2)
    assert "its trailer says 2 records, sha256 " in coverage.proof
    assert coverage.notes == ()


def test_a_file_that_is_not_there_is_not_an_empty_one(folder: Path, tmp_path: Path) -> None:
    """A pattern that fits nothing, or too few, is refused; of named files the missing one leaves the list partial."""
    with pytest.raises(Refused, match="fits no file"):
        landed(files(folder), tmp_path / "s")
    (folder / "a.csv").write_text(CSV)
    with pytest.raises(Refused, match="fits 1 file, 2 are expected"):
        landed(files(folder, {"expect": 2}), tmp_path / "s")

    coverage, records = landed(files(folder, {"files": ["a.csv", "b.csv"]}), tmp_path / "s")

    assert (coverage.whole, len(records)) == (False, 2)
    assert "b.csv is not there" in coverage.proof


def test_a_file_that_changes_while_it_is_read_is_not_called_whole(folder: Path, tmp_path: Path) -> None:
    """It grows under the reader: what was listed is not what was read, and the other file alone is no whole list."""
    (folder / "b.csv").write_text("id,name\n7,g\n")
    (folder / "a.csv").write_text("id,name\n" + "".join(f"{n},x\n" for n in range(6_000)))
    provider = files(folder)
    spool = Spool.open(tmp_path / "s")

    def grow(_: Coverage) -> None:
        with (folder / "a.csv").open("a") as file:
            file.write("99999,late\n")

    coverage = land(provider, Listing(resource="rows"), spool, clock=SystemClock(), on_page=grow)
    spool.close()

    assert not coverage.whole
    assert "when the files were listed, and is" in coverage.proof


def test_it_goes_on_within_a_file(folder: Path, tmp_path: Path) -> None:
    """Pages that lie on disk are not read again; a file that came since makes it another state, which is begun anew."""
    (folder / "a.csv").write_text("id,name\n" + "".join(f"{n},x\n" for n in range(12_000)))
    provider, spool = files(folder), Spool.open(tmp_path / "s")
    seen = 0

    def stop(coverage: Coverage) -> None:
        nonlocal seen
        seen = coverage.records
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        land(provider, Listing(resource="rows"), spool, clock=SystemClock(), on_page=stop)
    spool.close()
    coverage, records = landed(provider, tmp_path / "s")
    assert (seen, coverage.resumed, coverage.whole, len(records)) == (5_000, True, True, 12_000)

    (folder / "b.csv").write_text("id,name\n99999,y\n")
    coverage, records = landed(provider, tmp_path / "s")
    assert (coverage.whole, len(records)) == (True, 12_001)
    assert any("what is asked for changed" in note for note in coverage.notes)


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        ({"files": ""}, "a pattern or a list of names"),
        ({"files": [1]}, "a pattern or a list of names"),
        ({"files": "/incoming/*.csv"}, "leads out of the folder"),
        ({"files": "{date:../%Y}.csv"}, "leads out of the folder"),
        ({"days": 3}, "no {date} in it"),
        ({"files": "{date}.csv", "days": 5_000}, "goes 5,000 days back"),
        ({"files": ["a.csv", "../b.csv"]}, "leads out of the folder"),
        ({"format": "xml"}, "format"),
        ({"delimiter": ";;"}, "one character is wanted"),
        ({"encoding": "klingon"}, "which is none"),
        ({"format": "jsonl", "trailer": "T"}, "belongs to CSV"),
        ({"checksum": "crc"}, "checksum"),
        ({"kee": "id"}, "kee"),
    ],
)
def test_wrong_settings_are_refused(folder: Path, resource: dict[str, Any], says: str) -> None:
    """Each mistake is named with its table and key."""
    with pytest.raises(BadSetting, match=says):
        files(folder, resource)


def test_a_reissue_that_says_the_same_is_no_breach(folder: Path, tmp_path: Path) -> None:
    """The same rows in two files: where the later one counts it is whole and each key stands once as a record; else nothing says that it is meant."""
    (folder / "a.csv").write_text(CSV)
    (folder / "b.csv").write_text(CSV)

    again, _ = landed(files(folder, {"newest_wins": True}), tmp_path / "s")
    twice, _ = landed(files(folder), tmp_path / "t")

    assert (again.whole, again.finished) == (True, 2)
    assert twice.whole is False
    assert "holds the same 2 items" in twice.proof


def test_files_that_are_read_another_way_are_read_anew(folder: Path, tmp_path: Path) -> None:
    """Columns that were put right after a fetch broke off: what was read under the old names is not put together with the rest."""
    (folder / "a.csv").write_text("1,Ann\n2,Bo\n")
    (folder / "b.csv").write_text("3,Cy")
    short, _ = landed(files(folder, {"columns": ["name", "id"]}), tmp_path / "s")

    again, records = landed(files(folder, {"columns": ["id", "name"]}), tmp_path / "s")

    assert (short.whole, again.whole) == (False, False)
    assert [record["id"] for record in records] == ["1", "2"]


def test_a_file_that_goes_between_two_looks_is_lacking(folder: Path, tmp_path: Path) -> None:
    """The plan is made of the files that the certificate names: one that is gone when its turn comes leaves the list partial."""
    (folder / "a.csv").write_text(CSV)
    (folder / "b.csv").write_text("id,name,amount\n3,Cy,30\n")

    class Vanishing(Files):
        """Loses a file once the scope was told."""

        def planner(self, listing: Listing) -> Any:
            (folder / "b.csv").unlink(missing_ok=True)
            return super().planner(listing)

    provider = files(folder)
    provider.__class__ = Vanishing
    coverage, _ = landed(provider, tmp_path / "s")

    assert (coverage.whole, coverage.planned, coverage.finished) == (False, 2, 1)
    assert "b.csv is not there" in coverage.proof


def test_doctor_s_sample_is_the_first_file(folder: Path) -> None:
    """A look at the listing as a whole, which names no file, shows the rows of the first; where there is none, that is said."""
    (folder / "a.csv").write_text(CSV)
    (folder / "b.csv").write_text("id,name,amount\n3,Cy,30\n")

    page = next(files(folder).sample(Listing(resource="rows")))

    assert [json.loads(item)["id"] for item in page.items] == ["1", "2"]
    with pytest.raises(Refused, match="fits no file"):
        files(folder, {"files": "*.txt"}).sample(Listing(resource="rows"))


@pytest.mark.parametrize(
    ("full", "empty", "resource"),
    [
        ("id,n\n1,x\n", "id,n\n", {"format": "csv"}),
        ("1,x\n", "", {"format": "csv", "columns": ["id", "n"]}),
        ('{"id":"1"}\n', "", {"format": "jsonl"}),
        ('{"id":"1"}\n', "\n\n", {"format": "jsonl"}),
    ],
)
def test_a_file_without_a_record_is_not_an_empty_list(
    folder: Path, tmp_path: Path, full: str, empty: str, resource: dict[str, Any]
) -> None:
    """An upload that failed leaves such a file: the list is partial, so nothing in it is told deleted, unless it is declared to be right."""
    (folder / "a.txt").write_text(full)
    (folder / "b.txt").write_text(empty)
    declared = {"files": "*.txt", **resource}

    doubtful, _ = landed(files(folder, declared), tmp_path / "s")
    meant, records = landed(files(folder, {**declared, "empty_ok": True}), tmp_path / "t")

    assert (doubtful.whole, doubtful.planned, doubtful.finished) == (False, 2, 1)
    assert "there is no record in it" in doubtful.proof
    assert (meant.whole, len(records)) == (True, 1)


@pytest.mark.parametrize(
    ("name", "empty", "resource"),
    [("csv", "id,n\nT,0\n", {"trailer": "T"}), ("json", "[]", {"format": "json"})],
)
def test_a_file_that_says_that_it_is_empty_is(folder: Path, tmp_path: Path, name: str, empty: str, resource: dict[str, Any]) -> None:
    """A trailer that counts 0 and an array that is closed are the sender's own words."""
    (folder / f"a.{name}").write_text(empty)

    coverage, records = landed(files(folder, {"files": f"*.{name}", **resource}), tmp_path / "s")

    assert (coverage.whole, records) == (True, [])


def test_params_of_a_job_are_refused_and_never_ignored(folder: Path, tmp_path: Path) -> None:
    """A job that asks for a part of the files does not get all of them."""
    (folder / "a.csv").write_text(CSV)
    spool = Spool.open(tmp_path / "s")
    with pytest.raises(BadRequest, match=r"gives params \(day\)"):
        land(files(folder), Listing(resource="rows", params={"day": "1"}), spool, clock=SystemClock())
    spool.close()


def test_a_header_in_another_encoding_is_told(folder: Path, tmp_path: Path) -> None:
    """UTF-16 read as UTF-8 has no names of columns: that is said, with the key that mends it."""
    (folder / "a.csv").write_bytes(CSV.encode("utf-16"))
    with pytest.raises(InvalidPage, match="not in the encoding that was declared") as told:
        landed(files(folder), tmp_path / "s")
    assert "encoding in the resource" in str(told.value.hint)


def test_names_with_the_days_of_the_run(folder: Path, tmp_path: Path) -> None:
    """Three days up to yesterday, oldest first, whatever else lies there; a day without its file leaves the list partial, and a day whose pattern fits nothing is refused."""
    for day in ("20261029", "20261030", "20261031", "20261101", "20261102"):
        (folder / f"settled_{day}.csv").write_text(f"id,day\n{day},x\n")
    resource = {"files": ["settled_{date:%Y%m%d}.csv"], "days": 3, "days_ago": 1}

    coverage, records = landed(files(folder, resource), tmp_path / "s", date(2026, 11, 2))

    assert [record["id"] for record in records] == ["20261030", "20261031", "20261101"]
    assert coverage.whole
    assert coverage.scope["filters"] == "settled_{date:%Y%m%d}.csv of 2026-10-30 to 2026-11-01"
    # Another day's files are another list: nothing of it is gone on with.
    coverage, records = landed(files(folder, resource), tmp_path / "s", date(2026, 11, 4))
    assert (coverage.whole, [record["id"] for record in records]) == (False, ["20261101", "20261102"])
    assert "settled_20261103.csv is not there" in coverage.proof
    with pytest.raises(Refused, match=r"settled_20261103\*\.csv in .* fits no file"):
        landed(files(folder, {**resource, "files": "settled_{date:%Y%m%d}*.csv"}), tmp_path / "s", date(2026, 11, 4))
    coverage, records = landed(files(folder, {"files": "settled_{date:%Y%m}*.csv", "days": 30}), tmp_path / "s", date(2026, 11, 4))
    assert len(records) == 5


def test_a_file_that_is_replaced_after_it_was_read_is_noticed(folder: Path, tmp_path: Path) -> None:
    """The first file is replaced while the second is read: nothing of it counts, the fetch is partial and says so; the next one reads both as they are."""
    (folder / "a.csv").write_text("id,name\n1,old\n")
    (folder / "b.csv").write_text("id,name\n" + "".join(f"{n},x\n" for n in range(2, 6_000)))
    provider, spool = files(folder), Spool.open(tmp_path / "s")

    def replace_first(coverage: Coverage) -> None:
        if coverage.finished == 1:
            (folder / "a.csv").write_text("id,name\n1,newer\n")

    coverage = land(provider, Listing(resource="rows"), spool, clock=SystemClock(), on_page=replace_first)
    spool.close()
    assert (coverage.whole, coverage.finished, coverage.records) == (False, 1, 5_998)
    assert "a.csv was 14 bytes" in coverage.proof
    coverage, records = landed(provider, tmp_path / "s")
    assert (coverage.whole, records[0]["name"]) == (True, "newer")


def test_a_file_that_is_as_it_was_again_is_read_anew(folder: Path, tmp_path: Path) -> None:
    """Replaced for a moment and put back by the time it is read anew: whole, with a note that it was begun anew."""
    (folder / "a.csv").write_text("id,name\n1,old\n")
    (folder / "b.csv").write_text("id,name\n2,x\n")
    provider, spool = files(folder), Spool.open(tmp_path / "s")
    about = (folder / "a.csv").stat()
    look, looks = provider._place.look, 0

    def looked(names: Sequence[str]) -> list[Pin]:
        nonlocal looks
        looks += len(names) == 2
        # The second look at both is the one at the end.
        swap = looks == 2 and len(names) == 2
        (folder / "a.csv").write_text("id,name\n1,for a moment\n" if swap else "id,name\n1,old\n")
        os.utime(folder / "a.csv", ns=(about.st_atime_ns, about.st_mtime_ns))
        return look(names)

    provider._place.look = looked  # type: ignore[method-assign]  # the moment between two looks is to be hit
    coverage = land(provider, Listing(resource="rows"), spool, clock=SystemClock())
    spool.close()
    assert (coverage.whole, coverage.records, coverage.parts[0].restarts) == (True, 2, 1)
    assert any("a.csv was started anew" in note for note in coverage.notes)


def test_files_are_read_side_by_side(folder: Path, tmp_path: Path) -> None:
    """With a concurrency of three every file is read to its end, each record once; where the later file counts they come one after another."""
    for name in "abcdef":
        (folder / f"{name}.csv").write_text("id,name\n" + "".join(f"{name}{n},{name}\n" for n in range(100)))
    table = {
        "folder": str(folder),
        "concurrency": 3,
        "resources": {"rows": {"files": "*.csv"}, "one": {"files": "*.csv", "newest_wins": True}},
    }
    provider = Files(section("providers.psp", table))

    coverage, records = landed(provider, tmp_path / "s")

    assert (provider.width("rows"), provider.width("one")) == (3, 1)
    assert (coverage.whole, coverage.finished, len({record["id"] for record in records}), len(records)) == (True, 6, 600, 600)
