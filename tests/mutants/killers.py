"""What notices that a mechanism is gone: a night of the simulation under a recorded seed, or a named test of the suite."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SEEDS = Path(__file__).with_name("seeds.json")
STATE = "tests/integration/state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A world of the simulation (changes to the plain one) and a seed under which its oracle speaks up, and by which law."""

    world: Mapping[str, Any]
    seed: int
    nights: int
    law: str = ""

    def words(self) -> str:
        """For the table."""
        return f"simulation, seed {self.seed}, {self.nights} nights: {self.law}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A test of the suite by its id, which fails."""

    __test__ = False
    id: str

    def words(self) -> str:
        """For the table."""
        return self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where a seed is looked for: the world's changes and how many nights things go wrong."""

    world: Mapping[str, Any] = field(default_factory=dict)
    nights: int = 2


TESTS = {
    "end_proof": "tests/unit/test_landing.py::test_a_provider_that_just_stops_is_not_whole",
    "same_page": "tests/unit/test_landing.py::test_a_page_that_comes_twice_is_an_endless_listing",
    "same_place": "tests/unit/test_landing.py::test_a_place_that_is_come_to_twice_is_an_endless_listing",
    "old_checkpoint": "tests/unit/test_landing.py::test_a_checkpoint_too_old_to_trust_starts_anew_and_says_so",
    "pages_of_this_fetch": "tests/unit/test_pages.py::test_pages_before_the_watermark_are_not_gone_on_from",
    "early_watermark": "tests/integration/test_nights.py::test_the_watermark_is_older_than_the_first_page",
    "unreadable_is_unknown": "tests/unit/test_diff.py::test_unreadable_items_are_counted_shown_and_never_missing",
    "double_is_unknown": "tests/unit/test_diff.py::test_duplicates_are_counted_on_either_side_and_suspected_on_none",
    "settle": "tests/integration/test_nights.py::test_the_second_look_waits_for_the_settle_time",
    "tombstone": "tests/integration/test_nights.py::test_a_deletion_of_two_nights_is_not_told_on_the_first",
    "recheck": "tests/integration/test_nights.py::test_an_open_key_that_the_listing_leaves_out_is_not_resolved",
    "guard_of_kinds": "tests/unit/test_guard.py::test_a_first_load_into_an_empty_target_is_held",
    "guard_of_empty": "tests/unit/test_guard.py::test_an_empty_source_beside_a_filled_target_is_held_even_below_the_floor",
    "guard_of_shrunken": "tests/unit/test_guard.py::test_a_shrunken_source_is_held_whatever_the_floor",
    "guard_of_same_field": "tests/unit/test_guard.py::test_one_field_in_most_items_is_a_change_of_schema",
    "guards": "tests/integration/test_nights.py::test_a_mass_change_is_held_and_nothing_can_be_claimed",
    "believed_measure": f"{STATE}/test_state_runs.py::test_the_measure_of_a_night_is_the_last_whole_run_that_was_believed[sqlite]",
    "plan_apart": "tests/integration/test_nights.py::test_a_mass_change_is_held_and_nothing_can_be_claimed",
    "approval_binds_the_plan": f"{STATE}/test_plan.py::test_an_approval_covers_exactly_the_plan_that_was_shown[sqlite]",
    "decided_once_in_time": f"{STATE}/test_plan.py::test_an_approval_comes_in_time_or_not_at_all[sqlite]",
    "none_joins": f"{STATE}/test_plan.py::test_items_may_drop_out_and_never_join[sqlite]",
    "cleared_plan": f"{STATE}/test_plan.py::test_before_the_guards_have_passed_nothing_can_be_claimed[sqlite]",
    "look_before_sending": "tests/integration/test_nights.py::test_what_healed_after_it_was_held_is_not_sent",
    "dry_run": "tests/integration/test_nights.py::test_a_dry_run_emits_nothing",
    "acknowledgement": f"{STATE}/test_ledger.py::test_an_acknowledged_discrepancy_is_silent_until_it_changes[sqlite]",
    "fence": f"{STATE}/test_state_runs.py::test_a_zombie_is_refused_at_every_write[sqlite]",
    "lease_is_held": f"{STATE}/test_state_runs.py::test_a_lease_is_held_by_one_and_says_who_it_is[sqlite]",
    "one_run_per_slot": f"{STATE}/test_state_runs.py::test_one_slot_has_one_run[sqlite]",
    "newer_state": f"{STATE}/test_state.py::test_a_newer_database_is_refused_with_both_versions[sqlite]",
    "id_of_the_fact": "tests/unit/test_life.py::test_two_ledgers_that_know_nothing_of_each_other_give_one_fact_one_id",
    "generation": "tests/unit/test_life.py::test_a_to_b_to_a_never_reuses_an_id",
    "first_bytes": f"{STATE}/test_outbox.py::test_detected_again_it_is_the_same_event_with_the_same_bytes_and_another_token[sqlite]",
    "complete_to_resolve": f"{STATE}/test_ledger.py::test_an_incomplete_comparison_resolves_nothing[sqlite]",
    "send_then_mark": f"{STATE}/test_outbox.py::test_retry_and_unknown_wait_and_the_same_id_goes_again[sqlite]",
    "unknown_is_no_yes": f"{STATE}/test_outbox.py::test_retry_and_unknown_wait_and_the_same_id_goes_again[sqlite]",
    "order_of_a_key": f"{STATE}/test_outbox.py::test_a_later_event_of_a_key_waits_behind_an_earlier_one[sqlite]",
    "withdrawal": f"{STATE}/test_ledger.py::test_what_is_gone_or_changed_is_withdrawn_from_the_outbox[sqlite]",
    "one_transaction": "tests/integration/test_nights.py::test_a_process_that_dies_while_it_fills_the_outbox_has_emitted_nothing",
    "redaction": "tests/unit/test_redact.py::test_log_lines_carry_no_secret",
    "declared_origin": "tests/unit/test_origin.py::test_no_credential_goes_to_an_origin_that_is_not_declared",
    "inert_text": "tests/unit/test_inert.py::test_a_terminal_line_holds_no_character_that_does_anything",
    "proven_clean": "tests/integration/test_nights.py::test_clean_is_not_said_of_a_night_with_an_unreadable_item",
    "whole_or_nothing": "tests/integration/test_nights.py::test_a_listing_that_breaks_off_tells_of_no_deletion",
    "partial_infers_nothing": "tests/fetch_matrix/test_nights.py::test_a_night_tells_what_differs_and_nothing_else[a-login-page-with-status-200,-for-ever-last_id-last]",
    "second_look": "tests/integration/test_nights.py::test_what_healed_between_the_looks_is_not_sent",
    "moved": "tests/integration/test_nights.py::test_what_moved_between_the_looks_is_left_alone",
    "refuted_listing": "tests/fetch_matrix/test_nights.py::test_a_listing_that_called_itself_whole_and_was_not_is_never_clean",
    "in_flight": "tests/integration/test_nights.py::test_what_changed_after_the_fetch_began_is_left_alone",
    "positive_control": "tests/integration/test_nights.py::test_a_404_beside_a_control_that_is_gone_too_proves_nothing",
}
"""Mechanism -> the named test that fails without it."""

