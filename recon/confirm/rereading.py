"""What was corrected, read again on both sides: an agreement is seen and never inferred."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from recon.confirm.confirmation import CHUNK, Confirmation, SecondLook, leave_open
from recon.files import LocalFile
from recon.report.figures import MOVED

Fact = tuple[str, str, str]
"""What a correction was made of: the kind of the discrepancy, and both sides' tokens."""


def reread(
    look: SecondLook, known: Mapping[str, Fact], *, controls: Sequence[str], file: Path, advance: Callable[[int, int, str], None]
) -> Confirmation:
    """Looks once at each key of `known`, in chunks; those that still are what they were are written to `file`.

    One that agrees now is in neither list: it was healed. One that differs otherwise is in work, and nothing is said of it. `controls` are
    keys that the provider certainly has. Raises ProviderError or StoreError for what concerns all keys.
    """
    outcome = Confirmation(file)
    rest, done = iter(known), 0
    with LocalFile(file) as out:
        while chunk := list(islice(rest, CHUNK)):
            out.write(b"".join(_reread(look, chunk, known, controls, outcome)))
            done += len(chunk)
            advance(done, len(known), "corrections")
    return outcome


def _reread(
    look: SecondLook, chunk: list[str], known: Mapping[str, Fact], controls: Sequence[str], outcome: Confirmation
) -> Iterable[bytes]:
    looks, unknown = look.at(chunk, controls)
    for key in chunk:
        now = looks.get(key)
        if key in unknown or now is None:
            outcome.unanswered += 1
            leave_open(outcome, key, unknown.get(key, "no answer"))
        elif now.unreadable is not None:
            leave_open(outcome, key, f"unreadable when read again: {now.unreadable}")
        elif now.discrepancy is not None:
            found = now.discrepancy
            if (found.kind.value, found.source_token, found.target_token) == known[key]:
                outcome.confirmed[found.kind] += 1
                outcome.by_field.update(found.changed)
                yield msgspec.json.encode(found) + b"\n"
            else:
                outcome.dismissed[MOVED] += 1
                outcome.unknown_keys.append(key)
