"""The event that corrects a discrepancy: its type, its data, its time, and what a job's own `correct=` may do to it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.errors import BadDefinition
from recon.event import Event, decode
from recon.job import Correction, Job
from recon.plan.correction import encoded, event_of
from recon.plan.plan import line_of
from recon.state.run import Run
from recon.state.runs import RunState
from tests.integration.state.world import START, changed, extra, job, later, missing

RUN = Run(
    id="01RUN",
    domain="orders",
    state=RunState.CONFIRMING,
    trigger="cli",
    slot=None,
    dry_run=False,
    key=None,
    owner="host:1",
    fence=1,
    logical_start=START,
    started_at=later(5),
    updated_at=later(5),
    watermark=later(6),
)


def event(found: Discrepancy, the_job: Job | None = None, **options) -> Event | None:
    """The event of this discrepancy."""
    return event_of(
        the_job or job(), RUN, found, **{"event_id": "id-1", "first_run": "01FIRST", "generation": 3, "supersedes": None, **options}
    )


def test_each_kind_has_its_operation_and_its_data() -> None:
    """What consumers read: op, key, state, before, changed, and on what grounds."""
    updated = event(changed("42"))
    assert updated is not None
    assert (updated.type, updated.subject, updated.source, updated.partitionkey) == (
        "order.updated",
        "order/42",
        "/recon/shop/orders",
        "42",
    )
    assert (updated.run, updated.generation, updated.recorded) == ("01FIRST", 3, START)
    assert updated.data == {
        "op": "updated",
        "key": "42",
        "state": changed("42").source,
        "before": changed("42").target,
        "changed": ["status"],
        "precondition": {"fingerprint": "t-open", "version": "2026-01-02T05:00:00Z"},
        "observed": {"fingerprint": "s-paid", "at": "2026-01-03T03:00:06Z", "version": "2026-01-02T05:00:00Z"},
    }
    created, deleted = event(missing("42")), event(extra("42"))
    assert created is not None
    assert deleted is not None
    assert (created.type, created.data["op"], created.data["before"], created.data["precondition"]) == (
        "order.created",
        "created",
        None,
        {"fingerprint": ""},
    )
    assert (deleted.type, deleted.data["op"], deleted.data["state"]) == ("order.deleted", "deleted", None)


def test_each_side_s_own_version_is_said_where_it_is_known() -> None:
    """The field that the job names as `updated`, of the side that has it; none where the job names none, the value is null, or it is personal."""

    def said(found: Discrepancy, the_job: Job | None = None) -> tuple[object, object]:
        made = event(found, the_job)
        assert made is not None
        return made.data["precondition"].get("version"), made.data["observed"].get("version")

    newer = replace(changed("42"), source={**(changed("42").source or {}), "updated": "2026-01-02T06:00:00Z"})
    none = replace(newer, source={**(newer.source or {}), "updated": None})
    hidden = job(fields=tuple(replace(one, personal=one.name == "updated") for one in job().fields))

    assert said(newer) == ("2026-01-02T05:00:00Z", "2026-01-02T06:00:00Z")
    assert said(missing("42")) == (None, "2026-01-02T05:00:00Z")
    assert said(extra("42")) == ("2026-01-02T05:00:00Z", None)
    assert said(none) == ("2026-01-02T05:00:00Z", None)
    assert said(newer, job(updated=None)) == said(newer, hidden) == (None, None)


def test_without_an_event_name_the_domain_is_the_name() -> None:
    """`orders.updated`."""
    made = event(changed("42"), job(event=None))

    assert made is not None
    assert (made.type, made.subject) == ("orders.updated", "orders/42")


def test_its_time_is_the_records_own_and_never_the_wall_clock() -> None:
    """The source's time of change where the job names the field, else the run's persisted logical start."""
    named, deleted, plain = event(changed("42")), event(extra("42")), event(changed("42"), job(updated=None))
    broken = changed("42")
    broken.source["updated"] = "yesterday"
    unread = event(broken)

    assert named is not None
    assert deleted is not None
    assert plain is not None
    assert unread is not None
    assert named.time == datetime(2026, 1, 2, 5, 0, tzinfo=UTC)
    assert [one.time for one in (deleted, plain, unread)] == [START] * 3


def test_what_it_supersedes_is_said() -> None:
    """For a consumer that keeps what it was told."""
    made = event(changed("42"), supersedes="id-0")

    assert made is not None
    assert made.data["supersedes"] == "id-0"


def test_its_bytes_are_read_back_as_the_same_event() -> None:
    """What is stored is what is sent."""
    made = event(missing("42"))
    assert made is not None

    assert decode(encoded(job(), made)) == made


def test_a_job_may_choose_another_event_or_none() -> None:
    """With a state of its own, or the source's."""
    assert event(changed("42"), job(correct=lambda found: None)) is None
    typed = event(changed("42"), job(correct=lambda found: Correction(type="order.restated")))
    whole = event(changed("42"), job(correct=lambda found: Correction(type="order.restated", state={"total": "12.50", "key": found.key})))

    assert typed is not None
    assert whole is not None
    assert (typed.type, typed.data["op"], typed.data["state"]) == ("order.restated", "updated", changed("42").source)
    assert whole.data["state"] == {"total": "12.50", "key": "42"}


def raising(found: Discrepancy) -> Correction:
    """A job's fault."""
    raise KeyError("colour")


@pytest.mark.parametrize(
    ("correct", "words"),
    [
        (raising, "raised KeyError: 'colour'"),
        (lambda found: "order.updated", "answered str"),
        (lambda found: Correction(type=""), "1 to 128 characters, not 0"),
        (lambda found: Correction(type="x" * 129), "1 to 128 characters, not 129"),
        (lambda found: Correction(type="t", state={"at": START}), "its state is not JSON"),
        (lambda found: Correction(type="t", state={"x": float("nan")}), "its state is not JSON"),
        (lambda found: Correction(type="t", state={"x": {1, 2}}), "its state is not JSON"),
    ],
)
def test_a_fault_of_correct_names_job_and_key(correct, words: str) -> None:
    """Whatever the job's function does wrong, the message says for which item."""
    with pytest.raises(BadDefinition, match="orders: correct\\(\\) for changed key 42") as failed:
        event(changed("42"), job(correct=correct))

    assert words in failed.value.message
    assert failed.value.exit_code == 2


def test_a_text_that_json_cannot_carry_is_named() -> None:
    """A lone surrogate that a job put into its state."""
    made = event(changed("42"), job(correct=lambda found: Correction(type="t", state={"x": "\ud800"})))
    assert made is not None

    with pytest.raises(BadDefinition, match="orders 42: its event cannot be written as JSON"):
        encoded(job(), made)


def test_the_checksums_line_is_made_of_the_fact_alone() -> None:
    """Id, type, key and both tokens, as JSON, so that no two facts share a line."""
    line = line_of("id", "t", 'k\n"', "s", "")

    assert json.loads(line) == ["id", "t", 'k\n"', "s", ""]
    assert line.count(b"\n") == 1


def test_the_kinds_are_all_corrected() -> None:
    """A kind of discrepancy without an operation would be a silent hole."""
    for kind in DiscrepancyKind:
        assert event(replace(changed("42"), kind=kind)) is not None
