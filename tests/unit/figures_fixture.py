"""Figures and items for the reports' tests: a realistic night of a payments domain, seeded, in any size, and hostile texts."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from recon.discrepancy import DiscrepancyKind
from recon.fetch.coverage import Coverage
from recon.report.created import created_window
from recon.report.figures import (
    DeliveryFigure,
    Duplicate,
    GuardFigure,
    Item,
    PlanFigure,
    Problem,
    RunFigures,
    RunPoint,
    Standing,
    StoreRead,
    Transition,
    Unreadable,
    Verdict,
)

START = datetime(2026, 11, 23, 2, 0, 5, tzinfo=UTC)
OUTAGE = datetime(2026, 11, 22, 1, 10, tzinfo=UTC)
RUN = "01JDBQ8Z5T3M9V6K2X7N4C1RHE"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"

HOSTILE = [
    "<b>bold</b>",
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    '=HYPERLINK("http://evil.example","x")',
    "  =1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\x00=1",
    "＝1",
    "＋1",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "\u202etxt.exe",
    "zero\u200bwidth\ufeff",
    "line\u2028end\u2029",
    "[/bold]",
    "[red]x[/red]",
    "a|b`c*d_e",
    "[link](http://evil.example)",
    "<!-- -- -->",
    "]]>",
    "\ud800 alone",
    "\x07bell\x08",
    "{{ 7*7 }}{% raw %}",
    "$(reboot) `reboot` 'quoted'",
    "é 漢字 🧾",
]


def key(chance: random.Random) -> str:
    """An id as a payment service writes them."""
    return "ch_3Q" + "".join(chance.choices(ALPHABET, k=19))


def charge(chance: random.Random, created: datetime) -> dict[str, object]:
    """A record's fields."""
    currency = chance.choices(["eur", "usd", "jpy"], [6, 3, 1])[0]
    return {
        "amount": chance.randrange(500, 90_000) if currency != "jpy" else chance.randrange(500, 40_000),
        "currency": currency,
        "status": "succeeded",
        "captured": True,
        "amount_refunded": 0,
        "customer": "cus_" + "".join(chance.choices(ALPHABET, k=14)),
        "created": created.isoformat().replace("+00:00", "Z"),
        "metadata": {"order": f"A-{chance.randrange(10**6):06d}", "channel": chance.choice(["web", "app", "phone"])},
    }


def items(count: int, seed: int = 7) -> Callable[[], Iterator[Item]]:
    """`count` discrepancies in their order by kind and key: most missing, created in an outage; the same ones at each call."""
    missing, extra = int(count * 0.79), max(1, int(count * 0.02)) if count else 0
    counts = {DiscrepancyKind.MISSING: missing, DiscrepancyKind.EXTRA: extra, DiscrepancyKind.CHANGED: count - missing - extra}

    def stream() -> Iterator[Item]:
        chance = random.Random(seed)
        for kind in DiscrepancyKind:
            for _ in range(counts[kind]):
                yield _item(chance, kind)

    return stream


def _item(chance: random.Random, kind: DiscrepancyKind) -> Item:
    outage = kind is DiscrepancyKind.MISSING and chance.random() < 0.96
    created = OUTAGE + timedelta(seconds=chance.uniform(0, 1800)) if outage else START - timedelta(seconds=chance.uniform(3600, 6 * 86400))
    created = created.replace(microsecond=0)
    source = charge(chance, created)
    target = dict(source)
    changed: tuple[str, ...] = ()
    if kind is DiscrepancyKind.CHANGED:
        story = chance.random()
        if story < 0.72:
            target["status"], target["captured"] = "pending", False
            changed = ("status", "captured")
        elif story < 0.94:
            source["amount_refunded"] = source["amount"]
            changed = ("amount_refunded",)
        else:
            target["metadata"] = {**dict(source["metadata"]), "channel": "unknown"}  # type: ignore[call-overload]  # the record is of mixed values
            changed = ("metadata",)
    nights = 1 if chance.random() < 0.93 else chance.randrange(2, 9)
    identity = key(chance)
    return Item(
        key=identity,
        kind=kind,
        standing=Standing.NEW if nights == 1 else Standing.CONTINUING,
        changed=changed,
        source=None if kind is DiscrepancyKind.EXTRA else source,
        target=None if kind is DiscrepancyKind.MISSING else target,
        first_seen=START - timedelta(days=nights - 1),
        nights=nights,
        event=f"5f0c4d5e-8b7a-5c52-9f0e-{chance.randrange(16**12):012x}",
        link=f"https://dashboard.example.com/payments/{identity}",
        created_at=created,
        money=int(str(source["amount"])),
        currency=str(source["currency"]),
    )


