#!/usr/bin/env bats
# network-walls-routes: the walls of network-walls.bats where the kernel takes no nftables rules, and routing rules hold the networks apart.
load ../lib/common
load ../lib/networks
load ../lib/walls
load ../lib/lacking

file_setup() {
    image busybox tools
    lacking_setup
    without_nftables
    PATH=$CTR_HOME/bin:$PATH
    walls_setup
}
file_teardown() { walls_teardown; }
setup() { lacking_path; }
teardown() { coracle rm -f attacker >/dev/null 2>&1 || true; }

@test "without nftables the traps work" {
    run -0 coracle info
    assert_output_has 'Network: slirp'
    the_traps_work
}

@test "without nftables nothing reaches the host's loopback or another network" { attack_from_a_network; }

@test "nor from an internal network, nor the world either" { attack_from_an_internal_network; }

@test "from a published port, which has a rule of its own, no other gateway's name server is reached" {
    local port
    coracle run -d --name attacker --network mine -p 8053 busybox sleep 1000 >/dev/null
    coracle run -d --name server busybox sleep 1000 >/dev/null # the default network's gateway answers
    run -0 coracle exec server sh -c 'echo | socat -T1 - UDP:172.17.0.1:53,sourceport=8053; nslookup -timeout=30 host.docker.internal 172.17.0.1'
    run coracle exec attacker sh -c 'socat -T1 - TCP:172.17.0.1:53,sourceport=8053,connect-timeout=1 </dev/null && echo REACHED; nslookup -timeout=1 host.docker.internal 172.17.0.1 && echo REACHED'
    coracle rm -f server
    refute_output_has REACHED
}

@test "a helper that is killed comes back to the same walls" {
    local before
    before=$(inside prey-theirs IPAddress)
    helper_kill
    wait_for coracle exec prey-theirs nslookup -timeout=1 prey-theirs
    assert_eq "$(inside prey-theirs IPAddress)" "$before"
    run -0 coracle info
    assert_output_has 'Network: slirp'
    the_traps_work
    attack_from_a_network
}
