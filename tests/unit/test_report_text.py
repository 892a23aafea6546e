"""The terminal's block: what a person reads after a run, in `recon show` and in `recon runs`."""

import io
import random
from dataclasses import replace

import pytest

from recon.discrepancy import DiscrepancyKind
from recon.report import html, markdown, text
from recon.report import table as table_of
from recon.report.figures import DeliveryFigure, GuardFigure, Parked, Problem, Standing, Verdict
from recon.report.verdict import headline, statement
from tests.unit import figures_fixture as made


def block(figures, items=(), **options) -> str:
    return text.plain(text.summary(figures, items, **options))


def test_the_block_tells_counts_new_ones_fields_and_delivery() -> None:
    """A night with drift: both sides' counts, each kind with its new ones, fields, time in UTC and the job's zone, events."""
    figures = made.figures(1300)
    shown = block(figures, made.items(1300)(), report="reports/x/index.html")

    for line in (
        f"stripe_charges  run {made.RUN}  as of 2026-11-23 02:00:05Z (03:00 Europe/Paris)",
        "  fetched     184,201 provider     183,133 store   whole but for 2 unreadable, 11m 02s",
        "  + missing here     1,027  (964 new)",
        "  - gone there          26  (25 new)",
        "EMITTED 1,300 events (1,298 accepted, 2 duplicates ignored)",
        "  consistent as of  2026-11-23 02:00:05Z (03:00 Europe/Paris)",
        f"  … 1,297 more:  recon show {made.RUN}",
        "  report            reports/x/index.html",
        "  created   96% of the missing were created between 02:10 and 02:40 (Europe/Paris), 22 November 2026",
    ):
        assert f"{line}\n" in shown
    assert "captured 186, status 186" in shown


def test_what_a_whole_fetch_came_through_is_said() -> None:
    """A filter that the third party ignored makes every night slow, and still whole: the block and the Markdown say so."""
    figures = made.figures(1300)
    assert figures.coverage is not None
    noted = replace(figures, coverage=replace(figures.coverage, notes=("fetched in one: a row came that was not asked for",)))

    assert "  note      fetched in one: a row came that was not asked for\n" in block(noted)
    assert "- **note** fetched in one" in b"".join(markdown.pieces(noted, lambda: iter(()))).decode()


def test_values_are_aligned_from_target_to_source() -> None:
    """A changed item says whose value stands first, and the arrows stand below each other."""
    item = replace(
        made.hostile_item("x"),
        key="pi_1",
        nights=6,
        standing=Standing.CONTINUING,
        changed=("status", "amount_received"),
        money=None,
        target={"status": "requires_capture", "amount_received": 0},
        source={"status": "succeeded", "amount_received": 199900},
    )
    lines = text.plain(text.item_lines(made.figures(0), item)).splitlines()

    assert lines[0] == "~ pi_1   6 nights   store -> provider"
    assert lines[1] == "    status           requires_capture -> succeeded"
    assert lines[2] == "    amount_received                 0 -> 199900"


def test_roles_turn_round_for_outbound() -> None:
    """Outbound, the provider is the target: missing there, gone here, provider -> store."""
    figures = replace(made.figures(50), direction="outbound")
    shown = block(figures, made.items(50)())

    assert "missing there" in shown
    assert "gone here" in shown
    assert "provider -> store" in shown
    assert "missing here" not in shown


def test_the_few_shown_are_of_every_kind_and_the_oldest_first() -> None:
    """Of many items those of the most nights are shown, one kind after the other, none that is resolved or acknowledged."""
    items = list(made.items(1300)())
    quiet = [replace(items[0], key="quiet", nights=99, standing=standing) for standing in (Standing.RESOLVED, Standing.ACKNOWLEDGED)]
    random.Random(3).shuffle(items)
    shown = block(made.figures(1300), [*quiet, *items], limit=3)
    oldest = {kind: max(item.nights for item in items if item.kind is kind) for kind in DiscrepancyKind}

    assert "quiet" not in shown
    for kind, mark in zip(DiscrepancyKind, "+-~", strict=True):
        [line] = [line for line in shown.splitlines() if line.startswith(f"  {mark} ch_")]
        assert f"   {oldest[kind]} nights" in line


