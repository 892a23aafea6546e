"""The spool: pages on disk that survive being killed at any byte."""

import errno
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon.errors import LocalFault
from recon.fetch import spool as spool_module
from recon.fetch.page import End, Page, Unread
from recon.fetch.spool import DATA, PAGES, Spool

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def make_page(number: int, *, last: bool = False, items: int = 3, unread: tuple[Unread, ...] = ()) -> Page:
    rows = [b'{"id":"%d-%d"}' % (number, i) for i in range(items)]
    return Page(
        items=rows,
        next=None if last else {"cursor": f"c{number}", "_page": number + 1},
        end=End("has_more = false") if last else None,
        unread=unread,
        total=9,
        bytes_read=100,
    )


def filled(folder: Path, pages: int = 3, *, finish: bool = True) -> Spool:
    spool = Spool.open(folder)
    spool.begin({"resource": "charges"}, NOW)
    for number in range(1, pages + 1):
        spool.append(make_page(number, last=finish and number == pages), at=NOW)
    return spool


def test_a_spool_gives_back_what_was_appended(tmp_path: Path) -> None:
    """Frames come in order, an item a line; the figures and the end's proof survive closing and opening."""
    filled(tmp_path / "s").close()
    spool = Spool.open(tmp_path / "s")
    expected = [b"".join(item + b"\n" for item in make_page(n).items) for n in (1, 2, 3)]
    assert list(spool.frames()) == expected
    assert (spool.pages, spool.items, spool.finished, spool.parts[0].proof, spool.parts[0].checkpoint) == (
        3,
        9,
        True,
        "has_more = false",
        None,
    )
    assert (spool.total, spool.bytes_read, spool.last_at) == (9, 300, NOW)
    spool.close()


def test_an_unfinished_spool_knows_where_to_go_on(tmp_path: Path) -> None:
    """The checkpoint is the last whole page's, and frames of an empty page are passed over."""
    spool = filled(tmp_path / "s", 2, finish=False)
    spool.append(make_page(3, items=0), at=NOW)
    spool.close()
    spool = Spool.open(tmp_path / "s")
    assert spool.parts[0].checkpoint == {"cursor": "c3", "_page": 4}
    assert not spool.finished
    assert len(list(spool.frames())) == 2
    spool.close()


def test_unread_items_are_kept_with_their_bytes_and_bounded_in_number(tmp_path: Path) -> None:
    """Any bytes survive; the first 1,000 are kept, all are counted, here and after opening again."""
    spool = Spool.open(tmp_path / "s")
    spool.begin({}, NOW)
    for number in range(1, 4):
        spool.append(make_page(number, unread=tuple(Unread(raw=b"\xff\x00%d" % i, why="bad") for i in range(600))), at=NOW)
    before = (spool.unread, spool.unread_items)
    spool.close()
    spool = Spool.open(tmp_path / "s")
    assert (spool.unread, spool.unread_items) == before
    assert len(spool.unread) == 1000
    assert spool.unread_items == 1800
    assert spool.unread[0] == Unread(raw=b"\xff\x000", why="bad")
    spool.close()


