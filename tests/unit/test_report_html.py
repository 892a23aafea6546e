"""The HTML report and the index as documents: static first, one file, nothing outside it, hostile values inert."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from recon.errors import BadRequest, LocalFault
from recon.inert import utf8
from recon.report import html, index, render
from recon.report.figures import RunPoint, Verdict
from recon.report.rows import Rows, page_value, web_link
from tests.unit import figures_fixture as made

VOID = {"meta", "link", "br", "input", "img"}


class Page(HTMLParser):
    """A page taken apart: elements with attributes, text by element, and whether every element is closed in order."""

    def __init__(self, body: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.blocks: list[tuple[dict[str, str], str]] = []
        self.styles: list[str] = []
        self.text = ""
        self.feed(body)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.text += " "
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
            if tag == "script":
                self.blocks.append((found, ""))
            elif tag == "style":
                self.styles.append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.blocks[-1] = (self.blocks[-1][0], self.blocks[-1][1] + data)
        elif self.open[-1:] == ["style"]:
            self.styles[-1] += data
        else:
            self.text += data

    @property
    def policy(self) -> str:
        [content] = [a["content"] for _, a in self.elements if a.get("http-equiv") == "Content-Security-Policy"]
        return content

    def block(self, name: str) -> str:
        [found] = [body for attributes, body in self.blocks if attributes.get("id") == name]
        return found

    @property
    def rows(self) -> list:
        return json.loads(gzip.decompress(base64.b64decode(self.block("rows"))))


def page(figures, items, **options) -> Page:
    return Page(b"".join(html.pieces(figures, items, **options)).decode("utf-8"))


def hashed(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_the_policy_names_exactly_the_style_and_script_there_are() -> None:
    """CSP default-src 'none' with the hashes of what stands in the page; no handler, no inline style, nothing from outside."""
    found = page(made.figures(50), made.items(50))
    [style] = found.styles
    [script] = [body for attributes, body in found.blocks if "type" not in attributes]

    assert found.policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'")
    assert f"style-src {hashed(style)}" in found.policy
    assert f"script-src {hashed(script)}" in found.policy
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name in {"style", "src", "srcset", "action"}], (tag, attributes)
        assert tag not in {"link", "img", "iframe", "object", "embed", "base"}
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import|https?://", style)


def test_the_figures_stand_in_the_page_without_a_script() -> None:
    """Verdict, completeness, guards, fields with transitions, outage sentence, sums, plan and metadata are static text."""
    text = " ".join(page(made.figures(1300), made.items(0), csv="discrepancies.csv").text.split())

    for said in (
        "1,300 discrepancies",
        "EMITTED",
        "1,300 events (1,298 accepted, 2 duplicates ignored)",
        "Consistent as of 2026-11-23 02:00:05Z 03:00 Europe/Paris",
        "1,027 + missing here 964 new, 63 continuing",
        "has_more = false on page 1,843",
        "✓ whole",
        "same_field",
        "✓ passed",
        "pending → succeeded 186",
        "96% of the missing were created between 02:10 and 02:40 (Europe/Paris), 22 November 2026",
        "JPY 2,515,409",
        "The last 30 runs",
        "ch_3QkZ8sLkdIwHu7ix0pT1aBcD 2 times, store",
        "12.5 is no whole number of minor units",
        "charge.created 1,027",
        "9f3c1ab2",
        "All rows are in discrepancies.csv beside this file",
        "slot 2026-11-23 02:00:00Z",
        "confirm 2m 51s",
        "nightly-recon 1.0.0",
    ):
        assert said in text, said


def test_without_a_csv_beside_it_the_page_names_the_command() -> None:
    """The pointer for readers without a script is a command where no file lies beside the page."""
    assert f"All rows as CSV: recon report {made.RUN} -f csv" in " ".join(page(made.figures(5), made.items(5)).text.split())


def test_the_rows_in_the_page_are_all_items() -> None:
    """Unpacked as the script does it, the rows hold every key, value, change and event of the items."""
    items = list(made.items(2000)())
    found = page(made.figures(10), made.items(2000))
    meta = json.loads(found.block("meta"))

    assert len(items) == meta["count"] == len(found.rows)
    for item, row in zip(items, found.rows, strict=True):
        assert [item.key, item.kind.value, item.event, item.link] == [row[0], meta["kinds"][row[1]], row[8], row[9]]
        assert list(item.changed) == [meta["fields"][n] for n in row[3]]
        for record, packed in ((item.source, row[4]), (item.target, row[5])):
            names = None if packed is None else [meta["fields"][n] for n in meta["shapes"][packed[0]]]
            assert (record is None) == (packed is None)
            if record is not None:
                assert {name: page_value(value) for name, value in record.items()} == dict(zip(names, packed[1:], strict=True))


def test_rows_beyond_the_bound_are_counted_and_not_held() -> None:
    """What would be more than a browser takes is left out at the end, and the page knows how many."""
    rows = Rows(made.items(300), most_bytes=50_000)
    body = gzip.decompress(base64.b64decode("".join(rows.pieces())))

    assert rows.meta()["count"] + rows.meta()["dropped"] == 300
    assert rows.meta()["count"] == len(json.loads(body))
    assert rows.meta()["dropped"] > 100


def test_numbers_that_a_browser_would_round_are_carried_as_text() -> None:
    """Beyond 2**53 an integer is text, and so is whatever has parts."""
    assert [page_value(v) for v in (2**53, -(2**53), 2**53 - 1, True, None, 1.5, {"a": [1]})] == [
        "9007199254740992",
        "-9007199254740992",
        2**53 - 1,
        True,
        None,
        "1.5",
        '{"a": [1]}',
    ]


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "https:",
        "ftp://a/b",
        " https://a",
        "https://a\n.b",
        "https://[",
        "",
        None,
    ],
)
def test_only_web_links_are_links(link) -> None:
    """Whatever is not http or https with a host is no link."""
    assert web_link(link) is None
    assert web_link("https://dashboard.example/x?y=1#z") is not None


@pytest.mark.parametrize("text", [*made.HOSTILE, "x" * 1_000_000 + "<script>alert(1)</script>"])
def test_hostile_text_is_inert_in_the_page(text) -> None:
    """Every hostile text, put wherever it can come from, adds no element, no attribute and no script, and no character that hides."""
    honest = page(made.hostile_figures("plain"), lambda: iter([made.hostile_item("plain")]))
    found = page(made.hostile_figures(text), lambda: iter([made.hostile_item(text), made.hostile_item(text, number=1)]))

    assert [tag for tag, _ in honest.elements] == [tag for tag, _ in found.elements]
    assert [sorted(attributes) for _, attributes in honest.elements] == [sorted(attributes) for _, attributes in found.elements]
    assert honest.blocks[-1] == found.blocks[-1]
    assert not set(found.text) & set("\x00\x07\x08\x1b\x9b\u202e\u200b\ufeff\u2028\u2029\ud800")
    assert [utf8(f"{text}#0"), utf8(f"{text}#1")] == [row[0] for row in found.rows]
    assert [row[9] for row in found.rows] == [None, web_link(f"https://evil.example/{text}")]


@pytest.mark.parametrize("form", sorted(render.FORMATS))
@pytest.mark.parametrize("text", [*made.HOSTILE, "x" * 1_000_000])
def test_every_rendering_survives_hostile_text(form, text) -> None:
    """Each format of each hostile text is valid UTF-8 without terminal escapes (JSON and CSV carry them as data)."""
    items = [made.hostile_item(text), made.hostile_item(text, number=1)]
    body = b"".join(render.pieces(made.hostile_figures(text), lambda: iter(items), form)).decode("utf-8")

    if form != "csv":
        assert "\x1b" not in body
        assert "\x00" not in body
    if form == "text":
        assert "\u202e" not in body
        assert text.startswith("xx") or len(body.splitlines()) == len(
            b"".join(render.pieces(made.hostile_figures("plain"), lambda: iter([made.hostile_item("plain")] * 2), form)).splitlines()
        )


def test_held_and_incomplete_pages_say_so_and_never_that_nothing_differs() -> None:
    """A held page carries its commands; an incomplete one shows no counts, and its empty table does not say that all is well."""
    held, incomplete, clean = (page(figures, made.items(0)) for figures in (made.held(20), made.incomplete(), made.clean()))

    assert f"recon approve {made.RUN} --plan 9f3c1ab2" in held.text
    assert "✗ tripped" in held.text
    assert f"recon run stripe_charges --resume {made.RUN}" in incomplete.text
    assert "missing here" not in incomplete.text.replace("all", "").split("Kind")[0]
    assert "Nothing was compared" in incomplete.block("settings")
    assert "There are no discrepancies" in clean.block("settings")
    assert "There are no discrepancies" not in incomplete.block("settings")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_page_says_clean_of_the_clean_verdict_only(verdict) -> None:
    """The banner's word is the verdict's own."""
    banner = html.banner(replace(made.clean(), verdict=verdict))

    assert (verdict is Verdict.CLEAN) == (banner == "Clean")


def test_a_page_streams() -> None:
    """Items are taken one by one while the page is made: the first piece comes before the first item is asked for."""
    asked = []

    def items():
        for item in made.items(3000)():
            asked.append(item)
            yield item

    pieces = html.pieces(made.figures(10), items)
    next(pieces)

    assert asked == []
    assert len([piece for piece in pieces if piece]) > 10


def domains(tmp) -> list[index.Domain]:
    figures = made.figures(30)
    (tmp / made.RUN).mkdir()
    (tmp / made.RUN / "index.html").write_text("report")
    return [
        index.domain_of(figures),
        index.Domain(
            "payouts", (RunPoint(run="P1", started_at=made.START, verdict=Verdict.CLEAN, discrepancies=0, compared=5),), made.START
        ),
        index.Domain("refunds", ()),
    ]


def test_the_index_links_each_run_that_has_a_report(tmp_path) -> None:
    """Every domain has its row and verdict; a run is linked exactly where its report lies; there is no script at all."""
    found = Page(b"".join(index.pieces(domains(tmp_path), folder=tmp_path, made=made.START)).decode())
    links = [attributes["href"] for tag, attributes in found.elements if tag == "a"]

    assert {f"{made.RUN}/index.html"} == set(links)
    assert found.blocks == []
    assert "script-src" not in found.policy
    text = " ".join(found.text.split())
    assert "1 of 3 domains: discrepancies" in text
    assert "refunds no run yet" in text
    assert "30 runs" in text


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ([Verdict.CLEAN, Verdict.CLEAN], "All clean"),
        ([Verdict.CLEAN, None], "Clean so far"),
        ([Verdict.CLEAN, Verdict.AGREES], "1 of 2 domains: agrees"),
        ([Verdict.FAILED, Verdict.HELD], "1 of 2 domains: failed"),
        ([], "No run yet"),
    ],
)
def test_the_index_says_the_worst(last, said) -> None:
    """All clean is said only when every domain's last run was; the latest run counts, not an older one."""
    rows = []
    for n, verdict in enumerate(last):
        runs = (
            []
            if verdict is None
            else [
                RunPoint(run="new", started_at=made.START, verdict=verdict, discrepancies=0, compared=1),
                RunPoint(run="old", started_at=made.START - timedelta(days=1), verdict=Verdict.FAILED, discrepancies=0, compared=1),
            ]
        )
        rows.append(index.Domain(f"d{n}", tuple(runs)))

    assert said in Page(b"".join(index.pieces(rows, made=datetime(2026, 1, 1, tzinfo=UTC))).decode()).text


