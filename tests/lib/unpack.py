"""Runs coracle-unpack as coracle does: a socketpair as descriptor 3, one JSON object a line, descriptors beside.

As a program:  unpack.py LAYER-BLOB DIRECTORY    extracts into an empty directory and prints the result
The helper runs in a user namespace with 65,536 ids (made by unshare(1) with the caller's subordinate ids).
"""
import json
import os
import socket
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("CORACLE_BUILD", os.path.join(TOP, "build", "gcc"))
USERNS = ["unshare", "--user", "--map-root-user", "--map-auto", "--setuid=0", "--setgid=0", "--"]


class Refused(Exception):
    """The helper's answer was an error; `error` is it, as err_encode() writes it."""

    def __init__(self, error):
        super().__init__(json.dumps(error))
        self.error = error


class Helper:
    def __init__(self, userns=False, program=None):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

        def place():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)

        argv = (USERNS if userns else []) + [program or os.path.join(BUILD, "coracle-unpack")]
        self.proc = subprocess.Popen(argv, preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL)
        theirs.close()
        self.text = b""

    def send(self, message, fds=()):
        socket.send_fds(self.sock, [json.dumps(message).encode() + b"\n"], list(fds))

    def recv(self):
        """The next message, or None at the end."""
        while b"\n" not in self.text:
            piece = self.sock.recv(65536)
            if not piece:
                return None
            self.text += piece
        line, self.text = self.text.split(b"\n", 1)
        return json.loads(line)

    def result(self, others=None):
        """Waits for {"ok"} and returns it; messages before it go to `others`."""
        while True:
            m = self.recv()
            if m is None:
                raise Refused({"kind": "died", "message": "ended with %d and no answer" % self.proc.wait()})
            if "error" in m:
                self.proc.wait()
                raise Refused(m["error"])
            if "ok" in m:
                self.proc.wait()
                return m["ok"]
            if others is not None:
                others.append(m)

    def close(self):
        self.sock.close()
        return self.proc.wait()


def layer(blob, directory, ids=65536, userns=True, prefix=0, prefix_file=None, copy_file=None):
    """Extracts a blob (path or readable descriptor) into an existing directory."""
    fd = blob if isinstance(blob, int) else os.open(blob, os.O_RDONLY)
    fds = [fd, os.open(directory, os.O_RDONLY | os.O_DIRECTORY)]
    if prefix:
        fds.append(os.open(prefix_file, os.O_RDONLY))
    if copy_file:
        fds.append(os.open(copy_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    h = Helper(userns)
    try:
        h.send({"op": "layer", "ids": ids, "prefix": prefix, "copy": copy_file is not None}, fds)
        for f in fds:
            os.close(f)
        return h.result()
    finally:
        h.close()


def archive(path, directory):
    """Reads an archive into a directory; returns its members."""
    members = []
    fds = [os.open(path, os.O_RDONLY), os.open(directory, os.O_RDONLY | os.O_DIRECTORY)]
    h = Helper()
    try:
        h.send({"op": "archive"}, fds)
        for f in fds:
            os.close(f)
        h.result(members)
        return members
    finally:
        h.close()


def pack(out, files):
    """Writes a tar to the path `out`; files are (name, path)."""
    h = Helper()
    try:
        with open(out, "wb") as f:
            h.send({"op": "pack"}, [f.fileno()])
        for name, path in files:
            with open(path, "rb") as f:
                h.send({"file": name, "size": os.fstat(f.fileno()).st_size}, [f.fileno()])
        h.send({"end": True})
        return h.result()
    finally:
        h.close()


if __name__ == "__main__":
    try:
        print(json.dumps(layer(sys.argv[1], sys.argv[2])))
    except Refused as e:
        sys.exit("refused: %s" % e)
