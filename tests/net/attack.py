#!/usr/bin/env python3
"""What a container may try in order to reach the host's loopback or another network: attack.py [--brief] PORT GATEWAY GATEWAY6 PREY...

Runs in a container's network namespace with all capabilities over it. PORT is where a server on the host's loopback tells a secret over
TCP and UDP and writes down whoever comes; PREY are addresses of containers on other networks that listen at 80 and at UDP 999. Prints
what was reached. The caller also looks at what the server and the prey have seen, for some of this needs no answer to do harm. --brief waits
for no answer, and leaves out the gateway's ports.
"""
import errno, socket, struct, subprocess, sys

from packets import checksum, own_mac, with_sum

brief = sys.argv[1] == "--brief" and sys.argv.pop(1) is not None
port, gateway, gateway6, prey = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
LOOPBACK4 = ["127.0.0.1", "127.0.0.53", "127.1.2.3", "0.0.0.0", "0.1.2.3", "255.255.255.255"]
HELPER = [gateway, "10.0.2.2", "10.0.2.3", "10.0.2.15", "10.0.2.100", "10.0.2.255"]
LOOPBACK6 = ["::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:10.0.2.2", "::127.0.0.1", "64:ff9b::7f00:1"]
HELPER6 = [gateway6, "fd00:10:2::2", "fd00:10:2::3", "fd00:10:2::100", "fe80::2%eth0", "ff02::1%eth0"]


def run(*argv):
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def connect(address, to_port, seconds=0.02 if brief else 0.4):
    """What the other side says, None where there is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as s:
        s.settimeout(seconds)
        try:
            s.connect(socket.getaddrinfo(address, to_port, family, socket.SOCK_STREAM)[0][4])
            s.sendall(b"GET /file HTTP/1.0\r\n\r\n")
            return s.recv(100)
        except OSError:
            return None


def datagram(address, to_port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(0.02 if brief else 0.2)
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            s.sendto(b"datagram", socket.getaddrinfo(address, to_port, family, socket.SOCK_DGRAM)[0][4])
            return s.recv(100)
        except OSError:
            return None


def try_all(addresses, to_port, how):
    for a in addresses:
        for call in (connect, datagram):
            said = call(a, to_port)
            if said:
                print(f"REACHED {call.__name__} {a} {to_port} {how}: {said!r}")


# ---- frames, as no stack would make them ----


def packet(src, dst, proto, to_port):
    v6 = ":" in dst
    family = socket.AF_INET6 if v6 else socket.AF_INET
    s, d = socket.inet_pton(family, src), socket.inet_pton(family, dst)
    if proto == socket.IPPROTO_UDP:
        body = with_sum(proto, s, d, struct.pack("!HHHH", 4444, to_port, 8 + 6, 0), b"spoofd", 6)
    else:
        body = with_sum(proto, s, d, struct.pack("!HHIIBBHHH", 4444, to_port, 1, 0, 5 << 4, 2, 65535, 0, 0), b"", 16)
    if v6:
        return struct.pack("!IHBB", 6 << 28, len(body), proto, 64) + s + d + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, proto, 0) + s + d
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def send_frames(pairs, to_port):
    """From whom to whom, by the gateway's hardware address."""
    gateway_mac = bytes([2, 0x42]) + socket.inet_aton(gateway)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("eth0", 0))
        for src, dst in pairs:
            for proto in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
                kind = b"\x86\xdd" if ":" in dst else b"\x08\x00"
                for mac in (gateway_mac, b"\xff" * 6):
                    try:
                        s.send(mac + own_mac(s) + kind + packet(src, dst, proto, to_port))
                    except OSError as e:
                        if e.errno != errno.ENOBUFS:
                            raise


def neighbour(address):
    head, _, tail = address.rpartition(":" if ":" in address else ".")
    return head + (":" if ":" in address else ".") + ("1" if tail != "1" else "2")


def scan(address):
    """Open TCP ports of the gateway, but for DNS."""
    found = []
    for p in range(1, 65536):
        with socket.socket() as s:
            s.settimeout(0.5)
            if p != 53 and s.connect_ex((address, p)) == 0:
                try:
                    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    if s.recv(100):
                        found.append(p)
                except OSError:
                    pass
    return found


def main():
    own = subprocess.run(["ip", "-4", "-o", "addr", "show", "eth0"], capture_output=True, text=True).stdout.split()[3].split("/")[0]
    try_all(LOOPBACK4 + HELPER + LOOPBACK6 + HELPER6, port, "plainly")
    try_all(prey, 80, "plainly")
    try_all(prey, 999, "plainly")
    send_frames([(s, d) for d in LOOPBACK4 + HELPER for s in (own, "127.0.0.1", gateway, "10.0.2.100", "0.0.0.0")], port)
    six = [a.split("%")[0] for a in LOOPBACK6 + HELPER6]
    send_frames([(s, d) for d in six for s in ("::1", gateway6, "fd00:10:2::100")], port)
    for p in prey:
        sources = ("::1", neighbour(p), gateway6) if ":" in p else (own, neighbour(p), gateway, "10.0.2.100", "10.0.2.2")
        send_frames([(s, p) for s in sources], 999)
    open_ports = [] if brief else scan(gateway)
    if open_ports:
        print(f"REACHED ports of the gateway: {open_ports}")
    # without a loopback of its own, and with routes to everything by the gateway
    run("ip", "addr", "flush", "dev", "lo")
    run("ip", "link", "set", "lo", "down")
    for net in ("127.0.0.0/8", "10.0.2.0/24", *[p + "/32" for p in prey if ":" not in p]):
        run("ip", "route", "replace", net, "via", gateway)
    for p in prey:
        if ":" not in p:
            run("ip", "addr", "add", neighbour(p) + "/32", "dev", "eth0")
    try_all(LOOPBACK4 + HELPER + LOOPBACK6 + HELPER6, port, "by the gateway")
    try_all(prey, 80, "by the gateway")
    try_all(prey, 999, "by the gateway")
    print("done")


main()
