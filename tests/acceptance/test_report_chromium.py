"""The HTML report in a real browser, from file://: fast with 100,000 rows, nothing fetched, hostile values inert, usable by all."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from recon.report import html, index
from recon.report.figures import Standing
from tests.servers.browser import axe_source, chromium
from tests.unit import figures_fixture as made
from tests.unit.partial_fixture import partial

pytestmark = pytest.mark.chromium
__all__ = ["chromium"]

ROWS = 100_000
TRIES = 5
READY_MILLISECONDS = 2000
FILTER_MILLISECONDS = 100
# Timed in the page from the change of the filter to the frame after the one that shows it.
TIMED = """async ([name, value]) => {
  const form = document.getElementById("filters"), begun = performance.now();
  form.elements[name].value = value;
  form.elements[name].dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - begun;
}"""


def written(folder: Path, name: str, pieces) -> Path:
    path = folder / name
    with path.open("wb") as file:
        file.writelines(pieces)
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """The pages under test, written once."""
    folder = tmp_path_factory.mktemp("pages")
    # A tenth of them is made, then each comes again under other ids: what a browser has to do is the same.
    first = list(made.items(ROWS // 10)())
    listed = [replace(item, key=f"{item.key}{n}", event=f"{item.event}{n}") for n in range(10) for item in first]
    hostile = [made.hostile_item(text, number=n) for n, text in enumerate([*made.HOSTILE, "y" * 1_000_000])]
    domains = [index.domain_of(made.figures(30)), index.domain_of(replace(made.held(), domain="payouts")), index.Domain("refunds", ())]
    return {
        "large": written(folder, "large.html", html.pieces(replace(made.figures(1300), missing=ROWS), lambda: iter(listed))),
        "report": written(folder, "report.html", html.pieces(made.figures(1300), made.items(1300))),
        "held": written(folder, "held.html", html.pieces(made.held(), made.items(1300))),
        "incomplete": written(folder, "incomplete.html", html.pieces(made.incomplete(), made.items(0))),
        "partial": written(folder, "partial.html", html.pieces(partial(), made.items(40))),
        "clean": written(folder, "clean.html", html.pieces(made.clean(), made.items(0))),
        "hostile": written(folder, "hostile.html", html.pieces(made.hostile_figures("".join(made.HOSTILE)), lambda: iter(hostile))),
        "index": written(folder, "index.html", index.pieces(domains, made=made.START)),
    }


@dataclass
class Seen:
    """A page and everything it did that a report must not do."""

    page: object
    requests: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


@pytest.fixture
def opened(chromium) -> Iterator:
    """Opens a file in a context of its own; at the end nothing but the file was asked for and the console is empty."""
    contexts, seen = [], []

    def go(path: Path, *, ready: bool = True, address: str = "", **options) -> Seen:
        context = chromium.new_context(**options)
        contexts.append(context)
        found = Seen(context.new_page())
        seen.append((path, found))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.on("console", lambda message: found.told.append(message.text))
        found.page.on("pageerror", lambda error: found.told.append(str(error)))
        found.page.on("dialog", lambda dialog: (found.told.append(f"dialog {dialog.message}"), dialog.dismiss()))
        found.page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective))")
        found.page.goto(f"{path.as_uri()}{address}")
        if ready:
            found.page.wait_for_selector("html[data-ready]", timeout=20_000)
        return found

    yield go
    for path, found in seen:
        assert [url.split("#")[0] for url in found.requests] == [path.as_uri()] * len(found.requests)
        assert found.requests
        assert found.told == []
    for context in contexts:
        context.close()


def shown_rows(page) -> list[str]:
    return page.locator("tr.item .key").all_inner_texts()


def count(page) -> int:
    return int(re.sub(r".* of |,|filtered.*", "", page.locator("#count").inner_text().split(", filtered")[0]))


def test_a_hundred_thousand_rows_are_ready_in_two_seconds_and_filter_in_a_tenth(pages, opened) -> None:
    """From navigation to a live table under 2 s, and every filter to its painted frame under 100 ms, each the best of a few tries."""
    ready, timed = [], {}
    for _ in range(TRIES):
        page = opened(pages["large"]).page
        ready.append(page.evaluate("performance.getEntriesByName('recon-ready')[0].startTime"))
        page.wait_for_selector("html[data-searchable]", timeout=20_000)
        for name, value in (
            ("q", "ch_3qa"),
            ("q", "phone"),
            ("q", ""),
            ("kind", "changed"),
            ("field", "status"),
            ("nights", "3"),
            ("money", "800"),
            ("sort", "money"),
        ):
            timed.setdefault((name, value), []).append(page.evaluate(TIMED, [name, value]))
        page.context.close()
        if min(ready) < READY_MILLISECONDS and all(min(taken) < FILTER_MILLISECONDS for taken in timed.values()):
            break
    print(f"ready {min(ready):.0f} ms, filters {json.dumps({'='.join(k): round(min(v)) for k, v in timed.items()})}")

    assert min(ready) < READY_MILLISECONDS
    assert {name: taken for name, taken in timed.items() if min(taken) >= FILTER_MILLISECONDS} == {}


def test_filters_show_exactly_what_fits_and_live_in_the_address(pages, opened) -> None:
    """Search, kind, field, standing, nights and amount each leave the items that fit; the address brings the same view back."""
    items = list(made.items(1300)())
    page = opened(pages["report"]).page
    digits = {"eur": 100, "usd": 100, "jpy": 1}
    cases = [
        ("q", items[7].key.upper(), [i for i in items if i is items[7]]),
        ("q", items[9].event, [items[9]]),
        ("q", "A-00", [i for i in items if "A-00" in str((i.source or i.target)["metadata"])]),
        ("kind", "extra", [i for i in items if i.kind == "extra"]),
        ("field", "amount_refunded", [i for i in items if "amount_refunded" in i.changed]),
        ("standing", "continuing", [i for i in items if i.standing is Standing.CONTINUING]),
        ("nights", "4", [i for i in items if i.nights >= 4]),
        ("money", "850", [i for i in items if i.money / digits[i.currency] >= 850]),
    ]
    for name, value, fits in cases:
        page.evaluate(TIMED, [name, value])
        assert count(page) == len(fits), name
        assert shown_rows(page) == [item.key for item in fits[:100]], name
        if name in {"field", "money"}:
            again = opened(pages["report"], address=page.evaluate("location.hash")).page
            assert shown_rows(again) == shown_rows(page)
            assert again.locator(f"[name={name}]").input_value() == value
        page.get_by_role("button", name="Reset").click()
        page.evaluate("new Promise((done) => setTimeout(() => requestAnimationFrame(done)))")
        assert page.evaluate("location.hash") == ""
    assert count(page) == len(items)


def test_resolved_ones_are_out_of_the_way(pages, opened, tmp_path) -> None:
    """What is gone since the last time is not among what there is: a clean page shows no row until its resolved ones are asked for."""
    gone = [replace(item, standing=Standing.RESOLVED) for item in made.items(12)()]
    page = opened(written(tmp_path, "clean.html", html.pieces(made.clean(), lambda: iter(gone)))).page

    assert page.locator("tr.item").count() == 0
    assert "There are no discrepancies." in page.locator("#body").inner_text()
    assert page.locator("#count").inner_text() == "0; 12 resolved ones not shown"
    page.evaluate(TIMED, ["standing", "resolved"])
    assert shown_rows(page) == [item.key for item in gone]
    assert page.locator("#count").inner_text() == "1–12 of 12"


def test_pages_turn_and_orders_sort(pages, opened) -> None:
    """100 rows at a time, forward and back; by amount and by nights the largest come first."""
    items = list(made.items(1300)())
    page = opened(pages["report"]).page
    page.get_by_role("button", name="Next").click()

    assert shown_rows(page) == [item.key for item in items[100:200]]
    assert "page=2" in page.evaluate("location.hash")
    page.get_by_role("button", name="Previous").click()
    assert shown_rows(page) == [item.key for item in items[:100]]
    page.evaluate(TIMED, ["sort", "nights"])
    assert shown_rows(page)[:100] == [item.key for item in sorted(items, key=lambda item: -item.nights)[:100]]
    page.evaluate(TIMED, ["sort", "money"])
    assert "JPY" in page.locator("tr.item").first.inner_text()


def test_a_row_opens_to_both_records_by_keyboard(pages, opened) -> None:
    """Enter on the row's button shows the diff in text with - and +, both records, age, link, event and the command; Enter closes it."""
    items = list(made.items(1300)())
    item = next(item for item in items if item.changed == ("status", "captured"))
    page = opened(pages["report"], address=f"#q={item.key}").page
    button = page.locator("button.open").first
    button.focus()
    page.keyboard.press("Enter")
    detail = page.locator("tr.detail")
    said = " ".join(detail.inner_text().split())

    assert button.get_attribute("aria-expanded") == "true"
    assert "- pending store + succeeded provider" in said
    assert "- false store + true provider" in said
    assert f"recon run stripe_charges --id {item.key}" in said
    assert item.event in said
    assert "First seen 2026-11" in said
    assert detail.locator("a").get_attribute("href") == item.link
    assert "noopener" in detail.locator("a").get_attribute("rel")
    assert detail.locator("table.records tbody tr").count() == len(item.source)
    assert detail.locator("tr.differs").count() == 2
    page.keyboard.press("Enter")
    assert detail.count() == 0
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_copy_puts_the_command_on_the_clipboard(pages, opened) -> None:
    """The button beside a held run's approval copies exactly the command that is shown."""
    page = opened(pages["held"], permissions=["clipboard-read", "clipboard-write"]).page
    page.get_by_role("button", name="Copy approve command").click()
    page.get_by_text("copied").wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == f'recon approve {made.RUN} --plan 9f3c1ab2 --reason "…"'


