#!/usr/bin/env python3
"""A registry in memory that does what it is told: pushes with every step of the protocol, logins, tokens, searches, and lies.

    scriptedregistry.py [--tls CERT KEY] [--bind ADDRESS]

Prints "listening on PORT" and serves until its parent ends. Control, on the same port:
    POST /_set   JSON, replaces all of these: "rules": […] (below), "auth": null | "basic" | "token" (user "tester", password
                 "secret", refresh token "refresh-me"), "anonymous": reading needs nobody's token, "resume": uploads that broke
                 off can be gone on with (else they are forgotten), "search": results of /v1/search, "realm": a token service
                 instead of our own, "identity": the token service gives a refresh token; "wipe": forget all content, "always": rules hold
                 without end where they do not say how often
    GET  /_log   every request since the last /_set, as JSON: method, path, auth (the header, or null), form, got (body bytes),
                 range, status
A rule: {"match": regular expression on "METHOD /path", "times": how often (default 1, -1 always), "skip": matches to let
pass first, "least": bytes that the request's body has at least, and one of
    "status": N, "headers": {…}, "body": "text"      answer this
    "take": N       read N bytes of the request's body, keep them as the upload's, and reset the connection
    "drop": true    reset the connection before anything is done        "lose": true   do it, and then reset
    "header": {…}   replace response headers (null: none); "{self}" is our own address
    "replace": "…"  another body, with the headers of the true one
    "endless": true a body without end, as fast as it goes        "drip": seconds   one byte of the answer in so many seconds
    "fat": N        N bytes of headers more
    "together": N   answer when N requests of the rule are here; 503 where they do not come}
"""
import argparse, base64, hashlib, json, re, threading, time, urllib.parse, uuid

import testserver
from testserver import lock

FRESH = {"rules": [], "auth": None, "anonymous": False, "resume": True, "search": [], "realm": None, "identity": False}
S = dict(FRESH, log=[], tokens={}, blobs={}, manifests={}, uploads={})
BASIC = "Basic " + base64.b64encode(b"tester:secret").decode()


met = threading.Condition()


class Gone(Exception):
    pass


