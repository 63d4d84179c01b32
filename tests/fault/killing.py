"""killing: what the tests of kills share: coracle as a command that must not hang, processes and their deaths, and waiting for what only the
outside can see. Imported by kill.py and network_kill.py, in the environment of a bats file."""
import collections, json, os, select, signal, subprocess, threading, time

LIMIT = 60 * int(os.environ.get("TEST_PATIENCE", "1"))  # seconds a command may take on a busy machine
store = os.path.join(os.environ["HOME"], ".local/share/coracle")
run_root = os.path.join(os.environ["XDG_RUNTIME_DIR"], "coracle")
lock = threading.Lock()
killed = collections.Counter()


class Problem(Exception):
    pass


def coracle(*args, check=True):
    try:
        p = subprocess.run(["coracle", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Problem(f"coracle {' '.join(args)} hangs")
    if check and p.returncode != 0:
        raise Problem(f"coracle {' '.join(args)}: exit {p.returncode}: {p.stderr.strip()}")
    return p


def inspect(name):
    return json.loads(coracle("inspect", "-f", "json", name).stdout)[0]


def monitor_pid(name):
    with open(os.path.join(store, "containers", inspect(name)["Id"], "state.json")) as f:
        return json.load(f)["monitor_pid"]


def wait_for(condition, seconds=LIMIT):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


# ---- processes ----


def command_lines():
    """Every process that can be seen: (pid, arguments)."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                yield int(pid), f.read().split(b"\0")
        except OSError:
            pass


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(c) for c in f.read().split()]
    except OSError:
        return []


def ended(pid, seconds=LIMIT):
    """Waits for its end; True when it is gone, or a zombie."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return True
    p = select.poll()
    p.register(fd, select.POLLIN)
    gone = bool(p.poll(seconds * 1000))
    os.close(fd)
    return gone


def kill(pid, what):
    """False when there was nothing to kill."""
    try:
        if not pid:
            return False  # 0 would be our own group
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    with lock:
        killed[what] += 1
    return True


def tell():
    for what, n in sorted(killed.items()):
        print(f"{n:5d}  {what}")
