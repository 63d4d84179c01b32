#!/usr/bin/env bats
# init: coracle-init as PID 1 of a bare pid namespace, without the rest of coracle.
load ../lib/common

init() { unshare -Urpf --mount-proc -- "$CORACLE_BIN/coracle-init" "$@"; }

@test "the exit code is the program's, 128+n after a signal" {
    run init -- sh -c 'exit 42'
    assert_status 42
    run init sh -c 'kill -KILL $$'
    assert_status 137
}

@test "what cannot be executed is 126, what is not there 127" {
    run init -- /etc/passwd
    assert_status 126
    run init -- /nonexistent
    assert_status 127
    run init
    assert_status 125
}

@test "signals reach the program" {
    run init -- sh -c 'trap "echo heard; exit 9" USR1; kill -USR1 1; while :; do sleep 0.01; done'
    assert_status 9
    assert_eq "$output" heard
}

@test "orphans are reaped" {
    run -0 timeout "$(patience 30)" unshare -Urpf --kill-child --mount-proc -- "$CORACLE_BIN/coracle-init" -- sh -c 'sh -c "sleep 0.1 & sleep 0.1 & echo \$!"
        while ps -o stat=,args= -A | grep -E "^(Z|[^ ]+ +sleep 0\.1)"; do sleep 0.05; done >/dev/null; echo reaped'
    [[ $output =~ ^[0-9]+$'\n'reaped$ ]] || fail "not reaped"
}

@test "with a terminal the program's group is in the foreground" {
    run -0 script -qec "unshare -Urpf --mount-proc -- $CORACLE_BIN/coracle-init -- ps -o pid=,pgid=,tpgid= -p 2" /dev/null
    assert_eq "$(tr -s ' \r' ' ' <<<"$output")" " 2 2 2 "
}

@test "it is one static file" {
    run -0 readelf --wide --segments "$CORACLE_BIN/coracle-init"
    assert_output_has LOAD
    refute_output_has INTERP
}
