#!/usr/bin/python3
"""Kills coracle's processes at random moments and checks that the next command puts everything right.

    kill.py KILLS [SEED]       in the environment of a bats file (HOME, XDG_RUNTIME_DIR, PATH); image "busybox" is in the store

Every round makes its own container, whose process carries a mark of the round, starts a command, kills something of it
after a random part of the time that this command takes, and then asks of the product:
  * `ps -a` answers, and what it says is true: a container that it calls running has its process, another one has none
  * `rm -f` succeeds, no process with the mark is left, and the name is free
  * nothing waits for a lock of the dead: every command ends within its time
  * `system check` finds nothing, though others are at work meanwhile; every tenth time it reads all contents, too
  * what the command was about is there whole or not at all, and can be made and removed again
At the end, after one more command, store and run directory must be as empty as before.
Several rounds run side by side, so that the cleaning up of one meets the work of the others.
"""
import itertools, os, random, shutil, subprocess, sys, tarfile, threading, time

from killing import LIMIT, Problem, children, command_lines, coracle, ended, inspect, kill, killed, lock, monitor_pid, run_root, store, tell, wait_for

WORKERS = 4

problems = []
after = []  # seconds that the next command took
typical = {}  # command → seconds that it takes when left alone


def processes(mark):
    """Pids whose command line has the mark as an argument of its own, apart from coracle's own."""
    return [pid for pid, args in command_lines() if mark.encode() in args and not args[0].startswith(b"coracle")]


