"""A slow, plain Python oracle of the comparison: it shares no code with `recon.compare`, only the declarations of jobs and kinds.

Records are the provider's raw JSON, rows are dicts of Python values as a driver would give them. It reads one
value at a time, by the words of `recon.kind` and `recon.job.Field`, and says what a comparison has to find.
"""

import datetime as dt
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from zoneinfo import ZoneInfo

from recon import kind as k

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DIGITS = {"JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3, "CLF": 4}
STEP = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}


class Bad(Exception):
    """A value that cannot be read."""


class Num(str):
    """A JSON number, as it is written."""

    __slots__ = ()


@dataclass
class Verdict:
    """What a comparison has to find."""

    found: dict = field(default_factory=dict)  # (kind, key) -> tuple of changed fields
    duplicates: set = field(default_factory=set)  # (place, key)
    unreadable: Counter = field(default_factory=Counter)  # place -> items
    compared: int = 0
    equal: int = 0
    values: dict = field(default_factory=dict)  # (place, key) -> the wire values of its fields


MISSING = object()


def text_of(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return str(Decimal(repr(value)))
    return str(value)


def number_of(value):
    """An exact number, or Bad."""
    if isinstance(value, bool):
        raise Bad
    text = text_of(value).strip(" ")
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", text):
        raise Bad
    return Decimal(text)


def whole(value):
    number = number_of(value)
    if number != number.to_integral_value() or not -(2**63) <= int(number) < 2**63:
        raise Bad
    return int(number)


def canonical(kind, place, value, currency=None):  # noqa: PLR0911  # One return a kind.
    """The canonical value, or Bad; None stays None."""
    if value is None:
        return None
    match kind:
        case k.Text():
            text = text_of(value)
            text = text.strip() if kind.trim else text
            return text.casefold() if kind.case == "fold" else text
        case k.Integer():
            return whole(value)
        case k.Decimal(scale=scale):
            with localcontext() as context:
                context.prec = 2000
                try:
                    number = number_of(value).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
                except InvalidOperation:
                    raise Bad from None
            if abs(number) >= Decimal(10) ** (38 - scale):
                raise Bad
            return number + 0
        case k.Money():
            return amount(kind, place, value, currency)
        case k.Timestamp():
            return instant(kind, place, value)
        case k.Date():
            return day(value)
        case k.Boolean():
            return truth(value)
        case k.Json():
            return plain(json_of(value) if place == "store" else value)
        case k.Set():
            return members(kind, place, value)
    raise AssertionError(kind)


def amount(kind, place, value, currency):
    if (kind.provider if place == "provider" else kind.store) == "minor":
        return whole(value)
    code = currency if kind.currency.islower() else kind.currency
    number = number_of(value)
    if code is None:
        raise Bad
    with localcontext() as context:
        context.prec = 2000
        return whole(number.scaleb(DIGITS.get(code.strip().upper(), 2)))


def instant(kind, place, value):
    form, zone = (kind.provider, kind.provider_zone) if place == "provider" else (kind.store, kind.store_zone)
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo else local(value, zone)
    elif form.startswith("epoch"):
        with localcontext() as context:
            context.prec = 2000
            us = number_of(value) * (10**6 if form == "epoch_s" else 10**3)
            return cut(int(us.to_integral_value("ROUND_FLOOR")), kind)
    else:
        moment = iso(text_of(value), zone)
    return cut((moment - EPOCH) // dt.timedelta(microseconds=1), kind)


def iso(text, zone):
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(\.\d+)?)?(Z|[+-]\d\d(?::?\d\d)?)?", text.strip(" ").upper())
    if not found:
        raise Bad
    date, minutes, seconds, fraction, offset = found.groups()
    try:
        naive = dt.datetime.fromisoformat(f"{date}T{minutes or '00:00'}{seconds or ':00'}{(fraction or '.0')[:7]:0<7}")
    except ValueError:
        raise Bad from None
    if offset is None:
        return local(naive, zone)
    if minutes is None:
        raise Bad
    if offset == "Z":
        return naive.replace(tzinfo=dt.UTC)
    hours, rest = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    sign = -1 if offset[0] == "-" else 1
    return naive.replace(tzinfo=dt.timezone(sign * dt.timedelta(hours=hours, minutes=rest)))


def local(naive, zone):
    """A local time; the repeated hour is its second pass, a time in the gap is counted on from before it."""
    if zone is None:
        raise Bad
    tz = ZoneInfo(zone)
    first, second = naive.replace(tzinfo=tz, fold=0), naive.replace(tzinfo=tz, fold=1)
    repeated = first.utcoffset() > second.utcoffset()
    return second if repeated else first


def cut(us, kind):
    if not -62_135_596_800 * 10**6 <= us < 253_402_300_800 * 10**6:
        raise Bad
    return us // STEP[kind.precision] * STEP[kind.precision]


def day(value):
    if isinstance(value, dt.datetime):
        if value.time() != dt.time():
            raise Bad
        return value.date()
    if isinstance(value, dt.date):
        return value
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text_of(value)):
        raise Bad
    try:
        return dt.date.fromisoformat(text_of(value))
    except ValueError:
        raise Bad from None


