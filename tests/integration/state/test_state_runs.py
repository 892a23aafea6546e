"""Leases, runs and slots on SQLite and PostgreSQL: one holder at a time, one writer per run, one run per slot."""

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from recon.errors import BadRequest, LeaseHeld, LostLease, SlotTaken, StateError
from recon.state import lease
from recon.state.database import State
from recon.state.run import FACTS, TRANSITIONS
from recon.state.runs import Claim, Run, Runs, RunState
from recon.state.slots import Slots, SlotState
from recon.testing.clock import FixedClock
from tests.integration.state.world import START, WAY, later

CHILD = Path(__file__).parent / "child.py"


@pytest.fixture
def runs(state: State) -> Runs:
    """The runs of a fresh state."""
    return Runs(state)


def start(runs: Runs, domain: str = "orders", **options) -> Claim:
    """A run by hand."""
    return runs.start(domain, trigger="cli", **{"owner": "host:1", **options})


def walk(runs: Runs, claim: Claim, *states: RunState, **facts) -> Claim:
    """Moves on, state by state; the facts go with the last."""
    for one in states[:-1]:
        claim = runs.advance(claim, one)
    return runs.advance(claim, states[-1], **facts)


def held(runs: Runs, **facts) -> Claim:
    """A run that waits for a person until an hour from the start."""
    return walk(runs, start(runs), *WAY, RunState.HELD, **{"hold_expires_at": later(3600), **facts})


