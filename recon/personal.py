"""Personal values as they are shown: a short keyed hash, `hmac:3f9a0c71b2de`, by which equal values still look equal.

A job says which of its fields are personal, and whether its key is. The key of the hash is made once per installation and kept in
the state database, so that all hosts agree; without it nobody can try out values against a report. What is hidden is what people
and their logs are shown: reports, figures, messages, commands. The state database and the events hold the values themselves, since
a correction without them corrects nothing.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from recon.errors import BadRequest
from recon.inert import json_bytes
from recon.job import Job
from recon.redact import hiding
from recon.report.figures import Convergence, Duplicate, Item, Problem, RunFigures, Transition, Unreadable
from recon.state.database import State
from recon.state.tables import ledger, meta

LABEL = "hmac:"
#: Hexadecimal digits that are shown: among a million different values two look alike with a chance of one in 560.
DIGITS = 12
MARK = re.compile(rf"{LABEL}[0-9a-f]{{{DIGITS}}}")
KEY = "key"
"""The name under which `Job.personal` has the key; no field may be called so."""

NAME = "personal_key"
#: What messages of databases, of the engine and of ours quote of the data: after a colon, as a detail, as a piece of a page.
QUOTED = re.compile(r"(: )\"[^\"]*\"|((?:string|value) )'[^']*'|(no JSON: )(?:'[^']*'|\"[^\"]*\")|(Key \([^)]*\)=)\([^)]*\)")
NOTHING = frozenset({"absent", "null", ""})


def install_key(state: State) -> bytes:
    """The installation's key, made by whoever asks first."""
    with state.read() as conn:
        found = _stored(conn)
    if found is None:
        insert = sqlite.insert if state.dialect == "sqlite" else postgresql.insert
        with state.begin() as conn:
            conn.execute(insert(meta).values(name=NAME, value=secrets.token_hex(32)).on_conflict_do_nothing())
            found = _stored(conn)
    assert found is not None
    return bytes.fromhex(found)


def _stored(conn: Connection) -> str | None:
    value: str | None = conn.execute(select(meta.c.value).where(meta.c.name == NAME)).scalar_one_or_none()
    return value


class Veil:
    """How the values of one domain are shown. `names` are its personal fields, and `key` where the key is personal; of none, all is shown."""

    def __init__(self, key: bytes, names: Collection[str], job: Job | None = None) -> None:
        self._key = key
        self.names = frozenset(names)
        #: Without the job it is not known which field the sums are taken of, and no single item's is shown.
        self._created = job is None or job.created in self.names
        self._money = job is None or job.money in self.names

    @classmethod
    def of(cls, state: State, job: Job | None, earlier: Collection[str] = ()) -> "Veil":
        """The veil of a job, or of a run whose figures say `earlier` what was personal when it ran."""
        names = {*(job.personal if job is not None else ()), *earlier}
        return cls(install_key(state) if names else b"", names, job)

    def mark(self, value: Any) -> str:
        """What is shown for a personal value; a mark is its own. Texts are taken as they are, the rest as JSON."""
        text = value if isinstance(value, str) else json_bytes(value).decode()
        if MARK.fullmatch(text):
            return text
        return LABEL + hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:DIGITS]

    def key(self, key: str) -> str:
        """A key as it is shown."""
        return self.mark(key) if KEY in self.names else key

    def record(self, record: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """A record as it is shown; null is nobody's secret."""
        if record is None or not self.names:
            return record
        return {name: self.mark(value) if name in self.names and value is not None else value for name, value in record.items()}

    def item(self, item: Item) -> Item:
        """An item as it is shown. A link to the third party's page has the key in it, and goes with it."""
        if not self.names:
            return item
        return replace(
            item,
            key=self.key(item.key),
            link=None if KEY in self.names else item.link,
            source=self.record(item.source),
            target=self.record(item.target),
            created_at=None if self._created else item.created_at,
            money=None if self._money else item.money,
            currency=None if self._money else item.currency,
        )

    def items(self, items: Iterable[Item]) -> Iterator[Item]:
        """Items as they are shown."""
        return map(self.item, items)

    def figures(self, figures: RunFigures) -> RunFigures:
        """Figures as they are shown. Sums and histograms stay: they are of nobody."""
        if not self.names:
            return figures
        return replace(
            figures,
            personal=tuple(sorted(self.names)),
            controls=tuple(map(self.key, figures.controls)),
            duplicates=tuple(self._duplicate(one) for one in figures.duplicates),
            in_flight_keys=tuple(replace(one, key=self.key(one.key)) for one in figures.in_flight_keys),
            unreadable=tuple(self._unreadable(one) for one in figures.unreadable),
            transitions=tuple(self._transition(one) for one in figures.transitions),
            convergence=self._convergence(figures.convergence),
            problem=self._problem(figures.problem),
        )

    def _convergence(self, found: Convergence | None) -> Convergence | None:
        return None if found is None else replace(found, unheeded=tuple(replace(one, key=self.key(one.key)) for one in found.unheeded))

    def _duplicate(self, one: Duplicate) -> Duplicate:
        return replace(one, key=self.key(one.key))

    def _unreadable(self, one: Unreadable) -> Unreadable:
        # The sample may be the whole record, or the key itself where that cannot be read.
        sample = self.mark(one.sample) if one.sample else ""
        return replace(one, key=None if one.key is None else self.key(one.key), sample=sample)

    def _transition(self, one: Transition) -> Transition:
        if one.field not in self.names:
            return one
        before, after = (text if text in NOTHING else self.mark(text) for text in (one.before, one.after))
        return replace(one, before=before, after=after)

    def _problem(self, problem: Problem | None) -> Problem | None:
        return None if problem is None else replace(problem, message=self.message(problem.message), hint=self.message(problem.hint))

    def message(self, text: str) -> str:
        """A message of a fault, without what it quotes of the data."""
        if not self.names:
            return text
        return QUOTED.sub(lambda match: f"{next(filter(None, match.groups()))}…", text)

    def hiding(self, keys: Iterable[str] = (), records: Iterable[Mapping[str, Any] | None] = ()) -> AbstractContextManager[None]:
        """While these are worked on, no log line, reason or error that goes through the redactor shows what is personal of them."""
        marks: dict[str, str] = {}
        if KEY in self.names:
            marks.update((key, self.mark(key)) for key in keys)
        for record in records if self.names else ():
            values = (value for name, value in (record or {}).items() if name in self.names and value is not None)
            marks.update((text, self.mark(text)) for text in map(_text, values))
        return hiding(marks)

    def typed(self, state: State, domain: str, key: str) -> str:
        """The key behind what a person typed: the key itself, or the mark that a report shows for it.

        Raises BadRequest for a mark of which the ledger has no key.
        """
        if KEY not in self.names or not MARK.fullmatch(key):
            return key
        with state.read() as conn:
            known = conn.execute(select(ledger.c.key).where(ledger.c.domain == domain)).scalars().all()
        for one in known:
            if self.mark(one) == key:
                return str(one)
        msg = f"{domain}: no key that was ever found to differ is shown as {key}"
        raise BadRequest(msg, hint="type the key itself")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_bytes(value).decode()
