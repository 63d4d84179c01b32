#!/usr/bin/python3
"""A coracle-net that is killed when it has done what it was asked and before it can say so.

    between.py REAL MARK OP HELPER-ARGUMENT…

Stands between the real helper and everybody else, and passes on what they say. When the helper answers a request of the kind OP, everybody
else hears what it has said to them, the file MARK goes, and both die. Without MARK it is the real helper.
"""
import array
import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys

LISTENER, SUBREAPER = 3, 36


def start_real(real, path, arguments):
    """Behind a socket of ours; the pid of its warden, which is left to us."""
    inner = socket.socket(socket.AF_UNIX)
    inner.bind(path)
    inner.listen(128)
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    place = lambda: os.dup2(inner.fileno(), LISTENER)
    subprocess.run(["coracle-net", *arguments], executable=real, close_fds=False, preexec_fn=place, check=True)
    inner.close()
    with open(f"/proc/self/task/{os.getpid()}/children") as f:
        return int(f.read().split()[0])


def pass_on(source, target):
    """What there is; nothing at the end."""
    try:
        data, control, _, _ = source.recvmsg(1 << 20, socket.CMSG_SPACE(64))
    except ConnectionResetError:
        return b""
    with contextlib.suppress(OSError):
        sent = target.sendmsg([data], control) if data else 0
        target.sendall(data[sent:])
    for _, _, fds in control:
        for fd in array.array("i", fds[: len(fds) // 4 * 4]):
            os.close(fd)
    return data


class Between:
    def __init__(self, path, op):
        self.outer = socket.socket(fileno=fcntl.fcntl(LISTENER, fcntl.F_DUPFD_CLOEXEC, 10))
        self.path, self.asks = path, f'"op":"{op}"'.encode()
        self.other = {}  # of each socket
        self.fatal = None  # the helper's side of whose answer must not be heard

    def accept(self):
        client, helper = self.outer.accept()[0], socket.socket(socket.AF_UNIX)
        helper.connect(self.path)
        self.other.update({client: helper, helper: client})

    def move(self, source):
        target = self.other[source]
        data = pass_on(source, target)
        if self.asks in data:
            self.fatal = target
        if not data:
            for s in (source, target):
                del self.other[s]
                s.close()

    def until_done(self):
        while True:
            ready = select.select([self.outer, *self.other], [], [])[0]
            if self.outer in ready:
                self.accept()
            for s in ready:
                if s in self.other and s is not self.fatal:
                    self.move(s)
            if self.fatal in ready:
                for s in select.select([s for s in self.other if s is not self.fatal], [], [], 0)[0]:
                    if s in self.other:
                        self.move(s)
                return


def main():
    real, mark, op, *arguments = sys.argv[1:]
    if not os.path.exists(mark):
        os.execv(real, ["coracle-net", *arguments])
    if os.fork():
        os._exit(0)
    between = Between(f"{mark}.sock", op)
    warden = start_real(real, between.path, arguments)
    between.until_done()
    os.kill(warden, signal.SIGKILL)
    for path in (mark, between.path):
        os.unlink(path)


main()
