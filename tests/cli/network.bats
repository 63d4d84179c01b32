#!/usr/bin/env bats
# network: docker's networks as a user meets them: addresses, names, ports, isolation, and what is left when somebody is killed.
load ../lib/common
load ../lib/networks

file_setup() {
    networks_setup
    www_files
}

file_teardown() {
    for n in $(coracle network ls -q -f type=custom); do coracle network rm "$n" >/dev/null 2>&1 || true; done
}

setup() { made=(); }
teardown() {
    [ "${#made[@]}" = 0 ] || coracle rm -f "${made[@]}" >/dev/null 2>&1 || true
}

# start NAME OPTION…: a container that sleeps
start() {
    coracle run -d --name "$@" busybox sleep 1000 >/dev/null
    made+=("$1")
}
# serve NAME OPTION…: a web server on port 80 that tells the client's address; it listens
serve() {
    coracle run -d --name "$1" -v "$CTR_HOME/www:/www:ro" "${@:2}" busybox httpd -f -p 80 -h /www >/dev/null
    made+=("$1")
    wait_for listens "$1" 80
}
helper_gone() { [ -z "$(helper_pid)" ]; }

@test "by default a container has an address, a way out and a resolver" {
    run -0 coracle run --rm busybox sh -c 'ip -4 -o addr show eth0; ip route; cat /etc/resolv.conf'
    assert_output_has 'inet 172.17.'
    assert_output_has 'default via 172.17.0.1 dev eth0'
    assert_output_has 'nameserver '
}

@test "the host name of a container resolves to its own address" {
    start self --hostname here
    run -0 coracle exec self sh -c 'cat /etc/hosts; hostname -i'
    assert_output_has "$(address self)	here"
    assert_eq "${lines[-1]}" "$(address self)"
}

@test "inspect and ps show addresses and ports; a stopped container has none" {
    port=$(free_port)
    start shown -p "127.0.0.1:$port:80" --expose 443
    [[ $(address shown) == 172.17.* ]]
    assert_eq "$(coracle ps --format '{{.Ports}}' -f name=shown)" "127.0.0.1:$port->80/tcp, 443/tcp"
    assert_eq "$(coracle port shown)" "80/tcp -> 127.0.0.1:$port"
    assert_eq "$(coracle port shown 80)" "127.0.0.1:$port"
    assert_eq "$(coracle inspect -f '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}' shown)" "$port"
    assert_eq "$(coracle inspect -f '{{.NetworkSettings.Gateway}}' shown)" 172.17.0.1
    coracle stop -t 0 shown
    assert_eq "$(coracle inspect -f '{{.NetworkSettings.IPAddress}}' shown)" ""
    assert_eq "$(coracle port shown)" ""
    coracle start shown
    assert_eq "$(coracle port shown)" "80/tcp -> 127.0.0.1:$port"
}

@test "containers of the default network reach each other by address, not by name" {
    start one
    start two
    run -0 coracle exec one ping -c 1 -W 10 "$(address two)"
    run coracle exec one ping -c 1 -W 2 two
    [ "$status" != 0 ]
}

@test "containers of a network find each other by name, alias and id" {
    coracle network create names >/dev/null
    start db --network names --network-alias store
    start app --network names
    id=$(coracle inspect -f '{{.Id}}' db)
    for name in db store "${id:0:12}" DB; do
        run -0 coracle exec app ping -c 1 -W 10 "$name"
        assert_output_has "$(address db)"
    done
    run -0 coracle exec app nslookup "$(address db)" 127.0.0.11
    assert_output_has db
    run coracle exec app nslookup nosuchname 127.0.0.11
    [ "$status" != 0 ]
    assert_eq "$(coracle exec app grep nameserver /etc/resolv.conf)" "nameserver 127.0.0.11"
    coracle rm -f db >/dev/null
    run coracle exec app ping -c 1 -W 2 store
    [ "$status" != 0 ]
}

