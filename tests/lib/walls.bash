# walls, beside networks.bash: prey on two networks, traps on the host's loopback, and an attacker that is root of its network namespace and ill-meaning. Its
# tricks are in tests/net/attack.py.

walls_setup() {
    cat >"$CTR_HOME/secret.py" <<'P'
"""Tells a secret to whoever comes by loopback, and writes down that he came."""
import errno, os, select, socket, sys
listeners = {}
def serve(s, what):
    listeners[s] = what
    return s
def bound(family, kind, to):
    s = socket.socket(family, kind); s.bind(to)
    return s
while True:  # one port, free for all of them
    try:
        tcp = bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)); port = tcp.getsockname()[1]
        six = bound(socket.AF_INET6, socket.SOCK_STREAM, ("::1", port))
        udp = [bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port)), bound(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", port))]
        abstract = bound(socket.AF_UNIX, socket.SOCK_STREAM, "\0walls-secret-%d" % port)
        break
    except OSError as e:
        if e.errno != errno.EADDRINUSE: raise
for s, what in ((tcp, "tcp"), (six, "tcp6"), (abstract, "abstract")):
    s.listen(); serve(s, what)
for s in udp:
    serve(s, "udp")
log = open(sys.argv[1], "a", buffering=1)
print(port, flush=True)
while True:
    for s in select.select(list(listeners), [], [])[0]:
        # written down before it is told: who has the secret is in the log
        if listeners[s] == "udp":
            data, peer = s.recvfrom(100); log.write(f"udp {peer}\n"); s.sendto(b"SECRET", peer)
        else:
            c, peer = s.accept(); log.write(f"{listeners[s]} {peer}\n"); c.sendall(b"SECRET"); c.close()
P
    touch "$CTR_HOME/secret.log"
    python3 "$CTR_HOME/secret.py" "$CTR_HOME/secret.log" >"$CTR_HOME/secret.port" 3>&- &
    echo $! >"$CTR_HOME/secret.pid"
    wait_for test -s "$CTR_HOME/secret.port"
    coracle network create --ipv6 --subnet 10.91.1.0/24 --subnet fd00:91:1::/64 mine >/dev/null
    coracle network create --ipv6 --subnet 10.91.2.0/24 --subnet fd00:91:2::/64 theirs >/dev/null
    coracle network create --internal --subnet 10.91.3.0/24 closed >/dev/null
    for n in theirs closed; do
        coracle run -d --name "prey-$n" --network $n busybox sh -c 'echo inside >/tmp/file; httpd -p 80 -h /tmp; exec socat -u UDP6-RECV:999,ipv6only=0 CREATE:/tmp/got' >/dev/null
        wait_for coracle exec "prey-$n" test -e /tmp/got # the last that it does before it waits for datagrams
        wait_for coracle exec "prey-$n" sh -c 'grep -q ":03E7 " /proc/net/udp6 && wget -qO /dev/null http://127.0.0.1/file'
    done
}

walls_teardown() {
    kill "$(cat "$CTR_HOME/secret.pid")"
    coracle rm -f prey-theirs prey-closed >/dev/null
    coracle network rm mine theirs closed >/dev/null
}

secret_port() { cat "$CTR_HOME/secret.port"; }
inside() { coracle inspect -f "{{range .NetworkSettings.Networks}}{{.$2}}{{end}}" "$1"; }
# attack: with all capabilities over the attacker's network namespace, which is more than --privileged gives
attack() {
    local pid
    pid=$(coracle inspect -f '{{.State.Pid}}' attacker)
    nsenter -t "$pid" -U --preserve-credentials -n python3 "$TESTS_DIR/net/attack.py" ${brief:+--brief} "$(secret_port)" "$@"
}
# quiet: nobody came to the host's loopback, nor to the prey
quiet() {
    assert_eq "$(cat "$CTR_HOME/secret.log")" ""
    for n in theirs closed; do assert_eq "$(coracle exec "prey-$n" sh -c 'cat /tmp/got 2>/dev/null || true')" ""; done
}

