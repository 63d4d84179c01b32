# common.bash: what every bats file loads. A file gets a store, a runtime directory and a home of its own, made in setup_file and
# taken down in teardown_file, with a check that nothing was left behind: no process, no run directory entry, no debris.
#
#   load ../lib/common            at the top of a .bats file
#   coracle …                     the program under test (bin directory from CORACLE_BIN)
#   image NAME                    makes sure a test image is in the store: busybox (one layer, static busybox), layers (three layers
#                                 with whiteouts), users (busybox with passwd entries)
#   crun_quiet …                  runs and discards; unique            a name nobody else uses
#   assert_output_has TEXT        assert_status N                      assert_eq GOT WANT
#   wait_for CMD…                 repeats a condition until it holds (30 s at most), for what only the outside can see
#   patience N                    seconds that may pass on this machine: N, times TEST_PATIENCE where it is that much slower
#   timeout "$HUNG" CMD…          124 from what should be back at once and hangs: so long no scheduler keeps it

bats_require_minimum_version 1.5.0

: "${CORACLE_BIN:=$(cd "$BATS_TEST_DIRNAME/../../build/gcc" && pwd)}"
PATH=$CORACLE_BIN:$PATH
# Who allocated, to one caller only: keeping whole stacks costs each of ten thousands of starts a quarter of its pages
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0:abort_on_error=1:malloc_context_size=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
# shellcheck disable=SC2034 # for the files that load this one
TESTS_DIR=$(cd "$BATS_TEST_DIRNAME/.." && pwd)

setup_file() {
    export CTR_HOME
    CTR_HOME=$(mktemp -d "${TMPDIR:-/tmp}/coracle-bats.XXXXXX")
    mkdir -p "$CTR_HOME/run" "$CTR_HOME/home" "$CTR_HOME/tmp"
    chmod 700 "$CTR_HOME/run"
    export HOME=$CTR_HOME/home XDG_RUNTIME_DIR=$CTR_HOME/run TMPDIR=$CTR_HOME/tmp
    unset XDG_DATA_HOME XDG_CONFIG_HOME DOCKER_CONFIG CORACLE_ROOT
    export STORE=$HOME/.local/share/coracle
    if declare -F file_setup >/dev/null; then file_setup; fi
}

teardown_file() {
    if declare -F file_teardown >/dev/null; then file_teardown; fi
    local id
    for id in $(coracle ps -aq 2>/dev/null); do coracle rm -f "$id" >/dev/null 2>&1; done
    wait_for nothing_runs || { echo "processes were left behind:" >&2; left_processes >&2; return 1; }
    # not the other way round: where there are no user namespaces unshare waits for ever
    rm -rf "$CTR_HOME" 2>/dev/null || unshare --map-auto --map-root-user rm -rf "$CTR_HOME"
}

# Monitors and containers of this file's store that still run: they carry its run directory or store in their environment or maps.
left_processes() {
    local f
    for f in /proc/[0-9]*/comm; do
        [ -O "$f" ] || continue
        # coracle-keep holds the user namespace a moment longer and ends by itself: lifecycle.bats
        case $(cat "$f" 2>/dev/null) in coracle-keep) continue ;; coracle*) ;; *) continue ;; esac
        grep -qzF "$CTR_HOME" "${f%comm}environ" 2>/dev/null && echo "${f%comm} $(tr '\0' ' ' <"${f%comm}cmdline" 2>/dev/null)"
    done
    find "$CTR_HOME/run/coracle" -mindepth 1 -maxdepth 1 -type d ! -name net 2>/dev/null
}
nothing_runs() { [ -z "$(left_processes)" ]; }

patience() { echo $(($1 * ${TEST_PATIENCE:-1})); }
# shellcheck disable=SC2034 # for the files that load this one
HUNG=$(patience 120)

# writes_slowly COMMAND…: in the background, half a second late with each file that it puts into its place; what it opens is in
# $BATS_TEST_TMPDIR/trace
writes_slowly() {
    local late=rename,renameat,renameat2
    strace -qq -o "$BATS_TEST_TMPDIR/trace" -e trace=openat,$late -e inject=$late:delay_enter=500000 "$@" >/dev/null 3>&- &
}

