#!/usr/bin/env bats
# network-fallbacks: machines that lack something, made by a coracle-net that takes it from itself before it begins.
load ../lib/common
load ../lib/networks
load ../lib/lacking

file_setup() {
    networks_setup
    lacking_setup
    outside_start
}
file_teardown() { outside_stop; }
setup() { lacking_path; }
teardown() {
    coracle ps -aq | xargs -r coracle rm -f >/dev/null
    coracle network rm lacking >/dev/null 2>&1 || true
    lacking_over
}

# everything_works: out over TCP and UDP, by name, in by the true address
everything_works() {
    local port
    port=$(free_port)
    coracle network create lacking >/dev/null
    coracle run -d --name one --network lacking -p "$port:7" busybox socat TCP-LISTEN:7,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR' >/dev/null
    coracle run -d --name two --network lacking busybox sleep 1000 >/dev/null
    coracle exec two ping -c 1 -W 10 one
    coracle run --rm --network slirp busybox ping -c 1 -W 10 10.0.2.2
    if [ -n "$HOST_ADDR" ]; then
        run -0 within two mesh "$HOST_ADDR" "$(cat "$CTR_HOME/port")" "$(address one)"
        run -0 within two outcome "$HOST_ADDR" "$(free_port)"
        assert_eq "$output" "ECONNREFUSED in time"
        wait_for eval "[ \"\$(socat -t 5 - TCP:$HOST_ADDR:$port </dev/null)\" = $HOST_ADDR ]"
    fi
}

@test "without /dev/net/tun networks do all that they do with it" {
    instead <<'S'
#!/bin/bash
PATH=/usr/sbin:/usr/bin:/sbin:/bin
enter=()
[ ! -e /proc/self/fd/4 ] || enter=(nsenter --user=/proc/self/fd/4 -S 0 -G 0)
exec "${enter[@]}" unshare -m bash -c 'mount --bind /dev/null /dev/net/tun && exec -a coracle-net "$0" "$@"' @REAL@ "$@"
S
    everything_works
    run -0 coracle info
    assert_output_has veth
}

@test "without nftables networks do all that they do with it, by libslirp, and info says so" {
    without_nftables
    everything_works
    run -0 coracle info
    assert_output_has 'Network: slirp'
    assert_output_has 'netfilter'
}

