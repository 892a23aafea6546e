"""Project: finds the folder, loads its files, and constructs what its jobs name, once and only when asked."""

import logging
import os
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from recon.errors import BadRequest, LocalFault, NoProject, UnknownName
from recon.job import Job
from recon.project.inventory import Entry, inventory
from recon.project.jobs import Broken, Jobs, read_jobs
from recon.project.loading import PROJECT, SHIPPED, open_package, shipped_folder
from recon.project.neighbours import Neighbours
from recon.project.plugins import Types
from recon.provider import Provider
from recon.publishers.base import Publisher
from recon.settings import Settings, load
from recon.settings.load import FILE
from recon.stores.base import Store

log = logging.getLogger(__name__)


def find_file(start: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Path:
    """The project's recon.toml: of `start` (a folder, or the file itself), else of RECON_PROJECT, else the nearest one upward.

    Raises NoProject, naming where it looked.
    """
    environ = os.environ if environ is None else environ
    named = start or (Path(environ["RECON_PROJECT"]) if environ.get("RECON_PROJECT") else None)
    if named is not None:
        file = named if named.is_file() else named / FILE
        if not file.is_file():
            source = "--project" if start else "RECON_PROJECT"
            msg = f"no {FILE} in {named} ({source})"
            raise NoProject(msg, hint=f"recon init {named} writes one")
        return file.resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return (folder / FILE).resolve()
    msg = f"no {FILE} in {here} or any folder above it"
    raise NoProject(msg, hint="recon init shop writes a project; --project DIR or RECON_PROJECT names one elsewhere")


class Project:
    """A project, open. `close` lets go of every provider, store and publisher that was constructed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.folder
        self.types = {room: Types(room, self.folder, settings.environ) for room in ("providers", "publishers")}
        self._open: dict[tuple[str, str], Any] = {}
        open_package(PROJECT, self.folder)
        open_package(SHIPPED, shipped_folder())

    @classmethod
    def find(
        cls, start: Path | None = None, *, environ: Mapping[str, str] | None = None, reports: str | None = None, state: str | None = None
    ) -> Self:
        """The project at or above `start`; `reports` and `state` are flags that win over every other layer.

        Raises NoProject, or BadSetting for a recon.toml that is not understood as a whole.
        """
        return cls(load(find_file(start, environ=environ), environ=environ, reports=reports, state=state))

    @cached_property
    def found(self) -> Jobs:
        """Every job with its place and standing; the files are executed on first use."""
        return read_jobs(self.settings, self.types)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs that are on, with recon.toml laid over, by domain."""
        return MappingProxyType({domain: found.job for domain, found in sorted(self.found.on.items())})

    @property
    def broken(self) -> list[Broken]:
        """The domains that cannot run, sorted, each with its file and error."""
        return [broken for _, broken in sorted(self.found.broken.items())]

    @property
    def domains(self) -> list[str]:
        """Every domain that `--all` means: those that are on, and those that ought to be and are broken."""
        return sorted({*self.found.on, *self.found.broken})

    def job(self, domain: str) -> Job:
        """The job of a domain; raises the error of a broken one, and UnknownName (near misses) or BadRequest for one that is off."""
        if domain in self.found.broken:
            raise self.found.broken[domain].error
        if domain in self.found.off:
            off = self.found.off[domain]
            if off.origin == "project":
                msg = f"{domain}: switched off, at {self.settings.origin(('jobs', domain, 'enabled'))}"
                raise BadRequest(msg, hint=f"set enabled = true in [jobs.{domain}]")
            msg = f"{domain}: {off.place} is {off.origin}, and this project does not name it"
            raise BadRequest(msg, hint=f"write a table [jobs.{domain}] in {self.settings.file.name} to switch it on")
        if domain not in self.found.on:
            known = sorted({*self.found.on, *self.found.off})
            near = get_close_matches(domain, known, 1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"domains are {', '.join(sorted(self.found.on)) or 'none yet: recon new domain NAME'}"
            )
            msg = f"no job declares the domain {domain!r}"
            raise UnknownName(msg, hint=hint)
        job = self.found.on[domain].job
        self._check_resource(job)
        return job

    def _check_resource(self, job: Job) -> None:
        """That the provider's class or table declares the job's resource, as far as can be told without constructing it."""
        section = self.settings.section("providers", job.provider)
        made = self.types["providers"].load(section.table.get("type", job.provider), where=section.where("type"))
        declared = {*(getattr(made, "catalogue", None) or {}), *(section.table.get("resources") or {})}
        if declared and job.resource not in declared:
            near = get_close_matches(job.resource, sorted(declared), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(declared))}"
            msg = (
                f"{self.found.on[job.domain].place}: {job.domain} names resource {job.resource!r}, which provider {job.provider!r} has not"
            )
            raise UnknownName(msg, hint=hint)

    def provider(self, name: str) -> Provider:
        """The provider of `[providers.NAME]`, constructed on first use."""
        made: Provider = self._construct("providers", name)
        return made

    def publisher(self, name: str) -> Publisher:
        """The publisher of `[publishers.NAME]`, constructed on first use."""
        made: Publisher = self._construct("publishers", name)
        return made

    def store(self, name: str) -> Store:
        """The store of `[stores.NAME]`, opened on first use."""
        if ("stores", name) not in self._open:
            if name not in self.settings.stores:
                near = get_close_matches(name, sorted(self.settings.stores), 1)
                msg = f"no store {name!r} in {self.settings.file.name}"
                raise UnknownName(msg, hint=f"did you mean {near[0]!r}?" if near else f"write a table [stores.{name}] with a url")
            from recon.stores.factory import open_store

            self._open["stores", name] = open_store(self.settings.section("stores", name))
        opened: Store = self._open["stores", name]
        return opened

    def put(self, room: str, name: str, made: Any) -> None:
        """Takes `made` for the provider, store or publisher of that name, instead of constructing it: for tests and the simulation."""
        self._open[room, name] = made

    def _construct(self, room: str, name: str) -> Any:
        if (room, name) not in self._open:
            section = self.settings.section(room, name)
            if name not in getattr(self.settings, room) and name not in self.types[room].names():
                known = sorted({*getattr(self.settings, room), *self.types[room].names()})
                near = get_close_matches(name, known, 1)
                msg = f"no {room.removesuffix('s')} {name!r}"
                raise UnknownName(
                    msg, hint=f"did you mean {near[0]!r}?" if near else f"write a table [{room}.{name}] in {self.settings.file.name}"
                )
            section.beside = Neighbours(self)
            self._open[room, name] = self.types[room].build(section)
        return self._open[room, name]

    def inventory(self) -> list[Entry]:
        """Every job, provider, store and publisher, for `recon list`."""
        return inventory(self.settings, self.found, self.types)

    @property
    def state_url(self) -> str:
        """The state database's URL, resolved."""
        return self.settings.state_url

    @cached_property
    def work_folder(self) -> Path:
        """The project's .recon/ folder (mode 0700): spools, snapshots, the default state. Made on first use; raises LocalFault."""
        folder = self.folder / ".recon"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            msg = f"{folder}: cannot be made: {error.strerror}"
            raise LocalFault(msg, hint="the project's folder must be writable by the user that runs recon") from None
        return folder

    @property
    def reports_folder(self) -> Path:
        """Where reports are written; not made here."""
        return self.settings.reports

    def close(self) -> None:
        """Closes what was constructed, each whatever becomes of the others; what goes wrong is logged and raises nothing."""
        for key in list(self._open):
            try:
                self._open.pop(key).close()
            except Exception:
                # The run is over and its outcome stands; a connection that will not close changes nothing of it.
                log.warning("closing %s failed", ".".join(key), exc_info=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
