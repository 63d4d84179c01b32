#!/usr/bin/env bats
# network-kill: SIGKILL of whatever a network consists of, and first starts that meet.
load ../lib/common

file_setup() { image busybox tools; }
teardown() { coracle ps -aq | xargs -r coracle rm -f >/dev/null; }
file_teardown() {
    for n in $(coracle network ls -q -f type=custom); do coracle network rm "$n" >/dev/null 2>&1 || true; done
}

@test "kills of helper, monitor, first process and command line in any order: addresses, names, ports and links are right again" {
    run timeout "$(patience 600)" python3 "$TESTS_DIR/fault/network_kill.py" kills "${TEST_NETWORK_KILLS:-$(rounds 50)}" "${TEST_KILL_SEED:-}"
    echo "$output"
    assert_status 0
    assert_output_has ' kills in '
    refute_output_has PROBLEM
}

@test "two first starts at the same time share one helper, a hundred times" {
    run timeout "$(patience 600)" python3 "$TESTS_DIR/fault/network_kill.py" first "${TEST_FIRST_STARTS:-$(rounds 100)}"
    echo "$output"
    assert_status 0
    assert_output_has ' pairs in '
    refute_output_has PROBLEM
}
