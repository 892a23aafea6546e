"""The steps between versions, tried on data made up from the schemas before a real event needs them."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import msgspec

from recon.event.sample import misfits, samples
from recon.event.types import types_of
from recon.job import Job
from recon.versions import Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Data that a step made in a trial: what it was tried for, the schema that it has to keep to, and the data or why there is none."""

    what: str
    schema: Mapping[str, Any]
    data: Any
    fault: str = ""
    #: Whether every field of the schema has to be there: a reader of a version that is sent looks for it. What is raised may lack one.
    whole: bool = False


def trials(job: Job, register: Mapping[str, Any]) -> Iterator[Trial]:
    """Every step of a job tried on made-up data, for each type and each older version whose schema the register has."""
    chain = job.chain
    sent = {one.number for one in chain.sent}
    for one in types_of(job):
        entry = register["types"].get(f"{job.domain} {one.name}", {})
        for number in chain.older:
            old = entry.get("older", {}).get(str(number), {}).get("data")
            if old is None:
                continue
            what = f"{job.domain} {one.name}: "
            for sample in samples(old):
                raised = _tried(chain, sample, number, up=True, what=f"{what}raised from version {number}", schema=entry["data"])
                yield raised
                if number in sent and not raised.fault:
                    yield _tried(
                        chain, raised.data, number, up=False, what=f"{what}raised from version {number} and lowered again", schema=old
                    )
            if number in sent:
                for sample in samples(entry["data"]):
                    yield _tried(chain, sample, number, up=False, what=f"{what}lowered to version {number}", schema=old)


def faults(job: Job, register: Mapping[str, Any]) -> list[str]:
    """What the job's steps break, one sentence each."""
    found: list[str] = []
    for trial in trials(job, register):
        broken = (
            [trial.fault]
            if trial.fault
            else [*misfits(trial.schema, trial.data), *(_gone(trial.schema, trial.data) if trial.whole else ())]
        )
        found += [f"{trial.what}: {one}" for one in broken]
    return list(dict.fromkeys(found))


def _tried(chain: Versions, data: Mapping[str, Any], number: int, *, up: bool, what: str, schema: Mapping[str, Any]) -> Trial:
    given = deepcopy(dict(data))
    step = chain.raised if up else chain.lowered
    try:
        made = step(data, number)
        again = step(data, number)
        wire = msgspec.json.decode(msgspec.json.encode(made))
    except Exception as error:  # noqa: BLE001 - a job's own functions may raise anything, and the trial is there to say so
        return Trial(what=what, schema=schema, data=None, fault=f"raised {type(error).__name__}: {error}")
    fault = ""
    if dict(data) != given:
        fault = "the step changes what it is given; it is to make new data"
    elif made != again:
        fault = "the step makes other data of the same the second time"
    elif not isinstance(wire, dict) or any(wire.get(name) != given.get(name) for name in ("op", "key")):
        fault = "op and key are not what they were"
    return Trial(what=what, schema=schema, data=wire, fault=fault, whole=not up)


def _gone(schema: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    """Fields that the schema has and the data has not."""
    for place in ("state", "before"):
        record = data.get(place)
        if isinstance(record, dict):
            fields = schema["properties"][place].get("properties", {})
            yield from (f"data.{place}.{name} is not there" for name in fields if name not in record)
