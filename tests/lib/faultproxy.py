#!/usr/bin/env python3
"""A registry's evil twin: forwards to a real registry, and misbehaves on request.

    faultproxy.py --upstream 127.0.0.1:PORT [--tls CERT KEY] [--token USER:PASSWORD|anonymous] [--basic USER:PASSWORD]

Prints "listening on PORT" and serves until its parent ends. With --token it asks for Bearer tokens, which it
gives out itself at /token (Basic credentials, an OAuth2 refresh token "refresh-me", or nothing with "anonymous").

Control, on the same port:
    POST /_fault   a JSON list of rules that replaces the old one; counters start anew
    GET  /_log     every request since the last /_fault, as JSON: method, path, range, auth (scheme or null), cookie, status
    POST /_expire  forgets every token given out so far

A rule: {"match": regular expression on "METHOD /path", "times": how often (default 1, -1 always), "skip": matches to let
pass first, and one of
    "cut": N              send N body bytes with the true Content-Length, then reset the connection
    "status": N           answer this ("headers": {…}, "body": "text")
    "ignore_range": true  answer 200 with everything
    "wrong_range": true   answer 206 with another range than was asked for
    "redirect": "URL"     302 to this URL ("{path}" is replaced); "code": N for another status
    "flip": N             invert byte N of the body
    "header": {…}         replace response headers ("Docker-Content-Digest": a lie)
    "append": N           N bytes more than the object has, without Content-Length
    "stall": seconds      wait before the answer
}
"""
import argparse, base64, http.client, json, secrets, time

import testserver
from testserver import lock

state = {"rules": [], "log": [], "tokens": set()}


class Handler(testserver.Handler):
    options = None

    def send(self, status, headers, body):
        self.entry["status"] = status  # who has the answer finds it in the log
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply(self, status, body=b"", headers=None):
        self.send(status, {"Content-Length": str(len(body)), **(headers or {})}, body)

    def note(self):
        auth = self.headers.get("Authorization")
        self.entry = {"method": self.command, "path": self.path, "range": self.headers.get("Range"),
                      "auth": auth.split()[0] if auth else None, "cookie": self.headers.get("Cookie"),
                      "host": self.headers.get("Host"), "status": None}
        with lock:
            state["log"].append(self.entry)

    def control(self, body):
        if self.path == "/_log":
            data = json.dumps(state["log"]).encode()
        elif self.path == "/_fault":
            rules = json.loads(body or b"[]")
            testserver.complete(rules)
            with lock:
                state["rules"], state["log"] = rules, []
            data = b"ok"
        else:
            state["tokens"].clear()
            data = b"ok"
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def basic(self):
        auth = self.headers.get("Authorization") or ""
        return base64.b64decode(auth[6:]).decode() if auth.startswith("Basic ") else None

    def give_token(self, body):
        want = self.options.token
        good = want == "anonymous" or self.basic() == want or (body and b"refresh_token=refresh-me" in body)
        if not good:
            return self.reply(401, b'{"details":"incorrect username or password"}')
        token = secrets.token_hex(16)
        state["tokens"].add(token)
        self.reply(200, json.dumps({"token": token, "expires_in": 60}).encode(), {"Content-Type": "application/json"})

    def authorized(self):
        o, auth = self.options, self.headers.get("Authorization") or ""
        denied = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        if o.basic and self.basic() != o.basic:
            self.reply(401, denied, {"WWW-Authenticate": 'Basic realm="test"'})
            return False
        if o.token and auth[7:] not in state["tokens"]:
            realm = "%s://%s/token" % ("https" if o.tls else "http", self.headers.get("Host"))
            realm = o.realm or realm
            self.reply(401, denied, {"WWW-Authenticate": 'Bearer realm="%s",service="test",scope="repository:x:pull"' % realm})
            return False
        return True

    def forward(self, rule, body):
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "authorization", "connection")}
        if rule.get("ignore_range") or rule.get("wrong_range"):
            headers = {k: v for k, v in headers.items() if k.lower() != "range"}
        if rule.get("wrong_range"):
            headers["Range"] = "bytes=1-"
        up = http.client.HTTPConnection(self.options.upstream)
        up.request(self.command, self.path, body, headers)
        answer = up.getresponse()
        data = answer.read()
        out = {k: v for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding")}
        out.update(rule.get("header", {}))
        if "flip" in rule and data:
            i = rule["flip"] % len(data)
            data = data[:i] + bytes([data[i] ^ 255]) + data[i + 1:]
        if "append" in rule:
            self.close_connection = True
            out = {k: v for k, v in out.items() if k.lower() != "content-length"}
            return self.send(answer.status, {**out, "Connection": "close"}, data + b"x" * rule["append"])
        if "cut" in rule and self.command != "HEAD":
            self.send(answer.status, out, data[:rule["cut"]])
            self.drain()
            return self.reset()
        self.reply(answer.status, data, out)

    def serve(self):
        n = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(n) if n else None
        if self.path.startswith("/_"):
            return self.control(body)
        self.note()
        if self.path.startswith("/token"):
            return self.give_token(body)
        rule = self.find_rule(state["rules"])
        if "stall" in rule:
            time.sleep(rule["stall"])
        if "status" in rule:
            return self.reply(rule["status"], rule.get("body", "").encode(), rule.get("headers"))
        if not rule.get("no_auth") and not self.authorized():
            return None
        if "redirect" in rule:
            return self.reply(rule.get("code", 302), b"", {"Location": rule["redirect"].replace("{path}", self.path)})
        return self.forward(rule, body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--upstream", required=True)
    ap.add_argument("--tls", nargs=2)
    ap.add_argument("--token")
    ap.add_argument("--basic")
    ap.add_argument("--realm", help="names this token service instead of its own")
    ap.add_argument("--port", type=int, default=0)
    Handler.options = o = ap.parse_args()
    testserver.Server(Handler, port=o.port, tls=o.tls).run()


main()
