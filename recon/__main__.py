"""One door for `python -m recon` and the `recon` script."""

import atexit
import gc
from importlib import import_module
from importlib.util import find_spec


def main() -> None:
    """Runs the command line: of the wheel, which carries it inside the package, or of a checkout, where it stands beside it."""
    # At the end the interpreter looks for cycles among all that was ever imported, though the process goes: a seventh of a small run's CPU.
    atexit.register(gc.freeze)
    import_module("recon.cli" if find_spec("recon.cli") else "cli").main()


if __name__ == "__main__":
    main()
