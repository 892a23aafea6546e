"""The page of figures, bench/RESULTS.md, made of the record that the measurements leave."""

WORDS = {
    "floor": "floor: both sides read once, same drivers",
    "ours": "**this**: duplicates checked, every field difference read back",
    "reladiff": "reladiff 0.6, its defaults, PostgreSQL against PostgreSQL",
    "datacompy": "datacompy 1.1 on polars",
    "by_hand": "dict diff by hand, server-side cursor, orjson",
}


LIMITS = {
    "window": "60 in each second of the clock, 429 with Retry-After; declared",
    "leaky": "a bucket that holds 40 and leaks 60 a second, 429 with Retry-After; declared",
    "points": "600 points a second, 10 for a request, told beside each answer, 200 with THROTTLED; nothing declared",
}


def half_line(half: dict) -> str:
    """The server that allows half of what is declared."""
    return (
        f"A server that allows 30 where 60 is declared: {half['seconds']:.1f} s, {half['ratio']:.2f} of requests / allowed rate, {half['throttled']} throttled "
        f"({half['throttled_share']:.1%}); over the last three quarters {half['later_ratio']:.2f}, {half['later_throttled']} throttled."
    )


def limits_section(record: dict) -> list[str]:
    """Each kind of limited server, and the one that allows half of what is declared."""
    return [
        "",
        f"## A limited third party: {record['pages']} pages, one after another, from servers that let 60 requests a second through",
        "",
        "Wall time beside requests / allowed rate (at most 1.05), and the requests that were throttled (at most 1%). Servers that give some away at once can be",
        "done sooner than that; the third figure leaves those out of the reckoning.",
        "",
        "| server | seconds | ratio | less what is free at once | throttled |",
        "|---|---|---|---|---|",
        *(
            f"| {words} | {one['seconds']:.1f} | {one['ratio']:.3f}: {mark(reached=one['ratio'] <= 1.05)} | {one['strict_ratio']:.3f} | "
            f"{one['throttled']} ({one['throttled_share']:.1%}): {mark(reached=one['throttled_share'] <= 0.01)} |"
            for one, words in [(record[kind], words) for kind, words in LIMITS.items()]
        ),
        "",
        half_line(record["half"]),
    ]


def fetch_section(record: dict) -> list[str]:
    """The fetch beside a bare loop and beside dlt, its memory, and what it takes to go on."""
    rows = (
        ("bare httpx + msgspec loop", "loop"),
        ("fetch, one page after another", "serial"),
        (f"fetch, {record['parallel']} ranges side by side", "fetch"),
    )
    pages = record["records"] / 100
    small, resumed, peer = record["small"], record["resumed"], record["dlt"]
    return [
        "",
        f"## A fetch: {record['records']:,} records of 1.7 KB in pages of 100, unthrottled loopback server",
        "",
        "Each page is cut, proven and on disk, compressed; a part is at most two pages ahead of the disk. The bare loop decodes a page and keeps nothing. Whole",
        f"processes, start-up included; medians, ratios pair by pair. The server itself takes {record['server_ms_a_page']:.2f} ms of CPU for a page, on the same cores.",
        "",
        "| | records a second | CPU ms a page | wall s | peak MB |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {record['records'] / record[key]['wall']:,.0f} | {record[key]['cpu'] * 1000 / pages:.2f} | {record[key]['wall']:.1f} | {record[key]['rss_mb']:,.0f} |"
            for name, key in rows
        ),
        "",
        f"- CPU for a page beside the bare loop: {record['cpu_ratio']:.2f} (at most 1.3: {mark(reached=record['cpu_ratio'] <= 1.3)}); one page after another {record['serial_cpu_ratio']:.2f}.",
        f"- Peak memory at {small['records']:,} records is {small['rss_mb']:,.0f} MB, at {record['records']:,} {record['fetch']['rss_mb']:,.0f} MB: {record['memory_ratio']:.2f} times that (flat, at most 1.25: {mark(reached=record['memory_ratio'] <= 1.25)}).",
        f"- Killed when nine tenths were on disk, it went on and was whole after {resumed['seconds']:.1f} s, {resumed['share']:.1%} of the whole fetch (at most 12%: {mark(reached=resumed['share'] <= 0.12)}).",
        f"- dlt 1.31, its REST source into DuckDB, no nested tables, {peer['records']:,} records of the same server: {peer['dlt']['wall']:.1f} s and {peer['dlt']['rss_mb']:,.0f} MB; the fetch with its",
        f"  sealed snapshot {peer['sealed']['wall']:.1f} s and {peer['sealed']['rss_mb']:,.0f} MB, {peer['times']:.1f} x as fast (at least 2: {mark(reached=peer['times'] >= 2)}).",
    ]


