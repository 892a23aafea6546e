"""Standing: how a fetch stands by the lines of its index, whatever files they lie in. Every line is taken up in its order, once."""

import base64
from datetime import datetime

from recon.fetch.journal import KEPT_UNREAD, Note, PageLine, PartState
from recon.fetch.page import Page, Unread
from recon.fetch.partition import Partition
from recon.fetch.sums import Sums


class Standing:
    """The parts of a listing and what came for them."""

    def __init__(self) -> None:
        #: Every part that was handed out, dropped ones too; a part's number is its place here.
        self.parts: list[PartState] = []
        #: Whether no part follows those that are here.
        self.planned = False
        #: Why the listing is fetched in one, without ranges or shards; None where it is not.
        self.serial: str | None = None
        #: What the fetch came through, in words.
        self.notes: list[str] = []
        #: What the answers said of their scope, by the first of the pages that count.
        self.scope: dict[str, str] = {}
        #: How often what readers took of the pages that were written came not to be true any more: whoever reads along has to begin anew.
        self.voided = 0
        self.bytes_read = 0
        #: Requests, retries, throttles and milliseconds of all attempts, as of the last page, or of the failure after it.
        self.spent = (0, 0, 0, 0)
        #: When the last page came.
        self.last_at: datetime | None = None
        #: Whether an item may stand on two pages: then the later one counts. Said by whoever fetches, before the first page.
        self.drifts = False
        #: What all parts that count hold together.
        self.sums = Sums()
        #: Bytes of the frames that the lines speak of.
        self.size = 0
        #: Of each page, void ones too: its frame's place, size and size unpacked, its items, its part, and which beginning of that one.
        self.lines: list[tuple[int, int, int, int, int, int]] = []
        self._live: list[PartState] = []
        self._passes = 1
        #: The digests of pages, each with its pass, and whose they are.
        self._digests: dict[tuple[int, str], PartState] = {}

    @property
    def live(self) -> list[PartState]:
        """The parts that count."""
        return self._live

    @property
    def finished(self) -> bool:
        """Whether no part follows, and each has its end's proof."""
        return self.planned and self.sums.finished

    @property
    def pages(self) -> int:
        """Whole pages that count."""
        return self.sums.pages

    @property
    def items(self) -> int:
        """Readable items on them; an item that stands on two pages counts twice."""
        return self.sums.items

    @property
    def proven(self) -> int:
        """How many parts have their end's proof."""
        return self.sums.proven

    @property
    def unread_items(self) -> int:
        """How many could not be read; of several passes over the same ground the last one is asked."""
        return self.sums.last.unread

    @property
    def unread(self) -> list[Unread]:
        """The first 1,000 of them."""
        last = max(self.sums.turns, default=1)
        return [one for part in self._live if part.partition.turn == last for one in part.unread][:KEPT_UNREAD]

    @property
    def listed(self) -> int:
        """Readable items of the longest of several passes: about as many as there are."""
        return max((turn.listed for turn in self.sums.turns.values()), default=0)

    @property
    def left_out(self) -> int:
        """Items that stood in the list and are none of the resource's."""
        return self.sums.turns[1].left_out if 1 in self.sums.turns else 0

    @property
    def total(self) -> int | None:
        """The API's own count, as the latest pages gave it; None where a part has none."""
        last = self.sums.last
        return last.counts if last.counted and last.counted == last.parts else None

    @property
    def union(self) -> bool:
        """Whether an item may stand on two pages, so that the later one counts."""
        return self.drifts or self._passes > 1

    @property
    def written(self) -> int:
        """Pages that were written, void ones too: what readers count by."""
        return len(self.lines)

    def beside(self, part: int, digest: str) -> PartState | None:
        """Another part of the same pass that has a page of this digest."""
        mine = self.parts[part]
        other = self._digests.get((mine.partition.turn, digest))
        return None if other is mine else other

    def holds(self, part: int, era: int) -> bool:
        """Whether a page of this part, as it was begun for the time `era`, counts."""
        return era == self.parts[part].era and not self.parts[part].dropped

    def take(self, line: PageLine) -> None:
        """Counts a page in."""
        part = self.parts[line.part]
        unread = [Unread(raw=base64.b64decode(raw), why=why) for raw, why in line.unread[: KEPT_UNREAD - len(part.unread)]]
        self.sums.grow(part, line)
        part.take(line, unread)
        if line.items:
            self._digests[part.partition.turn, line.sha] = part
        of = f"{part.partition.name}, " if part.number else ""
        self.notes += [f"{of}{note}" for note in line.notes]
        self.scope = {**line.scope, **self.scope} if line.scope else self.scope
        self.bytes_read += line.bytes_read
        self.spent = line.spent
        self.last_at = part.last_at or self.last_at
        self.size = line.offset + line.size
        self.lines.append((line.offset, line.size, line.raw, line.items, line.part, part.era))

    def follow(self, note: Note) -> None:
        """What a note says, done."""
        match note.note:
            case "begin":
                assert note.partition is not None
                self._begin(note.partition)
            case "anew":
                part = self.parts[note.part]
                pages, which = part.pages, f"{part.partition.name} " if len(self.parts) > 1 else ""
                self._forget(part)
                part.begin_anew()
                self.sums.add(part)
                self._void(pages, f"{which or 'it '}was started anew, since {note.why}")
            case "drop":
                part = self.parts[note.part]
                self._drop(part)
                for partition in note.into:
                    self._begin(partition)
                self._void(part.pages, f"{part.partition.name} was cut in two: {note.why}")
            case "told":
                self.notes += [note.why] if note.why else []
                self.spent = note.spent
            case "planned":
                self.planned = True
            case "serial":
                pages = self.pages
                for part in list(self._live):
                    self._drop(part)
                self._void(pages, "")
                self.serial, self.planned = note.why, False
                self.notes.append(f"fetched in one: {note.why}")

    def begin_whole(self) -> None:
        """The whole listing in one part, where nothing was said of parts: version 0.2.0 wrote none."""
        self._begin(Partition())
        self.planned = True

    def _begin(self, partition: Partition) -> None:
        """A part more. With a further pass an item may stand on two pages, which readers have to know from the first page on."""
        before = self.union
        part = PartState(len(self.parts), partition)
        self.parts.append(part)
        self._live.append(part)
        self.sums.add(part)
        self._passes = max(self._passes, partition.turn)
        self.voided += self.union != before and self.written > 0

    def _drop(self, part: PartState) -> None:
        self._forget(part)
        part.dropped = True
        self._live.remove(part)

    def other_scope(self, page: Page) -> str:
        """What a page says of whom it is for, where the pages before it say otherwise; "" where they agree."""
        for name, told in page.scope.items():
            before = self.scope.get(name, told)
            if told != before:
                return f"was answered with the {name} {told!r}, and the pages before it with {before!r}: they are no one listing"
        return ""

    def _forget(self, part: PartState) -> None:
        """A part as it stands counts no more."""
        self.sums.add(part, -1)
        others = [one.scope for one in self._live if one is not part]
        self.scope = {name: told for scope in reversed(others) for name, told in scope.items()}
        for digest in part.digests:
            self._digests.pop((part.partition.turn, digest), None)

    def _void(self, pages: int, why: str) -> None:
        """Counted once the pages are void, never before: a reader that begins again at this moment must not take them up once more."""
        self.voided += pages > 0
        if why:
            self.notes.append(why)
