"""The guards: each trips where it should, says so with its figures, and keeps the laws that make it trustworthy."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from recon.guard import evaluate, total, week
from recon.job import Guard
from recon.report.figures import GuardFigure
from recon.report.raising import raising

CALM = {
    "stage": "after",
    "missing": 0,
    "extra": 0,
    "changed": 0,
    "target_rows": 184_201,
    "source_rows": 184_201,
    "previous_source_rows": None,
    "by_field": {},
    "compared": 184_201,
}
COUNTS = st.integers(0, 10_000)
SHARES = st.floats(0, 1)
GUARDS = st.builds(
    Guard, missing=SHARES, extra=SHARES, changed=SHARES, floor=st.integers(0, 100), same_field=SHARES, shrunken=SHARES, week=SHARES
)
FACTS = st.fixed_dictionaries(
    {
        "stage": st.sampled_from(["before", "after"]),
        "missing": COUNTS,
        "extra": COUNTS,
        "changed": COUNTS,
        "target_rows": COUNTS,
        "source_rows": COUNTS,
        "previous_source_rows": st.none() | COUNTS,
        "by_field": st.dictionaries(st.sampled_from(["status", "amount", "email"]), COUNTS),
        "compared": COUNTS,
    }
)


def tripped(guard: Guard = Guard(), **changes) -> dict[str, GuardFigure]:
    """The figures that tripped, by name."""
    return {figure.name: figure for figure in evaluate(guard, **{**CALM, **changes}) if figure.tripped}


def test_a_calm_night_passes_every_guard() -> None:
    """Equal sides trip nothing, and every guard still shows its figures, in a fixed order."""
    figures = evaluate(Guard(), **CALM)

    assert [figure.name for figure in figures] == ["empty", "shrunken", "missing", "extra", "changed", "same_field"]
    assert not any(figure.tripped for figure in figures)


def test_the_message_carries_share_limit_and_both_counts() -> None:
    """What a person reads at three in the morning stands in one line, as the report shows it."""
    figure = tripped(extra=44_392)["extra"]

    assert figure.message == "guard extra: 24.10% > 2.00% (44,392 of 184,201)"


def test_a_hair_above_the_limit_is_not_shown_as_equal_to_it() -> None:
    """The share gets more digits where two would read `2.00% > 2.00%`."""
    figure = tripped(extra=20_001, target_rows=1_000_000)["extra"]

    assert figure.message == "guard extra: 2.0001% > 2.0000% (20,001 of 1,000,000)"


def test_exactly_at_the_limit_passes() -> None:
    """Held is above the share, not at it; the same with the floor."""
    assert tripped(extra=20_000, target_rows=1_000_000) == {}
    assert tripped(extra=20, target_rows=20) == {}
    assert "extra" in tripped(extra=21, target_rows=21)


def test_an_empty_source_beside_a_filled_target_is_held_even_below_the_floor() -> None:
    """One row on our side and none on theirs is a wiped account until a person says otherwise, with every other guard off."""
    off = Guard(missing=1.0, extra=1.0, changed=1.0, same_field=1.0, shrunken=1.0, floor=1000)

    figure = tripped(off, source_rows=0, target_rows=1, extra=1)["empty"]

    assert "the source holds nothing, the target 1" in figure.message


def test_two_empty_sides_agree() -> None:
    """Nothing on either side is no reason to hold."""
    assert tripped(source_rows=0, target_rows=0, compared=0) == {}


def test_a_shrunken_source_is_held_whatever_the_floor() -> None:
    """Losing more than a fifth of the records since the last whole run smells of a cut fetch; the hint says both counts."""
    figure = tripped(source_rows=700, previous_source_rows=1000)["shrunken"]

    assert figure.message == "guard shrunken: 30.00% > 20.00% (300 of 1,000)"
    assert "1,000" in figure.hint
    assert "700" in figure.hint


def test_a_grown_source_is_not_shrunken() -> None:
    """More records than last time trip nothing."""
    assert tripped(source_rows=2_000, previous_source_rows=1000) == {}


def test_one_field_in_most_items_is_a_change_of_schema() -> None:
    """The figure names the field, although each kind alone would pass."""
    loose = Guard(changed=1.0)

    figure = tripped(loose, changed=900, by_field={"email": 900, "status": 3}, compared=1000)["same_field"]

    assert "field email" in figure.message
    assert figure.count == 900


def test_a_first_load_into_an_empty_target_is_held() -> None:
    """A target without a row has no share to take, and many missing items are held all the same."""
    figure = tripped(missing=500, target_rows=0, compared=0)["missing"]

    assert "the target is empty" in figure.hint


def test_hints_say_whether_the_items_were_read_again() -> None:
    """Before the second look the figures count suspects, and the hint says so."""
    assert "before the second look" in tripped(stage="before", changed=50_000)["changed"].hint
    assert "read again by id" in tripped(stage="after", changed=50_000)["changed"].hint


@given(GUARDS, FACTS)
def test_at_or_below_the_floor_only_the_empty_and_the_shrunken_trip(guard: Guard, facts: dict) -> None:
    """The floor is a promise: so few items never hold a night, but for a source that is gone or cut."""
    few = {name: min(facts[name], guard.floor) for name in ("missing", "extra", "changed")}
    fields = {name: min(n, guard.floor) for name, n in facts["by_field"].items()}

    names = {figure.name for figure in evaluate(guard, **{**facts, **few, "by_field": fields}) if figure.tripped}

    assert names <= {"empty", "shrunken"}


@given(GUARDS, FACTS, st.sampled_from(["missing", "extra", "changed"]), st.integers(0, 1000))
def test_more_discrepancies_never_pass_where_fewer_were_held(guard: Guard, facts: dict, kind: str, more: int) -> None:
    """Tripping is monotone in each count."""
    before = {figure.name for figure in evaluate(guard, **facts) if figure.tripped}
    after = {figure.name for figure in evaluate(guard, **{**facts, kind: facts[kind] + more}) if figure.tripped}

    assert before <= after


@given(GUARDS, FACTS, st.sampled_from(["missing", "extra", "changed", "same_field", "shrunken"]))
def test_a_share_of_one_switches_a_guard_off(guard: Guard, facts: dict, name: str) -> None:
    """At 1.0 that guard trips for no figures at all."""
    off = Guard(**{**{n: getattr(guard, n) for n in ("missing", "extra", "changed", "floor", "same_field", "shrunken")}, name: 1.0})

    assert not any(figure.tripped for figure in evaluate(off, **facts) if figure.name == name)


@given(GUARDS, FACTS)
def test_a_tripped_figure_says_why_and_a_passed_one_is_silent(guard: Guard, facts: dict) -> None:
    """Message and hint are there exactly where something is held."""
    for figure in evaluate(guard, **facts):
        assert bool(figure.message) == bool(figure.hint) == figure.tripped
        assert figure.message == "" or figure.message.startswith(f"guard {figure.name}: ")


def test_small_nights_add_up_over_a_week() -> None:
    """Nine per cent that went out and two that would go out are more than ten; the figure says both."""
    figure = week(Guard(), emitted=900, added=200, target_rows=10_000)

    assert figure.message == "guard week: 11.00% > 10.00% (1,100 of 10,000): 900 in the last 7 days, 200 now"
    assert not week(Guard(), emitted=900, added=100, target_rows=10_000).tripped
    assert not week(Guard(), emitted=5_000, added=0, target_rows=10_000).tripped
    assert not week(Guard(), emitted=0, added=5_000, target_rows=10_000).tripped


def test_all_domains_together_stay_below_the_total() -> None:
    """At the limit is within it, one above is not; a plan that tells nothing new is never held for what others sent."""
    assert not total(1000, emitted=700, added=300).tripped
    assert (
        total(1000, emitted=700, added=301).message
        == "guard total: 1,001 events of all domains in 24 hours > 1,000 (700 went out, 301 now)"
    )
    assert not total(1000, emitted=5000, added=0).tripped


@given(GUARDS, st.tuples(COUNTS, COUNTS, COUNTS), st.integers(0, 1000), st.integers(1, 5000))
def test_more_that_went_out_never_passes_where_less_was_held(guard: Guard, counts: tuple[int, int, int], more: int, limit: int) -> None:
    """`week` and `total` are monotone in what went out and in what is added, and keep floor and limit."""
    emitted, added, rows = counts
    for figure, worse in (
        (week(guard, emitted=emitted, added=added, target_rows=rows), week(guard, emitted=emitted + more, added=added, target_rows=rows)),
        (week(guard, emitted=emitted, added=added, target_rows=rows), week(guard, emitted=emitted, added=added + more, target_rows=rows)),
        (total(limit, emitted=emitted, added=added), total(limit, emitted=emitted + more, added=added)),
        (total(limit, emitted=emitted, added=added), total(limit, emitted=emitted, added=added + more)),
    ):
        assert worse.tripped or not figure.tripped
        assert bool(figure.message) == bool(figure.hint) == figure.tripped
    floored = week(guard, emitted=min(emitted, guard.floor), added=max(0, guard.floor - emitted), target_rows=rows)
    assert not floored.tripped
    assert total(limit, emitted=emitted, added=added).tripped == (added > 0 and emitted + added > limit)


@given(GUARDS, FACTS)
def test_the_key_to_raise_lets_the_same_night_pass(guard: Guard, facts: dict) -> None:
    """The limit that a held plan suggests is one at which this guard would have passed, and no more than half of everything."""
    for figure in evaluate(guard, **facts):
        told = raising(figure, "orders") if figure.tripped else ""
        if not told:
            continue
        key, _, value = told.partition(" under [jobs.orders.guard]")[0].partition(" = ")
        raised = replace(guard, **{key: int(value) if key == "floor" else float(value)})
        again = {one.name: one for one in evaluate(raised, **facts)}[figure.name]

        assert not again.tripped, told
        assert key == "floor" or float(value) <= 0.5


def test_a_key_to_raise_is_round_and_says_where_it_stands() -> None:
    """24.10% asks for 0.25; for all domains a round number of events; for an empty source there is none."""
    extra = tripped(extra=44_392)["extra"]

    assert raising(extra, "orders") == "extra = 0.25 under [jobs.orders.guard] in recon.toml (now 0.02)"
    assert raising(total(1000, emitted=1200, added=34), "orders") == "total = 1_300 under [guards] in recon.toml (now 1_000)"
    assert raising(tripped(source_rows=0)["empty"], "orders") == ""
    assert raising(tripped(changed=25, target_rows=30)["changed"], "orders").startswith("floor = 25 under")
