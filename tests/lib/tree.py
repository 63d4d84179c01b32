#!/usr/bin/env python3
"""Prints a directory as text, one line an entry, so that two trees are equal when their texts are.

    tree.py DIR [--merge-whiteouts] [--no-dir-times] [--skip NAME]…

A line: name, kind, mode, uid:gid, size, mtime in ns, link target or number of the group of hard links, xattrs, digest.
--merge-whiteouts: a tree that GNU tar extracted is shown as an overlay layer shows it: ".wh.x" as a whiteout of x, ".wh..wh..opq"
as the directory's attribute, devices left out.
"""
import argparse, collections, hashlib, os, stat

ap = argparse.ArgumentParser()
ap.add_argument("dir")
ap.add_argument("--merge-whiteouts", action="store_true")
ap.add_argument("--no-dir-times", action="store_true")
ap.add_argument("--skip", action="append", default=[])
o = ap.parse_args()
groups, lines = {}, []
# links of a file elsewhere are none of the tree's business
names = collections.Counter(os.lstat(os.path.join(top, f)).st_ino for top, _, files in os.walk(o.dir) for f in files)


def xattrs(path):
    found = []
    for name in os.listxattr(path, follow_symlinks=False):
        if name == "security.selinux":
            continue
        value = os.getxattr(path, name, follow_symlinks=False)
        if name == "security.capability":
            value = value[:20]
        if name in ("user.overlay.opaque", "user.overlay.origin"):
            continue
        found.append("%s=%s" % (name, value.hex()))
    return ",".join(sorted(found))


def opaque(path):
    if o.merge_whiteouts:
        return os.path.exists(os.path.join(path, ".wh..wh..opq"))
    return "user.overlay.opaque" in os.listxattr(path)


def show(path, name):
    st = os.lstat(path)
    base = os.path.basename(name)
    if o.merge_whiteouts and base == ".wh..wh..opq":
        return
    if o.merge_whiteouts and base.startswith(".wh."):
        lines.append("%s whiteout" % os.path.join(os.path.dirname(name), base[4:]))
        return
    if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
        lines.append("%s whiteout" % name)
        return
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        return
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo"}[stat.S_IFMT(st.st_mode)]
    extra, size, when = "", st.st_size, st.st_mtime_ns
    if kind == "link":
        extra = os.readlink(path)
    elif kind == "file":
        with open(path, "rb") as f:
            extra = hashlib.sha256(f.read()).hexdigest()[:16]
        if names[st.st_ino] > 1:
            extra += " =" + groups.setdefault(st.st_ino, name)
    elif kind == "dir":
        size, when = 0, 0 if o.no_dir_times else when
        extra = "opaque" if opaque(path) else ""
    lines.append("%s %s %o %d:%d %d %d %s %s" % (name, kind, stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, size, when, extra, xattrs(path)))


def walk(path, name):
    show(path, name)
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for entry in sorted(os.listdir(path)):
            if entry not in o.skip:
                walk(os.path.join(path, entry), name + "/" + entry)


walk(o.dir, ".")
print("\n".join(sorted(x.encode(errors="surrogateescape").decode("latin1") for x in lines)))
