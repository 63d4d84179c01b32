#!/usr/bin/env bats
# network-slirp: containers alone, each behind a libslirp of its own.
load ../lib/common
load ../lib/networks

file_setup() {
    networks_setup
    www_files
    outside_start
}
file_teardown() { outside_stop; }
teardown() { coracle ps -aq | xargs -r coracle rm -f >/dev/null; }

# serve NAME OPTION…: a web server on port 80 that tells the client's address, and an echo of datagrams on port 7
serve() {
    coracle run -d --name "$1" --network slirp -v "$CTR_HOME/www:/www:ro" "${@:2}" busybox \
        sh -c 'httpd -p 80 -h /www; exec socat UDP4-RECVFROM:7,fork SYSTEM:"echo \$SOCAT_PEERADDR"' >/dev/null
}
# datagram ADDRESS PORT: what the server answers
datagram() {
    python3 - "$@" <<'P'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5)
for _ in range(60):
    s.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
    try: print(s.recv(100).decode().strip()); break
    except (TimeoutError, ConnectionError): pass
P
}

@test "it has an address, a way out and a resolver, and inspect tells them" {
    run -0 coracle run --name alone --hostname here --network slirp busybox \
        sh -c 'ip -o addr show eth0; ip route; ip -6 route; cat /etc/resolv.conf; hostname -i; nslookup alone | tail -n +3'
    assert_output_has 'inet 10.0.2.100/24'
    assert_output_has 'default via 10.0.2.2 dev eth0'
    assert_output_has 'inet6 fd00:10:2::100/64'
    assert_output_has 'default via fd00:10:2::2 dev eth0'
    assert_output_has 'nameserver 127.0.0.11'
    assert_output_has 'Address: 10.0.2.100'
    assert_eq "$(coracle inspect -f '{{.HostConfig.NetworkMode}}' alone)" slirp
    coracle run -d --name alone2 --network slirp busybox sleep 1000 >/dev/null
    assert_eq "$(coracle inspect -f '{{with index .NetworkSettings.Networks "slirp"}}{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}} {{.MacAddress}}{{end}}' alone2)" \
        '10.0.2.100/24 10.0.2.2 02:42:0a:00:02:64'
    assert_eq "$(coracle exec alone2 cat /sys/class/net/eth0/address)" 02:42:0a:00:02:64
}

@test "nobody else is there: not its likes, not the bridge's" {
    serve one
    coracle run -d --name other busybox sh -c 'mkdir /w; echo bridge >/w/file; exec httpd -f -p 80 -h /w' >/dev/null
    coracle run -d --name two --network slirp busybox sleep 1000 >/dev/null
    assert_eq "$(address one)" "$(address two)"
    wait_for coracle exec one curl -sS --max-time 10 http://10.0.2.100/file
    assert_eq "$(coracle exec one curl -sS --max-time "$(patience 30)" http://10.0.2.100/file)" served
    wait_for coracle exec other curl -sS --max-time 10 http://127.0.0.1/file
    run coracle exec two curl -sS --max-time 1 http://10.0.2.100/file
    [ "$status" != 0 ]
    run coracle exec two curl -sS --max-time 1 "http://$(address other)/file" # whoever the host's network has there
    refute_output_has bridge
    run coracle exec other curl -sS --max-time 1 http://10.0.2.100/file
    [ "$status" != 0 ]
    run coracle network connect bridge two
    assert_status 1
    assert_output_has 'has --network slirp and cannot be connected to a network'
}

@test "it reaches the host's own address over TCP and UDP, by name too, and is refused as it should be" {
    [ -n "$HOST_ADDR" ] || skip "this machine has no address but loopback"
    coracle run -d --name goes --network slirp busybox sleep 1000 >/dev/null
    run -0 within goes mesh "$HOST_ADDR" "$(cat "$CTR_HOME/port")"
    run -0 within goes outcome "$HOST_ADDR" "$(free_port)"
    assert_eq "$output" "ECONNREFUSED in time"
    run -0 coracle exec goes nslookup host.docker.internal
    assert_output_has "$HOST_ADDR"
    coracle exec goes ping -c 1 -W 10 10.0.2.2
}

