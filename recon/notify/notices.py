"""What was told of what, and when it is to be told again: the table `recon_notices`, shared by all hosts.

To tell something a process first takes it, in one statement: of two that come at once, one gets it. Taken, it is out of the others'
way for `TAKEN` seconds; a post that failed is due again after `AGAIN`. A process killed after its post and before it wrote that down
leaves it due once more: a message is sooner told twice than lost, and both carry the same id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recon.state.database import State
from recon.state.tables import notices

TAKEN = timedelta(minutes=2)
AGAIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A row: `count` is how often it was told, `next_at` when it is due (None: there is nothing more to say)."""

    kind: str
    subject: str
    domain: str
    first_at: datetime
    last_at: datetime | None
    count: int
    next_at: datetime | None


class Notices:
    """The notices in a state database; times are its clock's."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._insert = sqlite.insert if state.dialect == "sqlite" else postgresql.insert

    def open(self, kind: str, subject: str, domain: str) -> None:
        """Has it told as soon as may be, unless it is known already."""
        with self.state.begin() as conn:
            now = self.state.now(conn)
            row = {"kind": kind, "subject": subject, "domain": domain, "first_at": now, "count": 0, "next_at": now}
            conn.execute(self._insert(notices).values(**row).on_conflict_do_nothing())

    def close(self, kind: str, *, but: Iterable[str]) -> None:
        """Forgets what was told of all others of this kind: should it come again, it is told anew."""
        gone = notices.c.kind == kind, notices.c.subject.not_in(list(but))
        with self.state.read() as conn:
            if conn.execute(select(notices.c.subject).where(*gone).limit(1)).first() is None:
                return
        with self.state.begin() as conn:
            conn.execute(notices.delete().where(*gone))

    def known(self, kind: str, subjects: Iterable[str]) -> set[str]:
        """Those of the subjects that were ever opened."""
        with self.state.read() as conn:
            mine = notices.c.kind == kind, notices.c.subject.in_(list(subjects))
            return set(conn.execute(select(notices.c.subject).where(*mine)).scalars())

    def due(self, kind: str) -> list[Told]:
        """What is due now, oldest first."""
        with self.state.read() as conn:
            late = notices.c.kind == kind, notices.c.next_at <= self.state.now(conn)
            rows = conn.execute(select(notices).where(*late).order_by(notices.c.next_at, notices.c.subject))
            return [Told(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping

    def get(self, kind: str, subject: str) -> Told | None:
        """The row, if there is one."""
        with self.state.read() as conn:
            row = conn.execute(select(notices).where(notices.c.kind == kind, notices.c.subject == subject)).one_or_none()
        return None if row is None else Told(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping

    def take(self, kind: str, subject: str) -> Told | None:
        """The row, if it was due and nobody else has taken it; its `next_at` then says until when it is ours."""
        with self.state.begin() as conn:
            now = self.state.now(conn)
            mine = and_(notices.c.kind == kind, notices.c.subject == subject, notices.c.next_at <= now)
            row = conn.execute(update(notices).where(mine).values(next_at=now + TAKEN).returning(*notices.columns)).one_or_none()
        return None if row is None else Told(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping

    def told(self, taken: Told, next_at: datetime | None) -> None:
        """It was told, and is due again at `next_at`, or never."""
        with self.state.begin() as conn:
            values = {"count": taken.count + 1, "last_at": self.state.now(conn), "next_at": next_at}
            conn.execute(update(notices).where(_still(taken)).values(**values))

    def failed(self, taken: Told) -> None:
        """It could not be told, and is due again soon."""
        with self.state.begin() as conn:
            conn.execute(update(notices).where(_still(taken)).values(next_at=self.state.now(conn) + AGAIN))

    def postpone(self, taken: Told, next_at: datetime | None) -> None:
        """There is nothing to say of it before `next_at`, or ever."""
        with self.state.begin() as conn:
            conn.execute(update(notices).where(_still(taken)).values(next_at=next_at))


def _still(taken: Told) -> ColumnElement[bool]:
    """That nobody took it since: whoever came back too late changes nothing."""
    return and_(notices.c.kind == taken.kind, notices.c.subject == taken.subject, notices.c.next_at == taken.next_at)
