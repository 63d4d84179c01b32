#!/usr/bin/env python3
"""network_kill: SIGKILL of everything that a network has, in any order, and what must be true afterwards.

    network_kill.py kills ROUNDS [SEED]    in the environment of a bats file; image "busybox" (with tools) is in the store
    network_kill.py first PAIRS            two starts at the same time where no helper runs

Containers live on two networks, each with a published port, and one alone behind a libslirp of its own. Every round kills one to three of: the warden of coracle-net,
its loop, a monitor, a container's first process, a command line in the middle of `run`, a moment after another. Then the
ended ones are started again, and the product is asked:
  * one helper serves all of them; no two have one address; those that live have kept theirs; who comes meanwhile has another
  * every container reaches every other by name on both networks, and every published port is served
  * the one that is alone has its way out, and its port is served
  * the helper's namespace holds the links of these containers and no others
At the end nothing is left: no process, no port, no lock, and the next `run` works.
"""
import fcntl, os, random, socket, subprocess, sys, time

import killing
from killing import LIMIT, Problem, children, command_lines, coracle, ended, inspect, killed, monitor_pid, run_root, wait_for

NETWORKS = ("kill1", "kill2")
SIZE = 3
history = []


def eventually(what, condition, seconds=LIMIT):
    if not wait_for(condition, seconds):
        raise Problem(what() if callable(what) else what)


# ---- processes ----


def wardens():
    return [pid for pid, args in command_lines() if args[:3] == [b"coracle-net", b"--run-root", run_root.encode()]]


def ours():
    """Everything that runs for this store, but the keeper of the user namespace, which goes by itself."""
    found = wardens()
    found += [c for w in found for c in children(w)]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                environ = f.read()
            with open(f"/proc/{pid}/comm") as f:
                comm = f.read().strip()
        except OSError:
            continue
        if f"XDG_RUNTIME_DIR={os.environ['XDG_RUNTIME_DIR']}".encode() in environ.split(b"\0"):
            if comm.startswith("coracle") and comm != "coracle-keep":
                found.append(int(pid))
    return found


def kill(pid, what):
    """Returns when it has died: until then its locks are held, and what it kept alive looks well."""
    if killing.kill(pid, what):
        history.append(what)
        if not ended(pid):
            raise Problem(f"{what} survives SIGKILL")


# ---- containers ----


def free_port():
    """Not one of those that the kernel gives to clients, or free_port of common.bash to others: while a helper is dead they would."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low, high = map(int, f.read().split())
    first, last = (28001, 32000) if low >= 32000 else (high + 1, 65536) if high < 60000 else (10000, low)
    while not bindable(port := random.randrange(first, last)):
        pass
    return port


def bindable(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def serves(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as s:
            s.sendall(b"hello\n")
            return s.recv(10) == b"hello\n"
    except OSError:
        return False


class Member:
    def __init__(self, number):
        self.name, self.port = f"m{number}", free_port()

    def run(self):
        networks = [x for n in NETWORKS for x in ("--network", n)]
        serve = ["socat", "TCP-LISTEN:7,fork,reuseaddr", "PIPE"]
        return ["run", "-d", "--name", self.name, "-p", f"{self.port}:7", *networks, "busybox", *serve]

    def state(self):
        return inspect(self.name)["State"]

    def addresses(self):
        of = inspect(self.name)["NetworkSettings"]["Networks"]
        return [of[n]["IPAddress"] for n in NETWORKS]


class Alone(Member):
    """Behind a libslirp of its own, whose link comes anew with each helper."""

    def __init__(self):
        super().__init__("alone")

    def run(self):
        serve = ["socat", "TCP-LISTEN:7,fork,reuseaddr", "PIPE"]
        return ["run", "-d", "--name", self.name, "-p", f"{self.port}:7", "--network", "slirp", "busybox", *serve]

    def check(self):
        start_again(self)
        eventually(lambda: f"port {self.port} of {self.name} is not served", lambda: serves(self.port))
        routes = lambda: coracle("exec", self.name, "sh", "-c", "ip route; ping -c 1 -W 5 10.0.2.2 >/dev/null && echo answers").stdout
        eventually(lambda: f"{self.name} has no way out: {routes()}", lambda: {"default", "answers"} <= set(routes().split()))


def helper_links(members):
    """The helper's own links, seen by a lease without endpoints."""
    here = os.path.dirname(os.path.abspath(__file__))
    script = f"""
import os, subprocess, sys
sys.path.insert(0, {os.path.join(here, "../net")!r})
from netclient import Channel
c = Channel({os.path.join(run_root, "net/socket")!r})
own = os.open("/proc/self/ns/net", os.O_RDONLY)
c.call({{"op": "attach", "id": os.urandom(32).hex(), "endpoints": []}}, [own])
print(subprocess.run(["nsenter", f"--net=/proc/self/fd/{{c.fds[0]}}", "ip", "-o", "link"], pass_fds=[c.fds[0]], capture_output=True, text=True).stdout)
"""
    pid = str(members[0].state()["Pid"])
    enter = ["nsenter", "-t", pid, "-U", "--preserve-credentials", "unshare", "-n", "python3", "-c", script]
    p = subprocess.run(enter, capture_output=True, text=True, timeout=LIMIT)
    if p.returncode:
        raise Problem(f"the helper's links cannot be seen: {p.stderr}")
    return p.stdout


