"""AsyncAPI 3.0: one document of everything that a project's jobs can emit.

https://www.asyncapi.com/docs/reference/specification/v3.0.0 (read 2026-11)
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from recon.event.cloudevents import STRUCTURED
from recon.event.register import schema_in
from recon.event.schema import schema_of
from recon.event.types import EventType, older_types_of, types_of
from recon.job import Job

VERSION = "3.0.0"

UNKNOWN = {"type": "object", "description": "The register has no schema of this version."}


def document(
    title: str, version: str, jobs: Mapping[str, Job], *, register: Mapping[str, Any] | None = None, today: date | None = None
) -> dict[str, Any]:
    """The document: a channel for each publisher and domain, a message for each type and version. `jobs` by their domains.

    An older version that is still sent on `today` is there too, marked as deprecated, with the schema that the `register` has of it.
    """
    messages: dict[str, Any] = {}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for domain, job in sorted(jobs.items()):
        names = []
        older = [
            one for one in older_types_of(job) if one.sunset is not None and (today is None or today <= date.fromisoformat(one.sunset))
        ]
        for one in (*types_of(job), *older):
            name = f"{one.name}.v{one.version}".replace("/", "_")
            # Two domains may emit one type, each with fields of its own.
            name = name if name not in messages else f"{domain}.{name}"
            data = schema_of(job, one) if one.sunset is None else schema_in(register, domain, one.name, one.version)
            messages[name] = _message(job, one, data if data is not None else UNKNOWN)
            names.append(name)
        for at, publisher in enumerate(job.publishers or (None,)):
            # One to one with an address: of several destinations the further ones are named with their publisher.
            channel = domain if at == 0 else f"{domain}.{publisher}"
            channels[channel] = {
                "address": publisher,
                "title": f"Corrections of {domain}",
                "description": job.description or f"What {job.provider} holds of {job.resource} and the target does not.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
            operations[f"correct.{channel}"] = {
                "action": "send",
                "summary": f"Correct {domain} where it differs from its source.",
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
            }
    return {
        "asyncapi": VERSION,
        "info": {"title": title, "version": version, "description": "Corrective events of nightly reconciliation, as CloudEvents 1.0."},
        "defaultContentType": STRUCTURED,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _message(job: Job, one: EventType, data: Mapping[str, Any]) -> dict[str, Any]:
    may = " The job's own rule may send another type, or none, in its place." if one.may_differ else ""
    return {
        "name": one.name,
        "title": f"{one.name}, version {one.version}{f', deprecated, until {one.sunset}' if one.sunset is not None else ''}",
        "summary": f"{job.domain}: an item was {one.op} at its source, and the target does not know.{may}",
        "contentType": STRUCTURED,
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": envelope(one, data),
        **({"tags": [{"name": "deprecated"}]} if one.sunset is not None else {}),
    }


def envelope(one: EventType, data: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the whole event in its structured form, around the data's."""
    text, moment = {"type": "string", "minLength": 1}, {"type": "string", "format": "date-time"}
    return {
        "type": "object",
        **({"deprecated": True} if one.sunset is not None else {}),
        "required": sorted({"specversion", "id", "source", "type", "time", "dataversion", "partitionkey", "origin", "data"}),
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "format": "uuid", "description": "The same for the same fact, however often it is seen and sent."},
            "source": {"const": one.source},
            "type": {"const": one.name},
            "subject": text,
            "time": {**moment, "description": "When the source's record changed, where it says; else the night it was found."},
            "recordedtime": moment,
            "datacontenttype": {"const": "application/json"},
            "dataversion": {"const": one.version},
            "partitionkey": {**text, "description": "Events of one key are in order; those of different keys are not."},
            "origin": {"const": "reconciliation"},
            "reconrunid": text,
            "correlationid": text,
            "generation": {"type": "integer", "minimum": 1},
            "account": text,
            "region": text,
            "deprecated": {"type": "boolean"} if one.sunset is None else {"const": True},
            "deprecationsunset": {"type": "string", "format": "date"} if one.sunset is None else {"const": one.sunset},
            "data": {name: value for name, value in data.items() if name not in {"$schema", "$id"}},
        },
    }
