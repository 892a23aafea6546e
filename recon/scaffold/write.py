"""Writes new files from the templates beside this one; it never overwrites."""

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from string import Template

from recon.errors import BadRequest, UnknownName
from recon.files import local_faults
from recon.job import NAME, Job
from recon.project import Project
from recon.project.loading import SHIPPED, files_in, load_file, shipped_folder

PROJECT_FILES = {
    "recon.toml": "recon.toml.txt",
    "jobs/orders.py": "orders.py.txt",
    "providers/shop.py": "shop.py.txt",
    "tests/test_orders.py": "test_orders.py.txt",
    ".env.example": "env.example.txt",
    ".gitignore": "gitignore.txt",
    "README.md": "README.md.txt",
}


def new_project(folder: Path) -> list[Path]:
    """A whole small project in `folder`, which may exist but must hold none of its files; answers what was written.

    Raises BadRequest where something would be overwritten, LocalFault where the folder cannot be written.
    """
    there = [name for name in PROJECT_FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if there:
        msg = f"{folder}: {', '.join(there)} {'is' if len(there) == 1 else 'are'} there already, and nothing is overwritten"
        raise BadRequest(msg, hint="recon init another-folder, or recon new domain NAME for a project that exists")
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in folder.resolve().name).strip("-._") or "recon"
    return [_write(folder / path, _filled(template, {"name": name})) for path, template in PROJECT_FILES.items()]


def new_domain(project: Project, name: str, *, origin: str | None = None) -> tuple[Path, str]:
    """`jobs/NAME.py`; with `origin` (`stripe.charges`) after the shipped job for that resource, or from the provider's own list.

    Answers the file and a sentence on what it was made from. Raises BadRequest, UnknownName.
    """
    _check_name(name, "domain")
    path = project.folder / "jobs" / f"{name}.py"
    taken = {broken.domain for broken in project.broken} | {e.name for e in project.inventory() if e.what == "job" and e.standing == "on"}
    if name in taken:
        msg = f"the domain {name!r} is there already"
        raise BadRequest(msg, hint="recon list shows its file")
    if origin is None:
        provider = next(iter(project.settings.providers), "shop")
        return _write(path, _domain(name, provider, name)), f"a sketch on provider {provider!r}: name its resource, table and fields"
    provider, dot, resource = origin.partition(".")
    if not dot or not provider or not resource:
        msg = f"--from {origin!r}: a provider and one of its resources are wanted, such as stripe.charges"
        raise BadRequest(msg)
    shipped = _shipped_jobs()
    if (provider, resource) in shipped:
        source, job = shipped[provider, resource]
        return _write(
            path, renamed(source.read_text(encoding="utf-8"), job.domain, name)
        ), f"after the shipped {source.name}: name your own table"
    known = sorted({*_resources(project, provider), *(r for p, r in shipped if p == provider)})
    if resource not in known:
        near = get_close_matches(resource, known, 1)
        hint = f"did you mean {provider}.{near[0]}?" if near else f"{provider} has {', '.join(known) or 'no resources declared'}"
        msg = f"--from {origin}: provider {provider!r} has no resource {resource!r}"
        raise UnknownName(msg, hint=hint)
    return _write(path, _domain(name, provider, resource)), f"a sketch on {origin}: name its table and fields"


def new_provider(project: Project, name: str) -> Path:
    """`providers/NAME.py`. Raises BadRequest where it is there."""
    _check_name(name, "provider")
    words = {"name": name, "class_": "".join(part.capitalize() for part in name.split("_")), "title": name.replace("_", " ").capitalize()}
    return _write(project.folder / "providers" / f"{name}.py", _filled("provider.py.txt", words))


def renamed(source: str, domain: str, name: str) -> str:
    """The text of a job file with its domain, and the variable that holds the job, called `name`; all else stays as it is."""
    changes: list[tuple[int, int, int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name):
            for keyword in node.value.keywords:
                if keyword.arg == "domain" and isinstance(keyword.value, ast.Constant) and keyword.value.value == domain:
                    end = keyword.value.end_col_offset
                    assert end is not None
                    changes.append((keyword.value.lineno, keyword.value.col_offset, end, f'"{name}"'))
                    target = node.targets[0]
                    changes.append((target.lineno, target.col_offset, target.col_offset + len(target.id), name))
    lines = source.split("\n")
    for line, start, end, text in sorted(changes, reverse=True):
        # The offsets of ast count bytes of UTF-8.
        raw = lines[line - 1].encode()
        lines[line - 1] = (raw[:start] + text.encode() + raw[end:]).decode()
    return "\n".join(lines)


def _domain(name: str, provider: str, resource: str) -> str:
    event = resource.removesuffix("s") if resource.isidentifier() else name.removesuffix("s")
    words = {"name": name, "provider": provider, "resource": resource, "event": event, "title": name.replace("_", " ").capitalize()}
    return _filled("domain.py.txt", words)


def _shipped_jobs() -> dict[tuple[str, str], tuple[Path, Job]]:
    folder = shipped_folder()
    found = {}
    for file in files_in(folder / "jobs"):
        for value in vars(load_file(file, SHIPPED, base=folder)).values():
            if isinstance(value, Job):
                found[value.provider, value.resource] = (file, value)
    return found


def _resources(project: Project, provider: str) -> set[str]:
    """What a provider lists, from its class and its table, without constructing it. Raises UnknownName."""
    section = project.settings.section("providers", provider)
    made = project.types["providers"].load(section.table.get("type", provider), where="--from")
    return {*(getattr(made, "catalogue", None) or {}), *(section.table.get("resources") or {})}


def _check_name(name: str, what: str) -> None:
    if not NAME.fullmatch(name):
        msg = f"{what} {name!r}: a name is lower case letters, digits and _, starting with a letter, at most 63"
        raise BadRequest(msg)


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = files("recon.scaffold").joinpath("templates", template).read_text(encoding="utf-8")
    return Template(text).substitute(words)


def _write(path: Path, text: str) -> Path:
    with local_faults(path, "writing"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            msg = f"{path} is there already, and nothing is overwritten"
            raise BadRequest(msg, hint="choose another name, or move the file away") from None
    return path
