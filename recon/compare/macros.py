"""SQL macros shared by every kind: numbers, money and times from text, exactly.

Nothing here goes through a double: `12345678901234567.89` stays what it is. DuckDB's casts alone would not do:
they take `12_000`, `0x10` and round `1.5` to 2 for an integer.
"""

EARLIEST_US = -62_135_596_800_000_000
LATEST_US = 253_402_300_799_999_999
"""The years 1 to 9999, in microseconds since the epoch: what ISO 8601 and Python's datetime can write."""

WHITE = "".join(
    chr(c) for c in (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
)
"""White space as Python's `str.strip` has it; SQL's trim takes blanks only."""

DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,18})?)?"
OFFSET = r"(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)"

MACROS = (
    # A number with an exponent, its point moved: sign, digits before, digits after, exponent.
    """create macro rc_moved(s, i, f, e) as s || case
        when length(i) + e <= 0 then '0.' || repeat('0', -(length(i) + e)) || i || f
        when e >= length(f) then i || f || repeat('0', e - length(f))
        else left(i || f, length(i) + e) || '.' || substr(i || f, length(i) + e + 1) end""",
    # The lambda names its four parts once: a macro's argument is copied to every place that names it, and each copy of a pattern is
    # compiled when a query is planned, which is most of what a comparison of a few records costs.
    r"""create macro rc_unscience(t) as list_transform([{
        's': regexp_extract(t, '^-'), 'i': regexp_extract(t, '[0-9]+'), 'f': regexp_extract(t, '\.([0-9]*)', 1),
        'e': try_cast(regexp_extract(t, '[eE]([+-]?[0-9]+)$', 1) as integer)}], lambda rc_u: rc_moved(rc_u.s, rc_u.i, rc_u.f, rc_u.e))[1]""",
    # The plain decimal text of a number; null for what is none.
    r"""create macro rc_plain(t) as case
        when regexp_full_match(t, '[+-]?[0-9]+(\.[0-9]*)?') then t
        when regexp_full_match(t, '[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]{1,3}') then rc_unscience(t) end""",
    # A leading run of zeros could push a number of few digits over the engine's 38; it is dropped.
    r"create macro rc_bare(p) as regexp_replace(p, '^([+-]?)0+([0-9])', '\1\2')",
    "create macro rc_fraction(p) as rtrim(split_part(p, '.', 2), '0')",
    # A whole number of 64 bits in the one form in which nearly all come: what writes itself back as it was read needs no closer look.
    "create macro rc_usual(t) as case when cast(try_cast(t as bigint) as varchar) = t then try_cast(t as bigint) end",
    # A whole number of 64 bits; a fraction of zeros is none.
    r"""create macro rc_whole(p) as try_cast(
        regexp_replace(regexp_extract(p, '^[+-]?[0-9]+(\.0*)?$'), '^([+-]?)0*([0-9]+)(\.0*)?$', '\1\2') as bigint)""",
    # Major units to minor ones of d digits; a finer amount than the currency has is no amount.
    """create macro rc_minor(p, d) as case when length(rc_fraction(p)) <= d
        then try_cast(rc_bare(split_part(p, '.', 1) || rpad(rc_fraction(p), cast(d as integer), '0')) as bigint) end""",
    # Seconds (d = 6) or milliseconds (d = 3) since the epoch to microseconds, cut towards the past.
    """create macro rc_epoch(p, d) as try_cast(rc_bare(split_part(p, '.', 1) || rpad(left(split_part(p, '.', 2), d), d, '0')) as bigint)
        - case when p[1] = '-' and length(rtrim(substr(split_part(p, '.', 2), d + 1), '0')) > 0 then 1 else 0 end""",
    f"create macro rc_within(us) as case when us between {EARLIEST_US} and {LATEST_US} then us end",
    "create macro rc_cut(us, p) as us - ((us % p) + p) % p",
    # ISO 8601 with an offset, and without one. Only timestamptz heeds an offset: a cast to timestamp drops it in silence.
    f"""create macro rc_instant(t) as case when regexp_full_match(upper(t), '{DATE}[T ]{TIME}{OFFSET}')
        then epoch_us(try_cast(upper(t) as timestamptz)) end""",
    f"""create macro rc_local(t) as case when regexp_full_match(upper(t), '{DATE}([T ]{TIME})?')
        then try_cast(upper(t) as timestamp) end""",
    f"create macro rc_date(t) as case when regexp_full_match(t, '{DATE}') then try_cast(t as date) end",
    """create macro rc_boolean(t) as case when lower(t) in ('true', 't', '1') then true when lower(t) in ('false', 'f', '0') then false end""",
)
