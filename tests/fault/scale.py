#!/usr/bin/python3
"""What is left after many containers, and of many at once.

    scale.py cycles N      N containers are run and removed (--rm, and -d with rm -f; with and without a network, a published port,
                           a volume), while one other keeps running; then processes, files, mounts, and the descriptors and memory
                           of that one's monitor and of the network's helper must be what they were before
    scale.py running N     N containers run at once, twice: they are in ps, can be looked at and entered; then all is as before
    scale.py both N        N cycles, and a quarter as many at once, for the suite

In the environment of a bats file (HOME, XDG_RUNTIME_DIR, PATH); image "busybox" is in the store. Everything that is started here
is looked for among the descendants of this process, which orphans come back to; so others may work on the machine meanwhile.
"""
import collections, concurrent.futures, ctypes, os, subprocess, sys, time

WARM = 40           # cycles after which nothing may grow any more
WORKERS = 4
WITH_ONE = ["coracle-mon", "coracle-net", "coracle-net", "sleep"] # the processes when one container with a network runs
SLACK_KB = 512      # of a process: what an allocator keeps for the busiest moment; a page lost in each cycle is far more

HOME, RUN = os.environ["HOME"], os.environ["XDG_RUNTIME_DIR"]
problems = []


def problem(text):
    problems.append(text)
    print("PROBLEM:", text, flush=True)