@test "who was stopped, killed or removed has no name any more when the command is back, however slow the helper is" {
    coracle network create forgets >/dev/null
    start asks-after --network forgets
    for command in "stop -t 0" kill "rm -f"; do
        start gone --network forgets
        run -0 coracle exec asks-after ping -c 1 -W 10 gone
        helper=$(helper_pid)
        kill -STOP "$helper"
        { sleep 1; kill -CONT "$helper"; } 3>&- &
        # shellcheck disable=SC2086
        coracle $command gone
        run coracle exec asks-after ping -c 1 -W 2 gone
        [ "$status" != 0 ] || fail "found after $command: $output"
        wait $!
        coracle rm -f gone
    done
    coracle rm -f asks-after
    coracle network rm forgets
}

@test "two containers with one alias are both found" {
    coracle network create twins >/dev/null
    start twin1 --network twins --network-alias twin
    start twin2 --network twins --network-alias twin
    start asks --network twins
    run -0 coracle exec asks nslookup twin 127.0.0.11
    assert_output_has "$(address twin1)"
    assert_output_has "$(address twin2)"
}

@test "networks are walls: no way from one to another, nor from the default one" {
    coracle network create red >/dev/null
    coracle network create blue >/dev/null
    serve inred --network red
    start inblue --network blue
    start indefault
    start alsored --network red
    run -0 coracle exec alsored curl -sS --max-time "$(patience 30)" "http://$(address inred)/file"
    assert_eq "$output" served
    for from in inblue indefault; do
        run coracle exec "$from" curl -sS --max-time 2 "http://$(address inred)/file"
        [ "$status" != 0 ]
        run coracle exec "$from" ping -c 1 -W 1 "$(address inred)"
        [ "$status" != 0 ]
    done
}

@test "a container in several networks reaches them all; connect and disconnect work while it runs" {
    coracle network create left >/dev/null
    coracle network create right >/dev/null
    start inleft --network left
    start inright --network right
    start both --network left --network right
    coracle exec both ping -c 1 -W 10 inleft
    coracle exec both ping -c 1 -W 10 inright
    coracle network disconnect right both
    run coracle exec both ping -c 1 -W 1 inright
    [ "$status" != 0 ]
    coracle network connect --alias again right both
    coracle exec both ping -c 1 -W 10 inright
    coracle exec inright ping -c 1 -W 10 again
    run coracle network connect right both
    assert_status 1
    assert_output_has 'already exists in network right'
    coracle restart -t 0 both
    coracle exec both ping -c 1 -W 10 inleft
    coracle exec both ping -c 1 -W 10 inright
}

@test "network connect and disconnect come back when the container and inspect show it, however slow its monitor is" {
    coracle network create slow
    start slowly --network slow
    coracle network create later
    coracle network create unwanted
    on() { coracle inspect -f '{{json .NetworkSettings.Networks}}' slowly | jq -r 'to_entries[] | select(.value.IPAddress != "") | .key' | sort | paste -sd ' '; }
    hosts() { coracle exec slowly grep -c "$(coracle inspect -f '{{.Config.Hostname}}' slowly)" /etc/hosts; }
    monitor=$(pgrep -u "$(id -u)" -f "^coracle-mon $(coracle ps -q -f name=slowly)")
    held() { # a command, while the monitor stands still for a second
        kill -STOP "$monitor"
        { sleep 1; kill -CONT "$monitor"; } 3>&- &
        "$@"
        [ "$(on) $(hosts)" = "$want" ] || fail "$* left $(on) with $(hosts) lines in hosts, and not $want"
        wait $!
    }
    want="later slow 2" held coracle network connect later slowly
    want="later 1" held coracle network disconnect slow slowly
    coracle network rm unwanted
    run coracle network connect unwanted slowly
    [ "$status" != 0 ]
    assert_eq "$(on)" later
    coracle rm -f slowly
    coracle network rm slow later
}