@test "without nftables IPv6 has a way out too, for a network's containers and for one alone" {
    local addr6 port server
    addr6=$(ip -6 -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
    [ -n "$addr6" ] || skip "this machine has no IPv6 address but loopback"
    without_nftables
    mkdir -p "$CTR_HOME/six" && echo served >"$CTR_HOME/six/file"
    (cd "$CTR_HOME/six" && exec python3 -u -m http.server --bind "$addr6" 0) >"$CTR_HOME/six.out" 2>&1 3>&- &
    server=$!
    wait_for grep -q ' port ' "$CTR_HOME/six.out"
    port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$CTR_HOME/six.out")
    coracle network create --ipv6 lacking >/dev/null
    for network in lacking slirp; do
        run coracle run --rm --network $network busybox curl -gsS --max-time "$(patience 30)" "http://[$addr6]:$port/file"
        [ "$output" = served ] || break
    done
    kill $server
    assert_eq "$output" served
}

@test "without nftables and without /dev/net/tun" {
    without_nftables
    mv "$CTR_HOME/bin/coracle-net" "$CTR_HOME/real/filtered"
    instead <<S
#!/bin/bash
PATH=/usr/sbin:/usr/bin:/sbin:/bin
enter=()
[ ! -e /proc/self/fd/4 ] || enter=(nsenter --user=/proc/self/fd/4 -S 0 -G 0)
exec "\${enter[@]}" unshare -m bash -c 'mount --bind /dev/null /dev/net/tun && exec "\$0" "\$@"' "$CTR_HOME/real/filtered" "\$@"
S
    everything_works
    run -0 coracle info
    assert_output_has 'Network: veth+slirp'
    assert_output_has '/dev/net/tun'
}

@test "where coracle-net can make no network namespace a container runs on the host's network, with one warning" {
    without unshare ENOSPC '(0, 0x40000000)'
    run -0 --separate-stderr coracle run --rm busybox cat /proc/net/fib_trie
    assert_eq "$output" "$(cat /proc/net/fib_trie)"
    assert_eq "${#stderr_lines[@]}" 1
    [[ $stderr == *'make a network namespace'* && $stderr == *'host'\''s network'* ]]
    run -0 coracle info
    assert_output_has 'Network: host'
    assert_output_has 'make a network namespace'
    coracle run -d --name one --add-host outside:host-gateway busybox sleep 1000 2>/dev/null
    run -0 coracle exec one cat /etc/hosts /etc/resolv.conf
    assert_output_has '127.0.0.1	outside'
    assert_output_has "$(grep nameserver /etc/resolv.conf)"
    run -0 coracle run --rm --network container:one busybox cat /proc/net/fib_trie
    assert_eq "$output" "$(cat /proc/net/fib_trie)"
    coracle restart -t 0 one
    coracle exec one true
}

@test "nothing that the host's network has not is dropped for it: the container does not start" {
    without unshare ENOSPC '(0, 0x40000000)'
    coracle network create --internal lacking >/dev/null
    while read -r words options; do
        run coracle run --name refused $options busybox true
        assert_status 125
        assert_output_has 'make a network namespace'
        assert_output_has "$(tr _ ' ' <<<"$words")"
        coracle rm refused
        run coracle run --rm $options busybox true
        assert_status 125
        run -0 coracle ps -aq
        assert_eq "$output" ""
    done <<'T'
network_lacking --network lacking
cannot_be_published_as_8080 -p 8080:80
not_only_at_127.0.0.1 -p 127.0.0.1:80:80
the_host's_own --sysctl net.ipv4.ip_forward=1
MAC_address --mac-address 02:42:ac:11:00:09
system_may_forbid_it --network-fallback=error
T
    mkdir -p "$HOME/.config/coracle"
    echo '{"network-fallback": "error"}' >"$HOME/.config/coracle/config.json"
    run coracle run --rm busybox true
    run coracle info
    rm "$HOME/.config/coracle/config.json"
    assert_output_has 'Network: none'
    for mode in host none; do coracle run --rm --network $mode busybox true; done
}

@test "a port that is the same on the host is where it was asked for" {
    without unshare ENOSPC '(0, 0x40000000)'
    local port
    port=$(free_port)
    coracle run -d --name one -p "$port:$port" busybox sh -c "echo mine >/tmp/file; exec httpd -f -p $port -h /tmp" 2>/dev/null
    wait_for eval "[ \"\$(curl -s --max-time 5 127.0.0.1:$port/file)\" = mine ]"
    run -0 coracle port one
    assert_output_has "$port/tcp -> 0.0.0.0:$port"
}

@test "where nobody can make a network namespace, containers run on the host's" {
    nowhere() { unshare -U --map-auto --map-root-user sh -c 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"' - "$@"; }
    run -0 nowhere coracle run --rm busybox cat /proc/net/fib_trie
    assert_output_has "$(ip -4 -o addr show lo | awk '{ sub("/.*", "", $4); print $4 }')"
    assert_output_has warning
    run nowhere coracle run --rm -p 8080:80 busybox true
    assert_status 125
    run nowhere coracle run --rm --network none busybox true
    assert_status 125
}

@test "a helper that cannot run is named, with what it said" {
    instead <<'S'
#!/bin/sh
echo "coracle-net: error while loading shared libraries: libslirp.so.0: cannot open shared object file" >&2
exit 127
S
    run coracle run --rm --network-fallback=error busybox true
    assert_status 125
    assert_output_has 'libslirp.so.0'
    assert_output_has 'install'
    run -0 coracle run --rm busybox true
    assert_output_has 'libslirp.so.0'
    rm "$CTR_HOME/bin/coracle-net"
    run coracle run --rm --network-fallback=error busybox true
    assert_status 125
    assert_output_has coracle-net
    run -0 coracle run --rm --network-fallback=host busybox true
    assert_output_has coracle-net
    coracle run --rm --network none busybox true
}

@test "what may pass is no reason to leave the walls: a helper that is killed each time, a machine out of memory" {
    instead <<'S'
#!/bin/sh
kill -KILL $$
S
    run coracle run --name refused busybox true
    assert_status 125
    assert_output_has 'ended without an answer'
    assert_output_has '--network host'
    coracle rm refused
    coracle run --rm --network host busybox true
    without unshare ENOMEM '(0, 0x40000000)'
    run coracle run --rm busybox true
    assert_status 125
    assert_output_has 'make a network namespace: cannot allocate memory'
}

@test "a helper that is killed while it starts is started again, and no container loses its network by that" {
    local port
    port=$(free_port)
    instead <<'S'
#!/bin/bash
tries=$0.tries
[ ! -e "$tries" ] || { echo x >>"$tries" && [ "$(wc -l <"$tries")" -gt 3 ]; } || kill -KILL $$
exec -a coracle-net @REAL@ "$@"
S
    coracle network create lacking >/dev/null
    for name in one two; do
        coracle run -d --name "$name" --network lacking busybox sleep 1000 >/dev/null
    done
    coracle run -d --name served -p "$port:7" busybox socat TCP-LISTEN:7,fork,reuseaddr SYSTEM:'echo served' >/dev/null
    : >"$CTR_HOME/bin/coracle-net.tries"
    kill -KILL "$(helper_pid)"
    wait_for coracle exec one ping -c 1 -W 1 two
    wait_for coracle exec two ping -c 1 -W 1 one
    wait_for eval "[ \"\$(socat -t 5 - TCP:127.0.0.1:$port </dev/null)\" = served ]"
    [ "$(wc -l <"$CTR_HOME/bin/coracle-net.tries")" -gt 3 ] || fail "nobody was killed"
}

@test "where no helper can be started for a while, a container has its network back when one can" {
    local port
    port=$(free_port)
    instead <<'S'
#!/bin/bash
[ ! -e "$0.none" ] || { echo x >>"$0.tried"; exit 1; }
exec -a coracle-net @REAL@ "$@"
S
    coracle network create lacking >/dev/null
    coracle run -d --name one --network lacking -p "$port:7" busybox socat TCP-LISTEN:7,fork,reuseaddr SYSTEM:'echo served' >/dev/null
    coracle run -d --name two --network lacking busybox sleep 1000 >/dev/null
    : >"$CTR_HOME/bin/coracle-net.tried"
    : >"$CTR_HOME/bin/coracle-net.none"
    kill -KILL "$(helper_pid)"
    wait_for eval '[ "$(wc -l <"$CTR_HOME/bin/coracle-net.tried")" -ge 3 ]' # each has tried, and one a second time
    coracle exec one ping -c 1 -W 10 "$(address two)"
    run ! socat -u TCP:127.0.0.1:"$port" -
    rm "$CTR_HOME/bin/coracle-net.none"
    wait_for eval "[ \"\$(socat -t 5 - TCP:127.0.0.1:$port </dev/null)\" = served ]"
    wait_for coracle exec two ping -c 1 -W 1 one
    coracle rm -f one two
}
