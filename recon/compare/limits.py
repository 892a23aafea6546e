"""The engine's bounds, and the one place where its errors become ours."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import duckdb

from recon.compare.macros import MACROS
from recon.errors import LocalFault
from recon.files import room_left

DEFAULT_MEMORY = "896MB"
"""What the engine may hold by default: enough to join ten million rows without spilling, which takes about 600 MB. Arrow batches, the driver
and the interpreter add about 300 MB, so that ten million rows compare in less than 1 GiB; what does not fit goes to the temporary folder."""

FULL = re.compile(r"no space left|disk full|max_temp_directory_size|could not write all bytes|failed to offload", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of the machine a comparison may use: memory as DuckDB writes it (`640MB`), threads (all cores when None), a folder to spill to."""

    memory: str = DEFAULT_MEMORY
    threads: int | None = None
    temp: Path | None = None


def connect(limits: Limits, temp: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An engine in memory with our macros, its session in UTC; it spills to `limits.temp`, else to `temp`."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": limits.memory,
        "threads": limits.threads or os.cpu_count() or 1,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": False,
    }
    folder = limits.temp or temp
    config["temp_directory"] = str(folder / "spill") if folder is not None else ""
    connection = duckdb.connect(":memory:", config=config)
    connection.execute(";".join(MACROS))
    # For every connection to this engine: a statement costs a few records as much as the look at them.
    connection.execute("set global timezone = 'UTC'")
    return _ready(connection)


def small() -> duckdb.DuckDBPyConnection:
    """A connection to the process's one small engine (256 MB, one thread, no spilling), for the few: temporary tables are its own.

    Opening an engine takes 20 ms and connecting to one takes none, which counts where suspects are read again in many chunks.
    """
    return _ready(_small(os.getpid()).cursor())


@lru_cache
def _small(process: int) -> duckdb.DuckDBPyConnection:
    """The engine of this process. A forked child opens its own and never touches, nor closes, its parent's: that would crash it."""
    del process
    return connect(Limits(memory="256MB", threads=1))


def _ready(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    # It would draw one on the caller's output once a query takes two seconds.
    connection.execute("set enable_progress_bar = false")
    return connection


@contextmanager
def engine_faults(what: str, folder: Path | None) -> Iterator[None]:
    """Turns the engine's errors, and a disk's, into LocalFault; `what` says what was being done."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise local_fault(what, folder, error) from error


def local_fault(what: str, folder: Path | None, error: BaseException) -> LocalFault:
    """The fault of this machine behind an error of the engine or the file system."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    place = f" in {folder}" if folder is not None else ""
    if isinstance(error, OSError) or FULL.search(str(error)):
        return LocalFault(
            f"{what}: cannot write{place}: {text}{room_left(folder) if folder is not None else ''}",
            hint="free space there, or point the work folder at a larger disk; the fetched pages are kept",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return LocalFault(
            f"{what}: the engine's memory limit is too small: {text}", hint="raise the memory limit or lower the number of threads"
        )
    return LocalFault(f"{what}: the comparison engine failed{place}: {text}")
