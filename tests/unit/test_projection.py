"""From a spool's pages to exact text: numbers keep every digit, and a poisoned record is a marked row, never a lost one."""

import json

import pytest

from recon import kind as k
from recon.compare.projection import Projector
from recon.errors import BadDefinition
from recon.fetch.page import Unread
from recon.job import Field
from tests.unit.sides import job_of

MARKS = ("_bad_field", "_bad_why", "_bad_sample")


def projected(job, *frames, unread=()):
    """All rows, their nulls left out, sorted by key."""
    projector = Projector(job, "id")
    rows = [row for batch in projector.batches([(frame, frame.count(b"\n")) for frame in frames], unread) for row in batch.to_pylist()]
    assert (projector.records, projector.unread) == (len(rows), sum(row["_bad_why"] is not None for row in rows))
    return sorted(({name: v for name, v in row.items() if v is not None} for row in rows), key=lambda row: row.get("key", "~"))


def test_numbers_leave_as_the_digits_they_came_with():
    """No number goes through a double, whatever the decoder was told to expect, and wherever the first surprise stands."""
    job = job_of(Field("n", "integer"), Field("d", k.Decimal(scale=2)), Field("t"))
    frames = [
        b'{"id":"a","n":1,"d":1.10,"t":"x"}\n',
        b'{"id":"b","n":12345678901234567.89,"d":1e400,"t":12}\n',
        b'{"id":"c","n":1180591620717411303424,"d":"0.10","t":"y"}\n',
    ]
    assert [(r["n"], r["d"], r["t"]) for r in projected(job, *frames)] == [
        ("1", "1.10", "x"), ("12345678901234567.89", "1e400", "12"), ("1180591620717411303424", "0.10", "y")
    ]  # fmt: skip


def test_text_is_unquoted_strictly_and_json_keeps_its_writing():
    """Escapes are resolved in text; a JSON field keeps the record's own token."""
    job = job_of(Field("t"), Field("j", "json"))
    (row,) = projected(job, '{"id":"k\\u00e9y","t":"a\\n\\"b\\" \\ud83d\\ude00 é","j":{"a": "\\u00e9"}}\n'.encode())
    assert (row["key"], row["t"], row["j"]) == ("kéy", 'a\n"b" 😀 é', '{"a": "\\u00e9"}')


def test_paths_go_down_through_objects_and_index_arrays():
    """`a.b`, `l.1.x`, an object wanted whole and in parts; a null on the way makes what lies below it missing."""
    job = job_of(Field("whole", "json", path="a"), Field("part", path="a.b.c"), Field("second", path="l.1.x"), Field("first", path="l.0"))
    rows = projected(
        job,
        b'{"id":"1","a":{"b":{"c":"x"}},"l":["p",{"x":"y"}]}\n{"id":"2","a":null,"l":[]}\n',
        b'{"id":"3","a":{"b":null},"l":null}\n{"id":"4"}\n',
    )
    assert rows[0] == {"key": "1", "whole": '{"b":{"c":"x"}}', "part": "x", "second": "y", "first": "p", "_mask": 0}
    assert rows[1] == {"key": "2", "_mask": 0b1110}
    assert rows[2] == {"key": "3", "whole": '{"b":null}', "_mask": 0b1110}
    assert rows[3] == {"key": "4", "_mask": 0b1111}


def test_the_mask_leaves_out_fields_whose_absence_is_null():
    """Only fields that tell missing from null are marked."""
    assert projected(job_of(Field("a", missing_is_null=True), Field("b")), b'{"id":"1"}\n') == [{"key": "1", "_mask": 0b10}]


POISON = {
    "nan": (b'{"id":"p","a":NaN}', "p"),
    "surrogate": (b'{"id":"p","a":"\\ud800"}', "p"),
    "surrogate in a field that nobody asked for": (b'{"id":"p","z":"\\ud800x"}', "p"),
    "nul": (b'{"id":"p","a":"x\\u0000y"}', "p"),
    "utf8": (b'{"id":"p","a":"\xff"}', "p"),
    "nesting": (b'{"id":"p","z":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    "no object": (b"7", None),
    "cut": (b'{"id":"p"', None),
    "two in one": (b'{"id":"p"},{"id":"q"}', None),
    "wrong shape": (b'{"id":"p","deep":5}', "p"),
    "no key": (b'{"a":"x"}', None),
    "null key": (b'{"id":null}', None),
    "key an object": (b'{"id":{"a":1}}', None),
    "key true": (b'{"id":true}', None),
    "key not whole": (b'{"id":1.5}', None),
    "surrogate in the key": (b'{"id":"\\ud800"}', None),
}


@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_record_is_marked_and_its_neighbours_are_read(name):
    """Each poison makes one unreadable row, with the key where it can be read, and harms no other record of its page."""
    line, key = POISON[name]
    job = job_of(Field("a"), Field("d", path="deep.x", missing_is_null=True))
    rows = projected(job, b'{"id":"1","a":"x","deep":{"x":"y"}}\n' + line + b'\n{"id":"2","a":"x"}\n', b'{"id":"3","a":"x"}\n')
    good = [row for row in rows if "_bad_why" not in row]
    (bad,) = [row for row in rows if "_bad_why" in row]
    assert [row["key"] for row in good] == ["1", "2", "3"]
    assert bad.get("key") == key
    assert set(bad) >= {"_bad_why", "_bad_sample"}
    assert len(bad["_bad_sample"]) <= 200


def test_an_escaped_backslash_before_u0000_is_no_nul():
    """A backslash of its own and then five characters are no NUL."""
    (row,) = projected(job_of(Field("a")), b'{"id":"1","a":"x\\\\u0000"}\n')
    assert row["a"] == "x\\u0000"


def test_items_the_fetch_set_aside_are_unreadable_rows_with_their_keys():
    """What the fetch could not cut out is counted here, with the key that a lenient reading finds."""
    rows = projected(job_of(Field("a")), b'{"id":"1","a":"x"}\n', unread=[Unread(raw=b'{"id":"z","a":NaN}', why="is no JSON")])
    assert rows[1] == {"key": "z", "_mask": 0, "_bad_field": "", "_bad_why": "is no JSON", "_bad_sample": '{"id":"z","a":NaN}'}


def test_whole_keys_are_read_as_text():
    """A numeric id is the same key as its text at the store."""
    assert [row["key"] for row in projected(job_of(Field("a", missing_is_null=True)), b'{"id":12345678901234567890}\n{"id":"7"}\n')] == [
        "12345678901234567890",
        "7",
    ]


def test_what_a_column_learned_holds_for_later_pages():
    """After a page of numbers in a text field the fast way is taken again, with exact tokens; the result is the same for any cut into pages."""
    lines = [json.dumps({"id": str(n), "a": n if n % 3 else f"t{n}", "b": n % 2 == 0}).encode() + b"\n" for n in range(60)]
    job = job_of(Field("a"), Field("b", "boolean"))
    whole, cut = projected(job, b"".join(lines)), projected(job, *(b"".join(lines[i : i + 7]) for i in range(0, 60, 7)))
    assert whole == cut
    assert {row["key"]: row["a"] for row in whole} == {str(n): str(n) if n % 3 else f"t{n}" for n in range(60)}


def test_a_path_that_is_array_and_object_at_once_is_refused():
    """Declarations that contradict each other are named."""
    with pytest.raises(BadDefinition, match="items cannot be an array and an object at once"):
        Projector(job_of(Field("a", path="items.0"), Field("b", path="items.count")), "id")
