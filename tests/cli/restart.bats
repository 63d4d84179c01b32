#!/usr/bin/env bats
# Restart policies, --timeout, and what comes back after a restart of the machine: carried out by the container's own monitor.
load ../lib/common

file_setup() { image busybox; }

status_is() { [ "$(coracle inspect --format '{{.State.Status}}' "$1")" = "$2" ]; }
restarts() { coracle inspect --format '{{.RestartCount}}' "$1"; }
restarted_often() { [ "$(restarts "$1")" -ge "$2" ]; }
monitor_of() { cut -d' ' -f1 "$XDG_RUNTIME_DIR/coracle/$(coracle inspect --format '{{.Id}}' "$1")/monitor"; }
# Until a process has died its locks are held, and all looks well.
kill_monitor() {
    local pid
    pid=$(monitor_of "$1")
    kill -9 "$pid"
    wait_for eval "! kill -0 $pid 2>/dev/null || grep -q '^State:.Z' /proc/$pid/status"
}
# hold NAME: stops the monitor of a container that waits for its next start, which is then as far away as the test wants it to be
hold() {
    local pid
    status_is "$1" restarting || return
    pid=$(monitor_of "$1")
    kill -STOP "$pid"
    wait_for grep -q '^State:.T' "/proc/$pid/status"
    status_is "$1" restarting && return
    kill -CONT "$pid"
    return 1
}
# The pauses between the lines of a log, in ms, one a line.
gaps() {
    coracle logs -t "$1" | while read -r t _; do date -d "$t" +%s%3N; done | awk 'NR > 1 { print $1 - last } { last = $1 }'
}
says() { [ "$(coracle logs "$1" | tr -d '\r' | tr '\n' ' ')" = "$2" ]; }

@test "no: it ends once; on-failure: as often as it says, and only after failures" {
    coracle run -d --name n1 busybox sh -c 'exit 3'
    coracle run -d --name n2 --restart no busybox sh -c 'exit 3'
    coracle run -d --name f3 --restart on-failure:3 busybox sh -c 'echo run; exit 3'
    coracle run -d --name f0 --restart on-failure busybox sh -c 'echo run'
    wait_for restarted_often f3 3
    wait_for status_is f3 exited
    for c in n1 n2 f0; do
        wait_for status_is $c exited
        assert_eq "$(restarts $c)" 0
    done
    assert_eq "$(coracle logs f3 | wc -l)" 4
    assert_eq "$(coracle logs f0)" run
    assert_eq "$(coracle inspect --format '{{.State.ExitCode}} {{.RestartCount}} {{json .HostConfig.RestartPolicy}}' f3)" \
        '3 3 {"Name":"on-failure","MaximumRetryCount":3}'
}

@test "the pause before a start doubles, and a start by the user begins anew" {
    coracle run -d --name b1 --restart on-failure:3 busybox sh -c 'echo run; exit 1'
    wait_for restarted_often b1 3
    wait_for status_is b1 exited
    run gaps b1
    assert_eq "${#lines[@]}" 3
    [ "${lines[0]}" -ge 100 ] && [ "${lines[1]}" -ge 200 ] && [ "${lines[2]}" -ge 400 ] || fail "the pauses do not grow"
    before=$(date -u +%FT%T)
    coracle start b1
    after=$(coracle inspect --format '{{.State.StartedAt}}' b1 | cut -c1-19)
    [[ ! $after < $before ]] || fail "started at $after, before $before"
    wait_for restarted_often b1 3
    wait_for status_is b1 exited
    assert_eq "$(coracle logs b1 | wc -l)" 8
}

@test "always: it comes back after success too, as a new process in the same container, with the same log and name" {
    coracle run -d --name a1 --restart always busybox sh -c 'echo one >>/kept; cat /kept | wc -l; [ "$(wc -l </kept)" -ge 3 ] && exec sleep 1000'
    wait_for restarted_often a1 2
    wait_for status_is a1 running
    wait_for says a1 '1 2 3 ' || fail "$(coracle logs a1)"
    assert_eq "$(coracle exec a1 wc -l /kept)" '3 /kept'
    run coracle inspect --format '{{.State.Restarting}} {{.State.ExitCode}} {{.State.Running}}' a1
    assert_eq "$output" 'false 0 true'
    coracle stop a1
    assert_eq "$(coracle inspect --format '{{.State.Status}} {{.RestartCount}}' a1)" 'exited 2'
}

