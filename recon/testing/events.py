"""A project's event types beside their register, for a test of the project's own."""

from pathlib import Path
from typing import Any

from recon.clock import SystemClock
from recon.event import register, steps
from recon.project import Project


def check_events(folder: str | Path) -> None:
    """Fails where a type changed without a new version, a step between versions breaks one, or the register is behind.

    Each step is tried on data made up from the schemas. What is lowered to a version that is still sent is validated against that
    version's schema by the library `jsonschema`, which your tests then need: `pip install jsonschema`. Raises AssertionError with a
    line for each fault.
    """
    with Project.find(Path(folder)) as project:
        before = register.written(project.folder / register.FILE)
        now = register.register_of(project.jobs, before)
        broken = register.changes(before, now, today=SystemClock().now().date()) if before is not None else []
        for job in project.jobs.values():
            broken += steps.faults(job, now)
            broken += _invalid(list(steps.trials(job, now)))
    assert before is not None, f"{folder}: there is no {register.FILE}; write it with: recon events lock"
    assert not broken, "\n".join([f"{register.FILE}: {len(broken)} changes break who reads these events:", *dict.fromkeys(broken)])
    assert before == now, f"{register.FILE} is behind the jobs; write it anew with: recon events lock"


def _invalid(trials: list[steps.Trial]) -> list[str]:
    """What `jsonschema` says of the data that the steps made."""
    if not trials:
        return []
    try:
        import jsonschema
    except ModuleNotFoundError as error:
        msg = "jobs declare older versions, and the library that validates what their steps make is not installed: pip install jsonschema"
        raise AssertionError(msg) from error

    def said(trial: steps.Trial) -> list[Any]:
        return [] if trial.fault else list(jsonschema.Draft202012Validator(trial.schema).iter_errors(trial.data))

    return [f"{trial.what}: {error.json_path}: {error.message}" for trial in trials for error in said(trial)]