@test "published ports show the true client, and the gateway for one on loopback; a helper that is killed comes back to them" {
    local tcp udp
    tcp=$(free_port) udp=$(free_port)
    serve web -p "$tcp:80" -p "$udp:7/udp"
    assert_eq "$(coracle port web 80)" "0.0.0.0:$tcp
[::]:$tcp"
    for round in first again; do
        wait_for answers "http://127.0.0.1:$tcp/file"
        run -0 get "http://127.0.0.1:$tcp/cgi-bin/addr"
        assert_output_has 10.0.2.2
        assert_eq "$(get "http://[::1]:$tcp/file")" served
        assert_eq "$(datagram 127.0.0.1 "$udp")" 10.0.2.2
        if [ -n "$HOST_ADDR" ]; then
            run -0 get "http://$HOST_ADDR:$tcp/cgi-bin/addr"
            assert_output_has "$HOST_ADDR"
            assert_eq "$(datagram "$HOST_ADDR" "$udp")" "$HOST_ADDR"
            run -0 within web mesh "$HOST_ADDR" "$(cat "$CTR_HOME/port")"
        fi
        [ $round = again ] || helper_kill
    done
    run coracle run --rm --network slirp -p "$tcp:80" busybox true
    assert_status 125
    assert_output_has "port $tcp/tcp is already published by container web"
}

@test "slirp4netns's and pasta's options are kept" {
    run -0 coracle run --rm --network slirp4netns:mtu=1500,cidr=10.99.0.0/16,enable_ipv6=false,port_handler=slirp4netns busybox \
        sh -c 'cat /sys/class/net/eth0/mtu; ip -4 -o addr show eth0; ip route; ip -6 -o addr show eth0 | wc -l'
    assert_output_has 1500
    assert_output_has 'inet 10.99.0.100/16'
    assert_output_has 'default via 10.99.0.2'
    assert_eq "${lines[-1]}" 0
    run -0 coracle run --rm --network pasta:-m,9000,--ipv4-only,--no-map-gw busybox sh -c 'cat /sys/class/net/eth0/mtu; ip -6 -o addr show eth0 | wc -l'
    assert_eq "$output" "9000
0"
    (cd "$CTR_HOME/www" && exec python3 -u -m http.server --bind 127.0.0.1 0) >"$CTR_HOME/local" 2>&1 3>&- &
    local server=$! port
    wait_for grep -q port "$CTR_HOME/local"
    port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$CTR_HOME/local")
    run coracle run --rm --network slirp busybox curl -sS --max-time 1 "http://10.0.2.2:$port/file"
    [ "$status" != 0 ]
    run coracle run --rm --network slirp:allow_host_loopback=true,outbound_addr=127.0.0.5 busybox curl -sS --max-time "$(patience 30)" "http://10.0.2.2:$port/file"
    kill $server
    assert_eq "$output" served
    grep -q '^127.0.0.5 ' "$CTR_HOME/local"
}

@test "what cannot be kept is refused by name" {
    refuse() {
        run coracle create --network "$1" busybox true
        [ "$status" != 0 ]
        assert_output_has "$2"
    }
    refuse slirp:mtu=100 "invalid value '100' of mtu"
    refuse slirp:mtu=1500,mtu=1500 'mtu is given twice'
    refuse slirp:cidr=10.0.0.0/26 "invalid value '10.0.0.0/26' of cidr"
    refuse slirp:cidr=10.0.2.7/24 'it should be 10.0.2.0/24'
    refuse slirp:cidr=127.0.0.0/8 loopback
    refuse slirp:colour=red 'unknown option colour'
    refuse slirp:mtu 'option mtu has no value'
    refuse slirp4netns:port_handler=rootlesskit "would hide the clients' addresses"
    refuse slirp4netns:outbound_addr=eth0 'give the address that it has'
    refuse pasta:--pcap,file '--pcap is not available'
    refuse pasta:-T,5201 '-T is not available'
    refuse pasta:--mtu '--mtu needs a value'
    refuse slirpy 'network slirpy not found'
    run coracle create --network slirp --ip 10.0.2.7 busybox true
    assert_status 125
    run coracle create --network slirp --network bridge busybox true
    assert_status 125
}
