#!/usr/bin/env python3
"""Three layer tars, by GNU tar, with all that an image may hold. Run it as root of a user namespace with 65,536 ids.

    richlayers.py DIR BUSYBOX     writes DIR/0.tar, 1.tar and 2.tar

0: owners, modes, times to the nanosecond, xattrs, a capability, hard links, a sparse file, FIFO, long and odd names
1: whiteouts, an opaque directory, a file in a directory's place and the reverse, devices
2: what 1 removed is there again, and a new hard link
"""
import os, shutil, subprocess, sys

top, busybox = sys.argv[1:3]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rawtar  # noqa: E402

WHEN = 1500000000123456789


def start(n):
    path = os.path.join(top, "tree%d" % n)
    os.makedirs(path)
    os.chdir(path)
    os.umask(0)


def file(name, data=b"data\n", mode=0o644, uid=0, gid=0, when=WHEN):
    if os.path.dirname(name):
        os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as f:
        f.write(data)
    os.chown(name, uid, gid)
    os.chmod(name, mode)
    os.utime(name, ns=(when, when))


def directory(name, mode=0o755, uid=0, gid=0):
    os.makedirs(name, exist_ok=True)
    os.chown(name, uid, gid)
    os.chmod(name, mode)


def pack(n):
    for at, dirs, _ in os.walk("."):
        for d in dirs:
            if not os.path.islink(os.path.join(at, d)):
                os.utime(os.path.join(at, d), ns=(WHEN, WHEN))
    os.utime(".", ns=(WHEN, WHEN))
    subprocess.run(["tar", "--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sort=name",
                    "-cf", os.path.join(top, "%d.tar" % n), "."], check=True)


start(0)
for d in ("bin", "etc", "proc", "sys", "dev", "var/lib", "srv"):
    directory(d)
directory("tmp", 0o1777)
directory("shared", 0o2775, 0, 50)
directory("home/alice", 0o700, 1000, 1000)
directory("closed", 0o000, 33, 33)
shutil.copy(busybox, "bin/busybox")
os.symlink("busybox", "bin/sh")
file("etc/passwd", b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
for i, mode in enumerate((0o644, 0o600, 0o000, 0o4755, 0o2755, 0o6711, 0o1644, 0o444)):
    file("modes/%04o" % mode, os.urandom(100 * i), mode, i * 9000, i)
file("highest", uid=65535, gid=65534)
file("home/alice/.profile", uid=1000, gid=1000, when=1)
file("old/gone-later", b"1")
file("old/stays", b"2")
file("old/deep/er/file", b"3")
file("opaque/below", b"below")
file("opaque/dir/below", b"below")
file("becomes-dir", b"file")
file("becomes-file/inside", b"dir")
file("again", b"first")
file("links/a", b"linked")
os.link("links/a", "links/b")
os.link("links/a", "links-c")
os.symlink("../etc/passwd", "links/symlink")
os.symlink("/nowhere/" + "x" * 200, "links/dangling")
os.chown("links/dangling", 7, 8, follow_symlinks=False)
os.mkfifo("pipe", 0o640)
file("xattr", b"x")
os.setxattr("xattr", "user.note", b"with\0zero")
file("capable", b"#!/bin/sh\n", 0o755)
subprocess.run(["setcap", "cap_net_raw,cap_net_bind_service+ep", "capable"], check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
os.utime("capable", ns=(WHEN, WHEN))
with open("sparse", "wb") as f:
    f.truncate(64 << 20)
    f.seek(5 << 20)
    f.write(b"island")
    f.seek((64 << 20) - 3)
    f.write(b"end")
os.utime("sparse", ns=(WHEN, WHEN))
file("n" * 255)
file("/".join(["d" * 60] * 10) + "/far")
file("\u00fcml\u00e4ut \u6f22\nnew line")
file(b"latin1-\xe9")
pack(0)

start(1)
directory("srv")
file("old/.wh.gone-later", b"")
file("old/.wh.deep", b"")
file("opaque/.wh..wh..opq", b"")
file("opaque/above", b"above")
file(".wh.again", b"")
file(".wh.links-c", b"")
file("becomes-dir/inside", b"dir now")
file("becomes-file", b"file now")
pack(1)
with open(os.path.join(top, "1.tar"), "r+b") as f:  # devices, which nobody here may make: before the end of the archive
    data = f.read().rstrip(b"\0")
    data += b"\0" * (-len(data) % 512)
    f.seek(0)
    f.truncate()
    f.write(data + rawtar.header("srv/null", b"3", dev=b"0000001\0" + b"0000003\0", mode=0o666) +
            rawtar.header("srv/sda", b"4", dev=b"0000010\0" + b"0000000\0", mode=0o660) + rawtar.END)

start(2)
file("again", b"second")
file("old/deep/er/new", b"4")
file("links/b", b"new")
os.link("links/b", "links/d")
pack(2)