the_traps_work() {
    run -0 socat -u "TCP:127.0.0.1:$(secret_port)" -
    assert_output_has SECRET
    [ -s "$CTR_HOME/secret.log" ]
    : >"$CTR_HOME/secret.log"
    run -0 coracle run --rm --network theirs busybox sh -c "echo hello | socat - UDP:$(inside prey-theirs IPAddress):999; curl -s --max-time $(patience 30) http://prey-theirs/file"
    assert_output_has inside
    wait_for eval '[ "$(coracle exec prey-theirs cat /tmp/got)" = hello ]'
    coracle exec prey-theirs sh -c ': >/tmp/got'
    quiet
}

attack_from_a_network() {
    coracle run -d --name attacker --network mine busybox sleep 1000 >/dev/null
    run attack 10.91.1.1 fd00:91:1::1 "$(inside prey-theirs IPAddress)" "$(inside prey-theirs GlobalIPv6Address)" "$(inside prey-closed IPAddress)"
    assert_output_has "done"
    refute_output_has REACHED
    quiet
}

# with a libslirp of its own it is the frames themselves that nobody has looked at before
attack_from_alone() {
    coracle run -d --name attacker --network slirp busybox sleep 1000 >/dev/null
    brief=yes run attack 10.0.2.2 fd00:10:2::2 "$(inside prey-theirs IPAddress)" "$(inside prey-theirs GlobalIPv6Address)" "$(inside prey-closed IPAddress)"
    assert_output_has "done"
    # the same addresses may be somebody's on the host's network, and that is open
    refute_output_has SECRET
    refute_output_has inside
    quiet
}

attack_from_an_internal_network() {
    coracle run -d --name attacker --network closed busybox sleep 1000 >/dev/null
    run attack 10.91.3.1 fd00:91:3::1 "$(inside prey-theirs IPAddress)" "$(ip -4 -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')"
    assert_output_has "done"
    refute_output_has REACHED
    quiet
}

# packets_of_known_holes: see tests/net/frames.py; of a container that is alone with libslirp, whose frames nobody has looked at before
packets_of_known_holes() {
    local host pid helper port rest got what
    host=$(ip -4 -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
    [ -n "$host" ] || skip "this machine has no address but loopback"
    python3 "$TESTS_DIR/net/frames.py" serve "$CTR_HOME/frames.log" >"$CTR_HOME/frames.port" 3>&- &
    echo $! >"$CTR_HOME/frames.pid"
    wait_for test -s "$CTR_HOME/frames.port"
    read -r port rest <"$CTR_HOME/frames.port"
    coracle run -d --name attacker --network slirp busybox sleep 1000 >/dev/null
    pid=$(coracle inspect -f '{{.State.Pid}}' attacker)
    helper=$(helper_pids | sort | xargs)
    # shellcheck disable=SC2086
    run nsenter -t "$pid" -U --preserve-credentials -n python3 "$TESTS_DIR/net/frames.py" attack 10.0.2.2 fd00:10:2::2 "$host" "$port" $rest
    kill "$(cat "$CTR_HOME/frames.pid")"
    assert_status 0
    assert_output_has "done, "
    for what in LEAK ANSWERED SILENT; do refute_output_has $what; done
    assert_eq "$(helper_pids | sort | xargs)" "$helper"
    # what arrived is what was sent: no protocol was rewritten, no datagram is longer
    # shellcheck disable=SC2154
    assert_eq "$(grep '^tcp' "$CTR_HOME/frames.log" | grep -v "^tcp $port " | sort)" "$(sed -n 's/^sent //p' <<<"$output" | sort)"
    hex() { printf %s "$1" | od -An -tx1 -v | tr -d ' \n'; }
    got=$(grep '^udp' "$CTR_HOME/frames.log" | sort | uniq -c | sed 's/^ *//')
    assert_eq "$got" "$(printf '2 udp \n1 udp %s\n1 udp %s' "$(hex 'well-formed after')" "$(hex 'well-formed before')")"
    coracle run --rm --network slirp busybox ping -c 1 -W 10 10.0.2.2
    [ -n "$rest" ] || echo "# none of the ports is free whose protocols could be rewritten" >&3
}
