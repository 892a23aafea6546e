"""Where the slots of every domain stand: a row each, from the timetable and the state database."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from recon.clock import Clock, iso
from recon.inert import terminal
from recon.project import Project
from recon.schedule.due import shared_now, timetables
from recon.state.database import State
from recon.state.slots import Slot, Slots, SlotState


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One domain: its latest slot that anybody wrote down, and the next that will come. Times as `iso` writes them; None where there is none."""

    domain: str
    schedule: str
    timezone: str
    slot: str | None
    #: pending, taken, waits, done, skipped, or never.
    state: str
    tries: int
    taken_by: str | None
    again_at: str | None
    reason: str | None
    run: str | None
    next: str | None

    def document(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def standing(project: Project, state: State, clock: Clock) -> list[Standing]:
    """The rows, by domain. A slot that is behind the latest one, but whose run is at work, is the one that is shown."""
    slots, moment = Slots(state), state.now()
    now = shared_now(state, clock)
    rows = []
    for domain, table in sorted(timetables(project.jobs).items()):
        job = project.jobs[domain]
        waiting = slots.pending(domain)
        slot = waiting[-1] if waiting else slots.last(domain)
        following = table.after(now)
        rows.append(
            Standing(
                domain=domain,
                schedule=table.line,
                timezone=job.timezone,
                slot=iso(slot.instant) if slot is not None else None,
                state=_state(slot, moment),
                tries=slot.tries if slot is not None else 0,
                taken_by=slot.taken_by if slot is not None and slot.taken(moment) else None,
                again_at=iso(slot.again_at.replace(microsecond=0)) if slot is not None and slot.again_at is not None else None,
                reason=slot.reason if slot is not None else None,
                run=slot.run if slot is not None else None,
                next=iso(following) if following is not None else None,
            )
        )
    return rows


def _state(slot: Slot | None, now: datetime) -> str:
    if slot is None:
        return "never"
    if slot.state is not SlotState.PENDING:
        return slot.state.value
    return "taken" if slot.taken(now) else "waits" if slot.waits(now) else "pending"


def table(rows: Sequence[Standing]) -> str:
    """The rows for a terminal; what was said of a slot stands in a line of its own below it."""
    heads = ("domain", "latest slot", "state", "tries", "next slot")
    cells = [(row.domain, row.slot or "-", row.state, str(row.tries), row.next or "-") for row in rows]
    widths = [max(len(line[n]) for line in (heads, *cells)) for n in range(len(heads))]
    lines = ["  ".join(f"{text:<{width}}" for text, width in zip(heads, widths, strict=True)).rstrip()]
    for row, cell in zip(rows, cells, strict=True):
        lines.append("  ".join(f"{text:<{width}}" for text, width in zip(cell, widths, strict=True)).rstrip())
        said = [
            f"{row.taken_by} sees to it" if row.taken_by else "",
            row.reason or "",
            f"tried again at {row.again_at}" if row.again_at else "",
        ]
        if any(said):
            lines.append(f"  {'; '.join(part for part in said if part)}")
    return "\n".join(terminal(line) for line in lines)