def test_hostile_names_are_inert_in_the_index() -> None:
    """A description or run id of any text adds no element and leads nowhere else."""
    for text in made.HOSTILE:
        point = RunPoint(run=text, started_at=made.START, verdict=Verdict.HELD, discrepancies=1, compared=1)
        found = Page(b"".join(index.pieces([index.Domain("d", (point,), description=text)])).decode())

        assert not [tag for tag, _ in found.elements if tag in {"img", "script", "b"}]
        assert all(re.fullmatch(r"[\w%.~-]+/index\.html", a["href"]) for tag, a in found.elements if tag == "a")


def test_a_runs_files_lie_together(tmp_path) -> None:
    """The report and the CSV it points to are written into the run's own private folder, and the index above them."""
    folder = tmp_path / "reports"
    path = render.write_run(made.figures(20), made.items(20), folder)
    top = render.write_index([index.domain_of(made.figures(20))], folder)

    assert folder / made.RUN / "index.html" == path == render.path_of(folder, made.figures(20))
    assert sorted(p.name for p in path.parent.iterdir()) == ["discrepancies.csv", "index.html"]
    assert "discrepancies.csv" in path.read_text()
    assert f'href="{made.RUN}/index.html"' in top.read_text()


def test_write_takes_paths_and_streams_and_refuses_other_formats(tmp_path) -> None:
    """The same bytes go to a file and to a stream; an unknown format and an unwritable place are said in words."""
    import io

    stream = io.BytesIO()
    render.write(made.figures(5), made.items(5), stream, "jsonl")
    render.write(made.figures(5), made.items(5), tmp_path / "a.jsonl", "jsonl")
    text = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    render.write(made.figures(5), made.items(5), text, "text")

    assert stream.getvalue() == (tmp_path / "a.jsonl").read_bytes()
    assert "…".encode() in text.buffer.getvalue()
    with pytest.raises(BadRequest, match="no report format 'pdf'"):
        render.write(made.figures(5), made.items(5), stream, "pdf")
    with pytest.raises(LocalFault):
        render.write(made.figures(5), made.items(5), tmp_path / "no" / "a.html", "html")
