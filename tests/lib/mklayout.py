#!/usr/bin/env python3
"""Makes small OCI layouts for tests: mklayout.py DIR [TAG] [--layers N] [--size BYTES] [--files N] [--arch A,B] [--docker]

The first layer holds busybox (static) and its usual links, further layers one file each. --size makes the last layer's file
that large (random bytes: it does not compress), --arch makes an index with one image an architecture, --zstd compresses
with zstd, --plain not at all, --same repeats the second layer.
"""
import argparse, gzip, hashlib, io, json, os, random, subprocess, tarfile

ap = argparse.ArgumentParser()
ap.add_argument("dir")
ap.add_argument("tag", nargs="?", default="latest")
ap.add_argument("--layers", type=int, default=2)
ap.add_argument("--size", type=int, default=0)
ap.add_argument("--files", type=int, default=0)
ap.add_argument("--arch", default="")
ap.add_argument("--zstd", action="store_true")
ap.add_argument("--plain", action="store_true")
ap.add_argument("--same", action="store_true")
ap.add_argument("--attestation", action="store_true")
o = ap.parse_args()
blobs = os.path.join(o.dir, "blobs", "sha256")
os.makedirs(blobs, exist_ok=True)


def put(data):
    h = hashlib.sha256(data).hexdigest()
    with open(os.path.join(blobs, h), "wb") as f:
        f.write(data)
    return {"digest": "sha256:" + h, "size": len(data)}


def put_json(j, media):
    return dict(put(json.dumps(j).encode()), mediaType=media)


def add(t, name, data=None, mode=0o644, link=None):
    i = tarfile.TarInfo(name)
    i.mode, i.mtime = mode, 1700000000
    if link:
        i.type, i.linkname = tarfile.SYMTYPE, link
    elif data is None:
        i.type = tarfile.DIRTYPE
    else:
        i.size = len(data)
    t.addfile(i, io.BytesIO(data) if data is not None and not link else None)


def tar(fill):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w", format=tarfile.PAX_FORMAT) as t:
        fill(t)
    return b.getvalue()


def base(t):
    for d in ("bin", "etc", "root", "tmp", "proc", "sys", "dev", "usr", "usr/bin"):
        add(t, d + "/", mode=0o1777 if d == "tmp" else 0o755)
    with open("/bin/busybox", "rb") as f:
        add(t, "bin/busybox", f.read(), 0o755)
    for a in "sh ls cat echo true false sleep id env pwd mkdir rm touch ps head stat uname test".split():
        add(t, "bin/" + a, link="busybox")
    add(t, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    add(t, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")


def layer(n):
    if n == 0:
        return tar(base)
    rnd = random.Random(1 if o.same else n)
    last = n == o.layers - 1
    data = rnd.randbytes(o.size) if o.size and last else b"layer %d\n" % (1 if o.same else n)
    def fill(t):
        add(t, "layer%d" % (1 if o.same else n), data)
        for i in range(o.files if last else 0):
            add(t, "many/%03d/%06d" % (i % 1000, i), b"%d" % i)
    return tar(fill)


def pack(data):
    if o.plain:
        return data, ""
    if o.zstd:
        return subprocess.run(["zstd", "-q", "-3", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout, "+zstd"
    return gzip.compress(data, 6, mtime=0), "+gzip"


def image(arch):
    layers, diffs = [], []
    for n in range(o.layers):
        raw = layer(n)
        data, suffix = pack(raw)
        diffs.append("sha256:" + hashlib.sha256(raw).hexdigest())
        layers.append(dict(put(data), mediaType="application/vnd.oci.image.layer.v1.tar" + suffix))
    config = {"architecture": arch, "os": "linux", "created": "2024-01-02T03:04:05Z",
              "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/usr/bin", "ARCH=" + arch]},
              "rootfs": {"type": "layers", "diff_ids": diffs},
              "history": [{"created_by": "layer %d" % n} for n in range(o.layers)]}
    conf = put_json(config, "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": conf, "layers": layers}
    return put_json(manifest, manifest["mediaType"])


host = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
if o.arch:
    entries = []
    for a in o.arch.split(","):
        arch, _, variant = a.partition("/")
        d = image(arch)
        d["platform"] = {"os": "linux", "architecture": arch, **({"variant": variant} if variant else {})}
        entries.append(d)
    if o.attestation:
        d = put_json({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                      "config": put_json({}, "application/vnd.oci.empty.v1+json"), "layers": []},
                     "application/vnd.oci.image.manifest.v1+json")
        d["platform"] = {"os": "unknown", "architecture": "unknown"}
        d["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
        entries.append(d)
    top = put_json({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries},
                   "application/vnd.oci.image.index.v1+json")
else:
    top = image(host)
top["annotations"] = {"org.opencontainers.image.ref.name": o.tag}
with open(os.path.join(o.dir, "oci-layout"), "w") as f:
    f.write('{"imageLayoutVersion":"1.0.0"}')
index = os.path.join(o.dir, "index.json")
old = json.load(open(index))["manifests"] if os.path.exists(index) else []
with open(index, "w") as f:
    json.dump({"schemaVersion": 2, "manifests": [m for m in old if m["annotations"].get("org.opencontainers.image.ref.name") != o.tag] + [top]}, f)
