# lacking: machines that lack something, made by a coracle-net that takes it from itself before it begins. Copies of the programs are in
# $CTR_HOME/bin, the real helper in $CTR_HOME/real.

lacking_setup() {
    mkdir -p "$CTR_HOME/bin" "$CTR_HOME/real"
    cp "$CORACLE_BIN"/coracle* "$CTR_HOME/bin/"
    cp "$CORACLE_BIN/coracle-net" "$CTR_HOME/real/"
}

# for setup() and teardown(): the copies are what is run; the next test has another helper
lacking_path() { PATH=$CTR_HOME/bin:/usr/sbin:/usr/bin:/sbin:/bin; }
lacking_over() { pkill -KILL -u "$(id -u)" -f "^coracle-net --run-root $XDG_RUNTIME_DIR/" || true; }

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

without_nftables() { without socket EPROTONOSUPPORT '(0, 16), (2, 12)'; }
