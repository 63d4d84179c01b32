#!/usr/bin/env bats
# Sixteen writers and readers on the same names and layers.
load ../lib/common

# make proof-concurrency does ten minutes.
@test "sixteen commands at once on the same names and layers: nothing is lost, hangs, or fails without a reason" {
    SMALL_TAR=$(image_tar busybox) run timeout "$(patience 240)" python3 "$TESTS_DIR/fault/concurrency.py" "${TEST_SECONDS:-3}" "${TEST_KILL_SEED:-}"
    echo "$output"
    [ "$status" = 0 ]
    assert_output_has "0 problems"
    refute_output_has PROBLEM
}