HELD = {"troubles": {"wrong tenant": 0.6}, "crashes": 0.0, "freezes": 0.0}
DRIFT = {"lost": 0.4, "changes": (8, 16), "crashes": 0.0, "freezes": 0.0}
SEARCHES = {
    "second_look": Search(world=DRIFT),
    "in_flight": Search(world={**DRIFT, "changes": (14, 28)}),
    "guards": Search(world=HELD),
    "guard_of_kinds": Search(world=HELD),
    "plan_apart": Search(world=HELD),
    "approval_binds_the_plan": Search(world=HELD, nights=3),
    "decided_once_in_time": Search(world=HELD, nights=3),
    "look_before_sending": Search(world={**HELD, "changes": (10, 20)}, nights=3),
    "unreadable_is_unknown": Search(world={**DRIFT, "troubles": {"unreadable": 0.9}}),
    "proven_clean": Search(world={**DRIFT, "lost": 0.0, "late": 0.0, "twice": 0.0, "troubles": {"unreadable": 0.9}}),
    "fence": Search(world={"freezes": 0.9, "crashes": 0.0, "hosts": 2, "lost": 0.4}, nights=3),
    "lease_is_held": Search(world={"freezes": 0.9, "crashes": 0.0, "hosts": 2, "lost": 0.4, "by_hand": 0.9}, nights=3),
    "id_of_the_fact": Search(world={"lost": 0.4, "crashes": 0.9, "moods": {"down": 1.0, "prompt": 1.0}}, nights=3),
    "generation": Search(world={**DRIFT, "careful": False}, nights=4),
    "withdrawal": Search(world={**DRIFT, "moods": {"down": 1.0, "prompt": 1.0}}, nights=4),
    "send_then_mark": Search(world={**DRIFT, "moods": {"down": 1.0, "losing": 1.0, "unknown": 1.0}}),
    "first_bytes": Search(world={**DRIFT, "moods": {"unknown": 1.0}}),
    "acknowledgement": Search(world={**DRIFT, "acks": 0.9}),
}
"""Mechanisms whose absence the simulation's oracle is to see too."""


def seeds() -> dict[str, Seed]:
    """The recorded seeds, by mechanism."""
    if not SEEDS.exists():
        return {}
    return {name: Seed(**found) for name, found in json.loads(SEEDS.read_text()).items()}
