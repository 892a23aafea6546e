"""The spool of a listing in parts: whatever is written in whatever order, and wherever it is cut, what opens again is a state it was in."""

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon.errors import LocalFault
from recon.fetch.page import End, Page
from recon.fetch.partition import Partition
from recon.fetch.spool import DATA, PAGES, Spool

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
KINDS = ("hand", "page", "page", "page", "empty", "end", "anew", "drop", "serial", "planned")
Step = tuple[str, int]
State = dict[str, Any]


@dataclass
class Model:
    """What a spool is to hold after some steps, reckoned without it: the live parts, and every page that was written."""

    eras: list[int] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    pages: list[tuple[int, int, list[bytes]]] = field(default_factory=list)
    planned: bool = False
    serial: bool = False

    @property
    def live(self) -> list[int]:
        return [n for n in range(len(self.eras)) if n not in self.dropped]

    @property
    def valid(self) -> list[list[bytes]]:
        return [items for part, era, items in self.pages if items and part not in self.dropped and self.eras[part] == era]

    def resolved(self, step: Step) -> tuple[str, int] | None:
        """The step with the part that it is about; None where it makes no sense just now."""
        kind, pick = step
        fit = [n for n in self.live if kind in {"anew", "drop"} or n not in self.ended]
        if kind == "hand":
            return None if self.planned else (kind, len(self.eras))
        if kind == "planned":
            return None if self.planned or not self.live else (kind, 0)
        if kind == "serial":
            return None if self.serial or not self.live else (kind, 0)
        return (kind, fit[pick % len(fit)]) if fit else None

    def do(self, kind: str, part: int, items: list[bytes]) -> None:
        if kind == "hand":
            self.eras.append(0)
        elif kind in {"page", "empty", "end"}:
            self.pages.append((part, self.eras[part], items))
            self.ended |= {part} if kind == "end" else set()
        elif kind == "anew":
            self.eras[part] += 1
            self.ended.discard(part)
        elif kind == "drop":
            self.dropped.add(part)
        elif kind == "serial":
            self.dropped |= set(self.live)
            self.serial, self.planned = True, False
        else:
            self.planned = True


def items_of(number: int, kind: str) -> list[bytes]:
    """The items of the step's page: as many as its number says."""
    return [] if kind == "empty" else [b'{"id":"%d-%d","pad":"%s"}' % (number, n, b"x" * number) for n in range(1 + number % 3)]


def write(spool: Spool, number: int, kind: str, part: int) -> None:
    """One step done to a spool."""
    if kind == "hand":
        assert spool.hand_out(Partition(name=f"part {part}", low=part, high=part + 1)) == part
    elif kind in {"page", "empty", "end"}:
        onward = None if kind == "end" else {"after": number}
        page = Page(items=items_of(number, kind), next=onward, end=End(f"end {number}") if kind == "end" else None, bytes_read=number)
        spool.append(page, at=NOW + timedelta(seconds=number), part=part, spent=(number, 0, 0, number))
    elif kind == "anew":
        spool.begin_anew(part, f"why {number}")
    elif kind == "drop":
        spool.drop(part, f"why {number}")
    elif kind == "serial":
        spool.go_serial(f"why {number}")
    else:
        spool.end_plan()


def state(spool: Spool) -> State:
    """All that is to be read of a spool."""
    return {
        "parts": [
            (p.partition, p.era, p.dropped, p.pages, p.items, p.proof, p.checkpoint, p.last_at, dict(p.digests), dict(p.places))
            for p in spool.parts
        ],
        "plan": (spool.planned, spool.serial, spool.finished, spool.voided, list(spool.notes)),
        "figures": (spool.pages, spool.items, spool.bytes_read, spool.spent, spool.last_at, spool.written),
        "frames": list(spool.frames()),
    }


def written(folder: Path, steps: list[Step]) -> tuple[list[Step], list[tuple[int, int, State]]]:
    """The steps that made sense, and the two files' sizes and the state before the first of them and after each."""
    model, done = Model(), []
    spool = Spool.open(folder)
    stood = [(0, 0, state(spool))]
    for step in steps:
        resolved = model.resolved(step)
        if resolved is None:
            continue
        kind, part = resolved
        number = len(done)
        write(spool, number, kind, part)
        model.do(kind, part, items_of(number, kind))
        done.append(resolved)
        stood.append(((folder / DATA).stat().st_size, (folder / PAGES).stat().st_size, state(spool)))
        assert stood[-1][2]["frames"] == [b"".join(item + b"\n" for item in items) for items in model.valid]
        assert spool.finished == (model.planned and all(n in model.ended for n in model.live))
    spool.close()
    return done, stood