def test_hostile_values_do_nothing(pages, opened) -> None:
    """With every hostile text in every place and every row opened: no element, no dialog, no request, no link but to the web."""
    page = opened(pages["hostile"]).page
    for button in page.locator("button.open").all():
        button.click()
    links = [link.get_attribute("href") for link in page.locator("a[href]").all()]
    text = page.locator("body").inner_text()

    assert page.locator("tr.detail").count() == len(made.HOSTILE) + 1
    assert page.locator("main img, main script, main iframe, main b > *, svg[onload], .key > *, .value > *").count() == 0
    assert all(re.match(r"#|https://evil\.example/", link) for link in links), links
    assert not set(text) & set("\x00\x07\x1b\x9b\u202e\u200b\ufeff\u2028\u2029")
    assert "\\u202etxt.exe" in text
    commands = [text for text in page.locator("tr.detail code").all_inner_texts() if text.startswith("recon run")]
    assert "recon run stripe_charges --id $'\\x1b[31mred\\x1b[0m#15'" in commands
    assert "recon run stripe_charges --id '$(reboot) `reboot` '\\''quoted'\\''#30'" in commands
    assert "recon run stripe_charges --id=-1#7" in commands or "recon run stripe_charges --id='-1#7'" in commands


def test_without_a_script_everything_but_the_rows_is_there(pages, opened) -> None:
    """JavaScript off: the verdict, the sums and the pointer to the CSV are readable, and no dead control is shown."""
    page = opened(pages["report"], ready=False, java_script_enabled=False).page

    assert page.get_by_role("heading", name="1,300 discrepancies").is_visible()
    assert f"recon report {made.RUN} -f csv" in page.locator("#body").inner_text()
    assert not page.locator("#filters").is_visible()
    assert not page.locator(".copy").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "held", "incomplete", "partial", "clean", "hostile", "index"])