# ---- a round ----


def kill_command(rng, number):
    """A command line in the middle of `run`."""
    name = f"cli{number}"
    args = ["run", "-d", "--name", name, "--network", rng.choice(NETWORKS), "busybox", "sleep", "1000"]
    p = subprocess.Popen(["coracle", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(rng.random() * 0.05)
    kill(p.pid, "command line")
    p.wait(LIMIT)
    return name


def victims(rng, members):
    m = rng.choice(members)

    def warden():
        for pid in wardens():
            kill(pid, "warden")

    def loop():
        for pid in [c for w in wardens() for c in children(w)]:
            kill(pid, "loop")

    monitor, init = monitor_pid(m.name), m.state()["Pid"]
    return {
        "warden": warden,
        "loop": loop,
        "monitor": lambda: kill(monitor, "monitor"),
        "init": lambda: kill(init, "init"),
    }


def start_again(m):
    """A container that was hit is started; a monitor that has not seen yet that init is gone needs a moment."""
    eventually(lambda: f"{m.name} cannot be started again", lambda: is_up(m))


def is_up(m):
    coracle("start", m.name)
    s = m.state()
    return s["Status"] == "running" and lives(s["Pid"])


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def reaches(a, b):
    script = "".join(f"ping -c 1 -W 5 {ip} >/dev/null && " for ip in b.addresses()) + f"getent hosts {b.name} >/dev/null"
    return subprocess.run(["coracle", "exec", a.name, "sh", "-c", script], capture_output=True, timeout=LIMIT).returncode == 0


def what_reaches(a, b):
    """For the report, when it does not: each part alone, and what either side knows."""
    parts = [f"ping -c 1 -W 2 {ip}" for ip in b.addresses()] + [f"getent hosts {b.name}", "cat /etc/resolv.conf", "ip addr", "ip neigh", "ip route"]
    mine = [(p, coracle("exec", a.name, "sh", "-c", f"{p} 2>&1; echo exit $?").stdout) for p in parts]
    theirs = coracle("exec", b.name, "sh", "-c", "ip addr; ip neigh; ip route").stdout
    return f"{a.name} does not reach {b.name}: {mine}; there: {theirs}"


def newcomer(name, before):
    """Comes while monitors take up their leases again: it gets nobody's address, and is where they are."""
    coracle("run", "-d", "--name", name, "--network", NETWORKS[0], "busybox", "sleep", "1000")
    address = inspect(name)["NetworkSettings"]["Networks"][NETWORKS[0]]["IPAddress"]
    for m, addresses in before.items():
        # one whose first process has been killed gives its address back before its monitor says that it has ended
        if address in addresses and m.addresses() == addresses and lives(m.state()["Pid"]):
            raise Problem(f"{name} was given the address of {m.name}")
    for m in before:
        theirs = m.addresses()[0] if lives(m.state()["Pid"]) else ""
        if theirs:
            eventually(
                lambda: f"{name} at {address} does not reach {m.name} at {theirs}",
                lambda: not lives(m.state()["Pid"]) or not coracle_fails("exec", name, "ping", "-c", "1", "-W", "1", theirs),
            )
    coracle("rm", "-f", name)


def coracle_fails(*args):
    return subprocess.run(["coracle", *args], capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT).returncode != 0


def check(members, before, hit):
    for m in members:
        start_again(m)
        if m not in hit and m.addresses() != before[m]:
            raise Problem(f"{m.name} was not hit and has other addresses: {before[m]}, {m.addresses()}")
    eventually("no helper, or more than one", lambda: len(wardens()) == 1)
    addresses = [a for m in members for a in m.addresses()]
    if len(set(addresses)) != len(addresses) or "" in addresses:
        raise Problem(f"addresses are given out twice: {addresses}")
    for i, m in enumerate(members):
        eventually(lambda: f"port {m.port} of {m.name} is not served; it has {inspect(m.name)['NetworkSettings']}", lambda: serves(m.port))
        eventually(lambda: what_reaches(m, members[i - 1]), lambda: reaches(m, members[i - 1]))


def check_links(members):
    wanted = len(members) * len(NETWORKS)
    eventually(lambda: f"links are left: {helper_links(members)}", lambda: helper_links(members).count("master br-") == wanted)
    if helper_links(members).count(": br-") > len(NETWORKS) + 1:
        raise Problem(f"bridges are left: {helper_links(members)}")


def removed(name):
    """Whether it was made at all nobody knows."""
    coracle("rm", "-f", name, check=False)
    return coracle_fails("inspect", name)


def one_round(number, rng, members, alone):
    history.clear()
    before = {m: m.addresses() for m in members}
    pids = {m: m.state()["Pid"] for m in members}
    kinds = victims(rng, [*members, alone])
    order = rng.sample(sorted([*kinds, "command line"]), rng.randint(1, 3))
    made = []
    for what in order:
        if what == "command line":
            made.append(kill_command(rng, number))
        else:
            kinds[what]()
        time.sleep(rng.choice((0, 0, rng.random() * 0.02)))
    if number % 2:
        newcomer(f"new{number}", before)
    for name in made:
        eventually(lambda: f"{name} cannot be removed", lambda: removed(name))
    for m in members:
        start_again(m)
    hit = [m for m in members if m.state()["Pid"] != pids[m]]
    check(members, before, hit)
    alone.check()
    if number % 5 == 0:
        check_links(members)


# ---- the end ----


def check_nothing_left(members):
    for name in coracle("ps", "-aq").stdout.split():
        coracle("rm", "-f", name)
    eventually(lambda: f"processes are left: {ours()}", lambda: not ours())
    for m in members:
        if not bindable(m.port):
            raise Problem(f"port {m.port} is left")
    for base, _, files in os.walk(run_root):
        for name in files:
            if "lock" in name:
                with open(os.path.join(base, name), "r+") as f:
                    try:
                        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        raise Problem(f"somebody holds {base}/{name}")
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    if ": br-" in links or "uplink" in links:
        raise Problem(f"links are left on the host: {links}")
    coracle("run", "--rm", "-p", f"{members[0].port}:7", "--network", NETWORKS[0], "busybox", "true")


def kills(rounds, seed):
    print(f"seed {seed}")
    for n in NETWORKS:
        coracle("network", "create", n)
    members = [Member(i) for i in range(SIZE)]
    alone = Alone()
    for m in (*members, alone):
        coracle(*m.run())
    number = 0
    try:
        for number in range(1, rounds + 1):
            one_round(number, random.Random(f"{seed}-{number}"), members, alone)
        check_nothing_left([*members, alone])
    except (Problem, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as e:
        raise Problem(f"round {number} after killing {', '.join(history)}: {type(e).__name__}: {e}")
    killing.tell()
    return f"{rounds} rounds, {sum(killed.values())} kills"


# ---- first starts ----


def pair(number):
    """Two at once, without a helper; killing the one that there was keeps the next pair from waiting for its end."""
    names = [f"first{number}-{i}" for i in range(2)]
    args = ["busybox", "sleep", "1000"]
    starts = [subprocess.Popen(["coracle", "run", "-d", "--name", n, *args], stdout=subprocess.DEVNULL) for n in names]
    if any(p.wait(LIMIT) for p in starts):
        raise Problem("a start failed")
    # a loop has its warden's command line until it has given itself its own
    eventually(lambda: f"there are {len(wardens())} helpers", lambda: len(wardens()) == 1)
    a, b = (inspect(n)["NetworkSettings"]["IPAddress"] for n in names)
    if a == b or not a or not b:
        raise Problem(f"addresses: {a!r}, {b!r}")
    coracle("exec", names[0], "ping", "-c", "1", "-W", "10", b)
    coracle("rm", "-f", *names)
    for pid in wardens():
        kill(pid, "warden")
    eventually("the helper lives on", lambda: not wardens())


def first_starts(pairs):
    for number in range(pairs):
        try:
            pair(number)
        except Problem as e:
            raise Problem(f"pair {number}: {e}")
    return f"{pairs} pairs"


def main():
    mode, count = sys.argv[1], int(sys.argv[2])
    seed = sys.argv[3] if len(sys.argv) > 3 and sys.argv[3] else str(time.time_ns())
    begun = time.monotonic()
    try:
        what = kills(count, seed) if mode == "kills" else first_starts(count)
    except (Problem, subprocess.TimeoutExpired) as e:
        print(f"PROBLEM {e}")
        sys.exit(1)
    print(f"{what} in {time.monotonic() - begun:.0f} s")


main()
