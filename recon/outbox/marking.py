"""What became of events that were answered, written down for many at once: a statement for each kind of answer, not for each event."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, literal_column, or_, update

from recon.outbox.telling import NEWEST, Due
from recon.publishers.base import Outcome, OutcomeKind
from recon.state.bulk import among, by_index
from recon.state.tables import WAITS, moment, outbox

IN_FLIGHT = or_(outbox.c.state == WAITS, outbox.c.state == literal_column("'withdrawn'"))
"""What may be on its way: an event that was withdrawn meanwhile has gone out all the same, and is said to have."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 900.0


class Answered(msgspec.Struct, frozen=True, gc=False):
    """One event, as it was read from the outbox, and what became of it."""

    row: Due
    outcome: Outcome


def mark(conn: Connection, answered: Sequence[Answered], now: datetime, *, heals: bool) -> None:
    """Writes the outcomes into the outbox, in the caller's transaction; with `heals`, a confirmed event is from now on said to be delivered
    (`recon.state.confirmed`), by a column of the row that is written anyway.
    """
    by_index(conn)
    settled: dict[tuple[bool, bool, str | None, bool], list[int]] = defaultdict(list)
    parked: dict[tuple[datetime, str], list[int]] = defaultdict(list)
    for one in answered:
        outcome = one.outcome
        if outcome.kind is OutcomeKind.CONFIRMED:
            # The newest version counts: an older one alone is not what the event says.
            settled[True, outcome.duplicate, outcome.reason or None, heals and one.row.lane == NEWEST].append(one.row.seq)
        elif outcome.kind is OutcomeKind.REJECTED:
            settled[False, outcome.duplicate, outcome.reason or None, False].append(one.row.seq)
        else:
            age = (now - moment(one.row.enqueued)).total_seconds()
            due = now + timedelta(seconds=pause_after(age, outcome.after))
            parked[due, outcome.reason or outcome.kind.value].append(one.row.seq)
    for (sent, duplicate, reason, counts), seqs in settled.items():
        ended = {"state": "sent" if sent else "dead", "sent_at": now if sent else None}
        values = {**ended, "duplicate": duplicate, "reason": reason, "heals": counts}
        _write(conn, seqs, IN_FLIGHT, now, values)
    for (due, reason), seqs in parked.items():
        _write(conn, seqs, outbox.c.state == WAITS, now, {"due_at": due, "reason": reason})


def _write(conn: Connection, seqs: list[int], state: Any, now: datetime, values: Mapping[str, Any]) -> None:
    tried = {"attempts": outbox.c.attempts + 1, "tried_at": now}
    conn.execute(update(outbox).where(among(conn, outbox.c.seq, sorted(seqs)), state).values({**values, **tried}))


def pause_after(age: float, after: float | None) -> float:
    """Seconds before an event is tried again: half its age, so that tries thin out as an outage grows, within bounds; never before `after`.

    Nothing counts attempts: an event is tried until it is confirmed, refused or withdrawn, however long the outage.
    """
    return max(after or 0.0, min(LONGEST_PAUSE, max(FIRST_PAUSE, age / 2)))
