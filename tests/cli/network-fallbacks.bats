#!/usr/bin/env bats
# network-fallbacks: machines that lack something, made by a coracle-net that takes it from itself before it begins.
load ../lib/common

file_setup() {
    image busybox tools
    export HOST_ADDR
    HOST_ADDR=$(ip -4 -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
    mkdir -p "$CTR_HOME/bin" "$CTR_HOME/real"
    cp "$CORACLE_BIN"/coracle* "$CTR_HOME/bin/"
    cp "$CORACLE_BIN/coracle-net" "$CTR_HOME/real/"
    python3 "$TESTS_DIR/net/connections.py" serve >"$CTR_HOME/port" 3>&- &
    echo $! >"$CTR_HOME/server.pid"
    wait_for test -s "$CTR_HOME/port"
}
file_teardown() { kill "$(cat "$CTR_HOME/server.pid")"; }
setup() { PATH=$CTR_HOME/bin:/usr/sbin:/usr/bin:/sbin:/bin; }
teardown() {
    coracle ps -aq | xargs -r coracle rm -f >/dev/null
    coracle network rm lacking >/dev/null 2>&1 || true
    # the next test has another helper
    pkill -KILL -u "$(id -u)" -f "^coracle-net --run-root $XDG_RUNTIME_DIR/" || true
}

# instead: the helper is what standard input says, with the real one as first argument
instead() {
    rm -f "$CTR_HOME/bin/coracle-net"
    sed "s|@REAL@|$CTR_HOME/real/coracle-net|" >"$CTR_HOME/bin/coracle-net"
    chmod 755 "$CTR_HOME/bin/coracle-net"
}

# without CALL ERRNO [ARGUMENT VALUE]…: the system call fails when its arguments are these
without() {
    { printf 'CALL, ERRNO, ARGUMENTS = "%s", "%s", [%s]\n' "$1" "$2" "$3"; cat; } <<'P' | sed '1i #!/usr/bin/python3' | instead
import ctypes, errno, os, platform, struct, sys
numbers = {"x86_64": {"socket": 41, "unshare": 272}, "aarch64": {"socket": 198, "unshare": 97}}
code = [(0x20, 0, 0, 0), (0x15, 0, 2 * len(ARGUMENTS) + 1, numbers[platform.machine()][CALL])]
for i, (argument, value) in enumerate(ARGUMENTS):
    left = 2 * (len(ARGUMENTS) - 1 - i) + 1
    code += [(0x20, 0, 0, 16 + 8 * argument), (0x15, 0, left, value)]
code += [(0x06, 0, 0, 0x50000 | getattr(errno, ERRNO)), (0x06, 0, 0, 0x7FFF0000)]
program = b"".join(struct.pack("HBBI", *c) for c in code)
libc = ctypes.CDLL(None, use_errno=True)
text = ctypes.create_string_buffer(program)
libc.prctl(38, 1, 0, 0, 0)
if libc.prctl(22, 2, ctypes.byref(ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))), 0, 0):
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
os.execv("@REAL@", ["coracle-net", *sys.argv[1:]])
P
}

address() { coracle inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
within() {
    local pid
    pid=$(coracle inspect -f '{{.State.Pid}}' "$1")
    nsenter -t "$pid" -U --preserve-credentials -n python3 "$TESTS_DIR/net/connections.py" "${@:2}"
}

# everything_works: out over TCP and UDP, by name, in by the true address
everything_works() {
    local port
    port=$(free_port)
    coracle network create lacking >/dev/null
    coracle run -d --name one --network lacking -p "$port:7" busybox socat TCP-LISTEN:7,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR' >/dev/null
    coracle run -d --name two --network lacking busybox sleep 1000 >/dev/null
    coracle exec two ping -c 1 -W 2 one
    if [ -n "$HOST_ADDR" ]; then
        run -0 within two mesh "$HOST_ADDR" "$(cat "$CTR_HOME/port")" "$(address one)"
        run -0 within two outcome "$HOST_ADDR" "$(free_port)"
        assert_eq "$output" "ECONNREFUSED in time"
        wait_for eval "[ \"\$(socat - TCP:$HOST_ADDR:$port </dev/null)\" = $HOST_ADDR ]"
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

@test "without nftables a container does not start, is told what is missing, and what goes without" {
    without socket EPROTONOSUPPORT '(0, 16), (2, 12)'
    run coracle run --rm busybox true
    assert_status 125
    assert_output_has 'netfilter'
    assert_output_has '--network host'
    for mode in host none; do coracle run --rm --network $mode busybox true; done
}

@test "where no network namespace can be made the error says so, and what goes without" {
    without unshare ENOSPC '(0, 0x40000000)'
    run coracle run --rm busybox true
    assert_status 125
    assert_output_has 'make a network namespace'
    assert_output_has max_net_namespaces
    coracle run --rm --network host busybox true
}

@test "a helper that cannot run is named, with what it said" {
    instead <<'S'
#!/bin/sh
echo "coracle-net: error while loading shared libraries: libslirp.so.0: cannot open shared object file" >&2
exit 127
S
    run coracle run --rm busybox true
    assert_status 125
    assert_output_has 'libslirp.so.0'
    assert_output_has 'install'
    rm "$CTR_HOME/bin/coracle-net"
    run coracle run --rm busybox true
    assert_status 125
    assert_output_has coracle-net
    coracle run --rm --network none busybox true
}
