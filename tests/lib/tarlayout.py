#!/usr/bin/env python3
"""tarlayout.py [--gzip] DIR TAR…: an OCI layout (tag latest) with one layer for each tar, by turns gzip, zstd and plain."""
import gzip, hashlib, json, os, subprocess, sys

only_gzip = sys.argv[1] == "--gzip"
top, *tars = sys.argv[2 if only_gzip else 1:]
os.makedirs(os.path.join(top, "blobs/sha256"))


def put(data, media):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(top, "blobs/sha256", digest), "wb") as f:
        f.write(data)
    return {"mediaType": "application/vnd.oci.image." + media, "digest": "sha256:" + digest, "size": len(data)}


layers, diffs = [], []
for n, name in enumerate(tars):
    with open(name, "rb") as f:
        data = f.read()
    diffs.append("sha256:" + hashlib.sha256(data).hexdigest())
    if only_gzip or n % 3 == 0:
        layers.append(put(gzip.compress(data, 3, mtime=0), "layer.v1.tar+gzip"))
    elif n % 3 == 1:
        layers.append(put(subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout, "layer.v1.tar+zstd"))
    else:
        layers.append(put(data, "layer.v1.tar"))
arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
config = put(json.dumps({"architecture": arch, "os": "linux", "created": "2024-05-06T07:08:09.123456789Z",
                         "author": "a tester", "config": {
                             "Env": ["PATH=/bin", "TWO=2"], "Cmd": ["/bin/sh"], "WorkingDir": "/srv", "User": "0",
                             "Labels": {"purpose": "test", "empty": ""}, "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT",
                             "Volumes": {"/data": {}}},
                         "rootfs": {"type": "layers", "diff_ids": diffs},
                         "history": [{"created_by": "tar %d" % i} for i in range(len(tars))]}).encode(), "config.v1+json")
manifest = put(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                           "layers": layers}).encode(), "manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
with open(os.path.join(top, "index.json"), "w") as f:
    json.dump({"schemaVersion": 2, "manifests": [manifest]}, f)
with open(os.path.join(top, "oci-layout"), "w") as f:
    f.write('{"imageLayoutVersion":"1.0.0"}')
