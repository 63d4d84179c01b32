"""Cases of layers for coracle-unpack: each is a function that returns a layer's bytes, and what must become of it.

A layer is refused with an error of a kind, or unpacked with given contents. After every case the directories beside the
layer must be as they were. Runs as an unprivileged user with subordinate ids. main() runs the cases named in argv, or
all; with "--dump DIR" it writes them as seeds for tests/fuzz/fuzz_layer.c.
"""
import os
import resource
import shutil
import subprocess
import sys
import tempfile

import unpack
from rawtar import END

WORK = tempfile.mkdtemp(prefix="layers-", dir=os.environ.get("TMPDIR", "/tmp"))
CASES = []


def case(expect, check=None, end=True, raw=False):
    """Decorator: the function returns the layer's bytes. `expect` is "ok" or (kind, words of the error)."""
    def add(fn):
        CASES.append((fn.__name__, fn, expect, check, end and not raw))
        return fn
    return add


def text(root, name):
    with open(os.path.join(root, name), "rb") as f:
        return f.read()


def snapshot(path):
    seen = []
    for at, dirs, files in os.walk(path):
        for n in dirs + files:
            st = os.lstat(os.path.join(at, n))
            seen.append((os.path.join(at, n), st.st_mode, st.st_size, st.st_mtime_ns, st.st_nlink))
    return sorted(seen)


def remove(path):
    subprocess.run(unpack.USERNS + ["rm", "-rf", path], check=True)


def cpu_time():
    """Of what was started and has ended, in seconds: a busy machine takes longer by the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(name, make, expect, check, end):
    root, blob = os.path.join(WORK, "layer"), os.path.join(WORK, "blob")
    os.mkdir(root)
    data = make()
    with open(blob, "wb") as f:
        f.write(data + (END if end else b""))
    before, began = snapshot(os.path.join(WORK, "canary")), cpu_time()
    try:
        unpack.layer(blob, root)
        got = "ok"
    except unpack.Refused as e:
        causes, at = [], e.error
        while isinstance(at, dict):
            causes.append(at.get("message", ""))
            at = at.get("cause")
        got = (e.error.get("kind"), ": ".join(causes))
    problem = None
    if expect == "ok":
        if got != "ok":
            problem = "refused: %s: %s" % got
        elif check and not check(root):
            problem = "unpacked to something else"
    elif got == "ok" or got[0] != expect[0] or expect[1] not in got[1]:
        problem = "expected %s, got %s" % (expect, got)
    if snapshot(os.path.join(WORK, "canary")) != before:
        problem = "wrote outside of the layer"
    if cpu_time() - began > 60:
        problem = "took more than a minute of processor time"
    remove(root)
    os.unlink(blob)
    print("%s %s%s" % ("not ok" if problem else "ok", name, ": " + problem if problem else ""))
    return problem is None


def dump(directory):
    for name, make, _, _, end in CASES:
        data = make() + (END if end else b"")
        packed = data[:2] in (b"\x1f\x8b", b"\x28\xb5", b"\xfd7", b"BZ")
        for way, suffix in ((1, ""), (3, "_inflate")) if packed else ((0, ""), (2, "_place")):
            if len(data) < 200000:
                with open(os.path.join(directory, name + suffix), "wb") as f:
                    f.write(bytes([way]) + data)
    return 0


def run_all():
    os.mkdir(os.path.join(WORK, "canary"))
    with open(os.path.join(WORK, "canary", "secret"), "w") as f:
        f.write("secret")
    chosen = [c for c in CASES if len(sys.argv) < 2 or c[0] in sys.argv[1:]]
    bad = sum(not run(*c) for c in chosen)
    print("%d cases, %d failed" % (len(chosen), bad))
    return 1 if bad or not chosen else 0


def main():
    try:
        sys.exit(dump(sys.argv[2]) if sys.argv[1:2] == ["--dump"] else run_all())
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
