"""Laws of the second look, over random worlds: changes on both sides at any moment of a night, cut and short listings, reads without
an answer, records that cannot be read, kills. The oracle is the log of what each look saw; it shares nothing with the code.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from recon.errors import Unreachable
from recon.fetch.page import LookupStatus
from tests.acceptance.nights import Nights, job

KEYS = [f"k{n}" for n in range(5)]
MOMENTS = ["listing 1", "page 2", "listed 1", "scan", "scanned", "settle", "get", "rows", "listing 2", "listed 2"]
STATES = st.sampled_from([None, ("paid", 1), ("open", 1), ("paid", "unreadable")])
CHANGE = st.tuples(st.integers(0, 1), st.sampled_from(MOMENTS), st.sampled_from(["there", "here", "both"]), st.sampled_from(KEYS), STATES)
# A world is half a second: a failing one is printed as it is, since making it smaller would take minutes.
LAWS = settings(
    max_examples=int(os.environ.get("RECON_EXAMPLES", "25")),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

WORLDS = st.fixed_dictionaries(
    {
        "get": st.booleans(),
        "updated": st.booleans(),
        "direction": st.sampled_from(["inbound", "outbound"]),
        "delete_nights": st.sampled_from([1, 1, 2]),
        "there": st.lists(STATES, min_size=5, max_size=5),
        # Where the two sides differ before the first night.
        "here": st.dictionaries(st.sampled_from(KEYS), STATES.filter(lambda state: state is None or state[1] != "unreadable"), max_size=3),
        "changes": st.lists(CHANGE, max_size=6),
        "answers": st.dictionaries(
            st.sampled_from(KEYS), st.sampled_from([LookupStatus.FORBIDDEN, LookupStatus.UNKNOWN, LookupStatus.NOT_FOUND]), max_size=1
        ),
        "fault": st.sampled_from(["", "", "fails 1", "fails 2", "short 1", "short 2"]),
        "killed": st.sampled_from(["", "", "", *MOMENTS]),
    }
)


class Played:
    """A world played for two nights; the laws are checked on every event as it comes."""

    def __init__(self, folder: Path, world: dict[str, Any]) -> None:
        self.world = world
        changes = {name: world[name] for name in ("direction", "delete_nights")}
        self.nights = Nights(folder, job(updated="updated" if world["updated"] else None, **changes))
        nights = self.nights
        nights.third_party.get = world["get"]
        nights.third_party.answers = world["answers"]
        # Items that never move, so that there is something to hold an absence against.
        nights.both("z1", "z2", "z3")
        for key, state in zip(KEYS, world["there"], strict=True):
            self.put("there", key, state)
            self.put("here", key, state if state is None or state[1] != "unreadable" else ("paid", 1))
        for key, state in world["here"].items():
            self.put("here", key, state)
        nights.moments.changes.clear()
        nights.clock.advance(86400)

    def put(self, side: str, key: str, state: Any) -> None:
        """One side's item as it is from now on."""
        held = getattr(self.nights, side)
        if state is None:
            held.pop(key, None)
        else:
            held[key] = self.nights.record(key, state[0], age=0) | {"amount": state[1]}
        self.nights.moments.changes.append((side, key))

    def change(self, side: str, key: str, state: Any) -> None:
        """A change of the world; the store's column takes no text that is no number."""
        if side in {"there", "both"}:
            self.put("there", key, state)
        if side in {"here", "both"} and (state is None or state[1] != "unreadable"):
            self.put("here", key, state)

    def play(self, number: int) -> None:
        """One night, and what was killed of it gone on with."""
        nights, at = self.nights, self.nights.moments.at
        nights.moments.looks.clear()
        nights.third_party.listings, nights.third_party.short, nights.third_party.fail_page = 0, (0, 0), {}
        at.clear()
        for night, moment, side, key, state in self.world["changes"]:
            if night == number:
                at.setdefault(moment, []).append(lambda side=side, key=key, state=state: self.change(side, key, state))
        fault, _, listing = self.world["fault"].partition(" ")
        if fault == "short":
            nights.third_party.short = (int(listing), 2)
        elif fault == "fails":
            at.setdefault(f"listing {listing}", []).append(lambda: nights.third_party.fail_page.update({2: Unreachable("503")}))
        if self.world["killed"] and number == 0:
            at.setdefault(self.world["killed"], []).append(self.kill)
        before, marked = len(nights.events), len(nights.moments.changes)
        with suppress(KeyboardInterrupt):
            nights.night(hours=24 * number)
            self.judge(nights.events[before:], fault, listing, marked)
            return
        before = len(nights.events)
        nights.night(hours=0.01)
        self.judge(nights.events[before:], fault, listing, marked)

    def kill(self) -> None:
        raise KeyboardInterrupt

    def judge(self, events: list[dict[str, Any]], fault: str, listing: str, marked: int) -> None:
        """The laws."""
        nights = self.nights
        cut = fault == "fails" and (listing == "1" or ("there 2" in nights.moments.looks and not self.world["get"]))
        assert not (cut and events), f"a listing was cut, and yet {events} went out"
        for event in events:
            self.judge_event(event["data"], marked)

    def judge_event(self, data: dict[str, Any], marked: int) -> None:
        key, looks = data["key"], self.nights.moments.looks
        note(f"{key}: {data}; { ({name: look.get(key) for name, look in looks.items()}) }")
        saw = {name: looks.get(name, {}).get(key, (None, 0)) for name in ("there 1", "here 1", "there 2", "here 2")}
        for place in ("there", "here"):
            first, second = saw[f"{place} 1"], saw[f"{place} 2"]
            assert value(first[0]) == value(second[0]), f"{place} moved between the looks"
            assert value(first[0]) != "unreadable", "what cannot be read is unknown"
            if self.world["updated"] and first[0] is not None:
                moved = self.nights.moments.changes[first[1] : second[1]]
                assert (place, key) not in moved, f"{place} moved and moved back between the looks"
        source, target = ("there", "here") if self.world["direction"] == "inbound" else ("here", "there")
        told = {"created": (None, "state"), "deleted": ("before", None), "updated": ("before", "state")}[data["op"]]
        assert value(saw[f"{target} 2"][0]) == value(data[told[0]] if told[0] else None)
        assert value(saw[f"{source} 2"][0]) == value(data[told[1]] if told[1] else None)
        absent = source if data["op"] == "deleted" else target
        since = self.nights.moments.changes[marked:]
        # A third party that leaves an item out and denies it by id too, or whose pages shift under two listings, is believed.
        liar = absent == "there" and (key in self.world["answers"] or (not self.world["get"] and any(side == "there" for side, _ in since)))
        lasted = key in getattr(self.nights, absent) and (absent, key) not in since
        assert liar or data["op"] == "updated" or not lasted, "an absence was told of an item that was there all night"


def value(record: Any) -> Any:
    """What is compared of a record."""
    if record is None:
        return None
    return "unreadable" if record["amount"] == "unreadable" else (record["status"], record["amount"])


@LAWS
@given(WORLDS)
def test_every_event_says_what_both_looks_saw(world: dict[str, Any]) -> None:
    """Of a key that did not move between the looks and could be read in both; nothing at all where a listing was cut, and no absence of an item that was there all night."""
    with tempfile.TemporaryDirectory(prefix="recon-laws-") as folder:
        played = Played(Path(folder), world)
        try:
            played.play(0)
            played.play(1)
        finally:
            played.nights.close()
