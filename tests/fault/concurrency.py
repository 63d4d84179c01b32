#!/usr/bin/python3
"""Sixteen writers and readers on the same names and layers.

    concurrency.py SECONDS [SEED]     in the environment of a bats file (HOME, XDG_RUNTIME_DIR, PATH), with $SMALL_TAR

Every worker runs one command after the other, drawn at random, on a handful of names that all of them share: images of the same
layer, containers, volumes, networks. What one makes the others tag, mount, start, enter, commit, save, rename, remove and prune. Held against
every command:
  * it ends within its time, and by itself
  * when it fails it is because of what another one did to the name (gone, there already, in use): no other reason is accepted
  * what it says it has done has been done: a container prints what its image has, whoever removes that image meanwhile
  * what belongs to one worker alone (an image, a container, a volume with a file) is never touched
  * `system check --quick` finds nothing, at any time
At the end the contents are checked, everything is removed, and nothing may be left in the store.
"""
import collections, io, json, os, random, re, subprocess, sys, tarfile, tempfile, threading, time

WORKERS = 16
LIMIT = 120
NAMES = 4

STORE = os.path.join(os.environ["HOME"], ".local/share/coracle")
TAR = os.environ["SMALL_TAR"]

# what another worker may have done; everything else is a finding
EXCUSES = re.compile(
    r"no such (image|container|volume|object)|is already in use by container|is in use|is using|image is being used|conflict|"
    r"container (\S+ )?is paused|cannot start a paused|cannot attach to a paused|is already paused|is not paused|"  # by its commit, too
    r"network \S+ not found|network with name \S+ already exists|has active endpoints|has --network none|is not connected to|endpoint with name \S+ already exists|"
    r"of a non running container|could not resolve host: registry-1|"  # of a build whose base is gone
    r"is not running|container is running: stop|has been (removed|stopped or restarted)|cannot be found|not found: no such|unable to find image|is being|was removed|no space for|same name as its current name", re.I)
NEVER = re.compile(r"corrupt|damaged|missing in the store|file exists|no such file or directory|not empty|permission denied|input/output|assert", re.I)

lock = threading.Lock()
problems, done, failed = [], collections.Counter(), collections.Counter()
stop_at = 0.0


class Problem(Exception):
    pass


