#!/usr/bin/env bats
# warden: coracle-net's network namespace, bridges, addresses, leases and names, driven over its socket without coracle. The cases are in
# warden.py and dns.py, which are root of a user namespace with processes of its own.
load ../lib/common

# In a network namespace whose name server, as far as the helper knows, is what dns.py has at 127.0.0.53.
cases() {
    echo 'nameserver 127.0.0.53' >"$BATS_TEST_TMPDIR/resolv.conf"
    run unshare -U --map-auto --map-root-user -n -p -f --mount-proc sh -ec '
        ip link set lo up
        mount --bind "$1" /etc/resolv.conf
        shift
        exec timeout "$@"' - "$BATS_TEST_TMPDIR/resolv.conf" "$(patience 300)" python3 "$TESTS_DIR/net/$1" "$CORACLE_BIN/coracle-net"
    echo "$output" | grep -v '^ok ' || true
    assert_status 0
    assert_output_has "ok 1 "
}

@test "networks, addresses, isolation, ports, recovery: the warden of coracle-net" { cases warden.py; }

@test "names: what a container is told of its neighbours, of others, and of the world" { cases dns.py; }
