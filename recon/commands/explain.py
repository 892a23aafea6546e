"""`recon explain`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from recon.commands.frame import Frame, framed, known
from recon.inert import terminal

if TYPE_CHECKING:
    from recon.ledger.story import Story
    from recon.personal import Veil


@click.command()
@click.argument("domain")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def explain(frame: Frame, domain: str, key: str, as_json: bool) -> None:
    """Tell the life of one key in the order of time: each run's word on it, its events and what became of them at each destination, acknowledgements, healing."""
    from recon.ledger import Ledger
    from recon.ledger.timeline import timeline
    from recon.report.json_ import wire
    from recon.run import veil_of

    with frame.both() as (project, state):
        known(project, state, domain)
        veil = veil_of(project, state, domain)
        story = shown(Ledger(state).story(domain, veil.typed(state, domain, key)), veil)
        job = project.jobs.get(domain)
    if as_json:
        frame.console.json({"schema": "recon.ledger.story/1", **wire(story), "timeline": wire(timeline(story))})
        return
    for text in told(story, delete_nights=job.delete_nights if job is not None else 1):
        frame.console.out(f"{terminal(text)}\n")


def shown(story: "Story", veil: "Veil") -> "Story":
    """The story with personal values as they are shown."""
    told = tuple(replace(each, source=veil.record(each.source), target=veil.record(each.target)) for each in story.told)
    ack = story.ack
    if ack is not None and veil.names:
        # The tokens are hashes without a key, by which values could be tried out.
        ack = replace(ack, key=veil.key(ack.key), source_token="", target_token="")
    return replace(story, key=veil.key(story.key), told=told, ack=ack)


def told(story: "Story", *, delete_nights: int = 1) -> Iterator[str]:
    """The story as lines. A deletion is told once it was confirmed on `delete_nights` nights."""
    from recon.clock import iso
    from recon.report.words import plural, waits

    if story.kind is None and story.told:
        yield f"{story.domain} {story.key}: {story.told[0].kind.value} at a first look, never confirmed"
        yield from _moments(story)
        return
    if story.kind is None:
        yield f"{story.domain} {story.key}: never found to differ"
        # A personal key was typed by whoever asks; nothing has to show it again.
        yield f"  look at it now:  recon check {story.domain} --id {'KEY' if story.key.startswith('hmac:') else story.key}"
        return
    standing = "open" if story.open else "resolved"
    yield f"{story.domain} {story.key}: {story.kind.value}, {standing}"
    if story.first_seen is not None and story.last_seen is not None:
        again = f", told anew {plural(story.generation - 1, 'time')} since it changed or came back" if story.generation > 1 else ""
        yield f"  first seen {iso(story.first_seen)}, last seen {iso(story.last_seen)}, {plural(story.nights, 'night')}{again}"
    if story.open and story.kind.value == "extra" and story.nights < delete_nights:
        yield f"  {waits(story.nights, delete_nights)} before its deletion is told"
    if story.resolved_at is not None and not story.open:
        yield f"  resolved {iso(story.resolved_at)} by run {story.resolved_run}"
    yield from _moments(story)


def _moments(story: "Story") -> Iterator[str]:
    """What happened, in the order of time; below each look the values that it saw."""
    from recon.clock import iso
    from recon.ledger.timeline import timeline

    seen = {each.run: each for each in story.told}
    for moment in timeline(story):
        yield f"  {iso(moment.at)}  {moment.text}"
        each = seen.get(moment.run or "") if moment.what == "seen" else None
        if each is None or each.standing == "resolved":
            continue
        for name in each.changed:
            yield f"      {name}  {_at(each.target, name)} -> {_at(each.source, name)}"


def _at(record: object, name: str) -> str:
    from recon.report.words import at

    return at(record, name) if isinstance(record, dict) else "(not there)"