def coracle(*args, check=True, data=None):
    try:
        p = subprocess.run(["coracle", *args], stdin=subprocess.DEVNULL if data is None else None, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Problem(f"coracle {' '.join(args)}: hangs")
    said = p.stderr.decode("utf8", "replace").strip()
    if p.returncode < 0:
        raise Problem(f"coracle {' '.join(args)}: ended by signal {-p.returncode}")
    if check and p.returncode:
        raise Problem(f"coracle {' '.join(args)}: exit {p.returncode}: {said}")
    return p.returncode, p.stdout, said


def shared(*args, data=None):
    """A command on names that others have as well; its output, or None where another one was in the way."""
    code, out, said = coracle(*args, check=False, data=data)
    if not code:
        return out
    if args[0] in ("start", "exec") and not said:  # the container's own exit code: another one has killed it
        return None
    if NEVER.search(said) or not EXCUSES.search(said):
        raise Problem(f"coracle {' '.join(args)}: exit {code}: {said}")
    with lock:
        failed[args[0] if args[0] not in ("volume", "network") else " ".join(args[:2])] += 1
    return None


class Worker(threading.Thread):
    def __init__(self, number, seed):
        super().__init__()
        self.rng = random.Random(f"{seed}.{number}")
        self.own = f"own{number}"

    def image(self):
        return f"shared:{self.rng.randrange(NAMES)}"

    def box(self):
        return f"box{self.rng.randrange(NAMES)}"

    def network(self):
        return f"net{self.rng.randrange(NAMES)}"

    def volume(self):
        return f"vol{self.rng.randrange(NAMES)}"

    # ---- writers ----

    def do_import(self):
        coracle("import", "--change", f"LABEL by={self.own}", self.rng.choice([TAR, TAR + ".other"]), self.image())

    def do_tag(self):
        shared("tag", self.image(), self.image())

    def do_rmi(self):
        shared("rmi", *self.rng.choice([[], ["-f"]]), self.image())

    def do_load(self):
        coracle("load", "-q", data=archive)

    def do_commit(self):
        shared("commit", self.box(), self.image())

    def do_create(self):
        work = self.rng.choice(["echo x >>/v/log", "echo x >>/v/log", "sleep 0.3", "sleep 1; exit 3"])
        network = self.rng.choice(["none", "none", self.network()])
        shared("create", "--name", self.box(), "--network", network, "-v", f"{self.volume()}:/v", "--pull", "never", self.image(), "sh", "-c", work)

    def do_start(self):
        shared("start", *self.rng.choice([["-a"], []]), self.box())

    def do_restart(self):
        shared("restart", "-t", "0", self.box())

    def do_end(self):
        shared(*self.rng.choice([["stop", "-t", "0"], ["stop"], ["kill"], ["kill", "-s", "TERM"]]), self.box())

    def do_wait(self):
        out = shared("wait", self.box())
        if out is not None and out.decode() not in ("0\n", "3\n", "128\n", "137\n", "143\n"):  # 128: its network is gone
            raise Problem(f"wait printed {out!r}")

    def do_pause(self):
        box = self.box()
        shared("pause", box)
        shared("unpause", box)

    def do_exec(self):
        out = shared("exec", self.box(), "cat", "/etc/marker")
        if out is not None and out.decode() != f"{marker}\n":
            raise Problem(f"exec printed {out!r}")

    def do_update(self):
        shared("update", "--restart", "no", self.box())

    def do_build(self):
        label = self.rng.randrange(3)
        text = f"FROM {self.image()}\nRUN cat /etc/marker >/built\nLABEL n={label}\n"
        shared("build", "-q", "--pull=false", "-t", self.image(), *self.rng.choice([[], ["--no-cache"]]), "-", data=text.encode())

    def do_network(self):
        shared("network", self.rng.choice(["create", "rm", "inspect"]), self.network())

    def do_connect(self):
        shared("network", self.rng.choice(["connect", "disconnect"]), self.network(), self.box())

    def do_rm(self):
        shared("rm", *self.rng.choice([[], ["-f"], ["-f", "-v"]]), self.box())

    def do_rename(self):
        shared("rename", self.box(), self.box() + "x")
        shared("rename", self.box() + "x", self.box())

    def do_run(self):
        word = f"{self.rng.randrange(10**9)}"
        network = self.rng.choice(["none", "none", self.network(), f"container:{self.box()}"])
        out = shared("run", "--rm", "--network", network, "--pull", "never", "-v", f"{self.volume()}:/v", self.image(), "sh", "-c", f"cat /etc/marker; echo {word}")
        if out is not None and out.decode() != f"{marker}\n{word}\n":
            raise Problem(f"run printed {out!r}")

    def do_volume(self):
        shared("volume", self.rng.choice(["create", "rm", "inspect"]), self.volume())

    def do_prune(self):
        others = ["-f", "--filter", "label!=own"]
        coracle(*self.rng.choice([["image", "prune", "-f"], ["image", "prune", "-a", *others], ["container", "prune", *others], ["network", "prune", "-f"],
                                  ["volume", "prune", "-f"], ["builder", "prune", "-f"], ["system", "prune", *others]]))

    def do_dedup(self):
        code, out, said = coracle("system", "dedup", check=False)
        if code and "others work on it" not in said:
            raise Problem(f"system dedup: {out.decode().strip()} {said}")

    def do_cp(self):
        shared("cp", "-", f"{self.box()}:/", data=small_tar)
        shared("cp", f"{self.box()}:/etc/marker", "-")

    # ---- readers ----

    def do_list(self):
        coracle(*self.rng.choice([["images"], ["images", "--tree"], ["ps", "-a", "-s"], ["volume", "ls"], ["network", "ls"], ["system", "df", "-v"]]))

    def do_inspect(self):
        shared(*self.rng.choice([["image", "inspect", self.image()], ["history", self.image()], ["inspect", self.box()], ["diff", self.box()],
                                  ["logs", self.box()], ["top", self.box()], ["stats", "--no-stream", self.box()], ["port", self.box()]]))

    def do_export(self):
        out = shared("export", self.box())
        if out is not None:
            with tarfile.open(fileobj=io.BytesIO(out)) as t:
                if "etc/marker" not in t.getnames():
                    raise Problem(f"export has only {t.getnames()[:20]}")

    def do_save(self):
        out = shared("save", self.image())
        if out is not None:
            with tarfile.open(fileobj=io.BytesIO(out)) as t:
                t.getnames()

    def do_check(self):
        code, out, said = coracle("system", "check", "--quick", check=False)
        if code:
            raise Problem(f"system check: {out.decode().strip()} {said}")

    def do_own(self):
        coracle("image", "inspect", f"{self.own}:1")
        _, out, _ = coracle("run", "--rm", "--network", "none", "-v", f"{self.own}:/v:ro", f"{self.own}:1", "cat", "/v/f", "/etc/marker")
        if out.decode() != f"{self.own}\n{marker}\n":
            raise Problem(f"{self.own}: has {out!r}")

    def run(self):
        weights = {"import": 3, "load": 3, "create": 4, "start": 4, "run": 4, "rm": 4, "rmi": 3, "tag": 3, "own": 2, "check": 1, "dedup": 1}
        kinds = [k[3:] for k in dir(self) if k.startswith("do_")]
        while time.monotonic() < stop_at and len(problems) < 20:
            kind = self.rng.choices(kinds, [weights.get(k, 2) for k in kinds])[0]
            try:
                getattr(self, "do_" + kind)()
                with lock:
                    done[kind] += 1
            except (Problem, tarfile.TarError, ValueError) as e:
                with lock:
                    problems.append(f"{self.own} {kind}: {e}")
                    print(f"PROBLEM {problems[-1]}", flush=True)


def make_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def rest():
    """Files of the store that belong to nothing any more. Collectors run behind the last command."""
    left = []
    for d in ("blobs/sha256", "blobs/partial", "layers", "images", "refs", "names", "containers", "volumes", "tmp"):
        left += [f"{d}/{n}" for n in os.listdir(os.path.join(STORE, d))]
    return left


def main():
    global TAR, marker, archive, small_tar, stop_at
    seconds = float(sys.argv[1])
    seed = sys.argv[2] if len(sys.argv) > 2 and sys.argv[2] else str(time.time_ns())
    print(f"seed {seed}", flush=True)
    marker, small_tar = f"marker{seed}", make_tar({"tmp/put": "put\n"})
    with tempfile.TemporaryDirectory() as work:
        base = os.path.join(work, "base.tar")
        subprocess.run(["cp", TAR, base], check=True)
        with tarfile.open(base, "a") as t:
            info = tarfile.TarInfo("etc/marker")
            info.size = len(marker) + 1
            t.addfile(info, io.BytesIO(f"{marker}\n".encode()))
        TAR = base
        subprocess.run(["cp", base, base + ".other"], check=True)
        with tarfile.open(base + ".other", "a") as t:
            t.addfile(tarfile.TarInfo("other"))
        coracle("import", base, "shared:0")
        archive = coracle("save", "shared:0")[1]
        for n in range(WORKERS):
            coracle("import", "--change", f"LABEL own={n}", base, f"own{n}:1")
            coracle("create", "--name", f"own{n}", "--network", "none", "-v", f"own{n}:/v", f"own{n}:1", "sh", "-c", f"echo own{n} >/v/f")
            coracle("start", "-a", f"own{n}")
        begun = time.monotonic()
        stop_at = begun + seconds
        workers = [Worker(n, seed) for n in range(WORKERS)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        code, out, said = coracle("system", "check", check=False)
        if code:
            problems.append(f"system check: {out.decode()} {said}")
            print(f"PROBLEM {problems[-1]}")
        ids = coracle("ps", "-aq")[1].decode().split()
        if ids:
            coracle("rm", "-f", *ids)
        for v in coracle("volume", "ls", "-q")[1].decode().split():
            coracle("volume", "rm", v)
        for n in coracle("network", "ls", "-q", "--filter", "type=custom")[1].decode().split():
            coracle("network", "rm", n)
        coracle("system", "prune", "-af")
        end = time.monotonic() + LIMIT
        while rest() and time.monotonic() < end:
            time.sleep(0.05)
        if rest():
            problems.append(f"left: {rest()}")
            print(f"PROBLEM {problems[-1]}")
    n = sum(done.values())
    print(f"{n} commands of {WORKERS} workers in {time.monotonic() - begun:.0f} s: {dict(sorted(done.items()))}; another one was in the way: {dict(sorted(failed.items()))}; {len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