def children(count: int, *words: str) -> list[subprocess.Popen[str]]:
    """Processes that are ready and wait for the word."""
    started = [
        subprocess.Popen([sys.executable, CHILD, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for child in started:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    return started


def test_a_lease_is_held_by_one_and_says_who_it_is(state: State, clock: FixedClock) -> None:
    """The refusal names the holder, since when, until when, and what to do."""
    with state.begin() as conn:
        lease.acquire(state, conn, "orders", "db7:4242", 60)
    clock.advance(19)

    with pytest.raises(LeaseHeld) as refused, state.begin() as conn:
        lease.acquire(state, conn, "orders", "db8:1", 60)

    assert (
        "db7:4242 is at work on it since 2026-01-03T03:00:00Z; last renewed 19s ago; its lease ends at 2026-01-03T03:01:00Z"
        in refused.value.message
    )
    assert "try again in 41s" in (refused.value.hint or "")
    assert refused.value.exit_code == 75
    with state.read() as conn:
        holder = lease.holder(state, conn, "orders")
    assert holder is not None
    assert (holder.owner, holder.fence) == ("db7:4242", 1)


def test_an_expired_lease_is_taken_over_with_the_next_fence(state: State, clock: FixedClock) -> None:
    """And the one before it may write nothing more, nor renew, nor take the newer one away by giving its own back."""
    with state.begin() as conn:
        old = lease.acquire(state, conn, "orders", "a:1", 60)
    clock.advance(61)
    with state.begin() as conn:
        new = lease.acquire(state, conn, "orders", "b:2", 60)

    assert (old.fence, new.fence) == (1, 2)
    for act in (lambda conn: lease.check(conn, old), lambda conn: lease.renew(state, conn, old)):
        with pytest.raises(LostLease, match=r"b:2 took over \(fence 2, this process has 1"), state.begin() as conn:
            act(conn)
    with state.begin() as conn:
        lease.release(state, conn, old)
        lease.check(conn, new)


def test_a_clock_that_is_set_back_leaves_no_domain_to_the_dead(state: State, clock: FixedClock) -> None:
    """A renewal that lies ahead keeps nobody out; who is alive renews, and holds again."""
    clock.advance(3600)
    with state.begin() as conn:
        dead = lease.acquire(state, conn, "orders", "a:1", 60)
        alive = lease.acquire(state, conn, "refunds", "a:2", 60)
    clock.advance(-3600)
    with state.begin() as conn:
        lease.renew(state, conn, alive)

    with state.begin() as conn:
        assert lease.acquire(state, conn, "orders", "b:1", 60).fence == dead.fence + 1
    with pytest.raises(LeaseHeld), state.begin() as conn:
        lease.acquire(state, conn, "refunds", "b:2", 60)


def test_an_expired_lease_that_nobody_took_still_serves(state: State, clock: FixedClock) -> None:
    """The fence is what counts: a process that was late, and alone, may go on and renew."""
    with state.begin() as conn:
        mine = lease.acquire(state, conn, "orders", "a:1", 60)
    clock.advance(1000)

    with state.begin() as conn:
        assert lease.renew(state, conn, mine).expires_at == later(1060)


def test_a_lease_given_back_writes_nothing_more(state: State) -> None:
    """Its own holder is told so too."""
    with state.begin() as conn:
        mine = lease.acquire(state, conn, "orders", "a:1", 60)
        lease.release(state, conn, mine)

    with pytest.raises(LostLease, match="was given back"), state.begin() as conn:
        lease.check(conn, mine)


def test_the_heartbeat_keeps_a_lease_alive_and_notices_its_loss(state: State, clock: FixedClock) -> None:
    """Renewed from its thread while the holder works; when another one took over, `check` says so."""
    with state.begin() as conn:
        mine = lease.acquire(state, conn, "orders", "a:1", 60)
    clock.advance(50)
    with lease.Heartbeat(state, mine, every=0.01) as beat:
        wait_for(lambda: beat.lease.expires_at >= later(110))
        beat.check()
        clock.advance(200)
        wait_for(lambda: beat.lease.expires_at >= later(310))
        steal(state, clock)
        wait_for(lambda: beat.lost)
        with pytest.raises(LostLease):
            beat.check()


def steal(state: State, clock: FixedClock) -> None:
    """Takes the lease of `orders` as if its holder had been silent for long."""
    while True:
        clock.advance(10_000)
        try:
            with state.begin() as conn:
                lease.acquire(state, conn, "orders", "thief:9", 60)
        except LeaseHeld:
            continue
        return


def wait_for(condition) -> None:
    """Until it is so, for ten seconds at most."""
    pulse = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pulse.wait(0.005)
    pytest.fail("it never came to be")


def test_processes_that_contend_get_every_fence_once(state_url: str) -> None:
    """Three processes, ninety claims: the fences are 1 to 90, none twice, none left out."""
    started = children(3, "claim", state_url, "30")
    for child in started:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    fences = [int(line.split()[1]) for child in started for line in child.communicate(timeout=90)[0].splitlines()]

    assert sorted(fences) == list(range(1, 91))


def test_of_processes_that_start_at_once_exactly_one_wins(state_url: str) -> None:
    """The others are told who holds the domain."""
    started = children(3, "start", state_url)
    for child in started:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.stdout.readline().strip() for child in started if child.stdout is not None]
    for child in started:
        child.communicate(timeout=60)

    winners = [answer for answer in answers if answer.startswith("won")]
    assert len(winners) == 1, answers
    assert all("is at work on it since" in answer for answer in answers if answer not in winners)
    with State.open(state_url) as state:
        assert len(Runs(state).recent("orders")) == 1


def test_a_run_is_written_down_as_it_starts(runs: Runs, clock: FixedClock) -> None:
    """State, owner, fence, logical start and version; what is read back equals what was answered."""
    claim = start(runs, slot=later(-60))

    run = claim.run
    assert (run.state, run.owner, run.fence, run.logical_start, run.started_at) == (RunState.PLANNED, "host:1", 1, later(-60), START)
    assert runs.get(run.id) == run
    assert runs.by_slot("orders", later(-60)) == run


def test_one_slot_has_one_run(runs: Runs) -> None:
    """The second is refused and told which run has it, and what to type; another domain's slot is another one."""
    first = walk(runs, start(runs, slot=START), *WAY, RunState.DONE)
    runs.release(first)

    with pytest.raises(SlotTaken) as refused:
        start(runs, slot=START)

    assert refused.value.run == first.run.id
    assert "which is done" in refused.value.message
    start(runs, "refunds", slot=START)
    assert start(runs, slot=later(1)).lease.fence == 2


def test_every_move_of_the_table_is_allowed_and_no_other(runs: Runs) -> None:
    """Each pair of states is tried from a run that stands there."""
    for at in RunState:
        for to in RunState:
            claim = start(runs, f"d_{at}_{to}")
            claim = walk(runs, claim, *route(at)) if at is not RunState.PLANNED else claim
            if to in TRANSITIONS[at] or (to is at and at not in {RunState.DONE, RunState.FAILED, RunState.REJECTED, RunState.EXPIRED}):
                assert runs.advance(claim, to).run.state is to
            else:
                with pytest.raises(StateError, match=f"is {at} and cannot become {to}"):
                    runs.advance(claim, to)


def route(to: RunState) -> list[RunState]:
    """A way from planned to a state."""
    ways: dict[RunState, list[RunState]] = {RunState.PLANNED: []}
    todo = [RunState.PLANNED]
    while to not in ways:
        at = todo.pop(0)
        for after in TRANSITIONS[at]:
            if after not in ways:
                ways[after] = [*ways[at], after]
                todo.append(after)
    return ways[to]


def test_facts_go_with_the_move_and_come_back_as_they_were(runs: Runs, clock: FixedClock) -> None:
    """Times, documents, counts; an unknown fact is a fault of the program."""
    claim = start(runs)
    facts = {
        "watermark": later(0.5),
        "folder": "/tmp/x",
        "coverage": {"whole": True, "pages": 3},
        "source_records": 1 << 40,
        "whole": True,
        "verdict": "clean",
    }
    runs.advance(claim, RunState.FETCHING, **facts)

    run = runs.get(claim.run.id)
    assert {name: getattr(run, name) for name in facts} == facts
    with pytest.raises(ValueError, match="no such fact of a run: colour"):
        runs.advance(claim, RunState.FETCHING, colour="red")
    assert "state" not in FACTS


def test_a_move_renews_the_lease(runs: Runs, clock: FixedClock) -> None:
    """However long its transaction took, nobody finds the domain free right after it."""
    claim = start(runs, ttl=60)
    clock.advance(300)
    claim = runs.advance(claim, RunState.FETCHING)

    assert claim.lease.expires_at == later(360)
    with pytest.raises(LeaseHeld):
        start(runs)


def test_a_zombie_is_refused_at_every_write(runs: Runs, clock: FixedClock) -> None:
    """A process that slept through its lease finds every door closed: it cannot move its run, nor write a fact of it."""
    zombie = runs.advance(start(runs, ttl=60), RunState.FETCHING)
    clock.advance(61)
    heir = runs.resume(zombie.run.id, "host:2")

    for act in (
        lambda: runs.advance(zombie, RunState.SEALED),
        lambda: runs.record(zombie, reason="x"),
        lambda: runs.advance(zombie, RunState.FAILED),
    ):
        with pytest.raises(LostLease):
            act()
    runs.release(zombie)
    assert runs.advance(heir, RunState.SEALED).run.fence == 2


def test_an_interrupted_run_is_gone_on_with_once_its_lease_is_free(runs: Runs, clock: FixedClock) -> None:
    """While it is held nobody may; after that the next process finds it where it was last committed."""
    claim = runs.advance(start(runs, ttl=60), RunState.FETCHING, folder="/tmp/x")
    assert runs.resumable("orders") is None
    with pytest.raises(LeaseHeld):
        runs.resume(claim.run.id, "host:2")
    clock.advance(61)

    found = runs.resumable("orders")
    assert found is not None
    heir = runs.resume(found.id, "host:2")

    assert (heir.run.id, heir.run.state, heir.run.folder, heir.run.resumes, heir.run.owner) == (
        claim.run.id,
        RunState.FETCHING,
        "/tmp/x",
        1,
        "host:2",
    )


@pytest.mark.parametrize(("verdict", "resumable"), [("incomplete", True), ("failed", False)])
def test_a_run_that_failed_for_want_of_an_answer_can_go_on(runs: Runs, verdict: str, resumable: bool) -> None:
    """`incomplete` is gone on with by the next run, any other failure only by hand; its old reason is wiped when it does."""
    claim = walk(runs, start(runs), RunState.FETCHING, RunState.FAILED, verdict=verdict, reason="503", exit_code=75)
    runs.release(claim)

    assert (runs.resumable("orders") is not None) is resumable
    again = runs.advance(runs.resume(claim.run.id, "host:2"), RunState.FETCHING)
    assert (again.run.finished_at, again.run.reason, again.run.verdict, again.run.exit_code) == (None, None, None, None)
    assert runs.get(claim.run.id) == again.run


def test_dry_runs_and_single_keys_are_not_mixed_up_with_nights(runs: Runs) -> None:
    """Each sort is gone on with by its own sort only, and does not end another."""
    night = runs.advance(start(runs), RunState.FETCHING)
    runs.release(night)
    dry = runs.advance(start(runs, dry_run=True), RunState.FETCHING)
    runs.release(dry)
    one = runs.advance(start(runs, key="42"), RunState.FETCHING)
    runs.release(one)

    assert runs.get(night.run.id).state is RunState.FETCHING
    for options, claim in (({}, night), ({"dry_run": True}, dry), ({"key": "42"}, one)):
        found = runs.resumable("orders", **options)
        assert found is not None
        assert found.id == claim.run.id
    assert runs.resumable("orders", key="43") is None


def test_a_newer_night_gives_the_unfinished_one_up(runs: Runs) -> None:
    """It is ended and says for which; a held one goes on waiting, and one that emitted keeps its deliveries."""
    unfinished = runs.advance(start(runs), RunState.FETCHING, reason="503")
    runs.release(unfinished)
    waiting = held(runs)
    runs.release(waiting)
    emitted = walk(runs, start(runs), *WAY, RunState.EMITTED)
    runs.release(emitted)
    newer = start(runs)

    given_up = runs.get(unfinished.run.id)
    assert given_up.state is RunState.FAILED
    assert given_up.reason == f"503; given up: run {waiting.run.id} started before it had ended"
    assert runs.get(waiting.run.id).state is RunState.HELD
    assert runs.get(emitted.run.id).state is RunState.EMITTED
    assert newer.lease.fence == 4


def test_a_run_that_ended_is_not_gone_on_with(runs: Runs) -> None:
    """The refusal says what it is and what starts a new one."""
    claim = walk(runs, start(runs), *WAY, RunState.DONE)
    runs.release(claim)

    with pytest.raises(BadRequest, match="is done: there is nothing left") as refused:
        runs.resume(claim.run.id, "host:2")
    assert refused.value.hint == "recon run orders starts a new one"


def test_a_run_is_found_by_any_unique_beginning(runs: Runs, clock: FixedClock) -> None:
    """In any case, with the look-alikes forgiven; none and several are told apart, and nonsense is none."""
    first, second = start(runs, "a"), start(runs, "b")
    clock.advance(10**8)
    third = start(runs, "c")

    assert runs.get(third.run.id[:6]).id == third.run.id
    assert runs.get(third.run.id.lower().replace("0", "o")).id == third.run.id
    with pytest.raises(BadRequest, match="2 runs begin with") as many:
        runs.get(first.run.id[:5])
    assert f"{first.run.id} (a)" in many.value.message
    assert f"{second.run.id} (b)" in many.value.message
    for nonsense in ("ZZZZ", "%", "", "01_"):
        with pytest.raises(BadRequest, match="no run") as none:
            runs.get(nonsense)
        assert none.value.hint == "recon runs lists them"


def test_the_measure_of_a_night_is_the_last_whole_run_that_was_believed(runs: Runs, clock: FixedClock) -> None:
    """A held night (a wiped third party), a dry run, a single key and a partial fetch never become what the next is measured by."""

    def ended(to: RunState, records: int, *, whole: bool = True, verdict: str | None = "clean", **options) -> Run:
        clock.advance(60)
        claim = walk(runs, start(runs, **options), *WAY, to, whole=whole, source_records=records, verdict=verdict)
        runs.release(claim)
        return claim.run

    assert runs.last_whole("orders") is None
    good = ended(RunState.DONE, 1000)
    ended(RunState.HELD, 0, verdict="held")
    ended(RunState.HELD, 5, verdict=None)
    ended(RunState.FAILED, 6, verdict=None)
    ended(RunState.DONE, 7, verdict="held")
    ended(RunState.DONE, 1, dry_run=True)
    ended(RunState.DONE, 2, key="42")
    ended(RunState.FAILED, 3, whole=False, verdict="incomplete")
    ended(RunState.DONE, 4, whole=False)

    found = runs.last_whole("orders")
    assert found is not None
    assert (found.id, found.source_records) == (good.id, 1000)


def test_consistent_as_of_is_the_latest_that_a_finished_run_wrote(runs: Runs, clock: FixedClock) -> None:
    """A run that has not ended says nothing yet, and a moment that lies ahead nothing either."""
    clock.advance(100)
    assert runs.consistent_as_of("orders") is None
    for seconds in (100, 50, 5000):
        claim = walk(runs, start(runs), *WAY, RunState.DONE, consistent_as_of=later(seconds))
        runs.release(claim)
    walk(runs, start(runs), *WAY, consistent_as_of=later(900))

    assert runs.consistent_as_of("orders") == later(100)


def test_a_held_run_expires_by_itself(runs: Runs, clock: FixedClock) -> None:
    """Up to its time it waits, after it nobody finds it waiting, and it says why it ended."""
    claim = held(runs)
    runs.release(claim)
    clock.advance(3599)
    assert [run.id for run in runs.held()] == [claim.run.id]
    clock.advance(1)

    assert runs.held() == []
    ended = runs.get(claim.run.id)
    assert (ended.state, ended.reason, ended.finished_at) == (RunState.EXPIRED, "nobody decided in time", later(3600))


def test_a_held_dry_run_waits_for_nobody(runs: Runs) -> None:
    """Its plan is never sent, so no person is asked about it."""
    walk(runs, start(runs, dry_run=True), *WAY, RunState.HELD, hold_expires_at=later(3600))

    assert runs.held() == []


def test_what_was_decided_is_finished_before_anything_else(runs: Runs, clock: FixedClock) -> None:
    """A run whose events are out, or approved, is found again behind newer ones; only then the newest."""
    emitted = walk(runs, start(runs), *WAY, RunState.EMITTED)
    runs.release(emitted)
    clock.advance(86_400)
    newer = runs.advance(start(runs), RunState.FETCHING)
    runs.release(newer)

    found = runs.resumable("orders")
    assert found is not None
    assert found.id == emitted.run.id
    runs.release(runs.advance(runs.resume(found.id, "host:1"), RunState.DONE))
    after = runs.resumable("orders")
    assert after is not None
    assert after.id == newer.run.id


def test_recent_runs_come_newest_first(runs: Runs, clock: FixedClock) -> None:
    """Of one domain or of all, and no more than asked for."""
    ids = []
    for n in range(4):
        clock.advance(60)
        ids.append(start(runs, f"d{n % 2}_{n}").run.id)

    assert [run.id for run in runs.recent(limit=3)] == ids[:0:-1]
    assert [run.id for run in runs.recent("d0_0")] == [ids[0]]


def test_a_due_slot_is_recorded_once_and_finished_once(state: State) -> None:
    """Two schedulers that fire at once record one slot; done or skipped with its reason, it stays so."""
    slots = Slots(state)
    assert slots.due("orders", START)
    assert not slots.due("orders", START)
    assert slots.due("orders", later(86_400))
    assert slots.due("refunds", START)

    assert [(slot.domain, slot.instant) for slot in slots.pending()] == [("orders", START), ("refunds", START), ("orders", later(86_400))]
    slots.finish("orders", START, state="skipped", reason="the next one covers it")
    slots.finish("orders", START, state="done", run="x")
    slots.finish("orders", later(86_400), run="01RUN")

    assert [slot.instant for slot in slots.pending("orders")] == []
    last = slots.last("orders")
    assert last is not None
    assert (last.state, last.run, last.instant) == (SlotState.DONE, "01RUN", START + timedelta(days=1))
    assert [(slot.state, slot.reason) for slot in slots.recent("orders")] == [
        (SlotState.DONE, None),
        (SlotState.SKIPPED, "the next one covers it"),
    ]
    assert slots.last("nobody") is None
