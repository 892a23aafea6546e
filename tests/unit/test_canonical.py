"""Kinds, one by one: what each side may write, what it is read as, and what is refused. The traps of the trade are rows here."""

import datetime as dt
import itertools
from decimal import Decimal

import pyarrow as pa
import pytest

from recon import kind as k
from recon.compare import second_look
from recon.compare.wire import token
from recon.currency import digits_of
from recon.errors import BadDefinition, StoreMismatch
from recon.job import Field
from tests.unit.sides import job_of

UTC = dt.UTC
BAD = object()


def looked(kind, cells, **rules):
    """What each cell is read as: (place, value, arrow type) to a wire value, or BAD. One engine for all of them."""
    provider = {f"k{n}": b'{"v":' + value.encode() + b"}" for n, (place, value, _) in enumerate(cells) if place == "provider"}
    out: dict = {}
    if provider:
        out |= second_look(
            job_of(Field("v", kind, **rules)), provider, pa.table({"key": pa.array([], pa.string()), "v": pa.array([], pa.string())})
        )
    stores = [(n, cell) for n, cell in enumerate(cells) if cell[0] == "store"]
    for type_, group in itertools.groupby(stores, key=lambda item: item[1][2]):
        some = list(group)
        rows = pa.table({"key": pa.array([f"k{n}" for n, _ in some]), "v": pa.array([cell[1] for _, cell in some], type_)})
        out |= second_look(job_of(Field("v", kind, **rules)), {f"k{n}": None for n, _ in some}, rows)
    return [read(out[f"k{n}"]) for n in range(len(cells))]


def read(look):
    if look.unreadable is not None:
        return BAD
    found = look.discrepancy
    side = found.source if found.source is not None else found.target
    return side["v"]


def provider(*pairs):
    return [(("provider", token_, None), wanted) for token_, wanted in pairs]


def store(type_, *pairs):
    return [(("store", value, type_), wanted) for value, wanted in pairs]


