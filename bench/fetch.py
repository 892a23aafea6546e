"""A fetch of a million records by itself: speed, CPU beside a bare loop, peak memory, dlt beside it, and what it takes to go on after a kill.

`python bench/fetch.py [RECORDS]`. Every contender is a process of its own against one server in another. The bare loop asks for each page with httpx and
decodes it with msgspec, one page after another, and keeps nothing. The fetch is the `rest` provider: ranges side by side, every page proven and on disk,
compressed; `sealed` makes the snapshot as well, as a night does, and so does what dlt does: records in columns.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

from compare import environment
from measure import Cost, measure, middle, ratios

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = 100
PARALLEL = 4
#: dlt would take ten minutes for a million.
DLT_RECORDS = 100_000
KILLED_AT = 0.9

LOOP = """
import sys, httpx, msgspec
base, after, seen = f"http://127.0.0.1:{sys.argv[1]}/v1/orders", None, 0
decode = msgspec.json.Decoder().decode
with httpx.Client() as client:
    while True:
        page = decode(client.get(base, params={"after": after} if after else {}).content)
        seen += len(page["data"])
        if not page["has_more"]:
            break
        after = page["data"][-1]["id"]
assert seen == int(sys.argv[2]), seen
"""

DLT = """
import os, sys
os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR", DLT_DATA_DIR=sys.argv[3])
import dlt
from dlt.sources.rest_api import rest_api_source
source = rest_api_source({
    "client": {"base_url": f"http://127.0.0.1:{sys.argv[1]}/v1/"},
    "resources": [{
        "name": "orders",
        "endpoint": {"path": "orders", "data_selector": "data", "paginator": {
            "type": "cursor", "cursor_path": "data[-1].id", "cursor_param": "after", "has_more_path": "has_more"}},
    }],
})
source.max_table_nesting = 0
pipeline = dlt.pipeline("bench", destination=dlt.destinations.duckdb(sys.argv[3] + "/bench.duckdb"), dataset_name="shop")
pipeline.run(source)
with pipeline.sql_client() as client:
    rows = client.execute_sql("select count(*) from orders")
assert rows[0][0] == int(sys.argv[2]), rows
"""


def provider(port: int, *, serial: bool) -> object:
    """The third party as recon.toml would declare it; `serial` leaves out that it takes ranges."""
    from providers.rest import Rest
    from recon.testing import section

    orders = {
        "path": "orders",
        "records": "data",
        "paging": {"rule": "last_id", "param": "after", "more": "has_more"},
    }
    if not serial:
        orders |= {"ranges": {"at": "created", "low": "created[gte]", "high": "created[lt]", "form": "epoch"}, "parallel": PARALLEL}
    return Rest(section("shop", base_url=f"http://127.0.0.1:{port}/v1/", resources={"orders": orders}))


def fetch(port: int, total: int, folder: Path, *, stop: int = 0, sealed: bool = False, serial: bool = False) -> None:
    """The fetch, from where the folder's spool stands. With `stop` it is killed as it stands once so many records are on disk."""
    from recon.clock import SystemClock
    from recon.fetch.landing import land
    from recon.fetch.spool import Spool
    from recon.provider import Listing

    spool, clock = Spool.open(folder / "spool"), SystemClock()
    with sealing_of(spool, folder) if sealed else nullcontext() as sealing:

        def told(coverage: object) -> None:
            if stop and coverage.records >= stop:
                os._exit(9)
            if sealed:
                sealing.grown()

        coverage = land(provider(port, serial=serial), Listing(resource="orders", clock=clock), spool, clock=clock, on_page=told)
        if sealed:
            assert sealing.finish().rows == total
    assert coverage.whole
    assert coverage.records == total, coverage.records
    print(json.dumps({"parts": coverage.planned, "pages": coverage.pages, "requests": coverage.requests, "resumed": coverage.resumed}))


def sealing_of(spool: object, folder: Path) -> object:
    """The snapshot, made beside the fetch as a night makes it. What it imports is no cost of a fetch alone."""
    from recon.run.sealing import Sealing

    return Sealing(spool, lambda pages: seal(pages, folder), folder / "snapshot")


def seal(pages: object, folder: Path) -> object:
    """The snapshot of a job that compares six fields."""
    from recon.compare import Limits
    from recon.compare import seal as sealed
    from recon.job import Field, Job, Table
    from recon.kind import Timestamp

    fields = (
        Field("amount", "integer"),
        Field("currency"),
        Field("status"),
        Field("customer", path="customer.id"),
        Field("created", Timestamp(provider="epoch_s")),
        Field("metadata", "json"),
    )
    job = Job(domain="orders", provider="shop", resource="orders", table=Table(name="orders"), key_path="id", fields=fields)
    return sealed(job, pages, "id", folder / "snapshot", limits=Limits())