def test_no_axe_violation(pages, opened, name, scheme) -> None:
    """axe-core finds nothing to complain of in either scheme, with a row opened where there is one."""
    source = axe_source()
    # A few rows are as good as a hundred here, and checked in a tenth of the time.
    few = {"report": "#nights=7", "held": "#nights=7", "hostile": "#q=bold"}.get(name, "")
    page = opened(pages[name], ready=name != "index", address=few, color_scheme=scheme).page
    for button in page.locator("button.open").all()[:2]:
        button.click()
    for summary in page.locator("summary").all():
        summary.click()
    page.evaluate(source)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")

    assert [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found["violations"]] == []
    assert len(found["passes"]) > 10


def test_dark_and_light_differ(pages, opened) -> None:
    """The page follows the reader's scheme."""
    colours = [
        opened(pages["report"], color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]

    assert colours[0] != colours[1]


@pytest.mark.parametrize("name", ["report", "held", "incomplete", "partial", "clean", "hostile", "index"])
def test_a_narrow_screen_scrolls_down_only(pages, opened, name) -> None:
    """At 390 points wide nothing sticks out of the page to the side."""
    page = opened(pages[name], ready=name != "index", viewport={"width": 390, "height": 800}).page
    if page.locator("button.open").count():
        page.locator("button.open").first.click()

    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_prints(pages, opened) -> None:
    """Printed to PDF it has pages, and the controls stay off the paper."""
    page = opened(pages["report"]).page
    body = page.pdf()
    page.emulate_media(media="print")

    assert body.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", body)) > 1
    assert not page.locator("#filters").is_visible()
    assert page.get_by_role("heading", name="1,300 discrepancies").is_visible()
    assert page.locator("tr.item").first.is_visible()
