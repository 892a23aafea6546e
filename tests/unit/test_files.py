"""Atomic files: whole or not there, private, and clear about a disk that is full or shut."""

import errno
import os
import stat

import pytest

from recon import files
from recon.errors import LocalFault
from recon.files import private_folder, write_atomically


def names(folder) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_and_private(tmp_path) -> None:
    """The pieces arrive in order, the mode is 0600 whatever the umask, and no spare file is left."""
    old = os.umask(0)
    try:
        write_atomically(tmp_path / "a.bin", [b"x" * 300_000, b"", b"y"])
    finally:
        os.umask(old)

    assert (tmp_path / "a.bin").read_bytes() == b"x" * 300_000 + b"y"
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o600
    assert names(tmp_path) == ["a.bin"]


def test_a_writer_that_fails_leaves_the_old_file(tmp_path) -> None:
    """When the pieces break off, what was there before still is, and the exception comes through untranslated."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def broken():
        yield b"new" * 200_000
        raise OSError(errno.EIO, "the reader's own fault")

    with pytest.raises(OSError, match="the reader's own fault"):
        write_atomically(path, broken())

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("write", errno.ENOSPC, "make room"),
        ("fsync", errno.EDQUOT, "make room"),
        ("open", errno.EACCES, "must be able to write"),
        ("open", errno.EROFS, "must be able to write"),
    ],
)
def test_a_full_or_shut_disk_is_a_local_fault_with_the_way_out(tmp_path, monkeypatch, call, code, words) -> None:
    """An error at open, write or fsync names the path and what to do, and leaves the old file as it was."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def fails(*_args, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, call, fails)
    with pytest.raises(LocalFault, match=r"a\.txt") as caught:
        write_atomically(path, [b"new"])
    monkeypatch.undo()

    assert words in caught.value.hint
    assert caught.value.exit_code == 75
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path) -> None:
    """A link planted at the path does not redirect the write."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"safe")
    link = tmp_path / "report.html"
    link.symlink_to(victim)

    write_atomically(link, [b"report"])

    assert victim.read_bytes() == b"safe"
    assert link.read_bytes() == b"report"
    assert not link.is_symlink()


def test_a_folder_is_private_with_its_parents(tmp_path) -> None:
    """New folders have mode 0700, an existing one keeps its own, and asking twice is fine."""
    made = private_folder(tmp_path / "a" / "b")
    (tmp_path / "shared").mkdir(mode=0o755)
    private_folder(private_folder(tmp_path / "shared"))

    assert [stat.S_IMODE(p.stat().st_mode) for p in (made, made.parent, tmp_path / "shared")] == [0o700, 0o700, 0o755]


def test_a_folder_that_cannot_be_is_a_local_fault(tmp_path) -> None:
    """A file in the way, above it or at its place, and a symbolic link are refused with the path and a hint."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)

    for path in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "link"):
        with pytest.raises(LocalFault, match=path.name) as caught:
            private_folder(path)
        assert caught.value.hint
