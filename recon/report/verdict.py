"""The verdict in words: what a run says of its domain, why, and the exact next commands. Every rendering says it from here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from recon.discrepancy import DiscrepancyKind
from recon.report import convergence
from recon.report.figures import DeliveryFigure, GuardFigure, OlderFigure, PlanFigure, RunFigures, Verdict
from recon.report.raising import raising
from recon.report.words import doubts, moment, partial, percent, plural, roles

SHORT = 8
"""How much of a plan's checksum a command shows; `recon approve` takes it."""

NOTHING_WAITS = "and no event waits: an approval says that the figures are right, and later nights are measured by them"
"""Of a held plan without events: a source that shrank and agrees all the same, deletions that wait for a later night."""

KINDS = {kind.value for kind in DiscrepancyKind}


@dataclass(frozen=True, slots=True)
class Step:
    """One line below the verdict: `guard`, `hint`, `approve`, …; `command` where the text is one to copy and run."""

    label: str
    text: str
    command: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """A word in capitals, a sentence, and the lines below it. Texts are not inert yet: each rendering makes them so."""

    word: str
    sentence: str
    steps: tuple[Step, ...] = ()


def statement(figures: RunFigures) -> Statement:
    """What to say of this run. CLEAN is said of `Verdict.CLEAN` and of nothing else; a problem is told whatever the verdict."""
    looked = convergence.verified(figures)
    told = Statement(*looked) if looked is not None else _left_over(figures, _told(figures))
    if figures.problem is not None and not any(step.text == figures.problem.message for step in told.steps):
        told = replace(told, steps=(*told.steps, *_problem(figures)))
    return replace(told, steps=(*told.steps, *(Step(label, text) for label, text in convergence.lines(figures))))


def _told(figures: RunFigures) -> Statement:
    if figures.verdict is Verdict.CLEAN:
        return _clean(figures)
    if figures.verdict is Verdict.HELD:
        return _held(figures)
    if figures.verdict is Verdict.AGREES:
        return Statement("AGREES", "both sides agree on what was asked for; nothing is said of the rest")
    if figures.verdict is Verdict.DISCREPANCIES:
        return _discrepancies(figures) if figures.discrepancies else _doubtful(figures)
    if partial(figures):
        return _partial(figures)
    return _broken(figures)


def _partial(figures: RunFigures) -> Statement:
    """The fetch was partial: what was compared is right, and what was not is not known."""
    told = _discrepancies(figures) if figures.discrepancies else None
    left = f"; {plural(figures.unjudged, 'store row')} not judged" if figures.unjudged else ""
    if told is None:
        return Statement("INCOMPLETE", f"no discrepancy in the part that was fetched{left}", _problem(figures))
    return Statement(
        "INCOMPLETE", f"of the part that was fetched: {told.word.lower()}, {told.sentence}{left}", (*_problem(figures), *told.steps)
    )


def _clean(figures: RunFigures) -> Statement:
    sentence = f"both sides agree on all {plural(figures.compared, 'item')} compared"
    if figures.acknowledged:
        sentence += f", but for {figures.acknowledged:,} acknowledged"
    return Statement("CLEAN", sentence)


def _doubtful(figures: RunFigures) -> Statement:
    """No discrepancy, and yet not clean: something is not known, or was acknowledged."""
    reasons = doubts(figures)
    if not reasons:
        return Statement("NOTHING NEW", f"all {plural(figures.acknowledged, 'discrepancy', 'discrepancies')} found are acknowledged")
    tail = f"; {figures.acknowledged:,} acknowledged" if figures.acknowledged else ""
    return Statement(
        "NOT PROVEN CLEAN", f"no discrepancy was confirmed, but not all is known: {', '.join(reasons)}{tail}", _problem(figures)
    )


def guard_line(guard: GuardFigure) -> str:
    """`extra: 24.10% > 2.00%  (44,392 of 184,201)`, or how far below its limit it stayed. A guard's own message begins with `guard `."""
    if guard.name == "total":
        return f"total: {guard.count:,} {'>' if guard.tripped else 'within'} {guard.of:,} events of all domains in 24 hours"
    sign = ">" if guard.share > guard.limit else "within"
    return f"{guard.name}: {percent(guard.share)} {sign} {percent(guard.limit)}  ({guard.count:,} of {guard.of:,}{floor_of(guard)})"


def floor_of(guard: GuardFigure) -> str:
    """`; floor 20`: so many hold nothing, whatever their share; empty where a guard has no floor."""
    return f"; floor {guard.floor:,}" if guard.floor else ""


def spared(figures: RunFigures) -> list[str]:
    """The guards that passed by their floor alone: their share is above the limit, and there are too few to hold anything. None where nothing is to be told."""
    if figures.plan is None or not figures.plan.events:
        return []
    few = [one for one in figures.guards if one.floor and not one.tripped and one.limit < 1.0 and one.share > one.limit]
    return [f"{guard_line(one)}: too few to hold anything" for one in few if one.count <= one.floor]


