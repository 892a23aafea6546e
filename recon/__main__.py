"""One door for `python -m recon` and the `recon` script."""

from importlib import import_module
from importlib.util import find_spec


def main() -> None:
    """Runs the command line: of the wheel, which carries it inside the package, or of a checkout, where it stands beside it."""
    import_module("recon.cli" if find_spec("recon.cli") else "cli").main()


if __name__ == "__main__":
    main()
