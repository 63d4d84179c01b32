"""The benchmark's cases of the store: commit, cp, removal; see cases.py. Each figure has its CPU time beside it, to be read in "/podman"."""
import os, shutil
from bench import *
from bench import case, timed
from cases import MANY

BIG_MB = int(E("BENCH_BIG_MB") or 800)


def both(r, name, x):
    r[name + "_ms"], r[name + "_cpu_ms"] = x["ms"], x["cpu_ms"]
    return r


@case("h.commit", "commit of a container that has written 100 MB", 3)
def _(t):
    t.need("busybox"); t.kill_rm("hc")
    t.out("run", "--name", "hc", "--network=none", "busybox", "dd", "if=/dev/urandom", "of=/big", "bs=1M", "count=100")
    try:
        while True:
            yield both({}, "commit", t.t("commit", "hc", "hci")); t.quiet("rmi", "hci")
    finally: t.kill_rm("hc")


def tree_of(n):
    d = os.path.join(WORK, "tree%d" % n)
    if not os.path.isdir(d):
        for i in range(n):
            x = "%s/d%d" % (d, i % 200); os.makedirs(x, exist_ok=True)
            with open("%s/f%d" % (x, i), "w") as f: f.write("x" * 500)
    return d


@case("h.cp", "cp of 20,000 small files into and out of a running container", 3)
def _(t):
    t.need("busybox"); t.kill_rm("hp"); d = tree_of(20000); o = os.path.join(WORK, "hp-out"); i = 0
    t.out("run", "-d", "--name", "hp", "--network=none", "busybox", "sleep", "1000")
    try:
        while True:
            i += 1; shutil.rmtree(o, ignore_errors=True); os.makedirs(o)
            r = both({}, "in", t.t("cp", d, "hp:/t%d" % i))
            yield both(r, "out", t.t("cp", "hp:/t%d" % i, o))
            shutil.rmtree(o, ignore_errors=True)
    finally: t.kill_rm("hp")


@case("h.rm", "rm -f of 100 running containers (podman given -t 0)", 2)
def _(t):
    t.need("busybox"); names = ["hr%d" % i for i in range(100)]
    while True:
        for n in names: t.out("run", "-d", "--name", n, "--network=none", "busybox", "sleep", "1000")
        yield both({}, "rm", t.t("rm", "-f", *(["-t", "0"] if t.kind == "podman" else []), *names))


@case("h.prune", "container prune of 1,000 created containers (BENCH_MANY)", 1)
def _(t):
    t.need("busybox")
    while True:
        for i in range(MANY): t.out("create", "--network=none", "busybox", "true")
        yield both({}, "prune", t.t("container", "prune", "-f"))


def big_tar():
    """800 MB in 20,000 files, as an image's one layer"""
    p = os.path.join(WORK, "big.tar")
    if not os.path.exists(p):
        d = os.path.join(WORK, "big"); size = BIG_MB * 1000000 // 20000
        data = os.urandom(size)
        for i in range(20000):
            x = "%s/d%d" % (d, i % 500); os.makedirs(x, exist_ok=True)
            with open("%s/f%d" % (x, i), "wb") as f: f.write(b"%08d" % i + data[8:])
        get(["tar", "-C", d, "-cf", p, "."]); shutil.rmtree(d)
    return p


@case("h.rmi", "rmi of an image of 800 MB in 20,000 files (BENCH_BIG_MB)", 2)
def _(t):
    p = big_tar()
    while True:
        t.out("import", p, "hbig"); yield both({}, "rmi", t.t("rmi", "hbig"))


@case("h.keep-id", "first start with --userns keep-id of an image of 20,000 files, and a start of the default map", 2)
def _(t):
    p = big_tar()
    while True:
        t.quiet("rmi", "hbig"); t.out("import", "--change", "CMD /x", p, "hbig")
        r = {}
        for name, args in (("default", []), ("first", ["--userns=keep-id"]), ("again", ["--userns=keep-id"])):
            t.quiet("rm", "-f", "hk")
            t.out("create", "--name", "hk", "--network=none", *args, "-v", "/bin/busybox:/x:ro", "hbig", "/x")
            both(r, name, t.t("start", "-a", "hk"))
        t.quiet("rm", "-f", "hk"); yield r
