"""One door for `python -m recon` and the `recon` script."""

import atexit
import gc
import sys
from importlib import import_module
from importlib.util import find_spec


def main() -> None:
    """Runs the command line: of the wheel, which carries it inside the package, or of a checkout, where it stands beside it."""
    atexit.register(_spare_the_last_look)
    import_module("recon.cli" if find_spec("recon.cli") else "cli").main()


def _spare_the_last_look() -> None:
    """At the end the interpreter looks for cycles among all that was ever imported, though the process goes: a good part of a small command.

    Not where DuckDB is loaded: its binding counts what is left of it as leaked, and writes sixty lines of that to stderr, of a clean night too.
    """
    if not {"duckdb", "_duckdb"} & sys.modules.keys():
        gc.freeze()


if __name__ == "__main__":
    main()
