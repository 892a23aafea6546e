"""Guards: figures too large to be believed hold a plan back, whole, until a person has looked.

Pure: numbers in, `GuardFigure`s out. `evaluate` is asked twice, before the second look (which saves its reads) and after it; `week`
and `total` are asked once the plan is made, in the transaction that would put it into the outbox.
"""

from collections.abc import Mapping
from typing import Literal

from recon.job import Guard
from recon.report.figures import GuardFigure

Stage = Literal["before", "after"]


def evaluate(
    guard: Guard,
    *,
    stage: Stage,
    missing: int,
    extra: int,
    changed: int,
    target_rows: int,
    source_rows: int | None,
    previous_source_rows: int | None,
    by_field: Mapping[str, int],
    compared: int,
    unjudged: int = 0,
) -> tuple[GuardFigure, ...]:
    """Every guard with its figures, in this order: empty, shrunken, missing, extra, changed, same_field.

    `missing`, `extra` and `changed` count items (suspects at stage `before`, confirmed ones at stage `after`); `target_rows` and
    `source_rows` are what each side holds; `previous_source_rows` is the most that the source held at a whole run of the last seven
    days that was believed, else at the last one (`Runs.largest_source`), None where there was none; `by_field` counts the changed items per field; `compared` counts the items that
    both sides hold. The plan is held when any figure is `tripped`.

    Of a source that was fetched in part `source_rows` is None: how much it holds is not known, so `shrunken` is not asked, and `empty` is
    whether nothing of what came is in the target, which is how another account's listing looks. `target_rows` are then those that could
    be judged, and `unjudged` the others.

    A kind trips above the floor *and* above its share of the target; a share of 1.0 never trips. An empty source beside a filled
    target always trips, and a shrunken source trips whatever the floor.
    """
    known = source_rows is not None
    shrunk = 0 if source_rows is None or previous_source_rows is None else max(0, previous_source_rows - source_rows)
    of_source = (
        (_strange(compared, missing, unjudged),)
        if source_rows is None
        else (_empty(source_rows, target_rows), _shrunken(guard, shrunk, previous_source_rows))
    )
    return (
        *of_source,
        _kind("missing", guard, missing, target_rows, _missing_hint(target_rows, stage, whole=known)),
        _kind("extra", guard, extra, target_rows, _extra_hint(shrunk, stage)),
        _kind("changed", guard, changed, target_rows, _changed_hint(by_field, stage)),
        _same_field(guard, by_field, compared),
    )


def week(guard: Guard, *, emitted: int, added: int, target_rows: int) -> GuardFigure:
    """Many small nights in a row: `emitted` distinct facts went out in the last seven days that nobody looked at, the plan has `added` more.

    A plan that tells only what was told before adds nothing and passes, however much that was. Where nothing went out before there is
    no row of nights: what one night may do is for the guards of the night to say.
    """
    count = emitted + added
    tripped = guard.week < 1.0 and emitted > 0 and added > 0 and count > guard.floor and count > guard.week * target_rows
    message = f"{_message('week', count, target_rows, guard.week)}: {emitted:,} in the last 7 days, {added:,} now"
    return GuardFigure(
        name="week",
        count=count,
        of=target_rows,
        share=_share(count, target_rows),
        limit=guard.week,
        floor=guard.floor,
        tripped=tripped,
        message=message if tripped else "",
        hint=_week_hint(emitted, added) if tripped else "",
    )


def _week_hint(emitted: int, added: int) -> str:
    if added > emitted:
        return "most of it is in this plan, on top of a week that was not quiet"
    return "each night was small, together they are not: does something go wrong a little every night?"


def total(limit: int, *, emitted: int, added: int) -> GuardFigure:
    """All domains together: `emitted` distinct facts of any domain went out in 24 hours that nobody looked at, the plan has `added` more."""
    count = emitted + added
    tripped = added > 0 and count > limit
    message = f"guard total: {count:,} events of all domains in 24 hours > {limit:,} ({emitted:,} went out, {added:,} now)"
    return GuardFigure(
        name="total",
        count=count,
        of=limit,
        share=_share(count, limit),
        limit=1.0,
        floor=0,
        tripped=tripped,
        message=message if tripped else "",
        hint="is one third party, one store or one release behind all of it?" if tripped else "",
    )


def _empty(source_rows: int, target_rows: int) -> GuardFigure:
    tripped = source_rows == 0 and target_rows > 0
    return GuardFigure(
        name="empty",
        count=0 if source_rows else target_rows,
        of=target_rows,
        share=1.0 if tripped else 0.0,
        limit=0.0,
        floor=0,
        tripped=tripped,
        message=f"guard empty: the source holds nothing, the target {target_rows:,}" if tripped else "",
        hint="wrong account, wrong credential, or a wiped third party?" if tripped else "",
    )


