#!/usr/bin/env bats
# kill: SIGKILL of the command line, the monitor and the container's first process, at any moment.
load ../lib/common

file_setup() { image busybox; }
teardown() { coracle ps -aq | xargs -r coracle rm -f >/dev/null; }

field() { coracle inspect -f "{{.State.$2}}" "$1"; }
state_file() { echo "$STORE/containers/$(coracle inspect -f '{{.Id}}' "$1")/state.json"; }
monitor_of() { jq .monitor_pid "$(state_file "$1")"; }
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
no_process() { ! grep -qsxz -- "$1" /proc/[0-9]*/cmdline; }

# A sample: each kill is followed by a look at everything, some tenth of a second of all processors. `make proof-kills` does 2,000, and
# TEST_KILLS=500 as many as were asked for once.
@test "kills at random moments over every command and process: the next command puts everything right" {
    SMALL_TAR=$(image_tar busybox) run timeout "$(patience 600)" python3 "$TESTS_DIR/fault/kill.py" "${TEST_KILLS:-$(rounds 100)}" "${TEST_KILL_SEED:-}"
    echo "$output"
    [ "$status" = 0 ]
    assert_output_has ' kills in '
    refute_output_has PROBLEM
}

@test "a container whose monitor is killed dies with it; ps, inspect, wait and logs say what happened" {
    coracle run -d --name lost busybox sh -c 'echo before; exec sleep '77$$
    wait_for eval 'coracle logs lost | grep -q before'
    pid=$(field lost Pid)
    kill -9 "$(monitor_of lost)"
    wait_for gone "$pid"
    wait_for no_process 77$$
    run -0 coracle ps -a --format '{{.Names}} {{.State}} {{.Status}}'
    assert_output_has 'lost exited Exited (137)'
    assert_eq "$(field lost ExitCode) $(field lost Running) $(field lost Error)" "137 false its monitor was lost"
    assert_eq "$(coracle wait lost)" 137
    assert_eq "$(coracle logs lost)" before
    run coracle exec lost true
    assert_output_has 'is not running'
    [ "$(find "$XDG_RUNTIME_DIR/coracle" -mindepth 1 -type d ! -name net | wc -l)" = 0 ] || fail "its run directory is left"
    coracle start lost
    assert_eq "$(field lost Running) $(field lost Error)" "true "
    coracle rm -f lost
}

@test "whoever waits, follows or is attached when the monitor is killed gets an end, not a hang" {
    coracle run -d --name waited busybox sh -c 'while :; do echo tick; sleep 0.02; done'
    coracle wait waited >"$BATS_TEST_TMPDIR/wait" 2>&1 3>&- &
    a=$!
    coracle logs -f waited >"$BATS_TEST_TMPDIR/logs" 2>&1 3>&- &
    b=$!
    coracle attach --no-stdin waited >"$BATS_TEST_TMPDIR/attach" 2>&1 3>&- &
    c=$!
    coracle exec waited sleep 1000 >"$BATS_TEST_TMPDIR/exec" 2>&1 3>&- &
    d=$!
    wait_for grep -q tick "$BATS_TEST_TMPDIR/logs"
    wait_for grep -q tick "$BATS_TEST_TMPDIR/attach"
    wait_for eval 'coracle exec waited ps | grep -q "[s]leep 1000"'
    kill -9 "$(monitor_of waited)"
    for p in $a $b $c $d; do wait_for gone "$p" || fail "process $p hangs"; done
    wait $a || true
    assert_eq "$(cat "$BATS_TEST_TMPDIR/wait")" 137
    code=0
    wait $d || code=$?
    assert_eq "$code" 137
    code=0
    wait $c || code=$?
    [ "$code" != 0 ] || fail "attach ended with 0"
}

@test "a first process without its parent-death signal is ended by the next command" {
    # a change of the user clears the signal that would end it with its monitor
    coracle run -d --name orphan busybox su alice -c "exec sleep 88$$"
    wait_for eval '! no_process 88$$'
    pid=$(field orphan Pid)
    monitor=$(monitor_of orphan)
    kill -9 "$monitor"
    wait_for gone "$monitor"
    ! gone "$pid" || fail "it died by itself: this test proves nothing here"
    coracle ps -a >/dev/null
    wait_for gone "$pid" || fail "process $pid lives on without a monitor"
    wait_for no_process 88$$
    assert_eq "$(field orphan Status) $(field orphan ExitCode)" "exited 137"
    coracle rm orphan
}

@test "init killed from outside: exit code 137, and the container can be started again" {
    coracle run -d --name inited busybox sleep 1000
    kill -9 "$(field inited Pid)"
    assert_eq "$(coracle wait inited)" 137
    coracle start inited
    assert_eq "$(field inited Status)" running
}

@test "SIGTERM to the monitor stops the container in order" {
    coracle run -d --name asked busybox sh -c 'trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 0.02; done'
    wait_for eval 'coracle logs asked | grep -q ready'
    kill -TERM "$(monitor_of asked)"
    assert_eq "$(coracle wait asked)" 7
    assert_eq "$(coracle logs asked | tail -1)" bye
}

@test "--rm and a killed monitor: the name is free after one command" {
    coracle run -d --rm --name gone1 busybox sleep 1000
    pid=$(field gone1 Pid)
    kill -9 "$(monitor_of gone1)"
    wait_for gone "$pid"
    coracle rm -f gone1
    coracle run -d --rm --name gone1 busybox true
}

@test "after a reboot: nothing is taken for running, whatever has the old process ids now" {
    coracle run -d --name rebooted busybox sleep 1000
    file=$(state_file rebooted)
    cp "$file" "$BATS_TEST_TMPDIR/running.json"
    coracle stop rebooted
    # as the power cut left it, but with the pid of a process that is not the container's
    sleep 1000 3>&- &
    other=$!
    jq -c --argjson pid $other '.pid = $pid | .monitor_pid = $pid | .boot_id = "00000000-0000-0000-0000-000000000000"' "$BATS_TEST_TMPDIR/running.json" >"$file"
    run -0 coracle ps -a --format '{{.State}} {{.Status}}'
    assert_output_has 'exited Exited (255)'
    kill -0 $other || fail "a process that is none of ours was killed"
    # the same boot, another process with that pid
    jq -c --argjson pid $other '.pid = $pid | .monitor_pid = $pid' "$BATS_TEST_TMPDIR/running.json" >"$file"
    run -0 coracle ps -a --format '{{.State}} {{.Status}}'
    assert_output_has 'exited Exited (137)'
    kill -0 $other || fail "a process that is none of ours was killed"
    kill $other
    coracle start rebooted
}

@test "a frozen monitor does not stop ps, logs and inspect" {
    coracle run -d --name frozen busybox sh -c 'echo line; exec sleep 1000'
    wait_for eval 'coracle logs frozen | grep -q line'
    monitor=$(monitor_of frozen)
    kill -STOP "$monitor"
    run timeout "$HUNG" coracle ps --format '{{.Names}}'
    assert_status 0
    assert_eq "$output" frozen
    run timeout "$HUNG" coracle logs frozen
    assert_status 0
    run timeout "$HUNG" coracle inspect frozen
    assert_status 0
    run timeout "$HUNG" coracle exec frozen true
    assert_status 0
    kill -CONT "$monitor"
}
