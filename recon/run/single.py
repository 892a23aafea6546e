"""One item of a domain, by id: looked at twice like any suspect, and corrected alone. Nothing is said of the others."""

from recon.confirm import confirm
from recon.duration import words_of
from recon.files import private_folder
from recon.run.night import Night
from recon.state.run import RunState


def look_at_one(night: Night, key: str) -> int:
    """The flow of `recon run DOMAIN --id KEY`; answers the exit code.

    An absence at the provider is believed only where it says so outright: there is no known item to hold against a 404.
    """
    private_folder(night.folder)
    night.advance(RunState.FETCHING, watermark=night.state.now())
    look = night.second_look()
    looks, unknown = look.at([key], ())
    suspects = [one.discrepancy for one in looks.values() if one.discrepancy is not None]
    night.advance(RunState.SEALED)
    night.advance(RunState.DIFFED)
    if suspects:
        night.progress.note(f"{night.veil.key(key)} differs; waiting {words_of(night.job.settle_seconds)} before the second look")
        night.clock.sleep(night.job.settle_seconds)
    night.advance(RunState.CONFIRMING)
    found = confirm(look, suspects, controls=(), file=night.folder / "found.jsonl", total=len(suspects), progress=night.progress)
    for why in [*unknown.values(), *(one.unreadable for one in looks.values() if one.unreadable is not None)]:
        found.unconfirmed[why] += 1
        found.unknown_keys.append(key)
    night.account.confirmation = found
    night.enqueue(found, found.unknown_keys, only_keys=[key])
    return night.publish()
