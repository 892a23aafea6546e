"""PostgreSQL's complaints, translated: by SQLSTATE where there is one, by the words where a driver hands over nothing else.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import re

from recon.errors import StoreError, StoreMismatch, StoreUnreachable
from recon.stores.address import Address

STATE = re.compile(r"SQLSTATE: ([0-9A-Z]{5})")
GONE_CLASSES = {"08", "53", "57", "58", "40", "XX"}
GONE_STATES = {"25P03", "25P04", "55006", "55P03"}
GONE_WORDS = re.compile(
    r"server closed|terminating connection|FATAL|connection|could not receive|timeout|SSL|canceling|recovery", re.IGNORECASE
)
PERMISSION = "42501"
CANCELLED = "57014"
LOCKED = "55P03"
NOISE = re.compile(
    r"^(?:[A-Z_]+: )?(?:\[libpq\] )?(?:Execution error \[\w+\]: )?(?:Failed to \w+ query(?: '.*?')?: )?(?:could not begin COPY: )?|Query was: .*?(?=SQLSTATE|$)|\. SQLSTATE: \w{5}|LINE \d+: .*$",
    re.DOTALL,
)


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE that a driver's error carries, in a field or in its words."""
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str) and state:
        return state
    found = STATE.search(str(error))
    return found.group(1) if found else None


def said(error: BaseException, address: Address) -> str:
    """The server's own words, without the statement, on one line, without a password."""
    words = str(error).strip()
    words = words.split("\nQuery was:")[0].split("\nLINE ")[0].split("\nCONTEXT:")[0]
    words = NOISE.sub("", words)
    return address.scrub(words).rstrip(" .")


def no_connection(error: BaseException, store: str, address: Address) -> StoreUnreachable:
    """A connection that could not be made."""
    words = said(error, address)
    hint = "is the server running, and reachable from this machine?"
    if "authentication failed" in words or "no password supplied" in words or "does not exist" in words:
        hint = "check user, password and database in the store's url"
    elif "too many" in words or "remaining connection slots" in words:
        hint = "the server has no connection to spare; try again, or raise max_connections"
    return StoreUnreachable(f"{store}: no connection to {address}: {words}", hint=hint)


def translate(error: BaseException, store: str, address: Address, *, doing: str, relation: str, field: str | None = None) -> StoreError:
    """What a failed statement means: the server is gone or busy (try again), or the statement does not fit (mend the job)."""
    if isinstance(error, StoreError):
        return error
    state = sqlstate(error)
    words = said(error, address)
    if state == CANCELLED or "statement timeout" in words:
        hint = "raise statement_timeout in the store's section, or narrow the job with where="
        return StoreUnreachable(f"{store}: {relation}: {doing} was cancelled: {words}", hint=hint)
    if state == LOCKED or "lock timeout" in words:
        return StoreUnreachable(
            f"{store}: {relation}: {doing}: another session holds a lock: {words}", hint="try again, or raise lock_timeout"
        )
    if state is not None:
        gone = state[:2] in GONE_CLASSES or state in GONE_STATES
    else:
        gone = not words.startswith("ERROR") and bool(GONE_WORDS.search(words))
    if gone:
        return StoreUnreachable(
            f"{store}: {address} went away during {doing} of {relation}: {words}",
            hint="nothing was inferred from the part that was read; try again",
        )
    what = f"field {field}: " if field else ""
    hint = "see the statement with --show-sql"
    if "row-level security" in words:
        hint = "rows hidden by a policy would look missing: give the user BYPASSRLS, or set row_security = true in the store's section"
    elif state == PERMISSION:
        hint = "GRANT SELECT on it to the store's user"
    return StoreMismatch(f"{store}: {relation}: {what}the database refused {doing}: {words}", hint=hint)