def _held(figures: RunFigures) -> Statement:
    steps = []
    plan = figures.plan
    for guard in figures.guards:
        if guard.tripped:
            above = f", above the floor of {guard.floor:,}" if guard.message and guard.floor else ""
            steps.append(Step("guard", (guard.message.removeprefix("guard ") or guard_line(guard)) + above))
            if guard.hint:
                steps.append(Step("hint", guard.hint))
    steps += [Step(label, text, command=True) for label, text in commands(figures).items()]
    if figures.dry_run:
        steps.append(Step("next", "a dry run's plan is never sent and waits for nobody"))
    elif plan is not None:
        if plan.expires_at is not None:
            steps.append(Step("expires", f"{moment(plan.expires_at, figures.timezone)}; this exact plan, once, rechecked first"))
        steps += [Step("raise", f"only if every such night is right: {key}") for key in dict.fromkeys(raised(figures))]
    if plan is not None and not plan.events and not figures.dry_run:
        return Statement("HELD", f"nothing was emitted, {NOTHING_WAITS}", tuple(steps))
    would = f"; {plural(plan.events, 'event')} would go out" if plan is not None and plan.events else ""
    return Statement("HELD", f"nothing was emitted{would}", tuple(steps))


def commands(figures: RunFigures) -> dict[str, str]:
    """What a person does about a held plan, ready to copy: look at it, let exactly this one out, or turn it down."""
    kind = next((f" --kind {guard.name}" for guard in figures.guards if guard.tripped and guard.name in KINDS), "")
    ways = {"inspect": f"recon show {figures.run}{kind}"}
    if figures.plan is not None and not figures.dry_run:
        ways["approve"] = f'recon approve {figures.run} --plan {figures.plan.checksum[:SHORT]} --reason "…"'
        ways["reject"] = f'recon reject {figures.run} --reason "…"'
    return ways


def raised(figures: RunFigures) -> list[str]:
    """For each guard that tripped and may simply be too low, the key to raise and to what."""
    return [key for guard in figures.guards if guard.tripped and (key := raising(guard, figures.domain))]


def _discrepancies(figures: RunFigures) -> Statement:
    plan, deliveries = figures.plan, figures.delivered
    found = plural(figures.discrepancies, "discrepancy", "discrepancies")
    if figures.dry_run:
        would = f"; {plural(plan.events, 'event')} would go out" if plan is not None else ""
        return Statement("DRY RUN", f"{found}, nothing was emitted{would}")
    if plan is not None and plan.state in {"rejected", "expired", "stale"}:
        why = f": {plan.reason}" if plan.reason else ""
        return Statement(
            plan.state.upper(),
            f"{found}, nothing was emitted: the plan {'expired' if plan.state == 'expired' else f'was {plan.state}'}{why}",
        )
    if plan is not None and plan.state == "approved":
        return Statement("APPROVED", f"{plural(plan.events, 'event')} approved, and not sent yet", _problem(figures))
    wait = f"; {plural(figures.waiting, 'deletion')} wait{'s' if figures.waiting == 1 else ''} for another night" if figures.waiting else ""
    if plan is None or not plan.events:
        return Statement("REPORTED", f"{found}, no event was emitted{wait}")
    if not deliveries:
        return Statement("ENQUEUED", f"{plural(plan.events, 'event')} enqueued, not sent yet", (_publish(figures),))
    return _delivered(figures, plan, deliveries)


def accepted(delivery: DeliveryFigure) -> int:
    """How many events the receiver took as new ones: `confirmed` counts those too that it said it had already."""
    return max(0, delivery.confirmed - delivery.duplicates)


def _delivered(figures: RunFigures, plan: PlanFigure, deliveries: Sequence[DeliveryFigure]) -> Statement:
    several = len(deliveries) > 1
    told = [f"{f'{one.publisher}: ' if several else ''}{', '.join(_counts(one))}" for one in deliveries]
    steps = undelivered(figures)
    word = "NOT DELIVERED" if steps else "EMITTED"
    return Statement(word, f"{plural(plan.events, 'event')} ({'; '.join(told)})", steps)


def _left_over(figures: RunFigures, told: Statement) -> Statement:
    """What earlier nights or replays still have to deliver, told on a night that has itself emitted nothing."""
    left = sum(one.undelivered for one in figures.delivered)
    mine = figures.plan is not None and figures.plan.events
    if mine or not left:
        return told
    return replace(
        told,
        sentence=f"{told.sentence}; {plural(left, 'event')} told before are not delivered yet",
        steps=(*told.steps, *undelivered(figures)),
    )


