#!/usr/bin/python3
"""Power cuts without a machine to cut: what coracle does to its store is logged, and replayed into states after a crash.

    crashlog.py STATES [SEED]      as root, who may trace what is not dumpable; $CRASH_USER is who runs coracle, with HOME,
                                   XDG_RUNTIME_DIR and PATH as in a bats file, and $SMALL_TAR

strace logs every change of the store that a list of commands makes, with data, syncs, and the moments at which each command
said that it was done. A state is made of a moment and of what a disk may have kept of the changes until then:
  * ordered (ext4, xfs): names and attributes up to any point after the last sync of anything; file data that nobody synced
    is there, cut short, or gone with the length that it had
  * weak (btrfs): all up to any point, the last transaction, and of what came later only what a sync covers; a sync of a file
    or directory covers it and the directories that lead to it, and nothing else
In each state: `system check` finds nothing, lists warn of nothing, what was acknowledged is there (or gone), and a command
goes on working. Files that other processes than coracle's own wrote (layers, archives' members) are taken as they were in the
end once a sync covers them, and as empty before.
"""
import copy, glob, hashlib, os, pwd, random, re, shutil, subprocess, sys, time

HOME = os.environ["HOME"]
WORK = os.path.join(HOME, "crashlog")
ROOT = os.path.join(WORK, "store")
CALLS = ("openat,openat2,write,pwrite64,writev,ftruncate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,"
         "symlink,symlinkat,fsync,fdatasync,syncfs,fchmod,fchmodat,copy_file_range,sendfile,splice,dup3")

# Steps: the command, and what it promises: +kind:name is there from then on, -kind:name is gone, ?kind:name is either (that
# a container is gone is not synced).
STEPS = [
    ("import --change CMD=[\"/bin/sh\"] TAR imp:1", "+image:imp:1"),
    ("tag imp:1 tagged:1", "+image:tagged:1"),
    ("volume create vol1", "+volume:vol1"),
    ("create --name made --network none -v vol1:/data imp:1 true", "+container:made"),
    ("commit --change LABEL=a=b made com:1", "+image:com:1"),
    ("run --network none --name ran imp:1 true", "+container:ran"),
    ("rename made renamed", "?container:made +container:renamed"),
    ("network create net1", "+network:net1"),
    ("load -i ARCHIVE", "+image:loaded:1"),
    ("update --restart no renamed", ""),
    ("rmi tagged:1", "-image:tagged:1"),
    ("tag com:1 imp:1", "+image:imp:1"),
    ("rm ran", "?container:ran"),
    ("run --rm --network none com:1 true", ""),
    ("cp /etc/passwd renamed:/passwd", ""),
    ("volume create vol2", "+volume:vol2"),
    ("rm renamed", "?container:renamed"),
    ("volume rm vol1", "-volume:vol1"),
    ("rmi loaded:1", "-image:loaded:1"),
    ("network rm net1", "-network:net1"),
    ("import TAR imp:2", "+image:imp:2"),
    ("system prune -af", "-image:imp:1 -image:com:1 -image:imp:2"),
]


USER = pwd.getpwnam(os.environ["CRASH_USER"])
ENV = dict(os.environ, USER=USER.pw_name)


