"""What became of corrections, on SQLite and PostgreSQL: delivered ones, also while new ids are held back, and those delivered after the night."""

from dataclasses import replace

from recon.outbox.later import since
from recon.report.convergence import unheeded
from recon.report.figures import DeliveryFigure
from recon.testing.publisher import RecordingPublisher
from tests.integration.state.test_outbox import CONFIRMED, REJECTED, RETRY, deliver
from tests.integration.state.world import Nights, changed, job
from tests.unit import figures_fixture as made


def test_a_correction_whose_new_id_is_held_goes_on_to_be_told_of(nights: Nights) -> None:
    """Delivered once, not acted on, raised, and the plan with the new id never sent: it persists night after night, and heals as what it is."""
    nights.job = job(raise_after=1)
    nights.night([changed("1"), changed("2")])
    deliver(nights, RecordingPublisher())
    old = nights.event("1")

    seen = []
    for _ in range(3):
        seen.append(nights.look([changed("1"), changed("2")]).convergence)
        nights.runs.release(nights.claim)
    known = nights.ledger.delivered("orders")
    healed = nights.look([changed("2")]).convergence

    assert [(one.persisting, one.raised, one.healed, one.unknown) for one in seen if one] == [(2, 2, 0, 0), (2, 0, 0, 0), (2, 0, 0, 0)]
    last = seen[-1]
    assert last is not None
    (worst,) = [one for one in last.unheeded if one.key == "1"]
    new = nights.ledger.story("orders", "1").event
    assert (worst.nights, worst.deliveries, worst.events, worst.raised, worst.untold) == (4, 1, (old,), False, new)
    assert new != old
    assert f"event {new}, which is to tell it anew, is not delivered yet" in unheeded(worst, "UTC")
    assert "anew" not in unheeded(replace(worst, untold=None), "UTC")
    assert set(known) == {"1", "2"}
    assert known["1"].confirmed_at == worst.last_at
    assert healed is not None
    assert (healed.healed, healed.persisting, healed.unknown, healed.healed_within) == (1, 1, 0, 4 * 86_400)


def test_what_has_become_since_of_what_a_night_did_not_deliver(nights: Nights) -> None:
    """By hand, by a later night, refused, taken back or waiting still: each of the first night's events is counted where it stands."""
    nights.night([changed(key) for key in ("hand", "later", "dead", "gone", "wait")])
    run = nights.claim.run
    answers = {"hand": CONFIRMED, "dead": REJECTED}
    nights.clock.advance(3600)
    deliver(nights, RecordingPublisher(decide=lambda message: answers.get(message.partitionkey, RETRY)), deadline=0.1)
    by_hand = nights.clock.now()
    nights.look([changed(key) for key in ("hand", "later", "dead", "wait")])
    nights.send()
    second = nights.claim.run.id
    deliver(nights, RecordingPublisher(decide=lambda message: CONFIRMED if message.partitionkey == "later" else RETRY), deadline=0.1)
    nights.end()

    waited = DeliveryFigure(publisher="bus", waiting=5)
    told = replace(made.figures(5), delivery=waited, deliveries=(waited,))
    (one,) = since(nights.state, nights.runs.get(run.id), told)

    assert (one.delivered, one.waiting, one.dead, one.withdrawn, one.by) == (2, 2, 0, 1, ("recon publish", f"run {second}"))
    assert one.last_at is not None
    assert one.last_at > by_hand
    assert since(nights.state, run, replace(told, delivery=None, deliveries=(DeliveryFigure(publisher="bus", confirmed=5),))) == ()
