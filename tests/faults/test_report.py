"""The figures in docs/reliability.md are those that campaigns wrote, and its promises have their tests."""

import re
from pathlib import Path

from tests.faults.report import BEGIN, DOCUMENT, END, merged, table, written
from tests.faults.results import Figure, read

ROOT = Path(__file__).parents[2]


def test_the_table_is_what_the_results_say() -> None:
    """docs/reliability.md has, between its markers, the table of tests/faults/results.json, letter by letter."""
    text = DOCUMENT.read_text()

    assert read()
    assert written(text, read()) == text


def test_no_figure_stands_outside_the_table() -> None:
    """Nothing of the form "N of N" is written by hand."""
    text = DOCUMENT.read_text()
    outside = text.split(BEGIN)[0] + text.split(END)[1]

    assert re.findall(r"\b\d[\d,]*\s*(?:of|/)\s*\d[\d,]*", outside) == []


def test_each_promise_names_tests_that_are_there() -> None:
    """Every promise has its test, and every test named in the document exists."""
    text = DOCUMENT.read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)

    assert len(re.findall(r"^### \d+\. ", text, re.MULTILINE)) == 14
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert f"def {name}(" in (ROOT / path).read_text() if name else True, name
    promises = (ROOT / "tests/acceptance/test_promises.py").read_text()
    assert sorted({int(n) for n in re.findall(r"def test_promise_(\d\d)_", promises)}) == list(range(1, 15))


def test_a_newer_line_takes_the_place_of_an_older_one() -> None:
    """Results are merged by the campaign's name, and no line of another one is lost."""
    old = [Figure("a", 1, 1, 1.0), Figure("b", 2, 2, 1.0)]

    assert merged(old, [Figure("b", 3, 4, 2.0, 7, "new")]) == [old[0], Figure("b", 3, 4, 2.0, 7, "new")]
    assert "| b | 3 | 4 | 2 | 7 | new |" in table(merged(old, [Figure("b", 3, 4, 2.0, 7, "new")]))