def outbox_section(record: dict) -> list[str]:
    """The outbox on each database, and the memory that waiting events take."""
    wanted = {"sqlite": 30_000, "postgresql": 50_000}
    memory = record["memory"]
    return [
        "",
        f"## The outbox: {record['events']:,} events of a kilobyte, into it and out of it",
        "",
        "Put into the outbox in one transaction, from a plan that passed its guards; drained into a destination that confirms at once, each window marked in a",
        f"transaction before the next. PostgreSQL with fsync and synchronous commit. Medians of {record['runs']} runs, events a second.",
        "",
        "| | into | out | at least |",
        "|---|---|---|---|",
        *(
            f"| {name} | {record[key]['insert']:,.0f}: {mark(reached=record[key]['insert'] >= wanted[key])} | "
            f"{record[key]['drain']:,.0f}: {mark(reached=record[key]['drain'] >= wanted[key])} | {wanted[key]:,} |"
            for name, key in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
        ),
        "",
        f"With {memory['many']:,} waiting, the process that delivers them has a peak of {memory['many_mb']:,.0f} MB, with {record['events']:,} of",
        f"{memory['few_mb']:,.0f} MB: {memory['ratio']:.2f} times that (flat, at most 1.25: {mark(reached=memory['ratio'] <= 1.25)}); it delivers {memory['drain']:,.0f} a second.",
    ]


def consume_section(record: dict) -> list[str]:
    """The application's end on each database."""
    events = record["events"]
    return [
        "",
        f"## The application's end: corrections of a kilobyte into a table of {record['rows']:,} rows",
        "",
        f"Half of them items that are missing there, half that differ. Each in a transaction of its own ({events['single']:,} events); {record['handed']} in one, as",
        f"the loop does unless it is told otherwise ({events['many']:,}); the same with a side effect that writes a row ({events['effect']:,}). PostgreSQL with fsync and",
        f"synchronous commit, SQLite as it comes. Medians of {record['runs']} runs, events a second.",
        "",
        "| | one by one | many at once | with an effect |",
        "|---|---|---|---|",
        *(
            f"| {name} | {record[key]['single']:,.0f} | {record[key]['many']:,.0f} ({record[key]['many'] / record[key]['single']:.0f} x) | "
            f"{record[key]['effect']:,.0f} ({record[key]['effect'] / record[key]['single']:.0f} x) |"
            for key, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"))
        ),
    ]


BROKERS = {
    "kafka": "Kafka (Tansu), `acks=all`, idempotent",
    "rabbitmq": "RabbitMQ, confirms, persistent, quorum queue",
    "nats": "NATS JetStream, each write on disk before its answer",
    "redis": "Redis Streams (Valkey), each write on disk; the bare client knows no repeats",
    "redis_once": "Redis Streams again; the bare client sets a token (SET NX) and then adds, in two steps",
    "mqtt": "MQTT 5 (mosquitto), QoS 1",
    "sqs": "SQS FIFO (moto)",
    "sns": "SNS FIFO (moto)",
    "eventbridge": "EventBridge (moto)",
    "pubsub": "Google Pub/Sub (a stand-in), ordered",
}


def brokers_section(record: dict) -> list[str]:
    """Each broker, a line each."""
    lines = []
    for key, words in BROKERS.items():
        one = record.get(key, {"fault": "this line is newer than the record"})
        if "fault" in one:
            lines.append(f"| {words} | not measured: {one['fault'].splitlines()[0][:100]} | | |")
            continue
        reached = mark(reached=one["ratio"] >= 0.8)
        lines.append(
            f"| {words}, {one['events']:,} events | {one['publisher']:,.0f} | {one['bare']:,.0f} | {one['ratio']:.2f}: {reached} |"
        )
    return [
        "",
        "## Brokers: a publisher beside the bare client that sends the same bytes",
        "",
        "Real servers on loopback, the same guarantees, one process, in turn; events a second, medians, ratios pair by pair (at least 0.8). The publisher answers for",
        "each event, keeps the order within a key over failures, and keeps to its deadline; the bare client does neither.",
        "",
        "| | publisher | bare client | ratio |",
        "|---|---|---|---|",
        *lines,
    ]


