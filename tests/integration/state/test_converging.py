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


def test_what_an_earlier_night_delivered_under_the_same_id_is_not_this_nights(nights: Nights) -> None:
    """Told again and not delivered this time, it waits, though the night before had delivered it; sent by hand, it is delivered since."""
    nights.night([changed("1")])
    deliver(nights, RecordingPublisher())
    first = nights.event("1")
    nights.look([changed("1")])
    nights.send()
    run = nights.claim.run
    deliver(nights, RecordingPublisher(decide=lambda _: RETRY), deadline=0.1)
    nights.end()
    waited = DeliveryFigure(publisher="bus", waiting=1)
    told = replace(made.figures(1), delivery=waited, deliveries=(waited,))

    (waiting,) = since(nights.state, nights.runs.get(run.id), told)
    nights.clock.advance(3600)
    deliver(nights, RecordingPublisher())
    (sent,) = since(nights.state, nights.runs.get(run.id), told)

    assert nights.event("1") == first
    assert (waiting.delivered, waiting.waiting) == (0, 1)
    assert (sent.delivered, sent.waiting, sent.by) == (1, 0, ("recon publish",))


def test_of_a_run_that_was_cut_off_it_is_told_what_was_delivered(nights: Nights) -> None:
    """Its last figures are from before its plan went into the outbox; what became of that is told all the same."""
    nights.look([changed("1"), changed("2")])
    nights.send()
    run = nights.runs.get(nights.claim.run.id)
    figures = made.figures(2)
    assert figures.plan is not None
    cut_off = replace(figures, delivery=None, deliveries=(), plan=replace(figures.plan, state="passed"), finished_at=run.started_at)
    nights.clock.advance(1)

    deliver(nights, RecordingPublisher(decide=lambda message: CONFIRMED if message.partitionkey == "1" else RETRY), deadline=0.1)
    (one,) = since(nights.state, run, cut_off)

    assert run.state == "emitted"
    assert (one.delivered, one.waiting) == (1, 1)