@test "the highest gw-priority, then the first name, gives the default gateway, and published ports go there; link-local addresses are added" {
    local port seen
    port=$(free_port)
    for n in 1 2 3; do coracle network create --subnet "10.92.$n.0/24" "way$n" >/dev/null; done
    gateway() { coracle exec ways ip route | sed -n 's/^default via \([0-9.]*\) .*/\1/p'; }
    seen_as() { get "http://127.0.0.1:$port/cgi-bin/addr" | tail -1 | tr -d '[]' | sed 's/^::ffff://'; }
    serve ways --network way2 --network name=way1,link-local-ip=169.254.8.8 -p "$port:80"
    assert_eq "$(gateway)" 10.92.1.1
    wait_for answers "http://127.0.0.1:$port/file"
    assert_eq "$(seen_as)" 10.92.1.1
    coracle network connect --gw-priority 7 --link-local-ip 169.254.7.7 --link-local-ip fe80::77 way3 ways
    assert_eq "$(gateway)" 10.92.3.1
    assert_eq "$(seen_as)" 10.92.3.1
    run -0 coracle exec ways ip -o addr
    assert_output_has 'inet 169.254.7.7/16'
    assert_output_has 'inet6 fe80::77/64'
    assert_output_has 'inet 169.254.8.8/16'
    coracle restart -t 0 ways
    assert_eq "$(gateway)" 10.92.3.1
    assert_eq "$(coracle inspect -f '{{with .NetworkSettings.Networks.way3}}{{.GwPriority}} {{json .IPAMConfig}}{{end}}' ways)" \
        '7 {"LinkLocalIPs":["169.254.7.7","fe80::77"]}'
    coracle network disconnect way3 ways
    assert_eq "$(gateway)" 10.92.1.1
    wait_for answers "http://127.0.0.1:$port/file"
    assert_eq "$(seen_as)" 10.92.1.1
    start low --network name=way1,gw-priority=-1 --network way2
    assert_eq "$(coracle exec low ip route | grep -c 'default via 10.92.2.1')" 1
    run coracle create --network name=way1,gw-priority=abc busybox
    assert_status 125
    assert_output_has 'invalid gw-priority (abc): invalid syntax'
    run coracle create --network way1 --link-local-ip 10.1.2.3 busybox
    [ "$status" != 0 ]
    assert_output_has 'invalid link local IP address: 10.1.2.3'
    run coracle network connect --link-local-ip x way3 low
    assert_status 1
    coracle rm -f ways low >/dev/null
    coracle network rm way1 way2 way3
}

@test "an internal network has no way out" {
    coracle network create --internal inside >/dev/null
    start kept --network inside
    start friend --network inside
    coracle exec kept ping -c 1 -W 10 friend
    run coracle exec kept ip route
    refute_output_has default
    [ -n "$HOST_ADDR" ] || skip "this machine has no address but loopback"
    run coracle exec kept ping -c 1 -W 1 "$HOST_ADDR"
    [ "$status" != 0 ]
}

@test "addresses, subnets and MAC addresses that the user chose" {
    coracle network create --subnet 10.89.77.0/24 --gateway 10.89.77.254 --ip-range 10.89.77.128/25 chosen >/dev/null
    start fixed --network chosen --ip 10.89.77.9 --mac-address 02:00:00:00:00:99
    start ranged --network chosen
    assert_eq "$(address fixed)" 10.89.77.9
    [[ $(address ranged) =~ ^10\.89\.77\.(12[89]|1[3-9].|2..)$ ]] || fail "$(address ranged)"
    run -0 coracle exec fixed cat /sys/class/net/eth0/address
    assert_eq "$output" 02:00:00:00:00:99
    run -0 coracle exec fixed ip route
    assert_output_has 'default via 10.89.77.254'
    run coracle run --rm --network chosen --ip 10.89.77.9 busybox true
    assert_status 125
    assert_output_has 10.89.77.9
    run coracle run --rm --network chosen --ip 10.1.1.1 busybox true
    assert_status 125
    assert_output_has 10.1.1.1
}