def test_held_says_what_tripped_and_the_exact_next_commands() -> None:
    """A held run: nothing emitted, the guard's figures, the hint, inspect, approve and reject with the plan's sum, expiry."""
    shown = block(replace(made.held(), plan=replace(made.held().plan, checksum="9f3c1ab2" + "0" * 56)))

    for line in (
        f"HELD  stripe_charges  run {made.RUN}: nothing was emitted; 1,300 events would go out",
        "  guard             extra: 24.10% > 2.00%  (44,392 of 184,201; floor 20)",
        f"  inspect           recon show {made.RUN} --kind extra",
        f'  approve           recon approve {made.RUN} --plan 9f3c1ab2 --reason "…"',
        f'  reject            recon reject {made.RUN} --reason "…"',
        "  expires           2026-11-24 14:00:05Z (15:00 Europe/Paris); this exact plan, once, rechecked first",
    ):
        assert f"{line}\n" in shown


def test_a_guard_that_passed_by_its_floor_alone_says_so() -> None:
    """A share above the limit that holds nothing is told with the floor, on the terminal, in Markdown and in the page; a tripped one names it too."""
    few = GuardFigure(name="extra", count=3, of=10, share=0.3, limit=0.02, floor=20, tripped=False)
    more = GuardFigure(
        name="changed", count=21, of=30, share=0.7, limit=0.05, floor=20, tripped=True, message="guard changed: 70.00% > 5.00%"
    )
    figures = replace(made.held(20), guards=(few, more))
    said = "extra: 30.00% > 2.00%  (3 of 10; floor 20): too few to hold anything"

    assert f"  floor     {said}\n" in block(figures)
    assert "  guard             changed: 70.00% > 5.00%, above the floor of 20\n" in block(figures)
    assert "**floor** extra" in b"".join(markdown.pieces(figures, lambda: iter(()))).decode()
    page = b"".join(html.pieces(figures, lambda: iter(()))).decode()
    assert page.count('<td class="num">20</td>') == 2
    assert "✓ passed, by the floor" in page


def test_a_night_with_nothing_to_tell_has_no_floor_to_tell_of() -> None:
    """What the guards would have held, had there been more of it, is no matter of a night whose plan is empty."""
    few = GuardFigure(name="week", count=4, of=25, share=0.16, limit=0.1, floor=20, tripped=False)
    assert "floor" in block(replace(made.held(20), guards=(few,)))
    assert "floor" not in block(replace(made.clean(), guards=(few,)))


def test_a_long_reason_stands_once_in_the_delivery() -> None:
    """What the destination said last is not said again of the key that stands still; another reason of that key is."""
    why = "503 " + "x" * 200
    stuck = Parked(keys=1, behind=2, domain="orders", key="k1", since=made.START, attempts=3, reason=why)
    waits = DeliveryFigure(publisher="bus", waiting=3, last_reason=why, parked=stuck)

    def shown(delivery: DeliveryFigure) -> str:
        return block(replace(made.figures(3), delivery=delivery, deliveries=(delivery,)))

    assert shown(waits).count(why) == 1
    assert "  parked            1 key stands still, and 2 later events of theirs wait behind; longest orders k1, since " in shown(waits)
    assert shown(replace(waits, last_reason="timed out")).count(why) == 1