class Handler(testserver.Handler):
    scheme = "http"

    # ---- answers ----

    def meet(self):
        rule = self.rule
        with met:
            rule["came"] = rule.get("came", 0) + 1
            met.notify_all()
            return met.wait_for(lambda: rule["came"] >= rule["together"], 30)

    def reply(self, status, body=b"", headers=None):
        if "together" in self.rule and not self.meet():
            status, body = 503, b""
        if isinstance(body, str):
            body = body.encode()
        out = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
        out.update(headers or {})
        out.update({k: v and v.replace("{self}", self.address()) for k, v in self.rule.get("header", {}).items()})
        if self.rule.get("lose"):
            self.entry["status"] = status
            self.reset()
        if "replace" in self.rule:
            body = self.rule["replace"].encode()
            out["Content-Length"] = str(len(body))
        if "endless" in self.rule or "drip" in self.rule:
            out.pop("Content-Length")
        self.entry["status"] = status
        self.send_response(status)
        for k, v in out.items():
            if v is not None:
                self.send_header(k, v)
        for i in range(self.rule.get("fat", 0) // 1000):
            self.send_header("X-Fat-%d" % i, "x" * 980)
        self.end_headers()
        if self.command == "HEAD" or status == 204:
            return
        if "drip" in self.rule:
            for b in body:
                self.wfile.write(bytes([b]))
                time.sleep(self.rule["drip"])
        while "endless" in self.rule:
            self.wfile.write(b"{" * 65536)
        self.wfile.write(body)

    def error(self, status, code, headers=None):
        self.reply(status, json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}), headers)

    def reset(self):
        super().reset()
        raise Gone

    def address(self):
        return "%s://localhost:%d" % (self.scheme, self.server.server_address[1])

    # ---- who asks ----

    def authorized(self, repo):
        auth = self.headers.get("Authorization")
        if not S["auth"] or (S["auth"] == "basic" and auth == BASIC):
            return True
        if S["auth"] == "token" and auth and auth.startswith("Bearer "):
            if S["tokens"].get(auth[7:]):
                return True
        if S["anonymous"] and self.command in ("GET", "HEAD") and repo:
            return True
        ask = 'Basic realm="test"'
        if S["auth"] == "token":
            ask = 'Bearer realm="%s",service="test"' % (S["realm"] or self.address() + "/token")
        self.error(401, "UNAUTHORIZED", {"WWW-Authenticate": ask})
        return False

    def give_token(self, query, form):
        auth = self.headers.get("Authorization")
        known = auth == BASIC or form.get("refresh_token") == ["refresh-me"]
        if (auth or form) and not known:
            return self.reply(401, '{"details":"incorrect username or password"}')
        token = "t-" + uuid.uuid4().hex
        S["tokens"][token] = known or S["anonymous"]
        answer = {"token": token, "expires_in": 300}
        if S["identity"] and query.get("offline_token") == ["true"]:
            answer["refresh_token"] = "refresh-me"
        self.reply(200, json.dumps(answer))

    # ---- content ----

    def manifest(self, repo, ref, body):
        have = S["manifests"].setdefault(repo, {})
        if self.command == "PUT":
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            named = re.findall(r'"digest":"(sha256:[0-9a-f]{64})"', body.decode())
            if any(d not in S["blobs"].get(repo, {}) and d not in have for d in named):
                return self.error(400, "MANIFEST_BLOB_UNKNOWN")
            have[ref] = have[digest] = (self.headers.get("Content-Type"), body)
            return self.reply(201, b"", {"Docker-Content-Digest": digest, "Location": "/v2/%s/manifests/%s" % (repo, digest)})
        if ref not in have:
            return self.error(404, "MANIFEST_UNKNOWN")
        kind, text = have[ref]
        digest = "sha256:" + hashlib.sha256(text).hexdigest()
        return self.reply(200, text, {"Content-Type": kind, "Docker-Content-Digest": digest})

    def blob(self, repo, digest):
        data = S["blobs"].get(repo, {}).get(digest)
        if data is None:
            return self.error(404, "BLOB_UNKNOWN")
        return self.reply(200, data, {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest})

    def open_upload(self, repo, query):
        mount, source = query.get("mount", [None])[0], query.get("from", [None])[0]
        if mount and mount in S["blobs"].get(source, {}):
            S["blobs"].setdefault(repo, {})[mount] = S["blobs"][source][mount]
            return self.reply(201, b"", {"Location": "/v2/%s/blobs/%s" % (repo, mount), "Docker-Content-Digest": mount})
        name = uuid.uuid4().hex
        S["uploads"][name] = b""
        return self.reply(202, b"", {"Location": "/v2/%s/blobs/uploads/%s?state=1" % (repo, name), "Range": "0-0"})

    def upload(self, repo, name, query, body):
        if name not in S["uploads"]:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN")
        have = S["uploads"][name]
        place = {"Location": "/v2/%s/blobs/uploads/%s?state=2" % (repo, name)}
        first = re.match(r"(\d+)-", self.headers.get("Content-Range") or "")
        if first and int(first.group(1)) != len(have):
            return self.error(416, "RANGE_INVALID", place)
        S["uploads"][name] = have = have + body
        place["Range"] = "0-%d" % max(len(have) - 1, 0)
        if self.command == "PUT":
            digest = query.get("digest", [""])[0]
            if digest != "sha256:" + hashlib.sha256(have).hexdigest():
                return self.error(400, "DIGEST_INVALID")
            S["blobs"].setdefault(repo, {})[digest] = have
            del S["uploads"][name]
            return self.reply(201, b"", {"Location": "/v2/%s/blobs/%s" % (repo, digest), "Docker-Content-Digest": digest})
        return self.reply(204 if self.command == "GET" else 202, b"", place)

    def content(self, path, query, body):
        if path == "/v2/":
            return self.reply(200, "{}") if self.authorized(None) else None
        if path == "/v2/_catalog":
            return self.reply(200, json.dumps({"repositories": sorted(S["manifests"])})) if self.authorized(None) else None
        m = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags)/(uploads/)?([^/]*)", path)
        if not m:
            return self.error(404, "NOT_FOUND")
        repo, kind, uploads, name = m.groups()
        if not self.authorized(repo):
            return None
        if kind == "manifests":
            return self.manifest(repo, name, body)
        if kind == "tags":
            return self.reply(200, json.dumps({"name": repo, "tags": [t for t in S["manifests"].get(repo, {}) if ":" not in t]}))
        if not uploads:
            return self.blob(repo, name)
        return self.upload(repo, name, query, body) if name else self.open_upload(repo, query)

    # ---- the loop ----

    def control(self, body):
        if self.path == "/_set":
            new = json.loads(body or b"{}")
            with lock:
                if new.pop("wipe", False):
                    S.update(blobs={}, manifests={}, uploads={})
                times = -1 if new.pop("always", False) else 1
                S.update(FRESH, log=[], tokens={}, **new)
                testserver.complete(S["rules"], times)
        self.rule, self.entry = {}, {}
        self.reply(200, json.dumps(S["log"]))

    def take(self, n, length):
        """The body's first bytes; of an upload they are kept where the registry can resume."""
        body = self.rfile.read(min(n, length))
        name = re.search(r"/uploads/([0-9a-f]+)", self.path)
        if name and name.group(1) in S["uploads"]:
            if S["resume"]:
                S["uploads"][name.group(1)] += body
            else:
                del S["uploads"][name.group(1)]
        self.entry["got"] = len(body)
        self.reset()

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        if self.path.startswith("/_"):
            return self.control(self.rfile.read(length))
        self.rule = self.find_rule(S["rules"])
        self.entry = {"method": self.command, "path": self.path, "auth": self.headers.get("Authorization"), "form": None,
                      "got": 0, "range": self.headers.get("Content-Range"), "status": None, "host": self.headers.get("Host"),
                      "headers": dict(self.headers)}
        with lock:
            S["log"].append(self.entry)
        try:
            self.answer(length)
        except (Gone, OSError):
            self.close_connection = True

    def answer(self, length):
        if "take" in self.rule:
            self.take(self.rule["take"], length)
        if "drop" in self.rule:
            self.reset()
        body = self.rfile.read(length)
        self.entry["got"] = len(body)
        path, _, query = self.path.partition("?")
        query, form = urllib.parse.parse_qs(query), {}
        if (self.headers.get("Content-Type") or "").startswith("application/x-www-form-urlencoded"):
            form = urllib.parse.parse_qs(body.decode())
            self.entry["form"] = form
        if "status" in self.rule:
            headers = {k: v.replace("{self}", self.address()) for k, v in self.rule.get("headers", {}).items()}
            return self.reply(self.rule["status"], self.rule.get("body", ""), headers)
        if path == "/token":
            return self.give_token(query, form)
        if path == "/v1/search":
            return self.reply(200, json.dumps({"results": S["search"], "num_results": len(S["search"])}))
        return self.content(path, query, body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--tls", nargs=2)
    ap.add_argument("--bind", default="127.0.0.1")
    o = ap.parse_args()
    Handler.scheme = "https" if o.tls else "http"
    testserver.Server(Handler, o.bind, tls=o.tls).run()
