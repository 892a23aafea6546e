"""Measuring a command as a whole process: CPU, wall clock and peak memory, as the kernel accounts for them."""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Cost:
    """Seconds of wall clock and CPU (user and system, with children waited for), and peak resident MB."""

    wall: float
    cpu: float
    rss_mb: float


def measure(command: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 600.0) -> Cost:
    """Runs one command to its end. Raises RuntimeError with its output where it fails or outlasts `timeout`."""
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    watch = threading.Timer(timeout, child.kill)
    watch.start()
    try:
        output = child.stdout.read() if child.stdout else b""
        _, status, usage = os.wait4(child.pid, 0)
    finally:
        watch.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if child.returncode:
        msg = f"{' '.join(command)[:200]}: exit {child.returncode}\n{output.decode(errors='replace')[-2000:]}"
        raise RuntimeError(msg)
    return Cost(wall=wall, cpu=usage.ru_utime + usage.ru_stime, rss_mb=usage.ru_maxrss / 1024)


def in_turn(commands: dict[str, Sequence[str]], *, runs: int, warmup: int = 1, **options: object) -> dict[str, list[Cost]]:
    """Runs the commands A B A B …, so that a machine that slows down slows all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(warmup + runs):
        for name, command in commands.items():
            cost = measure(command, **options)  # type: ignore[arg-type]  # passed through as given
            if number >= warmup:
                costs[name].append(cost)
    return costs


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(**{key: median(asdict(c)[key] for c in costs) for key in ("wall", "cpu", "rss_mb")})


def ratios(costs: Sequence[Cost], base: Sequence[Cost], figure: str) -> float:
    """The median of the pairwise ratios of one figure."""
    return median(getattr(a, figure) / getattr(b, figure) for a, b in zip(costs, base, strict=True))