def figures(count: int = 1300, seed: int = 7) -> RunFigures:
    """The figures that fit `items(count, seed)`."""
    every = list(items(count, seed)())
    kinds = Counter(item.kind for item in every)
    fresh = Counter(item.kind.value for item in every if item.standing is Standing.NEW)
    by_field = Counter(name for item in every for name in item.changed)
    moves = Counter((name, _word(item.target, name), _word(item.source, name)) for item in every for name in item.changed)
    money: Counter[str] = Counter()
    for item in every:
        money[str(item.currency)] += item.money or 0
    history = [
        RunPoint(
            run=f"R{n:02d}",
            started_at=START - timedelta(days=29 - n),
            verdict={11: Verdict.INCOMPLETE, 12: Verdict.INCOMPLETE, 20: Verdict.HELD}.get(
                n, Verdict.DISCREPANCIES if n % 5 else Verdict.CLEAN
            ),
            discrepancies={20: 812}.get(n, (n * 37) % 61 if n % 5 else 0),
            compared=184_000 + n * 7,
        )
        for n in range(29)
    ]
    return RunFigures(
        run=RUN,
        domain="stripe_charges",
        description="Charges at Stripe against the shop's payments table",
        direction="inbound",
        provider="stripe",
        resource="charges",
        trigger="schedule",
        slot=START.replace(second=0),
        timezone="Europe/Paris",
        started_at=START,
        finished_at=START + timedelta(minutes=14, seconds=11),
        version="1.0.0",
        state="done",
        verdict=Verdict.DISCREPANCIES,
        exit_code=0,
        consistent_as_of=START,
        coverage=Coverage(
            provider="stripe",
            resource="charges",
            whole=True,
            proof="has_more = false on page 1,843",
            started_at=START,
            finished_at=START + timedelta(minutes=11, seconds=2),
            pages=1843,
            records=184_201,
            unreadable=2,
            requests=1851,
            retries=8,
            throttled=3,
            bytes=412_000_000,
            seconds=662.0,
        ),
        store=StoreRead(
            store="main",
            relation="shop.payments",
            rows=184_160 - kinds[DiscrepancyKind.MISSING],
            unreadable=0,
            isolation="one repeatable-read, read-only transaction",
            taken_at=START + timedelta(seconds=1),
            seconds=3.4,
        ),
        compared=182_900,
        equal=182_900 - kinds[DiscrepancyKind.CHANGED],
        suspects=len(every) + 44,
        missing=kinds[DiscrepancyKind.MISSING],
        extra=kinds[DiscrepancyKind.EXTRA],
        changed=kinds[DiscrepancyKind.CHANGED],
        new=sum(fresh.values()),
        new_by_kind=dict(fresh),
        continuing=len(every) - sum(fresh.values()),
        resolved=12,
        acknowledged=3,
        dismissed={"both sides agree now": 31, "changed between the two looks": 13},
        duplicates=(Duplicate(place="store", key="ch_3QkZ8sLkdIwHu7ix0pT1aBcD", count=2),),
        duplicate_keys=1,
        unreadable=(
            Unreadable(
                place="provider",
                key="ch_3QfA9mLkdIwHu7ix1x2y3z4w",
                field="amount",
                why="12.5 is no whole number of minor units",
                sample="12.5",
            ),
            Unreadable(place="provider", key=None, field=None, why="no id", sample='{"object":"charge","amount":900'),
        ),
        unreadable_items=2,
        guards=tuple(
            GuardFigure(name=name, count=n, of=184_160, share=n / 184_160, limit=limit, floor=20, tripped=False)
            for name, n, limit in (
                ("missing", kinds[DiscrepancyKind.MISSING], 0.05),
                ("extra", kinds[DiscrepancyKind.EXTRA], 0.02),
                ("changed", kinds[DiscrepancyKind.CHANGED], 0.05),
                ("same_field", max(by_field.values(), default=0), 0.5),
                ("shrunken", 0, 0.2),
            )
        ),
        by_field=dict(by_field),
        transitions=tuple(Transition(field=f, before=b, after=a, count=n) for (f, b, a), n in moves.most_common(12)),
        created=created_window((i.created_at for i in every if i.kind is DiscrepancyKind.MISSING and i.created_at), "Europe/Paris"),
        money=dict(money),
        plan=PlanFigure(
            checksum="9f3c1ab2",
            events=len(every),
            by_type={
                "charge.created": kinds[DiscrepancyKind.MISSING],
                "charge.updated": kinds[DiscrepancyKind.CHANGED],
                "charge.deleted": kinds[DiscrepancyKind.EXTRA],
            },
            state="enqueued",
        ),
        delivery=DeliveryFigure(publisher="bus", confirmed=len(every), duplicates=2),
        stages={"fetch": 662.0, "read": 3.4, "seal": 2.1, "compare": 1.2, "confirm": 171.0, "plan": 0.3, "publish": 11.0},
        history=tuple(history),
    )


