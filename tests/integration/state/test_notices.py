"""Notices on SQLite and PostgreSQL: taken by one of many, told at most once for each time, due again where the telling failed."""

from concurrent.futures import ThreadPoolExecutor

from recon.notify.notices import AGAIN, TAKEN, Notices
from recon.state.database import State
from recon.testing.clock import FixedClock


def test_of_many_hosts_one_takes_it(state_url: str, clock: FixedClock) -> None:
    """Eight hosts open and take the same notice at once, three times over: one of them gets it each time."""
    hosts = [State.open(state_url, clock=clock) for _ in range(8)]
    try:
        for count in range(3):
            with ThreadPoolExecutor(len(hosts)) as pool:
                for host in hosts:
                    pool.submit(Notices(host).open, "held", "R1", "orders")
            with ThreadPoolExecutor(len(hosts)) as pool:
                taken = [one for one in pool.map(lambda host: Notices(host).take("held", "R1"), hosts) if one is not None]
            assert [one.count for one in taken] == [count]
            Notices(hosts[count]).told(taken[0], clock.now())
    finally:
        for host in hosts:
            host.close()


def test_told_it_rests_until_its_next_time_and_closed_for_ever(state: State, clock: FixedClock) -> None:
    """Opened again it is not told again; at its next time it is due; closed it never is."""
    notices = Notices(state)
    notices.open("held", "R1", "orders")
    taken = notices.take("held", "R1")
    assert taken is not None
    notices.told(taken, clock.now() + TAKEN * 10)
    notices.open("held", "R1", "orders")
    assert notices.take("held", "R1") is None

    clock.advance(TAKEN.total_seconds() * 10)
    again = notices.take("held", "R1")
    assert again is not None
    assert (again.count, again.last_at is not None) == (1, True)
    notices.postpone(again, None)
    clock.advance(1e6)
    assert notices.due("held") == []
    assert notices.take("held", "R1") is None


def test_what_could_not_be_told_is_due_again_soon(state: State, clock: FixedClock) -> None:
    """After a failed post it is not lost and not counted; nor is it after the death of whoever had taken it."""
    notices = Notices(state)
    notices.open("held", "R1", "orders")
    taken = notices.take("held", "R1")
    assert taken is not None
    notices.failed(taken)
    assert notices.take("held", "R1") is None

    clock.advance(AGAIN.total_seconds())
    dead = notices.take("held", "R1")
    assert dead is not None
    assert dead.count == 0
    clock.advance(TAKEN.total_seconds())
    heir = notices.take("held", "R1")

    assert heir is not None
    # The first one comes back to life, too late to change anything.
    notices.told(dead, None)
    row = notices.get("held", "R1")
    assert row is not None
    assert (row.count, row.next_at) == (0, heir.next_at)
