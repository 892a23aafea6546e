"""JSON, JSON lines, CSV, Markdown and JUnit: read back by others' parsers, they say what the figures say."""

import csv
import io
import json
from dataclasses import fields, replace
from importlib.resources import files
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from referencing import Registry, Resource

from recon.report import csv_, html, json_, jsonl, junit, markdown
from recon.report.figures import DeliveryFigure, Item, RunFigures, Verdict
from recon.report.text import listing, plain, summary
from tests.unit import figures_fixture as made
from tests.unit.partial_fixture import partial

NIGHTS = {"drift": made.figures(60), "clean": made.clean(), "held": made.held(60), "incomplete": made.incomplete()}


def joined(pieces) -> str:
    return b"".join(pieces).decode("utf-8")


def runs_schema() -> dict:
    return json.loads(files("recon.report").joinpath("assets", "runs.schema.json").read_bytes())


@pytest.mark.parametrize("night", NIGHTS)
def test_the_json_document_fits_its_schema(night) -> None:
    """Real output of every kind of night validates against the shipped schema, formats checked; streamed and printed agree."""
    figures, items = NIGHTS[night], made.items(60)
    schema = json_.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    document = json.loads(joined(json_.pieces(figures, items)))
    validator.validate(document)
    registry = Registry().with_resource(schema["$id"], Resource.from_contents(schema))
    runs = json.loads(json_.text(json_.runs_document([figures])))
    jsonschema.Draft202012Validator(runs_schema(), registry=registry).validate(runs)

    assert document["schema"] == "recon.run/1"
    assert json.loads(json_.text(json_.document(figures, items()))) == document
    assert figures.discrepancies == document["discrepancies"]
    assert document["started_at"] == "2026-11-23T02:00:05Z"
    assert len(document["items"]) == 60


def test_the_schema_refuses_what_is_wrong() -> None:
    """A missing count, a number as text and an unknown verdict do not validate."""
    validator = jsonschema.Draft202012Validator(json_.schema())
    document = json_.document(made.figures(5), made.items(5)())

    assert validator.is_valid(document)
    for broken in ({"missing": "5"}, {"verdict": "fine"}, {"started_at": "2026-11-23T02:00:05+00:00"}, {"items": [{}]}, {"domain": None}):
        assert not validator.is_valid({**document, **broken}), broken
    assert not validator.is_valid({key: value for key, value in document.items() if key != "missing"})


def test_the_schema_knows_every_figure() -> None:
    """Each field of the figures and of an item stands in the schema, so nothing is added in silence."""
    schema = json_.schema()

    assert {field.name for field in fields(RunFigures)} | {"schema", "discrepancies", "next", "items"} == set(schema["properties"])
    assert {field.name for field in fields(Item)} == set(schema["$defs"]["Item"]["properties"])
    assert {verdict.value for verdict in Verdict} == set(schema["$defs"]["Verdict"]["enum"])
    for name in ("RunFigures", "Item"):
        described = schema if name == "RunFigures" else schema["$defs"]["Item"]
        assert described["properties"]["money"]["description"]


def test_a_document_without_items_has_none() -> None:
    """`--json` without items says nothing of them, rather than an empty list."""
    assert "items" not in json_.document(made.figures(5))


def test_json_lines_are_complete() -> None:
    """One line per item, each naming its run and domain, with both records as they are."""
    lines = [json.loads(line) for line in joined(jsonl.pieces(made.figures(60), made.items(60))).splitlines()]
    items = list(made.items(60)())

    assert [item.key for item in items] == [line["key"] for line in lines]
    assert [item.source for item in items] == [line["source"] for line in lines]
    assert {(made.RUN, "stripe_charges")} == {(line["run"], line["domain"]) for line in lines}


def test_csv_has_a_row_for_each_field_that_differs() -> None:
    """A changed item has a row per field, a missing or extra one a row with its record; no byte order mark, all columns filled alike."""
    items = list(made.items(200)())
    body = joined(csv_.pieces(made.figures(200), made.items(200)))
    rows = list(csv.DictReader(io.StringIO(body, newline=""), strict=True))
    changed = {(item.key, field): (item.target[field], item.source[field]) for item in items for field in item.changed}

    assert not body.startswith("\ufeff")
    assert sum(max(1, len(item.changed)) for item in items) == len(rows)
    for row in rows:
        if row["field"]:
            before, after = changed.pop((row["key"], row["field"]))
            assert (row["target"], row["source"]) == tuple(
                v if isinstance(v, str) else json.dumps(v, separators=(",", ":")) for v in (before, after)
            )
        else:
            assert (row["target"] == "") == (row["kind"] == "missing")
            assert json.loads(row["source"] or row["target"])
    assert changed == {}


def test_csv_amounts_are_numbers_with_the_currencys_digits() -> None:
    """A negative amount stays a number, yen have no decimals, dinars three; a text that looks negative is no number."""
    items = [replace(made.hostile_item("-5"), money=-1999, currency=code) for code in ("eur", "jpy", "kwd")]
    rows = list(csv.DictReader(io.StringIO(joined(csv_.pieces(made.figures(0), lambda: iter(items))), newline="")))

    assert [row["amount"] for row in rows[::2]] == ["-19.99", "-1999", "-1.999"]
    assert rows[0]["source"] == "'-5"


