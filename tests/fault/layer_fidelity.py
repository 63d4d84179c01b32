#!/usr/bin/env python3
"""Layers unpacked by coracle-unpack, compared file by file with GNU tar's extraction of the same archive.

One tree with everything that an image may hold (owners, modes, nanoseconds, extended attributes, capabilities, hard
links, holes, FIFOs, names of all sorts) is packed by GNU tar in each of its formats, compressed in each way, and
unpacked twice. Runs as an unprivileged user with subordinate ids. Exit status 0 when all are equal.
"""
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import unpack  # noqa: E402

FORMATS = {
    "pax": ["--format=posix", "--xattrs", "--xattrs-include=*"],
    "gnu": ["--format=gnu"],
    "oldgnu": ["--format=oldgnu"],
    "ustar": ["--format=ustar", "--exclude=*long*", "--exclude=deep", "--exclude=far", "--exclude=before-1970"],
    "pax-sparse-0.0": ["--format=posix", "--sparse", "--sparse-version=0.0", "--xattrs", "--xattrs-include=*"],
    "pax-sparse-0.1": ["--format=posix", "--sparse", "--sparse-version=0.1"],
    "pax-sparse-1.0": ["--format=posix", "--sparse", "--sparse-version=1.0"],
    "gnu-sparse": ["--format=gnu", "--sparse"],
    "unsorted": ["--format=posix", "--sort=inode"],
}
COMPRESSORS = {"plain": None, "gzip": ["gzip", "-c"], "zstd": ["zstd", "-q", "-c"], "xz": ["xz", "-c", "-0"],
               "bzip2": ["bzip2", "-c"], "zstd-long": ["zstd", "-q", "-c", "--long=27"]}


def make_tree(top):
    """Runs inside the user namespace."""
    os.umask(0)
    os.chdir(top)

    def file(name, data=b"data", mode=0o644, uid=0, gid=0, mtime=1500000000123456789):
        with open(name, "wb") as f:
            f.write(data)
        os.chown(name, uid, gid)
        os.chmod(name, mode)
        os.utime(name, ns=(mtime, mtime))

    for d, mode, uid, gid in (("etc", 0o755, 0, 0), ("shared", 0o2775, 0, 50), ("tmp", 0o1777, 0, 0), ("secret", 0o700, 33, 33),
                              ("readonly", 0o555, 1000, 1000), ("none", 0o000, 0, 0), ("shared/inner", 0o2755, 0, 50)):
        os.mkdir(d)
        os.chown(d, uid, gid)
        os.chmod(d, mode)
    for i, mode in enumerate((0o644, 0o600, 0o000, 0o755, 0o4755, 0o2755, 0o6711, 0o1644, 0o777, 0o444)):
        file("etc/mode%o" % mode, os.urandom(i * 777), mode, uid=i * 100, gid=i)
    file("shared/root-owned")
    file("shared/inner/setgid", mode=0o2755)
    file("shared/group", gid=50)
    file("secret/key", uid=65534, gid=65535)
    file("readonly/f", uid=1000, gid=1000)
    file("empty", b"")
    file("block", os.urandom(512))
    file("big", os.urandom(3000001))
    file("old", mtime=1)
    file("before-1970", mtime=-1000000000)
    file("far", mtime=4000000000999999999)
    file("capable", b"#!/bin/true", 0o755)
    subprocess.run(["setcap", "cap_net_raw,cap_net_admin+ep", "capable"], check=True)
    os.setxattr("capable", "user.note", b"with\0zero")
    os.setxattr("etc", "user.dir", "ünïcode".encode())
    file("\u00fcnic\u00f6de-\u6f22")
    file("e\u0301-decomposed")
    file(b"latin1-\xe9")
    file("with space\tand tab")
    file("._appledouble")
    file("long-" + "n" * 240)
    os.symlink("long-target-" + "t" * 300, "symlink-long")
    os.symlink("etc/mode644", "symlink")
    os.symlink("/abs/../olute", "symlink-abs")
    os.chown("symlink", 7, 8, follow_symlinks=False)
    os.utime("symlink", ns=(1, 1600000000000000001), follow_symlinks=False)
    for i in range(3):
        os.link("big", "hard%d" % i)
    os.link("symlink", "hard-symlink")
    os.link("etc/mode644", "shared/hard")
    os.mkfifo("fifo", 0o640)
    deep = "deep"
    for i in range(40):
        os.mkdir(deep)
        deep += "/level%d" % i
    os.mkdir(deep)
    file(deep + "/bottom")
    with open("holes", "wb") as f:
        for at in (0, 1 << 20, 5 << 20, (9 << 20) + 5):
            f.seek(at)
            f.write(b"island")
        f.truncate(12 << 20)
    with open("hole-only", "wb") as f:
        f.truncate(7 << 20)
    with open("zeros", "wb") as f:
        f.write(b"\0" * 1000000)
    for at, dirs, _ in os.walk(".", topdown=False):
        os.utime(at, ns=(1, 1400000000000000000 + len(at)))


