"""The union of pages that shift: the later page counts, and what stands twice on one page is a duplicate and stays one."""

import json
from pathlib import Path
from typing import Any

import pytest

from recon.compare.limits import Limits
from recon.compare.union import Union
from recon.fetch.cut import key_of
from recon.fetch.page import End, Page
from recon.fetch.spool import Spool
from tests.unit.sides import ONE


def united(folder: Path, pages: list[list[bytes]], path: str = "id", limits: Limits = ONE) -> tuple[list[list[bytes]], int]:
    """What the union leaves of each page that it leaves something of, and how many items it counts; read twice, as sealing may."""
    spool = Spool.open(folder / "spool")
    for number, items in enumerate(pages, start=1):
        last = number == len(pages)
        spool.append(Page(items=items, next=None if last else {"n": number}, end=End("there") if last else None))
    union = Union(spool, path, folder / "union", limits)
    left = [(frame.splitlines(), items) for frame, items in union.counted()]
    assert [(frame.splitlines(), items) for frame, items in union.counted()] == left
    assert all(len(lines) == items for lines, items in left)
    assert union.finished
    spool.close()
    return [lines for lines, _ in left], union.items


def rows(*items: tuple[Any, Any]) -> list[bytes]:
    """Items of a key and a version."""
    return [json.dumps({"id": key, "v": version}).encode() for key, version in items]


def test_the_later_page_counts(tmp_path: Path) -> None:
    """An item that moved on to a later page is there once, as it stands there; a page of which nothing is left is passed over."""
    left, count = united(tmp_path, [rows(("a", 1), ("b", 1)), rows(("c", 1)), rows(("c", 2), ("b", 2)), rows(("b", 3), ("d", 1))])
    assert left == [rows(("a", 1)), rows(("c", 2)), rows(("b", 3), ("d", 1))]
    assert count == 4


def test_twice_on_one_page_is_a_duplicate(tmp_path: Path) -> None:
    """Both of a page are kept, so that sealing says so; also where an earlier page had the item too, which is left out then."""
    left, count = united(tmp_path, [rows(("a", 1), ("x", 1), ("a", 1)), rows(("x", 2), ("x", 3))])
    assert left == [rows(("a", 1), ("a", 1)), rows(("x", 2), ("x", 3))]
    assert count == 4


KEYS: list[Any] = [
    "a",
    "A",
    "\u00e4",
    "a\u0308",
    " a",
    "a ",
    "a\nb",
    'q"t',
    "\u2028",
    "\x00",
    "1",
    1,
    "01",
    1.5,
    2**60,
    2**70,
    -1,
    "",
    None,
    True,
    {"o": 1},
]


def test_keys_of_every_kind_are_told_apart_as_they_are_read(tmp_path: Path) -> None:
    """Text, whole and other numbers, nothing, and what is no key: an item goes for a later one of the very key that `key_of` reads, and for no other."""
    first, second = rows(*((key, 1) for key in KEYS)), rows(*((key, 2) for key in reversed(KEYS)))
    again = {key for line in second if (key := key_of(line, "id")) is not None}
    expected = [line for line in first if (key := key_of(line, "id")) is None or key not in again]
    left, count = united(tmp_path, [first, second])
    assert left == ([expected] if expected else []) + [second]
    assert count == len(expected) + len(second)
    assert 0 < len(expected) < len(first), "some have no key, and most have one"


@pytest.mark.parametrize(("path", "wrap"), [("id", "{}"), ("ref.id", '{{"ref": {}}}')])
def test_the_quick_reading_of_a_key_is_the_careful_one(path: str, wrap: str, tmp_path: Path) -> None:
    """A key at the top and one further in: beside members of the same name, in other spellings of JSON, the union agrees with `key_of`."""
    inner = [
        '{"id":"a"}',
        '{"id":"\\u0061","v":1}',
        '{ "id" : "b" }',
        '{"x":{"id":"a"},"id":"c"}',
        '{"id":"d","id":"a"}',
        '{"v":1}',
        '{"id":1e2}',
        "[1]",
    ]
    lines = [wrap.format(text).encode() for text in inner]
    later = [wrap.format(text).encode() for text in ('{"id":"a"}', '{"id":"c"}', '{"id":"d"}', '{"id":"100"}', '{"id":100}')]
    again = {key_of(line, path) for line in later}
    expected = [line for line in lines if key_of(line, path) is None or key_of(line, path) not in again]
    left, _ = united(tmp_path, [lines, later], path)
    assert left[0] == expected
    assert left[-1] == later


def test_many_items_over_many_batches_keep_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two passes in other orders, in batches that end within pages: what is left is the second pass, in its order."""
    monkeypatch.setattr("recon.compare.union.BATCH", 7)
    first = [rows(*((n, 1) for n in range(at, at + 5))) for at in range(0, 50, 5)]
    second = [rows(*((n, 2) for n in range(at + 9, at - 1, -1))) for at in range(40, -1, -10)]
    left, count = united(tmp_path, [*first, rows((50, 1)), *second])
    assert left == [rows((50, 1)), *second]
    assert count == 51