@test "IPv6 within a network" {
    coracle network create --ipv6 --subnet fd00:77::/64 six >/dev/null
    start six1 --network six
    start six2 --network six
    addr=$(coracle inspect -f '{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}' six2)
    [[ $addr == fd00:77::* ]]
    coracle exec six1 ping -6 -c 1 -W 10 "$addr"
    coracle exec six1 ping -6 -c 1 -W 10 six2
}

@test "a published port is served on loopback, by the gateway's address, and on the host's, by the client's" {
    port=$(free_port)
    serve web -p "$port:80"
    wait_for answers "http://127.0.0.1:$port/file"
    assert_eq "$(get "http://127.0.0.1:$port/file")" served
    assert_eq "$(get "http://[::1]:$port/file")" served
    run -0 get "http://127.0.0.1:$port/cgi-bin/addr"
    assert_output_has 172.17.0.1
    [ -n "$HOST_ADDR" ] || skip "this machine has no address but loopback"
    run -0 get "http://$HOST_ADDR:$port/cgi-bin/addr"
    assert_output_has "$HOST_ADDR"
}

@test "a published port is the container's from before its start until its end, and free at once after it" {
    port=$(free_port)
    for _ in 1 2 3; do
        coracle run -d --name fleeting -p "$port:80" busybox sleep 1000 >/dev/null
        run coracle run --rm -p "$port:80" busybox true
        assert_status 125
        assert_output_has "port $port/tcp is already published by container fleeting"
        coracle rm -f fleeting >/dev/null
    done
    coracle run --rm -p "$port:80" busybox true
}

@test "a port that another program has is named" {
    port=$(free_port)
    python3 -c "import socket, time; s = socket.socket(); s.bind(('0.0.0.0', $port)); s.listen(); time.sleep(300)" 3>&- &
    holder=$!
    wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
    run coracle run --rm -p "$port:80" busybox true
    kill $holder
    assert_status 125
    assert_output_has "address already in use"
}

@test "ports below 1024 say what to do" {
    [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -gt 80 ] || skip "this machine lets anybody bind port 80"
    run coracle run --rm -p 80:80 busybox true
    assert_status 125
    assert_output_has ip_unprivileged_port_start
}

@test "-P publishes what is exposed, port ranges pair up, and UDP is carried" {
    start exposed -P --expose 81 --expose 82/udp
    run -0 coracle port exposed
    assert_output_has '81/tcp -> 0.0.0.0:'
    assert_output_has '82/udp -> 0.0.0.0:'
    port=$(free_port)
    coracle run -d --name echo -p "$port:7/udp" busybox socat UDP-LISTEN:7,fork PIPE >/dev/null
    made+=(echo)
    run -0 python3 - "$port" <<'P'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
for _ in range(60):
    s.sendto(b"ping", ("127.0.0.1", int(sys.argv[1])))
    try: print(s.recv(100).decode()); break
    except (TimeoutError, ConnectionError): pass
P
    assert_eq "$output" ping
}

@test "the host's loopback is out of reach; its own address is not; the rest is refused as it should be" {
    [ -n "$HOST_ADDR" ] || skip "this machine has no address but loopback"
    port=$(free_port)
    (cd "$CTR_HOME/www" && exec python3 -m http.server --bind 0.0.0.0 "$port") >/dev/null 2>&1 3>&- &
    server=$!
    wait_for answers "http://127.0.0.1:$port/file"
    start guest
    run -0 coracle exec guest curl -sS --max-time "$(patience 30)" "http://$HOST_ADDR:$port/file"
    assert_eq "$output" served
    run -0 coracle run --rm --add-host host.docker.internal:host-gateway busybox curl -sS --max-time "$(patience 30)" "http://host.docker.internal:$port/file"
    assert_eq "$output" served
    kill $server
    wait $server || true
    (cd "$CTR_HOME/www" && exec python3 -m http.server --bind 127.0.0.1 "$port") >/dev/null 2>&1 3>&- &
    server=$!
    wait_for answers "http://127.0.0.1:$port/file"
    for to in 127.0.0.1 0.0.0.0 10.0.2.2 172.17.0.1 "$HOST_ADDR"; do
        run coracle exec guest curl -sS --max-time 2 "http://$to:$port/file"
        [ "$status" != 0 ] || fail "the host's loopback answered at $to"
    done
    # nobody listens there now: refused at once, as from the host itself
    run coracle exec guest curl -sS --max-time "$(patience 30)" "http://$HOST_ADDR:$port/file"
    assert_status 7
    assert_eq "$(within guest outcome "$HOST_ADDR" "$port")" "ECONNREFUSED in time"
    kill $server
}