def describe(top):
    """Runs inside the user namespace: everything about every file, as JSON."""
    seen, links = {}, {}
    for at, dirs, files in os.walk(os.fsencode(top)):
        for name in [b"."] + dirs + files:
            path = os.path.join(at, name)
            st = os.lstat(path)
            if name == b"." and at != os.fsencode(top):
                continue
            rel = os.path.relpath(path, os.fsencode(top)).decode("latin1")
            d = {"mode": "%o" % st.st_mode, "owner": [st.st_uid, st.st_gid], "mtime": st.st_mtime_ns}
            d["xattrs"] = {x: os.getxattr(path, x, follow_symlinks=False).hex()
                           for x in os.listxattr(path, follow_symlinks=False)}
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    d["data"] = hashlib.sha256(f.read()).hexdigest()
                d["size"] = st.st_size
                d["sparse"] = st.st_blocks * 512 < st.st_size // 2
            if stat.S_ISLNK(st.st_mode):
                d["target"] = os.readlink(path).decode("latin1")
            if not stat.S_ISDIR(st.st_mode):
                d["links"] = st.st_nlink
                links.setdefault(st.st_ino, []).append(rel)
                d["first"] = sorted(links[st.st_ino])
            seen[rel] = d
    for group in links.values():
        for rel in group:
            seen[rel]["first"] = sorted(group)
    json.dump(seen, sys.stdout, sort_keys=True)


def inside(*argv, **kw):
    return subprocess.run(unpack.USERNS + list(argv), check=True, capture_output=True, **kw).stdout


def me(what, path):
    return inside(sys.executable, os.path.abspath(__file__), what, path)


def compare(label, want, got, ignore_holes):
    bad = []
    for rel in sorted(set(want) | set(got)):
        a, b = want.get(rel), got.get(rel)
        if a is None or b is None:
            bad.append("%s is %s" % (rel, "too much" if a is None else "missing"))
            continue
        for key in a:
            if a[key] != b.get(key) and not (key == "sparse" and (ignore_holes or b["sparse"])):
                bad.append("%s: %s is %s, not %s" % (rel, key, b.get(key), a[key]))
    print("%s %s" % ("not ok" if bad else "ok", label))
    for line in bad[:20]:
        print("#   " + line)
    return not bad


def check(work, name, compressor, command):
    tar, ours, theirs = (os.path.join(work, x) for x in ("layer.tar", "ours", "theirs"))
    os.mkdir(ours)
    os.mkdir(theirs)
    inside("tar", "-C", os.path.join(work, "tree"), *FORMATS[name], "-cf", tar, ".")
    blob = tar
    if command:
        blob = tar + ".z"
        with open(blob, "wb") as f:
            subprocess.run(command + [tar], stdout=f, check=True)
    with open(blob, "rb") as f:
        blob_digest = hashlib.sha256(f.read()).hexdigest()
    with open(tar, "rb") as f:
        diff_id = hashlib.sha256(f.read()).hexdigest()
    inside("tar", "-C", theirs, "-xpf", tar, "--numeric-owner", "--xattrs", "--xattrs-include=*")
    result = unpack.layer(blob, ours)
    good = compare("%s %s" % (name, compressor), json.loads(me("describe", theirs)), json.loads(me("describe", ours)),
                   "sparse" not in name)
    if (result["blob_digest"], result["diff_id"]) != ("sha256:" + blob_digest, "sha256:" + diff_id):
        print("#   digests differ")
        good = False
    inside("rm", "-rf", ours, theirs)
    return good


def main():
    work = tempfile.mkdtemp(prefix="fidelity-", dir=os.environ.get("TMPDIR", "/tmp"))
    try:
        os.mkdir(os.path.join(work, "tree"))
        me("make", os.path.join(work, "tree"))
        good = all([check(work, name, "plain", None) for name in FORMATS])
        good &= all([check(work, "pax", name, command) for name, command in COMPRESSORS.items()])
        return 0 if good else 1
    finally:
        inside("rm", "-rf", work)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        {"make": make_tree, "describe": describe}[sys.argv[1]](sys.argv[2])
    else:
        sys.exit(main())
