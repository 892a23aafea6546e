"""Laws of the comparison, over generated jobs and sides, against an oracle that shares no code with it."""

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon import kind as k
from recon.job import Field
from tests.unit.oracle import judge
from tests.unit.sides import compared, job_of, scan_of

LAWS = settings(max_examples=25, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

FEWER = settings(LAWS, max_examples=12)

UTC = dt.UTC
MOMENT = dt.datetime(2024, 3, 10, 2, 30, 5, 250_000, tzinfo=UTC)


class Raw(str):
    """A JSON token to be written as it is."""

    __slots__ = ()


def written(value):
    """A provider's record as JSON; raw tokens stay what they are."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def raws(*tokens):
    return [Raw(token) for token in tokens]


NUMBERS = raws("0", "7", "-7", "7.0", "70e-1", "0.7e1", "7.00", "-0", "1e3", "1000")
WILD = raws("1.5", "1180591620717411303424", "1e99", "12345678901234567.89", "true", "[]", '{"a":1}')
INTEGERS = ([pa.int64(), pa.int32()], [0, 7, -7, 1000])
NUMERIC_STORES = [
    INTEGERS,
    ([pa.string()], ["0", "7", "-7", "7.0", "7.00", " 7 ", "1e3", "1000", "12_000", "0x10", "", "x", "NaN", "1.5"]),
    ([pa.float64()], [0.0, 7.0, -7.0, 1000.0, 1.5, 1e300, float("nan"), float("inf")]),
    ([pa.decimal128(12, 2)], [Decimal("0.00"), Decimal("7.00"), Decimal("-7.00"), Decimal("1.50"), Decimal("1000.00")]),
]
EXACT = raws("1.005", "1.004", "-1.005", "1.01", "1.1", "1.10", "12345678901234567.89", "100.5e-2", "1e400", "0.1", "5e-324")
DECIMAL_STORES = [
    (
        [pa.string()],
        ["1.005", "1.01", "-1.01", "1.1", "1.10", "12345678901234567.89", "1.00", "1e-2", "NaN", "Infinity", "", "1e30", "1e40"],
    ),
    ([pa.float64()], [1.005, 1.01, -1.01, 1.1, 0.1, 1e22, 1e-7, float("nan")]),
    ([pa.decimal128(20, 3)], [Decimal("1.005"), Decimal("-1.005"), Decimal("1.010"), Decimal("1.100"), Decimal("12345678901234567.890")]),
    ([pa.decimal256(50, 3)], [Decimal("1.005"), Decimal("1.010"), Decimal("12345678901234567.890")]),
    INTEGERS,
]
MAJOR = [*raws("19.99", "19.990", "19.9", "19.999", "1999", "1.999e3", "-0.5", "0"), "19.99", "19.9"]
MINOR = [*raws("1999", "1990", "19999", "1999000", "1999.0", "-50", "0", "1999.5"), "1999"]
MONEY_STORES = [
    ([pa.int64()], [1999, 1990, 19, -50, 0]),
    ([pa.string()], ["19.99", "19.9900", "19.90", "1999", "1999.00", "19.999", "-0.50", "-0.5", "1e3"]),
    ([pa.float64()], [19.99, 19.9, 1999.0, -0.5, 0.0]),
    ([pa.decimal128(12, 4)], [Decimal("19.9900"), Decimal("19.9990"), Decimal("1999.0000"), Decimal("-0.5000")]),
]
ISO = [
    "2024-03-10T02:30:05.250Z", "2024-03-10T02:30:05.2509999Z", "2024-03-10T03:30:05.25+01:00", "2024-03-10 02:30:05+00", "2024-03-10T02:30:05.249999Z",
    "2024-03-09T21:30:05.25-0500", "2024-03-10T02:30Z", "2024-03-10T02:30:05", "2024-03-10", "2024-10-27T02:30:00", "2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z",
    "2024-03-31T02:30:00", "2024-03-31T01:30:00Z", "1969-12-31T23:59:59.5Z", "9999-12-31T23:59:59Z", "2024-02-30T00:00:00Z", "24/03/10", "2024-03-10T24:00:00Z", "0000-01-01T00:00:00Z",
    "infinity", "",
]  # fmt: skip
EPOCHS = {
    "epoch_s": [*raws("1710037805", "1710037805.25", "1710037805.2499999", "-0.5", "-1", "1.710037805e9", "1e20", "0"), "1710037805"],
    "epoch_ms": [*raws("1710037805250", "1710037805250.5", "1710037805249", "-500", "-1000", "1e30", "0"), "1710037805250"],
}
NAIVE = [
    MOMENT.replace(tzinfo=None),
    dt.datetime(2024, 10, 27, 2, 30),
    dt.datetime(2024, 3, 31, 2, 30),
    dt.datetime(1969, 12, 31, 23, 59, 59, 500_000),
]
AWARE = [
    MOMENT,
    MOMENT.replace(microsecond=249_999),
    dt.datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
    dt.datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
]
EPOCH_STORES = {
    "epoch_s": [
        ([pa.int64()], [1710037805, -1, 0, 2**62]),
        ([pa.string()], ["1710037805.25", "-0.5", "0", "1e99", "x"]),
        ([pa.float64()], [1710037805.25, -0.5, 0.0]),
    ],
    "epoch_ms": [
        ([pa.int64()], [1710037805250, -500, 0, 2**62]),
        ([pa.string()], ["1710037805250", "-500", "x"]),
        ([pa.float64()], [1710037805250.0, -500.0]),
    ],
}
NATIVE_STORES = [
    ([pa.timestamp("us", "UTC"), pa.timestamp("ms", "Europe/Paris"), pa.timestamp("ns", "UTC")], AWARE),
    ([pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("ms")], NAIVE),
    ([pa.string()], ISO),
    ([pa.date32()], [dt.date(2024, 3, 10), dt.date(1969, 12, 31)]),
]
WORDS = [
    "",
    " ",
    "a",
    "A",
    " a ",
    "\u00a0a\u3000",
    "é",
    "É",
    "ß",
    "SS",
    "İ",
    "e\u0301",
    "null",
    "O'Brien",
    'quo"te',
    "back\\slash",
    "\U0001f600",
]
TEXT_STORES = [([pa.string(), pa.large_string()], WORDS), ([pa.int64()], [1, 2]), ([pa.dictionary(pa.int32(), pa.string())], WORDS[:6])]
JSON_PROVIDER = [
    {"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}, {"a": Raw("1.0"), "b": [Raw("1e0"), 2]}, [], {}, "", "x", 5, Raw("5.0"), Raw("12345678901234567.89"),
    Raw("12345678901234567890123"), Raw("1.2345678901234567890123e22"), True, {"é": "\\ \n"}, {"a": {"b": {"a": None}}}, Raw("-0"), Raw("1e1000"), Raw('{"a":2,"a":1}'),
]  # fmt: skip
JSON_STORES = [
    ([pa.string()], ['{"a": 1, "b": [1,2]}', '{"b":[2,1],"a":1}', "[]", "{}", "null", '""', '"x"', "5", "5.00", "12345678901234567.89", "12345678901234567890123",
                     "NaN", "[1,]", "{", "", "true", '{"\\u00e9":"\\\\ \\n"}', '{"a":{"b":{"a":null}}}', "0", "0.0", '{"a":1}']),
]  # fmt: skip
SETS = [
    ["a", "b"],
    ["b", "a", "a"],
    ["a"],
    [],
    [1, Raw("1.0"), "1"],
    [Raw("0.10")],
    [True],
    [None],
    [["a"]],
    "a,b",
    " b , a,",
    "",
    Raw("5"),
    {"a": 1},
]
SET_STORES = [
    ([pa.string()], ['["a","b"]', '["b", "a"]', "a,b", "a", "", "[]", '["1"]', "[1.0]", "[0.1]", "null", "[null]", "{}", '["true"]']),
    ([pa.list_(pa.string())], [["a", "b"], ["b", "a", "b"], [], ["1"], [None]]),
]


def moments(draw):
    provider = draw(st.sampled_from(["iso", "epoch_s", "epoch_ms", "native"]))
    store = draw(st.sampled_from(["native", "iso", "epoch_s", "epoch_ms"]))
    zones = st.sampled_from([None, "UTC", "Europe/Paris"])
    precision = draw(st.sampled_from(["us", "ms", "s", "m", "h", "d"]))
    kind = k.Timestamp(provider=provider, store=store, provider_zone=draw(zones), store_zone=draw(zones), precision=precision)
    return kind, EPOCHS.get(provider, ISO), draw(st.sampled_from([*EPOCH_STORES.get(store, NATIVE_STORES), *NATIVE_STORES[:2]]))


def shaped(draw, name):  # noqa: PLR0911  # One return a kind.
    """A kind, what a provider might write for it, and a store's Arrow types with what they might hold."""
    pick = lambda options: draw(st.sampled_from(options))  # noqa: E731  # Said five times below.
    match name:
        case "text":
            return k.Text(case=pick(["exact", "fold"]), trim=pick([True, False])), [*WORDS, *raws("1", "1.0", "true")], pick(TEXT_STORES)
        case "integer":
            return k.Integer(), [*NUMBERS, *WILD, "7", "x", ""], pick(NUMERIC_STORES)
        case "decimal":
            return k.Decimal(scale=pick([0, 2, 5])), [*EXACT, *NUMBERS, "1.10", "x"], pick(DECIMAL_STORES)
        case "money":
            kind = k.Money(
                currency=pick(["EUR", "JPY", "KWD", "currency"]), provider=pick(["minor", "major"]), store=pick(["minor", "major"])
            )
            return kind, MAJOR if kind.provider == "major" else MINOR, pick(MONEY_STORES)
        case "timestamp":
            return moments(draw)
        case "date":
            days = ["2024-02-29", "2023-02-29", "2024-01-01", "2024-1-1", "2024-01-01T00:00:00Z"]
            stores = [
                ([pa.string()], days),
                ([pa.date32()], [dt.date(2024, 2, 29), dt.date(2024, 1, 1)]),
                ([pa.timestamp("us")], [dt.datetime(2024, 1, 1), NAIVE[0]]),
            ]
            return k.Date(), days, pick(stores)
        case "boolean":
            stores = [
                ([pa.bool_()], [True, False]),
                ([pa.int16()], [0, 1, 2]),
                ([pa.string()], ["t", "F", "TRUE", "0", "yes"]),
                ([pa.float64()], [0.0, 1.0, 0.5]),
            ]
            return k.Boolean(), [True, False, *raws("1", "0", "2"), "true", "F", "yes", "1"], pick(stores)
        case "json":
            return k.Json(), JSON_PROVIDER, pick(JSON_STORES)
        case "set":
            return k.Set(separator=pick([None, ","])), SETS, pick(SET_STORES)
    raise AssertionError(name)


NAMES = ["text", "integer", "decimal", "money", "timestamp", "date", "boolean", "json", "set"]
TOLERANT = {"integer": 1, "decimal": 0.05, "money": 2, "timestamp": 1.5}
MAPPINGS = {
    "text": {"a": "É", "A": "b", "O'Brien": "x'y"},
    "boolean": {"yes": "t", "2": "0"},
    "set": {"a": "b", "1": "a"},
    "integer": {"x": "7"},
}


@st.composite
def worlds(draw):
    """A job and both its sides: about half the values equal, the others near misses, nulls, absences and rubbish."""
    fields, pools = [], {}
    for number, name in enumerate(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))):
        kind, provider, (types, store) = shaped(draw, name)
        rule = draw(st.sampled_from(["plain", "plain", "mapping", "tolerance", "normalize", "shown"]))
        fields.append(
            Field(
                f"f{number}",
                kind,
                missing_is_null=draw(st.booleans()),
                empty_is_null=draw(st.booleans()),
                mapping=MAPPINGS.get(name) if rule == "mapping" else None,
                tolerance=TOLERANT.get(name) if rule == "tolerance" else None,
                normalize=str.upper if rule == "normalize" and name == "text" else None,
                compare=rule != "shown" or number == 0,
                path=f"deep.f{number}" if draw(st.booleans()) else None,
            )
        )
        pools[f"f{number}"] = (provider, draw(st.sampled_from(types)), store)
    if any(isinstance(f.of_kind, k.Money) and f.of_kind.currency == "currency" for f in fields):
        fields.append(Field("currency", k.Text(case="fold")))
        pools["currency"] = (["usd", "USD", "jpy", "KWD"], pa.string(), ["USD", "jpy", "kwd"])
    key = draw(st.sampled_from([k.Text(), k.Text(), k.Integer(), k.Text(case="fold")]))
    job = job_of(*fields, key=key, direction=draw(st.sampled_from(["inbound", "outbound"])))
    keys = [1, 2, 3, 4, 5, 6] if isinstance(key, k.Integer) else ["k1", "K1", "k2", "k3", "k4", "k5"]
    types = {name: pool[1] for name, pool in pools.items()}
    return job, draw(providers(job, keys, pools)), draw(stores(keys, pools)), types


