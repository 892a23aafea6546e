"""One finding of the doctor, and what several of them come to."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from recon.errors import ReconError
from recon.redact import redact


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    #: It will work tonight, and still somebody should look.
    WARN = "warn"
    #: Tonight will fail.
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding: `domain` is None for what concerns all; `exit_code` is 0 unless the level is FAIL."""

    name: str
    level: Level
    message: str
    hint: str = ""
    domain: str | None = None
    exit_code: int = 0


def ok(name: str, message: str, domain: str | None = None) -> Check:
    """All is well."""
    return Check(name=name, level=Level.OK, message=message, domain=domain)


def warn(name: str, message: str, hint: str = "", domain: str | None = None) -> Check:
    """It works, and somebody should look."""
    return Check(name=name, level=Level.WARN, message=message, hint=hint, domain=domain)


def fail(name: str, error: ReconError, domain: str | None = None) -> Check:
    """Tonight will fail: 2 where a definition must be mended, 75 for all else."""
    return Check(
        name=name,
        level=Level.FAIL,
        message=redact(str(error)),
        hint=redact(error.hint or ""),
        domain=domain,
        exit_code=2 if error.exit_code == 2 else 75,
    )


def guarded(name: str, domain: str | None, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """What `look` finds; whatever it raises becomes a finding, since a doctor that falls over helps nobody."""
    try:
        yield from look()
    except ReconError as error:
        yield fail(name, error, domain)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and the other checks must still be made
        words = redact(f"{type(error).__name__}: {error}")
        yield Check(
            name=name,
            level=Level.FAIL,
            message=f"unexpected {words}",
            hint=f"recon check {domain or '--all'} shows the whole error, unless it is of the publisher",
            domain=domain,
            exit_code=75,
        )


def exit_code(checks: Iterable[Check]) -> int:
    """0 without a failure, 2 where a definition must be mended, else 75."""
    codes = {check.exit_code for check in checks}
    return 2 if 2 in codes else 75 if 75 in codes else 0