def test_markdown_stays_below_a_mebibyte_and_counts_what_was_cut() -> None:
    """100,000 items give a document below GitHub's limit that says how many rows are not in it; rows shown and cut add up."""
    body = joined(markdown.pieces(made.figures(0), made.items(100_000)))
    shown = sum(line.startswith(("| &#", "| -")) for line in body.splitlines())
    cut = int(body.rsplit("… ", 1)[1].split(" ")[0].replace(",", ""))

    assert 900_000 < len(body.encode()) < 1024 * 1024
    assert shown > 1000
    assert len(set(_keys(body))) + cut == 100_000


def _keys(body: str) -> list[str]:
    return [line.split(" | ")[1] for line in body.splitlines() if "ch&#95;3Q" in line]


def test_markdown_of_a_huge_item_stays_below_the_limit() -> None:
    """A key or value of a mebibyte is counted or shortened, never let through."""
    huge = [made.hostile_item("x" * 1024 * 1024), made.hostile_item("y")]
    body = joined(markdown.pieces(replace(made.figures(5), description="z" * 2**21), lambda: iter(huge)))

    assert len(body.encode()) < 1024 * 1024
    assert "2 more items cut" in body


def test_markdown_says_the_verdict_and_the_commands() -> None:
    """The summary of a held night begins with the verdict and carries the commands."""
    body = joined(markdown.pieces(made.held(20), made.items(20)))

    assert body.startswith("## stripe&#95;charges: HELD")
    assert "recon approve" in body
    assert "| store | provider |" in body


CASES = ["fetch whole", "store read", "guards", "missing", "extra", "changed", "duplicates", "unreadable", "delivery", "convergence"]


def cases(figures: RunFigures) -> dict[str, str]:
    """Case name to how it ended, from the XML."""
    root = ET.fromstring(joined(junit.pieces(figures, made.items(0))))
    found = {}
    for case in root.iter("testcase"):
        ended = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
        found[case.get("name", "")] = ended[0] if ended else "passed"
    [suite] = root.iter("testsuite")
    counts = [sum(end == kind for end in found.values()) for kind in ("failure", "error", "skipped")]
    assert [str(len(found)), *map(str, counts)] == [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    return found


def test_junit_has_the_same_ten_cases_every_night() -> None:
    """One case per check; drift fails, a clean night passes, and what did not happen is skipped, never passed."""
    drift, clean, held, incomplete = (cases(NIGHTS[name]) for name in ("drift", "clean", "held", "incomplete"))

    assert all(list(found) == CASES for found in (drift, clean, held, incomplete))
    assert {"missing", "extra", "changed", "duplicates", "unreadable"} == {name for name, end in drift.items() if end == "failure"}
    assert {"passed", "skipped"} == set(clean.values())
    assert clean["delivery"] == "skipped"
    assert held["guards"] == "failure"
    assert incomplete["fetch whole"] == "error"
    assert {"skipped"} == {incomplete[name] for name in CASES[1:]}


def test_junit_fails_delivery_that_waits() -> None:
    """Events that were not taken fail their case with the receiver's reason."""
    figures = replace(made.figures(20), delivery=DeliveryFigure(publisher="bus", waiting=3, last_reason="503"))

    assert cases(figures)["delivery"] == "failure"
    assert "3 waiting, 0 refused for good: 503" in joined(junit.pieces(figures, made.items(0)))


def test_junit_of_a_part_passes_nothing_that_it_did_not_see() -> None:
    """None in the part that came is not none: such a kind is skipped; what the part showed fails, and so does the fetch."""
    figures = partial()
    root = ET.fromstring(joined(junit.pieces(figures, made.items(0))))
    ended = {case.get("name"): [child.tag for child in case if child.tag != "system-out"] for case in root.iter("testcase")}

    assert (ended["extra"], ended["changed"], ended["fetch whole"]) == (["skipped"], ["failure"], ["error"])
    assert "239 of 240 parts" in joined(junit.pieces(figures, made.items(0)))


def test_every_form_tells_what_a_part_is_worth() -> None:
    """Text, `recon show`, Markdown and JSON: partial and why, how many parts, what was told of it, how many rows were not judged."""
    figures = partial()
    block, shown = plain(summary(figures)), plain(listing(figures, made.items(3)()))
    document = json_.document(figures)

    for said in (block, shown, joined(markdown.pieces(figures, made.items(0)))):
        assert "239 of 240 parts" in said
        assert "partial" in said
        assert "12,412 store rows" in said
    assert block.count("INCOMPLETE") == 1
    for said in (block, joined(markdown.pieces(figures, made.items(0))), joined(html.pieces(figures, made.items(0)))):
        assert "not judged" in next(line for line in said.splitlines() if "gone there" in line), "none in a part is not none"
    assert document["coverage"]["parts"][0]["ended"] is False
    assert document["unjudged"] == 12_412
    assert {"label": "next", "text": "recon run stripe_charges", "command": True} in document["next"]