@st.composite
def providers(draw, job, keys, pools):
    records = []
    bad_keys = [Raw("null"), Raw("1.5"), {"a": 1}, ""]
    for key in draw(st.lists(st.sampled_from([*keys, *keys, *bad_keys[: draw(st.integers(0, 4))]]), max_size=8)):
        record, deep = {"id": key}, {}
        for f in job.fields:
            value = draw(
                st.one_of(st.sampled_from([Raw("null"), MISSING]), st.sampled_from(pools[f.name][0]), st.sampled_from(pools[f.name][0]))
            )
            if value is not MISSING:
                (deep if f.at.startswith("deep.") else record)[f.name] = value
        if deep or draw(st.booleans()):
            record["deep"] = deep
        if draw(st.integers(0, 20)) == 0:
            record["deep"] = "no object"
        records.append(record)
    return [written(record).encode() for record in records]


MISSING = object()


@st.composite
def stores(draw, keys, pools):
    wanted = draw(st.lists(st.sampled_from([*keys, *keys, None]), max_size=8))
    return [
        {"key": None if key is None else str(key)}
        | {name: draw(st.sampled_from([None, *pool[2], *pool[2]])) for name, pool in pools.items()}
        for key in wanted
    ]


def findings(found, listed):
    return {(str(d.kind), d.key): d.changed for d in listed}, found.compared, found.equal