class Round:
    def __init__(self, number, rng):
        self.rng = rng
        self.name = f"k{number}"
        self.mark = str(900000000 + os.getpid() % 30000 * 100000 + number)  # others may do the same on this machine
        self.history = []

    # ---- making things ----

    def sleeper(self):
        return ["busybox", "sleep", self.mark]

    def running(self):
        coracle("run", "-d", "--name", self.name, *self.sleeper())

    def created(self):
        coracle("create", "--name", self.name, *self.sleeper())

    def state(self):
        return inspect(self.name)["State"]

    # ---- killing ----

    def interrupt(self, key, args, whole_tree=False):
        """Starts a command and kills it, with what it forked if asked to, after a random part of its usual time."""
        begun = time.monotonic()
        p = subprocess.Popen(["coracle", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        usual = typical.get(key)
        if usual is None:
            p.wait(LIMIT)
            typical[key] = time.monotonic() - begun
            return
        delay = self.rng.random() * usual * 1.1
        time.sleep(delay)
        victims = [p.pid] + (children(p.pid) if whole_tree else [])
        self.history.append(f"kill -9 coracle {' '.join(args)} after {delay * 1000:.1f} ms")
        for v in victims:
            kill(v, key + (" and its children" if whole_tree else ""))
        p.wait(LIMIT)

    def run_detached(self):
        self.interrupt("run -d", ["run", "-d", "--name", self.name, *self.sleeper()])

    def run_detached_tree(self):
        self.interrupt("run -d", ["run", "-d", "--name", self.name, *self.sleeper()], whole_tree=True)

    def run_foreground(self):
        self.interrupt("run", ["run", "--name", self.name, "busybox", "true"])

    def run_rm(self):
        self.interrupt("run --rm", ["run", "--rm", "--name", self.name, "busybox", "true"])

    def run_rm_tree(self):
        self.interrupt("run --rm", ["run", "--rm", "--name", self.name, "busybox", "true"], whole_tree=True)

    def create(self):
        self.interrupt("create", ["create", "--name", self.name, *self.sleeper()])

    def start(self):
        self.created()
        self.interrupt("start", ["start", self.name])

    def start_tree(self):
        self.created()
        self.interrupt("start", ["start", self.name], whole_tree=True)

    def stop(self):
        self.running()
        self.interrupt("stop", ["stop", self.name])

    def restart(self):
        self.running()
        self.interrupt("restart", ["restart", self.name])

    def remove(self):
        self.created()
        self.interrupt("rm", ["rm", self.name])

    def remove_running(self):
        self.running()
        self.interrupt("rm -f", ["rm", "-f", self.name])

    def rename(self):
        self.created()
        self.interrupt("rename", ["rename", self.name, self.name + "-new"])
        names = coracle("ps", "-a", "--format", "{{.Names}}").stdout.split()
        both = [n for n in (self.name, self.name + "-new") if n in names]
        if len(both) != 1:
            raise Problem(f"after a rename was killed the container has the names {both}")
        self.name = both[0]

    def execute(self):
        self.running()
        self.interrupt("exec", ["exec", self.name, "sh", "-c", "echo x; true"])
        if self.state()["Status"] != "running":
            raise Problem("a killed exec ended the container")

    def tag(self):
        self.interrupt("tag", ["tag", "busybox", self.name + ":t"])
        coracle("image", "inspect", "busybox")
        coracle("tag", "busybox", self.name + ":t")
        coracle("run", "--rm", self.name + ":t", "true")
        coracle("rmi", self.name + ":t")

    def untag(self):
        coracle("tag", "busybox", self.name + ":t")
        self.interrupt("rmi", ["rmi", self.name + ":t"])
        coracle("run", "--rm", "busybox", "true")
        coracle("rmi", self.name + ":t", check=False)

    def image(self):
        self.interrupt("import", ["import", os.environ["SMALL_TAR"], self.name + ":i"], whole_tree=self.rng.random() < 0.5)
        coracle("images")
        coracle("rmi", "-f", self.name + ":i", check=False)
        coracle("import", os.environ["SMALL_TAR"], self.name + ":i")
        coracle("rmi", self.name + ":i")

    # ---- what images, volumes, networks and files are made by ----

    def again(self, make, remove, look):
        """After a kill the thing is there or not; it can be removed, made, looked at and removed."""
        coracle(*remove, check=False)
        coracle(*make)
        coracle(*look)
        coracle(*remove)

    def commit(self):
        self.created()
        make, tag = ["commit", "--change", f"LABEL k={self.name}", self.name], self.name + ":c"
        self.interrupt("commit", [*make, tag], whole_tree=self.rng.random() < 0.5)
        self.again([*make, tag], ["rmi", tag], ["image", "inspect", tag])

    def commit_running(self):
        self.running()
        coracle("exec", self.name, "dd", "if=/dev/urandom", "of=/data", "bs=1M", "count=8", "status=none")
        tag = self.name + ":c"
        self.interrupt("commit of a running one", ["commit", self.name, tag], whole_tree=self.rng.random() < 0.5)
        if not wait_for(lambda: self.state()["Status"] == "running"):
            raise Problem(f"after its commit was killed the container is {self.state()}")
        coracle("exec", self.name, "true")
        self.again(["commit", self.name, tag], ["rmi", tag], ["image", "inspect", tag])

    def load(self):
        make = ["load", "-q", "-i", archive]
        self.interrupt("load", make, whole_tree=self.rng.random() < 0.5)
        coracle("image", "inspect", "loaded:1", check=False)
        coracle(*make)

    def save(self):
        out = os.path.join(os.environ["TMPDIR"], self.name + ".saved")
        self.interrupt("save", ["save", "-o", out, "busybox"], whole_tree=self.rng.random() < 0.5)
        coracle("save", "-o", out, "busybox")
        os.unlink(out)

    def export(self):
        self.created()
        out = os.path.join(os.environ["TMPDIR"], self.name + ".exported")
        self.interrupt("export", ["export", "-o", out, self.name], whole_tree=self.rng.random() < 0.5)
        coracle("export", "-o", out, self.name)
        os.unlink(out)

    def copy_in(self):
        self.created()
        self.interrupt("cp in", ["cp", "/etc/passwd", self.name + ":/root/"], whole_tree=self.rng.random() < 0.5)
        coracle("cp", "/etc/passwd", self.name + ":/root/")
        coracle("cp", self.name + ":/root/passwd", "/dev/null", check=False)

    def update(self):
        self.created()
        self.interrupt("update", ["update", "--restart", "on-failure:3", self.name])
        if inspect(self.name)["HostConfig"]["RestartPolicy"]["Name"] not in ("no", "on-failure"):
            raise Problem("a killed update left half a policy")

    def volume(self):
        make, remove = ["volume", "create", "--label", f"k={self.name}", self.name], ["volume", "rm", self.name]
        self.interrupt("volume create", make)
        self.again(make, remove, ["volume", "inspect", self.name])

    def volume_rm(self):
        coracle("volume", "create", self.name)
        self.interrupt("volume rm", ["volume", "rm", self.name])
        self.again(["volume", "create", self.name], ["volume", "rm", self.name], ["volume", "inspect", self.name])

    def volume_fill(self):
        """A new volume gets the image's files: all of them, however often the copy was cut short."""
        args = ["run", "--rm", "--name", self.name, "--network", "none", "-v", self.name + ":/etc", "busybox"]
        self.interrupt("run with a new volume", [*args, "true"], whole_tree=True)
        wait_for(lambda: self.name not in coracle("ps", "-a", "--format", "{{.Names}}").stdout.split(), 5)
        coracle("rm", "-f", self.name, check=False)
        files = coracle(*args, "ls", "/etc").stdout.split()
        if not {"passwd", "group"} <= set(files):
            raise Problem(f"the volume has only {files} of the image's files")
        coracle("volume", "rm", self.name)

    def network(self):
        make, remove = ["network", "create", self.name], ["network", "rm", self.name]
        self.interrupt("network create", make)
        self.again(make, remove, ["network", "inspect", self.name])

    def network_rm(self):
        coracle("network", "create", self.name)
        self.interrupt("network rm", ["network", "rm", self.name])
        self.again(["network", "create", self.name], ["network", "rm", self.name], ["network", "inspect", self.name])

    def dedup(self):
        """An image with busybox's files and one of its own. Others may keep the store from it: then nothing is lost either."""
        tar, tag = os.path.join(os.environ["TMPDIR"], self.name + ".tar"), self.name + ":d"
        with lock:
            shutil.copy(os.environ["SMALL_TAR"], tar)
        with tarfile.open(tar, "a") as t:
            t.addfile(tarfile.TarInfo(self.name))
        coracle("import", tar, tag)
        os.unlink(tar)
        self.interrupt("system dedup", ["system", "dedup"], whole_tree=self.rng.random() < 0.5)
        coracle("system", "dedup", check=False)
        out = coracle("run", "--rm", "--network", "none", tag, "busybox", "echo", "runs").stdout
        if out != "runs\n":
            raise Problem(f"after dedup the container says {out!r}")
        coracle("rmi", tag)

    def prune(self):
        """Only what has the label of this round, as others are at work."""
        label = f"k={self.name}"
        coracle("create", "--name", self.name, "--label", label, *self.sleeper())
        coracle("volume", "create", "--label", label, self.name)
        coracle("network", "create", "--label", label, self.name)
        coracle("commit", "--change", f"LABEL {label}", self.name, self.name + ":p")
        kinds = [("container", []), ("image", ["-a"]), ("volume", ["-a"]), ("network", [])]
        kind, extra = self.rng.choice(kinds)
        self.interrupt(f"{kind} prune", [kind, "prune", "-f", *extra, "--filter", f"label={label}"], whole_tree=self.rng.random() < 0.5)
        for kind, extra in kinds:
            coracle(kind, "prune", "-f", *extra, "--filter", f"label={label}")
        left = [w for w in (["inspect", self.name], ["volume", "inspect", self.name], ["network", "inspect", self.name],
                            ["image", "inspect", self.name + ":p"]) if coracle(*w, check=False).returncode == 0]
        if left:
            raise Problem(f"not pruned: {left}")

    def monitor(self):
        self.running()
        monitor, init = monitor_pid(self.name), self.state()["Pid"]
        self.history.append("kill -9 of the monitor")
        if not kill(monitor, "monitor"):
            raise Problem(f"the monitor {monitor} does not run")
        if not ended(init):
            raise Problem("init outlives its monitor")
        s = self.state()
        if (s["Status"], s["ExitCode"], s["Error"]) != ("exited", 137, "its monitor was lost"):
            raise Problem(f"after its monitor was killed the container is {s}")
        if self.rng.random() < 0.5:
            coracle("start", self.name)
            if self.state()["Status"] != "running":
                raise Problem("cannot be started again")

    def monitor_young(self):
        """The monitor while it starts the container, or just after."""
        self.created()
        p = subprocess.Popen(["coracle", "start", self.name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: children(p.pid) or p.poll() is not None)
        time.sleep(self.rng.random() * 0.012)
        self.history.append("kill -9 of the monitor that starts it")
        for c in children(p.pid):
            kill(c, "monitor that starts")
        p.wait(LIMIT)

    def init(self):
        self.running()
        self.history.append("kill -9 of init")
        kill(self.state()["Pid"], "init")
        if not wait_for(lambda: self.state()["Status"] == "exited"):
            raise Problem("the end of init was not seen")
        if self.state()["ExitCode"] != 137:
            raise Problem(f"init was killed, the exit code is {self.state()['ExitCode']}")

    # ---- looking ----

    def check(self):
        begun = time.monotonic()
        coracle("ps", "-a")
        after.append(time.monotonic() - begun)
        deep = [] if self.rng.random() < 0.1 else ["--quick"]
        found = coracle("system", "check", *deep, check=False)
        if found.returncode:
            raise Problem(f"system check: {found.stdout} {found.stderr}")

        def truth():
            """What ps -a says of us agrees with what runs. A start that goes on without its command line needs a moment."""
            for line in coracle("ps", "-a", "--no-trunc", "--format", "{{.Names}}\t{{.State}}").stdout.splitlines():
                name, state = line.split("\t")
                if name == self.name:
                    return (state == "running") == bool(processes(self.mark))
            return not processes(self.mark)

        if not wait_for(truth):
            raise Problem(f"ps says {coracle('ps', '-a').stdout}, the processes are {processes(self.mark)}")
        there = coracle("inspect", self.name, check=False).returncode == 0
        if there:
            coracle("rm", "-f", self.name)
        else:
            coracle("rm", "-f", self.name, check=False)
        if not wait_for(lambda: not processes(self.mark)):
            raise Problem("a process is left after rm -f")
        coracle("create", "--name", self.name, *self.sleeper())
        coracle("rm", self.name)


SCENARIOS = [
    Round.run_detached, Round.run_detached_tree, Round.run_foreground, Round.run_rm, Round.run_rm_tree, Round.create,
    Round.start, Round.start_tree, Round.stop, Round.restart, Round.remove, Round.remove_running, Round.rename,
    Round.execute, Round.tag, Round.untag, Round.image, Round.monitor, Round.monitor_young, Round.init, Round.commit,
    Round.commit_running, Round.load, Round.save, Round.export, Round.copy_in, Round.update, Round.volume, Round.volume_rm,
    Round.volume_fill, Round.network, Round.network_rm, Round.prune, Round.dedup,
]
archive = os.path.join(os.environ["TMPDIR"], "loaded.tar")


def work(wanted, seed, numbers):
    while True:
        with lock:
            if sum(killed.values()) >= wanted or len(problems) >= 5:
                return
            number = next(numbers)
        rng = random.Random(f"{seed}-{number}")
        # in turn, so that every kind has its share
        scenario = SCENARIOS[number % len(SCENARIOS)]
        r = Round(number, rng)
        try:
            scenario(r)
            r.check()
        except (Problem, subprocess.TimeoutExpired, OSError, ValueError) as e:
            with lock:
                problems.append(f"round {number} ({scenario.__name__}; {'; '.join(r.history)}): {e}")


def stale_names():
    """A rename that was killed may leave a link too many. It leads nowhere, and whoever wants the name gets it."""
    for name in os.listdir(os.path.join(store, "names")):
        coracle("create", "--name", name, "busybox")
        coracle("rm", name)


def leftovers():
    found = []
    for sub in ("containers", "names", "tmp", "blobs/partial"):
        d = os.path.join(store, sub)
        if os.path.isdir(d):
            found += [f"{sub}/{n}" for n in os.listdir(d)]
    if os.path.isdir(run_root):
        found += [f"run/{n}" for n in os.listdir(run_root) if n != "net" and os.path.isdir(os.path.join(run_root, n))]
    return found


def main():
    wanted = int(sys.argv[1])
    seed = sys.argv[2] if len(sys.argv) > 2 and sys.argv[2] else str(time.time_ns())
    print(f"seed {seed}")
    numbers = itertools.count()
    coracle("import", os.environ["SMALL_TAR"], "loaded:1")
    coracle("save", "-o", archive, "loaded:1")
    # the first of each kind, one after another, tells how long its command takes
    for _ in SCENARIOS:
        number = next(numbers)
        r = Round(number, random.Random(0))
        SCENARIOS[number](r)
        r.check()
    begun = time.monotonic()
    threads = [threading.Thread(target=work, args=(wanted, seed, numbers)) for _ in range(WORKERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = time.monotonic() - begun
    tell()
    print(f"{sum(killed.values())} kills in {took:.0f} s")
    after.sort()
    print(f"the next command: {after[len(after) // 2] * 1000:.0f} ms, {after[len(after) * 99 // 100] * 1000:.0f} ms in 99 of 100")
    os.unlink(archive)
    coracle("rmi", "loaded:1")
    if not problems:
        stale_names()
    coracle("ps", "-a")
    if not wait_for(lambda: not leftovers()):
        problems.append(f"left behind: {leftovers()}")
    if coracle("ps", "-aq").stdout:
        problems.append("containers are left")
    images = coracle("images", "-q").stdout.split()
    if len(images) != 1:
        problems.append(f"images are left: {images}")
    for p in problems:
        print("PROBLEM", p)
    sys.exit(1 if problems else 0)


main()
