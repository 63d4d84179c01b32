#!/usr/bin/python3
"""System calls that fail, at any place of the commands that matter most.

    faults.py COUNT [SEED]         as root, who may trace what is not dumpable; $CRASH_USER is who runs coracle, with HOME,
                                   XDG_RUNTIME_DIR and PATH as in a bats file, and $SMALL_TAR

strace lets the N-th call of one kind fail, in each process of the command: N is any that the command gets to. Afterwards:
  * the command has ended in time, and by itself: no signal, no abort
  * when it failed it said why; when it did not, what it was to do is done
  * no process of it is left, `system check` finds nothing, nothing that was there is lost, and the same command works
"""
import collections, json, os, pwd, random, re, shutil, signal, subprocess, sys, time

USER = pwd.getpwnam(os.environ["CRASH_USER"])
ENV = dict(os.environ, USER=USER.pw_name)
HOME = os.environ["HOME"]
LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")
LIMIT = 60

FAULTS = {
    "ENOSPC": "openat write pwrite64 mkdirat renameat symlinkat fsync ftruncate copy_file_range linkat",
    "EIO": "read pread64 openat write fsync syncfs getdents64 renameat unlinkat newfstatat",
    "EMFILE": "openat openat2 socket socketpair pipe2 memfd_create dup dup3 fcntl pidfd_open accept4 epoll_create1",
    "EACCES": "openat openat2 mkdirat renameat unlinkat symlinkat setns mount connect fchmod fchmodat",
    "ENOSYS": "openat2 clone3 pidfd_open close_range renameat2 copy_file_range memfd_create open_tree move_mount mount_setattr"
              " faccessat2 statx fsopen fsconfig fsmount pidfd_send_signal",
    "ENOMEM": "clone clone3 fork vfork execve",
}
LISTED = sorted({c for calls in FAULTS.values() for c in calls.split()})


def as_user():
    return {"user": USER.pw_uid, "group": USER.pw_gid, "extra_groups": []}