def _strange(compared: int, missing: int, unjudged: int) -> GuardFigure:
    """Of a listing that was fetched in part: nothing of it is known here, and much that is here was not in it."""
    tripped = compared == 0 and missing > 0 and unjudged > 0
    return GuardFigure(
        name="empty",
        count=missing if tripped else 0,
        of=missing,
        share=1.0 if tripped else 0.0,
        limit=0.0,
        floor=0,
        tripped=tripped,
        message=f"guard empty: none of the {missing:,} records that were fetched is among the target's {unjudged:,}" if tripped else "",
        hint="another account or another credential, whose listing broke off as well?" if tripped else "",
    )


def _shrunken(guard: Guard, lost: int, previous: int | None) -> GuardFigure:
    of = previous or 0
    tripped = guard.shrunken < 1.0 and lost > guard.shrunken * of
    return GuardFigure(
        name="shrunken",
        count=lost,
        of=of,
        share=_share(lost, of),
        limit=guard.shrunken,
        floor=0,
        tripped=tripped,
        message=_message("shrunken", lost, of, guard.shrunken) if tripped else "",
        hint=f"the source held {of:,} at its largest of late and holds {of - lost:,} now: a cut fetch, or another account?"
        if tripped
        else "",
    )


def _kind(name: str, guard: Guard, count: int, of: int, hint: str) -> GuardFigure:
    limit: float = getattr(guard, name)
    # Compared as products, not as a quotient: a target without a single row has no share, and must hold all the same.
    tripped = limit < 1.0 and count > guard.floor and count > limit * of
    return GuardFigure(
        name=name,
        count=count,
        of=of,
        share=_share(count, of),
        limit=limit,
        floor=guard.floor,
        tripped=tripped,
        message=_message(name, count, of, limit) if tripped else "",
        hint=hint if tripped else "",
    )


def _same_field(guard: Guard, by_field: Mapping[str, int], compared: int) -> GuardFigure:
    worst = max(sorted(by_field), key=lambda name: by_field[name], default="")
    count = by_field.get(worst, 0)
    tripped = guard.same_field < 1.0 and count > guard.floor and count > guard.same_field * compared
    return GuardFigure(
        name="same_field",
        count=count,
        of=compared,
        share=_share(count, compared),
        limit=guard.same_field,
        floor=guard.floor,
        tripped=tripped,
        message=f"{_message('same_field', count, compared, guard.same_field)}, all in field {worst}" if tripped else "",
        hint=f"one field in so many items is a change of schema or a wrong kind or mapping: look at field {worst!r} of the job"
        if tripped
        else "",
    )


def _share(count: int, of: int) -> float:
    return count / of if of else float(count > 0)


def _message(name: str, count: int, of: int, limit: float) -> str:
    """`guard extra: 24.10% > 2.00% (44,392 of 184,201)`; the share gets more digits where two would show it equal to its limit."""
    share = _share(count, of)
    digits = 2
    while f"{share:.{digits}%}" == f"{limit:.{digits}%}" and share != limit and digits < 12:
        digits += 1
    return f"guard {name}: {share:.{digits}%} > {limit:.{digits}%} ({count:,} of {of:,})"


def _missing_hint(target_rows: int, stage: Stage, *, whole: bool) -> str:
    if target_rows == 0 and not whole:
        return "the target holds none of the items that were fetched: the wrong table or condition, or another account?"
    if target_rows == 0:
        return "the target is empty: a first load, or the wrong table or condition?"
    return "is the target's condition too narrow, or were webhooks down?" + _seen(stage)


def _extra_hint(shrunk: int, stage: Stage) -> str:
    if shrunk:
        return f"the source holds {shrunk:,} fewer than at its largest of late: a cut fetch?"
    return "does the listing leave something out (archived, older, another account), or were deletions lost?" + _seen(stage)


def _changed_hint(by_field: Mapping[str, int], stage: Stage) -> str:
    if not by_field:
        return "look at what the items have in common" + _seen(stage)
    worst = max(sorted(by_field), key=lambda name: by_field[name])
    return f"most differ in field {worst!r} ({by_field[worst]:,}): a change of schema, or updates that were lost?" + _seen(stage)


def _seen(stage: Stage) -> str:
    return " (counted before the second look)" if stage == "before" else " (each read again by id)"
