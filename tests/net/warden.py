#!/usr/bin/env python3
"""The warden of coracle-net, driven without coracle: warden.py PROGRAM [CASE…]. Runs as root of a user namespace."""
import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from netclient import Channel, Container, Helper, Refused, definition

BACK = definition("back", 0x1001, "10.89.7.0/24")
FRONT = definition("front", 0x1002, "10.89.8.0/24")
CLOSED = definition("closed", 0x1003, "10.89.9.0/24", internal=True)
DUAL = definition("dual", 0x1004, "10.89.10.0/24", subnet6="fd00:89:10::/64")

CASES = []


def case(function):
    CASES.append(function)
    return function


def eventually(check, seconds=60):
    """True as soon as check() is; for what happens beside us and tells nobody."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.01)
    return False


def refused(call, *words):
    try:
        call()
    except Refused as e:
        assert all(w in str(e) for w in words), e
        return
    raise AssertionError("it was not refused")


def readable(*channels):
    return select.select([c.socket for c in channels], [], [], 0)[0]


class World:
    """A helper and containers that end with the case."""

    def __init__(self, program, directory):
        os.mkdir(os.path.join(directory, "net"))
        self.directory = directory
        self.helper = Helper([program, "--run-root", directory], os.path.join(directory, "socket"))
        self.containers = []

    def container(self, name, *networks, **more):
        c = Container(name)
        self.containers.append(c)
        if networks:
            c.attach(self.helper, *networks, **more)
        return c

    def end(self, c):
        self.containers.remove(c)
        c.end()

    def inside(self, c, *argv):
        """A command in the helper's own namespace."""
        fd = c.lease.fds[0]
        return subprocess.run(
            ["nsenter", f"--net=/proc/self/fd/{fd}", *argv], pass_fds=[fd], capture_output=True, text=True, check=True
        ).stdout

    def processes(self):
        """Warden and loop: who holds our listening socket, and its child."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    line = f.read()
            except OSError:
                continue
            if b"coracle-net" in line.split(b"\0")[0]:
                found.append(int(pid))
        return found

    def close(self):
        for c in self.containers:
            c.end()
        for pid in self.processes():  # it would wait for the next lease
            with contextlib.suppress(ProcessLookupError):  # one takes the other along
                os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not self.processes()), "the helper is still there"


@case
def containers_reach_each_other_and_the_gateway(w):
    a, b = w.container("a", BACK), w.container("b", BACK)
    assert a.ip() == "10.89.7.2" and b.ip() == "10.89.7.3", (a.answer, b.answer)
    assert a.answer["endpoints"][0]["mac"] == "02:42:0a:59:07:02"
    assert a.pings("10.89.7.1") and a.pings(b.ip()) and b.pings(a.ip())
    assert "default via 10.89.7.1" in a.run("ip", "route").stdout
    assert "inet6" not in a.run("ip", "addr", "show", "eth0").stdout


@case
def networks_do_not_see_each_other(w):
    a, b = w.container("a", BACK), w.container("b", FRONT)
    assert a.cannot_ping(b.ip()), "the other network's container"
    assert a.cannot_ping("10.89.8.1"), "the other network's gateway"
    both = w.container("both", BACK, FRONT)
    assert both.pings(a.ip()) and both.pings(b.ip())


@case
def internal_networks_lead_nowhere(w):
    a, b, c = w.container("a", CLOSED), w.container("b", CLOSED), w.container("c", BACK)
    assert a.pings(b.ip()) and a.pings("10.89.9.1")
    assert "default" not in a.run("ip", "route").stdout
    a.run("ip", "route", "add", "default", "via", "10.89.9.1")
    assert a.cannot_ping(c.ip()) and a.cannot_ping("10.89.7.1") and a.cannot_ping("10.0.2.2")
    both = w.container("both", CLOSED, BACK)
    assert "default via 10.89.7.1" in both.run("ip", "route").stdout


@case
def ipv6_works_at_once(w):
    a, b = w.container("a", DUAL), w.container("b", DUAL)
    assert a.answer["endpoints"][0]["ip6"] == "fd00:89:10::2", a.answer
    for addresses in (a.run("ip", "-6", "-o", "addr").stdout, w.inside(a, "ip", "-6", "-o", "addr")):
        ours = [line for line in addresses.splitlines() if "fd00:89:10:" in line]
        assert ours and not any("tentative" in line for line in ours), addresses
    assert a.pings("fd00:89:10::1") and b.pings("fd00:89:10::2")


@case
def addresses_are_chosen_and_given_back(w):
    a = w.container("a", {"network": BACK, "ip": "10.89.7.77", "mac": "02:42:ac:11:00:99", "ifname": "net7"})
    assert a.ip() == "10.89.7.77" and "02:42:ac:11:00:99" in a.run("ip", "link", "show", "net7").stdout
    b = w.container("b")
    refused(lambda: b.attach(w.helper, {"network": BACK, "ip": "10.89.7.77"}), "10.89.7.77", "in use", "by a")
    refused(lambda: b.attach(w.helper, {"network": BACK, "ip": "10.89.7.1"}), "gateway")
    refused(lambda: b.attach(w.helper, {"network": BACK, "ip": "10.1.2.3"}), "subnet")
    refused(lambda: b.attach(w.helper, {"network": BACK, "mac": "01:00:00:00:00:01"}), "01:00:00:00:00:01")
    assert "eth0" not in b.run("ip", "link").stdout
    first = w.container("c", BACK)
    address = first.ip()
    w.end(first)
    assert eventually(lambda: not any(c["name"] == "c" for c in w.helper.ask(op="list")["containers"]))
    assert w.container("d", BACK).ip() != address, "one just given back is not the next"
    b.attach(w.helper, {"network": BACK, "ip": address})


@case
def bad_requests_leave_nothing(w):
    a = w.container("a", BACK)
    refused(lambda: a.lease.call({"op": "attach", "id": a.id, "endpoints": []}), "namespace")
    refused(lambda: a.lease.call({"op": "nonsense"}), "nonsense")
    for broken in (
        {"endpoints": {}},
        {"endpoints": [{}]},
        {"endpoints": [{"network": {}}]},
        {"endpoints": [{"network": BACK, "ifname": "../../x"}]},
        {"endpoints": [{"network": BACK, "ip": "x"}]},
        {"endpoints": [{"network": BACK}], "ports": [{"proto": "tcp", "port": 0}]},
        {"endpoints": [{"network": BACK}], "ports": [{"proto": "sctp", "port": 1}]},
        {"endpoints": [{"network": {**BACK, "id": "0"}}]},
        {"endpoints": [{"network": FRONT}, {"network": FRONT, "ifname": "eth0"}]},
        {"id": "../x", "endpoints": []},
    ):
        b = w.container("b")
        channel = w.helper.connect()
        refused(lambda: channel.call({"op": "attach", "id": b.id, "name": "b", **broken}, [b.netns]))
        channel.close()
        w.end(b)
    channel = Channel(w.helper.path)
    channel.socket.sendall(b"{nonsense\n")
    assert channel.socket.recv(1) == b""
    assert [c["name"] for c in w.helper.ask(op="list")["containers"]] == ["a"]
    links = w.inside(a, "ip", "-o", "link")
    assert eventually(lambda: w.inside(a, "ip", "-o", "link").count("master br-") == 1), links


@case
def a_network_may_take_the_addresses_of_one_that_is_no_more(w):
    a, other = w.container("a", FRONT), w.container("other", BACK)
    w.end(a)
    assert eventually(lambda: len(w.helper.ask(op="list")["containers"]) == 1)
    again = definition("again", 0x1006, "10.89.8.0/25")
    b, c = w.container("b", again), w.container("c", again)
    assert b.pings(c.ip()) and b.pings("10.89.8.1")
    links = w.inside(other, "ip", "-o", "link")
    assert links.count(": br-") == 2, links


@case
def networks_come_and_go_while_a_container_runs(w):
    a, b = w.container("a", BACK), w.container("b", FRONT)
    w.helper.ask(op="connect", id=a.id, endpoint={"network": FRONT, "aliases": ["store"]})
    event = a.lease.receive()
    assert event["event"] == "changed" and [e["ifname"] for e in event["endpoints"]] == ["eth0", "eth1"], event
    assert a.pings(b.ip())
    refused(lambda: w.helper.ask(op="connect", id=a.id, endpoint={"network": FRONT}), "already exists")
    w.helper.ask(op="disconnect", id=a.id, network=BACK["id"])
    event = a.lease.receive()
    assert [e["name"] for e in event["endpoints"]] == ["front"]
    assert "default via 10.89.8.1" in a.run("ip", "route").stdout
    assert a.pings(b.ip()) and "eth0" not in a.run("ip", "link").stdout
    refused(lambda: w.helper.ask(op="disconnect", id=a.id, network=BACK["id"]), "not connected")
    refused(lambda: w.helper.ask(op="connect", id="f" * 64, endpoint={"network": BACK}), "not_found")


@case
def published_ports(w):
    taken = socket.socket()
    taken.bind(("0.0.0.0", 0))
    taken.listen()
    busy = taken.getsockname()[1]
    a, b = w.container("a"), w.container("b")
    port = {"proto": "tcp", "host_ip": "", "port": 80}
    refused(lambda: a.attach(w.helper, BACK, ports=[port, {**port, "host_port": busy}]), str(busy))
    assert w.helper.ask(op="list")["containers"] == []
    free = a.attach(w.helper, BACK, ports=[{**port, "host_port": 0}])["ports"][0]["host_port"]
    assert free and f"sport 80 lookup 100" in w.inside(a, "ip", "rule")
    refused(lambda: b.attach(w.helper, BACK, ports=[{**port, "host_port": free}]), str(free), "container a")
    b.attach(w.helper, BACK, ports=[{**port, "host_port": 0}])
    w.end(b)
    assert eventually(lambda: len(w.helper.ask(op="list")["containers"]) == 1)
    assert w.inside(a, "ip", "rule").count("sport 80") == 1
    w.helper.ask(op="connect", id=a.id, endpoint={"network": FRONT})
    w.helper.ask(op="disconnect", id=a.id, network=BACK["id"])
    assert w.helper.ask(op="list")["containers"][0]["ports"][0]["host_port"] == free
    rules = w.inside(a, "ip", "rule")
    assert rules.count("sport 80") == 1, rules


@case
def what_the_loop_says_of_itself_and_what_it_is_asked_arrive_together(w):
    port = {"proto": "tcp", "host_ip": "", "host_port": 0, "port": 80}
    a, b = w.container("a", BACK, ports=[port]), w.container("b")
    b.lease = w.helper.connect()
    w.helper.ask(op="list")  # whoever connected before has been accepted
    warden = min(w.processes())
    os.kill(warden, signal.SIGSTOP)
    b.lease.send({"op": "attach", "id": b.id, "name": "b", "endpoints": [{"network": BACK}], "ports": [port]}, [b.netns])
    with socket.create_connection(("127.0.0.1", a.answer["ports"][0]["host_port"])) as client:
        with contextlib.suppress(ConnectionResetError):  # nobody listens inside; the loop has asked for a socket in place of the one it took
            client.recv(1)
    os.kill(warden, signal.SIGCONT)
    assert "error" not in b.lease.receive()
    later = w.helper.connect()
    later.send({"op": "list"})
    assert select.select([later.socket], [], [], 60)[0], "the warden waits for what it has heard already"
    assert len(later.receive()["containers"]) == 2
    later.close()


KNOCKING = """
import socket, time
kept = []
for port in range(1, 1001):
    kept.append(socket.socket())
    kept[-1].setblocking(False)
    kept[-1].connect_ex(("198.51.100.1", port))
    time.sleep(0.001)
