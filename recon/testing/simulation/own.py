"""A job of a user's own in a world: records with its fields, a table with its columns, and a project that runs it as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from recon.job import Field, Job, Table
from recon.kind import Boolean, Date, Decimal, Integer, Money, Text, Timestamp
from recon.testing.simulation.application import Handler
from recon.testing.simulation.chance import Chance
from recon.testing.simulation.run import Result, run_world
from recon.testing.simulation.world import TROUBLES, World

TEXTS = ("alpha", "beta", "gamma", "delta")
CODES = ("EUR", "USD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field: where the third party's record and the row have it, and the values it may take, as events write them."""

    name: str
    path: str
    column: str
    values: tuple[Any, ...]
    #: What the third party says for a value, where the job maps its words.
    words: Mapping[Any, Any]


class Own:
    """What a world needs to know of a user's job. Raises ValueError for a job whose records it cannot draw."""

    def __init__(self, job: Job) -> None:
        self.job = replace(job, schedule="0 3 * * *", timezone="UTC")
        if job.direction != "inbound" or not isinstance(job.table, Table) or job.table.schema or job.table.where:
            _refuse(job, "it needs direction inbound, and a Table without schema and condition")
        if not isinstance(job.publisher, str) or job.event is None or not isinstance(job.key, Text):
            _refuse(job, "it needs an event, one publisher and a key that is text")
        assert isinstance(job.table, Table)
        self.table, self.key = job.table.name, job.table.key
        self.key_path = job.key_path or "id"
        codes = {f.of_kind.currency for f in job.fields if isinstance(f.of_kind, Money)}
        self.columns = tuple(_column(job, f, codes) for f in job.fields)

    def drawn(self, chance: Chance, *where: object) -> dict[str, Any]:
        """A record's values by chance."""
        return {one.name: chance.one_of(one.values, self.job.domain, one.name, *where) for one in self.columns}

    def record(self, key: str, state: Mapping[str, Any]) -> dict[str, Any]:
        """The record as the third party writes it."""
        made: dict[str, Any] = {}
        for path, value in [(self.key_path, key), *((one.path, one.words.get(state[one.name], state[one.name])) for one in self.columns)]:
            place, (*above, last) = made, path.split(".")
            for name in above:
                place = place.setdefault(name, {})
            place[last] = value
        return made


def _column(job: Job, f: Field, codes: set[str]) -> Column:
    kind = f.of_kind
    values: tuple[Any, ...]
    if f.expression is not None or f.normalize is not None or any(part.isdigit() for part in f.at.split(".")):
        _refuse(job, f"field {f.name} has an expression, a normalize function or a list in its path")
    if isinstance(kind, Text):
        values = tuple(dict.fromkeys(f.mapping.values())) if f.mapping else CODES if f.name in codes else TEXTS
    elif isinstance(kind, Integer) or (isinstance(kind, Money) and kind.provider == kind.store == "minor"):
        values = tuple(range(100, 4100, 100))
    elif isinstance(kind, Boolean):
        values = (True, False)
    elif isinstance(kind, Decimal):
        values = tuple(f"{number}.{'5' * kind.scale}".rstrip(".") for number in range(1, 40))
    elif isinstance(kind, Date):
        values = tuple(f"2026-01-{day:02d}" for day in range(1, 29))
    elif isinstance(kind, Timestamp) and (kind.provider, kind.store) == ("iso", "native") and f.name != job.updated:
        values = tuple(f"2026-01-{day:02d}T00:00:00Z" for day in range(1, 29))
    else:
        _refuse(job, f"field {f.name} is of a kind that is not drawn here")
    words = {ours: theirs for theirs, ours in (f.mapping or {}).items()}
    return Column(name=f.name, path=f.at, column=f.column or f.name, values=values, words=words)


def _refuse(job: Job, why: str) -> Any:
    msg = f"{job.domain} cannot be simulated: {why}"
    raise ValueError(msg)


def simulate(job: Job, handle: Handler, *, seed: int = 1, nights: int = 5, **changes: Any) -> Result:
    """Lives through `nights` bad nights and a few calm ones with your own job and handler, and has the oracle judge them.

    The third party has records with the job's fields, the table has its columns (a file of its own: `handle` gets each event, as JSON has
    it, and that database, in a transaction). `changes` are anything that a `World` says, such as `lost=0.3`. Drawn are text, integers,
    booleans, decimals, dates, timestamps (not the job's `updated`) and money in minor units; ValueError for a job with more than that.
    """
    troubles = {name: share for name, share in TROUBLES.items() if name not in {"unreadable", "wrong tenant"}}
    world = World(
        name=job.domain,
        domains=(1, 1),
        troubles=troubles,
        weights={"broken item": 0.0},
        edits=0.0,
        delete_nights=job.delete_nights,
        list_only=False,
        handle=handle,
        own=Own(job),
    )
    return run_world(world.but(**changes), seed, nights=nights)
