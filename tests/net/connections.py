#!/usr/bin/env python3
"""Clients that look closely, on the host or in a container's network namespace.

    connections.py serve [PORT]                 a server at every address: echoes TCP until the other side ends, and datagrams; prints its port
    connections.py short COUNT ADDRESS PORT     so many connections one after another, eight at a time, each with a question and an answer
    connections.py outcome ADDRESS PORT         what connect(2) says: an errno's name, "connected", or "silence" when it says nothing for 20 s; and
                                                whether the answer comes in time: within a second, before the kernel asks again. What holds
                                                up a busy machine makes an answer late, so the best of five is what counts
    connections.py many COUNT HAS ADDRESS PORT  begins so many connections at once, tells how many there are when HAS of them are, and keeps them
                                                until its input ends
    connections.py mesh ADDRESS PORT NEIGHBOUR… the address answers over TCP and UDP, and every neighbour's stack is there
"""
import contextlib, errno, select, socket, sys, threading, time


def serve(port):
    tcp, udp = socket.create_server(("", port), backlog=1024), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("", tcp.getsockname()[1]))
    print(tcp.getsockname()[1], flush=True)

    def echo(c):
        with c:
            while data := c.recv(1 << 16):
                c.sendall(data)

    while True:
        for s in select.select([tcp, udp], [], [])[0]:
            if s is udp:
                udp.sendto(*udp.recvfrom(2000))
            else:
                threading.Thread(target=echo, args=[tcp.accept()[0]], daemon=True).start()


def short(count, address, port):
    failed, left = [], iter(range(count))

    def work():
        for i in left_of():
            try:
                with socket.create_connection((address, port), 60) as s:
                    s.sendall(b"%d" % i)
                    s.shutdown(socket.SHUT_WR)
                    said = b"".join(iter(lambda: s.recv(100), b""))
                    if said != b"%d" % i:
                        failed.append(f"{i}: {said!r}")
            except OSError as e:
                failed.append(f"{i}: {e}")

    lock = threading.Lock()

    def left_of():
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                return
            yield i

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(f"{len(failed)} of {count} failed {failed[:3]}")
    return bool(failed)


def attempt(address, port):
    begun = time.monotonic()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as s:
        s.setblocking(False)
        code = s.connect_ex((address, port))
        if code == errno.EINPROGRESS:
            if not select.select([], [s], [], 20)[1]:
                return "silence"
            code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    late = code in (0, errno.ECONNREFUSED) and time.monotonic() - begun > 1
    return (errno.errorcode[code] if code else "connected") + (" late" if late else " in time")


def outcome(address, port):
    said = [attempt(address, port)]
    while "late" in said[-1] and len(said) < 5:
        said.append(attempt(address, port))
        assert said[-1].split()[0] == said[0].split()[0], said
    print(said[-1])
    return 0


def many(count, has, address, port):
    with contextlib.ExitStack() as stack:
        waiting, table = {}, select.poll()
        for _ in range(count):
            s = stack.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex((address, port))
            waiting[s.fileno()] = s
            table.register(s, select.POLLOUT)
        end = time.monotonic() + 60
        # one look more, for those that there should not be
        while count - len(waiting) < has and time.monotonic() < end or table.poll(500):
            for fd, _ in table.poll(100):
                table.unregister(fd)
                assert waiting.pop(fd).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        print(count - len(waiting), flush=True)
        sys.stdin.read()
    return 0


def mesh(address, port, neighbours):
    with socket.create_connection((address, port), 30) as s:
        s.sendall(b"tcp")
        assert s.recv(10) == b"tcp"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        for number in range(30):
            s.sendto(b"udp", (address, port))
            try:
                assert s.recv(10) == b"udp"
                break
            except TimeoutError:
                assert number < 29, "no datagram came back"
    for n in neighbours:
        with socket.socket() as s:
            s.settimeout(30)
            code = s.connect_ex((n, 9))
            assert code == errno.ECONNREFUSED, f"{n}: {errno.errorcode[code]}"
    print("all there")
    return 0


def main():
    mode, rest = sys.argv[1], sys.argv[2:]
    if mode == "serve":
        serve(int(rest[0]) if rest else 0)
    if mode == "short":
        return short(int(rest[0]), rest[1], int(rest[2]))
    if mode == "outcome":
        return outcome(rest[0], int(rest[1]))
    if mode == "many":
        return many(int(rest[0]), int(rest[1]), rest[2], int(rest[3]))
    return mesh(rest[0], int(rest[1]), rest[2:])


sys.exit(main())
