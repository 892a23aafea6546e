"""A reader that follows a spool: it sees each page once, waits for what is to come, and stops where the fetch fails."""

from pathlib import Path
from threading import Event, Thread

import pytest

from recon.compare import seal
from recon.compare.snapshot import opened
from recon.compare.union import Union
from recon.errors import LocalFault
from recon.fetch.following import STRIDE, Abandoned, Following
from recon.fetch.page import End, Page
from recon.fetch.partition import Partition
from recon.fetch.spool import DATA, Spool
from recon.job import Field
from recon.run.sealing import Sealing
from tests.unit.sides import ONE, job_of

PER_PAGE = 1000
PAGES = 12


def page(number: int, *, last: bool = False) -> Page:
    """A page of records that no other page has."""
    items = [b'{"id":"k%06d","v":"x"}' % n for n in range(number * PER_PAGE, (number + 1) * PER_PAGE)]
    return Page(items=items, next=None if last else {"after": number}, end=End(proof="the last") if last else None)


def grow(spool: Spool, told, first: int = 0, last: int = PAGES) -> None:
    """Pages onto the spool, each told of; the last of them with the end's proof where it is the twelfth."""
    for number in range(first, last):
        spool.append(page(number, last=number == PAGES - 1))
        told.grown()


@pytest.fixture
def spool(tmp_path):
    opened_spool = Spool.open(tmp_path / "run")
    yield opened_spool
    opened_spool.close()


def sealed(folder: Path):
    """The seal of a job over one field, into this folder."""
    return lambda pages: seal(job_of(Field("v")), pages, "id", folder, limits=ONE)


def beside(spool: Spool, folder: Path) -> Sealing:
    """That seal, beside a fetch into the spool."""
    return Sealing(spool, sealed(folder), folder)


def test_a_reader_sees_every_page_once_and_in_order_while_they_arrive(spool):
    """What a reader in another thread gets is what the spool holds in the end, and it was at work before the end."""
    following, got, early = Following(spool), [], Event()

    def read():
        for frame, items in following.counted():
            got.append((frame, items))
            early.set()

    reader = Thread(target=read)
    reader.start()
    grow(spool, following, last=STRIDE // PER_PAGE + 1)
    assert early.wait(10)
    grow(spool, following, first=STRIDE // PER_PAGE + 1)
    following.end()
    reader.join(10)
    assert got == list(spool.counted())
    assert [items for _, items in got] == [PER_PAGE] * PAGES


def test_an_abandoned_reader_stops_and_never_takes_what_came_for_all(spool):
    """A reader whose fetch failed ends in Abandoned, whether it waits or is in the middle."""
    following = Following(spool)
    grow(spool, following, last=6)
    reader = following.counted()
    next(reader)
    following.abandon()
    with pytest.raises(Abandoned):
        list(reader)
    with pytest.raises(Abandoned):
        next(following.counted())


def test_a_snapshot_sealed_beside_the_fetch_is_the_one_sealed_after_it(spool, tmp_path):
    """The manifest and the rows are the same, whichever way the seal was made."""
    with beside(spool, tmp_path / "beside") as sealing:
        grow(spool, sealing)
        early = sealing.finish()
    after = sealed(tmp_path / "after")(spool)
    assert (tmp_path / "beside/manifest.json").read_bytes() == (tmp_path / "after/manifest.json").read_bytes()
    assert rows(early.source) == rows(after.source)
    assert early.rows == PAGES * PER_PAGE


def rows(file: Path):
    """A Parquet file's rows, sorted."""
    import pyarrow.parquet as pq

    return sorted(pq.read_table(file).to_pylist(), key=lambda row: row["key"])


def test_a_spool_left_by_an_interrupted_fetch_is_read_from_its_first_page(spool, tmp_path):
    """Pages that an earlier process fetched are in the snapshot with those that came now."""
    grow(spool, Following(spool), last=7)
    with beside(spool, tmp_path / "source") as sealing:
        grow(spool, sealing, first=7)
        assert sealing.finish().rows == PAGES * PER_PAGE


def test_a_fetch_that_was_whole_before_is_sealed_all_the_same(spool, tmp_path):
    """With no page to come the seal is made at the end, and the next time taken as it is."""
    grow(spool, Following(spool))
    for _ in range(2):
        with beside(spool, tmp_path / "source") as sealing:
            assert sealing.finish().rows == PAGES * PER_PAGE


def test_a_fetch_that_fails_leaves_no_seal_and_no_thread(spool, tmp_path):
    """An error of the fetch comes out as it was; nothing is sealed, and the seal can be made later."""
    with pytest.raises(ConnectionError), beside(spool, tmp_path / "source") as sealing:
        grow(spool, sealing, last=6)
        raise ConnectionError
    assert opened(tmp_path / "source") is None
    grow(spool, Following(spool), first=6)
    with beside(spool, tmp_path / "source") as sealing:
        assert sealing.finish().rows == PAGES * PER_PAGE


def test_an_older_seal_is_never_taken_for_a_new_fetch(spool, tmp_path):
    """A fetch started anew is sealed anew, though the seal that is there is of as many records."""
    grow(spool, Following(spool), first=PAGES - 1)
    with beside(spool, tmp_path / "source") as sealing:
        before = rows(sealing.finish().source)
    spool.reset()
    with beside(spool, tmp_path / "source") as sealing:
        spool.append(Page(items=[b'{"id":"n%06d","v":"y"}' % n for n in range(PER_PAGE)], end=End(proof="the only one")))
        sealing.grown()
        assert rows(sealing.finish().source) != before


def test_a_seal_that_fails_is_told_at_the_end_of_the_fetch(spool, tmp_path):
    """Pages damaged on disk end in LocalFault in the run's own thread, after every page was fetched."""
    with beside(spool, tmp_path / "source") as sealing:
        spool.append(page(0))
        data = tmp_path / "run" / DATA
        data.write_bytes(b"\0" * data.stat().st_size)
        sealing.grown()
        grow(spool, sealing, first=1)
        with pytest.raises(LocalFault, match=r"page 1 of .* is damaged on disk"):
            sealing.finish()


def test_a_second_pass_that_nobody_announced_is_sealed_as_one_state(spool, tmp_path):
    """The first pass is sealed as it comes; when a second one begins, the seal is made anew, and an item of both is one item, as it was last seen."""
    folder = tmp_path / "source"

    def made(pages):
        taken = Union(pages, "id", folder, ONE) if pages.union else pages
        return seal(job_of(Field("v")), taken, "id", folder, limits=ONE)

    with Sealing(spool, made, folder) as sealing:
        for turn in (1, 2):
            part = spool.hand_out(Partition(name=f"pass {turn}", turn=turn))
            for number in range(6):
                items = [b'{"id":"k%06d","v":"%d"}' % (n, turn) for n in range(number * PER_PAGE, (number + 1) * PER_PAGE)]
                spool.append(
                    Page(items=items, next=None if number == 5 else {"n": number}, end=End("there") if number == 5 else None), part=part
                )
                sealing.grown()
        spool.end_plan()
        snapshot = sealing.finish()
    assert (snapshot.rows, snapshot.records, snapshot.duplicate_keys) == (6 * PER_PAGE, 6 * PER_PAGE, 0)
    assert {row["v"] for row in rows(snapshot.source)} == {"2"}
