#!/usr/bin/env bats
# scale: nothing is left of many containers. Samples of what make proof-cycles and make proof-running do at length.
load ../lib/common

file_setup() { image busybox; }

proves() {
    run timeout 300 python3 "$TESTS_DIR/fault/scale.py" "$@"
    echo "$output"
    [ "$status" = 0 ]
    assert_output_has ', 0 problems'
}

@test "containers that were run and removed leave no process, file, mount, descriptor or memory behind" { proves cycles "$(rounds 20)"; }

@test "many containers run at once, and go without a trace" { proves running "$(rounds 12)"; }
