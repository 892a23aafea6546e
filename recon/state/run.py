"""One execution for one domain, as it is persisted: its states, its columns, its id."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from recon.state.lease import Lease

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U, so that an id can be read aloud and typed."""

LIKENESS = str.maketrans("ILOU", "110V")


VERIFIED = "(delivered)"
"""The key of a run that looks at what was corrected, and at nothing else; an item whose own key is this cannot be looked at alone."""


class RunState(StrEnum):
    """Where a run stands; each is committed, so a killed run goes on from the last one."""

    #: It has its domain, its slot and its number; nothing has been read.
    PLANNED = "planned"
    #: Pages arrive on disk; also where an interrupted fetch waits to be gone on with.
    FETCHING = "fetching"
    #: The source and the target were read, whole, and the certificate is written.
    SEALED = "sealed"
    #: The sides were compared; the suspects are known.
    DIFFED = "diffed"
    #: The suspects are being read again.
    CONFIRMING = "confirming"
    #: A guard tripped; the plan waits for a person.
    HELD = "held"
    #: A person approved the plan; it is read again and then sent.
    APPROVED = "approved"
    #: A person rejected the plan.
    REJECTED = "rejected"
    #: Nobody decided in time, or a newer run has looked since.
    EXPIRED = "expired"
    #: The events are in the outbox, in the same transaction as this state.
    EMITTED = "emitted"
    #: Everything that this run had to do is done.
    DONE = "done"
    #: It ended without a result; `reason` says why.
    FAILED = "failed"


S = RunState
TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    S.PLANNED: frozenset({S.FETCHING, S.FAILED}),
    S.FETCHING: frozenset({S.SEALED, S.FAILED}),
    # Back to fetching: the host that held the snapshot on its disk is gone.
    S.SEALED: frozenset({S.DIFFED, S.FETCHING, S.FAILED}),
    S.DIFFED: frozenset({S.CONFIRMING, S.HELD, S.EMITTED, S.DONE, S.FETCHING, S.FAILED}),
    S.CONFIRMING: frozenset({S.HELD, S.EMITTED, S.DONE, S.FETCHING, S.FAILED}),
    S.HELD: frozenset({S.APPROVED, S.REJECTED, S.EXPIRED}),
    # Straight to done where nothing of the plan was left at the second look.
    # Expired where it could not be held against the third party in time.
    S.APPROVED: frozenset({S.EMITTED, S.DONE, S.EXPIRED, S.FAILED}),
    S.EMITTED: frozenset({S.DONE, S.FAILED}),
    S.REJECTED: frozenset(),
    S.EXPIRED: frozenset(),
    S.DONE: frozenset(),
    # By hand, with --resume, or by the next run where it failed for want of an answer.
    S.FAILED: frozenset({S.FETCHING}),
}
"""From each state, where a run may go. Staying where it is, to write facts down, is allowed everywhere but at the end."""

OPEN = frozenset({S.PLANNED, S.FETCHING, S.SEALED, S.DIFFED, S.CONFIRMING, S.APPROVED, S.EMITTED})
"""States of a run that has something left to do by itself (a held one waits for a person)."""

ENDED = frozenset({S.REJECTED, S.EXPIRED, S.DONE, S.FAILED})
"""States of a run that is over; a failed one may be gone on with by hand."""

EARLY = frozenset({S.PLANNED, S.FETCHING, S.SEALED, S.DIFFED, S.CONFIRMING})
"""States of a run that has sent nothing, and may be given up for a newer one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as the database has it. Times are UTC, from the database's clock; counts are of items."""

    #: 26 letters and digits that sort by the time of the start; any unique beginning names the run.
    id: str
    domain: str
    state: RunState
    #: What started it: `cli`, `schedule` or `due`.
    trigger: str
    #: The scheduled instant it serves; None by hand.
    slot: datetime | None
    #: Nothing is emitted and the ledger stays as it is.
    dry_run: bool
    #: The one key it looks at; None for the whole domain.
    key: str | None
    #: The process that holds, or last held, its lease: `host:pid`.
    owner: str
    #: The fence under which it last wrote.
    fence: int
    #: The night it stands for: the slot, else the start. Events carry it; it never changes when a run is resumed.
    logical_start: datetime
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    #: The database's clock just before the fetch: what moved after it was not seen whole.
    watermark: datetime | None = None
    #: Where pages and snapshots lie, and on which host.
    folder: str | None = None
    host: str | None = None
    #: The certificate of coverage.
    coverage: Mapping[str, Any] | None = None
    #: The run's figures, as the JSON report has them.
    figures: Mapping[str, Any] | None = None
    #: clean, discrepancies, held, incomplete or failed.
    verdict: str | None = None
    exit_code: int | None = None
    #: Whether the fetch was proven whole.
    whole: bool | None = None
    source_records: int | None = None
    target_records: int | None = None
    compared: int | None = None
    #: Confirmed discrepancies, acknowledged ones not counted.
    discrepancies: int | None = None
    #: sha256 of the plan, in full.
    plan_checksum: str | None = None
    #: Until when a held plan may be approved.
    hold_expires_at: datetime | None = None
    #: Set by a run that proved both sides equal, or healed them: the watermark of its fetch.
    consistent_as_of: datetime | None = None
    #: Why it failed, was given up, rejected or expired.
    reason: str | None = None
    #: How often it was gone on with by another claim.
    resumes: int = 0
    #: The version of the program that started it.
    version: str = ""
    #: When its findings and events were removed by age; its figures stay.
    pruned_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED

    @property
    def unfinished(self) -> bool:
        """Whether there is something left to do without a person."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to write for a run: the run as it stands and the lease it is held under."""

    run: Run
    lease: Lease = field(repr=False)


FACTS = frozenset(Run.__dataclass_fields__) - {
    "id", "domain", "state", "trigger", "slot", "dry_run", "key", "owner", "fence", "logical_start", "started_at", "updated_at", "resumes", "version",
}  # fmt: skip
"""The columns that `Runs.advance` may set."""


def new_id(moment: datetime, entropy: bytes | None = None) -> str:
    """A run's id: 48 bits of milliseconds and 80 of chance, so ids sort by time and never collide."""
    milliseconds = int(moment.timestamp() * 1000)
    number = (milliseconds << 80) | int.from_bytes(entropy or secrets.token_bytes(10))
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def typed_id(text: str) -> str:
    """An id, or the beginning of one, as a person typed it: any case, and I, L and O for what they look like."""
    return text.strip().upper().translate(LIKENESS)