wait_for() {
    local end=$((SECONDS + 30 * ${TEST_PATIENCE:-1}))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# rounds N: of a test that tries often, TEST_ROUNDS per cent of N
rounds() { echo $(((${1} * ${TEST_ROUNDS:-100} + 99) / 100)); }

# Whether the programs were built with the sanitizers, whose own memory no limit of ours is about.
sanitized() { grep -q __asan_init "$CORACLE_BIN/coracle"; }

# A port that nobody has, apart from those that the kernel gives to connections: one of them could take it before it is used. Files that
# run at the same time take turns by a number that they share, so that two do not find the same one free.
free_port() {
    local cache=${CORACLE_TEST_CACHE:-/tmp/coracle-test-cache-$(id -u)}
    mkdir -p "$cache"
    python3 -c 'import fcntl, random, socket, sys
with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
    low, high = map(int, f.read().split())
first, last = (20000, 28000) if low > 28000 else (high + 1, 65535) if high < 60000 else (10000, max(low - 1, 12000))
def free(port):
    try:
        for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
            with socket.socket(socket.AF_INET, kind) as s:
                s.bind(("", port))
    except OSError:
        return False
    return True
with open(sys.argv[1], "a+") as f:
    fcntl.flock(f, fcntl.LOCK_EX)
    f.seek(0)
    port = int(f.read() or random.randint(first, last))
    while True:
        port = port + 1 if first <= port < last else first
        if free(port):
            break
    f.truncate(0)
    f.write(str(port))
print(port)' "$cache/port"
}

unique() { echo "t$BATS_TEST_NUMBER-$RANDOM$RANDOM"; }

fail() {
    printf '%s\n' "$@" >&2
    [ -z "${output+x}" ] || printf 'status %s, output:\n%s\n' "${status:-}" "$output" >&2
    return 1
}
assert_status() { [ "$status" = "$1" ] || fail "wanted exit status $1"; }
assert_eq() { [ "$1" = "$2" ] || fail "got:  $1" "want: $2"; }
assert_output_has() { case $output in *"$1"*) ;; *) fail "the output lacks: $1" ;; esac; }
refute_output_has() { case $output in *"$1"*) fail "the output has: $1" ;; esac; }

# ---- images ----

busybox_tree() {
    local root=$1 applet
    chmod 755 "$root"
    mkdir -p "$root"/{bin,etc,root,tmp,proc,sys,dev,home,var,usr/bin}
    chmod 1777 "$root/tmp"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"; done
    cat >"$root/etc/passwd" <<'E'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
alice:x:1000:1000:Alice:/home:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
E
    printf 'root:x:0:\ndaemon:x:1:\nalice:x:1000:\nvideo:x:44:alice\nstaff:x:50:\nnogroup:x:65534:\n' >"$root/etc/group"
}

# busybox, and curl, getent and socat of this machine with their libraries: Debian's static busybox crashes when it looks up a name.
tools_tree() {
    busybox_tree "$1"
    add_programs "$1" curl getent socat
    printf 'hosts: files dns\n' >"$1/etc/nsswitch.conf"
}

# add_programs TREE PROGRAM…: programs of this machine with their libraries, into /usr/bin
add_programs() {
    local root=$1 program file
    shift
    for program in "$@"; do
        rm -f "$root/bin/${program##*/}"
        cp -L "$(command -v "$program")" "$root/usr/bin/${program##*/}"
        for file in $(ldd "$(command -v "$program")" | grep -o '/[^ ]*'); do
            mkdir -p "$root$(dirname "$file")"
            cp -L "$file" "$root$file"
        done
    done
}

# Tars are made once for a whole run of the suite and shared between files.
image_tar() {
    local cache=${CORACLE_TEST_CACHE:-/tmp/coracle-test-cache-$(id -u)} name=$1 root
    mkdir -p "$cache"
    if [ ! -e "$cache/$name.tar" ]; then
        root=$(mktemp -d "$cache/root.XXXXXX")
        "${name}_tree" "$root"
        tar --owner=0 --group=0 --numeric-owner -C "$root" -cf "$cache/$name.tar.$$" .
        mv "$cache/$name.tar.$$" "$cache/$name.tar"
        rm -rf "$root"
    fi
    echo "$cache/$name.tar"
}

image() {
    coracle image inspect "$1" >/dev/null 2>&1 || coracle import --change 'CMD ["/bin/sh"]' --change 'ENV FROM_IMAGE=yes' "$(image_tar "${2:-busybox}")" "$1" >/dev/null
}
