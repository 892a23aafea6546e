"""The ledger on SQLite and PostgreSQL: the life of discrepancies across nights, acknowledgements, and what a report reads back."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from recon.discrepancy import DiscrepancyKind
from recon.errors import BadRequest
from recon.report.figures import Standing, Transition
from recon.state.tables import ledger, outbox
from tests.integration.state.world import Nights, changed, extra, missing, record


def test_new_then_continuing_then_resolved(nights: Nights) -> None:
    """Three nights of one discrepancy: it is new once, continues with its age in nights, and is resolved when it is gone."""
    first = nights.night([missing("1"), changed("2")])
    second = nights.night([changed("2"), extra("3")])
    third = nights.night([])

    assert (first.new, first.continuing, first.resolved) == (2, 0, 0)
    assert first.new_by_kind == {"changed": 1, "missing": 1}
    assert (second.new, second.continuing, second.resolved, second.by_kind) == (1, 1, 1, {"changed": 1, "extra": 1})
    assert (third.new, third.continuing, third.resolved) == (0, 0, 2)
    assert nights.ledger.story("orders", "2").resolved_run == nights.claim.run.id


def test_items_come_in_the_order_found_with_all_they_carry(nights: Nights) -> None:
    """One row of the report: both records, age, event, link, creation time and the amount at risk."""
    nights.night([changed("b", amount=500), missing("a")])
    nights.night([changed("b", amount=500), extra("c"), missing("a")])

    items = list(nights.ledger.items(nights.claim.run.id, lambda key: f"https://shop.example/{key}"))

    assert [item.key for item in items] == ["b", "c", "a"]
    one = items[0]
    assert (one.kind, one.standing, one.changed, one.nights) == (DiscrepancyKind.CHANGED, Standing.CONTINUING, ("status",), 2)
    assert (one.source, one.target) == (record("paid", amount=500), record("open", amount=500))
    assert (one.money, one.currency, one.link) == (500, "EUR", "https://shop.example/b")
    assert one.created_at == datetime(2026, 1, 2, 2, 10, tzinfo=UTC)
    assert one.event == nights.event("b")
    assert items[1].source is None
    assert items[1].money == 1999


def test_the_discrepancies_are_read_back_as_they_were_found(nights: Nights) -> None:
    """For the second look after an approval; acknowledged and resolved ones are not among them."""
    nights.night([changed("known"), changed("gone")])
    nights.ledger.ack("orders", "known", by="alice", reason="known")
    found = [changed("1"), missing("2"), extra("3")]
    nights.night([changed("known"), *found])

    assert list(nights.ledger.discrepancies(nights.claim.run.id)) == found


def test_an_unknown_key_is_neither_found_nor_resolved(nights: Nights) -> None:
    """What could not be confirmed, read or told apart stays as it was."""
    nights.night([changed("1"), changed("2")])

    summary = nights.night([], unknown_keys=["1", "1", "9"])

    assert summary.resolved == 1
    assert nights.ledger.story("orders", "1").open
    assert not nights.ledger.story("orders", "2").open


def test_an_incomplete_comparison_resolves_nothing(nights: Nights) -> None:
    """Nothing is inferred from what was not seen."""
    nights.night([changed("1")])

    assert nights.night([], complete=False).resolved == 0
    assert nights.ledger.story("orders", "1").open


def test_a_look_at_one_key_resolves_that_key_only(nights: Nights) -> None:
    """A run for one id says nothing of the others."""
    nights.night([changed("1"), changed("2")])

    assert nights.night([], only_keys=["1"]).resolved == 1
    assert nights.ledger.story("orders", "2").open


def test_a_dry_run_shows_standing_and_touches_nothing(nights: Nights) -> None:
    """Findings and resolved items can be read, and the ledger, its ages and its acknowledgements stay as they were."""
    nights.night([changed("1"), changed("2")])
    nights.ledger.ack("orders", "2", by="alice", reason="known")
    before = nights.ledger.story("orders", "1")

    summary = nights.look([changed("1"), changed("2", source="void"), missing("3")], touch=False)

    assert (summary.new, summary.continuing, summary.resolved) == (1, 2, 0)
    assert nights.look([], touch=False).resolved == 2
    assert [item.key for item in nights.ledger.resolved_items(nights.claim.run.id)] == ["1", "2"]
    after = nights.ledger.story("orders", "1")
    assert (after.nights, after.last_seen, after.open) == (before.nights, before.last_seen, True)
    assert nights.ledger.story("orders", "3").kind is None
    assert len(nights.ledger.acks.active()) == 1


def test_resolved_items_show_the_values_of_the_last_sighting(nights: Nights) -> None:
    """What is gone is still shown as it was when it was seen last."""
    nights.night([changed("1", amount=700)])
    nights.night([])

    (gone,) = nights.ledger.resolved_items(nights.claim.run.id)

    assert (gone.standing, gone.source, gone.money) == (Standing.RESOLVED, record("paid", amount=700), 700)


def test_resolved_and_come_back_with_the_same_values_is_another_event(nights: Nights) -> None:
    """A, B, A: the id of the first episode never returns."""
    nights.night([changed("1")])
    first = nights.event("1")
    nights.night([])
    summary = nights.night([changed("1")])

    assert summary.new == 1
    assert nights.event("1") != first
    assert nights.ledger.story("orders", "1").nights == 1


def test_nights_are_counted_in_the_jobs_own_timezone(nights: Nights) -> None:
    """22:30 and 23:30 UTC in January lie on two different days in Paris, and on one in UTC."""
    for minute in (30, 90):
        at = datetime(2026, 1, 10, 22, 0, tzinfo=UTC) + timedelta(minutes=minute)
        nights.begin(logical_start=at)
        nights.look([changed("1")], begin=False)
        nights.send()
        nights.end()

    assert nights.ledger.story("orders", "1").nights == 2


def test_recording_a_run_again_replaces_what_it_had_recorded(nights: Nights) -> None:
    """A run that is gone on with after a crash counts nothing twice."""
    nights.night([changed("1")])
    nights.look([changed("1"), missing("2")])
    again = nights.look([changed("1"), missing("2")], begin=False)

    assert (again.new, again.continuing) == (1, 1)
    assert nights.ledger.story("orders", "1").nights == 2
    assert nights.ledger.summary(nights.claim.run.id) == again


def test_an_acknowledged_discrepancy_is_silent_until_it_changes(nights: Nights) -> None:
    """It is counted apart and gets no event; with other values the acknowledgement ends by itself."""
    nights.night([changed("1")])
    nights.ledger.ack("orders", "1", by="alice", reason="fixed in 4.2")

    silent = nights.look([changed("1")])
    assert (silent.acknowledged, silent.new, silent.continuing, silent.by_kind) == (1, 0, 0, {})
    (item,) = nights.ledger.items(nights.claim.run.id)
    assert (item.acknowledged, item.event) == ("fixed in 4.2 (alice)", None)
    assert nights.send() == 0
    nights.end()

    loud = nights.night([changed("1", source="void")])
    assert (loud.acknowledged, loud.continuing) == (0, 1)
    story = nights.ledger.story("orders", "1")
    assert story.ack is not None
    assert story.ack.ended_why == "the discrepancy changed"


def test_an_acknowledgement_ends_when_its_date_has_passed(nights: Nights) -> None:
    """It holds through its last local date and not a night longer."""
    nights.night([changed("1")])
    nights.ledger.ack("orders", "1", by="alice", reason="on Friday", until=date(2026, 1, 5))

    assert nights.night([changed("1")]).acknowledged == 1
    assert nights.night([changed("1")]).acknowledged == 0


def test_an_acknowledgement_ends_with_its_discrepancy(nights: Nights) -> None:
    """Gone and come back, it is told again."""
    nights.night([changed("1")])
    nights.ledger.ack("orders", "1", by="alice", reason="known")
    nights.night([])

    assert nights.night([changed("1")]).new == 1
    assert nights.ledger.acks.active() == []


def test_an_acknowledgement_can_be_taken_back(nights: Nights) -> None:
    """Once, and then there is none to take."""
    nights.night([changed("1")])
    nights.ledger.ack("orders", "1", by="alice", reason="known")

    assert nights.ledger.unack("orders", "1")
    assert not nights.ledger.unack("orders", "1")
    assert nights.night([changed("1")]).continuing == 1


def test_only_an_open_discrepancy_is_acknowledged_and_only_with_a_reason(nights: Nights) -> None:
    """Both refusals say what to do."""
    nights.night([changed("1")])

    with pytest.raises(BadRequest, match="no open discrepancy") as refused:
        nights.ledger.ack("orders", "2", by="alice", reason="known")
    assert refused.value.hint == "recon explain orders 2"
    with pytest.raises(BadRequest, match="needs a reason"):
        nights.ledger.ack("orders", "1", by="alice", reason="  ")


def test_what_is_gone_or_changed_is_withdrawn_from_the_outbox(nights: Nights) -> None:
    """An event that still waits must not correct what is no longer so; one that is still true goes on waiting."""
    nights.night([changed("gone"), changed("other"), changed("same")])
    nights.look([changed("other", source="void"), changed("same")])

    with nights.state.read() as conn:
        rows = conn.execute(select(outbox.c.partitionkey, outbox.c.state).order_by(outbox.c.partitionkey)).all()
    assert [tuple(row) for row in rows] == [("gone", "withdrawn"), ("other", "withdrawn"), ("same", "waiting")]


def test_a_dry_run_withdraws_nothing(nights: Nights) -> None:
    """Looking changes nothing."""
    nights.night([changed("1")])
    nights.look([], touch=False)

    assert nights.outbox.waiting()[0].count == 1


def test_sums_for_the_report_are_made_by_the_database(nights: Nights) -> None:
    """Transitions, counts by field, money per currency and creation times, over what is open and not acknowledged."""
    nights.night([changed("ack", amount=10_000)])
    nights.ledger.ack("orders", "ack", by="alice", reason="known")
    found = [changed("ack", amount=10_000), changed("1"), changed("2"), changed("3", target="none"), extra("4")]
    found += [missing(f"m{n}", minute=minute) for n, minute in enumerate((10, 11, 11, 40))]
    nights.look(found)
    run = nights.claim.run.id

    assert nights.ledger.transitions(run) == (
        Transition(field="status", before="open", after="paid", count=2),
        Transition(field="status", before="none", after="paid", count=1),
    )
    assert nights.ledger.by_field(run) == {"status": 3}
    assert nights.ledger.money(run) == {"EUR": 8 * 1999}
    base = datetime(2026, 1, 2, 2, 0, tzinfo=UTC)
    assert nights.ledger.created_range(run) == (base + timedelta(minutes=10), base + timedelta(minutes=40), 4)
    assert nights.ledger.created_histogram(run, 60) == [(base + timedelta(minutes=m), n) for m, n in ((10, 1), (11, 2), (40, 1))]
    assert nights.ledger.created_histogram(run, 1800) == [(base, 3), (base + timedelta(minutes=30), 1)]


def test_hostile_text_comes_back_as_it_was(nights: Nights) -> None:
    """Quotes, line ends, NUL in a value, other scripts and a field that is not there on one side survive the way in and out."""
    nasty = "'\"; DROP TABLE recon_runs;--\n\x00\x1b[31m</script>\u202eé𝄞"
    found = changed("k'\"é\u202e")
    found.source["status"] = nasty
    del found.target["status"]
    nights.look([found])

    (item,) = nights.ledger.items(nights.claim.run.id)

    assert item.key == "k'\"é\u202e"
    assert item.source["status"] == nasty
    (transition,) = nights.ledger.transitions(nights.claim.run.id)
    assert (transition.before, transition.after) == ("absent", nasty)


def test_the_story_of_a_key_tells_its_nights_and_its_events(nights: Nights) -> None:
    """For `recon explain`: what each run said, and what became of what was sent."""
    nights.night([changed("1")])
    nights.night([changed("1")])
    nights.night([])

    story = nights.ledger.story("orders", "1")

    assert [told.standing for told in story.told] == ["resolved", "continuing", "new"]
    assert [(sent.type, sent.emission, sent.state) for sent in story.sent] == [("order.updated", 2, "withdrawn")]
    assert nights.ledger.story("orders", "never").told == ()


def test_three_thousand_findings_take_no_more_memory_than_they_must(nights: Nights) -> None:
    """They stream in and out: `found` is consumed once, and what was recorded is counted by the database alike."""
    summary = nights.look(changed(f"{n:05d}") for n in range(3_000))

    assert summary.new == 3_000
    assert sum(1 for _ in nights.ledger.items(nights.claim.run.id)) == 3_000
    with nights.state.read() as conn:
        assert len(conn.execute(select(ledger.c.key)).all()) == 3_000