@test "while it waits it is restarting: ps and inspect say so, exec, attach and pause refuse, stop ends it" {
    coracle run -d --name w1 --restart always busybox sh -c 'exit 7'
    wait_for hold w1 # for those that need no answer of its monitor
    run coracle ps --format '{{.Status}}' --filter name=w1
    assert_output_has 'Restarting (7) '
    assert_eq "$(coracle ps -q --filter status=restarting | wc -l)" 1
    run coracle exec w1 true
    assert_status 1
    assert_output_has 'is restarting, wait until the container is running'
    run coracle rm w1
    assert_status 1
    assert_output_has 'container is restarting: stop the container before removing or force remove'
    kill -CONT "$(monitor_of w1)"
    wait_for restarted_often w1 7 # the pause that begins is of 6.4 s
    wait_for status_is w1 restarting
    run coracle attach w1
    assert_output_has 'restarting container'
    run coracle pause w1
    assert_status 1
    run coracle stop w1
    assert_status 0
    assert_eq "$(coracle inspect --format '{{.State.Status}} {{.State.ExitCode}}' w1)" 'exited 7'
    run coracle start w1
    assert_status 0
    wait_for restarted_often w1 2
    coracle kill w1 || wait_for status_is w1 exited
    wait_for status_is w1 exited
    coracle start w1
    wait_for restarted_often w1 1
    coracle rm -f w1
    run coracle inspect w1
    assert_status 1
}

@test "a stop and a kill are a user's wish: it stays down" {
    coracle run -d --name s1 --restart always busybox sleep 1000
    coracle run -d --name s2 --restart unless-stopped busybox sleep 1000
    coracle run -d --name s3 --restart always busybox sleep 1000
    coracle stop s1 s2
    coracle kill s3
    for c in s1 s2 s3; do
        status_is $c exited
        assert_eq "$(restarts $c)" 0
    done
}

@test "in the foreground each run is told its end: the client leaves, the container goes on" {
    run -3 coracle run --name g1 --restart on-failure:1 busybox sh -c 'echo out; exit 3'
    assert_eq "$output" out
    wait_for status_is g1 exited
    assert_eq "$(coracle logs g1 | wc -l)" 2
    coracle run -d --name g2 --restart always busybox sh -c 'until [ -e /go ]; do sleep 0.05; done; rm /go; exit 5'
    coracle wait g2 >"$BATS_TEST_TMPDIR/code" &
    waiter=$!
    told() { coracle exec g2 touch /go && ! kill -0 $waiter; } # once it is there to be told
    wait_for told
    assert_eq "$(cat "$BATS_TEST_TMPDIR/code")" 5
    coracle rm -f g2
}

@test "input, a terminal and a network are there again" {
    coracle run -dit --name t1 --restart always busybox sh -c 'tty; ip -4 -o addr show eth0 | wc -l; [ -e /again ] || { touch /again; exit 1; }; cat'
    wait_for restarted_often t1 1
    wait_for says t1 '/dev/pts/0 1 /dev/pts/0 1 ' || fail "$(coracle logs t1)"
    coracle rm -f t1
}

@test "who starts while it waits shares its user namespace, and so its networks" {
    coracle rm -f $(coracle ps -aq) >/dev/null
    coracle run -d --name u1 --restart always busybox sh -c 'readlink /proc/self/ns/user; exit 1'
    wait_for restarted_often u1 4
    wait_for status_is u1 restarting
    kill "$(cut -d' ' -f1 "$XDG_RUNTIME_DIR/coracle/userns.kept")" || true # else it holds the namespace for a moment
    coracle run -d --name u2 busybox sh -c 'readlink /proc/self/ns/user; sleep 1000'
    wait_for restarted_often u1 5
    goes_on() { [ "$(coracle logs u1 | wc -l)" -ge 6 ]; }
    wait_for goes_on
    wait_for eval '[ -n "$(coracle logs u2)" ]'
    assert_eq "$(coracle logs u1 | sort -u)" "$(coracle logs u2)"
    coracle rm -f u1 u2
}

@test "a program that is gone at the next start ends it, with the reason" {
    coracle run -d --name p1 --restart always busybox sh -c 'rm /bin/sh; exit 1'
    wait_for status_is p1 exited
    run coracle inspect --format '{{.State.ExitCode}} {{.State.Error}}' p1
    assert_output_has '127 '
    assert_output_has 'sh'
    refute_output_has 'restarting'
}

