#!/usr/bin/env python3
"""A registry of plain files that says exactly what it is told to say, lies included.

    staticregistry.py DIR [--rate BYTES_PER_SECOND] [--tls CERT KEY]

Prints "listening on PORT" and serves until its parent ends:
    GET /v2/<repo>/manifests/<ref>   DIR/<repo>/manifests/<ref>
    GET /v2/<repo>/blobs/<digest>    DIR/<repo>/blobs/<digest>, else DIR/blobs/<digest>
with Range, and also as an HTTP proxy for any host. DIR/<repo>/headers.json replaces headers of manifests ("Docker-Content-Digest": a lie, null: none). Every request is
a line of DIR/log: method, path, Authorization's scheme or "-", first byte, status, body bytes sent; it is written when the
answer ends, also when the client hung up; GET /_quiet is answered when all others have been. --rate paces the blobs, in pieces of 16 KiB, so that what was sent is what arrived. While there is a file DIR/hold
with a number in it, no piece of a blob beyond that many bytes is sent: a download can be caught in the middle for sure.
"""
import argparse, hashlib, json, os, re, select, socket, threading, time

import testserver

PIECE = 16384
quiet = threading.Condition()
running = 0  # requests whose line is not in the log yet


class Handler(testserver.Handler):
    options = None

    def find(self):
        m = re.fullmatch(r"(?:http://[^/]+)?/v2/(.+)/(manifests|blobs)/([^/]+)", self.path)
        if not m or ".." in self.path:
            return None, None, {}
        repo, kind, name = m.groups()
        top = self.options.dir
        for path in (os.path.join(top, repo, kind, name), os.path.join(top, kind, name)):
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    data = f.read()
                lies = os.path.join(top, repo, "headers.json")
                return kind, data, json.load(open(lies)) if kind == "manifests" and os.path.exists(lies) else {}
        return kind, None, {}

    def headers_of(self, kind, data, lies):
        out = {"Content-Type": "application/octet-stream", "Content-Length": str(len(data))}
        if kind == "manifests":
            out["Docker-Content-Digest"] = "sha256:" + hashlib.sha256(data).hexdigest()
            out["Content-Type"] = "application/vnd.oci.image.manifest.v1+json"
            try:
                out["Content-Type"] = json.loads(data).get("mediaType", out["Content-Type"])
            except (ValueError, AttributeError, RecursionError):
                pass
        out.update(lies)
        return {k: v for k, v in out.items() if v is not None}

    def body(self, kind, data):
        if kind != "blobs" or not self.options.rate:
            self.wfile.write(data)
            self.sent = len(data)
            return
        begun = time.monotonic()
        for at in range(0, len(data), PIECE):
            while self.first + at + PIECE > self.held_at():
                if select.select([self.connection], [], [], 0.005)[0] and not self.connection.recv(1, socket.MSG_PEEK):
                    return  # who was to have the rest is gone
            self.wfile.write(data[at:at + PIECE])
            self.sent = min(at + PIECE, len(data))
            ahead = self.sent / self.options.rate - (time.monotonic() - begun)
            if ahead > 0:
                time.sleep(ahead)

    def held_at(self):
        try:
            with open(os.path.join(self.options.dir, "hold")) as f:
                return int(f.read())
        except (OSError, ValueError):  # the number is not written yet
            return float("inf")

    def answer(self):
        kind, data, lies = self.find()
        self.status, first = 200, 0
        if data is None:
            self.status, data = 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        headers = self.headers_of(kind, data, lies)
        m = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if m and self.status == 200:
            first = self.first = int(m.group(1))
            if first >= len(data):
                self.status, headers = 416, {"Content-Length": "0"}
            else:
                self.status = 206
                headers["Content-Range"] = "bytes %d-%d/%d" % (first, len(data) - 1, len(data))
                headers["Content-Length"] = str(len(data) - first)
        self.send_response(self.status)
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        if self.command == "GET" and self.status != 416:
            self.body(kind, data[first:])

    def write_log(self):
        auth = (self.headers.get("Authorization") or "-").split()[0]
        with open(os.path.join(self.options.dir, "log"), "a") as f:
            f.write("%s %s %s %d %d %d\n" % (self.command, self.path, auth, self.first, self.status, self.sent))

    def say_quiet(self):
        with quiet:
            quiet.wait_for(lambda: running == 0)
        self.send_response(204)
        self.end_headers()

    def do_GET(self):
        global running
        if self.path == "/_quiet":
            return self.say_quiet()
        with quiet:
            running += 1
        self.status = self.sent = self.first = 0
        try:
            self.answer()
        except OSError:
            self.close_connection = True
        finally:
            with quiet:
                self.write_log()
                running -= 1
                quiet.notify_all()

    do_HEAD = do_GET


class Server(testserver.Server):
    def get_request(self):
        conn, addr = super().get_request()
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
        return conn, addr


def serve(directory, rate=0, tls=None):
    """Makes the server; the caller runs serve_forever()."""
    Handler.options = argparse.Namespace(dir=directory, rate=rate)
    return Server(Handler, tls=tls)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("dir")
    ap.add_argument("--rate", type=int, default=0)
    ap.add_argument("--tls", nargs=2)
    o = ap.parse_args()
    serve(o.dir, o.rate, o.tls).run()