def truth(value):
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal):
        if value in (0, 1):
            return value == 1
        raise Bad
    word = text_of(value).strip(" ").lower()
    if word in ("true", "t", "1"):
        return True
    if word in ("false", "f", "0"):
        return False
    raise Bad


def constant(word):
    raise Bad


def json_of(value):
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_int=Num, parse_float=Num, parse_constant=constant)
    except ValueError:
        raise Bad from None


def plain(value):
    """JSON with its numbers by value; None for null."""
    if isinstance(value, Num):
        return ("number", Decimal(value).normalize() + 0)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal):
        return ("number", Decimal(str(value)).normalize() + 0)
    if isinstance(value, dict):
        return tuple(sorted((key, plain(v)) for key, v in value.items())) or "{}"
    return ["list", *(plain(v) for v in value)]


def members(kind, place, value):
    if isinstance(value, str) and not isinstance(value, Num):
        listed = value
        if place == "store":
            try:
                listed = json_of(value)
            except Bad:
                listed = value
            if listed is None:
                return None
        if not isinstance(listed, list):
            if kind.separator is None and value.strip():
                raise Bad
            value = [part.strip() for part in value.split(kind.separator or ",") if part.strip()]
        else:
            value = listed
    if not isinstance(value, list):
        raise Bad
    out = set()
    for member in value:
        if member is None or isinstance(member, list | dict):
            raise Bad
        if isinstance(member, Num) or (isinstance(member, int | float | Decimal) and not isinstance(member, bool)):
            number = Decimal(str(member)).normalize() + 0
            out.add(str(int(number)) if number == number.to_integral_value() and number.adjusted() < 18 else str(number))
        else:
            out.add(text_of(member))
    return frozenset(out)


# -- a side -----------------------------------------------------------------------------------------------------


def walk(record, path):
    for segment in path.split("."):
        if record is None:
            return MISSING
        if segment.isdigit():
            if not isinstance(record, list):
                raise Bad
            record = record[int(segment)] if int(segment) < len(record) else MISSING
        else:
            if not isinstance(record, dict):
                raise Bad
            record = record.get(segment, MISSING)
        if record is MISSING:
            return MISSING
    return record


def word(f, value):
    """The provider's word in the store's."""
    if not f.mapping or value is None or value is MISSING:
        return value
    if isinstance(f.of_kind, k.Text):
        words = {canonical(f.of_kind, "provider", a): b for a, b in f.mapping.items()}
        return words.get(canonical(f.of_kind, "provider", value), value)
    if isinstance(f.of_kind, k.Set):
        return value
    return f.mapping.get(text_of(value), value) if not isinstance(value, list | dict) else value


def empty(f, value):
    if not f.empty_is_null or value is None or value is MISSING:
        return False
    if isinstance(f.of_kind, k.Text):
        return canonical(f.of_kind, "store", value) == "" if isinstance(value, str) else False
    return isinstance(value, str) and not value.strip()


def read(job, place, get):
    """The canonical values of one item: field -> value, MISSING or None. Bad where one cannot be read."""
    values = {}
    for f in sorted(job.fields, key=lambda f: isinstance(f.of_kind, k.Money)):
        value = get(f)
        if value is MISSING:
            values[f.name] = None if f.missing_is_null else MISSING
            continue
        if place == "provider":
            value = word(f, value)
        if empty(f, value) and not (place == "provider" and isinstance(f.of_kind, k.Json | k.Set)):
            value = None
        currency = values.get(f.of_kind.currency) if isinstance(f.of_kind, k.Money) else None
        value = canonical(f.of_kind, place, value, None if currency is MISSING else currency)
        if isinstance(f.of_kind, k.Set) and value is not None:
            value = frozenset((f.mapping or {}).get(m, m) for m in value) if place == "provider" else value
        if f.empty_is_null and isinstance(f.of_kind, k.Set | k.Json) and value in ("", "{}", ["list"], frozenset()):
            value = None
        values[f.name] = value
    return values


