"""A small client of coracle-net: requests of net/net.h over its socket, for the tests in this directory."""
import array
import json
import os
import signal
import socket
import subprocess

CLONE_NEWNET = 0x40000000


def definition(name, number, subnet, **more):
    """A bridge network whose gateway is the first address of each subnet."""
    def one(text):
        base = text.rsplit("/", 1)[0]
        gateway = base + "1" if base.endswith(":") else base.rsplit(".", 1)[0] + ".1"
        return {"subnet": text, "gateway": gateway, "ip_range": more.get("ip_range")}

    subnets = [one(s) for s in ([subnet] + ([more["subnet6"]] if "subnet6" in more else []))]
    return {
        "id": f"{number:064x}"[::-1],
        "name": name,
        "driver": "bridge",
        "created": 1,
        "internal": more.get("internal", False),
        "ipv6": "subnet6" in more,
        "labels": [],
        "options": more.get("options", []),
        "subnets": subnets,
    }


class Helper:
    """coracle-net behind a listening socket, as a monitor starts it."""

    def __init__(self, program, path):
        self.program, self.path = [program] if isinstance(program, str) else program, path

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(128)

        def place():
            os.dup2(listener.fileno(), 3)
            os.set_inheritable(3, True)

        done = subprocess.run([*self.program], preexec_fn=place, pass_fds=[3], check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.returncode
        listener.close()

    def connect(self):
        return Channel(self.path)

    def connect_by_another(self):
        """A connection of a process that is not ours, nor of anybody whom the helper knows."""
        channel = Channel(None)
        if not (pid := os.fork()):
            channel.socket.connect(self.path)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0, "it could not connect"
        return channel

    def ask(self, **request):
        channel = self.connect()
        answer = channel.call(request)
        channel.close()
        return answer


class Refused(Exception):
    pass


class Channel:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        if path:
            self.socket.connect(path)
        self.buffer, self.fds = b"", []

    def send(self, request, fds=()):
        line = json.dumps(request).encode() + b"\n"
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([line], control)
        if sent < len(line):
            self.socket.sendall(line[sent:])

    def receive(self):
        while b"\n" not in self.buffer:
            data, control, _, _ = self.socket.recvmsg(65536, 1024)
            if not data:
                raise EOFError("coracle-net closed the connection")
            for _, _, raw in control:
                self.fds += list(array.array("i", raw))
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def call(self, request, fds=()):
        self.send(request, fds)
        return self.answer()

    def answer(self):
        answer = self.receive()
        if "error" in answer:
            raise Refused(json.dumps(answer["error"]))
        return answer

    def close(self):
        self.socket.close()


class Container:
    """A process in a network namespace of its own, and its lease."""

    count = 0

    def __init__(self, name):
        Container.count += 1
        self.name, self.id = name, f"{Container.count:012x}" + os.urandom(26).hex()
        self.process = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo; exec sleep 1000"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        self.process.stdout.readline()
        self.netns = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
        self.lease = self.answer = self.holder = None

    def attach(self, helper, *networks, **more):
        self.begin_attach(helper.connect(), *networks, **more)
        self.answer = self.lease.answer()
        return self.answer

    def begin_attach(self, channel, *networks, **more):
        """The answer is read from self.lease."""
        self.lease = channel
        endpoints = [n if "network" in n else {"network": n} for n in networks]
        self.lease.send({"op": "attach", "id": self.id, "name": self.name, "endpoints": endpoints, **more}, [self.netns])

    def attach_by_another(self, helper, *networks, then=signal.pause):
        """By a process that ends with the container, as a monitor does."""
        done, tell = os.pipe()
        self.holder = os.fork()
        if not self.holder:
            self.attach(helper, *networks)
            os.write(tell, b"x")
            then()
            signal.pause()
        os.close(tell)
        assert os.read(done, 1), "it could not attach"
        os.close(done)

    def restore(self, helper):
        namespace = self.lease.fds[-1]
        lease = helper.connect()
        self.answer = lease.call({"op": "restore", "restore": self.answer["restore"]}, [self.netns, namespace])
        self.lease.close()
        self.lease = lease

    def ip(self, i=0):
        return self.answer["endpoints"][i]["ip"]

    def command(self, *argv):
        return ["nsenter", "-t", str(self.process.pid), "-n", *argv]

    def run(self, *argv):
        return subprocess.run(self.command(*argv), capture_output=True, text=True, check=False)

    def pings(self, address, wait=10):
        """The kernel asks for an address again after a second, if the first question came before the link was up."""
        return self.run("busybox", "ping", "-c1", f"-W{wait}", address).returncode == 0

    def cannot_ping(self, address):
        return not self.pings(address, wait=1)

    def end(self):
        if self.holder:
            os.kill(self.holder, signal.SIGKILL)
            os.waitpid(self.holder, 0)
        if self.lease:
            self.lease.close()
        self.process.kill()
        self.process.wait()
        os.close(self.netns)
