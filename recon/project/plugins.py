"""Providers and publishers by type: the project's files, then installed packages, then what is shipped."""

import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from recon.errors import BadDefinition, DuplicateName, UnknownName
from recon.project.loading import PROJECT, SHIPPED, broken_by, files_in, load_file, shipped_folder, shown_path
from recon.section import Section

#: What a class must have to be taken for a plug-in of that room.
VERB = {"providers": "fetch", "publishers": "publish"}
#: How a shipped transport is told from its helpers without importing any of them.
TRANSPORT = re.compile(r"^    def publish\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plug-in type is defined: a file, or an entry point. `origin` is project, installed or shipped."""

    type: str
    origin: str
    file: Path | None = None
    entry: importlib.metadata.EntryPoint | None = None

    def shown(self, base: Path) -> str:
        """The place for a reader."""
        if self.entry is not None:
            package = self.entry.dist.name if self.entry.dist else "an installed package"
            return f"{self.entry.value} ({package})"
        assert self.file is not None
        return shown_path(self.file, base)


def entry_points(group: str, environ: Mapping[str, str]) -> list[importlib.metadata.EntryPoint]:
    """The installed entry points of a group, by `RECON_PLUGINS`: all by default, `none`, or the names of distributions."""
    wanted = environ.get("RECON_PLUGINS", "").strip()
    if wanted == "none":
        return []
    names = {name.strip() for name in wanted.split(",") if name.strip()}
    found = importlib.metadata.entry_points(group=f"recon.{group}")
    return sorted((e for e in found if not names or (e.dist and e.dist.name in names) or e.name in names), key=lambda e: (e.name, e.value))


def shipped_files(room: str) -> list[Path]:
    """The shipped definition files of a room."""
    if room == "publishers":
        folder = Path(__file__).resolve().parent.parent / "publishers"
        return [path for path in files_in(folder) if path.stem != "base" and TRANSPORT.search(path.read_text(encoding="utf-8"))]
    return files_in(shipped_folder() / room)


class Types:
    """The plug-in types of one room (`providers` or `publishers`), resolved for one project."""

    def __init__(self, room: str, folder: Path, environ: Mapping[str, str]) -> None:
        self.room = room
        self.folder = folder
        self.shadowed: list[Place] = []
        self._places: dict[str, list[Place]] = {}
        # The repository is a project of its own, whose files are the shipped ones.
        project = [] if folder / room == shipped_folder() / room else files_in(folder / room)
        for file in project:
            self._add(Place(file.stem, "project", file=file))
        for entry in entry_points(room, environ):
            self._add(Place(entry.name, "installed", entry=entry))
        for file in shipped_files(room):
            self._add(Place(file.stem, "shipped", file=file))

    def _add(self, place: Place) -> None:
        others = self._places.setdefault(place.type, [])
        if others and others[0].origin == "project" and place.origin != "project":
            self.shadowed.append(place)
        else:
            others.append(place)

    def names(self) -> list[str]:
        """Every type, sorted."""
        return sorted(self._places)

    def places(self, type_: str) -> list[Place]:
        """Where a type is defined: one place, none, or several that clash."""
        return self._places.get(type_, [])

    def place(self, type_: str, *, where: str) -> Place:
        """The one place of a type; raises UnknownName with near misses, or DuplicateName naming both places."""
        found = self._places.get(type_, [])
        one = self.room.removesuffix("s")
        if not found:
            near = get_close_matches(type_, self.names(), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.names())}; or write {self.room}/{type_}.py"
            msg = f"{where}: no {one} type {type_!r}"
            raise UnknownName(msg, hint=hint)
        if len(found) > 1:
            msg = f"{one} type {type_!r} is defined twice: {found[0].shown(self.folder)} and {found[1].shown(self.folder)}"
            raise DuplicateName(msg, hint=f"rename one, or shadow both with {self.room}/{type_}.py of your own")
        return found[0]

    def load(self, type_: str, *, where: str) -> type[Any]:
        """The class of a type; raises UnknownName, DuplicateName or BadDefinition."""
        place = self.place(type_, where=where)
        if place.entry is not None:
            try:
                loaded = place.entry.load()
            except Exception as error:
                msg = f"{place.shown(self.folder)}: {type(error).__name__}: {error}"
                raise BadDefinition(msg, hint="mend or remove the package, or leave it out with RECON_PLUGINS") from error
            if not inspect.isclass(loaded):
                msg = f"{place.shown(self.folder)}: the entry point gives no class"
                raise BadDefinition(msg)
            return loaded
        assert place.file is not None
        return self._class_in(self._module(place), place)

    def _module(self, place: Place) -> ModuleType:
        assert place.file is not None
        if place.origin == "shipped" and self.room == "publishers":
            return importlib.import_module(f"recon.publishers.{place.type}")
        return load_file(place.file, PROJECT if place.origin == "project" else SHIPPED, base=self.folder)

    def _class_in(self, module: ModuleType, place: Place) -> type[Any]:
        verb = VERB[self.room]
        own = [
            c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__ and not c.__name__.startswith("_")
        ]
        found = [c for c in own if callable(getattr(c, verb, None)) and not getattr(c, "_is_protocol", False)]
        # Of a base and what is built on it in the same file, the latter is meant.
        leaves = [c for c in found if not any(issubclass(other, c) and other is not c for other in found)]
        if len(leaves) != 1:
            names = ", ".join(c.__name__ for c in leaves) or "none"
            msg = f"{place.shown(self.folder)}: one class with a method {verb} is wanted; found {names}"
            raise BadDefinition(msg, hint=f"one {self.room.removesuffix('s')} per file; helpers start with an underscore")
        return leaves[0]

    def build(self, section: Section) -> Any:
        """The plug-in of `[room.NAME]`, constructed from its table; `type` defaults to the table's own name."""
        type_ = section.text("type", section.name)
        made = self.load(type_, where=section.where("type"))
        try:
            return made(section)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            file = inspect.getfile(made)
            raise broken_by(error, Path(file), base=self.folder) from error
