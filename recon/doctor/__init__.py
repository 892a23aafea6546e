"""What would make tonight fail, asked this afternoon: `examine` looks at every part that a run will need."""

from recon.doctor.check import Check, Level, exit_code
from recon.doctor.examine import examine
from recon.doctor.overdue import overdue

__all__ = ["Check", "Level", "examine", "exit_code", "overdue"]
