"""One item of a domain, by id: looked at twice like any suspect, and corrected alone. Nothing is said of the others."""

from collections import Counter

from recon.confirm import confirm, revisit
from recon.errors import BadRequest
from recon.files import private_folder
from recon.redact import redact
from recon.run import looking
from recon.run.night import Night
from recon.state.run import RunState


def look_at_one(night: Night, key: str) -> int:
    """The flow of `recon run DOMAIN --id KEY`; answers the exit code.

    An absence at the provider is believed only where it says so outright: there is no known item to hold against a 404.
    """
    if not looking.can_get(night):
        msg = f"{night.job.domain}: {night.job.resource} cannot be read by id at {night.job.provider}, so nothing can be said of {night.veil.key(key)} alone"
        raise BadRequest(msg, hint=f"recon run {night.job.domain}")
    private_folder(night.folder)
    night.advance(RunState.FETCHING, watermark=night.state.now())
    look = looking.by_id(night)
    looks, unknown = look.at([key], ())
    suspects = [one.discrepancy for one in looks.values() if one.discrepancy is not None]
    night.looked = night.clock.monotonic()
    night.advance(RunState.SEALED)
    night.advance(RunState.DIFFED)
    by_field = Counter(name for one in suspects for name in one.changed)
    sieve = looking.sifted(night, lambda: iter(suspects), Counter(one.kind for one in suspects), by_field)
    looking.settle(night, sieve.total)
    night.advance(RunState.CONFIRMING)
    found = confirm(
        look,
        sieve.suspects(),
        controls=(),
        file=night.folder / "found.jsonl",
        total=sieve.total,
        progress=night.progress,
        veil=night.veil,
    )
    revisit(look, night.job, sieve, controls=(), outcome=found)
    found.unanswered += len(unknown)
    for why in [*unknown.values(), *(one.unreadable for one in looks.values() if one.unreadable is not None)]:
        found.unconfirmed[redact(why)] += 1
        found.unknown_keys.append(key)
    night.account.confirmation = found
    if found.proved_nothing:
        return looking.leave_open(night, found, found.unknown_keys, only_keys=[key])
    return night.enqueue(found, found.unknown_keys, only_keys=[key]) or night.publish()
