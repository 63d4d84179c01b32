#!/usr/bin/env bats
# top: the container's processes with the host's pids, by docker's rules for ps options and podman's descriptors.
load ../lib/common

file_setup() {
    image busybox
    coracle run -d --network none --name box --user alice busybox sh -c 'sleep 1001 & exec sleep 1000'
    coracle run -d --network none --name beside --pid container:box busybox sleep 1002
    wait_for both_sleep
}
# The shell has made its two sleepers, and they sleep.
both_sleep() { [ "$(coracle top box -o pid,stat,args | grep -cE ' S[^ ]* +sleep 100[01]$')" = 2 ]; }
file_teardown() { coracle rm -f box beside; }

# the rows of -ef without C and STIME, which are another moment's each time
timeless() { tail -n +2 | awk '{ $4 = ""; $5 = ""; print }' | sort; }
pid_of() { coracle inspect -f '{{.State.Pid}}' "$1"; }

@test "without options the columns are those of ps -ef, each at least 20 wide" {
    run -0 coracle top box
    assert_eq "$(xargs <<<"${lines[0]}")" "UID PID PPID C STIME TTY TIME CMD"
    assert_eq "${lines[0]:0:43}" "UID                 PID                 PPI"
    [ "${#lines[@]}" = 3 ] || fail "two processes"
    assert_eq "$(awk '$9 == 1000 { print $2, $8 }' <<<"$output")" "$(pid_of box) sleep"
    assert_eq "$(awk '$9 == 1001 { print $3, $8 }' <<<"$output")" "$(pid_of box) sleep"
    mine=$(timeless <<<"$output")
    run -0 coracle container top box
    assert_eq "$(timeless <<<"$output")" "$mine"
}

@test "what ps says of the same processes is what it says: -ef made here agrees with the host's ps" {
    run -0 coracle top box
    mine=$(timeless <<<"$output")
    run -0 coracle top box -e -f
    assert_eq "$(timeless <<<"$output")" "$mine"
}

@test "a container that shares the pid namespace has its own processes only, and those of exec" {
    run -0 coracle top beside
    [ "${#lines[@]}" = 2 ] || fail "one process"
    assert_output_has "sleep 1002"
    coracle exec -d beside sleep 1003
    wait_for eval 'coracle top beside | grep -q "sleep 1003"'
    run -0 coracle top box
    refute_output_has "sleep 1003"
    [ "${#lines[@]}" = 3 ]
}

@test "ps options choose columns; the last one takes the rest of the line" {
    run -0 coracle top box -o pid,ppid,args
    assert_eq "$(xargs <<<"${lines[0]}")" "PID PPID COMMAND"
    assert_eq "$(awk '$4 == 1000 { print $1, $3 }' <<<"$output")" "$(pid_of box) sleep"
    run -0 coracle top box aux
    [[ ${lines[0]} == USER* ]] || fail "not ps aux"
    [ "${#lines[@]}" = 3 ]
    run -0 coracle top box "-o pid,comm"
    [ "${#lines[@]}" = 3 ]
}

@test "options without a column PID, with another column of that title, and wrong ones are errors" {
    run -1 coracle top box -o comm
    assert_eq "$output" "coracle: Couldn't find PID field in ps output"
    run -1 coracle top box -o pid=NUMBER,comm
    assert_eq "$output" "coracle: Couldn't find PID field in ps output"
    run -1 coracle top box -o pid -o comm=PID
    assert_eq "$output" 'coracle: specifying "comm=PID" is not allowed'
    run -1 coracle top box --no-such-option
    assert_output_has "ps: error"
}

@test "podman's descriptors show what the container sees" {
    run -0 coracle top box pid,ppid user huser comm hpid
    assert_eq "$(xargs <<<"${lines[0]}")" "PID PPID USER HUSER COMMAND HPID"
    read -r pid ppid user huser comm hpid < <(grep '^1 ' <<<"$output")
    assert_eq "$pid $ppid $user $comm $hpid" "1 0 alice sleep $(pid_of box)"
    assert_eq "$huser" "$(stat -c %u "/proc/$hpid")"
    run -0 coracle top box pid ppid
    assert_eq "$(awk 'NR > 1 { print $2 }' <<<"$output" | sort | xargs)" "0 1"
    run -0 coracle top box args capeff seccomp state nice tty time group
    assert_eq "$(grep '^sleep 1000 ' <<<"$output" | xargs)" "sleep 1000 none filter S $(nice) ? 0s alice"
}

@test "one that does not run has no processes" {
    name=$(unique)
    coracle create --network none --name "$name" busybox true
    run -1 coracle top "$name"
    assert_output_has "is not running"
    run -1 coracle top nobody-is-called-so
    assert_output_has "No such container: nobody-is-called-so"
    run -1 coracle top
    assert_output_has "requires at least 1 argument"
    coracle rm "$name"
}

@test "a process that made namespaces of its own is still the container's" {
    name=$(unique)
    coracle run -d --network none --cap-add SYS_ADMIN --security-opt seccomp=unconfined --name "$name" busybox \
        sh -c 'unshare -m sleep 1004 & exec sleep 1005'
    seen() { coracle top "$name" -o pid,args | grep -qE '^[0-9]+ +sleep 1004$'; }
    wait_for seen || fail "$(coracle top "$name")"
    coracle rm -f "$name"
}

@test "control characters of a command line do not reach the terminal" {
    name=$(unique)
    coracle run -d --network none --name "$name" busybox sh -c 'sleep 1006; true' $'a\033[31mb'
    run -0 coracle top "$name"
    assert_output_has '[31mb'
    case $output in *$'\033'*) fail "raw escape" ;; esac
    coracle rm -f "$name"
}

@test "top tells an event" {
    coracle top box >/dev/null
    run -0 coracle events --since 1h --until 0s -f container=box -f event=top --format '{{.Action}}'
    assert_output_has top
}