@test "network commands: ls, inspect, rm, prune and their errors" {
    coracle network create --label team=a --subnet 10.89.78.0/24 listed >/dev/null
    assert_eq "$(coracle network ls -q --no-trunc -f name=listed)" "$(coracle network inspect -f '{{.Id}}' listed)"
    assert_eq "$(coracle network ls -f label=team=a --format '{{.Name}} {{.Driver}} {{.Scope}}')" "listed bridge local"
    start member --network listed
    assert_eq "$(coracle network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' listed)" "member $(address member)/24"
    run coracle network rm listed
    assert_status 1
    assert_output_has 'has active endpoints'
    run coracle network create listed
    assert_status 1
    assert_output_has 'network with name listed already exists'
    run coracle network create --subnet 10.89.78.128/25 overlaps
    assert_status 1
    assert_output_has 'overlaps'
    for builtin in bridge host none; do
        run coracle network rm $builtin
        assert_status 1
        assert_output_has 'pre-defined network and cannot be removed'
    done
    run coracle run --rm --network nosuch busybox true
    assert_status 125
    assert_output_has 'network nosuch not found'
    coracle rm -f member >/dev/null
    run -0 coracle network prune -f
    assert_output_has listed
    run coracle network inspect listed
    assert_status 1
}

@test "the helper that is killed comes back: connections between containers go on, names and ports work again" {
    coracle network create lasting >/dev/null
    port=$(free_port)
    serve stays --network lasting -p "$port:80"
    start peer --network lasting
    wait_for answers "http://127.0.0.1:$port/file"
    coracle exec -d peer sh -c 'exec ping -i 0.2 stays >/tmp/log 2>&1'
    # echoed N: so many came back; their numbers are in a file
    echoed() { coracle exec peer sed -n 's/.* seq=\([0-9]*\) .*/\1/p' /tmp/log >"$CTR_HOME/echoed" && [ "$(wc -l <"$CTR_HOME/echoed")" -ge "$1" ]; }
    wait_for echoed 2
    before=$(address stays)
    helper_kill
    wait_for answers "http://127.0.0.1:$port/file"
    assert_eq "$(address stays)" "$before"
    wait_for coracle exec peer ping -c 1 -W 1 stays
    wait_for echoed $(($(wc -l <"$CTR_HOME/echoed") + 5))
    assert_eq "$(paste -sd' ' "$CTR_HOME/echoed")" "$(seq -s' ' 0 $(($(wc -l <"$CTR_HOME/echoed") - 1)))"
    start late --network lasting
    coracle exec late ping -c 1 -W 10 stays
    [ "$(address late)" != "$before" ]
}