def check_cut(folder: Path, cut: tuple[str, int], done: list[Step], stood: list[tuple[int, int, State]], *, go_on: bool) -> None:
    """Cut there, it opens as it stood before what was cut into; with the rest of the steps it ends as it did."""
    name, at = cut
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "s"
        shutil.copytree(folder, copy)
        with (copy / name).open("r+b") as file:
            file.truncate(at)
        which = 0 if name == DATA else 1
        expected = max(n for n, sizes in enumerate(stood) if sizes[which] <= at)
        spool = Spool.open(copy)
        try:
            assert state(spool) == stood[expected][2], f"{name} cut at byte {at}"
            assert ((copy / DATA).stat().st_size, (copy / PAGES).stat().st_size) == stood[expected][:2]
            if go_on:
                for number, (kind, part) in enumerate(done[expected:], start=expected):
                    write(spool, number, kind, part)
                assert state(spool) == stood[-1][2]
        finally:
            spool.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 7)), min_size=1, max_size=25), data=st.data())
def test_any_interleaving_cut_anywhere_is_a_state_it_was_in(steps: list[Step], data: st.DataObject) -> None:
    """Parts, pages, restarts, drops and a serial fallback in any order, either file cut: the state before the cut, and from there the same end."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "s"
        done, stood = written(folder, [("hand", 0), *steps])
        for name in (DATA, PAGES):
            at = data.draw(st.integers(0, (folder / name).stat().st_size), label=name)
            check_cut(folder, (name, at), done, stood, go_on=True)


STORY: list[Step] = [
    *[("hand", 0)] * 3,
    *[("page", n) for n in (0, 1, 2, 1)],
    ("anew", 1),
    ("end", 0),
    ("empty", 1),
    ("drop", 2),
    ("hand", 0),
    ("page", 2),
    ("serial", 0),
    ("hand", 0),
    ("page", 0),
    ("end", 0),
    ("planned", 0),
]


@pytest.mark.parametrize("name", [DATA, PAGES])
def test_no_byte_is_a_bad_one_to_be_cut_at(name: str, tmp_path: Path) -> None:
    """A story with everything in it, cut at every seventh byte and around each line's end: each time the state before what was cut into."""
    done, stood = written(tmp_path / "s", STORY)
    assert len(done) == len(STORY)
    assert stood[-1][2]["plan"][2], "finished"
    text = (tmp_path / "s" / name).read_bytes()
    ends = {at + near for at, byte in enumerate(text) if byte == 0x0A for near in (0, 1, 2)}
    for at in range(len(text) + 1):
        if at % 7 == 0 or at in ends:
            check_cut(tmp_path / "s", (name, at), done, stood, go_on=at % 49 == 0)


def as_before_parts(folder: Path) -> None:
    """Rewrites an index the way version 0.2.0 wrote it: page lines alone, and nothing in them of parts, cost and overlap."""
    kept = []
    for line in (folder / PAGES).read_text().splitlines():
        read = json.loads(line)
        if "note" not in read:
            kept.append(json.dumps({key: value for key, value in read.items() if key not in {"part", "spent", "overlap", "notes"}}))
    (folder / PAGES).write_text("".join(f"{line}\n" for line in kept))


@pytest.mark.parametrize("ended", [False, True])
def test_a_spool_of_0_2_0_is_the_whole_in_one_part(ended: bool, tmp_path: Path) -> None:
    """Without a word of parts in it, it stands as one part with its checkpoint; it takes further pages, or begins anew, and opens so again."""
    steps: list[Step] = [("hand", 0), ("page", 0), ("page", 0), ("end" if ended else "page", 0)]
    written(tmp_path / "s", steps)
    as_before_parts(tmp_path / "s")
    spool = Spool.open(tmp_path / "s")
    frames = list(spool.frames())
    assert [p.partition for p in spool.parts] == [Partition()]
    assert (spool.pages, spool.planned, spool.finished) == (3, True, ended)
    assert spool.parts[0].checkpoint == (None if ended else {"after": 3})
    if not ended:
        spool.append(Page(items=[b'{"id":"last"}'], end=End("there")), at=NOW)
        frames += [b'{"id":"last"}\n']
    assert spool.finished
    before = state(spool)
    spool.close()
    spool = Spool.open(tmp_path / "s")
    assert state(spool) == before
    assert list(spool.frames()) == frames
    spool.begin_anew(0, "its cursor died")
    spool.append(Page(items=[b'{"id":"first"}'], end=End("there")), at=NOW)
    spool.close()
    spool = Spool.open(tmp_path / "s")
    assert list(spool.frames()) == [b'{"id":"first"}\n']
    assert spool.finished
    spool.close()


def test_a_note_that_cannot_be_written_leaves_the_spool_as_it_was(tmp_path: Path) -> None:
    """A second writer is refused before any note, and nothing of the note is in the state."""
    written(tmp_path / "s", [("hand", 0), ("page", 0)])
    one, other = Spool.open(tmp_path / "s"), Spool.open(tmp_path / "s")
    other.hand_out(Partition(name="more"))
    before = state(one)
    for refused in (lambda: one.begin_anew(0, "w"), lambda: one.drop(0, "w"), lambda: one.go_serial("w"), one.end_plan):
        with pytest.raises(LocalFault, match="another process"):
            refused()
    assert state(one) == before
    one.close()
    other.close()