@pytest.mark.parametrize("name", [DATA, PAGES])
def test_a_file_cut_at_any_byte_opens_at_its_last_whole_page(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a kill leaves of either file, the spool opens to a prefix of whole pages and goes on to the same end."""
    monkeypatch.setattr(spool_module.os, "fsync", lambda _: None)
    whole = filled(tmp_path / "whole")
    expected = list(whole.frames())
    whole.close()
    size = (tmp_path / "whole" / name).stat().st_size
    for keep in range(size + 1):
        folder = tmp_path / "cut"
        shutil.copytree(tmp_path / "whole", folder)
        os.truncate(folder / name, keep)
        spool = Spool.open(folder)
        spool.begin({"resource": "charges"}, NOW)
        assert list(spool.frames()) == expected[: spool.pages]
        assert spool.finished == (keep == size)
        for number in range(spool.pages + 1, 4):
            spool.append(make_page(number, last=number == 3), at=NOW)
        assert list(spool.frames()) == expected
        spool.close()
        shutil.rmtree(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=40), st.sampled_from([DATA, PAGES]))
def test_garbage_behind_the_last_page_is_cut_off(tmp_path: Path, tail: bytes, name: str) -> None:
    """Bytes that no line speaks of, and lines that are none, do no harm."""
    shutil.rmtree(tmp_path / "s", ignore_errors=True)
    spool = filled(tmp_path / "s", 2, finish=False)
    expected = list(spool.frames())
    spool.close()
    with (tmp_path / "s" / name).open("ab") as file:
        file.write(tail)
    spool = Spool.open(tmp_path / "s")
    assert list(spool.frames()) == expected
    spool.append(make_page(3, last=True), at=NOW)
    spool.close()
    spool = Spool.open(tmp_path / "s")
    assert spool.pages == 3
    assert spool.finished
    spool.close()


def test_a_last_frame_that_is_not_what_was_written_is_dropped(tmp_path: Path) -> None:
    """A power cut can leave a line without its data: the page is fetched again, not believed."""
    spool = filled(tmp_path / "s", 3)
    expected = list(spool.frames())
    spool.close()
    data = tmp_path / "s" / DATA
    text = bytearray(data.read_bytes())
    text[-6] ^= 0xFF
    data.write_bytes(text)
    spool = Spool.open(tmp_path / "s")
    assert spool.pages == 2
    assert list(spool.frames()) == expected[:2]
    spool.close()


def test_damage_in_an_earlier_frame_is_loud(tmp_path: Path) -> None:
    """A frame in the middle that went bad is a LocalFault with the page's number, never fewer items."""
    filled(tmp_path / "s", 3).close()
    data = tmp_path / "s" / DATA
    text = bytearray(data.read_bytes())
    text[12] ^= 0xFF
    data.write_bytes(text)
    spool = Spool.open(tmp_path / "s")
    with pytest.raises(LocalFault, match="page 1 of 3 is damaged"):
        list(spool.frames())
    spool.close()


def test_a_spool_of_another_listing_is_emptied(tmp_path: Path) -> None:
    """Pages of one listing never pass for another's, and the time of beginning is kept only for the same one."""
    spool = filled(tmp_path / "s")
    later = NOW.replace(hour=5)
    assert spool.begin({"resource": "charges"}, later) == NOW
    assert spool.pages == 3
    assert spool.begin({"resource": "refunds"}, later) == later
    assert (spool.pages, spool.items, spool.finished, list(spool.frames())) == (0, 0, False, [])
    spool.append(make_page(1, last=True), at=NOW)
    spool.close()
    spool = Spool.open(tmp_path / "s")
    assert spool.pages == 1
    spool.close()


def test_a_write_that_fails_leaves_the_spool_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the middle of a page takes nothing of it; the error names folder, space and way out."""
    spool = filled(tmp_path / "s", 2, finish=False)
    expected = list(spool.frames())
    real = os.write

    def full(handle: int, text: bytes) -> int:
        if len(text) < 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, text[: len(text) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(spool_module.os, "write", full)
        with pytest.raises(LocalFault) as caught:
            spool.append(make_page(3), at=NOW)
    assert str(tmp_path / "s") in str(caught.value)
    assert "No space left" in str(caught.value)
    assert "MB are free" in str(caught.value)
    assert caught.value.hint is not None
    spool.append(make_page(3), at=NOW)
    assert len(list(spool.frames())) == 3
    spool.close()
    spool = Spool.open(tmp_path / "s")
    assert list(spool.frames())[:2] == expected
    assert spool.pages == 3
    spool.close()


def test_only_the_user_may_read_what_was_fetched(tmp_path: Path) -> None:
    """Folder 0700, files 0600: these are other people's records."""
    filled(tmp_path / "s").close()
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "s").iterdir()} == {0o600}


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """What somebody else put there cannot lead the pages elsewhere."""
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / DATA).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalFault):
        Spool.open(folder)
    assert not (tmp_path / "elsewhere").exists()


def test_repeats_are_recognised_after_opening_again(tmp_path: Path) -> None:
    """The items of an earlier page, and a place come to before, are known across a restart; counters do not tell places apart."""
    filled(tmp_path / "s", 2, finish=False).close()
    spool = Spool.open(tmp_path / "s")
    assert spool.seen(make_page(1)) == 1
    assert spool.seen(make_page(7)) is None
    assert spool.seen(make_page(7, items=0)) is None
    assert spool.seen_place({"cursor": "c2", "_page": 99}) == 2
    assert spool.seen_place({"cursor": "c9", "_page": 2}) is None
    spool.close()


def test_the_end_is_made_to_last_data_before_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are not synced one by one; the page with the end is, data first, then the index, then the folder."""
    synced: list[str] = []
    monkeypatch.setattr(spool_module.os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    spool = filled(tmp_path / "s", 2, finish=False)
    assert synced == []
    spool.append(make_page(3, last=True), at=NOW)
    assert synced == [DATA, PAGES, "s"]
    spool.close()
