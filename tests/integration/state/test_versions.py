"""An event in two versions at once, on SQLite and PostgreSQL: one id, two messages, and neither holds the other up."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from recon.errors import BadRequest
from recon.event import decode
from recon.outbox import Choice, DeadLetters, Replays
from recon.outbox.manner import Manner
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.report.figures import OlderFigure
from recon.state.database import State
from recon.state.tables import events, outbox
from recon.testing.clock import FixedClock
from recon.testing.publisher import RecordingPublisher
from recon.versions import Version, Versions
from tests.integration.state.test_outbox import CONFIRMED, REJECTED, RETRY, Scripted, deliver
from tests.integration.state.world import START, Nights, changed, job

SUNSET = (START + timedelta(days=30)).date().isoformat()


def up(data: dict[str, Any]) -> dict[str, Any]:
    """What was raised has ^ behind its status."""
    return _marked(data, "^")


def down(data: dict[str, Any]) -> dict[str, Any]:
    """What was lowered has _ behind it."""
    return _marked(data, "_")


def _marked(data: dict[str, Any], mark: str) -> dict[str, Any]:
    return {**data, "state": {**data["state"], "status": data["state"]["status"] + mark}}


ONE = Version(number=1, up=up, down=down, sunset=SUNSET)
CHAIN = Versions(2, [ONE])
ONLY_UP = Versions(2, [Version(number=1, up=up)])


class ByVersion:
    """Answers by the version of the data; keeps what it was sent, in batches."""

    name = "by version"

    def __init__(self, answers: dict[int, Outcome], batch: int = 100) -> None:
        self.answers = answers
        self.capabilities = Capabilities(batch=batch)
        self.batches: list[list[Message]] = []

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        self.batches.append(list(batch))
        return [self.answers[decode(message.body).dataversion] for message in batch]


def sent_in_both(nights: Nights, *keys: str, source: str = "paid") -> None:
    """A night of a job in version 2 that still sends version 1."""
    nights.job = job(event_version=2, versions=(ONE,))
    nights.look([changed(key, source=source) for key in keys])
    nights.send(older={"bus": [one.number for one in nights.job.chain.sent_on(nights.clock.now().date())]})
    nights.end()


def test_both_versions_arrive_under_one_id(nights: Nights) -> None:
    """The older one is marked with its sunset, has the older data and a token of its own; the event counts once, and the other beside it."""
    sent_in_both(nights, "1", "2")
    lake = RecordingPublisher(batch=100)

    figure = deliver(nights, lake, manners=lambda _: Manner(versions=CHAIN))

    newest, older = lake.messages[:2], lake.messages[2:]
    assert [m.id for m in newest] == [m.id for m in older] == [nights.event(key) for key in "12"]
    assert [m.dedupe for m in newest] == [f"{m.id}:1" for m in newest]
    assert [m.dedupe for m in older] == [f"{m.id}:1:v1" for m in older]
    assert [m.version for m in lake.messages] == [0, 0, 1, 1]
    said, told = (json.loads(one[0].body) for one in (newest, older))
    assert (said["dataversion"], "deprecated" in said, said["data"]["state"]["status"]) == (2, False, "paid")
    assert (told["dataversion"], told["deprecated"], told["deprecationsunset"]) == (1, True, SUNSET)
    assert (told["data"]["state"]["status"], told["data"]["before"]["status"]) == ("paid_", "open")
    same = {"id", "type", "source", "subject", "time", "partitionkey", "reconrunid", "generation"}
    assert {name: said[name] for name in same} == {name: told[name] for name in same}
    assert (figure.confirmed, figure.undelivered, figure.older) == (2, 0, (OlderFigure(version=1, confirmed=2),))
    assert nights.outbox.figure(nights.claim.run.id, "bus") == figure


@pytest.mark.parametrize("refused", [1, 2])
def test_a_version_that_is_put_off_does_not_hold_up_the_other(nights: Nights, refused: int) -> None:
    """One version gets RETRY for ever; the events of the other go on through the nights, in order per key, and nothing is mixed in a batch."""
    publisher = ByVersion({refused: RETRY, 3 - refused: CONFIRMED})
    for source in ("paid", "refunded", "lost"):
        sent_in_both(nights, *map(str, range(1, 13)), source=source)
        deliver(nights, publisher, manners=lambda _: Manner(versions=CHAIN))

    good = [m for batch in publisher.batches for m in batch if decode(m.body).dataversion != refused]
    told = [decode(m.body).data["state"]["status"].rstrip("_") for m in good if m.partitionkey == "1"]
    assert (len(good), told) == (36, ["paid", "refunded", "lost"])
    assert all(len({decode(m.body).dataversion for m in batch}) == 1 for batch in publisher.batches)
    left = deliver(nights, publisher, manners=lambda _: Manner(versions=CHAIN))
    assert (left.waiting > 0, bool(left.older and left.older[0].waiting)) == (refused == 2, refused == 1)


@settings(max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_each_version_of_each_event_ends_once_and_in_its_order(tmp_path_factory, migrated_file, seed: int) -> None:
    """Random outcomes: in each version an event of a key is answered for good before the next one is sent; each ends once, as it was answered."""
    chance, clock = Random(seed), FixedClock()
    path = tmp_path_factory.mktemp("walk") / "state.db"
    path.write_bytes(Path(migrated_file).read_bytes())
    line: dict[tuple[str, int], list[str]] = defaultdict(list)
    ended: dict[tuple[str, int], str] = {}
    words = {OutcomeKind.CONFIRMED: "sent", OutcomeKind.REJECTED: "dead"}
    faults: list[str] = []

    def answer(messages: Sequence[Message]) -> list[Outcome]:
        outcomes = [Outcome(kind=chance.choice(list(OutcomeKind))) for _ in messages]
        # What is raised here would be taken for the publisher's own fault.
        if len({decode(message.body).dataversion for message in messages}) != 1:
            faults.append("versions mixed in a batch")
        for message, outcome in zip(messages, outcomes, strict=True):
            before, one = line[message.partitionkey, message.version], (message.id, message.version)
            if one in ended:
                faults.append(f"{one} sent again after its end")
            if not before or before[-1] != message.id:
                if message.id in before or (before and (before[-1], message.version) not in ended):
                    faults.append(f"{one} overtook {before}")
                before.append(message.id)
            if outcome.kind in words:
                ended[one] = words[outcome.kind]
        return outcomes

    with State.open(f"sqlite:///{path}", clock=clock) as state:
        nights = Nights(state, clock)
        sent_in_both(nights, "1", "2")
        with state.begin() as conn:
            for row in conn.execute(select(outbox)).mappings().all():
                event = conn.execute(select(events).where(events.c.id == row["event_id"])).mappings().one()
                for number in range(1, 4):
                    name = f"{row['partitionkey']}-{number}"
                    if not row["version"]:
                        conn.execute(events.insert().values({**event, "id": name}))
                    conn.execute(outbox.insert().values({**{k: v for k, v in row.items() if k != "seq"}, "event_id": name}))
        publisher = Scripted(answer, Capabilities(batch=4))
        for _ in range(100):
            left = deliver(nights, publisher, deadline=40.0, manners=lambda _: Manner(versions=CHAIN))
            if not left.waiting and not any(one.waiting for one in left.older):
                break
            clock.advance(1000)

        assert faults == []
        with state.read() as conn:
            assert {(row.event_id, row.version): row.state for row in conn.execute(select(outbox))} == ended
    assert len(ended) == 16
    assert all([name[-1] for name in names[1:]] == list("123") for names in line.values())


def test_a_dead_letter_of_one_version_is_not_hidden_by_the_other(nights: Nights) -> None:
    """Version 2 is refused and version 1 taken: the letter says so, is sent again in its version, and only the newest counts as told."""
    sent_in_both(nights, "1")
    deliver(nights, ByVersion({1: CONFIRMED, 2: REJECTED}), manners=lambda _: Manner(versions=CHAIN))
    letters = DeadLetters(nights.state)

    assert [letter.version for letter in letters.list()] == [0]
    publisher = ByVersion({1: REJECTED, 2: CONFIRMED})
    assert letters.redrive(domain="orders").again == 1
    assert deliver(nights, publisher, manners=lambda _: Manner(versions=CHAIN)).confirmed == 1
    assert letters.list() == []
    assert [decode(m.body).dataversion for batch in publisher.batches for m in batch] == [2]


def test_what_waits_past_the_sunset_is_refused_with_the_way_out(nights: Nights) -> None:
    """In the last second of its day it is sent; after that it is a dead letter that names the day and both ways out, and the newest goes on."""
    sent_in_both(nights, "1", "2")
    last = datetime.fromisoformat(f"{SUNSET}T23:59:59Z")
    nights.clock.advance((last - nights.clock.now()).total_seconds())
    assert deliver(nights, ByVersion({1: RETRY, 2: RETRY}), manners=lambda _: Manner(versions=CHAIN)).older == (
        OlderFigure(version=1, waiting=2),
    )
    nights.clock.advance((last + timedelta(seconds=1000) - nights.clock.now()).total_seconds())
    publisher = ByVersion({1: CONFIRMED, 2: CONFIRMED})

    figure = deliver(nights, publisher, manners=lambda _: Manner(versions=CHAIN))

    assert (figure.confirmed, figure.older) == (2, (OlderFigure(version=1, dead=2),))
    letters = DeadLetters(nights.state)
    assert {letter.version for letter in letters.list()} == {1}
    assert letters.list()[0].reason.startswith(f"version 1 ended with its sunset, {SUNSET}: set a later sunset=")
    later = Versions(2, [Version(number=1, up=up, down=down, sunset="2030-01-01")])
    assert letters.redrive(domain="orders").again == 2
    assert deliver(nights, publisher, manners=lambda _: Manner(versions=later)).older == (OlderFigure(version=1, confirmed=2),)


def test_a_version_that_is_dropped_while_it_waits_is_refused(nights: Nights) -> None:
    """The job has no down= any more: nobody can make the bytes, and the letter says so."""
    sent_in_both(nights, "1")

    figure = deliver(nights, RecordingPublisher(), manners=lambda _: Manner(versions=ONLY_UP))

    assert figure.older == (OlderFigure(version=1, dead=1),)
    assert "the job has no down= for it" in DeadLetters(nights.state).list()[0].reason


@pytest.mark.parametrize(("chain", "words"), [(None, "no job of its domain is on"), (Versions(1), "newest is version 1 here")])
def test_a_job_that_is_not_there_or_not_up_to_date_makes_no_dead_letter(nights: Nights, chain: Versions | None, words: str) -> None:
    """Switched off, broken, or on a host with an older copy of the job: the older version waits, and goes out once the job is there as it was."""
    sent_in_both(nights, "1")

    figure = deliver(nights, RecordingPublisher(), manners=lambda _: Manner(versions=chain))

    assert (figure.confirmed, figure.older) == (1, (OlderFigure(version=1, waiting=1),))
    assert words in figure.last_reason
    nights.clock.advance(1000)
    assert deliver(nights, RecordingPublisher(), manners=lambda _: Manner(versions=CHAIN)).older == (OlderFigure(version=1, confirmed=1),)


def test_a_step_that_fails_keeps_its_version_waiting_and_says_why(nights: Nights) -> None:
    """The newest is sent, the older waits with the reason until the function is mended, and then goes out by itself."""
    sent_in_both(nights, "1")
    broken = Versions(2, [Version(number=1, up=up, down=lambda data: data["no such"], sunset=SUNSET)])

    figure = deliver(nights, RecordingPublisher(), manners=lambda _: Manner(versions=broken))

    assert (figure.confirmed, figure.older) == (1, (OlderFigure(version=1, waiting=1),))
    assert figure.last_reason.startswith("up= or down= of the job, from version 2 to 1, raised KeyError")
    nights.clock.advance(1000)
    assert deliver(nights, RecordingPublisher(), manners=lambda _: Manner(versions=CHAIN)).older == (OlderFigure(version=1, confirmed=1),)


def test_a_repeat_of_an_older_event_is_told_in_both_versions(nights: Nights) -> None:
    """Stored in version 1, found again after the job was raised: the newest is raised from it, the older is the stored data, marked."""
    nights.night([changed("1")])
    stored = RecordingPublisher()
    deliver(nights, stored)
    sent_in_both(nights, "1")
    publisher = RecordingPublisher(batch=100)

    deliver(nights, publisher, manners=lambda _: Manner(versions=CHAIN))

    newest, older = publisher.events
    assert (newest.id, newest.dataversion, newest.data["state"]["status"]) == (stored.events[0].id, 2, "paid^")
    assert (older.id, older.dataversion, older.sunset, older.data) == (newest.id, 1, SUNSET, stored.events[0].data)


def test_a_replay_raises_older_data_and_leaves_what_is_stored(nights: Nights) -> None:
    """The same id in the newest version; `as_stored` sends the very bytes; the store has them still; what is stored is counted by version."""
    nights.night([changed("1")])
    deliver(nights, first := RecordingPublisher())
    nights.job = job(event_version=2, versions=(Version(number=1, up=up),))
    nights.night([changed("2")])
    replays = Replays(nights.state)
    assert replays.stored_versions(Choice()) == {"orders": {1: 1, 2: 1}}
    lake, archive = RecordingPublisher(batch=100), RecordingPublisher(batch=100)

    replays.begin(Choice(key="1"), "lake")
    replays.begin(Choice(key="1"), "archive", as_stored=True)
    deliver(nights, lake, name="lake", manners=lambda _: Manner(versions=ONLY_UP))
    deliver(nights, archive, name="archive", manners=lambda _: Manner(versions=ONLY_UP))

    (raised,) = lake.events
    assert (raised.id, raised.dataversion, raised.sunset) == (first.messages[0].id, 2, None)
    assert raised.data["state"]["status"] == "paid^"
    assert [m.body for m in archive.messages] == [m.body for m in first.messages]
    assert lake.messages[0].replay is not None
    with pytest.raises(BadRequest, match="no event was ever emitted"):
        replays.begin(Choice(key="9"), "lake")


def test_what_waited_before_a_version_was_raised_is_told_in_the_older_one_too(nights: Nights) -> None:
    """It has no older row beside it: a drain by hand makes one, from what was stored, once; its readers get it with its sunset."""
    nights.night([changed("1")])
    by_hand = RecordingPublisher(batch=100)

    figure = deliver(nights, by_hand, manners=lambda _: Manner(versions=CHAIN))

    assert [(m.partitionkey, m.version) for m in by_hand.messages] == [("1", 0), ("1", 1)]
    newest, older = by_hand.events
    assert (newest.dataversion, newest.data["state"]["status"]) == (2, "paid^")
    assert (older.dataversion, older.data["state"]["status"], older.sunset) == (1, "paid", SUNSET)
    assert (figure.confirmed, figure.older) == (1, (OlderFigure(version=1, confirmed=1),))
    assert nights.outbox.figure(nights.claim.run.id, "bus") == figure
    assert deliver(nights, by_hand, manners=lambda _: Manner(versions=CHAIN)).undelivered == 0
    assert len(by_hand.messages) == 2


def test_what_waited_before_keeps_its_place_before_what_is_newer(nights: Nights) -> None:
    """An event that another destination is owed still, and a newer one of the same key in both versions: each line has them in order."""
    nights.job = job(publisher=("bus", "audit"))
    for versions, older, found in (((), (), [changed("1")]), ((), (), []), ((ONE,), (1,), [changed("1", source="refunded")])):
        nights.job = job(publisher=("bus", "audit"), event_version=1 + len(versions), versions=versions)
        nights.look(found)
        with nights.state.begin() as conn:
            nights.plans.make_in(conn, nights.claim.run, nights.job)
            nights.plans.judge_in(conn, nights.claim.run, (), expires_at=nights.clock.now())
            names = ("bus", "audit")
            nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, *names, older=dict.fromkeys(names, older))
        nights.runs.release(nights.claim)
        deliver(nights, RecordingPublisher())
    audit = RecordingPublisher(batch=100)

    deliver(nights, audit, name="audit", manners=lambda _: Manner(versions=CHAIN, heals=False))

    told = [(m.version, e.data["state"]["status"]) for m, e in zip(audit.messages, audit.events, strict=True)]
    assert sorted(told, key=lambda one: one[0]) == [(0, "paid^"), (0, "refunded"), (1, "paid"), (1, "refunded_")]


def test_a_destination_that_takes_no_older_version_any_more_is_sent_none(nights: Nights) -> None:
    """What waits in one is taken back with the reason, and the newest goes out; none is made for it either."""
    sent_in_both(nights, "1")
    publisher = Scripted(lambda batch: [CONFIRMED] * len(batch), Capabilities(versions=False))

    figure = deliver(nights, publisher, manners=lambda _: Manner(versions=CHAIN))

    assert (figure.confirmed, figure.older, publisher.batches) == (1, (), [["1"]])
    rows = {row.version: (row.state, row.reason) for row in nights.ledger.story("orders", "1").sent}
    assert rows == {0: ("sent", None), 1: ("withdrawn", "bus takes no older version any more; the newest is told")}
