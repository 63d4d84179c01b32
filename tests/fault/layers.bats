#!/usr/bin/env bats
# layers: coracle-unpack against malicious, damaged and demanding layers. The cases are in the Python programs.
load ../lib/common

layer_program() {
    run env CORACLE_BUILD="$CORACLE_BIN" python3 "$TESTS_DIR/fault/$1"
    echo "$output" | grep -v '^ok ' || true
    assert_status 0
}

@test "malicious layers are refused or unpacked harmlessly" { layer_program evil_layers.py; }

@test "damaged streams and bombs are refused" { layer_program evil_streams.py; }

@test "layers come out as GNU tar extracts them, in every format and compression" { layer_program layer_fidelity.py; }