@test "a port that somebody takes while there is no helper is missed and told; a restart or the next helper brings it back" {
    local port other thief
    port=$(free_port)
    serve robbed -p "$port:80" -p 0:81
    other=$(free_port)
    serve patient -p "$other:80"
    monitors() { pgrep -u "$(id -u)" -f "^coracle-mon ($(coracle ps -q -f name=robbed)|$(coracle ps -q -f name=patient))"; }
    told() { coracle events --since 1h --until 0s -f container="$1" -f event="$2" --format '{{with .Actor.Attributes}}{{.port}} {{.hostPort}} {{.error}}{{end}}' | grep -q "^80/tcp $3"; }
    monitors | xargs kill -STOP
    helper_kill
    wait_for python3 -c "import socket; socket.create_server(('', $port)), socket.create_server(('', $other))"
    python3 -c "import socket, time; s = socket.create_server(('', $port)), socket.create_server(('', $other)); print('taken', flush=True); time.sleep(1000)" >"$CTR_HOME/thief" 3>&- &
    thief=$!
    wait_for test -s "$CTR_HOME/thief"
    monitors | xargs kill -CONT
    wait_for told robbed port_lost "$port .*in use"
    wait_for told patient port_lost "$other .*in use"
    run -0 coracle port robbed
    assert_output_has "port $port/tcp is no longer published for port 80 of robbed"
    assert_output_has '81/tcp -> 0.0.0.0:'
    run coracle port robbed 80
    assert_status 1
    assert_eq "$(coracle ps --format '{{.Ports}}' -f name=robbed | grep -c ":$port->")" 0
    run -0 coracle inspect -f '{{range .NetworkSettings.LostPorts}}{{.Port}} {{.HostPort}} {{.Error}}{{end}} {{json (index .NetworkSettings.Ports "80/tcp")}}' robbed
    assert_output_has "80/tcp $port "
    assert_output_has "in use"
    kill "$thief"
    wait "$thief" || true
    coracle restart -t 0 robbed
    wait_for answers "http://127.0.0.1:$port/file"
    assert_eq "$(coracle port robbed 80 2>&1 | head -1)" "0.0.0.0:$port"
    helper_kill
    wait_for told patient port_restored "$other"
    run -0 get "http://127.0.0.1:$other/file"
    run -0 coracle inspect -f '{{json .NetworkSettings}}' patient
    refute_output_has LostPorts
}

@test "nothing is left when the last container has gone" {
    start last
    [ -n "$(helper_pid)" ]
    coracle rm -f last >/dev/null
    for c in $(coracle ps -q); do coracle rm -f "$c" >/dev/null; done
    wait_for helper_gone
}

