"""Sums: what the parts of a listing that count hold together, kept up with every page, so that asking for them costs the same with any number of parts."""

from dataclasses import dataclass, field

from recon.fetch.journal import PageLine, PartState


@dataclass(slots=True)
class Turn:
    """The parts of one pass over the ground. `counts` is the sum of the API's own counts, which `counted` of the parts have."""

    parts: int = 0
    listed: int = 0
    unread: int = 0
    left_out: int = 0
    counted: int = 0
    counts: int = 0


@dataclass(slots=True)
class Sums:
    """Of all parts: pages, readable items, and how many have their end's proof; by pass, what else there is."""

    parts: int = 0
    pages: int = 0
    items: int = 0
    proven: int = 0
    turns: dict[int, Turn] = field(default_factory=dict)

    def add(self, part: PartState, sign: int = 1) -> None:
        """Counts a part in as it stands; before it changes, it is taken out again with `sign=-1`."""
        self.parts += sign
        self.pages += sign * part.pages
        self.items += sign * part.items
        self.proven += sign * (part.proof is not None)
        turn = self.turns.setdefault(part.partition.turn, Turn())
        turn.parts += sign
        turn.listed += sign * (part.items - part.overlap)
        turn.unread += sign * part.unread_items
        turn.left_out += sign * part.left_out
        if part.total is not None:
            turn.counted += sign
            turn.counts += sign * part.total
        if not turn.parts:
            del self.turns[part.partition.turn]

    def grow(self, part: PartState, line: PageLine) -> None:
        """Counts in a page that comes to a part, before the part takes it."""
        self.pages += 1
        self.items += line.items
        self.proven += (line.end is not None) - (part.proof is not None)
        turn = self.turns[part.partition.turn]
        turn.listed += line.items - line.overlap
        turn.unread += line.unread_items
        turn.left_out += line.left_out
        if line.total is not None:
            turn.counted += part.total is None
            turn.counts += line.total - (part.total or 0)

    @property
    def finished(self) -> bool:
        """Whether each has its proof, and there is one."""
        return 0 < self.parts == self.proven

    @property
    def last(self) -> Turn:
        """The last pass."""
        return self.turns[max(self.turns)] if self.turns else Turn()
