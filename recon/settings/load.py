"""Settings: what recon.toml, the user's own file and the environment say, checked and frozen."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from recon.duration import words_of
from recon.errors import BadSetting
from recon.secret import MASK, SecretRef
from recon.section import Section
from recon.settings.layers import NAMING, KeyPath, Leaf, Leaves, overlaid, read_dotenv, read_environment, read_file, shown_key

FILE = "recon.toml"
#: The tables of recon.toml with keys of the engine's own.
ENGINE_TABLES = ("project", "state", "reports", "engine", "schedule", "heartbeat", "notify", "guards", "delivery", "retention")
PARALLEL = 2
DAY = 86400.0
CATCH_UP = 7 * DAY
OVERDUE = 3600.0
REMIND = 12 * 3600.0
BACKLOG = 1_000_000
KEEP_FILES = 7 * DAY
KEEP_FINDINGS = 90 * DAY
KEEP_EVENTS = 400 * DAY
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)", re.IGNORECASE)
#: Keys whose plain text is masked wherever settings are shown, since somebody will write a secret there one day.
HIDING = re.compile(r"secret|token|passw|api_?key|bearer|credential|private", re.IGNORECASE)
#: Addresses that whoever knows them may post to.
ADDRESSES = {("heartbeat", "url"), ("notify", "url")}
NOWHERE = "(none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What the comparison may use: memory as DuckDB writes it (`1GiB`) and threads; None leaves it to the engine."""

    memory: str | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How `recon schedule` works: how many runs at once, and how old (seconds) a missed slot may be to be caught up.

    A slot that has had no finished run `overdue` seconds after its time counts as a night that did not happen.
    """

    parallel: int = PARALLEL
    catch_up: float = CATCH_UP
    overdue: float = OVERDUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Where a run says that it began, ended or failed; `{domain}` in the URL stands for the domain. None: nowhere."""

    url: str | SecretRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Where people are told of what waits for them, and after how many seconds they are told again."""

    url: str | SecretRef | None = None
    remind: float = REMIND


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Limits over all domains together: `total` events in a day; None for no limit."""

    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How many events may wait for one destination, over all domains, before it is said loudly; none is ever dropped for it."""

    backlog: int = BACKLOG


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how many seconds what a run left is kept: its files on disk, its findings, and the events that went out."""

    files: float = KEEP_FILES
    findings: float = KEEP_FINDINGS
    events: float = KEEP_EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of `recon config show`: the dotted key, the value as it may be shown, and its origin."""

    key: str
    shown: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that recon.toml and the environment say.

    `providers`, `stores`, `publishers` and `jobs` map names to their `Section`s, which the plug-in or the project reads. Secrets are
    `SecretRef`s and are not resolved here. `environ` is the environment with the project's .env below it.
    """

    file: Path
    folder: Path
    name: str
    timezone: str
    state: str | SecretRef
    reports: Path
    engine: Engine
    schedule: Schedule
    heartbeat: Heartbeat
    notify: Notify
    guards: Guards
    delivery: Delivery
    retention: Retention
    providers: Mapping[str, Section]
    stores: Mapping[str, Section]
    publishers: Mapping[str, Section]
    jobs: Mapping[str, Section]
    environ: Mapping[str, str]
    leaves: Leaves

    @property
    def state_url(self) -> str:
        """The state database's URL; raises MissingSecret where it is a reference that leads nowhere."""
        url = self.state.get().reveal() if isinstance(self.state, SecretRef) else self.state
        return _anchored(url, self.folder)

    def section(self, table: str, name: str) -> Section:
        """`[table.name]`, empty where recon.toml has none: some plug-ins need no setting."""
        known: Mapping[str, Section] = getattr(self, table)
        return known[name] if name in known else _section(self.file, self.leaves, (table, name))

    def origin(self, path: KeyPath) -> str:
        """Where a key came from: `recon.toml:14`, `env …`, or the file alone where nothing sets it."""
        return _origin(self.leaves, path, self.file.name)

    def listing(self) -> Iterator[Setting]:
        """Every setting with its origin, defaults too, in the order of recon.toml's reference; secrets masked."""
        defaults: list[tuple[KeyPath, Any]] = [
            (("project", "name"), self.name),
            (("project", "timezone"), self.timezone),
            (("state", "url"), _relative(default_state_url(self.folder), self.folder)),
            (("reports", "folder"), "reports"),
            (("engine", "memory"), self.engine.memory or "(the engine's own)"),
            (("engine", "threads"), self.engine.threads or "(the engine's own)"),
            (("schedule", "parallel"), self.schedule.parallel),
            (("schedule", "catch_up"), words_of(self.schedule.catch_up)),
            (("schedule", "overdue"), words_of(self.schedule.overdue)),
            (("heartbeat", "url"), NOWHERE),
            (("notify", "url"), NOWHERE),
            (("notify", "remind"), words_of(self.notify.remind)),
            (("guards", "total"), self.guards.total or "(no limit)"),
            (("delivery", "backlog"), self.delivery.backlog),
            (("retention", "files"), words_of(self.retention.files)),
            (("retention", "findings"), words_of(self.retention.findings)),
            (("retention", "events"), words_of(self.retention.events)),
        ]
        for path, value in defaults:
            leaf = self.leaves.get(path, Leaf(value, "default"))
            yield Setting(key=".".join(path), shown=shown(path, leaf.value), origin=leaf.origin)
        for table in NAMING:
            for path in sorted(key for key in self.leaves if key[0] == table):
                leaf = self.leaves[path]
                yield Setting(key=".".join(path), shown=shown(path, leaf.value), origin=leaf.origin)


