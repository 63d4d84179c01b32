#!/usr/bin/env bats
# network-connect: network connect and disconnect when coracle-net dies in the middle of it, and two of them at once.
load ../lib/common
load ../lib/networks
load ../lib/lacking

file_setup() {
    networks_setup
    lacking_setup
    coracle network create first >/dev/null
    coracle network create second >/dev/null
}
setup() { lacking_path; }
teardown() {
    coracle rm -f joins >/dev/null 2>&1 || true
    lacking_over
}
start() { coracle run -d --name joins "$@" busybox sleep 1000 >/dev/null; }
on() { coracle inspect -f '{{json .NetworkSettings.Networks}}' joins | jq -r 'to_entries[] | select(.value.IPAddress != "") | .key' | sort | paste -sd ' '; }
members() { coracle network inspect -f '{{range .Containers}}{{.Name}}{{end}}' "$1"; }
# orphaned COMMAND…: with the helper dead and the monitor, which is to start the next, held for a second
orphaned() {
    local monitor
    monitor=$(pgrep -u "$(id -u)" -f "^coracle-mon $(coracle ps -q -f name=joins)")
    kill -STOP "$monitor"
    helper_kill
    { sleep 1; kill -CONT "$monitor"; } 3>&- &
    run "$@"
    wait $!
}
# dies_after OP: the helper does what it is asked and is killed before it can say so
dies_after() {
    : >"$CTR_HOME/mark"
    printf '#!/bin/sh\nexec /usr/bin/python3 %q @REAL@ %q %q "$@"\n' "$TESTS_DIR/net/between.py" "$CTR_HOME/mark" "$1" | instead
}

@test "connect, disconnect and network inspect wait for the next helper while there is none" {
    start --network first
    orphaned coracle network connect second joins
    assert_status 0
    assert_eq "$(on)" "first second"
    orphaned coracle network inspect -f '{{range .Containers}}{{.Name}}{{end}}' second
    assert_eq "$output" joins
    orphaned coracle network disconnect first joins
    assert_status 0
    assert_eq "$(on)" second
    coracle restart -t 0 joins
    assert_eq "$(on)" second
}

@test "what a helper has connected before it was killed is connected, and stays so" {
    dies_after connect
    start --network first
    coracle network connect second joins
    [ ! -e "$CTR_HOME/mark" ] || fail "the helper was not killed"
    assert_eq "$(on)" "first second"
    assert_eq "$(members second)" joins
    coracle restart -t 0 joins
    assert_eq "$(on)" "first second"
}

@test "what a helper has disconnected before it was killed is disconnected, and stays so" {
    dies_after disconnect
    start --network first --network second
    coracle network disconnect second joins
    [ ! -e "$CTR_HOME/mark" ] || fail "the helper was not killed"
    assert_eq "$(on)" first
    assert_eq "$(members second)" ""
    coracle restart -t 0 joins
    assert_eq "$(on)" first
}

@test "a helper that refuses is believed" {
    start --network first
    run coracle network connect --ip 10.1.2.3 second joins
    assert_status 1
    coracle restart -t 0 joins
    assert_eq "$(on)" first
}

@test "two connects at once are both wanted at the next start" {
    coracle create --name joins --network first busybox sleep 1000 >/dev/null
    coracle network create third >/dev/null
    writes_slowly coracle network connect second joins
    wait_for grep -qs '"network.json"' "$BATS_TEST_TMPDIR/trace"
    coracle network connect third joins
    wait $!
    coracle start joins >/dev/null
    assert_eq "$(on)" "first second third"
}