@LAWS
@given(worlds())
def test_the_engine_and_the_oracle_find_the_same(world):
    """Each discrepancy found is one that the oracle finds, and the reverse; so are duplicates, unreadable items and counts."""
    job, lines, rows, types = world
    verdict = judge(job, "id", lines, rows)
    _, found, listed = compared(job, lines, scan_of(rows, types))
    assert findings(found, listed) == (verdict.found, verdict.compared, verdict.equal)
    shown = [f.name for f in job.fields if not isinstance(f.of_kind, k.Json)]
    for d in listed:
        sides = dict(zip(("provider", "store"), (d.source, d.target) if job.direction == "inbound" else (d.target, d.source), strict=True))
        for place, values in sides.items():
            assert values is None or {n: values[n] for n in shown if n in values} == verdict.values[place, d.key]
    assert {(d.place, d.key) for d in found.duplicates} == verdict.duplicates
    assert found.duplicate_keys == len(verdict.duplicates)
    assert found.unreadable_items == sum(verdict.unreadable.values()) == len(found.unreadable)
    assert found.store_unreadable == verdict.unreadable["store"]
    assert found.counts == {kind: sum(name == kind for name, _ in verdict.found) for kind in found.counts}
    assert [(d.kind, d.key) for d in listed] == sorted((d.kind, d.key) for d in listed)
    assert (found.provider_rows, found.store_rows) == (len(lines), len(rows))