def load(file: Path, *, environ: Mapping[str, str] | None = None, reports: str | None = None, state: str | None = None) -> Settings:
    """The settings of the project whose recon.toml is `file`; `reports` and `state` are flags and win over everything.

    Raises BadSetting, with file and line or the variable's name, for anything that is not understood.
    """
    folder = file.parent
    machine = dict(os.environ if environ is None else environ)
    environ = {**read_dotenv(folder / ".env"), **machine}
    layers = [read_file(user, label=_home_label(user, environ), environ=environ)] if (user := _user_file(environ)) else []
    layers.append(read_file(file, label=FILE, environ=environ))
    below = overlaid(*layers)
    flags = {("reports", "folder"): reports, ("state", "url"): state}
    given: Leaves = {path: Leaf(value, f"flag --{path[0]}") for path, value in flags.items() if value is not None}
    leaves = overlaid(below, read_environment(environ, below, folder), given)
    _check_tables(leaves)
    return _settings(file, leaves, environ)


def _settings(file: Path, leaves: Leaves, environ: Mapping[str, str]) -> Settings:
    section = {table: _section(file, leaves, (table,)) for table in ENGINE_TABLES}
    named = {
        table: {
            name: _section(file, leaves, (table, name)) for name in sorted({key[1] for key in leaves if key[0] == table and len(key) > 1})
        }
        for table in NAMING
    }
    name = section["project"].text("name", re.sub(r"[^a-z0-9_-]+", "-", file.parent.name.lower()).strip("-") or "recon")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise section["project"].bad("name", f"{name!r} is no name: letters, digits, . _ and -; it becomes part of each event's source")
    zone = section["project"].text("timezone", "UTC")
    if not is_zone(zone):
        raise section["project"].bad("timezone", f"{zone!r} is no time zone", hint="names are such as UTC, Europe/Paris, America/New_York")
    url = section["state"].take("url", default_state_url(file.parent))
    if not isinstance(url, str | SecretRef) or not url:
        raise section["state"].bad("url", "wants a database URL or a reference", hint='such as url = { env = "RECON_STATE_URL" }')
    settings = Settings(
        file=file,
        folder=file.parent,
        name=name,
        timezone=zone,
        state=url,
        reports=file.parent / Path(section["reports"].text("folder", "reports")).expanduser(),
        engine=Engine(memory=_size(section["engine"]), threads=section["engine"].integer("threads", None, low=1)),
        schedule=Schedule(
            parallel=section["schedule"].integer("parallel", PARALLEL, low=1),
            catch_up=section["schedule"].duration("catch_up", CATCH_UP),
            overdue=section["schedule"].duration("overdue", OVERDUE),
        ),
        heartbeat=Heartbeat(url=_address(section["heartbeat"])),
        notify=Notify(url=_address(section["notify"]), remind=section["notify"].duration("remind", REMIND)),
        guards=Guards(total=section["guards"].integer("total", None, low=1)),
        delivery=Delivery(backlog=section["delivery"].integer("backlog", BACKLOG, low=1)),
        retention=Retention(
            files=section["retention"].duration("files", KEEP_FILES),
            findings=section["retention"].duration("findings", KEEP_FINDINGS),
            events=section["retention"].duration("events", KEEP_EVENTS),
        ),
        providers=named["providers"],
        stores=named["stores"],
        publishers=named["publishers"],
        jobs=named["jobs"],
        environ=environ,
        leaves=leaves,
    )
    for table in ENGINE_TABLES:
        section[table].finish()
    return settings


