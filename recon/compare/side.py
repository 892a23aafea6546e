"""One side in SQL: a relation of raw columns made into canonical ones, with unreadable rows marked.

What comes out, for either place: `key` (text), one column per field, `_n_<field>` for a field with `normalize` (added
after the engine, see `recon.compare.normalized`), `_mask` (which fields were not there), and `_bad_field`, `_bad_why`,
`_bad_sample`, which are null in every readable row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal as Number

from recon.compare.batches import BAD, BAD_FIELD, BAD_SAMPLE, BAD_WHY, SAMPLE
from recon.compare.canonical import Canonical, Place, Unfit, canonical, is_text, literal, name, why_unreadable
from recon.compare.macros import WHITE
from recon.compare.projection import MASK
from recon.errors import BadDefinition, StoreMismatch
from recon.job import Field, Job
from recon.kind import Json, Kind, Money, Set, Text, name_of


@dataclass(frozen=True, slots=True)
class Side:
    """The SQL of one side. `types` are the engine's types of the relation's columns."""

    job: Job
    place: Place
    types: Mapping[str, str]

    def sql(self, relation: str) -> str:
        """A query over `relation` that yields the canonical columns."""
        inputs: list[str] = []
        canon: list[str] = []
        money: list[str] = []
        sure: set[str] = set()
        for f in self.job.fields:
            x = f"_x_{f.name}"
            inputs.append(f"{self._input(f)} as {name(x)}")
            currency = self._currency(f.of_kind)
            made = self._canonical(f.name, f.of_kind, name(x), self._input_type(f), currency=currency)
            if made.sure:
                sure.add(f.name)
            (money if currency else canon).append(f"{self._worded(f, made.sql)} as {name(f.name)}")
        key = self._canonical("key", self.job.key, "key", self.types["key"]).sql
        passed = [
            name(c) if c in self.types else f"cast({'0 as ubigint' if c == MASK else 'null as varchar'}) as {name(c)}" for c in (MASK, *BAD)
        ]
        given = ", ".join([f"nullif(cast({key} as varchar), '') as key, cast(key as varchar) as _x_key", *inputs, *passed])
        first = f"select {given} from {relation}"
        second = f"select *, {', '.join(canon)} from ({first})" if canon else first
        third = f"select *, {', '.join(money)} from ({second})" if money else second
        return self._marked(third, [f for f in self.job.fields if f.name not in sure])

    def _marked(self, source: str, unsure: list[Field]) -> str:
        """The last step: rows with an unreadable value or no key are marked with the first such field."""
        field_cases, why_cases, sample_cases = (
            ["when key is null then 'key'"],
            [f"when key is null then {literal('has no readable key')}"],
            ["when key is null then _x_key"],
        )
        for f in unsure:
            x, fails = name(f"_x_{f.name}"), f"{name(f'_x_{f.name}')} is not null and {name(f.name)} is null"
            field_cases.append(f"when {fails} then {literal(f.name)}")
            why_cases.append(f"when {fails} then {literal(why_unreadable(f.of_kind))}")
            sample_cases.append(f"when {fails} then cast({x} as varchar)")
        columns = ["key", *(name(f.name) for f in self.job.fields), MASK]
        for marker, cases in ((BAD_FIELD, field_cases), (BAD_WHY, why_cases), (BAD_SAMPLE, sample_cases)):
            found = f"case when {BAD_FIELD} is not null then {marker} {' '.join(cases)} end"
            columns.append(f"{f'left({found}, {SAMPLE})' if marker == BAD_SAMPLE else found} as {marker}")
        return f"select {', '.join(columns)} from ({source})"

    def _canonical(self, label: str, kind: Kind, x: str, type_: str, *, currency: str | None = None) -> Canonical:
        try:
            return canonical(kind, self.place, x, type_, currency=currency)
        except Unfit:
            where = f"{self.job.domain}.{label}"
            raise StoreMismatch(
                f"{where}: the store's column is of type {type_}, from which no {name_of(kind)} can be read",
                hint="declare another kind for the field, or an expression that casts the column",
            ) from None

    def _input_type(self, f: Field) -> str:
        return "VARCHAR" if self._mapped_first(f) else self.types[f.name]

    def _mapped_first(self, f: Field) -> bool:
        """Whether the provider's words are translated before the kind reads them; text is translated after it was folded and trimmed."""
        return bool(f.mapping) and self.place == "provider" and not isinstance(f.of_kind, Text | Set)

    def _input(self, f: Field) -> str:
        """The raw value, its null rules applied."""
        x = name(f.name)
        if f.mapping and isinstance(f.of_kind, Json):
            raise BadDefinition(
                f"{self.job.domain}.{f.name}: a mapping translates words, and a JSON value is none", hint="use normalize= instead"
            )
        if self._mapped_first(f):
            x = translated(x, dict(f.mapping or {}))
        if f.empty_is_null and (is_text(self._input_type(f)) and not isinstance(f.of_kind, Json | Set)):
            bare = f"trim(cast({x} as varchar), {literal(WHITE)})" if not isinstance(f.of_kind, Text) or f.of_kind.trim else x
            x = f"case when {bare} <> '' then {x} end"
        return x

    def _worded(self, f: Field, sql: str) -> str:
        """Text in the store's words."""
        if self.place != "provider" or not f.mapping or not isinstance(f.of_kind, Text):
            return sql
        kind = f.of_kind
        return translated(sql, {plain_text(kind, word): plain_text(kind, meaning) for word, meaning in f.mapping.items()})

    def _currency(self, kind: Kind) -> str | None:
        return name(kind.currency) if isinstance(kind, Money) and kind.currency.islower() else None


def plain_text(kind: Text, text: str) -> str:
    """A declared word as the kind would have it."""
    folded = text.casefold() if kind.case == "fold" else text
    return folded.strip(WHITE) if kind.trim else folded


def translated(x: str, words: Mapping[str, str]) -> str:
    """The expression with each listed word replaced by its meaning."""
    cases = " ".join(f"when {literal(word)} then {literal(meaning)}" for word, meaning in words.items())
    return f"case {x} {cases} else {x} end"


def differs(f: Field, one: str, other: str) -> str:
    """A condition: the field's canonical values differ (null equals null, and nothing else). Exact, also with a tolerance."""
    if f.tolerance is None:
        return f"{one} is distinct from {other}"
    return f"({one} is null) <> ({other} is null) or coalesce(not {within(f, one, other)}, false)"


def within(f: Field, one: str, other: str) -> str:
    """A condition on two values that are there: no farther apart than the tolerance."""
    assert f.tolerance is not None
    kind = f.of_kind
    unit = {"timestamp": 6, "decimal": getattr(kind, "scale", 0)}.get(name_of(kind), 0)
    most = int(Number(repr(f.tolerance)).scaleb(unit).to_integral_value(rounding="ROUND_FLOOR"))
    if name_of(kind) == "decimal":
        whole = f"DECIMAL(38,{unit})"
        limit = f"cast({literal(format(Number(most).scaleb(-unit), 'f'))} as {whole})"
        return f"coalesce(abs(try({one} - {other})) <= {limit}, false)"
    return f"abs(cast({one} as hugeint) - cast({other} as hugeint)) <= {most}"


def comparable(f: Field) -> str:
    """The column that is compared: what `normalize` returned, or the canonical value itself."""
    return f"_n_{f.name}" if f.normalize is not None else f.name