TABLES = {
    "text": (k.Text(), [
        *provider(('"a"', "a"), ('"\\u00e9"', "é"), ("12.50", "12.50"), ("true", "true"), ("null", None), ('"null"', "null"), ('" a "', " a "), ('""', "")),
        *store(pa.string(), ("a", "a"), (" a ", " a "), (None, None)), *store(pa.int64(), (7, "7")), *store(pa.binary(), (b"\xc3\xa9", "é"), (b"\xff", BAD)),
    ]),
    "text trimmed and folded": (k.Text(case="fold", trim=True), [
        *provider(('" USD\\u00a0"', "usd"), ('"STRASSE"', "strasse"), ('"Straße"', "strasse")), *store(pa.string(), ("\tusd\n", "usd"), ("İ", "i̇"), ("é", "é")),
    ]),
    "integer": (k.Integer(), [
        *provider(("5", 5), ("5.0", 5), ("5e0", 5), ('"5"', 5), ("1.5", BAD), ("1180591620717411303424", BAD), ("9223372036854775807", 2**63 - 1), ("9223372036854775808", BAD)),
        *store(pa.string(), ("12_000", BAD), ("0x10", BAD), (" 12 ", 12), ("-0", 0), ("1.5", BAD), ("", BAD)),
        *store(pa.float64(), (2.0, 2), (1.5, BAD), (float("nan"), BAD), (1e300, BAD)), *store(pa.decimal128(10, 2), (Decimal("3.00"), 3), (Decimal("3.50"), BAD)),
        *store(pa.uint64(), (2**64 - 1, BAD)),
    ]),
    "decimal": (k.Decimal(scale=2), [
        *provider(("1.005", "1.01"), ("-1.005", "-1.01"), ("1.0049999", "1.00"), ('"1.10"', "1.10"), ("1e2", "100.00"), ("1.5e-3", "0.00"), ("12345678901234567.89", "12345678901234567.89"),
                  ("0.99999999999999999999999999999999999999999999999999", "1.00"), ("1e40", BAD), ("1e999", BAD), ("-0.001", "0.00")),
        *store(pa.string(), ("1.1", "1.10"), ("NaN", BAD), ("Infinity", BAD)), *store(pa.float64(), (1.005, "1.01"), (1e22, "10000000000000000000000.00"), (0.1, "0.10")),
        *store(pa.decimal128(10, 3), (Decimal("1.005"), "1.01"), (Decimal("-1.005"), "-1.01")),
    ]),
    "money in euro": (k.Money(currency="EUR", provider="major", store="minor"), [
        *provider(("19.99", 1999), ("19.990", 1999), ("19.9", 1990), ("19.999", BAD), ("19", 1900), ("-0.5", -50), ('"19.99"', 1999), ("1.999e1", 1999)),
        *store(pa.int64(), (1999, 1999)), *store(pa.string(), ("1999", 1999), ("19.99", BAD)),
    ]),
    "money in yen": (k.Money(currency="JPY", provider="major", store="major"), [*provider(("500", 500), ("500.0", 500), ("500.5", BAD)), *store(pa.string(), ("500.00", 500))]),
    "money in dinar": (k.Money(currency="KWD", provider="major", store="major"), [*provider(("1.234", 1234), ("1.2345", BAD)), *store(pa.float64(), (1.234, 1234))]),
    "timestamp": (k.Timestamp(provider="epoch_s", store="native", precision="s"), [
        *provider(("1700000000", "2023-11-14T22:13:20Z"), ("1700000000.999", "2023-11-14T22:13:20Z"), ("-0.5", "1969-12-31T23:59:59Z"), ("1700000000000", BAD), ('"x"', BAD)),
        *store(pa.timestamp("us", "UTC"), (dt.datetime(2023, 11, 14, 22, 13, 20, 999, tzinfo=UTC), "2023-11-14T22:13:20Z")),
        *store(pa.timestamp("us"), (dt.datetime(2023, 11, 14, 22, 13, 20), BAD)), *store(pa.timestamp("ns", "UTC"), (-1, "1969-12-31T23:59:59Z")),
        *store(pa.timestamp("us", "UTC"), (9223371331200000000, BAD), (-9223372036854775807, BAD)),
    ]),
    "timestamp in milliseconds": (k.Timestamp(provider="epoch_ms", store="epoch_s", precision="ms"), [
        *provider(("1700000000123", "2023-11-14T22:13:20.123000Z")), *store(pa.string(), ("1700000000.1239", "2023-11-14T22:13:20.123000Z"), ("infinity", BAD)),
        *store(pa.float64(), (1700000000.123, "2023-11-14T22:13:20.123000Z")),
    ]),
    "timestamp with zones": (k.Timestamp(provider="iso", store="native", provider_zone="UTC", store_zone="Europe/Paris", precision="us"), [
        *provider(('"2024-01-02T03:04:05.1234567+02:00"', "2024-01-02T01:04:05.123456Z"), ('"2024-01-02T03:04:05"', "2024-01-02T03:04:05Z"), ('"2024-01-02 03:04Z"', "2024-01-02T03:04:00Z"),
                  ('"2024-02-30T00:00:00Z"', BAD), ('"2024-01-02T03:04:05+0530"', "2024-01-01T21:34:05Z"), ('"2024-01-02"', "2024-01-02T00:00:00Z"), ('"02.01.2024"', BAD)),
        *store(pa.timestamp("us"), (dt.datetime(2024, 1, 2, 3), "2024-01-02T02:00:00Z"), (dt.datetime(2024, 10, 27, 2, 30), "2024-10-27T01:30:00Z"), (dt.datetime(2024, 3, 31, 2, 30), "2024-03-31T01:30:00Z")),
        *store(pa.string(), ("2024-01-02 03:00:00", "2024-01-02T02:00:00Z"), ("2024-01-02 03:00:00+00", "2024-01-02T03:00:00Z")),
    ]),
    "date": (k.Date(), [
        *provider(('"2024-02-29"', "2024-02-29"), ('"2023-02-29"', BAD), ('"2024-2-9"', BAD), ("20240229", BAD)), *store(pa.date32(), (dt.date(2024, 2, 29), "2024-02-29")),
        *store(pa.timestamp("us"), (dt.datetime(2024, 2, 29), "2024-02-29"), (dt.datetime(2024, 2, 29, 1), BAD)),
    ]),
    "boolean": (k.Boolean(), [
        *provider(("true", True), ("0", False), ('"T"', True), ('"yes"', BAD), ("2", BAD)), *store(pa.bool_(), (False, False)), *store(pa.int8(), (1, True), (2, BAD)), *store(pa.string(), ("f", False)),
    ]),
    "json": (k.Json(), [
        *provider(('{"b":[1,2],"a":1.0}', {"a": 1, "b": [1, 2]}), ("null", None), ('"x"', "x"), ("[]", []), ("1e400", "1E+400")),
        *store(pa.string(), ('{"a": 1, "b": [1, 2]}', {"a": 1, "b": [1, 2]}), ("null", None), ("[1,]", BAD), ("NaN", BAD), ("{", BAD), ("", BAD)),
        *store(pa.struct([("a", pa.int32())]), ({"a": 1}, {"a": 1})), *store(pa.list_(pa.float64()), ([1.0, 0.5], [1, 0.5])),
    ]),
    "set": (k.Set(separator=","), [
        *provider(('["b","a","b"]', ["a", "b"]), ('"b, a"', ["a", "b"]), ('[1,1.0,"1"]', ["1"]), ("[null]", BAD), ("[[1]]", BAD), ("5", BAD), ("[]", [])),
        *store(pa.string(), ("b,a,", ["a", "b"]), ('["a"]', ["a"]), ("", [])), *store(pa.list_(pa.string()), (["b", "a", "a"], ["a", "b"]), ([None], BAD)),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_each_kind_reads_what_it_says(name):
    """Both sides' forms of a value become one wire value, and what is no such value is unreadable."""
    kind, table = TABLES[name]
    assert list(zip([cell for cell, _ in table], looked(kind, [cell for cell, _ in table]), strict=True)) == [*table]


def test_null_missing_and_empty_are_three_things_unless_declared():
    """A path that is not there and an empty text differ from null, until the field says that they count as null."""
    rows = pa.table({"key": ["k"], "v": pa.array([None], pa.string())})

    def look(raw, **rules):
        return second_look(job_of(Field("v", **rules)), {"k": raw}, rows)["k"].discrepancy

    assert look(b'{"v":null}') is None
    assert look(b"{}").changed == ("v",)
    assert look(b"{}").source == {}
    assert look(b"{}", missing_is_null=True) is None
    assert look(b'{"v":""}').changed == ("v",)
    assert look(b'{"v":""}', empty_is_null=True) is None
    assert look(b'{"v":[]}', kind="json").changed == ("v",)
    assert look(b'{"v":[]}', kind="json", empty_is_null=True) is None
    assert look(b'{"v":" "}', kind="integer", empty_is_null=True) is None


def test_words_are_translated_and_unlisted_ones_stay():
    """A mapping turns the provider's words into the store's, after folding; a word it does not list is compared as it is."""
    rows = pa.table({"key": ["a", "b", "c"], "v": ["paid", "open", "it's"]})
    field = Field("v", k.Text(case="fold"), mapping={"SUCCEEDED": "Paid", "x'y": "it's"})
    looks = second_look(job_of(field), {"a": b'{"v":"succeeded"}', "b": b'{"v":"OPEN"}', "c": b'{"v":"X\'Y"}'}, rows)
    assert {key: look.discrepancy for key, look in looks.items()} == {"a": None, "b": None, "c": None}


@pytest.mark.parametrize(
    ("kind", "tolerance", "value", "near", "far"),
    [
        (k.Integer(), 2, "10", 12, 13),
        (k.Decimal(scale=2), 0.05, "1.00", Decimal("1.05"), Decimal("1.06")),
        (k.Money(currency="EUR"), 1, "100", 101, 102),
        (k.Timestamp(provider="epoch_s", store="epoch_s", precision="us"), 0.5, "10", 10.5, 10.500001),
        (k.Decimal(scale=0), 0.9, "1", 1, 2),
    ],
)
def test_a_tolerance_is_exact_at_its_edge(kind, tolerance, value, near, far):
    """A difference of just the tolerance is equal, the least bit more is not; null never is within it."""
    rows = pa.table({"key": ["near", "far", "null"], "v": pa.array([str(near), str(far), None], pa.string())})
    looks = second_look(
        job_of(Field("v", kind, tolerance=tolerance)), {key: b'{"v":%s}' % value.encode() for key in ("near", "far", "null")}, rows
    )
    assert [key for key, look in looks.items() if look.discrepancy is not None] == ["far", "null"]


def test_a_currency_may_stand_in_another_field_of_each_row():
    """Each row's amount is read with its own currency's digits, on both sides; without a currency it is unreadable."""
    fields = (Field("v", k.Money(currency="cur", provider="minor", store="major")), Field("cur", k.Text(case="fold")))
    rows = pa.table({"key": ["y", "e", "d", "n"], "v": ["500", "5.00", "0.500", "5"], "cur": ["jpy", "EUR", "kwd", None]})
    items = {"y": b'{"v":500,"cur":"JPY"}', "e": b'{"v":500,"cur":"eur"}', "d": b'{"v":500,"cur":"KWD"}', "n": b'{"v":500,"cur":"EUR"}'}
    looks = second_look(job_of(*fields), items, rows)
    assert [key for key, look in looks.items() if look.discrepancy] == []
    assert looks["n"].unreadable == "the store's v is no amount that the currency can hold"


def test_currencies_have_the_digits_of_iso_4217():
    """No digits for yen, three for dinar, four for the Chilean unit of account, two for all else."""
    assert [digits_of(code) for code in ("JPY", "kwd", "CLF", "EUR", "XYZ")] == [0, 3, 4, 2, 2]


def test_normalize_gets_wire_values_and_its_refusal_is_unreadable():
    """A user's function sees what events carry, is never called with null, and an exception of its own makes the item unreadable."""
    seen = []

    def fold(value):
        seen.append(value)
        if value == "boom":
            raise KeyError(value)
        return value.replace("-", "")

    rows = pa.table({"key": ["a", "b", "c"], "v": ["A1", "x", None]})
    looks = second_look(job_of(Field("v", normalize=fold)), {"a": b'{"v":"A-1"}', "b": b'{"v":"boom"}', "c": b'{"v":null}'}, rows)
    assert looks["a"].discrepancy is None
    assert looks["c"].discrepancy is None
    assert looks["b"].unreadable == "the provider's v is refused by its normalize function: KeyError: 'boom'"
    assert sorted(seen) == ["A-1", "A1", "boom", "x"]


def test_a_type_that_no_kind_can_be_read_from_is_the_jobs_mistake():
    """An integer from a column of times is refused outright, in words, and not counted row by row."""
    rows = pa.table({"key": ["a"], "v": pa.array([0], pa.timestamp("us"))})
    with pytest.raises(StoreMismatch, match=r"orders\.v: the store's column is of type TIMESTAMP, from which no integer can be read"):
        second_look(job_of(Field("v", "integer")), {"a": None}, rows)


def test_a_json_value_takes_no_mapping_and_a_set_is_no_key():
    """Declarations that mean nothing are refused by name."""
    rows = pa.table({"key": ["a"], "v": ["{}"]})
    with pytest.raises(BadDefinition, match=r"orders\.v: a mapping translates words"):
        second_look(job_of(Field("v", "json", mapping={"a": "b"})), {"a": b"{}"}, rows)
    with pytest.raises(BadDefinition, match="a key cannot be of kind set"):
        second_look(job_of(Field("v"), key=k.Set()), {"a": b"{}"}, rows)


def test_tokens_stay_what_they_are():
    """The fingerprint's recipe is fixed: these digests hold on any machine, in any version, whatever the order of fields."""
    fields = (Field("b", k.Decimal(scale=2)), Field("a"), Field("j", "json"), Field("shown", compare=False))
    row = {"a": "é", "b": Decimal("1.50"), "j": '{"x":1}', "shown": "any"}
    assert token(job_of(*fields), row) == TOKEN
    assert token(job_of(*reversed(fields)), row) == TOKEN
    assert token(job_of(*fields), row | {"b": Decimal("1.51")}) != TOKEN
    assert token(job_of(*fields), row, missing=1) != token(job_of(*fields), row | {"b": None})


# sha256 of [["a","é"],["b","1.50"],["j",{"x":1}]]
TOKEN = "157826f35d0e5f6d4c5c2b105f6b6a0d420b588092e723cfe3a2a5f7ee8f0cb8"