def mark(*, reached: bool) -> str:
    """A target's outcome in a word."""
    return "reached" if reached else "**not reached**"


def comparison_table(one: dict) -> list[str]:
    """One size, a contender a row."""
    runs = len(one["runs"]["ours"])
    lines = [
        f"### {one['rows']:,} rows, medians of {runs} runs in turn",
        "",
        "| | seconds | peak MB | ratio | target |",
        "|---|---|---|---|---|",
    ]
    for name, words in WORDS.items():
        if name not in one["seconds"]:
            continue
        seconds, peak = one["seconds"][name], one["peak_mb"][name]
        if name == "ours":
            lines.append(f"| {words} | {seconds:.2f} | {peak:,.0f} | | peak about 1,024 MB or less at ten million rows |")
            continue
        ratio, target = one["ratios"][name], one["targets"].get(name)
        shown = f"{ratio:.2f} x the floor" if name == "floor" else f"{ratio:.1f} x as fast"
        sign = "at most" if name == "floor" else "at least"
        wanted = f"{sign} {target}: {mark(reached=one['reached'][name])}" if target is not None else ""
        lines.append(f"| {words} | {seconds:.2f} | {peak:,.0f} | {shown} | {wanted} |")
    return [*lines, ""]


def render(record: dict) -> str:
    """The page."""
    machine = record["comparison"]["machine"]
    measured = ", ".join(f"{part} {record['dates'][part]}" for part in record["dates"])
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    walk, help_ = record["night"], record["start"]
    lines = [
        "# Figures",
        "",
        f"Written by `make bench`, measured {measured}; {machine['cores']} cores, {machine['machine']}, {machine['system']}, Python {machine['python']}; {versions}.",
        "Seconds hold for that machine; the ratios, each measured in one run, are what to quote.",
        "",
        "## Comparison: a sealed provider side against a PostgreSQL table",
        "",
        "Seven columns (key and six fields; `metadata` is JSON text compared as text), 0.1% changed, 0.05% missing on each side.",
        "The store's duplicates are ruled out by its index and by pairing rows one to one inside the time; the provider's are counted by sealing, before it.",
        "",
        *(line for one in record["comparison"]["comparison"] for line in comparison_table(one)),
        f"## A whole night: {walk['records']:,} records in pages of 100, unthrottled loopback server",
        "",
        "The bare loop asks for each page with httpx, parses it, and keeps nothing. The night fetches, spools, seals, reads the store (SQLite), compares, looks again at",
        "200 suspects by id, and writes the report. Whole processes, start-up included; medians, ratios pair by pair.",
        "",
        "| | CPU s | wall s | peak MB |",
        "|---|---|---|---|",
        *(
            f"| {name} | {walk[key]['cpu']:.2f} | {walk[key]['wall']:.2f} | {walk[key]['rss_mb']:,.0f} |"
            for name, key in (("bare httpx loop", "loop"), ("`recon run`", "night"))
        ),
        f"| ratio | {walk['cpu_ratio']:.2f} (at most 1.5: {mark(reached=walk['cpu_ratio'] <= 1.5)}) | {walk['wall_ratio']:.2f} (at most 1.25: {mark(reached=walk['wall_ratio'] <= 1.25)}) | |",
        "",
        "## Start",
        "",
        f"`recon --help` takes {help_['more_ms']:.0f} ms of CPU more than `python -c pass` ({help_['help_ms']:.0f} against {help_['pass_ms']:.0f}; at most 150: {mark(reached=help_['more_ms'] <= 150)}).",
        *limits_section(record["limits"]),
        *fetch_section(record["fetch"]),
        *outbox_section(record["outbox"]),
        *consume_section(record["consume"]),
        *brokers_section(record["brokers"]),
        "",
    ]
    return "\n".join(lines)