@FEWER
@given(worlds())
def test_swapping_the_roles_swaps_missing_and_extra(world):
    """With the direction turned round, what was missing is extra, source and target change places, and changes stay changes."""
    job, lines, rows, types = world
    turned = job.with_settings(direction="outbound" if job.direction == "inbound" else "inbound")
    _, _, one = compared(job, lines, scan_of(rows, types))
    _, _, other = compared(turned, lines, scan_of(rows, types))
    swap = {"missing": "extra", "extra": "missing", "changed": "changed"}
    assert {(d.key, swap[d.kind], d.changed, d.source_token, d.target_token) for d in one} == {
        (d.key, d.kind, d.changed, d.target_token, d.source_token) for d in other
    }


@FEWER
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(world, random):
    """Shuffled pages and shuffled rows, in batches of other sizes, give the very same discrepancies."""
    job, lines, rows, types = world
    _, first, one = compared(job, lines, scan_of(rows, types))
    random.shuffle(lines)
    random.shuffle(rows)
    _, second, other = compared(job, lines, scan_of(rows, types, batch=1 + random.randrange(5)), page=1 + random.randrange(5))
    assert one == other
    assert (first.counts, first.by_field, first.duplicate_keys, first.unreadable_items) == (
        second.counts, second.by_field, second.duplicate_keys, second.unreadable_items
    )  # fmt: skip


