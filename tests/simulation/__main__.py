"""`python -m tests.simulation`: campaigns over all worlds, or one seed looked at closely; --help tells more."""

import sys

from recon.testing.simulation import main
from tests.simulation.all_worlds import WORLDS

if __name__ == "__main__":
    sys.exit(main(WORLDS))