def _word(record: object, name: str) -> str:
    value = record[name] if isinstance(record, dict) else None
    return (
        value
        if isinstance(value, str)
        else {True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool)
        else str(value)
    )


def clean() -> RunFigures:
    """A night on which both sides agreed."""
    base = figures(0)
    return replace(
        base,
        verdict=Verdict.CLEAN,
        plan=None,
        delivery=None,
        created=None,
        money=None,
        transitions=(),
        by_field={},
        new_by_kind={},
        duplicates=(),
        duplicate_keys=0,
        unreadable=(),
        unreadable_items=0,
        suspects=0,
        dismissed=None,
        resolved=0,
        acknowledged=0,
        coverage=replace(_covered(base), unreadable=0),
        equal=base.compared,
    )


def held(count: int = 1300) -> RunFigures:
    """A night whose plan a guard held back."""
    base = figures(count)
    guard = GuardFigure(
        name="extra",
        count=44_392,
        of=184_201,
        share=44_392 / 184_201,
        limit=0.02,
        floor=20,
        tripped=True,
        hint="the newest object fetched is of 2026-10-30; is the fetch cut short?",
    )
    plan = replace(base.plan, state="held", expires_at=START + timedelta(hours=36)) if base.plan else None
    return replace(
        base,
        verdict=Verdict.HELD,
        exit_code=4,
        state="held",
        plan=plan,
        delivery=None,
        guards=(*base.guards[:1], guard, *base.guards[2:]),
        consistent_as_of=START - timedelta(days=1),
    )


def incomplete() -> RunFigures:
    """A night on which the third party did not answer to the end."""
    base = clean()
    covered = replace(_covered(base), whole=False, proof="page 412: 503 after 6 tries in 4m 10s", pages=411, records=41_100)
    problem = Problem(
        kind="Unreachable",
        message="GET /v1/charges -> 503, 6 tries in 4m 10s (request req_8fX2)",
        hint=f"recon run stripe_charges --resume {RUN}",
    )
    return replace(
        base,
        verdict=Verdict.INCOMPLETE,
        exit_code=75,
        state="failed",
        coverage=covered,
        store=None,
        compared=0,
        equal=0,
        guards=(),
        problem=problem,
        consistent_as_of=START - timedelta(days=1),
    )


def _covered(base: RunFigures) -> Coverage:
    assert base.coverage is not None
    return base.coverage


def hostile_item(text: str, kind: DiscrepancyKind = DiscrepancyKind.CHANGED, number: int = 0) -> Item:
    """An item that carries `text` wherever a third party could put it."""
    record = {"name": text, "note": text, "tags": [text, {"x": text}], "amount": 12}
    return Item(
        key=f"{text}#{number}",
        kind=kind,
        standing=Standing.NEW,
        changed=("name", "tags") if kind is DiscrepancyKind.CHANGED else (),
        source=None if kind is DiscrepancyKind.EXTRA else record,
        target=None if kind is DiscrepancyKind.MISSING else {**record, "name": "plain", "tags": []},
        first_seen=START,
        nights=1,
        event=f"event {text}",
        link=f"https://evil.example/{text}" if number % 2 else text,
        created_at=START,
        money=-5,
        currency="eur",
        acknowledged=text,
    )


def hostile_figures(text: str) -> RunFigures:
    """Figures that carry `text` wherever a third party, a database or a person could put it."""
    base = held(20)
    return replace(
        base,
        description=text,
        coverage=replace(_covered(base), proof=text, provider="stripe"),
        store=replace(base.store, relation=text, isolation=text) if base.store else None,
        duplicates=(Duplicate(place="store", key=text, count=2),),
        unreadable=(Unreadable(place="provider", key=text, field=text, why=text, sample=text),),
        guards=(replace(base.guards[1], message=text, hint=text),),
        transitions=(Transition(field="status", before=text, after=text, count=3),),
        dismissed={text: 1},
        plan=replace(base.plan, reason=text, approved_by=text, by_type={text: 1}) if base.plan else None,
        delivery=DeliveryFigure(publisher="bus", waiting=1, last_reason=text),
        problem=Problem(kind="Unreachable", message=text, hint=text),
    )
