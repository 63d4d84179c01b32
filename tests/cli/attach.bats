#!/usr/bin/env bats
# attach: other clients at the streams of a running container, without a terminal (terminal.bats has one).
load ../lib/common

file_setup() { image busybox; }
teardown() { coracle ps -aq | xargs -r coracle rm -f >/dev/null; }

state() { coracle inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$1"; }
is_running() { [ "$(state "$1")" = "running 0" ]; }
logged() { coracle logs "$1" 2>&1 | grep -q "$2"; }
# a container that prints its signals, and ticks until /t/go is there: who sees a tick is attached
listener() {
    coracle run -d --name "$1" -v "$BATS_TEST_TMPDIR:/t" busybox sh -c 'trap "echo got-TERM" TERM; trap "echo got-INT" INT; trap "echo got-HUP" HUP; trap "echo got-USR1" USR1; echo ready; while [ ! -e /t/go ]; do echo tick; sleep 0.02; done; echo out; echo err >&2; exit 21' >/dev/null
    wait_for logged "$1" ready
}
# attach NAME FILE: an attached client in the background, attached for sure when this returns
attached() {
    coracle attach --no-stdin ${3:-} "$1" >"$2.out" 2>"$2.err" 3>&- &
    cli=$!
    wait_for grep -q tick "$2.out"
}
untick() { grep -v '^tick$' "$1"; }

@test "attach gives what the container prints from now on, on both streams, and its exit code" {
    listener a1
    attached a1 "$BATS_TEST_TMPDIR/c"
    touch "$BATS_TEST_TMPDIR/go"
    code=0
    wait $cli || code=$?
    assert_eq "$code" 21
    assert_eq "$(untick "$BATS_TEST_TMPDIR/c.out")" out
    assert_eq "$(cat "$BATS_TEST_TMPDIR/c.err")" err
    coracle rm a1
}

@test "two clients and the one that started it see the same" {
    coracle create --name a2 -v "$BATS_TEST_TMPDIR:/t" busybox sh -c 'echo begun; while [ ! -e /t/go ]; do echo tick; sleep 0.02; done; seq 5000; exit 3'
    coracle start -a a2 >"$BATS_TEST_TMPDIR/first" 3>&- &
    first=$!
    wait_for grep -q begun "$BATS_TEST_TMPDIR/first"
    attached a2 "$BATS_TEST_TMPDIR/x"
    x=$cli
    attached a2 "$BATS_TEST_TMPDIR/y"
    y=$cli
    touch "$BATS_TEST_TMPDIR/go"
    for p in $first $x $y; do
        code=0
        wait "$p" || code=$?
        assert_eq "$code" 3
    done
    (echo begun && seq 5000) | cmp - <(untick "$BATS_TEST_TMPDIR/first")
    seq 5000 | cmp - <(untick "$BATS_TEST_TMPDIR/x.out")
    seq 5000 | cmp - <(untick "$BATS_TEST_TMPDIR/y.out")
    coracle rm a2
}

@test "stdin of an attach reaches the container; its end leaves a -d -i container waiting for more" {
    coracle run -d -i --name a3 busybox sh -c 'while read l; do echo "got $l"; [ "$l" = end ] && exit 4; done; exit 99'
    echo first | timeout "$(patience 60)" coracle attach a3 >/dev/null 3>&- &
    client=$!
    wait_for logged a3 'got first'
    is_running a3 || fail "the end of one client's input ended the container"
    echo end | timeout "$(patience 60)" coracle attach a3 >/dev/null || code=$?
    assert_eq "$code" 4
    wait $client || true
    coracle rm a3
}

@test "SIGTERM, SIGINT, SIGHUP and SIGUSR1 of the client go to the container" {
    listener a4
    attached a4 "$BATS_TEST_TMPDIR/c"
    for s in TERM HUP USR1; do
        kill -s $s $cli
        wait_for logged a4 "got-$s"
    done
    is_running a4
    touch "$BATS_TEST_TMPDIR/go"
    code=0
    wait $cli || code=$?
    assert_eq "$code" 21
    coracle rm a4
}

@test "run in the foreground passes SIGTERM and SIGINT on" {
    for s in TERM INT; do
        rm -f "$BATS_TEST_TMPDIR/out"
        # bash starts background jobs with SIGINT ignored: env puts it back
        env --default-signal=INT coracle run --rm --name sig busybox sh -c 'trap "echo caught; exit 40" TERM INT; echo ready; while :; do sleep 0.02; done' >"$BATS_TEST_TMPDIR/out" 3>&- &
        cli=$!
        wait_for grep -q ready "$BATS_TEST_TMPDIR/out"
        kill -s $s $cli
        code=0
        wait $cli || code=$?
        assert_eq "$code" 40
        grep -q caught "$BATS_TEST_TMPDIR/out"
        wait_for [ ! -e "$STORE/names/sig" ]
    done
}

@test "--sig-proxy=false: the signal ends the client, the container goes on" {
    listener a5
    attached a5 "$BATS_TEST_TMPDIR/c" --sig-proxy=false
    kill -TERM $cli
    wait $cli || true
    is_running a5
    run coracle logs a5
    refute_output_has got-TERM
    coracle rm -f a5
}

@test "a client killed with -9 changes nothing for the container" {
    listener a6
    attached a6 "$BATS_TEST_TMPDIR/c"
    kill -9 $cli
    wait $cli || true
    is_running a6
    touch "$BATS_TEST_TMPDIR/go"
    assert_eq "$(coracle wait a6)" 21
    coracle rm a6
}

@test "a foreground run killed with -9 leaves the container running; attach finds it" {
    coracle run --name a7 -v "$BATS_TEST_TMPDIR:/t" busybox sh -c 'echo ready; while [ ! -e /t/go ]; do echo tick; sleep 0.02; done; echo later; exit 5' >"$BATS_TEST_TMPDIR/out" 3>&- &
    cli=$!
    wait_for grep -q ready "$BATS_TEST_TMPDIR/out"
    kill -9 $cli
    wait $cli || true
    is_running a7
    attached a7 "$BATS_TEST_TMPDIR/c"
    touch "$BATS_TEST_TMPDIR/go"
    code=0
    wait $cli || code=$?
    assert_eq "$code" 5
    assert_eq "$(untick "$BATS_TEST_TMPDIR/c.out")" later
    coracle rm a7
}

@test "a client that does not read neither loses bytes nor lets the monitor grow" {
    coracle create --name a8 busybox sh -c 'seq 300000'
    mkfifo "$BATS_TEST_TMPDIR/slow"
    coracle start -a a8 >"$BATS_TEST_TMPDIR/slow" 3>&- &
    cli=$!
    exec 8<"$BATS_TEST_TMPDIR/slow"
    read -r first <&8
    assert_eq "$first" 1
    monitor=$(cat "$XDG_RUNTIME_DIR/coracle/$(coracle inspect -f '{{.Id}}' a8)/monitor" 2>/dev/null | grep -o '[0-9]*' | head -1)
    if [ -n "$monitor" ] && [ -r "/proc/$monitor/status" ]; then
        kb=$(awk '/^RssAnon/ { print $2 }' "/proc/$monitor/status")
        sanitized || [ "$kb" -lt 4096 ] || fail "the monitor holds $kb kB"
    fi
    cat <&8 >"$BATS_TEST_TMPDIR/rest"
    exec 8<&-
    wait $cli
    (echo "$first" && cat "$BATS_TEST_TMPDIR/rest") | cmp - <(seq 300000)
    coracle rm a8
}

@test "attach to what does not run, does not exist, or with bad detach keys is refused" {
    coracle create --name a9 busybox true
    run coracle attach a9
    assert_status 1
    assert_output_has 'cannot attach to a stopped container, start it first'
    coracle rm a9
    run coracle attach nosuch
    assert_status 1
    assert_output_has 'No such container: nosuch'
    coracle run -d --name a9 busybox sleep 1000
    run coracle attach --detach-keys 'ctrl-bogus' a9
    assert_status 1
    assert_output_has 'ctrl-bogus'
    coracle rm -f a9
}

@test "-a picks streams: -a stdout leaves stderr out" {
    run --separate-stderr -0 coracle run --rm -a stdout busybox sh -c 'echo out; echo err >&2'
    assert_eq "$output" out
    assert_eq "$stderr" ""
    run --separate-stderr -0 coracle run --rm -a stderr busybox sh -c 'echo out; echo err >&2'
    assert_eq "$output" ""
    assert_eq "$stderr" err
    run coracle run --rm -a bogus busybox true
    assert_status 125
    assert_output_has 'valid streams are STDIN, STDOUT and STDERR'
    run coracle run -d -a stdout busybox true
    assert_status 125
    assert_output_has 'cannot specify both --attach and --detach'
}

@test "a terminal is asked for where there is none" {
    run bash -c 'echo x | coracle run --rm -it busybox cat'
    assert_status 1
    assert_output_has 'the input device is not a TTY'
    coracle run -dit --name a10 busybox sh
    run bash -c 'echo x | coracle attach a10'
    assert_status 1
    assert_output_has 'the input device is not a TTY'
    coracle rm -f a10
    # -t alone needs none
    run -0 bash -c 'coracle run --rm -t busybox sh -c "test -t 1 && test -t 0 && echo yes" </dev/null'
    assert_output_has yes
    assert_eq "$(coracle ps -q)" ""
}