def undelivered(figures: RunFigures) -> tuple[Step, ...]:
    """Why events are not delivered, and what to do about it; empty where all are."""
    deliveries = figures.delivered
    several = len(deliveries) > 1
    lacking = [one for one in deliveries if one.undelivered]
    each: list[DeliveryFigure | OlderFigure] = [*deliveries, *(older for one in deliveries for older in one.older)]
    steps = [Step("reason", f"{f'{one.publisher}: ' if several else ''}{one.last_reason}") for one in lacking if one.last_reason]
    for one in lacking:
        steps += [Step(label, f"{f'{one.publisher}: ' if several else ''}{text}") for label, text in standing_still(one, figures.timezone)]
    if any(one.waiting for one in each):
        # What is to be mended, for each destination, as of now: the reason has the server's words, which seldom say it.
        steps += [Step("check", f"recon doctor {figures.domain}", command=True), _publish(figures)]
    if any(one.dead for one in each):
        steps.append(Step("next", "mend what the reason says; what still differs then is told again by the next run"))
        steps.append(Step("inspect", f"recon dead list --domain {figures.domain}", command=True))
    return tuple(steps)


def standing_still(delivery: DeliveryFigure, timezone: str = "UTC") -> Iterator[tuple[str, str]]:
    """What stands still at a destination, and that too much waits for it: label and text."""
    found = delivery.parked
    if found is not None:
        behind = (
            f", and {plural(found.behind, 'later event')} of theirs wait{'s' if found.behind == 1 else ''} behind" if found.behind else ""
        )
        tries, since = plural(found.attempts, "try", "tries"), moment(found.since, timezone)
        keys = f"{plural(found.keys, 'key')} stand{'s' if found.keys == 1 else ''} still{behind}"
        # Where it is the destination's last word, that stands beside it already.
        why = f": {found.reason}" if found.reason not in {"", delivery.last_reason} else ""
        yield "parked", f"{keys}; longest {found.domain} {found.key}, since {since}, {tries}{why}"
    if delivery.backlog:
        yield "backlog", f"{delivery.backlog:,} events wait for {delivery.publisher}, more than [delivery] backlog allows; none is dropped"


def _counts(delivery: DeliveryFigure) -> list[str]:
    """What became of the events at one destination, in words."""
    parts = [f"{accepted(delivery):,} accepted"]
    if delivery.duplicates:
        parts.append(f"{plural(delivery.duplicates, 'duplicate')} ignored")
    if delivery.waiting:
        parts.append(f"{delivery.waiting:,} waiting")
    if delivery.dead:
        parts.append(f"{delivery.dead:,} refused for good")
    return [*parts, *map(_older, delivery.older)]


def _older(one: OlderFigure) -> str:
    """The same events in an older version, which are none beside."""
    told = [f"{max(0, one.confirmed - one.duplicates):,} accepted"]
    told += [f"{count:,} {word}" for count, word in ((one.waiting, "waiting"), (one.dead, "refused for good")) if count]
    return f"in version {one.version} too: {' and '.join(told)}"


def _publish(figures: RunFigures) -> Step:
    return Step("send", f"recon publish {figures.domain}", command=True)


def _broken(figures: RunFigures) -> Statement:
    word = "INCOMPLETE" if figures.verdict is Verdict.INCOMPLETE else "FAILED"
    steps = list(_problem(figures))
    coverage = figures.coverage
    told = " ".join(step.text for step in steps)
    if figures.verdict is Verdict.INCOMPLETE and "--resume" not in told and coverage is not None and not coverage.whole and coverage.pages:
        steps.append(Step("resume", f"recon run {figures.domain} --resume {figures.run}", command=True))
    elif "recon " not in told:
        verb = "check" if figures.dry_run else "run"
        steps.append(Step("again", f"recon {verb} {figures.domain}", command=True))
    said = "nothing was compared"
    if figures.plan is not None and figures.plan.state == "enqueued":
        said = f"{plural(figures.plan.events, 'event')} planned and in the outbox; recon publish {figures.domain} sends them"
    elif figures.suspects:
        said = f"{plural(figures.suspects, 'suspect')} found, none confirmed; nothing was emitted"
    elif figures.compared:
        said = "the comparison did not come to its end"
    return Statement(word, said, tuple(steps))


def _problem(figures: RunFigures) -> tuple[Step, ...]:
    problem = figures.problem
    if problem is None:
        return ()
    steps = [Step("why", problem.message)]
    if problem.hint:
        command = problem.hint.startswith("recon ")
        steps.append(Step("resume" if "--resume" in problem.hint else "next", problem.hint, command=command))
    return tuple(steps)


def headline(figures: RunFigures) -> str:
    """One plain sentence for a title or a mail's subject: `stripe_charges: 60 discrepancies (17 missing here, …)`."""
    said = roles(figures.direction)
    if figures.verdict is Verdict.DISCREPANCIES and figures.discrepancies:
        parts = [(figures.missing, said.missing), (figures.extra, said.extra), (figures.changed, "differ")]
        listed = ", ".join(f"{count:,} {words}" for count, words in parts if count)
        return f"{figures.domain}: {plural(figures.discrepancies, 'discrepancy', 'discrepancies')} ({listed})"
    told = statement(figures)
    return f"{figures.domain}: {told.word}, {told.sentence}"
