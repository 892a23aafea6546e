"""Who may write for a domain: a lease in the database, on the database's clock, with a fence that only grows.

The lease keeps two processes from doing the same work; the fence keeps one that was overtaken, or was asleep, from writing.
Every writing transaction calls `check`, which also locks the lease's row, so that no take-over can slip in before the commit.
Neither advisory locks nor file locks are used: the first end with their connection while the work goes on, the second outlive their holder.

A holder that was killed is waited for no longer than it takes to see that: a process of the same machine can prove that it has ended
(`recon.state.process`). What it had begun to write holds the lease's row until the database has ended it, so a take-over comes after it.
"""

import contextlib
import logging
import os
import socket
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from recon.clock import iso
from recon.duration import words_of
from recon.errors import LeaseHeld, LostLease, ReconError
from recon.state.database import State
from recon.state.process import Mark, ended, mark
from recon.state.tables import leases, meta

TTL_SECONDS = 60.0
"""How long a holder may be silent before another one may take over."""

STEP_SECONDS = 5.0
"""A renewal farther ahead than this means that the database's clock was set back; without this, a dead holder would keep its domain for as long."""

MARKER = "holder:"
"""Of the rows of `recon_meta` that say which process took a lease, beside its fence."""

DELIVERY = "delivery:"
"""What the leases of deliveries begin with; destination and domain follow."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A claim on `domain` under number `fence`, valid until `expires_at` unless it is renewed; `ttl` is in seconds."""

    domain: str
    owner: str
    fence: int
    ttl: float
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a domain now, since when, and until when if nothing is heard."""

    domain: str
    owner: str
    fence: int
    acquired_at: datetime
    #: When it was last heard of.
    renewed_at: datetime
    expires_at: datetime


class _Taken(msgspec.Struct):
    fence: int
    by: Mark


def owner() -> str:
    """This process, as a lease names it: `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


# Made once: a lease is looked at in every transaction, and to put a statement together costs more than to run it.
_OF = select(leases).where(leases.c.domain == bindparam("of_domain"))
_LOCKED = _OF.with_for_update()
#: What is set is what the parameters beside `of_domain` are named after.
_SET = leases.update().where(leases.c.domain == bindparam("of_domain"))


def acquire(state: State, conn: Connection, domain: str, owner: str, ttl: float = TTL_SECONDS) -> Lease:
    """Takes the domain's lease with the next fence: free, expired, or of a process that has certainly ended. Raises LeaseHeld else."""
    insert = sqlite.insert if state.dialect == "sqlite" else postgresql.insert
    now = state.now(conn)
    blank = {"domain": domain, "owner": None, "fence": 0, "acquired_at": now, "renewed_at": now, "expires_at": now}
    conn.execute(insert(leases).values(blank).on_conflict_do_nothing())
    row = conn.execute(_LOCKED, {"of_domain": domain}).one()
    now = state.now(conn)  # Read again: the lock may have been waited for.
    if _stands(conn, row, now):
        left = words_of((row.expires_at - now).total_seconds())
        hint = f"`recon runs` shows where it stands; if that process is dead, try again in {left} (at once where it was one of this host)"
        raise LeaseHeld(_held(row, now), hint=hint)
    lease = Lease(domain=domain, owner=owner, fence=row.fence + 1, ttl=ttl, expires_at=now + timedelta(seconds=ttl))
    values = {"owner": owner, "fence": lease.fence, "acquired_at": now, "renewed_at": now, "expires_at": lease.expires_at}
    conn.execute(_SET, {"of_domain": domain, **values})
    if (me := mark()) is not None:
        value = msgspec.json.encode(_Taken(lease.fence, me)).decode()
        named = insert(meta).values(name=MARKER + domain, value=value)
        conn.execute(named.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
    return lease


def _held(row: Row[Any], now: datetime) -> str:
    """`orders: db7:4242 is at work on it since …; last renewed 12s ago; its lease ends at … unless renewed`."""
    ago = words_of(max(0.0, (now - row.renewed_at).total_seconds()))
    ends = f"its lease ends at {iso(row.expires_at)} unless renewed"
    return f"{subject(row.domain)}: {row.owner} is at work on it since {iso(row.acquired_at)}; last renewed {ago} ago; {ends}"


def subject(name: str) -> str:
    """What a lease is of, in words: a domain, or the delivery of one to a destination."""
    kind, _, rest = name.partition(":")
    to, _, domain = rest.partition(":")
    return f"delivery of {domain} to {to}" if kind == "delivery" and domain else name


def check(conn: Connection, lease: Lease) -> None:
    """Raises LostLease unless this lease is still the newest one; to be called in every transaction that writes for the domain.

    An expired lease that nobody took over still serves: the fence is what counts.
    """
    row = conn.execute(_LOCKED, {"of_domain": lease.domain}).one_or_none()
    # The owner too: after a backup was restored a fence may come a second time.
    if row is not None and row.fence == lease.fence and row.owner == lease.owner:
        return
    if row is None or (row.fence == lease.fence and row.owner is None):
        msg = f"{lease.domain}: lease {lease.fence} of {lease.owner} was given back; nothing more may be written under it"
    else:
        who = f"{row.owner} took over" if row.owner else "another process took over and has finished"
        msg = f"{lease.domain}: {who} (fence {row.fence}, this process has {lease.fence}, acquired {iso(row.acquired_at)}); nothing more is written here"
    raise LostLease(msg, hint="nothing to do: the newer holder goes on from the last committed state; see `recon runs`")


def hold_deliveries(conn: Connection, domain: str | None = None) -> None:
    """Until the transaction ends no delivery of the domain, or of any, writes anything down; for whoever is to write to rows of the outbox that wait.

    Both write to the same rows, each in an order of its own: on PostgreSQL they would come to wait for each other, and one of them be ended.
    """
    held = leases.c.domain.startswith(DELIVERY, autoescape=True)
    if domain is not None:
        held &= leases.c.domain.endswith(f":{domain}", autoescape=True)
    conn.execute(select(leases.c.domain).where(held).order_by(leases.c.domain).with_for_update()).all()


def renew(state: State, conn: Connection, lease: Lease) -> Lease:
    """The same lease for another `ttl`; raises LostLease."""
    check(conn, lease)
    now = state.now(conn)
    expires = now + timedelta(seconds=lease.ttl)
    conn.execute(_SET, {"of_domain": lease.domain, "renewed_at": now, "expires_at": expires})
    return replace(lease, expires_at=expires)


def release(state: State, conn: Connection, lease: Lease) -> None:
    """Gives the lease back, if it is still ours; the fence stays for the next one to count on from."""
    values = {"owner": None, "expires_at": state.now(conn)}
    conn.execute(_SET.where(leases.c.fence == lease.fence), {"of_domain": lease.domain, **values})


def holder(state: State, conn: Connection, domain: str) -> Holder | None:
    """Who holds the domain now; None where it is free, its lease has expired, or its process has certainly ended."""
    row = conn.execute(_OF, {"of_domain": domain}).one_or_none()
    if row is None or not _stands(conn, row, state.now(conn)):
        return None
    times = {name: getattr(row, name) for name in ("acquired_at", "renewed_at", "expires_at")}
    return Holder(domain=domain, owner=row.owner, fence=row.fence, **times)


def _stands(conn: Connection, row: Row[Any], now: datetime) -> bool:
    """Whether somebody holds it. A renewal that lies ahead was made before the clock was set back: a living holder renews again at once."""
    if row.owner is None or row.expires_at <= now or row.renewed_at > now + timedelta(seconds=STEP_SECONDS):
        return False
    text = conn.execute(select(meta.c.value).where(meta.c.name == MARKER + row.domain)).scalar_one_or_none()
    taken = None if text is None else msgspec.json.decode(text, type=_Taken)
    # A mark of an earlier claim, as of a version that wrote none since, says nothing of this one.
    return taken is None or taken.fence != row.fence or not ended(taken.by)


class Heartbeat:
    """Renews a lease from a thread of its own while the work goes on: a context manager.

    `lost` tells that another process took over; `check` raises LostLease then. A database that cannot be reached for a while is
    borne: the fence refuses this process's writes if the lease was lost meanwhile.
    """

    def __init__(self, state: State, lease: Lease, *, every: float | None = None) -> None:
        self.state = state
        self.lease = lease
        self.every = lease.ttl / 3 if every is None else every
        self.error: LostLease | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {lease.domain}", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another process took over."""
        return self.error is not None

    def check(self) -> None:
        """Raises LostLease once it is known that the lease was lost."""
        if self.error is not None:
            raise self.error

    def _beat(self) -> None:
        while not self._stop.wait(self.every):
            try:
                with self.state.begin() as conn:
                    self.lease = renew(self.state, conn, self.lease)
            except LostLease as error:
                if not self._stop.is_set():
                    self.error = error
                return
            except ReconError as error:
                log.warning("%s: the lease could not be renewed: %s", self.lease.domain, error, extra={"action": "lease_renew_failed"})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join(timeout=self.lease.ttl)