def _section(file: Path, leaves: Leaves, path: KeyPath) -> Section:
    """The table at `path`, nested again from its leaves, with each key's place."""
    table: dict[str, Any] = {}
    for key, leaf in leaves.items():
        if key[: len(path)] == path and len(key) > len(path):
            at = table
            for part in key[len(path) : -1]:
                at = at.setdefault(part, {})
            at[key[-1]] = leaf.value
    place = _placing(leaves, path, file.name)
    return Section(name=path[-1], file=file, path=".".join(path), table=table, folder=file.parent, place=place)


def _placing(leaves: Leaves, path: KeyPath, default: str) -> Callable[[str], str]:
    return lambda key: _origin(leaves, (*path, *key.split(".")), default)


def _origin(leaves: Leaves, path: KeyPath, default: str) -> str:
    """The origin of the leaf at `path`, else of one below it, else of a neighbour in its table (a key that is missing)."""
    if path in leaves:
        return leaves[path].origin
    for length in (len(path), len(path) - 1):
        near = [leaf.origin for key, leaf in leaves.items() if key[:length] == path[:length] and length > 0]
        if near:
            return near[0] if length == len(path) else near[0].partition(":")[0] if not near[0].startswith("env ") else default
    return default


def _check_tables(leaves: Leaves) -> None:
    """Unknown tables, and values where a table is wanted."""
    known = (*ENGINE_TABLES, *NAMING)
    for path, leaf in leaves.items():
        if path[0] not in known:
            near = get_close_matches(path[0], known, 1)
            hint = f"did you mean [{near[0]}]?" if near else f"tables are {', '.join(sorted(known))}"
            msg = f"{leaf.origin} {shown_key(path)}: there is no table [{path[0]}]"
            raise BadSetting(msg, hint=hint)
        named = path[0] in NAMING
        if (len(path) == 1 and leaf.value != {}) or (named and len(path) == 2 and leaf.value != {}):
            want = f"[{path[0]}.NAME]" if named else f"[{path[0]}]"
            msg = f"{leaf.origin} {'.'.join(path)}: a table is wanted, not {type(leaf.value).__name__}"
            raise BadSetting(msg, hint=f"write a table {want} with its keys below it")


def _size(section: Section) -> str | None:
    value = section.text("memory", None)
    if value is not None and not SIZE.fullmatch(value):
        raise section.bad("memory", f"{value!r} is no size", hint='write a number and a unit, such as "512MiB" or "2GiB"')
    return str(value) if value is not None else None


def _address(section: Section) -> str | SecretRef | None:
    """A URL, or a reference to one: such URLs are capabilities, and so secrets."""
    url = section.take("url", None)
    if url is not None and (not isinstance(url, str | SecretRef) or not url):
        raise section.bad("url", "wants a URL or a reference", hint='such as url = { env = "RECON_HEARTBEAT_URL" }')
    return url


def is_zone(name: str) -> bool:
    """Whether the name is a time zone of the database."""
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return False
    return True


def default_state_url(folder: Path) -> str:
    """SQLite in the project's .recon/ folder."""
    return f"sqlite:///{folder / '.recon' / 'state.db'}"


def _anchored(url: str, folder: Path) -> str:
    """A relative SQLite file starts from the project's folder, not from where the command happens to run."""
    found = re.fullmatch(r"(sqlite(?:\+\w+)?:///)(?!/)(.+)", url)
    return url if not found or found[2].startswith((":memory:", "file:")) else f"{found[1]}{folder / found[2]}"


def _relative(url: str, folder: Path) -> str:
    return url.replace(f"{folder}/", "")


def _user_file(environ: Mapping[str, str]) -> Path | None:
    base = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    file = Path(base) / "recon" / FILE
    return file if base and file.is_file() else None


def _home_label(file: Path, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    return f"~{str(file).removeprefix(home)}" if home and str(file).startswith(f"{home}/") else str(file)


def _hidden(path: KeyPath) -> bool:
    """Whether a plain text at this key is, or may be, a secret that somebody wrote out."""
    return path in ADDRESSES or any(HIDING.search(part) for part in path[2:]) or ("auth" in path[2:] and path[-1] not in {"name", "user"})


def shown(path: KeyPath, value: Any) -> str:
    """A value as `recon config show` may print it: secrets by their reference, passwords in URLs masked."""
    if isinstance(value, SecretRef):
        form, target = next(iter(value.reference.items()))
        # A command may carry a secret in its words, so only its first word is shown.
        return f'{{ {form} = "{target.split()[0] + " …" if form == "command" and " " in target else target}" }}'
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {shown((*path, key), inner)}' for key, inner in value.items())} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(shown(path, inner) for inner in value)}]"
    if isinstance(value, str) and _hidden(path) and value != NOWHERE:
        return MASK
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"(://[^/:@\s]*:)[^@\s]*(@)", rf"\1{MASK}\2", text)
