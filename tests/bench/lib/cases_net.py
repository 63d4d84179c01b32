"""The benchmark's network cases; see cases.py."""
import json, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time
from bench import *
from bench import case, procs, mem, timed, ms, get, cg_cpu, CPUSTAT
from cases import *

# ================================================================= f. network
def helper_cpu(skip=("iperf3", "nginx", "wrk", "ab", "python3", "podman")):
    return {p: v[2] for p, v in procs().items() if v[0] not in skip}

class HostServer:
    def __init__(self, argv, port): self.p = subprocess.Popen(argv, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL); wait_port("127.0.0.1", port)
    def stop(self): self.p.kill(); self.p.wait()

def wait_port(h, p, s=8, payload=False):
    for _ in range(int(s / 0.05)):
        try: socket.create_connection((h, p), 1).close(); time.sleep(0.1); return
        except OSError: time.sleep(0.05)
    raise Fail("nothing listens on port %d" % p)

def iperf(argv, env=None, secs=3):
    c0 = helper_cpu(); o = json.loads(get(argv, env, timeout=60)); c1 = helper_cpu()
    s = o["end"]["sum_received"]; gb = s["bytes"] / 1e9
    cpu = sum(v - c0.get(p, 0) for p, v in c1.items())
    return {"Gb/s": s["bits_per_second"] / 1e9, "helper_cpu_s/GB": cpu / gb if gb else 0}

def _out(rev):
    def f(t):
        port = freeport(); srv = HostServer(["iperf3", "-s", "-p", str(port)], port); time.sleep(0.5)
        args = ["iperf3", "-c", HOSTIP, "-p", str(port), "-t", "2", "-J"] + (["-R"] if rev else [])
        try:
            if t.docker: t.need("net")
            while True:
                if t.docker: yield iperf(t.a("run", "--rm", *t.netargs, "net", *args), t.env)
                elif t.kind == "pasta": yield iperf(t.base + ["--config-net", "-q", "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2", "--"] + args)
                elif t.kind == "host": yield iperf(args)
                time.sleep(0.3)
        finally: srv.stop()
    return f
case("f.out", "iperf3 TCP container -> host address", 3, "net pasta host")(_out(False))
case("f.in", "iperf3 -R TCP host address -> container (outbound connection)", 3, "net pasta host")(_out(True))

class Server:
    """run ARGS of image NET with port CPORT published; .port on 127.0.0.1"""
    def __init__(self, t, cport, args, image="net", vols=()):
        self.t, self.port = t, freeport()
        if t.docker:
            self.name = "srv-" + t.name       # pseudo-tools share a store
            t.need(image); t.kill_rm(self.name)
            t.out("run", "-d", "--name", self.name, *t.netargs, "-p", "127.0.0.1:%d:%d" % (self.port, cport), *sum([["-v", v] for v in vols], []), image, *args)
        else:
            fs = rootfs(image); b = ["bwrap", "--die-with-parent", "--bind", fs, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"] + sum([["--ro-bind"] + v.split(":")[:2] for v in vols], [])
            if t.kind == "host": self.port = cport; pre = []
            else: pre = t.base + ["--config-net", "-q", "-f", "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2", "-t", "%d:%d" % (self.port, cport), "--", "unshare", "-m", "sh", "-c", 'mount -t proc proc /proc; exec "$@"', "sh"]
            ef = open(WORK + "/srv.err", "w+")
            self.p = subprocess.Popen(pre + b + list(args), stdin=DEVNULL, stdout=ef, stderr=ef)
        time.sleep(0.5)
        try: wait_port("127.0.0.1", self.port)
        except Fail as e:
            if not t.docker: raise Fail("%s; %s; rc=%s" % (e, open(WORK + "/srv.err").read()[-300:], self.p.poll()))
            raise
        time.sleep(0.3)
    def stop(self):
        if self.t.docker: self.t.kill_rm(self.name)
        else: self.p.terminate(); self.p.wait(); time.sleep(0.2)

def _pub(rev):
    def f(t):
        s = Server(t, 5201, ["iperf3", "-s"])
        try:
            while True:
                yield iperf(["iperf3", "-c", "127.0.0.1", "-p", str(s.port), "-t", "2", "-J"] + (["-R"] if rev else [])); time.sleep(0.3)
        finally: s.stop()
    return f
case("f.pub-in", "iperf3 host -> container through a published port", 3, "docker podman-slirpport podman-bridge pasta host")(_pub(False))
case("f.pub-out", "iperf3 -R container -> host through a published port", 3, "docker podman-slirpport podman-bridge pasta host")(_pub(True))

def _http(t):
    s = Server(t, 8080, ["nginx", "-c", "/wl/nginx.conf"], vols=[WL + ":/wl:ro"])
    try:
        while True:
            u = "http://127.0.0.1:%d/" % s.port; r = {}
            c0 = helper_cpu()
            o = get(["ab", "-q", "-n", "4000", "-c", "16", u]); c1 = helper_cpu()
            r["conn/s"] = float(re.search(r"Requests per second:\s+([\d.]+)", o).group(1))
            r["helper_cpu_us/conn"] = sum(v - c0.get(p, 0) for p, v in c1.items()) / 4000 * 1e6
            o = get(["wrk", "-t2", "-c32", "-d3", u]); r["keepalive_req/s"] = float(re.search(r"Requests/sec:\s+([\d.]+)", o).group(1))
            yield r
    finally: s.stop()
case("f.http", "nginx behind a published port: ab (new connections), wrk (keep-alive)", 3, "docker podman-slirpport podman-bridge pasta host")(_http)

def _rrpub(t):
    s = Server(t, 7777, ["python3", "/wl/rr.py", "server", "7777"], image="dev", vols=[WL + ":/wl:ro"])
    try:
        while True: yield json.loads(get([PY, WL + "/rr.py", "client", "127.0.0.1", str(s.port), "3000"]))
    finally: s.stop()
case("f.rr-pub", "1-byte TCP round trip (us) and connect+1 byte (us), host -> published port", 3, "docker podman-slirpport pasta host")(_rrpub)

@case("f.rr-out", "1-byte TCP round trip (us) and connect+1 byte, container -> host address", 3, "docker podman-bridge pasta host")
def _(t):
    port = freeport(); srv = HostServer([PY, WL + "/rr.py", "server", str(port)], port)
    a = ["client", HOSTIP, str(port), "3000"]
    try:
        if t.docker: t.need("dev")
        while True:
            if t.docker: o = t.out("run", "--rm", *t.netargs, "-v", WL + ":/wl:ro", "dev", "python3", "/wl/rr.py", *a)
            elif t.kind == "pasta": o = get(t.base + ["--config-net", "-q", "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2", "--", PY, WL + "/rr.py"] + a)
            else: o = get([PY, WL + "/rr.py"] + a)
            yield json.loads(o.splitlines()[-1])
    finally: srv.stop()

@case("f.c2c", "iperf3 between two containers on a user-made network", 3)
def _(t):
    t.need("net"); t.kill_rm("c2s"); t.quiet("network", "rm", "bn")
    t.out("network", "create", "bn")
    try:
        t.out("run", "-d", "--name", "c2s", "--network=bn", "net", "iperf3", "-s"); time.sleep(1)
        ip = json.loads(t.out("inspect", "c2s"))[0]["NetworkSettings"]["Networks"]["bn"]["IPAddress"]
        while True: yield iperf(t.a("run", "--rm", "--network=bn", "net", "iperf3", "-c", ip, "-t", "2", "-J"), t.env)
    finally:
        t.kill_rm("c2s"); t.quiet("network", "rm", "bn")

