"""Definition files are loaded by path, under a package name of their own, and a broken one is told by its file and line."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from recon.errors import BadDefinition

#: The package names under which files of a project, and those shipped, stand in `sys.modules`.
PROJECT = "recon_project"
SHIPPED = "recon_shipped"


def open_package(root: str, folder: Path) -> None:
    """Makes `root` and its rooms importable, so that `jobs/orders.py` may say `from recon_project.jobs._shared import FIELDS`.

    What another project left under the same name is dropped.
    """
    for name in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
        del sys.modules[name]
    for name, path in ((root, folder), *((f"{root}.{room}", folder / room) for room in ("jobs", "providers", "publishers"))):
        package = ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package


def files_in(folder: Path) -> list[Path]:
    """The definition files of a folder, sorted; names with a leading underscore are helpers."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def load_file(path: Path, root: str, *, base: Path) -> ModuleType:
    """The module of one definition file, executed once; raises BadDefinition with its line, relative to `base`."""
    name = f"{root}.{path.parent.name}.{path.stem}"
    if name in sys.modules and sys.modules[name].__file__ == str(path):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses with postponed annotations look their module up while it is still being executed.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise broken_by(error, path, base=base) from error
    except SystemExit as error:
        del sys.modules[name]
        msg = f"{shown_path(path, base)}: the file ends the program while it is loaded (exit {error.code})"
        raise BadDefinition(msg, hint="a definition file only declares; take the call to exit out") from error
    return module


def broken_by(error: BaseException, path: Path, *, base: Path) -> BadDefinition:
    """The BadDefinition for an error that came out of a file: line, source line, and the traceback trimmed to the file."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line, source = (frames[-1].lineno, frames[-1].line) if frames else (None, None)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line, source = error.lineno, (error.text or "").strip()
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    kind = "" if type(error).__name__ == "BadJob" else f"{type(error).__name__}: "
    place = f"{shown_path(path, base)}:{line}" if line else shown_path(path, base)
    found = BadDefinition(f"{place}: {kind}{what}".rstrip(": "), hint="mend the file; recon list shows when it loads")
    if source:
        found.add_note(f"    {source}")
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != str(path):
        trace = trace.tb_next
    if trace is not None:
        found.add_note("".join(traceback.format_tb(trace)).rstrip())
    return found


def shown_path(path: Path, base: Path) -> str:
    """A file as messages name it: from the project's folder where it lies in it."""
    try:
        return str(path.relative_to(base))
    except ValueError:
        return str(path)


def shipped_folder() -> Path:
    """Where the shipped jobs/ and providers/ lie: inside the wheel, or beside the engine in a checkout."""
    engine = Path(__file__).resolve().parent.parent
    bundled = engine / "_bundled"
    return bundled if bundled.is_dir() else engine.parent