@test "two first starts at the same time share one helper" {
    for _ in 1 2 3 4 5; do
        pids=()
        for i in 1 2 3 4; do
            coracle run -d --name "race$i" busybox sleep 1000 >/dev/null &
            pids+=($!)
        done
        wait "${pids[@]}"
        for i in 1 2 3 4; do coracle exec "race$i" ping -c 1 -W 10 "$(address "race$((i % 4 + 1))")" >/dev/null; done
        coracle rm -f race1 race2 race3 race4 >/dev/null
        pid=$(helper_pid)
        [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    done
}

@test "who starts when nobody else can be found in the user namespace of a network is on it nevertheless" {
    local pid keeper
    coracle ps -aq | xargs -r coracle rm -f >/dev/null
    coracle run -d --name inward --security-opt seccomp=unconfined --cap-add SYS_ADMIN busybox unshare -U -r sleep 1000 >/dev/null
    made+=(inward)
    pid=$(coracle inspect -f '{{.State.Pid}}' inward)
    wait_for grep -qx sleep "/proc/$pid/comm" # it is in a namespace of its own making
    wait_for test -s "$XDG_RUNTIME_DIR/coracle/userns.kept"
    keeper=$(cut -d' ' -f1 "$XDG_RUNTIME_DIR/coracle/userns.kept")
    # it may have ended by itself, and its number be somebody else's
    [ "$(cat "/proc/$keeper/comm" 2>/dev/null)" != coracle-keep ] || { kill -9 "$keeper" 2>/dev/null || true; wait_for have_ended "$keeper"; }
    start first
    start second
    assert_eq "$(readlink "/proc/$(coracle inspect -f '{{.State.Pid}}' first)/ns/user")" "$(readlink "/proc/$(coracle inspect -f '{{.State.Pid}}' second)/ns/user")"
    coracle exec first ping -c 1 -W 10 "$(address inward)"
    coracle exec second ping -c 1 -W 10 "$(address inward)"
}

@test "who shares a container's network has its address, its names and its ports" {
    coracle network create shared >/dev/null
    start owner --network shared
    start other --network shared --network-alias far
    run -0 coracle run --rm --network container:owner busybox sh -c 'hostname; cat /etc/hosts /etc/resolv.conf; ping -c 1 -W 10 far'
    assert_output_has "$(address owner)"
    assert_output_has 'nameserver 127.0.0.11'
    assert_output_has '1 packets received'
}

@test "--link: another container of the network is known by a name, on the default network too" {
    local id
    serve store
    id=$(coracle ps -q -f name=store)
    run -0 coracle run --rm --link store --link "$id:db" busybox sh -c 'cat /etc/hosts; wget -qO- http://store/file; wget -qO- http://db/file'
    assert_output_has "$(address store)	store"
    assert_output_has "$(address store)	db store"
    assert_eq "${lines[-1]}" served
    coracle run -d --name linked --link store:db busybox sleep 1000 >/dev/null
    made+=(linked)
    assert_eq "$(coracle inspect -f '{{json .HostConfig.Links}}' linked)" '["store:db"]'
    coracle network create apart >/dev/null
    run coracle run --rm --network apart --link store busybox true
    coracle network rm apart
    assert_status 125
    assert_output_has 'cannot link to store'
    coracle stop -t 0 store
    run coracle run --rm --link store:db busybox true
    assert_status 125
    assert_output_has 'cannot link to store'
    for bad in a: :b a:b:c ''; do
        run coracle run --rm --link "$bad" busybox true
        assert_status 125
        assert_output_has 'bad format for links'
    done
}

@test "--network ns:PATH: a namespace of coracle's user namespace is joined, others are refused, the host's is the host's" {
    local owner path
    start owner
    owner=$(coracle inspect -f '{{.State.Pid}}' owner)
    path=/proc/$owner/ns/net
    run -0 coracle run --rm --network "ns:$path" busybox ip -4 -o addr show eth0
    assert_output_has "inet $(address owner)/"
    coracle run -d --name joined --network "ns:$path" busybox sleep 1000 >/dev/null
    made+=(joined)
    run -0 coracle exec joined ip -4 -o addr show eth0
    assert_output_has "inet $(address owner)/"
    coracle restart -t 0 joined
    nsenter -t "$owner" -U --preserve-credentials unshare -n sh -c 'echo $$ >"$0"; exec sleep 100' "$CTR_HOME/made" 3>&- &
    wait_for test -s "$CTR_HOME/made"
    run -0 coracle run --rm --network "ns:/proc/$(cat "$CTR_HOME/made")/ns/net" busybox sh -c 'readlink /proc/self/ns/net; ip -o link'
    assert_eq "${lines[0]}" "$(readlink "/proc/$(cat "$CTR_HOME/made")/ns/net")"
    refute_output_has eth0
    kill "$(cat "$CTR_HOME/made")"
    run -0 coracle run --rm --network ns:/proc/self/ns/net busybox cat /proc/net/fib_trie
    assert_eq "$output" "$(cat /proc/net/fib_trie)"
    unshare -U -r -n sh -c 'echo $$ >"$0"; exec sleep 100' "$CTR_HOME/foreign" 3>&- &
    wait_for test -s "$CTR_HOME/foreign"
    for wrong in "/proc/$(cat "$CTR_HOME/foreign")/ns/net" /proc/self/ns/uts /dev/null /no/such; do
        run coracle run --rm --network "ns:$wrong" busybox true
        assert_status 125
        assert_output_has "$wrong"
    done
    kill "$(cat "$CTR_HOME/foreign")"
    run coracle run --rm --network ns:relative busybox true
    assert_status 125
    assert_output_has absolute
}
