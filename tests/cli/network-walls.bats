#!/usr/bin/env bats
# network-walls: what a container that is root of its network namespace, and ill-meaning, can reach: nothing of the host's loopback, and
# nobody on another network (tests/lib/walls.bash).
load ../lib/common
load ../lib/networks
load ../lib/walls

file_setup() {
    image busybox tools
    walls_setup
}
file_teardown() { walls_teardown; }
teardown() {
    coracle rm -f attacker >/dev/null 2>&1 || true
    [ ! -e "$CTR_HOME/frames.pid" ] || kill "$(cat "$CTR_HOME/frames.pid")" 2>/dev/null || true
}

@test "the traps work: who may come is told the secret and written down" { the_traps_work; }

@test "from a user's network nothing reaches the host's loopback or another network, by address, route, frame or port" {
    attack_from_a_network
}

@test "nor from an internal network, nor the world either" { attack_from_an_internal_network; }

@test "nor from a container alone with libslirp, whatever frames it makes up" { attack_from_alone; }

@test "[60] packets of libslirp's known holes: no answer has what was not sent, nothing is rewritten, the helper lives" { packets_of_known_holes; }

@test "names that stand for the host's loopback lead to the container's own" {
    run coracle run --rm --add-host evil:127.0.0.1 --add-host evil6:::1 busybox sh -c \
        "for n in evil evil6 localhost; do curl -s --max-time 1 http://\$n:$(secret_port)/; done; true"
    assert_eq "$output" ""
    quiet
}

@test "abstract sockets of the host are not seen" {
    grep -q walls-secret /proc/net/unix
    run coracle run --rm busybox sh -c "socat - ABSTRACT-CONNECT:walls-secret-$(secret_port) 2>/dev/null"
    [ "$status" != 0 ]
    refute_output_has SECRET
    run -0 coracle run --rm busybox cat /proc/net/unix
    refute_output_has walls-secret
    quiet
}
