"""Every sample and the one rule that it breaks; None for those that break none.

A record's name is the sample's; the class of the same name in CamelCase is what it opens.
"""

SAMPLES = {
    "tier": {
        "sound": None,
        "renames_itself": "it_says_where_it_is",
        "reads_as_text": "an_object_comes_back_whole",
        "ignores_the_length": "ranges_end_where_the_object_ends",
        "lists_folders_only": "listing_is_by_prefix_and_in_order",
        "counts_milliseconds": "size_and_age_are_told",
        "keeps_the_deleted": "a_deleted_object_is_gone",
        "prefers_the_longer": "the_first_writer_wins",
        "raises_file_errors": "a_missing_object_is_told",
        "knows_ascii_only": "keys_may_be_in_any_language",
        "takes_nothing_for_absent": "an_object_may_be_empty",
        "cuts_at_a_border": "an_object_may_exceed_four_mebibytes",
        "reads_whole_blocks": "any_range_is_the_right_one",
        "keeps_the_buffer": "any_buffer_is_taken_and_copied",
        "looks_before_it_leaps": "one_of_many_writers_wins",
        "forgets_who_asked": "many_threads_are_served",
        "trusts_the_length": "long_keys_work_or_are_refused",
        "mixes_its_domains": "failure_domains_hold_their_keys",
        "boasts_of_room": "its_profile_can_be_planned_with",
        "walks_up": "keys_that_leave_the_tier_are_refused",
        "closes_once": "closing_twice_is_fine",
        "leaves_a_file_open": "closing_leaves_no_thread_and_no_file",
        "forgets": "objects_outlive_the_tier",
        "writes_in_place": "a_killed_writer_leaves_nothing",
    },
    "compressor": {
        "sound": None,
        "understates": "the_error_stays_within_its_bound",
        "claims_to_lose_nothing": "what_is_not_lossy_bounds_its_error_by_zero",
        "widens": "dtype_and_shape_come_back",
        "needs_an_element": "an_array_may_be_empty",
        "works_in_place": "strided_arrays_are_read_and_not_written",
        "raises_type_errors": "other_dtypes_work_or_are_refused",
        "trusts_its_data": "damaged_data_is_refused",
        "forgets_its_state": "its_state_survives_a_checkpoint",
        "hands_out_its_state": "a_state_is_a_snapshot",
        "salts": "equal_arrays_give_equal_bytes",
    },
    "strategy": {
        "sound": None,
        "takes_none": "it_takes_one_of_the_numbers_of_ranks",
        "loses_a_rank": "the_mesh_holds_every_rank",
        "adds_an_axis": "the_axes_are_those_of_the_record",
        "overlaps": "every_element_is_held_equally_often",
        "leaves_bounds_open": "slices_have_plain_bounds",
        "changes_its_mind": "equal_questions_get_equal_answers",
        "wants_even_numbers": "an_elastic_strategy_takes_any_number",
        "divides_by_zero": "a_number_that_it_cannot_use_is_refused",
    },
    "frontend": {
        "sound": None,
        "names_another_format": "its_formats_are_those_of_the_artifacts",
        "makes_no_graph": "good_models_become_graphs",
        "hides_its_inputs": "every_tensor_is_made_before_it_is_read",
        "renames_outputs": "stages_make_what_they_say",
        "never_cuts": "one_device_runs_all_of_a_stage",
        "takes_anything": "bad_models_are_refused",
        "opens_the_file_itself": "a_file_that_is_gone_is_told",
        "keeps_reasons_back": "without_a_device_it_says_who_refused",
        "stamps_the_time": "reading_twice_gives_the_same",
    },
    "command": {
        "sound": None,
        "fails": "its_arguments_work",
        "returns-nothing": "its_exit_code_is_a_number",
        "helps-nobody": "help_works",
        "raises": "a_bad_argument_is_refused_in_words",
    },
    "executor": {
        "sound": None,
        "rounds": "outputs_equal_those_of_the_plan",
        "swaps": "results_come_in_order",
        "adds_a_result": "no_batch_is_no_result",
        "reads_ahead": "batches_are_read_as_they_are_needed",
        "hides_the_stage": "a_failure_is_raised",
        "hides_the_misfit": "a_batch_that_does_not_fit_is_refused",
        "closes_once": "closing_twice_is_fine",
        "leaves_a_thread": "closing_leaves_no_thread_and_no_file",
    },
    "device": {
        "sound": None,
        "has_no_fingerprint": "the_probe_finds_the_device",
        "changes_its_kind": "the_device_is_the_one_of_the_probe",
        "refuses_in_silence": "a_refusal_has_a_reason",
        "disowns_its_work": "it_supports_what_its_cases_need",
        "hides_an_operator": "its_record_names_its_operators",
        "gets_cheaper": "estimates_are_quick_and_grow",
        "cools_down": "answers_are_right",
        "borrows_a_name": "an_executable_says_what_it_is",
        "hands_out_lists": "outputs_come_to_the_host",
        "wants_it_dense": "inputs_may_be_strided_and_read_only",
        "reuses_its_output": "outputs_stay_as_they_are",
        "hands_back_its_input": "outputs_are_not_the_inputs",
        "gives_too_much": "outputs_are_those_of_the_stage",
        "binds_values": "bound_calls_see_new_values",
        "needs_an_item": "a_batch_may_be_empty",
        "looks_at_the_crowd": "items_do_not_mix",
        "loads_anything": "an_unsupported_stage_does_not_load",
        "reads_in_prose": "readings_are_numbers_or_nothing",
        "answers_to_any_name": "an_id_that_is_not_there_is_refused",
        "serves_one_thread": "other_threads_run_it",
        "runs_when_closed": "a_closed_executable_says_so",
        "closes_its_neighbors": "executables_close_in_any_order",
        "loads_when_closed": "a_closed_device_says_so",
        "shares_its_end": "two_openings_do_not_disturb_each_other",
        "leaves_a_file_open": "closing_leaves_no_thread_and_no_file",
        "misreads_its_cache": "a_cache_gives_the_same_answers",
        "trusts_its_cache": "a_damaged_cache_is_built_again",
        "rounds_to_zero": "operators_equal_the_onnx_suite",
    },
    "plugin": {
        "sound": None,
        "lacks_a_module": "it_loads",
        "imports_numpy": "its_import_is_light",
        "says_hello": "its_import_prints_nothing",
        "opens_a_file": "listing_leaves_no_thread_and_no_file",
        "sets_a_variable": "listing_leaves_the_process_as_it_was",
        "counts_its_calls": "listing_twice_gives_the_same",
        "tells_its_process": "a_fresh_process_finds_the_same",
        "tells_a_secret": "it_keeps_secrets",
        "never_equals": "its_records_survive_a_copy",
        "Has-A-Name": "its_name_is_plain",
        "needs_any_core": "it_bounds_the_version_of_the_core",
        "names_no_module": "what_its_records_name_can_be_loaded",
        "probes_badly": "its_probes_answer",
    },
}  # fmt: skip


def camel(name):
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))


def made_classes(base, kind, **fields):
    """A test class for each sample of a kind."""
    return {
        f"Test{camel(name)}": type(
            f"Test{camel(name)}", (base,), {"plugin": f"bad_{kind}", "name": name, **fields}
        )
        for name in SAMPLES[kind]
    }