def test_a_clean_night_says_what_was_told_before_and_is_not_delivered() -> None:
    """Both sides agree, and a replay waits: the night is clean, and whoever reads its exit code 6 is told why and what to do."""
    waits = DeliveryFigure(publisher="lake", waiting=16, last_reason="503")
    shown = block(replace(made.clean(), exit_code=6, delivery=waits, deliveries=(waits,)))

    assert "\nCLEAN  " in shown
    assert "; 16 events told before are not delivered yet" in shown
    assert "  reason            503\n" in shown
    assert "  send              recon publish stripe_charges\n" in shown


def test_incomplete_says_why_and_how_to_resume_and_counts_nothing() -> None:
    """A partial fetch: no count of discrepancies appears, only why and the command that goes on."""
    shown = block(made.incomplete())
    without_hint = block(replace(made.incomplete(), problem=None))

    assert f"INCOMPLETE  stripe_charges  run {made.RUN}: nothing was compared\n" in shown
    assert f"  resume            recon run stripe_charges --resume {made.RUN}\n" in shown
    assert f"  resume            recon run stripe_charges --resume {made.RUN}\n" in without_hint
    assert "missing here" not in shown
    assert "partial (page 412" in shown


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize(
    "base", [made.figures(20), made.clean(), made.held(20), made.incomplete()], ids=["drift", "clean", "held", "incomplete"]
)
def test_clean_is_said_of_the_clean_verdict_only(base, verdict) -> None:
    """Whatever else the figures hold, the word CLEAN and the agreement of all are said of Verdict.CLEAN and of nothing else."""
    figures = replace(base, verdict=verdict)
    shown = block(figures) + headline(figures)

    assert (verdict is Verdict.CLEAN) == ("CLEAN  " in shown)
    assert (verdict is Verdict.CLEAN) == ("both sides agree on all" in shown)


def test_no_discrepancy_and_yet_not_clean_says_what_is_not_known() -> None:
    """Zero discrepancies beside unreadable, doubled, unconfirmed or moving items is told as not proven clean, each with its count."""
    figures = replace(
        made.clean(),
        verdict=Verdict.DISCREPANCIES,
        unreadable_items=2,
        duplicate_keys=1,
        unconfirmed=4,
        unconfirmed_why={"HTTP 403": 4},
        dismissed={"both sides agree now": 7, "changed between the two looks": 3},
    )
    told = statement(figures)

    assert told.word == "NOT PROVEN CLEAN"
    assert told.sentence.endswith("2 unreadable, 1 more than once on one side, 4 unconfirmed, 3 changed while we looked")
    assert "4 suspects unconfirmed: 4 × HTTP 403" in block(figures)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dry_run": True}, "DRY RUN 20 discrepancies, nothing was emitted; 20 events would go out"),
        ({"plan": None, "delivery": None}, "REPORTED 20 discrepancies, no event was emitted"),
        ({"delivery": None}, "ENQUEUED 20 events enqueued, not sent yet\n  send              recon publish stripe_charges"),
        (
            {"delivery": DeliveryFigure(publisher="bus", confirmed=12, waiting=7, dead=1, last_reason="503 Service Unavailable")},
            (
                "NOT DELIVERED 20 events (12 accepted, 7 waiting, 1 refused for good)\n  reason            503 Service Unavailable\n"
                "  check             recon doctor stripe_charges\n  send              recon publish stripe_charges"
            ),
        ),
    ],
    ids=["dry run", "no plan", "not sent", "waiting"],
)
def test_what_became_of_the_events(change, said) -> None:
    """Dry run, no event, not sent yet, and partly delivered are told apart, with the next command where there is one."""
    assert said in block(replace(made.figures(20), **change))


@pytest.mark.parametrize(
    "base", [made.figures(20), made.clean(), made.held(20), made.incomplete()], ids=["drift", "clean", "held", "incomplete"]
)
def test_a_problem_is_told_whatever_the_verdict(base) -> None:
    """Why something went wrong beside the verdict, such as a report that could not be written, is never left out, nor said twice."""
    problem = Problem(kind="LocalFault", message="no report was written: no space left on device", hint="make room")
    shown = block(replace(base, problem=problem))

    assert shown.count("  why               no report was written: no space left on device\n") == 1
    assert shown.count("  next              make room\n") == 1


