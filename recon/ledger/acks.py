"""Acknowledgements: a person says of a known discrepancy that it need not be told again, until it changes or a date passes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from recon.discrepancy import Discrepancy
from recon.errors import BadRequest
from recon.state.database import State
from recon.state.tables import acks, ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """One acknowledgement; it covers exactly the discrepancy as it stood (its kind and both tokens)."""

    domain: str
    key: str
    kind: str
    source_token: str
    target_token: str
    #: The last local date on which it holds; None for as long as nothing changes.
    until: date | None
    by: str
    reason: str
    created_at: datetime
    #: When it ended and why; None while it holds.
    ended_at: datetime | None = None
    ended_why: str | None = None

    def covers(self, found: Discrepancy) -> bool:
        """Whether this is still the discrepancy that was acknowledged."""
        return (found.kind, found.source_token, found.target_token) == (self.kind, self.source_token, self.target_token)

    def end(self, found: Discrepancy, night: date) -> str | None:
        """Why it no longer holds for this discrepancy on this night; None while it does."""
        if not self.covers(found):
            return "the discrepancy changed"
        if self.until is not None and night > self.until:
            return f"{self.until.isoformat()} has passed"
        return None

    def words(self) -> str:
        """For the report: `known, fixed in 4.2 (alice, until 2026-12-01)`."""
        return f"{self.reason} ({self.by}{f', until {self.until.isoformat()}' if self.until else ''})"


class Acks:
    """The acknowledgements in a state database."""

    def __init__(self, state: State) -> None:
        self.state = state

    def add(self, domain: str, key: str, *, until: date | None, by: str, reason: str) -> Ack:
        """Acknowledges the open discrepancy of this key. Raises BadRequest where there is none, or without a reason."""
        if not reason.strip():
            msg = f"{domain} {key}: an acknowledgement needs a reason"
            raise BadRequest(msg, hint=f'recon ack {domain} {key} --reason "…"')
        with self.state.begin() as conn:
            row = conn.execute(select(ledger).where(ledger.c.domain == domain, ledger.c.key == key)).one_or_none()
            if row is None or row.state != "open":
                msg = f"{domain} {key}: there is no open discrepancy to acknowledge"
                raise BadRequest(msg, hint=f"recon explain {domain} {key}")
            ack = Ack(
                domain=domain,
                key=key,
                kind=row.kind,
                source_token=row.source_token,
                target_token=row.target_token,
                until=until,
                by=by,
                reason=reason.strip(),
                created_at=self.state.now(conn),
            )
            conn.execute(acks.delete().where(acks.c.domain == domain, acks.c.key == key))
            values = {name: getattr(ack, name) for name in Ack.__dataclass_fields__}
            conn.execute(acks.insert().values({**values, "until": until.isoformat() if until else None}))
        return ack

    def remove(self, domain: str, key: str, *, why: str = "taken back") -> bool:
        """Takes an acknowledgement back; False where there was none."""
        with self.state.begin() as conn:
            return end_in(conn, domain, [key], why, self.state.now(conn)) == 1

    def active(self, domain: str | None = None) -> list[Ack]:
        """Those that hold, by domain and key."""
        query = select(acks).where(acks.c.ended_at.is_(None)).order_by(acks.c.domain, acks.c.key)
        with self.state.read() as conn:
            return [_ack(row) for row in conn.execute(query if domain is None else query.where(acks.c.domain == domain))]


def active_in(conn: Connection, domain: str) -> dict[str, Ack]:
    """The domain's acknowledgements that hold, by key. People make them one at a time, so they are few."""
    rows = conn.execute(select(acks).where(acks.c.domain == domain, acks.c.ended_at.is_(None)))
    return {row.key: _ack(row) for row in rows}


def find_in(conn: Connection, domain: str, key: str) -> Ack | None:
    """The key's latest acknowledgement, ended or not."""
    row = conn.execute(select(acks).where(acks.c.domain == domain, acks.c.key == key)).one_or_none()
    return None if row is None else _ack(row)


def end_in(conn: Connection, domain: str, keys: Collection[str], why: str, at: datetime) -> int:
    """Ends the acknowledgements of these keys; answers how many held."""
    one = update(acks).where(acks.c.domain == domain, acks.c.key.in_(list(keys)), acks.c.ended_at.is_(None))
    return conn.execute(one.values(ended_at=at, ended_why=why)).rowcount


def _ack(row: Row[Any]) -> Ack:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping
    return Ack(**{**values, "until": date.fromisoformat(row.until) if row.until else None})