def coracle(*args, check=True):
    p = subprocess.run(["coracle", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, env=ENV, **as_user())
    if check and p.returncode:
        raise Problem(f"coracle {' '.join(args)}: exit {p.returncode}: {p.stderr.decode().strip()}")
    return p


class Problem(Exception):
    pass


def there(kind, name):
    return coracle(*kind.split(), name, check=False).returncode == 0


class Pull:
    def __init__(self, registry):
        self.name = f"{registry}/small:latest"
        self.words = ["pull", "-q", self.name]

    def before(self):
        coracle("rmi", "-f", self.name, check=False)
        wait_for(lambda: not os.listdir(os.path.join(HOME, ".local/share/coracle/tmp")))

    def done(self):
        return there("image inspect", self.name)


class Load:
    words = ["load", "-q", "-i", os.path.join(HOME, "archive")]

    def before(self):
        coracle("rmi", "-f", "archived:1", check=False)

    def done(self):
        return there("image inspect", "archived:1")


class Run:
    words = ["run", "--name", "victim", "--network", "none", "-v", "kept:/data", "base:1", "sh", "-c", "echo done >>/data/done"]

    def before(self):
        coracle("rm", "-f", "victim", check=False)
        coracle("volume", "rm", "kept", check=False)

    def done(self):
        state = json.loads(coracle("inspect", "-f", "json", "victim").stdout)[0]["State"]
        return state["Status"] == "exited" and state["ExitCode"] == 0


class RunRm(Run):
    """That its monitor cannot remove it is no failure of the container: then it stays, ended, until somebody does."""
    words = ["run", "--rm", "--name", "victim", "--network", "none", "base:1", "true"]

    def done(self):
        return not there("inspect", "victim") or super().done()


class Commit:
    words = ["commit", "made", "committed:1"]

    def before(self):
        coracle("rmi", "-f", "committed:1", check=False)

    def done(self):
        return there("image inspect", "committed:1")


class Remove:
    words = ["rm", "victim"]

    def before(self):
        coracle("rm", "-f", "victim", check=False)
        coracle("create", "--name", "victim", "base:1", "true")

    def done(self):
        return not there("inspect", "victim")


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def ours(ignore=("coracle-keep", "coracle-net")):
    """Processes that carry this home in their environment, but for those that wait a while for the next command."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            env = open(f"/proc/{pid}/environ", "rb").read()
            comm = open(f"/proc/{pid}/comm").read().strip()
        except OSError:
            continue
        if f"HOME={HOME}\0".encode() in env and comm.startswith(("coracle", "sh", "true", "busybox")) and comm not in ignore:
            found.append((int(pid), comm))
    return found


def strace(words, *options):
    """Standard error in a file: what a process that outlives the command has open must not keep us waiting."""
    with open(os.path.join(HOME, "said"), "wb+") as said:
        try:
            p = subprocess.run(["strace", "-u", USER.pw_name, "-f", "-qq", "-o", os.path.join(HOME, "trace"), *options, "--", "coracle", *words],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, timeout=LIMIT, env=ENV)
        except subprocess.TimeoutExpired:
            raise Problem("hangs")
        said.seek(0)
        return p.returncode, said.read().decode("utf8", "replace")


def count(words):
    """How often each process makes each call, at most: which N there are."""
    code, said = strace(words, "-e", "trace=" + ",".join(LISTED))
    if code:
        sys.exit(f"coracle {' '.join(words)}: exit {code}: {said}")
    most, now = collections.Counter(), collections.Counter()
    for line in open(os.path.join(HOME, "trace")):
        m = re.match(r"(\d+) +(\w+)\(", line)
        if m:
            now[m[1], m[2]] += 1
            most[m[2]] = max(most[m[2]], now[m[1], m[2]])
    return most


def judge(case, call, error, n):
    case.before()
    kept = ["image inspect base:1", "inspect made", "volume inspect precious"]
    code, said = strace(case.words, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={n}")
    trace = open(os.path.join(HOME, "trace")).read()
    silenced = re.search(r"\bwrite\(2, .*\(INJECTED\)", trace)  # the words themselves could not be said
    if "(INJECTED)" not in trace:
        return "missed"
    if code < 0 or code in (128 + signal.SIGSEGV, 128 + signal.SIGABRT, 128 + signal.SIGBUS, 128 + signal.SIGSYS):
        raise Problem(f"crashed: {code}: {said.strip()}")
    if code and not said.strip() and not silenced:
        raise Problem(f"exit {code}, and nothing was said")
    if not code and not case.done():
        raise Problem(f"exit 0, but it was not done: {said.strip()}")
    if not wait_for(lambda: not ours()):
        raise Problem(f"processes are left: {ours()}")
    found = coracle("system", "check", "--quick", check=False)
    if found.returncode:
        raise Problem(f"system check: {found.stdout.decode().strip()} {found.stderr.decode().strip()}")
    for k in kept:
        *kind, name = k.split()
        if not there(" ".join(kind), name):
            raise Problem(f"lost: {name}")
    if code and os.environ.get("FAULTS_VERBOSE"):
        print(f"{' '.join(case.words[:1])} {call} {error} {n}: {code}: {said.strip()}", flush=True)
    case.before()
    coracle(*case.words)
    return "failed" if code else "worked"


def main():
    wanted = int(sys.argv[1])
    seed = sys.argv[2] if len(sys.argv) > 2 else str(time.time_ns())
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    layout, static = os.path.join(HOME, "layout"), os.path.join(HOME, "static")
    subprocess.run([sys.executable, os.path.join(LIB, "mklayout.py"), layout, "latest"], check=True)
    digest = json.load(open(os.path.join(layout, "index.json")))["manifests"][0]["digest"]
    os.makedirs(os.path.join(static, "small", "manifests"))
    shutil.copytree(os.path.join(layout, "blobs", "sha256"), os.path.join(static, "small", "blobs"))
    for b in os.listdir(os.path.join(static, "small", "blobs")):
        os.rename(os.path.join(static, "small", "blobs", b), os.path.join(static, "small", "blobs", "sha256:" + b))
    for name in ("latest", digest):
        shutil.copy(os.path.join(layout, "blobs", "sha256", digest.split(":")[1]), os.path.join(static, "small", "manifests", name))
    server = subprocess.Popen([sys.executable, os.path.join(LIB, "staticregistry.py"), static], stdout=subprocess.PIPE)
    port = server.stdout.readline().split()[-1].decode()
    coracle("import", os.environ["SMALL_TAR"], "base:1")
    coracle("import", "--change", "LABEL archived=1", os.environ["SMALL_TAR"], "archived:1")
    coracle("save", "-o", os.path.join(HOME, "archive"), "archived:1")
    coracle("create", "--name", "made", "--network", "none", "base:1", "true")
    coracle("volume", "create", "precious")
    cases = [Pull(f"localhost:{port}"), Load(), Run(), RunRm(), Commit(), Remove()]
    plan = []
    for case in cases:
        case.before()
        most = count(case.words)
        plan += [(case, call, error, n) for error, calls in FAULTS.items() for call in calls.split() for n in range(1, most[call] + 1)]
    rng.shuffle(plan)
    print(f"{len(plan)} places", flush=True)
    results, bad, begun = collections.Counter(), 0, time.monotonic()
    for case, call, error, n in plan[:wanted]:
        try:
            results[judge(case, call, error, n)] += 1
        except (Problem, subprocess.TimeoutExpired, ValueError, IndexError) as e:
            bad += 1
            print(f"PROBLEM {' '.join(case.words)}: {call} number {n} fails with {error}: {e}", flush=True)
            if bad >= 20:
                break
    full = coracle("system", "check", check=False)
    if full.returncode:
        bad += 1
        print(f"PROBLEM system check: {full.stdout.decode()}")
    print(f"{sum(results.values())} faults in {time.monotonic() - begun:.0f} s: {dict(results)}; {bad} problems")
    server.terminate()
    for name in ("made", "victim"):
        coracle("rm", "-f", name, check=False)
    sys.exit(1 if bad else 0)


main()
