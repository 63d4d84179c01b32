#!/usr/bin/env bats
# build: many Dockerfiles, each with what comes of it (tests/build).
load ../lib/common
load ../lib/containers

@test "every Dockerfile of tests/build makes what is written beside it" {
    image busybox >/dev/null
    each=1
    ! sanitized || each=5 # the others took their time without
    run python3 "$TESTS_DIR/build/dockerfiles.py" check -n $each
    [ "$status" = 0 ] || fail "$output"
    [ "$(tail -n1 <<<"$output" | cut -d' ' -f1)" -ge $((150 / each)) ]
}
