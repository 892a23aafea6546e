"""What a held plan rests on, in digests: an approval says yes to what was shown, and a job that has changed since would send something else."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from recon.job import Field, Job, Table
from recon.secret import Secret, SecretRef
from recon.section import Section

SHORT = 12
"""Hexadecimal digits of a digest: enough to tell two definitions of one job apart."""


def terms_of(job: Job, publishers: Sequence[Section]) -> dict[str, str]:
    """Each part that decides what goes out, or what the second look holds against it, with a digest of it.

    `publishers` are their tables of recon.toml, in the job's order. A secret counts by its reference and not by what it is, so
    that a new token does not undo a decision. A function counts by its own text, not by what it calls.
    """
    parts: dict[str, Any] = {
        "provider": [job.provider, job.resource, job.params, job.direction],
        "store": [job.store, asdict(job.table), isinstance(job.table, Table)],
        "key": [repr(job.key), job.key_path],
        "fields": [_field(field) for field in job.fields],
        "event": [job.event or job.domain, job.updated],
        "correct": _text(job.correct),
        "publisher": _publishers(job, publishers),
    }
    return {name: _digest(value) for name, value in parts.items()}


def _publishers(job: Job, sections: Sequence[Section]) -> list[Any]:
    pairs = [[name, _plain(section.table)] for name, section in zip(job.publishers, sections, strict=True)]
    if not pairs:
        return [None, None]
    return pairs[0] if len(pairs) == 1 else pairs


def changed_terms(shown: Mapping[str, str] | None, now: Mapping[str, str]) -> list[str]:
    """The parts that are not what they were when the plan was shown, by name; none for a plan of a version that did not say."""
    return [name for name, digest in (shown or {}).items() if now.get(name) != digest]


def _field(field: Field) -> list[Any]:
    simple = [field.name, repr(field.kind), field.at, field.column, field.expression, field.missing_is_null, field.empty_is_null]
    return [*simple, field.tolerance, field.compare, dict(field.mapping) if field.mapping is not None else None, _text(field.normalize)]


def _text(function: Callable[..., Any] | None) -> str | None:
    if function is None:
        return None
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        # Made of other functions, or typed at a prompt: its name is all there is.
        return str(getattr(function, "__qualname__", type(function).__name__))


def _plain(value: Any) -> Any:
    if isinstance(value, SecretRef):
        return dict(value.reference)
    if isinstance(value, Secret):
        return value.origin
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(_plain(value), order="deterministic")).hexdigest()[:SHORT]
