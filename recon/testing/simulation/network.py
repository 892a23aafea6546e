"""The network between a process and the third party: every request is a step, takes time, and is answered, or not, or wrongly."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from recon.errors import Unreachable
from recon.fetch.transport import Request, Response
from recon.testing.simulation.faults import ITEM_FAULTS, LISTING_FAULTS, NIGHT_FAULTS, Answer
from recon.testing.simulation.gateway import TOKEN_PATH
from recon.testing.simulation.listing import Asking, Gone, cut
from recon.testing.simulation.oracle.facts import UNREADABLE, Asked, Cut, PartEnd, Shown
from recon.testing.simulation.oracle.history import Values
from recon.testing.simulation.process import Process
from recon.testing.simulation.third_party import REGIONS

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

CURSOR_AGE = 3 * 3600.0
MANY, AT_ONCE = "many", 5
"""Where several items are read by id, and how many of them one answer holds."""


class WorldNetwork:
    """Stands where `recon.fetch.transport.Transport` does, for one process."""

    def __init__(self, universe: "Universe", process: Process) -> None:
        self._universe = universe
        self._process = process
        self._pages: dict[str, list[bytes]] = {}

    def send(self, request: Request) -> Response:
        """The third party's answer; raises Unreachable where none came, or none that was whole."""
        process, universe = self._process, self._universe
        process.step("request")
        process.requests += 1
        where = (process.number, process.requests)
        universe.facts.asked.append(Asked(at=universe.time.at, process=process.number, what="request"))
        process.passes(universe.chance.between(0.02, 0.6, "latency", *where))
        _, domain, *rest = request.path.split("/")
        answer = self._answered(request, domain, rest, where)
        told = f"GET {request.path}" + "".join(f" {name}={value}" for name, value in request.query.items())
        fault = f" [{answer.fault}]" if answer.fault else ""
        shown = (
            ""
            if answer.shown is None
            else f": {len(answer.shown)} items"
            if not rest
            else ": there"
            if answer.shown[0][1]
            else ": not there"
        )
        universe.story.tell(process.name, f"{told} -> {answer.status or answer.lost}{shown}{fault}")
        if answer.takes:
            process.passes(answer.takes)
        if answer.lost:
            raise Unreachable(f"{request.subject}: {answer.lost}")
        if answer.shown is not None:
            place = "listing" if not rest else "letter" if self._process.in_hand else "item"
            universe.facts.shown.append(
                Shown(
                    at=universe.time.at, process=process.number, domain=domain, place=place, fault=answer.fault, items=tuple(answer.shown)
                )
            )
        return Response(status=answer.status, headers=answer.headers, body=answer.body, wire_bytes=len(answer.body))

    def close(self) -> None:
        """Nothing is open."""

    def _answered(self, request: Request, domain: str, rest: list[str], where: tuple[int, int]) -> Answer:
        """By the gateway, or by the third party behind it."""
        process, gateway = self._process, self._universe.gateway
        if request.path == TOKEN_PATH:
            answer = gateway.token(process.number)
        else:
            answer = (
                gateway.refusal(request, process.number)
                or (self._by_id(domain, unquote(rest[0]), dict(request.query), where) if rest else self._page(domain, dict(request.query), where))
            )  # fmt: skip
            answer.headers = {**gateway.told(), **answer.headers}
        answer.render()
        if self._universe.world.etags and not rest and answer.status == 200 and answer.tag(request.headers.get("If-None-Match")):
            self._universe.chance.reach("page unchanged")
        if answer.status == 429:
            at = self._universe.time.at
            until = at + float(answer.headers.get("retry-after", 0.0))
            self._universe.facts.asked.append(Asked(at=at, process=process.number, what="throttled", until=until))
        return answer

    def _page(self, domain: str, query: dict[str, str], where: tuple[int, int]) -> Answer:
        universe = self._universe
        world, chance, party = universe.world, universe.chance, universe.parties[domain]
        night = universe.night_faults(domain)
        asked = Asking.of(query)
        if "part refused" in night and asked.narrow and asked.holds(*universe.refused_part(domain)):
            universe.facts.cuts.append(Cut(at=universe.time.at, process=where[0], domain=domain))
            return Answer.error(500, "this part cannot be had", fault="part refused")
        rows = self._rows(domain, night)
        if asked.narrow and "filter ignored" not in night:
            rows = [row for row in rows if row[2] and asked.holds(row[2].get("born", 0), row[2].get("region", ""))]
        size = world.page_size
        if "clamped" in night:
            size = max(1, size // 2)
        try:
            page = cut(
                world.paging,
                rows,
                query,
                size=size,
                places=party.places,
                newest=world.newest_first,
                now=universe.time.at,
                age=world.cursor_age or CURSOR_AGE,
                strict=world.strict_keys,
            )
        except Gone:
            chance.reach("key gone" if world.strict_keys else "cursor expired")
            return Answer.error(400, "the cursor has expired", fault="cursor expired")
        named = next((name for name in ("wiped", "wrong tenant") if name in night), "")
        answer = Answer.page(page.items, page.more, page.marks, fault=named, own=world.own)
        for name, fault in NIGHT_FAULTS.items():
            if name in night:
                fault(answer, universe, domain)
        if universe.lag(domain) and not answer.fault:
            answer.fault = "lag"
        kind = self._fault(LISTING_FAULTS, "page", domain, where)
        if kind:
            LISTING_FAULTS[kind](answer, chance, where, self._pages.get(domain, []))
        answer.render()
        if answer.says_the_end():
            self._note_end(domain, asked, where)
        self._pages.setdefault(domain, []).append(answer.body)
        return answer

    def _note_end(self, domain: str, asked: Asking, where: tuple[int, int]) -> None:
        """A part was read to its end, for the first time or in another pass."""
        universe = self._universe
        if not universe.world.parts:
            return
        ends = PartEnd(at=universe.time.at, process=where[0], domain=domain, low=asked.low, high=asked.high, shard=asked.shard)
        if asked.narrow and any(replace(one, at=ends.at) == ends for one in universe.facts.parts):
            universe.chance.reach("second pass of a part")
        universe.facts.parts.append(ends)

    def _rows(self, domain: str, night: frozenset[str]) -> list[tuple[int, str, Values]]:
        """The whole listing as it stands, in the order of places."""
        universe, party = self._universe, self._universe.parties[domain]
        if "wiped" in night:
            return []
        if "wrong tenant" in night:
            held = {"status": "open", "currency": "EUR", "born": 0, "region": REGIONS[0]}
            return [(n, f"other{n}", {**held, "amount": n, "version": n}) for n in range(1, 5)]
        at = max(0.0, universe.time.at - universe.lag(domain))
        return [(party.places[key], key, party.history.at(key, at)) for key in party.living(at)]

    def _by_id(self, domain: str, key: str, query: dict[str, str], where: tuple[int, int]) -> Answer:
        """One item, or several of them."""
        return self._several(domain, query["ids"].split(","), where) if key == MANY else self._item(domain, key, where)

    def _several(self, domain: str, keys: list[str], where: tuple[int, int]) -> Answer:
        """As many of the items as one answer holds; what is not there is left out. A fault that strikes one strikes the answer."""
        answers = [self._item(domain, key, where) for key in keys]
        struck = next((one for one in answers if one.lost or one.status not in (200, 404, 410) or one.shown is None), None)
        if struck is not None:
            return struck
        rows = [(one.document, one.shown or []) for one in answers if one.status == 200]
        self._universe.chance.reach("several by id")
        if len(rows) > AT_ONCE:
            self._universe.chance.reach("several cut short")
        absent = [shown for one in answers if one.status != 200 for shown in one.shown or []]
        came = [shown for _, told in rows[:AT_ONCE] for shown in told]
        # Of what an answer that is cut leaves out it says nothing.
        shown = came + (absent if len(rows) < AT_ONCE else [])
        return Answer(document={"data": [document for document, _ in rows[:AT_ONCE]]}, shown=shown, fault=answers[0].fault)

    def _item(self, domain: str, key: str, where: tuple[int, int]) -> Answer:
        universe = self._universe
        night = universe.night_faults(domain)
        state = universe.parties[domain].history.at(key, universe.time.at)
        if "reads 404" in night or "wiped" in night or "wrong tenant" in night:
            return Answer.error(404, "no such item", fault="reads 404", shown=[(key, None)])
        if "forbidden" in night:
            return Answer.error(403, "not yours to read", fault="forbidden")
        kind = self._fault(ITEM_FAULTS, "item", domain, where)
        answer = self._found(key, state, domain)
        if kind:
            ITEM_FAULTS[kind](answer, universe.chance, where, [])
        answer.render()
        return answer

    def _found(self, key: str, state: Values, domain: str) -> Answer:
        universe = self._universe
        if key in universe.unreadable(domain):
            raw = {"id": key, "status": ["?"], "amount": "many", "currency": None, "version": 0}
            return Answer(status=200, document=raw, shown=[(key, UNREADABLE)], fault="unreadable")
        own = universe.world.own
        if state is not None:
            return Answer(status=200, document=own.record(key, state) if own is not None else {"id": key, **state}, shown=[(key, state)])
        universe.chance.reach(f"absence by {universe.world.absence}")
        if universe.world.absence == "marker":
            return Answer(status=200, document={"id": key, "deleted": True}, shown=[(key, None)])
        return Answer.error(410 if universe.world.absence == "410" else 404, "no such item", shown=[(key, None)])

    def _fault(self, table: dict[str, Any], sort: str, domain: str, where: tuple[int, int]) -> str:
        """The fault that strikes this request; a sticky one strikes the ones after it as well, by the mood of the night."""
        universe = self._universe
        share = universe.mood(domain, sort)
        if not share:
            return ""
        kind = universe.chance.weighted({name: universe.world.weight(name) for name in table}, "fault", sort, *where)
        return kind if universe.chance.happens(kind, share, sort, *where) else ""


def as_json(document: Any) -> bytes:
    """The document as the third party writes it."""
    return json.dumps(document, separators=(",", ":")).encode()
