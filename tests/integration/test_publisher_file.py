"""The file publisher against real files, a disk that fills up, and real competing processes."""

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from recon.errors import BadSetting, DeliveryError
from recon.publishers.base import Message, Outcome, Publisher
from recon.publishers.file import FilePublisher
from recon.testing import section


def message(name: str, size: int = 0) -> Message:
    body = json.dumps({"id": name, "pad": "x" * size}).encode()
    return Message(id=name, type="order.created", subject=f"order/{name}", partitionkey=name, body=body)


def publisher(folder: Path, path: str = "out/events.jsonl") -> FilePublisher:
    return FilePublisher(section("log", folder=folder, path=path))


def kinds(outcomes: Sequence[Outcome]) -> list[str]:
    return [str(outcome.kind) for outcome in outcomes]


def test_lines_are_appended_and_private(tmp_path: Path) -> None:
    """Each event is one line; folder 0700, file 0600 whatever the umask; a second publisher appends."""
    mask = os.umask(0)
    try:
        assert isinstance(publisher(tmp_path), Publisher)
        assert kinds(publisher(tmp_path).publish([message("a"), message("b")], 5)) == ["confirmed"] * 2
        assert kinds(publisher(tmp_path).publish([message("c")], 5)) == ["confirmed"]
    finally:
        os.umask(mask)

    path = tmp_path / "out" / "events.jsonl"
    assert [json.loads(line)["id"] for line in path.read_bytes().splitlines()] == ["a", "b", "c"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    """After a crash in the middle of a line the next event starts on a line of its own."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"id": "a"}\n{"id": "to')
    publisher(tmp_path, "events.jsonl").publish([message("b")], 5)

    lines = path.read_bytes().splitlines()
    assert lines[1] == b'{"id": "to'
    assert json.loads(lines[2])["id"] == "b"


def test_confirmed_means_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that fails leaves every event UNKNOWN, never CONFIRMED."""
    made = publisher(tmp_path)
    made.publish([message("a")], 5)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    outcomes = made.publish([message("b")], 5)
    assert kinds(outcomes) == ["unknown"]
    assert "Input/output error" in outcomes[0].reason


def test_disk_that_fills_up_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines written whole before the disk filled are CONFIRMED, the rest RETRY with the reason, and no part of a line stays."""
    made = publisher(tmp_path)
    room = len(message("a").body) + 10
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(descriptor, bytes(data[:room]))
        room -= taken
        return taken

    monkeypatch.setattr(os, "write", full)
    outcomes = made.publish([message("a"), message("b"), message("c")], 5)
    monkeypatch.undo()

    assert kinds(outcomes) == ["confirmed", "retry", "retry"]
    assert "No space left" in outcomes[1].reason
    assert made.path.read_bytes() == message("a").body + b"\n"
    assert kinds(made.publish([message("b")], 5)) == ["confirmed"]


def test_device_is_refused(tmp_path: Path) -> None:
    """A path that is a device, a folder or a symbolic link is no file to append to: RETRY with the reason, nothing raised."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in ("/dev/full", "folder", "link"):
        outcomes = publisher(tmp_path, path).publish([message("a")], 5)
        assert kinds(outcomes) == ["retry"], path
        assert outcomes[0].reason
    assert not (tmp_path / "elsewhere").exists()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A path through a file is RETRY for all, and `health` says so with the way out."""
    (tmp_path / "file").write_text("x")
    made = publisher(tmp_path, "file/events.jsonl")
    assert kinds(made.publish([message("a"), message("b")], 5)) == ["retry"] * 2
    with pytest.raises(DeliveryError, match="events"):
        made.health()


def test_file_moved_away_between_batches(tmp_path: Path) -> None:
    """Rotation needs no signal: after the file is moved the next batch goes to a new one."""
    made = publisher(tmp_path, "events.jsonl")
    made.publish([message("a")], 5)
    made.path.rename(tmp_path / "events.jsonl.1")
    made.publish([message("b")], 5)
    assert json.loads(made.path.read_bytes())["id"] == "b"


def test_processes_take_turns(tmp_path: Path) -> None:
    """Four processes that append long lines at once leave every line whole."""
    program = (
        "import sys, pathlib, json\n"
        "from recon.testing import section\n"
        "from recon.publishers.file import FilePublisher\n"
        "from recon.publishers.base import Message\n"
        "made = FilePublisher(section('log', folder=pathlib.Path(sys.argv[1]), path='events.jsonl'))\n"
        "for i in range(20):\n"
        "    name = sys.argv[2] + str(i)\n"
        "    body = json.dumps({'id': name, 'pad': 'x' * 100_000}).encode()\n"
        "    (o,) = made.publish([Message(id=name, type='t', subject='s', partitionkey='k', body=body)], 30)\n"
        "    assert o.kind == 'confirmed', o\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name], cwd=Path.cwd()) for name in "abcd"]
    assert [worker.wait(60) for worker in workers] == [0] * 4

    ids = [json.loads(line)["id"] for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert sorted(ids) == sorted(f"{name}{i}" for name in "abcd" for i in range(20))


def test_writer_that_keeps_the_file_meets_the_deadline(tmp_path: Path) -> None:
    """While another process holds the file, the deadline ends the wait with RETRY."""
    import fcntl

    made = publisher(tmp_path, "events.jsonl")
    made.publish([message("a")], 5)
    with made.path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcomes = made.publish([message("b")], 0.1)
    assert kinds(outcomes) == ["retry"]
    assert "another process" in outcomes[0].reason


def test_health_and_settings(tmp_path: Path) -> None:
    """`health` names the file; a missing or unknown key is refused."""
    assert "events.jsonl" in publisher(tmp_path).health()
    with pytest.raises(BadSetting, match="path"):
        FilePublisher(section("log", folder=tmp_path))
    with pytest.raises(BadSetting, match="pth"):
        FilePublisher(section("log", folder=tmp_path, path="a", pth="b"))