"""


@case
def the_loop_goes_on_while_the_warden_is_held_up(w):
    port = {"proto": "tcp", "host_ip": "", "host_port": 0, "port": 80}
    a = w.container("a", BACK, ports=[port])
    warden = min(w.processes())
    os.kill(warden, signal.SIGSTOP)
    try:
        a.run("python3", "-c", KNOCKING)  # each is something to say to the warden, where packets are held for it
        with contextlib.suppress(ConnectionResetError):  # nobody listens inside, and the loop says so
            with socket.create_connection(("127.0.0.1", a.answer["ports"][0]["host_port"]), timeout=60) as client:
                client.recv(1)
    finally:
        os.kill(warden, signal.SIGCONT)
    assert "unreachable" in a.run("busybox", "nc", "198.51.100.1", "2000").stderr
    assert len(w.helper.ask(op="list")["containers"]) == 1


@case
def everything_survives_a_killed_helper(w):
    a, b = w.container("a", BACK, dns_internal=True), w.container("b", BACK)
    c = w.container("c", DUAL, CLOSED, ports=[{"proto": "tcp", "host_ip": "", "host_port": 0, "port": 80}])
    before = [x.answer["endpoints"] for x in (a, b, c)]
    ports = c.answer["ports"]
    ping = subprocess.Popen(
        a.command("busybox", "ping", "-c", "20", "-i", "0.2", b.ip()), stdout=subprocess.PIPE, text=True
    )
    while "seq=" not in ping.stdout.readline():
        pass
    warden = min(w.processes())
    os.kill(warden, signal.SIGKILL)
    for x in (a, b, c):
        try:
            x.lease.receive()
            raise AssertionError("the lease goes on")
        except EOFError:
            pass
    assert eventually(lambda: not w.processes()), "the loop outlives the warden"
    w.helper.start()
    for x in (a, b, c):
        x.restore(w.helper)
    assert [x.answer["endpoints"] for x in (a, b, c)] == before and c.answer["ports"] == ports
    assert "20 packets received" in ping.communicate()[0]
    assert a.pings("10.89.7.1") and w.container("d", BACK).ip() not in (a.ip(), b.ip())
    links = w.inside(a, "ip", "-o", "link")
    assert links.count(": br-") == 3 and links.count("master br-") == 5, links


@case
def a_lease_of_another_namespace_is_set_up_anew(w):
    a = w.container("a", BACK)
    os.kill(min(w.processes()), signal.SIGKILL)
    assert eventually(lambda: not w.processes())
    w.helper.start()
    b = w.container("b", {"network": BACK, "ip": "10.89.7.9"})
    a.restore(w.helper)
    assert a.pings(b.ip()) and a.pings("10.89.7.1")


@contextlib.contextmanager
def another_user_namespace():
    """A descriptor of one that is neither ours nor the helper's."""
    sleeps = subprocess.Popen(
        ["unshare", "-U", "sh", "-c", "echo; exec sleep 1000"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    sleeps.stdout.readline()
    fd = os.open(f"/proc/{sleeps.pid}/ns/user", os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)
        sleeps.kill()
        sleeps.wait()


def ended(channel):
    try:
        return not channel.receive()
    except (EOFError, ConnectionResetError):
        return True


@case
def who_comes_from_another_user_namespace_goes_where_the_others_are(w):
    with another_user_namespace() as theirs:
        greets = w.helper.connect()
        answer = greets.call({"op": "hello", "moves": True}, [theirs])
        assert os.fstat(greets.fds[-1]).st_ino == os.stat("/proc/self/ns/user").st_ino, "not the helper's own"
        assert answer["pid"] in w.processes(), answer
        # he is about to attach: nobody who cannot go along takes the helper away from him
        refused(lambda: w.helper.connect().call({"op": "hello"}, [theirs]), "another user namespace")
        a = w.container("a", BACK)
        greets.close()
        refused(lambda: w.helper.connect().call({"op": "hello"}, [theirs]), "another user namespace")
        w.end(a)
        # with nobody there it goes at once
        assert eventually(lambda: not w.helper.ask(op="list")["containers"])
        last = w.helper.connect()
        last.send({"op": "hello"}, [theirs])
        assert ended(last) and eventually(lambda: not w.processes())


def kill_helper(w):
    os.kill(min(w.processes()), signal.SIGKILL)
    assert eventually(lambda: not w.processes())


@case
def who_comes_after_a_kill_waits_for_those_who_were_there(w):
    old = [w.container(f"old{i}", BACK) for i in range(4)]
    gone = w.container("gone", BACK)
    w.end(gone)
    assert eventually(lambda: len(w.helper.ask(op="list")["containers"]) == 4)
    kill_helper(w)
    w.helper.start()
    new, asks = w.container("new"), w.helper.connect_by_another()
    new.begin_attach(w.helper.connect_by_another(), BACK)
    asks.send({"op": "list"})
    for c in old:
        assert not readable(new.lease, asks), "somebody is served before all are back"
        c.restore(w.helper)
    new.answer = new.lease.receive()
    assert new.ip() not in [c.ip() for c in old], new.answer
    assert {c["name"] for c in asks.receive()["containers"]} >= {c.name for c in old}
    assert os.fstat(new.lease.fds[-1]).st_ino == os.fstat(old[0].lease.fds[-1]).st_ino, "a second namespace"
    assert new.pings(old[3].ip()) and old[3].pings(new.ip())


@case
def a_helper_begins_when_the_loop_of_the_last_one_is_gone(w):
    w.container("a", BACK)
    kill_helper(w)
    path = os.path.join(w.directory, "net/serving")
    with open(path) as f:
        assert len(f.readline().split()) == 3, "the loop is not named"
    dying = subprocess.Popen(["sleep", "1000"])
    try:
        with open(f"/proc/{dying.pid}/stat") as f:
            start = f.read().rpartition(")")[2].split()[19]
        with open(path, "w") as f:
            f.write(f"0 {dying.pid} {start} \n")
        w.helper.start()
        asks = w.helper.connect()
        asks.send({"op": "list"})
        assert not select.select([asks.socket], [], [], 0.3)[0], "it is served while the other one lives"
    finally:
        dying.kill()
        dying.wait()
    assert asks.receive()["containers"] == []


@case
def what_a_killed_helper_had_begun_is_not_in_the_way(w):
    other, half = w.container("other", BACK), w.container("half")
    script = f"ip link add begun type veth peer name eth0 netns {half.process.pid} && ip link set begun master br-{BACK['id'][:11]}"
    w.inside(other, "sh", "-c", script)
    kill_helper(w)
    w.helper.start()
    other.restore(w.helper)
    half.attach(w.helper, BACK)
    assert half.pings(other.ip())
    assert eventually(lambda: w.inside(other, "ip", "-o", "link").count("master br-") == 2)


def bind_soon(sock, port):
    """A killed helper's sockets are closed a moment after its end can be seen."""
    def bound():
        with contextlib.suppress(OSError):
            sock.bind(("", port))
            return True

    assert eventually(bound), f"port {port} is not given back"


@case
def a_port_that_a_stranger_took_meanwhile_is_lost_and_nothing_else(w):
    port = {"proto": "tcp", "host_ip": "", "host_port": 0, "port": 80}
    a, b = w.container("a", BACK, ports=[port, {**port, "port": 81}]), w.container("b", BACK)
    lost, kept = (p["host_port"] for p in a.answer["ports"])
    kill_helper(w)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bind_soon(stranger, lost)
        stranger.listen()
        w.helper.start()
        a.restore(w.helper)
    b.restore(w.helper)
    assert [p["host_port"] for p in a.answer["ports"]] == [kept], a.answer["ports"]
    assert a.pings(b.ip()) and "sport 80 " not in w.inside(a, "ip", "rule")
    with socket.socket() as third:
        assert third.connect_ex(("127.0.0.1", kept)) in (0, errno.ECONNRESET), "nobody listens"


@case
def who_comes_back_too_late_gets_another_address(w):
    a, b, late = w.container("a", BACK), w.container("b", BACK), w.container("late", BACK)
    kill_helper(w)
    w.helper.start()
    a.restore(w.helper)
    b.restore(w.helper)
    new = w.container("new")
    new.begin_attach(w.helper.connect_by_another(), {"network": BACK, "ip": late.ip()})
    new.answer = new.lease.answer()  # the others are given up
    late.restore(w.helper)
    assert late.ip() not in (a.ip(), b.ip(), new.ip()), late.ip()
    assert late.pings(a.ip()) and late.pings(new.ip()) and new.pings(late.ip()) and late.pings("10.89.7.1")
    assert "default via 10.89.7.1" in late.run("ip", "route").stdout
    assert eventually(lambda: w.inside(a, "ip", "-o", "link").count("master br-") == 4)


@case
def nobody_waits_long_for_those_who_died_with_the_helper(w):
    lives, before, after = w.container("lives", BACK), w.container("before"), w.container("after")
    before.attach_by_another(w.helper, BACK)
    after.attach_by_another(w.helper, BACK)
    kill_helper(w)
    w.end(before)
    w.helper.start()
    new = w.container("new")
    new.begin_attach(w.helper.connect_by_another(), BACK)
    lives.restore(w.helper)
    assert not readable(new.lease), "somebody is served before all are back"
    begun = time.monotonic()
    w.end(after)
    new.answer = new.lease.receive()
    # of the ten seconds that it waits for one that lives; a wait for one that is gone is none
    assert time.monotonic() - begun < 9 and new.pings(lives.ip())
    for c in (lives, new):
        w.end(c)
    assert eventually(lambda: not w.helper.ask(op="list")["containers"])
    kill_helper(w)
    w.helper.start()
    w.container("later", BACK)
    assert eventually(lambda: len(w.helper.ask(op="list")["containers"]) == 1)


@case
def who_is_awaited_and_starts_its_container_again_waits_for_the_others_only(w):
    again, other, new = w.container("again", BACK), w.container("other"), w.container("new")
    other.attach_by_another(w.helper, BACK)
    kill_helper(w)
    again.lease.close()
    w.helper.start()
    new.begin_attach(w.helper.connect_by_another(), BACK)
    again.begin_attach(w.helper.connect(), BACK)
    assert not select.select([again.lease.socket, new.lease.socket], [], [], 0.3)[0], "served before all are back"
    begun = time.monotonic()
    w.end(other)
    new.answer, again.answer = new.lease.answer(), again.lease.answer()
    assert time.monotonic() - begun < 9, "it has waited for itself"
    assert new.pings(again.ip())


@case
def lists_of_those_who_are_awaited_wait_for_the_others_only(w):
    a, other, gone = w.container("a", BACK), w.container("other"), w.container("gone")
    listens, told = os.pipe(), os.pipe()

    def list_when_told():
        os.read(listens[0], 1)
        w.helper.ask(op="list")
        os.write(told[1], b"x")

    other.attach_by_another(w.helper, BACK, then=list_when_told)
    gone.attach_by_another(w.helper, BACK)
    kill_helper(w)
    w.helper.start()
    asks, stranger = w.helper.connect(), w.helper.connect_by_another()
    asks.send({"op": "list"})
    stranger.send({"op": "list"})
    os.write(listens[1], b"x")
    channels = [asks.socket, stranger.socket, told[0]]
    assert not select.select(channels, [], [], 0.3)[0], "a list leaves somebody out"
    w.end(gone)
    assert select.select(channels[:1], [], [], 9)[0] and select.select(channels[2:], [], [], 9)[0], "they wait for themselves"
    assert not readable(stranger), "a stranger's list leaves them out"
    w.end(other)
    a.restore(w.helper)
    assert [c["name"] for c in stranger.receive()["containers"]] == ["a"]


@case
def the_loop_takes_the_warden_along(w):
    a = w.container("a", BACK)
    os.kill(max(w.processes()), signal.SIGKILL)
    try:
        a.lease.receive()
        raise AssertionError("the lease goes on")
    except EOFError:
        pass
    assert eventually(lambda: not w.processes())


@case
def sixty_four_containers_on_one_network(w):
    all_of_them = [w.container(f"c{i}", BACK) for i in range(64)]
    assert len({c.ip() for c in all_of_them}) == 64
    assert all_of_them[0].pings(all_of_them[63].ip()) and all_of_them[63].pings("10.89.7.1")
    for c in all_of_them[1:]:
        w.end(c)
    assert eventually(lambda: len(w.helper.ask(op="list")["containers"]) == 1)
    assert eventually(lambda: w.inside(all_of_them[0], "ip", "-o", "link").count("master br-") == 1)


@case
def without_tun_the_uplink_is_a_veth(w):
    script = 'mount --bind /dev/null /dev/net/tun && exec "$0"'
    w.helper.program = ["unshare", "-m", "sh", "-c", script, *w.helper.program]
    w.helper.start()
    a, b = w.container("a", BACK), w.container("b", BACK)
    assert a.answer["level"].startswith("veth+"), a.answer["level"]
    assert a.pings(b.ip()) and a.pings("10.89.7.1")
    os.kill(min(w.processes()), signal.SIGKILL)
    assert eventually(lambda: not w.processes())
    w.helper.start()
    a.restore(w.helper)
    assert a.answer["level"].startswith("veth+") and a.pings("10.89.7.1")


@case
def small_networks_run_out_of_addresses(w):
    small = definition("small", 0x1005, "10.89.11.0/29")
    for i in range(5):
        w.container(f"c{i}", small)
    refused(lambda: w.container("more").attach(w.helper, small), "no available addresses", "small")


@case
def the_helper_ends_after_the_last_lease(w):
    a = w.container("a", BACK)
    assert len(w.processes()) == 2
    ended_at = time.monotonic()
    w.end(a)
    assert eventually(lambda: not w.processes())
    assert time.monotonic() - ended_at >= 2.9, "it did not wait for another lease"


def main():
    program, wanted = sys.argv[1], sys.argv[2:]
    failed = 0
    chosen = [c for c in CASES if not wanted or c.__name__ in wanted]
    print(f"1..{len(chosen)}")
    for number, test in enumerate(chosen, 1):
        with tempfile.TemporaryDirectory() as directory:
            w = World(program, directory)
            try:
                if "without_tun" not in test.__name__:
                    w.helper.start()
                test(w)
                print(f"ok {number} {test.__name__}")
            except Exception as e:  # a case may fail in any way
                failed += 1
                where = traceback.extract_tb(e.__traceback__)[1:]
                print(f"not ok {number} {test.__name__}\n# {type(e).__name__}: {e}")
                for frame in where:
                    print(f"# {frame.name}, line {frame.lineno}: {frame.line}")
            finally:
                w.close()
        sys.stdout.flush()
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