def coracle(*args, ok=True):
    r = subprocess.run(["coracle", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    if ok and r.returncode:
        problem(f"coracle {' '.join(args)}: exit {r.returncode}: {r.stderr.strip()[-300:]}")
    return r.stdout


# ---- looking ----

def stat_of(pid):
    with open(f"/proc/{pid}/stat", "rb") as f:
        name, rest = f.read().rsplit(b")", 1)
    fields = rest.split()
    return name.split(b"(", 1)[1].decode(errors="replace"), fields[0], int(fields[1])


def descendants():
    """pid → name of every process that came from here, but for this one; the dead among our children are reaped on the way."""
    known = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try: known[int(d)] = stat_of(d)
            except (OSError, IndexError): pass
    found, new = {}, {os.getpid()}
    while new:
        new = {pid for pid, (_, _, parent) in known.items() if parent in new}
        found.update((pid, known[pid][0]) for pid in new)
    for pid in list(found):
        if found[pid] == "coracle-keep": # holds the user namespace a moment longer, and ends by itself
            del found[pid]
        elif known[pid][1] == b"Z":
            try: os.waitpid(pid, os.WNOHANG)
            except ChildProcessError: pass
            del found[pid]
    return found


def quiet(wanted, seconds=60):
    """Waits until the names of the processes that are there are those, and says what else is."""
    end = time.monotonic() + seconds
    while True:
        now = sorted(descendants().values())
        if now == wanted or time.monotonic() > end:
            return now
        time.sleep(0.05)


def files(top):
    return sorted(os.path.join(d, n)[len(top):] for d, _, names in os.walk(top) for n in names)


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return int(fields.get("RssAnon", "0 kB").split()[0])


def descriptors(pid):
    return os.stat(f"/proc/{pid}/fd").st_size # how many there are (Linux 6.2); 0 before


def mounts():
    with open("/proc/self/mountinfo") as f:
        return sorted(line.split()[4] for line in f if HOME in line or RUN in line)


def snapshot():
    procs = descendants()
    return {
        "processes": sorted(procs.values()),
        "store": [f for f in files(HOME) if "/events" not in f],
        "run": files(RUN),
        "mounts": mounts(),
        "descriptors": sorted((name, descriptors(pid)) for pid, name in procs.items()),
        "memory": sorted((name, memory(pid)) for pid, name in procs.items()),
    }


def grown(before, after):
    """What there is more of; of a process's descriptors, their number, of its memory, what no allocator keeps."""
    found = {}
    for key in ("processes", "store", "run", "mounts"):
        found[key] = list((collections.Counter(after[key]) - collections.Counter(before[key])).elements())
    found["descriptors"] = [(b, a) for b, a in zip(before["descriptors"], after["descriptors"]) if a > b]
    found["memory"] = [(b, a) for b, a in zip(before["memory"], after["memory"]) if b[0] == a[0] and a[1] > b[1] + SLACK_KB]
    return {key: new for key, new in found.items() if new}


def compare(before):
    """What is being taken away may still be there for a moment."""
    end = time.monotonic() + 60
    while grown(before, after := snapshot()) and time.monotonic() < end:
        time.sleep(0.2)
    for key in ("processes", "store", "run", "mounts"):
        print(f"{key}: {len(before[key])} before, {len(after[key])} after", flush=True)
    print(f"descriptors: {before['descriptors']} before, {after['descriptors']} after", flush=True)
    for key, new in grown(before, after).items():
        problem(f"{key} have drifted: {new[:5]}")
    for (name, kb), (_, kb_after) in zip(before["memory"], after["memory"]):
        print(f"memory of {name}: {kb} KB before, {kb_after} KB after", flush=True)


# ---- doing ----

def cycle(i):
    name = f"c{i}"
    kind = i % 5
    if kind == 0:
        coracle("run", "--rm", "--network", "none", "busybox", "true")
    elif kind == 1:
        coracle("run", "--rm", "-v", f"{name}:/data", "busybox", "touch", "/data/x")
        coracle("volume", "rm", name)
    elif kind == 2:
        coracle("run", "-d", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
        coracle("exec", name, "true")
        coracle("rm", "-f", name)
    elif kind == 3:
        if coracle("run", "--rm", "-m", "64m", "busybox", "sh", "-c", "echo out; echo err >&2").strip() != "out":
            problem(f"cycle {i}: other output")
    else:
        coracle("create", "--name", name, "--init", "busybox", "true")
        coracle("start", "-a", name)
        coracle("rm", name)


def cycles(n):
    """All workers at once; between two looks the machine is left to settle."""
    done = 0
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(cycle, range(n)):
            done += 1
            if done % 1000 == 0:
                print(f"{done} cycles", flush=True)


def run_and_remove(n):
    names = [f"r{i}" for i in range(n)]
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda name: coracle("run", "-d", "--name", name, "busybox", "sleep", "100000"), names))
    print(f"{n} started in {time.monotonic() - begun:.1f} s", flush=True)
    begun = time.monotonic()
    there = set(coracle("ps", "--format", "{{.Names}}").split())
    print(f"ps: {(time.monotonic() - begun) * 1000:.0f} ms", flush=True)
    if there != {"held", *names}:
        problem(f"ps shows {len(there) - 1} of {n}")
    procs = descendants()
    monitors = [memory(pid) for pid, name in procs.items() if name.startswith("coracle") and name != "coracle-net"]
    print(f"{len(procs)} processes; a monitor has {sorted(monitors)[len(monitors) // 2]} KB at the median, {max(monitors)} at most", flush=True)
    for name in names[:: max(1, n // 10)]:
        if coracle("inspect", "-f", "{{.State.Running}} {{.State.ExitCode}}", name).strip() != "true 0":
            problem(f"{name} does not run")
        if coracle("exec", name, "echo", "in").strip() != "in":
            problem(f"{name} cannot be entered")
    begun = time.monotonic()
    for i in range(0, n, 100):
        coracle("rm", "-f", *names[i:i + 100])
    print(f"removed in {time.monotonic() - begun:.1f} s", flush=True)


def both(n):
    cycles(n)
    run_and_remove(max(1, n // 4))


def main():
    kind, n = sys.argv[1], int(sys.argv[2])
    work = {"cycles": cycles, "running": run_and_remove, "both": both}[kind]
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) # PR_SET_CHILD_SUBREAPER
    coracle("run", "-d", "--name", "held", "busybox", "sleep", "100000")
    # what a helper keeps for so many at once is not missed the next time
    work(n if kind == "running" else min(WARM, n))
    held = quiet(WITH_ONE)
    if held != WITH_ONE:
        problem(f"processes: {held} while one container runs")
    before = snapshot()
    begun = time.monotonic()
    work(n)
    spent = time.monotonic() - begun
    now = quiet(held)
    if now != held:
        problem(f"processes: {held} before, {now} after")
    compare(before)
    coracle("rm", "-f", "held")
    left = quiet([], 30)
    if left:
        problem(f"processes are left: {left}")
    print(f"{kind} {n} in {spent:.0f} s, {len(problems)} problems")
    sys.exit(bool(problems))


main()
