"""Slots that several schedulers share, on SQLite and PostgreSQL: taken by one, kept while they are worked on, gone on with by another."""

import threading
from datetime import timedelta

import pytest

from recon.state.database import State
from recon.state.run import RunState
from recon.state.runs import Runs
from recon.state.slots import TAKE_SECONDS, NotTaken, Recorded, Slot, Slots, SlotState
from recon.testing.clock import FixedClock
from tests.integration.state.world import START, later

NIGHT, NEXT = START, later(86_400)


@pytest.fixture
def slots(state: State) -> Slots:
    """The slots of a fresh state."""
    return Slots(state)


def take(slots: Slots, who: str, instant=NIGHT, tries: int = 4) -> Slot | NotTaken:
    return slots.take("orders", instant, who, tries=tries)


def test_a_slot_is_taken_by_one_and_by_the_next_after_silence(slots: Slots, clock: FixedClock) -> None:
    """While its scheduler is heard of nobody else gets it; when that is silent for too long, the next one does, and its try counts."""
    slots.due("orders", NIGHT)
    first = take(slots, "a:1")
    assert isinstance(first, Slot)
    assert (first.taken_by, first.tries) == ("a:1", 1)

    clock.advance(TAKE_SECONDS - 1)
    assert take(slots, "b:1") == NotTaken(why="a:1 sees to it")
    assert slots.renew("a:1", [("orders", NIGHT)]) == []
    clock.advance(TAKE_SECONDS - 1)
    assert isinstance(take(slots, "b:1"), NotTaken), "it was renewed"
    assert slots.ready() == []

    clock.advance(2)
    assert [slot.instant for slot in slots.ready()] == [NIGHT]
    second = take(slots, "b:1")
    assert isinstance(second, Slot)
    assert (second.taken_by, second.tries) == ("b:1", 2)
    assert slots.renew("a:1", [("orders", NIGHT)]) == [("orders", NIGHT)], "and the first one learns of it"


def test_who_lost_a_slot_settles_nothing(slots: Slots, clock: FixedClock) -> None:
    """What a scheduler that was overtaken says of the slot is not heard: neither that it failed, nor when it is to be tried again."""
    slots.due("orders", NIGHT)
    take(slots, "a:1")
    clock.advance(TAKE_SECONDS + 1)
    take(slots, "b:1")

    slots.finish("orders", NIGHT, state=SlotState.SKIPPED, reason="its run failed with exit 1", who="a:1")
    slots.again("orders", NIGHT, "a:1", wait=300, reason="was incomplete (exit 75)")
    slots.release("orders", NIGHT, "a:1")
    (slot,) = slots.pending()
    assert (slot.taken_by, slot.tries, slot.reason, slot.again_at) == ("b:1", 2, None, None)

    slots.finish("orders", NIGHT, who="b:1")
    assert slots.get("orders", NIGHT).state is SlotState.DONE


def test_twenty_at_once_take_it_once(slots: Slots, state_url: str) -> None:
    """Two schedulers with ten threads each, all at the same moment: one has it."""
    slots.due("orders", NIGHT)
    taken: list[str] = []
    gate = threading.Barrier(20)
    with State.open(state_url) as one, State.open(state_url) as two:

        def work(state: State, who: str) -> None:
            gate.wait()
            if isinstance(Slots(state).take("orders", NIGHT, who, tries=4), Slot):
                taken.append(who)

        threads = [threading.Thread(target=work, args=((one, two)[n % 2], f"host{n}:1")) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(taken) == 1


def test_tries_live_in_the_row(slots: Slots, clock: FixedClock) -> None:
    """The next try waits for its time whoever asks, and after the last one the slot is given up with the reason."""
    slots.due("orders", NIGHT)
    take(slots, "a:1", tries=2)
    slots.again("orders", NIGHT, "a:1", wait=300, reason="was incomplete (exit 75)")
    refused = take(slots, "b:1", tries=2)
    assert isinstance(refused, NotTaken)
    assert refused.why.startswith("was incomplete (exit 75); it is tried again at ")

    clock.advance(301)
    assert isinstance(take(slots, "b:1", tries=2), Slot)
    clock.advance(TAKE_SECONDS + 1)
    given_up = take(slots, "c:1", tries=2)
    assert given_up == NotTaken(why="given up after 2 tries: the last was incomplete (exit 75)", given_up=True)
    assert slots.get("orders", NIGHT).state is SlotState.SKIPPED


def test_a_stop_is_no_try(slots: Slots) -> None:
    """A slot whose run was stopped in order is due at once, with as many tries left as before."""
    slots.due("orders", NIGHT)
    take(slots, "a:1")
    slots.release("orders", NIGHT, "a:1")
    (slot,) = slots.ready()
    assert (slot.tries, slot.taken_by) == (0, None)


def test_overlap_across_hosts(slots: Slots) -> None:
    """A slot that comes while another host has the last one at work is skipped, and the last one stays its; it covers nothing by that."""
    slots.record("orders", NIGHT)
    take(slots, "a:1")
    assert slots.record("orders", NEXT) == Recorded(fresh=True, skipped=f"the run of {NIGHT:%Y-%m-%dT%H:%M:%SZ} was still at work")
    assert slots.record("orders", NEXT) == Recorded(fresh=False), "the other host says nothing more"

    slots.again("orders", NIGHT, "a:1", wait=0, reason="was incomplete (exit 75)")
    assert isinstance(take(slots, "b:1"), Slot), "the skipped one does not take its night away"


def test_a_newer_slot_covers_what_waits(slots: Slots, clock: FixedClock) -> None:
    """What waits behind a newer slot is covered by it, and one that is written down late, behind it, is too."""
    clock.advance((NEXT - clock.now()).total_seconds())
    slots.record("orders", NIGHT)
    assert slots.record("orders", NEXT) == Recorded(fresh=True)
    assert [slot.instant for slot in slots.pending()] == [NEXT]
    late = slots.record("orders", NIGHT + timedelta(hours=1))
    assert late.skipped.startswith("covered by ")
    assert [slot.instant for slot in slots.pending()] == [NEXT]


def test_a_run_by_hand_is_waited_for(slots: Slots, state: State) -> None:
    """While somebody is at work on the domain its slot is not taken, which costs no try; a run of an older slot at work skips the new one."""
    slots.record("orders", NIGHT)
    claim = Runs(state).start("orders", trigger="schedule", owner="old:1", slot=NIGHT)
    refused = take(slots, "b:1")
    assert isinstance(refused, NotTaken)
    assert refused.why.startswith("old:1 is at work on orders since ")
    assert slots.record("orders", NEXT).skipped, "its service is dead, and its run is not"

    Runs(state).advance(claim, RunState.FAILED)
    Runs(state).release(claim)
    taken = take(slots, "b:1")
    assert isinstance(taken, Slot)
    assert taken.tries == 1


def test_a_clock_set_back_blocks_nothing(slots: Slots, clock: FixedClock) -> None:
    """What a clock that ran a day ahead wrote into a row holds nobody up for a day when it is right again."""
    slots.due("orders", NIGHT)
    clock.advance(86_400)
    take(slots, "a:1")
    clock.advance(-86_400)
    taken = take(slots, "b:1")
    assert isinstance(taken, Slot)
    slots.again("orders", NIGHT, "b:1", wait=300, reason="was incomplete (exit 75)")
    clock.advance(-86_400)
    assert isinstance(take(slots, "c:1"), Slot)
