"""The command behind `python -m tests.simulation`, and behind a project's own: campaigns, and one seed looked at closely."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from recon.testing.simulation.campaign import Broken, campaign, world_of
from recon.testing.simulation.run import run_world
from recon.testing.simulation.shrink import shrink
from recon.testing.simulation.world import World


def main(worlds: Sequence[World], arguments: Sequence[str] | None = None, *, program: str = "python -m tests.simulation") -> int:
    """Runs a campaign of `--nights`, or with `--seed` one world; answers 1 where a law was violated."""
    asked = _parser(program).parse_args(arguments)
    if asked.seed is not None:
        return _one(worlds, asked, program)
    done = campaign(
        worlds,
        nights=asked.nights or 2000,
        seed=asked.base,
        workers=asked.workers,
        hear=lambda broken: print(told(worlds, broken, program), flush=True),
    )
    print(done.words())
    if asked.json:
        Path(asked.json).write_text(json.dumps(done.figures(), indent=2) + "\n", encoding="utf-8")
    if done.broken and asked.shrink:
        _shrunk(worlds, done.broken[0], program, asked.shrink)
    return 1 if done.broken else 0


def _parser(program: str) -> ArgumentParser:
    parser = ArgumentParser(prog=program, description="Nights that go wrong, from a seed, judged by an oracle.")
    parser.add_argument("--nights", type=int, help="how many nights a campaign lives (2,000), or on how many of a seed's things go wrong")
    parser.add_argument("--base", type=int, default=1, metavar="SEED", help="the first seed of a campaign")
    parser.add_argument("--workers", type=int, help="processes side by side; as many as there are cores")
    parser.add_argument("--json", metavar="PATH", help="write the figures of a campaign there")
    parser.add_argument("--seed", type=int, help="live the world of this seed alone")
    parser.add_argument("--world", help="in this world, and not in the one whose turn it is")
    parser.add_argument("--records", type=int, help="with so many records at the beginning")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="an occurrence, or a kind, that shall not happen")
    parser.add_argument("--trace", action="store_true", help="tell the whole story of the seed")
    parser.add_argument(
        "--shrink", type=float, nargs="?", const=60.0, metavar="SECONDS", help="look for the smallest story that violates the law"
    )
    return parser


def told(worlds: Sequence[World], broken: Broken, program: str) -> str:
    """A violated world, with the command that replays it."""
    lines = [f"seed {broken.seed}, world {broken.world}:", *(f"  {one}" for one in broken.violations)]
    named = "" if world_of(worlds, broken.seed).name == broken.world else f" --world '{broken.world}'"
    return "\n".join(
        [*lines, f"  replay: {program} --seed {broken.seed}{named} --trace", f"  shrink: {program} --seed {broken.seed}{named} --shrink"]
    )


def _one(worlds: Sequence[World], asked: Namespace, program: str) -> int:
    world = _named(worlds, asked.world) if asked.world else world_of(worlds, asked.seed)
    if asked.records is not None:
        world = world.but(records=(asked.records, asked.records))
    result = run_world(world, asked.seed, nights=asked.nights, masked=asked.without)
    if asked.trace:
        print("\n".join(result.trace))
    print(f"seed {asked.seed}, world {world.name}: {result.domain_nights} nights, {result.runs} runs, {len(result.violations)} violations")
    for violation in result.violations:
        print(f"  {violation}")
    if result.violations and asked.shrink:
        _shrunk(worlds, Broken(world=world.name, seed=asked.seed, violations=result.violations), program, asked.shrink)
    return 1 if result.violations else 0


def _named(worlds: Sequence[World], name: str) -> World:
    for world in worlds:
        if world.name == name:
            return world
    sys.exit(f"no world {name!r}; there are {', '.join(sorted(one.name for one in worlds))}")


def _shrunk(worlds: Sequence[World], broken: Broken, program: str, seconds: float) -> None:
    """Prints the smallest story that violates the first law that was violated."""
    world = _named(worlds, broken.world)
    small = shrink(world, run_world(world, broken.seed), seconds=seconds)
    print(f"\nshrunk in {small.tries} tries to {small.nights} nights, {len(small.result.occurrences)} occurrences:")
    print("\n".join(f"  {line}" for line in small.result.trace))
    for violation in small.result.violations:
        print(f"  {violation}")
    print(f"  replay: {small.command(program)}")
