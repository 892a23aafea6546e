"""A project's event types beside their register, for a test of the project's own."""

from pathlib import Path

from recon.event import register
from recon.project import Project


def check_events(folder: str | Path) -> None:
    """Fails where a type changed without a new version, or the register is behind; raises AssertionError with a line for each."""
    with Project.find(Path(folder)) as project:
        before = register.written(project.folder / register.FILE)
        now = register.register_of(project.jobs)
    assert before is not None, f"{folder}: there is no {register.FILE}; write it with: recon events lock"
    broken = register.changes(before, now)
    assert not broken, "\n".join([f"{register.FILE}: {len(broken)} changes break who reads these events:", *broken])
    assert before == now, f"{register.FILE} is behind the jobs; write it anew with: recon events lock"