@contextmanager
def server(total: int, scratch: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The third party's port; what it cost stands in the dict once it is over."""
    command = [sys.executable, str(HERE / "ranged.py"), str(total), str(scratch / f"records-{total}")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    cost: dict[str, float] = {}
    try:
        assert process.stdout
        yield int(process.stdout.readline()), cost
    finally:
        assert process.stdin
        process.stdin.close()
        cost.update(json.loads(process.stdout.readline() or "{}") if process.stdout else {})
        process.wait(timeout=30)
        (scratch / f"records-{total}").unlink(missing_ok=True)


def ours(port: int, total: int, folder: Path, *words: str) -> list[str]:
    """The command of one fetch of ours."""
    return [sys.executable, str(HERE / "fetch.py"), "--fetch", str(port), str(total), str(folder), *words]


def once(port: int, total: int, scratch: Path, *words: str) -> Cost:
    """One fetch of ours into an empty folder."""
    folder = scratch / "once"
    shutil.rmtree(folder, ignore_errors=True)
    cost = measure(ours(port, total, folder, *words))
    shutil.rmtree(folder)
    return cost


def beside_the_loop(port: int, total: int, scratch: Path, runs: int) -> dict[str, object]:
    """The fetch and the bare loop over the same pages, in turn."""
    costs: dict[str, list[Cost]] = {"loop": [], "fetch": [], "serial": []}
    for _ in range(runs):
        costs["loop"].append(measure([sys.executable, "-c", LOOP, str(port), str(total)]))
        costs["fetch"].append(once(port, total, scratch))
        costs["serial"].append(once(port, total, scratch, "--serial"))
    return {
        "serial": vars(middle(costs["serial"])),
        "serial_cpu_ratio": ratios(costs["serial"], costs["loop"], "cpu"),
        "loop": vars(middle(costs["loop"])),
        "fetch": vars(middle(costs["fetch"])),
        "cpu_ratio": ratios(costs["fetch"], costs["loop"], "cpu"),
        "records_a_second": total / middle(costs["fetch"]).wall,
    }


def after_a_kill(port: int, total: int, scratch: Path, whole: float, runs: int) -> dict[str, float]:
    """The wall time of going on after a kill at nine tenths, the median, beside that of the whole."""
    folder, walls = scratch / "killed", []
    for _ in range(runs):
        killed = subprocess.run(ours(port, total, folder, "--stop", str(int(total * KILLED_AT))), check=False)
        if killed.returncode != 9:
            msg = f"the fetch that was to be killed ended with {killed.returncode}"
            raise RuntimeError(msg)
        walls.append(measure(ours(port, total, folder)).wall)
        shutil.rmtree(folder)
    return {"seconds": median(walls), "share": median(walls) / whole}


def beside_dlt(scratch: Path) -> dict[str, object]:
    """dlt's REST source into DuckDB, and the fetch with its snapshot, over the same pages."""
    python = environment("dlt.lock", Path(tempfile.gettempdir()) / "recon-bench-peers")
    with server(DLT_RECORDS, scratch) as (port, _):
        sealed = once(port, DLT_RECORDS, scratch, "--sealed")
        folder = scratch / "dlt"
        folder.mkdir()
        dlt = measure([str(python), "-c", DLT, str(port), str(DLT_RECORDS), str(folder)], timeout=1800.0)
        shutil.rmtree(folder)
    return {"records": DLT_RECORDS, "sealed": vars(sealed), "dlt": vars(dlt), "times": dlt.wall / sealed.wall}


def main(total: int, runs: int) -> dict[str, object]:
    """Every measurement in turn."""
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as name:
        scratch = Path(name)
        with server(total // 10, scratch) as (port, _):
            small = once(port, total // 10, scratch)
        with server(total, scratch) as (port, cost):
            found = beside_the_loop(port, total, scratch, runs)
            resumed = after_a_kill(port, total, scratch, found["fetch"]["wall"], runs)
        requests = 4 * runs * total / PAGE
        return {
            "records": total,
            "parallel": PARALLEL,
            **found,
            "server_ms_a_page": cost["cpu"] * 1000 / requests,
            "small": {"records": total // 10, **vars(small)},
            "memory_ratio": found["fetch"]["rss_mb"] / small.rss_mb,
            "resumed": resumed,
            "dlt": beside_dlt(scratch),
        }


if __name__ == "__main__":
    if "--fetch" in sys.argv:
        sys.path.insert(0, str(ROOT))
        port, total, folder, *words = sys.argv[2:]
        Path(folder).mkdir(parents=True, exist_ok=True)
        stop = int(words[words.index("--stop") + 1]) if "--stop" in words else 0
        fetch(int(port), int(total), Path(folder), stop=stop, sealed="--sealed" in words, serial="--serial" in words)
    else:
        rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
        print(json.dumps(main(rows, int(sys.argv[2]) if len(sys.argv) > 2 else 3), indent=1))
