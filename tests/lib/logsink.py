#!/usr/bin/env python3
"""logsink.py KIND ADDRESS FILE: a log daemon for tests. KIND unixgram (ADDRESS a path), udp or tcp (a port on 127.0.0.1, 0: any).
Prints "ready PORT" when it listens; what it receives is appended to FILE, each datagram followed by a NUL. Ends at SIGTERM."""
import os
import socket
import sys

kind, address, name = sys.argv[1:4]
out = open(name, "ab", buffering=0)
if kind == "unixgram":
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(address)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", int(address)))
if kind == "tcp":
    s.listen()
print("ready", 0 if kind == "unixgram" else s.getsockname()[1], flush=True)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever reads our output is not to wait for us
while kind != "tcp":
    out.write(s.recv(1 << 17) + b"\0")
while True:
    c, _ = s.accept()
    while data := c.recv(1 << 16):
        out.write(data)
