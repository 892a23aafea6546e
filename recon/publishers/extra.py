"""Client libraries that come as extras: asked for when the settings are read, so that a night does not find out after its fetch."""

from importlib.util import find_spec

from recon.section import Section


def needs(section: Section, module: str, extra: str) -> None:
    """Raises BadSetting where the library is not installed, with the command that installs it."""
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:
        # Of a dotted name the package above is not there either.
        found = False
    if not found:
        why = f"needs the library {module}, which is not installed"
        raise section.bad("type", why, hint=f'pip install "nightly-recon[{extra}]"')
