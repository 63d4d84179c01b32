#!/usr/bin/env bats
# warden: coracle-net's network namespace, bridges, addresses and leases, driven over its socket without coracle. The cases are in
# warden.py, which is root of a user namespace with processes of its own.
load ../lib/common

@test "networks, addresses, isolation, ports, recovery: the warden of coracle-net" {
    run unshare -U --map-auto --map-root-user -p -f --mount-proc python3 "$TESTS_DIR/net/warden.py" "$CORACLE_BIN/coracle-net"
    echo "$output" | grep -v '^ok ' || true
    assert_status 0
}
