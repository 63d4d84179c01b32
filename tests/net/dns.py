#!/usr/bin/env python3
"""Names through coracle-net as containers ask for them: dns.py PROGRAM [CASE…]. Runs as root of a user namespace."""
import os
import socket
import struct
import sys
import tempfile
import threading

from netclient import Container, Helper, definition

BACK = definition("back", 0x2001, "10.89.17.0/24")
FRONT = definition("front", 0x2002, "10.89.18.0/24")
CLOSED = definition("closed", 0x2003, "10.89.19.0/24", internal=True)
A, PTR, AAAA, MX = 1, 12, 28, 15
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3

# In the container: one query by UDP or TCP to the address given; prints the answer in hex.
ASK = """
import socket, struct, sys
server, proto, query = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
s.settimeout(60)
s.connect((server, 53))
s.sendall(struct.pack(">H", len(query)) + query if proto == "tcp" else query)
answer = s.recv(65535)
if proto == "tcp":
    while len(answer) < 2 or len(answer) < 2 + struct.unpack(">H", answer[:2])[0]:
        answer += s.recv(65535)
    answer = answer[2:]
print(answer.hex())
"""
CASES = []


def case(function):
    CASES.append(function)
    return function


def query(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 0x4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)


def parse(answer, n):
    """Code, and the data of the records: addresses as text, names as labels."""
    code, count, data = answer[3] & 15, struct.unpack(">H", answer[6:8])[0], []
    for _ in range(count):
        kind, size = struct.unpack(">H6xH", answer[n + 2:n + 12])
        raw = answer[n + 12:n + 12 + size]
        data.append(socket.inet_ntoa(raw) if kind == A else raw)
        n += 12 + size
    return code, data


def ask(container, name, kind=A, proto="udp", server="127.0.0.11"):
    q = query(name, kind)
    result = container.run("python3", "-c", ASK, server, proto, q.hex())
    assert result.returncode == 0, result.stderr
    answer = bytes.fromhex(result.stdout)
    assert answer[:2] == q[:2] and answer[12:len(q)] == q[12:], answer
    return parse(answer, len(q))


def upstream():
    """A name server at the first address of the host's resolv.conf, 127.0.0.53, that knows one address for all."""
    def reply(q):
        end = q.index(b"\0", 12) + 5
        record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + socket.inet_aton("192.0.2.80")
        return q[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + q[12:end] + record

    def serve_udp(s):
        while True:
            q, peer = s.recvfrom(4096)
            s.sendto(reply(q), peer)

    def serve_tcp(s):
        while True:
            connection, _ = s.accept()
            answer = reply(connection.recv(4096)[2:])
            connection.sendall(struct.pack(">H", len(answer)) + answer)
            connection.close()

    for kind, serve in ((socket.SOCK_DGRAM, serve_udp), (socket.SOCK_STREAM, serve_tcp)):
        s = socket.socket(socket.AF_INET, kind)
        s.bind(("127.0.0.53", 53))
        if kind == socket.SOCK_STREAM:
            s.listen()
        threading.Thread(target=serve, args=[s], daemon=True).start()


@case
def names_of_a_network(helper, make):
    a, b = make("a", BACK, dns_internal=True), make("b", BACK, FRONT, dns_internal=True)
    c = make("c", FRONT, dns_internal=True)
    assert ask(a, "b") == (NOERROR, [b.ip()]) and ask(a, "B.back", proto="tcp") == (NOERROR, [b.ip()])
    assert ask(a, b.id[:12]) == (NOERROR, [b.ip()])
    assert ask(a, "b", AAAA) == (NOERROR, []) and ask(a, "b", MX) == (NOERROR, [])
    assert ask(b, "c") == (NOERROR, [c.ip()]) and ask(b, "a") == (NOERROR, [a.ip()])
    assert ask(a, "c") == (NOERROR, ["192.0.2.80"]), "not ours, so the host's name server is asked"
    assert ask(a, ".".join(reversed(b.ip().split("."))) + ".in-addr.arpa", PTR) == (NOERROR, [b"\1b\4back\0"])


@case
def everything_else_is_handed_on(helper, make):
    a = make("a", BACK, dns_internal=True)
    for proto in ("udp", "tcp"):
        assert ask(a, "example.org", proto=proto) == (NOERROR, ["192.0.2.80"]), proto
    plain = make("plain", BACK)
    assert ask(plain, "example.org", server="10.89.17.1") == (NOERROR, ["192.0.2.80"])


@case
def internal_networks_hand_nothing_on(helper, make):
    a, b = make("a", CLOSED, dns_internal=True), make("b", CLOSED)
    assert ask(a, "b") == (NOERROR, [b.ip()])
    assert ask(a, "nobody") == (NXDOMAIN, []) and ask(a, "example.org") == (SERVFAIL, [])
    assert ask(b, "example.org", server="10.89.19.1") == (SERVFAIL, [])


@case
def names_go_with_their_container(helper, make):
    a, b = make("a", BACK, dns_internal=True), make("b", BACK)
    assert ask(a, "b") == (NOERROR, [b.ip()])
    b.lease.close()
    while any(c["name"] == "b" for c in helper.ask(op="list")["containers"]):
        pass
    assert ask(a, "b") == (NOERROR, ["192.0.2.80"])


@case
def port_53_is_left_to_the_container(helper, make):
    a = make("a", BACK, dns_internal=True)
    own = "import socket\nfor t in 1, 2: s = socket.socket(2, t); s.bind(('0.0.0.0', 53)); t == 1 and s.listen()"
    result = a.run("python3", "-c", own)
    assert result.returncode == 0, result.stderr


def run(function, program):
    with tempfile.TemporaryDirectory() as directory:
        helper, containers = Helper(program, os.path.join(directory, "socket")), []
        helper.start()

        def make(name, *networks, **more):
            containers.append(Container(name))
            containers[-1].attach(helper, *networks, **more)
            return containers[-1]

        try:
            function(helper, make)
        finally:
            for c in containers:
                c.end()


def main():
    program, wanted = sys.argv[1], sys.argv[2:]
    cases = [c for c in CASES if not wanted or c.__name__ in wanted]
    failed = 0
    upstream()
    print(f"1..{len(cases)}")
    for number, function in enumerate(cases, 1):
        try:
            run(function, program)
            print(f"ok {number} {function.__name__}", flush=True)
        except (AssertionError, OSError, EOFError) as e:
            failed += 1
            print(f"not ok {number} {function.__name__}\n# {type(e).__name__}: {e}", flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
