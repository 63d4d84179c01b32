#!/usr/bin/env bats
# Pausing: by the freezers of both cgroup versions, and without any.
load ../lib/common
load ../lib/cgroups
file_setup() { image busybox; }

# A container whose processes count in a file, so that it can be seen whether they run.
counting() {
    in_setup "$1" coracle run -d --name "$2" busybox sh -c '(while :; do echo x >>/b; done) & while :; do echo x >>/a; done' >/dev/null
}
# Sizes of both files, read from outside.
sizes() { stat -c %s "$STORE/containers/$1/upper/a" "$STORE/containers/$1/upper/b"; }
pid_of() { coracle inspect -f '{{.State.Pid}}' "$1"; }

stands_and_goes_on() {
    local c id before
    c=$(unique)
    counting "$1" "$c"
    id=$(coracle inspect -f '{{.Id}}' "$c")
    wait_for sizes "$id"
    run coracle pause "$c"
    assert_status 0
    assert_eq "$output" "$c"
    before=$(sizes "$id")
    run coracle ps --filter "status=paused" --filter "name=$c" --format '{{.Names}} {{.State}} {{.Status}}'
    assert_output_has "$c paused Up "
    assert_output_has "(Paused)"
    assert_eq "$(coracle inspect -f '{{.State.Status}} {{.State.Paused}} {{.State.Running}}' "$c")" "paused true true"
    sleep 0.2
    assert_eq "$(sizes "$id")" "$before"
    run coracle unpause "$c"
    assert_eq "$output" "$c"
    assert_eq "$(coracle inspect -f '{{.State.Status}} {{.State.Paused}}' "$c")" "running false"
    assert_eq "$(coracle events --since 1h --until 0s --filter container="$c" --filter event=pause --filter event=unpause --format '{{.Action}}' | tr '\n' ' ')" "pause unpause "
    grown() { [ "$(sizes "$id")" != "$before" ]; }
    wait_for grown
    coracle rm -f "$c"
}

@test "pause and unpause without cgroups" { stands_and_goes_on none; }
@test "pause and unpause by the freezer of cgroup version 1" { need_setup v1; stands_and_goes_on v1; }
@test "pause and unpause by the freezer of cgroup version 2" { need_setup v2; stands_and_goes_on v2; }

@test "without a freezer unpause leaves alone what was stopped before" {
    local c
    c=$(unique)
    coracle run -d --name "$c" busybox sh -c 'sleep 1000 & kill -STOP $!; until grep -q "State:.T" /proc/$!/status; do sleep 0.02; done; echo ready; sleep 1000' >/dev/null
    ready() { [ "$(coracle logs "$c")" = ready ]; }
    wait_for ready
    coracle pause "$c"
    coracle unpause "$c"
    assert_eq "$(coracle exec "$c" sh -c 'grep -h State /proc/[2-9]/status /proc/1/status' | sort | uniq | grep -c stopped)" 1
    assert_eq "$(coracle exec "$c" sh -c 'grep -c stopped /proc/1/status')" 0
    coracle rm -f "$c"
}

@test "without a freezer one that waits in vfork for its child is paused, too" {
    local c
    c=$(unique)
    echo 'int main(void) { for (;;) if (vfork() == 0) { usleep(500000); _exit(0); } }' |
        gcc -O1 -static -w -include unistd.h -x c -o "$BATS_TEST_TMPDIR/forks" - || skip "gcc and a static C library are needed"
    in_setup none coracle run -d --name "$c" -v "$BATS_TEST_TMPDIR:/t" busybox /t/forks >/dev/null
    coracle pause "$c"
    assert_eq "$(coracle inspect -f '{{.State.Status}}' "$c")" paused
    coracle rm -f "$c"
}

@test "docker's words for what a paused container does not do" {
    local c id
    c=$(unique)
    id=$(coracle run -d --name "$c" busybox sleep 1000)
    run coracle unpause "$c"
    assert_status 1
    assert_output_has "container $id is not paused"
    coracle pause "$c"
    run coracle pause "$c"
    assert_status 1
    assert_output_has "container $id is already paused"
    run coracle exec "$c" true
    assert_output_has "container $c is paused, unpause the container before exec"
    run coracle attach "$c"
    assert_output_has "cannot attach to a paused container, unpause it first"
    run coracle start "$c"
    assert_output_has "cannot start a paused container, try unpause instead"
    run coracle rm "$c"
    assert_output_has "container is paused and must be unpaused first"
    coracle rm -f "$c"
    run coracle pause "$c"
    assert_output_has "No such container: $c"
    coracle create --name "$c" busybox true >/dev/null
    run coracle pause "$c"
    assert_output_has "is not running"
    coracle rm "$c"
}

ends() { # SETUP COMMAND…: a paused container is ended by a command, and its trap for the stop signal runs where it can
    local setup=$1 c
    shift
    c=$(unique)
    in_setup "$setup" coracle run -d --name "$c" busybox sh -c 'trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
    ready() { [ "$(coracle logs "$c")" = ready ]; }
    wait_for ready
    coracle pause "$c"
    run timeout "$(patience 20)" coracle "$@" "$c"
    assert_status 0
    assert_eq "$(coracle wait "$c")" "$WANT_CODE"
    assert_eq "$(coracle inspect -f '{{.State.Status}} {{.State.Paused}}' "$c")" "exited false"
    coracle rm "$c"
}

@test "stop, kill and kill by the stop signal end a paused container" {
    local setup
    for setup in none v1 v2; do
        case $setup in v1) [ "$(v1_dirs)" ] || continue ;; v2) v2_dir >/dev/null || continue ;; esac
        WANT_CODE=7 ends $setup stop
        WANT_CODE=137 ends $setup kill
        WANT_CODE=7 ends $setup kill -s TERM
    done
}

@test "a signal to a paused container comes when it goes on" {
    local c
    c=$(unique)
    coracle run -d --name "$c" busybox sh -c 'trap "echo usr1" USR1; echo ready; while :; do sleep 0.1; done' >/dev/null
    ready() { [ "$(coracle logs "$c")" = ready ]; }
    wait_for ready
    coracle pause "$c"
    coracle kill -s USR1 "$c"
    assert_eq "$(coracle inspect -f '{{.State.Status}}' "$c")" paused
    assert_eq "$(coracle logs "$c")" ready
    coracle unpause "$c"
    heard() { coracle logs "$c" | grep -q usr1; }
    wait_for heard
    coracle rm -f "$c"
}

@test "a frozen container whose monitor is killed ends, and its cgroups go" {
    local c id setup monitor
    for setup in v1 v2; do
        case $setup in v1) [ "$(v1_dirs)" ] || continue ;; v2) v2_dir >/dev/null || continue ;; esac
        c=$(unique)
        id=$(in_setup $setup coracle run -d --name "$c" busybox sleep 1000)
        coracle pause "$c"
        monitor=$(cut -d' ' -f1 "$XDG_RUNTIME_DIR/coracle/$id/monitor")
        kill -KILL "$monitor"
        gone() { coracle ps -a --filter "name=$c" --format '{{.Status}}' | grep -q Exited; }
        wait_for gone
        no_cgroup() { [ -z "$(find /sys/fs/cgroup -name "coracle-${id:0:12}" 2>/dev/null)" ]; }
        coracle rm -f "$c"
        wait_for no_cgroup || fail "a cgroup is left: $(find /sys/fs/cgroup -name "coracle-${id:0:12}")"
    done
}
