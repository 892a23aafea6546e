"""What is taken back from whom, on SQLite and PostgreSQL: each row of the table in docs/publishers.md, all on one night."""

from dataclasses import replace
from itertools import product

from recon.outbox.dead import DeadLetters, Redriven
from recon.outbox.delivery import drain
from recon.outbox.manner import Manner
from recon.publishers.base import Message, Outcome, OutcomeKind
from recon.testing.publisher import CONFIRMED, RecordingPublisher
from tests.integration.state.world import Nights, changed, job

RETRY = Outcome(kind=OutcomeKind.RETRY, reason="503")
REJECTED = Outcome(kind=OutcomeKind.REJECTED, reason="422")
STAYS, BACK = "waiting", "withdrawn"

#: The rows of the table: what the night finds, and of an event that the first destination has confirmed what becomes of it at the
#: first, at another one that has not got it, and at one that has; then the same, at both, of an event that the first has not confirmed.
TABLE = {
    "same": ((STAYS, STAYS, STAYS), STAYS),
    "agrees": ((BACK, STAYS, BACK), BACK),
    "other": ((BACK, BACK, BACK), BACK),
    "between": ((BACK, STAYS, BACK), BACK),
    "unseen": ((BACK, STAYS, BACK), BACK),
    "silenced": ((BACK, BACK, BACK), BACK),
    "doubt": ((BACK, STAYS, BACK), BACK),
    "hushed": ((BACK, BACK, BACK), BACK),
    "not looked at": ((STAYS, STAYS, STAYS), STAYS),
}
KEYS = [f"{case}/{first}/{other}" for case, first, other in product(TABLE, ("told", "not"), ("lacks", "has"))]


def told(nights: Nights, keys: list[str]) -> None:
    """A night that finds these keys as ever, and puts their events into the outbox for both destinations."""
    nights.look([changed(key) for key in keys])
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, nights.claim.run, nights.job)
        nights.plans.judge_in(conn, nights.claim.run, (), expires_at=nights.clock.now())
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus", "audit")
    nights.runs.release(nights.claim)


def deliver(nights: Nights, name: str, word: str, *, refused: Outcome = RETRY) -> None:
    """The destination takes what has the word in its key."""

    def answer(message: Message) -> Outcome:
        return CONFIRMED if word in message.partitionkey.split("/") else refused

    publisher, manner = RecordingPublisher(decide=answer), Manner(heals=name == "bus")
    drain(nights.state, publisher, name=name, domain="orders", clock=nights.clock, deadline=0.5, manners=lambda _: manner)


def found(case: str, key: str) -> list[object]:
    """What the last night finds of a key."""
    anew = changed(key, source="refunded")
    return {
        "same": [changed(key)],
        "other": [anew],
        "between": [anew],
        "unseen": [replace(anew, target_token="s-paid")],
        "silenced": [changed(key)],
    }.get(case, [])


def standing(nights: Nights, key: str, event: str) -> tuple[str, str]:
    """What has become of the event at the first destination and at the other."""
    newest = {sent.publisher: sent.state for sent in reversed(nights.ledger.story("orders", key).sent) if sent.event == event}
    return newest["bus"], newest["audit"]


def test_every_row_of_the_table(nights: Nights) -> None:
    """Told on two nights, some delivered here and some there; then each thing that a night can find, of each of them."""
    nights.job = job(publisher=("bus", "audit"), raise_after=9)
    told(nights, KEYS)
    deliver(nights, "bus", "told")
    deliver(nights, "audit", "has")
    told(nights, KEYS)
    ids = {key: nights.event(key) for key in KEYS}
    told(nights, [key for key in KEYS if not key.startswith("between/")])
    for key in KEYS:
        if key.startswith(("silenced/", "hushed/")):
            nights.ledger.ack("orders", key, by="alice", reason="known")

    doubts = [key for key in KEYS if key.startswith(("doubt/", "hushed/"))]
    looked_at = [key for key in KEYS if not key.startswith("not looked at/")]
    nights.look([one for key in KEYS for one in found(key.split("/")[0], key)], unknown_keys=doubts, only_keys=looked_at)

    wrong = {}
    for key in KEYS:
        case, first, other = key.split("/")
        (at_first, lacks, has), otherwise = TABLE[case]
        wanted = (at_first, lacks if other == "lacks" else has) if first == "told" else (otherwise, otherwise)
        if (stands := standing(nights, key, ids[key])) != wanted:
            wrong[key] = stands
    assert wrong == {}

    # What healed before is owed still, also when what differs now is acknowledged.
    nights.runs.release(nights.claim)
    nights.ledger.ack("orders", "between/told/lacks", by="alice", reason="known")
    nights.look([changed("between/told/lacks", source="refunded")], only_keys=["between/told/lacks"])
    assert standing(nights, "between/told/lacks", ids["between/told/lacks"]) == (BACK, STAYS)


def test_a_dead_letter_that_healed_elsewhere_may_still_be_sent(nights: Nights) -> None:
    """The other destination refused it, the first took it and healed: sent again it is told; what healed by itself is stale as ever."""
    nights.job = job(publisher=("bus", "audit"))
    told(nights, ["a/told", "b/not", "c/told"])
    deliver(nights, "bus", "told")
    deliver(nights, "audit", "nobody", refused=REJECTED)
    nights.look([changed("c/told", source="refunded")])

    letters = DeadLetters(nights.state)
    assert {one.key: one.current for one in letters.list(publisher="audit")} == {"a/told": True, "b/not": False, "c/told": False}
    assert letters.redrive(publisher="audit") == Redriven(again=1, stale=2)
    assert nights.ledger.story("orders", "a/told").sent[0].state == STAYS
