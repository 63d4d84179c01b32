#!/usr/bin/env bats
# Hosts that give this user no user namespace, or one without capabilities: what cannot be done is said, with the way to get it, at once
# and everywhere the same; and what needs none works.
load ../lib/common

refused() {
    run timeout "$(patience 60)" coracle "$@"
    [ "$status" != 0 ] && [ "$status" != 124 ] || fail "worked, or hung: $*"
    assert_output_has hint:
}

@test "what needs a user namespace is refused with the way to get one" {
    # the same store may be looked at before: nothing of that is in the way
    refused unshare true
    mkdir -p "$BATS_TEST_TMPDIR/tree"
    busybox_tree "$BATS_TEST_TMPDIR/tree"
    tar --owner=0 --group=0 -C "$BATS_TEST_TMPDIR/tree" -cf "$BATS_TEST_TMPDIR/tar" .
    refused import "$BATS_TEST_TMPDIR/tar" busybox
}

@test "what needs none works" {
    run -0 coracle ps -a
    run -0 coracle images
    run -0 coracle info
    run -0 coracle version
    run -0 coracle volume ls
}
