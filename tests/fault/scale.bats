#!/usr/bin/env bats
# scale: nothing is left of many containers. A sample of what make proof-cycles and make proof-running do at length.
load ../lib/common

file_setup() { image busybox; }

@test "containers that were run and removed, one by one and at once, leave no process, file, mount, descriptor or memory behind" {
    run timeout "$(patience 300)" python3 "$TESTS_DIR/fault/scale.py" both "$(rounds 20)"
    echo "$output"
    [ "$status" = 0 ]
    assert_output_has ', 0 problems'
}