def key_of(job, value):
    if value is MISSING or value is None or isinstance(value, bool | list | dict) or value == "":
        raise Bad
    if isinstance(job.key, k.Text) and isinstance(value, Num) and not re.fullmatch("-?[0-9]+", value):
        raise Bad
    return str(canonical(job.key, "provider", value)) or None


def demanded(key):
    """The key, which must be there."""
    if not key:
        raise Bad
    return key


def provider_side(job, key_path, lines):
    keys, values, unreadable, aside = Counter(), {}, 0, set()
    for line in lines:
        record = json.loads(line, parse_int=Num, parse_float=Num)
        key = None
        try:
            key = demanded(key_of(job, walk(record, key_path)))
            values[key] = read(job, "provider", lambda f, record=record: walk(record, f.at))
        except Bad:
            unreadable += 1
            aside |= {key} if key else set()
        if key:
            keys[key] += 1
    return keys, values, unreadable, aside


def store_side(job, rows):
    keys, values, unreadable, aside = Counter(), {}, 0, set()
    for row in rows:
        key = None
        try:
            key = demanded(None if row["key"] is None else str(canonical(job.key, "store", row["key"])))
            values[key] = read(job, "store", lambda f, row=row: row[f.name])
        except Bad:
            unreadable += 1
            aside |= {key} if key else set()
        if key:
            keys[key] += 1
    return keys, values, unreadable, aside


def differs(f, one, other):
    if one is None or other is None or one is MISSING:
        return one is not other
    if f.normalize is not None:
        return f.normalize(one) != f.normalize(other)
    if f.tolerance is None:
        return one != other
    unit = 10**6 if isinstance(f.of_kind, k.Timestamp) else 1
    return abs(Decimal(one) - Decimal(other)) > Decimal(repr(f.tolerance)) * unit


def wired(job, values):
    """Canonical values as events carry them; JSON is left out, since it carries numbers as doubles."""
    return {
        f.name: wire(f.of_kind, values[f.name]) for f in job.fields if values[f.name] is not MISSING and not isinstance(f.of_kind, k.Json)
    }


def wire(kind, value):
    if value is None:
        return None
    if isinstance(kind, k.Timestamp):
        return (EPOCH + dt.timedelta(microseconds=value)).isoformat().replace("+00:00", "Z")
    if isinstance(kind, k.Decimal):
        return format(value, "f")
    if isinstance(kind, k.Set):
        return sorted(value)
    return value.isoformat() if isinstance(value, dt.date) else value


def judge(job, key_path, lines, rows):
    """What a comparison of these records and rows has to find."""
    verdict = Verdict()
    provider_keys, provider, provider_bad, provider_aside = provider_side(job, key_path, lines)
    store_keys, store, store_bad, store_aside = store_side(job, rows)
    verdict.unreadable = Counter(provider=provider_bad, store=store_bad)
    verdict.duplicates = {("provider", key) for key, n in provider_keys.items() if n > 1} | {
        ("store", key) for key, n in store_keys.items() if n > 1
    }
    verdict.values = {("provider", key): wired(job, values) for key, values in provider.items()} | {
        ("store", key): wired(job, values) for key, values in store.items()
    }
    aside = provider_aside | store_aside | {key for _, key in verdict.duplicates}
    lacks_store, lacks_provider = ("missing", "extra") if job.direction == "inbound" else ("extra", "missing")
    for key in (set(provider) | set(store)) - aside:
        if key not in store:
            verdict.found[lacks_store, key] = ()
        elif key not in provider:
            verdict.found[lacks_provider, key] = ()
        else:
            verdict.compared += 1
            changed = tuple(f.name for f in job.fields if f.compare and differs(f, provider[key][f.name], store[key][f.name]))
            verdict.equal += not changed
            if changed:
                verdict.found["changed", key] = changed
    return verdict