@test "kill -9 of the monitor while it waits: the next command puts the record right" {
    coracle run -d --name k1 --restart always busybox sh -c 'exit 9'
    wait_for hold k1
    kill_monitor k1
    run coracle inspect --format '{{.State.Status}} {{.State.ExitCode}}' k1
    assert_eq "$output" 'exited 9'
    assert_eq "$(find "$XDG_RUNTIME_DIR/coracle" -name "$(coracle inspect --format '{{.Id}}' k1)")" ''
    coracle start k1
    wait_for restarted_often k1 1
    coracle rm -f k1
}

@test "kill -9 of the monitor of a running one: its container ends, and nobody starts it" {
    coracle run -d --name k2 --restart always busybox sleep 1000
    kill_monitor k2
    wait_for status_is k2 exited
    assert_eq "$(coracle inspect --format '{{.State.ExitCode}}' k2)" 137
    assert_eq "$(coracle ps -q --filter name=k2)" ''
}

@test "SIGTERM to the monitor, as when the machine goes down, is no wish of the user's" {
    coracle run -d --name d1 --restart unless-stopped busybox sh -c 'trap "exit 0" TERM; sleep 1000 & wait'
    kill "$(monitor_of d1)"
    wait_for status_is d1 exited
    assert_eq "$(coracle ps -aq --filter name=d1 --filter should-start-on-boot=true | wc -l)" 1
    coracle start d1
    coracle stop d1
    assert_eq "$(coracle ps -aq --filter name=d1 --filter should-start-on-boot=true | wc -l)" 0
}

@test "after a restart of the machine one command brings back what should run" {
    coracle rm -f $(coracle ps -aq) >/dev/null
    coracle run -d --name r-always --restart always busybox sleep 1000
    coracle run -d --name r-unless --restart unless-stopped busybox sleep 1000
    coracle run -d --name r-stopped --restart unless-stopped busybox sleep 1000
    coracle run -d --name r-failure --restart on-failure busybox sleep 1000
    coracle run -d --name r-none busybox sleep 1000
    coracle stop r-stopped
    for c in r-always r-unless r-failure r-none; do kill_monitor $c; done
    # what the power cut leaves: "running", of another boot
    for f in "$STORE"/containers/*/state.json; do sed -i 's/"boot_id":"[^"]*"/"boot_id":"another"/' "$f"; done
    run coracle start --all --filter should-start-on-boot=true
    assert_status 0
    assert_eq "$(coracle ps --format '{{.Names}}' | sort | tr '\n' ' ')" 'r-always r-unless '
    run coracle inspect --format '{{.State.ExitCode}} {{.State.Error}}' r-none
    assert_eq "$output" '255 the machine was restarted'
    coracle stop r-always
    run coracle start --all --filter restart-policy=always
    assert_eq "$output" r-always
    run coracle start --filter restart-policy=always
    assert_status 1
    run coracle start --all r-none
    assert_status 1
}

@test "--timeout kills it, and a restart has its own time" {
    run -137 coracle run --rm --timeout 1 busybox sleep 1000
    run coracle run --rm --timeout -1 busybox true
    assert_status 125
    assert_output_has '--timeout'
}

@test "update --restart counts at once, for a running container and for one that has ended" {
    coracle run -d --name v1 busybox sleep 1000
    coracle create --name v2 --restart always busybox true
    run coracle update --restart on-failure:2 v1
    assert_status 0
    coracle update --restart no v2
    assert_eq "$(coracle inspect --format '{{json .HostConfig.RestartPolicy}}' v1)" \
        '{"Name":"on-failure","MaximumRetryCount":2}'
    assert_eq "$(coracle ps -a --filter restart-policy=on-failure --filter name=v1 --format '{{.Names}}')" v1
    assert_eq "$(coracle ps -aq --filter restart-policy=always --filter name=v2)" ''
    kill -9 "$(coracle inspect --format '{{.State.Pid}}' v1)"
    wait_for restarted_often v1 1
    wait_for status_is v1 running
    coracle update --restart no v1
    kill -9 "$(coracle inspect --format '{{.State.Pid}}' v1)"
    wait_for status_is v1 exited
    run coracle update --restart sometimes v1
    assert_status 1
    coracle rm -f v1 v2
}

@test "refusals in docker's words" {
    run coracle run --restart always:3 busybox true
    assert_status 125
    assert_output_has "invalid restart policy: maximum retry count can only be used with 'on-failure'"
    run coracle run --restart sometimes busybox true
    assert_output_has "unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    run coracle run --rm --restart always busybox true
    assert_output_has 'conflicting options: cannot specify both --restart and --rm'
}