@FEWER
@given(worlds())
def test_no_item_is_dropped(world):
    """Every readable key is compared, suspected, or set aside and counted; the sums account for each of them."""
    job, lines, rows, types = world
    snapshot, found, listed = compared(job, lines, scan_of(rows, types))
    assert found.compared == found.equal + found.counts["changed"]
    provider_only = "missing" if job.direction == "inbound" else "extra"
    assert found.compared + found.counts[provider_only] <= snapshot.rows <= snapshot.records == len(lines)
    assert len(listed) == sum(found.counts.values())
    assert all(n <= found.counts["changed"] for n in found.by_field.values())
    suspects = {d.key for d in listed}
    assert not suspects & {d.key for d in found.duplicates}
    assert not suspects & {u.key for u in found.unreadable}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=2, deadline=None)
@given(st.data())
def test_a_snapshot_against_itself_is_clean(name, data):
    """The canonical values of a snapshot, handed back as the store's rows, are equal to it in every field."""
    kind, pool, _ = shaped(data.draw, name)
    if isinstance(kind, k.Money):
        kind = k.Money(currency="EUR", provider=kind.provider, store="minor")
    if isinstance(kind, k.Timestamp):
        kind = k.Timestamp(provider=kind.provider, provider_zone="UTC", precision=kind.precision)
    job = job_of(Field("value", kind, missing_is_null=True))
    # What a report shows of a JSON number is its double: where that is not the number, there is nothing to hand back.
    pool = [value for value in pool if not (isinstance(kind, k.Json) and isinstance(value, Raw) and len(value) > 5)]
    lines = [written({"id": f"k{n}", "value": value}).encode() for n, value in enumerate(pool)]
    probe, _, sources = compared(job, lines, scan_of([], {"value": pa.string()}))
    assert len(sources) == probe.rows
    rows = [{"key": d.key, "value": text_of(kind, d.source["value"])} for d in sources]
    _, found, listed = compared(job, lines, scan_of(rows, {"value": pa.string()}))
    assert not listed
    assert found.equal == probe.rows


def text_of(kind, wire):
    """A wire value as a text column would hold it."""
    if wire is None or (isinstance(wire, str) and not isinstance(kind, k.Json)):
        return wire
    return json.dumps(wire)