def test_a_single_item_that_agrees_says_nothing_of_the_rest() -> None:
    """A run for one key is never called clean."""
    figures = replace(made.clean(), verdict=Verdict.AGREES, coverage=None, store=None)
    shown = block(figures)

    assert "nothing is said of the rest" in shown
    assert "single items by id" in shown


def test_piped_output_is_plain_and_never_cuts_an_id() -> None:
    """Off a terminal there is no escape sequence, and an id of any length stands whole on one line."""
    item = replace(made.hostile_item("x"), key="k" * 500, changed=())
    stream = io.StringIO()
    text.emit(text.summary(made.figures(20), [item]), stream)

    assert "\x1b" not in stream.getvalue()
    assert "k" * 500 in stream.getvalue()


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_styles_and_the_same_text(monkeypatch) -> None:
    """On a terminal the same characters come with colours, unwrapped in 40 columns; NO_COLOR takes the colours away."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = text.summary(made.figures(20), [replace(made.hostile_item("[/bold] :smile: [red]"), key="k" * 300)])
    coloured, bare = Screen(), Screen()
    text.emit(lines, coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    text.emit(lines, bare)

    import re

    assert "\x1b[1m" in coloured.getvalue()
    assert text.plain(lines) == re.sub(r"\x1b\[[0-9;]*m", "", coloured.getvalue())
    assert text.plain(lines) == bare.getvalue()


def test_a_terminal_of_another_encoding_gets_escapes() -> None:
    """Output to an ASCII stream shows what it cannot carry as an escape and does not fail."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    text.emit([text.line("é … 漢")], stream)
    stream.flush()

    assert raw.getvalue() == b"\\xe9 \\u2026 \\u6f22\n"


def test_listing_filters_and_counts_what_is_left() -> None:
    """`recon show` lists by kind, field, standing, nights and text, and says how many a limit left out."""
    figures, items = made.figures(300), list(made.items(300)())
    changed = [item for item in items if "amount_refunded" in item.changed]
    shown = text.plain(text.listing(figures, items, kind=DiscrepancyKind.CHANGED, field="amount_refunded"))
    some = text.plain(text.listing(figures, items, limit=2))
    one = text.plain(text.listing(figures, items, text=items[5].key.upper()))
    whole = text.plain(text.listing(figures, items, text=items[5].key, whole=True))

    assert len(changed) == shown.count("  store -> provider")
    assert all(item.key in shown for item in changed)
    assert f"… 298 more:  recon report {made.RUN} -f jsonl has all" in some
    assert items[5].key in one
    assert one.count("missing here") == 1
    assert f"event {items[5].event}" in whole
    assert "metadata" in whole
    assert "no discrepancy fits" in text.plain(text.listing(figures, items, nights=50))


def test_runs_table_lines_up_and_hides_counts_that_mean_nothing() -> None:
    """`recon runs`: one line a run with verdict and consistent-as-of; an incomplete run shows dashes and not zeros."""
    table = text.plain(
        table_of.runs_table([made.figures(20), made.incomplete(), replace(made.clean(), consistent_as_of=None)])
    ).splitlines()

    assert table[0].split() == ["run", "domain", "started", "verdict", "missing", "extra", "changed", "new", "consistent", "as", "of"]
    assert len({line.index("stripe_charges") for line in table[1:]}) == 1
    assert table[2].split()[5:9] == ["-", "-", "-", "-"]
    assert table[3].endswith("never yet")
    on_its_way = replace(made.clean(), consistent_as_of=None, state="emitted")
    assert text.plain(table_of.runs_table([on_its_way])).rstrip().endswith("  -")
    assert "consistent as of  known when the run has ended" in text.plain(text.summary(on_its_way))
    assert "no run yet" in text.plain(table_of.runs_table([]))
