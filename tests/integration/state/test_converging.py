"""What became of delivered corrections, on SQLite and PostgreSQL, also while their new ids are held back."""

from dataclasses import replace

from recon.report.convergence import unheeded
from recon.testing.publisher import RecordingPublisher
from tests.integration.state.test_outbox import deliver
from tests.integration.state.world import Nights, changed, job


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