def as_user():
    return {"user": USER.pw_uid, "group": USER.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def coracle(*args, root=ROOT):
    return subprocess.run(["coracle", "--root", root, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env=ENV, **as_user())


def must(*args, root=ROOT):
    p = coracle(*args, root=root)
    if p.returncode:
        sys.exit(f"coracle {' '.join(args)}: {p.stderr.decode()}")
    return p.stdout.decode()


# ---- the log ----

def unhex(s):
    return re.sub(rb"(?:\\x[0-9a-f]{2})+", lambda m: bytes.fromhex(m.group(0).decode().replace("\\x", "")), s.encode())


ARG = re.compile(r'(\w+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>|"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def parse(line):
    """(call, [fd path or string], text, result, result's path) or None."""
    m = re.match(r"[\d.]+ (\w+)\((.*)\) += (-?\d+)(?:<((?:\\x[0-9a-f]{2})*)>)?", line)
    if not m or int(m[3]) < 0:
        return None
    args = [("fd", unhex(a[2]).decode("utf8", "replace")) if a[1] else ("s", unhex(a[3])) for a in ARG.finditer(m[2])]
    return m[1], args, m[2], int(m[3]), unhex(m[4]).decode("utf8", "replace") if m[4] else None


def path_of(dirpath, name):
    name = name.decode("utf8", "replace")
    p = os.path.normpath(name if name.startswith("/") else os.path.join(dirpath, name))
    return os.path.relpath(p, ROOT) if p == ROOT or p.startswith(ROOT + "/") else None


def inside(p):
    p = p.removesuffix("\\x20(deleted)").removesuffix(" (deleted)")
    return os.path.relpath(p, ROOT) if p == ROOT or p.startswith(ROOT + "/") else None


def pairs(args):
    """Paths of (fd, string) argument pairs."""
    return [path_of(args[i][1], args[i + 1][1]) for i in range(len(args) - 1) if args[i][0] == "fd" and args[i + 1][0] == "s"]


def octal(text):
    m = re.search(r"(0[0-7]*)$", text)
    return int(m[1], 8) if m else 0


def ops_of(line):
    """Changes that one line of the log is: tuples, the first of them the kind."""
    got = parse(line)
    if not got:
        return []
    call, args, text, result, result_path = got
    if call in ("openat", "openat2"):
        p = inside(result_path) if result_path else None
        if p is None or "O_CREAT" not in text and "O_TRUNC" not in text:
            return []
        return ([("creat", p)] if "O_CREAT" in text else []) + ([("trunc", p)] if "O_TRUNC" in text else [])
    if call in ("write", "pwrite64"):
        p = inside(args[0][1]) if args and args[0][0] == "fd" else None
        return [] if p is None else [("write", p, args[1][1][:result])] if len(args) > 1 and args[1][0] == "s" else []
    if call in ("copy_file_range", "sendfile", "splice", "writev"):
        fds = [a[1] for a in args if a[0] == "fd"]
        p = inside(fds[1 if call in ("copy_file_range", "splice") and len(fds) > 1 else 0]) if fds else None
        return [] if p is None else [("extern", p)]
    if call in ("fsync", "fdatasync", "fchmod", "syncfs", "ftruncate"):
        p = inside(args[0][1]) if args and args[0][0] == "fd" else None
        if p is None:
            return []
        return {"fchmod": [("chmod", p, octal(text))], "ftruncate": [("trunc", p)], "syncfs": [("syncfs",)]}.get(call, [("fsync", p)])
    names = pairs(args)
    if call in ("mkdir", "mkdirat"):
        return [("mkdir", n, octal(text)) for n in names if n]
    if call in ("rename", "renameat", "renameat2", "link", "linkat"):
        if len(names) != 2 or None in names:
            return []
        return [("exchange" if "RENAME_EXCHANGE" in text else call[:4] if call.startswith("link") else "rename", *names)]
    if call in ("unlink", "unlinkat"):
        return [("unlink", n) for n in names if n]
    if call in ("symlink", "symlinkat"):
        target = args[0][1]
        return [("symlink", path_of(args[1][1], args[2][1]), target.decode())] if len(args) > 2 and path_of(args[1][1], args[2][1]) else []
    return []


def record():
    """Runs the steps under strace: [(time, op)], [(started, done, promises)]."""
    log, acks = [], []
    for number, (command, promises) in enumerate(STEPS):
        words = command.replace("TAR", os.environ["SMALL_TAR"]).replace("ARCHIVE", os.path.join(WORK, "archive")).split()
        words = [w.replace("CMD=", "CMD ").replace("LABEL=", "LABEL ") for w in words]
        trace = os.path.join(WORK, f"trace{number}")
        os.mkdir(trace)
        p = subprocess.run(["strace", "-u", USER.pw_name, "-ff", "-y", "-ttt", "-xx", "-s", "400000", "-o", trace + "/t", "-e", "trace=" + CALLS, "--",
                            "coracle", "--root", ROOT, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
        if p.returncode:
            sys.exit(f"coracle {' '.join(words)}: {p.stderr.decode()}")
        first = last = None
        for file in glob.glob(trace + "/t.*"):
            lines = open(file).read().splitlines()
            if lines and (first is None or float(lines[0].split()[0]) < first):
                first = float(lines[0].split()[0])
                last = float(lines[-1].split()[0])  # of the command's own process, which began first
            for line in lines:
                log += [(float(line.split(" ", 1)[0]), op) for op in ops_of(line)]
        acks.append((first, last, promises.split()))
        shutil.rmtree(trace)
    log.sort(key=lambda x: x[0])
    return log, acks


# ---- a file system in memory ----

class Node:
    def __init__(self, kind, target=None):
        self.kind, self.target = kind, target
        self.data, self.synced, self.extern = b"", b"", False
        self.entries = {}


class Tree:
    """What the store's directory holds. Nodes keep their identity over renames."""

    def __init__(self):
        self.root = Node("dir")

    def find(self, path):
        n = self.root
        for part in [] if path == "." else path.split("/"):
            n = n.entries.get(part) if n else None
        return n

    def place(self, path):
        d, name = os.path.split(path)
        return self.find(d or "."), name

    def load(self, where, node=None):
        node = node or self.root
        for e in os.scandir(where):
            st = e.stat(follow_symlinks=False)
            if e.is_symlink():
                n = Node("link", os.readlink(e.path))
            elif e.is_dir():
                n = Node("dir")
                try:
                    self.load(e.path, n)
                except PermissionError:
                    pass
            else:
                n = Node("file")
                n.data = n.synced = open(e.path, "rb").read() if os.access(e.path, os.R_OK) else b""
            n.mode, n.times = st.st_mode & 0o7777, (st.st_atime_ns, st.st_mtime_ns)
            node.entries[e.name] = n
        return self

    def apply(self, op, nodes=None):
        """False when it cannot be done here. `nodes`: what creations are to put there, so that states share nodes."""
        kind = op[0]
        if kind in ("mkdir", "creat", "symlink"):
            d, name = self.place(op[1])
            if d is None or d.kind != "dir":
                return False
            if name in d.entries:
                return kind == "creat"
            d.entries[name] = n = Node({"mkdir": "dir", "creat": "file", "symlink": "link"}[kind], op[2] if kind == "symlink" else None)
            if kind == "mkdir":
                n.mode = op[2]
            return True
        if kind in ("rename", "exchange", "link"):
            (a, x), (b, y) = self.place(op[1]), self.place(op[2])
            if not a or not b or x not in a.entries:
                return False
            if kind == "exchange":
                if y not in b.entries:
                    return False
                a.entries[x], b.entries[y] = b.entries[y], a.entries[x]
                return True
            b.entries[y] = a.entries[x] if kind == "link" else a.entries.pop(x)
            return True
        if kind == "unlink":
            d, name = self.place(op[1])
            return d is not None and d.entries.pop(name, None) is not None
        n = self.find(op[1]) if len(op) > 1 else self.root
        if n is None:
            return False
        if kind == "write":
            n.data += op[2]
        elif kind == "trunc":
            n.data = b""
        elif kind == "extern":
            n.extern = True
        elif kind == "chmod":
            n.mode = op[2]
        return True


def walk(n, path=""):
    yield path, n
    for name, e in n.entries.items():
        yield from walk(e, f"{path}/{name}" if path else name)


class Replay:
    """The whole log once, to know of each change what it depends on, and which syncs cover it."""

    def __init__(self, base, log, final):
        self.base, self.log = base, [op for _, op in log]
        self.final = final
        self.deps, self.cover = [], []
        tree = copy.deepcopy(base)
        touched = {}  # key → indexes of the changes that touched it
        for i, op in enumerate(self.log):
            keys = self.keys(tree, op)
            self.deps.append(sorted({k for key in keys for k in touched.get(key, [])[-1:]}))
            if op[0] == "fsync":
                n = tree.find(op[1])
                own = [k for k in touched.get(("node", id(n)), [])] + [k for key, v in touched.items() if key[0] == "dir" and key[1] == id(n) for k in v]
                self.cover.append((i, sorted(set(own + [k for p in self.parents(tree, op[1]) for k in touched.get(p, [])[-1:]])), id(n)))
            elif op[0] == "syncfs":
                self.cover.append((i, list(range(i)), None))
            for key in keys:
                touched.setdefault(key, []).append(i)
            tree.apply(op)
            if op[0] in ("mkdir", "creat", "symlink"):
                touched.setdefault(("node", id(tree.find(op[1]))), []).append(i)
            self.keep = tree  # identities stay valid
        self.whole = tree

    @staticmethod
    def parents(tree, path):
        out = []
        while path and path != ".":
            d, name = tree.place(path)
            out.append(("dir", id(d), name))
            path = os.path.dirname(path)
        return out

    def keys(self, tree, op):
        out = []
        for path in [p for p in op[1:3 if op[0] in ("rename", "exchange", "link") else 2] if isinstance(p, str)]:
            out += self.parents(tree, path)
            n = tree.find(path)
            if n:
                out.append(("node", id(n)))
        return out


def synced_data(replay, moment):
    """Indexes of writes whose data a sync before `moment` covers."""
    done = set()
    for i, covered, _ in replay.cover:
        if i < moment:
            done.update(covered)
    return done


def state(replay, moment, kept, rng):
    """The tree of the changes `kept`, with data that no sync covers there, short or gone."""
    safe = synced_data(replay, moment)
    tree = copy.deepcopy(replay.base)
    lossy = {}
    for i in kept:
        op = replay.log[i]
        if op[0] == "write" and i not in safe:
            n = tree.find(op[1])
            if n is None:
                continue
            fate = lossy.setdefault(id(n), rng.choice(["gone", "short", "all", "zeros"]))
            data = {"gone": b"", "short": op[2][:rng.randrange(len(op[2]) + 1)], "all": op[2], "zeros": bytes(len(op[2]))}[fate]
            n.data += data
        else:
            tree.apply(op)
    return tree


def ordered(replay, moment, rng):
    last = max([i for i, _, _ in replay.cover if i < moment], default=0)
    return list(range(rng.randrange(last, moment) + 1 if moment > last else moment))


def weak(replay, moment, rng):
    need = set()
    todo = [k for i, covered, _ in replay.cover if i < moment for k in covered]
    while todo:
        k = todo.pop()
        if k not in need:
            need.add(k)
            todo += replay.deps[k]
    return sorted(need | set(range(rng.randrange(moment + 1))))


# ---- one state ----

def external(path, final):
    """A file or tree that we did not see written: as it was in the end."""
    return final.get(path)


def write_out(n, where, mode=0o700):
    if n.kind == "dir":
        os.makedirs(where, exist_ok=True)
        for name, e in n.entries.items():
            write_out(e, os.path.join(where, name))
        os.chmod(where, getattr(n, "mode", 0o700))
    elif n.kind == "link":
        os.symlink(n.target, where)
    else:
        with open(where, "wb") as f:
            f.write(n.data)
        os.chmod(where, getattr(n, "mode", 0o444 if "/blobs/sha256/" in where else 0o600))
        if hasattr(n, "times"):
            os.utime(where, ns=n.times)


def fill(tree, finals):
    """Layers, and blobs that came from archives, lie where they were moved to only once they were synced: as they were."""
    for sub in ("layers", "blobs/sha256"):
        d = tree.find(sub)
        for name, n in list(d.entries.items()) if d else []:
            if name in finals[sub] and (sub == "layers" or not n.data):
                d.entries[name] = finals[sub][name]


def fingerprint(tree):
    h = hashlib.sha256()
    for path, n in sorted(walk(tree.root), key=lambda x: x[0]):
        if not path.startswith("tmp/"):
            h.update(f"{path}\0{n.kind}\0{n.target}\0".encode() + (n.data if not path.startswith("layers/") else b""))
    return h.hexdigest()


def there(kind, name):
    args = {"image": ["image", "inspect"], "container": ["inspect"], "volume": ["volume", "inspect"], "network": ["network", "inspect"]}[kind]
    return coracle(*args, name).returncode == 0


def lists():
    """All names that the store shows, and what was warned of."""
    names, warned = set(), ""
    for kind, args in (("image", ["images", "--format", "{{.Repository}}:{{.Tag}}"]), ("container", ["ps", "-a", "--format", "{{.Names}}"]),
                       ("volume", ["volume", "ls", "-q"]), ("network", ["network", "ls", "--format", "{{.Name}}"])):
        p = coracle(*args)
        warned += p.stderr.decode()
        if p.returncode:
            warned += f"{args} exits with {p.returncode}"
        names |= {f"{kind}:{n}" for n in p.stdout.decode().split()}
    return names, warned


def promised(acks, times, moment):
    """What must be there and what must not, when the power goes right after change `moment`."""
    now = times[moment - 1] if moment else 0
    must_be, must_not = set(), set()
    for started, done, promises in acks:
        for p in promises:
            what = p[1:]
            if started <= now:  # from here on nothing is certain …
                must_be.discard(what)
                must_not.discard(what)
            if done < now and p[0] != "?":  # … until it said so
                (must_be if p[0] == "+" else must_not).add(what)
    return must_be, must_not


def judge(tree, acks, times, moment, deep):
    shutil.rmtree(ROOT, ignore_errors=True)
    if os.path.exists(ROOT):
        must("unshare", "rm", "-rf", ROOT, root=os.path.join(WORK, "other"))
    write_out(tree.root, ROOT)
    must_be, must_not = promised(acks, times, moment)
    names, warned = lists()
    if must_be - names:
        return f"lost: {sorted(must_be - names)}"
    if must_not & names:
        return f"came back: {sorted(must_not & names)}"
    if warned:
        return f"said: {warned.strip()}"
    p = coracle("system", "check", *([] if deep else ["--quick"]))
    if p.returncode:
        return f"system check: {p.stdout.decode().strip()} {p.stderr.decode().strip()}"
    if deep:
        for words in (["import", os.environ["SMALL_TAR"], "after:1"], ["create", "--name", "made", "after:1", "true"], ["rm", "made"]):
            p = coracle(*words)
            if p.returncode and b"already in use" not in p.stderr:
                return f"then {' '.join(words)}: {p.stderr.decode().strip()}"
    return None


def main():
    wanted = int(sys.argv[1])
    seed = sys.argv[2] if len(sys.argv) > 2 else str(time.time_ns())
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    other = os.path.join(WORK, "other")
    os.makedirs(WORK)
    os.chown(WORK, USER.pw_uid, USER.pw_gid)
    must("import", os.environ["SMALL_TAR"], "loaded:1")
    must("save", "-o", os.path.join(WORK, "archive"), "loaded:1")
    must("rmi", "loaded:1")
    # holds the user namespace: so it is the same for all, and no state waits for a new one
    must("import", os.environ["SMALL_TAR"], "hold", root=other)
    must("run", "-d", "--network", "none", "--name", "hold", "hold", "sleep", "100000", root=other)
    must("volume", "create", "old")
    time_for_collector()
    base = Tree().load(ROOT)
    finals = {"layers": {}, "blobs/sha256": {}}
    steps, last = STEPS[:], STEPS[-1]
    STEPS[:] = [s for s in steps if not s[0].startswith(("rmi", "system prune"))]
    log, acks = record()
    for sub in finals:
        finals[sub] = Tree().load(os.path.join(ROOT, sub)).root.entries
    STEPS[:] = [s for s in steps if s[0].startswith(("rmi", "system prune"))]
    more, more_acks = record()
    log, acks = log + more, acks + more_acks
    replay = Replay(base, log, finals)
    times = [t for t, _ in log]
    print(f"{len(log)} changes, {len(replay.cover)} syncs, {len(acks)} commands", flush=True)
    os.setgroups([])
    os.setgid(USER.pw_gid)
    os.setuid(USER.pw_uid)
    seen, bad, made = set(), 0, 0
    begun = time.monotonic()
    while made < wanted and bad < 12:
        moment = rng.randrange(1, len(log) + 1)
        how = ordered if rng.random() < 0.5 else weak
        tree = state(replay, moment, how(replay, moment, rng), rng)
        fill(tree, finals)
        made += 1
        key = (fingerprint(tree), str(promised(acks, times, moment)))
        if key in seen:
            continue
        seen.add(key)
        why = judge(tree, acks, times, moment, rng.random() < 0.1)
        if why:
            bad += 1
            if os.environ.get("CRASH_STOP"):
                for i in range(max(0, moment - 120), moment):
                    print(i, str(replay.log[i])[:150])
                sys.exit(1)
            print(f"PROBLEM state {made} ({how.__name__}, change {moment}: {str(replay.log[moment - 1])[:200]}): {why}", flush=True)
    print(f"{made} states, {len(seen)} of them different, in {time.monotonic() - begun:.0f} s; {bad} problems")
    must("rm", "-f", "hold", root=other)
    sys.exit(1 if bad else 0)


def time_for_collector():
    end = time.monotonic() + 20
    while time.monotonic() < end and os.listdir(os.path.join(ROOT, "tmp")):
        time.sleep(0.01)


main()
