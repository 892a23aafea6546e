"""The stdout publisher against real pipes."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recon.errors import BadSetting, DeliveryError
from recon.publishers.base import Message, Publisher
from recon.publishers.stdout import StdoutPublisher
from recon.testing import section

PROGRAM = """
import json, sys
from recon.publishers.base import Message
from recon.publishers.stdout import StdoutPublisher
from recon.testing import section
made = StdoutPublisher(section("out"))
count, size, deadline = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
batch = [Message(id=f"e{i}", type="t", subject="s", partitionkey="k", body=json.dumps({"id": f"e{i}", "pad": "x" * size}).encode()) for i in range(count)]
if len(sys.argv) > 4:
    sys.stdin.readline()
outcomes = made.publish(batch, deadline)
made.close()
print(json.dumps([[o.kind, o.reason] for o in outcomes]), file=sys.stderr)
"""


def message(name: str) -> Message:
    return Message(id=name, type="t", subject="s", partitionkey=name, body=json.dumps({"id": name}).encode())


def test_lines_through_a_pipe() -> None:
    """Every event comes out as one line of its own bytes, and is CONFIRMED."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, "50", "10000", "10"], capture_output=True, cwd=Path.cwd(), timeout=30)

    assert done.returncode == 0
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [f"e{i}" for i in range(50)]
    assert {kind for kind, _ in json.loads(done.stderr)} == {"confirmed"}


def test_closed_pipe_is_no_crash() -> None:
    """A reader that has gone makes events RETRY, with the reason, and the process ends in order."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "3", "10", "10", "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path.cwd(),
    )
    assert child.stdin
    assert child.stdout
    assert child.stderr
    child.stdout.close()
    child.stdin.write(b"\n")
    child.stdin.close()
    report = child.stderr.read()
    child.stderr.close()

    assert child.wait(30) == 0
    outcomes = json.loads(report)
    assert [kind for kind, _ in outcomes] == ["retry"] * 3
    assert "reader of standard output has gone" in outcomes[0][1]


def test_reader_that_stops_reading_meets_the_deadline() -> None:
    """A full pipe that nobody empties: the event cut in the middle is UNKNOWN, later ones RETRY, within the deadline."""
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "3", "500000", "0.5"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path.cwd()
    )
    assert child.stderr
    assert child.stdout
    report = child.stderr.read()
    child.wait(30)
    child.stderr.close()
    child.stdout.close()

    assert [kind for kind, _ in json.loads(report)] == ["unknown", "retry", "retry"]
    assert time.monotonic() - started < 10


def test_torn_line_is_ended_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a line that broke off, the next event starts on a line of its own."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    big = Message(id="big", type="t", subject="s", partitionkey="k", body=b"x" * 500_000)
    with os.fdopen(writer, "w") as stream, os.fdopen(reader, "rb", buffering=0) as source:
        monkeypatch.setattr(sys, "stdout", stream)
        made = StdoutPublisher(section("out"))
        assert [str(o.kind) for o in made.publish([big], 0.05)] == ["unknown"]
        seen = b""
        while (part := source.read(1 << 20)) is not None:
            seen += part
        assert seen.strip(b"x") == b""
        assert [str(o.kind) for o in made.publish([message("a")], 1)] == ["confirmed"]
        assert source.read(1 << 20) == b"\n" + message("a").body + b"\n"
        monkeypatch.undo()


def test_stand_ins_without_a_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a test runner's stand-in for standard output, text or binary, events are written to it."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    made = StdoutPublisher(section("out"))
    assert isinstance(made, Publisher)
    assert [str(o.kind) for o in made.publish([message("a")], 1)] == ["confirmed"]
    assert text.getvalue() == '{"id": "a"}\n'

    binary = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", binary)
    made.publish([message("b")], 1)
    assert binary.buffer.getvalue() == b'{"id": "b"}\n'


def test_no_standard_output_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without standard output: RETRY, and `health` says what to do."""
    made = StdoutPublisher(section("out"))
    assert "a line each" in made.health()
    monkeypatch.setattr(sys, "stdout", None)
    assert [str(o.kind) for o in made.publish([message("a")], 1)] == ["retry"]
    with pytest.raises(DeliveryError):
        made.health()


def test_settings_are_refused() -> None:
    """It takes no settings, and says so."""
    with pytest.raises(BadSetting, match="path"):
        StdoutPublisher(section("out", path="x"))
