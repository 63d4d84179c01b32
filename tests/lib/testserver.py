"""testserver: what the registries of the tests share: an HTTP server of threads that says its port and ends with its parent, connections that
are reset instead of ended, and rules that are used up. Imported by staticregistry, scriptedregistry and faultproxy."""
import ctypes, fcntl, http.server, re, signal, socket, ssl, struct, termios, threading, time

lock = threading.Lock()  # over what the threads of a server share


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def drain(self):
        """Waits until the other end has what was sent: a reset takes back what has not arrived."""
        left, end = bytearray(4), time.monotonic() + 30
        while fcntl.ioctl(self.connection, termios.TIOCOUTQ, left) == 0 and any(left) and time.monotonic() < end:
            time.sleep(0.001)

    def reset(self):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def find_rule(self, rules):
        """The first rule whose "match" is met by this request ("least": by its length, too), used once: {} when there is none."""
        line = "%s %s" % (self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        with lock:
            for r in rules:
                if r["times"] == 0 or length < r.get("least", 0) or not re.search(r["match"], line):
                    continue
                if r["skip"] > 0:
                    r["skip"] -= 1
                    continue
                r["times"] -= 1  # one that holds without end is below zero, and stays there
                return r
        return {}


def complete(rules, times=1):
    """Fills in how often a rule holds, and how often it does not before, where it does not say so itself."""
    for r in rules:
        r.setdefault("times", times)
        r.setdefault("skip", 0)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler, bind="127.0.0.1", port=0, tls=None):
        """tls: the files of a certificate and its key."""
        super().__init__((bind, port), handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        pass

    def run(self):
        """Says the port on standard output, and serves until its parent ends."""
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        print("listening on %d" % self.server_address[1], flush=True)
        self.serve_forever()
