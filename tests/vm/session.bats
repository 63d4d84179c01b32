#!/usr/bin/env bats
# A machine with systemd: what a logout does to containers, and what is said of it before; its journal. Another user logs in and out, by the
# machine's root, who has no password here.
load ../lib/common

OTHER=few
as_root() { su root -c "$(printf '%q ' "$@")" </dev/null; }
# A session of its own, as ssh makes one, over when the command line has ended.
login() {
    as_root systemd-run --quiet --wait --pipe --collect -p PAMName=login -p User=$OTHER --setenv="PATH=$PATH" bash -c "cd; $1"
}
no_session() { ! loginctl list-sessions --no-legend | grep -qw $OTHER; }
no_manager() { ! systemctl is-active --quiet "user@$(id -u $OTHER)"; }
settings() { # TEXT: of logind, from now on
    as_root bash -c "mkdir -p /etc/systemd/logind.conf.d && printf '[Login]\n%b' '$1' >/etc/systemd/logind.conf.d/test.conf && systemctl restart systemd-logind"
}
lingering() { as_root loginctl "$1-linger" $OTHER; }
state_of() { login "coracle ps -a --filter name=$1 --format '{{.State}}'"; }

setup() {
    command -v loginctl systemd-run >/dev/null && id $OTHER >/dev/null 2>&1 && as_root true 2>/dev/null || skip "no logind, or no user $OTHER, or root has a password"
}
file_setup() {
    image busybox
    export TAR
    TAR=$(image_tar busybox)
}
teardown() {
    lingering disable || true
    settings ''
    login 'coracle rm -f $(coracle ps -aq)' >/dev/null 2>&1 || true
}

@test "without limits a container stays in the session's scope, and goes on after the logout" {
    settings 'UserStopDelaySec=1\n'
    run -0 login "coracle import $TAR busybox >/dev/null; coracle run -d --network none --name plain busybox sleep 1000"
    refute_output_has "when you log out"
    assert_eq "$(state_of plain)" running
}

@test "with limits it is below the user's manager, and ends with that: this is said; it stays where the user lingers" {
    settings 'UserStopDelaySec=1\n'
    run -0 login "coracle import $TAR busybox >/dev/null; coracle run -d --network none --name limited -m 64m busybox sleep 1000"
    assert_output_has "they stay with: loginctl enable-linger"
    wait_for no_manager || fail "the manager does not end"
    assert_eq "$(state_of limited)" exited
    lingering enable
    run -0 login "coracle start limited"
    assert_eq "$output" limited
    wait_for no_session
    no_manager && fail "the manager has ended"
    assert_eq "$(state_of limited)" running
    assert_eq "$(login "cat /sys/fs/cgroup\$(sed -n s/^0:://p /proc/\$(coracle inspect -f '{{.State.Pid}}' limited)/cgroup)/memory.max")" 67108864
    # from another session than the one that it was started in
    assert_eq "$(login "coracle exec limited cat /proc/self/cgroup")" 0::/
}

@test "where logind ends a session's processes that is said; what was started below a lingering manager stays" {
    settings 'KillUserProcesses=yes\n'
    run -0 login "coracle import $TAR busybox >/dev/null; coracle run -d --network none --name ended busybox sleep 1000"
    assert_output_has "systemd-run --user --scope"
    wait_for no_session || fail "the session does not end"
    assert_eq "$(state_of ended)" exited
    lingering enable
    run -0 login "systemd-run --quiet --user --scope coracle run -d --network none --name stays busybox sleep 1000"
    refute_output_has "when you log out"
    wait_for no_session || fail "the session does not end"
    assert_eq "$(state_of stays)" running
}

@test "the log driver journald reaches the journal" {
    coracle run --network none --name journaled --log-driver journald --log-opt tag=tagged busybox sh -c 'echo out; echo err >&2' >/dev/null 2>&1
    entries() { as_root journalctl -q -o json --output-fields=MESSAGE,PRIORITY,CONTAINER_TAG CONTAINER_NAME=journaled; }
    both() { [ "$(entries | wc -l)" = 2 ]; }
    wait_for both || fail "$(entries)"
    assert_eq "$(entries | jq -r '"\(.MESSAGE) \(.PRIORITY) \(.CONTAINER_TAG)"' | sort)" $'err 3 tagged\nout 6 tagged'
    coracle rm journaled
}
