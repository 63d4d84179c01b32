#!/usr/bin/env python3
"""dockerfiles: builds many small Dockerfiles, each with what the reference says comes of it written beside it.

    dockerfiles.py check [-j N] [-n N] [NAME…]    builds with `coracle` (from PATH) and compares with what is written
    dockerfiles.py compare [-j N] [NAME…]         builds with buildah, too, and compares the two images: configuration, files
                                                  with kind, mode, owner, content and time; differences.txt has what is known

-j: so many at once. -n: every Nth document.

Documents are in *.dockerfiles: "=== name", the Dockerfile, and lines that begin with "> ":

    > option --build-arg A=b        for the command line         > ignore PATTERN    a line of its .dockerignore
    > config Env ["A=b"]            the image's config, JSON     > history TEXT      one of the history's created_by
    > tree /x f 644 0:0 "text"      a file; d, l (-> target)     > absent /x         no such file (\\u0020: a space)
    > layers 2                      those above the base         > error TEXT        it is refused, and says so
    > author TEXT                   the image's author

The context is the same for all: see context() below. Base images must be there: busybox.
"""
import concurrent.futures
import io
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TIME = 1000000000
FIELDS = ["Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "Labels", "StopSignal", "OnBuild",
          "Healthcheck", "Shell"]


def documents():
    found = {}
    for path in sorted(HERE.glob("*.dockerfiles")):
        name = None
        for line in path.read_text().split("\n"):
            if line.startswith("=== "):
                name = line[4:]
                assert name not in found, f"two documents are called {name}"
                found[name] = {"text": [], "expect": []}
            elif name is None:
                assert not line or line.startswith("#"), f"{path}: {line}"
            elif line.startswith("> "):
                found[name]["expect"].append(line[2:].split(" ", 1))
            else:
                found[name]["text"].append(line)
    return found


def context(directory):
    """What COPY and ADD find: files with their modes, links, directories, an archive."""
    files = {"a": (0o644, "a\n"), "b": (0o640, "b\n"), "exe": (0o755, "#!/bin/sh\n"), "sp ace": (0o644, "space\n"),
             ".hidden": (0o644, "hidden\n"), "f1.txt": (0o644, "1\n"), "f2.txt": (0o600, "2\n"), "f3.md": (0o644, "3\n"),
             "dir/x": (0o644, "x\n"), "dir/y.c": (0o664, "y\n"), "dir/sub/z": (0o444, "z\n"), "[b]": (0o644, "brackets\n")}
    for name, (mode, text) in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    (directory / "link").symlink_to("a")
    (directory / "dir/up").symlink_to("../a")
    (directory / "out").symlink_to("../../../../etc/hostname")
    (directory / "dir/sub").chmod(0o750)
    for path, kind in (("ar.tar", ""), ("ar.tgz", "gz")):
        with tarfile.open(directory / path, f"w:{kind}") as tar:
            info = tarfile.TarInfo("in/t")
            info.size, info.mode, info.uid, info.gid, info.mtime = 2, 0o640, 7, 8, TIME
            tar.addfile(info, io.BytesIO(b"t\n"))
    for path in sorted(directory.rglob("*"), reverse=True):
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def flatten(blobs, layers):
    """The files of an image: path without '/' in front → (kind, mode, owner, content or target, time)."""
    tree = {}
    for layer in layers:
        data = blobs[layer["digest"]]
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for m in tar:
                path = m.name.strip("/").removeprefix("./")
                base = os.path.basename(path)
                if base == ".wh..wh..opq":
                    above = os.path.dirname(path)
                    tree = {p: v for p, v in tree.items() if not p.startswith(above + "/")}
                elif base.startswith(".wh."):
                    gone = os.path.join(os.path.dirname(path), base[4:])
                    tree = {p: v for p, v in tree.items() if p != gone and not p.startswith(gone + "/")}
                elif path not in ("", "."):
                    kind = "d" if m.isdir() else "l" if m.issym() else "f" if m.isfile() else "h" if m.islnk() else "?"
                    if kind == "h":
                        tree[path] = tree[m.linkname.strip("/").removeprefix("./")]
                        continue
                    if kind != "d":
                        tree = {p: v for p, v in tree.items() if not p.startswith(path + "/")}
                    said = m.linkname if kind == "l" else tar.extractfile(m).read().decode("latin-1") if kind == "f" else None
                    tree[path] = (kind, 0o777 if kind == "l" else m.mode & 0o7777, f"{m.uid}:{m.gid}", said, int(m.mtime))
    return tree


def read_image(path):
    with tarfile.open(path) as tar:
        members = {m.name.removeprefix("./"): m for m in tar}

        def blob(digest):
            return tar.extractfile(members["blobs/" + digest.replace(":", "/")]).read()

        index = json.load(tar.extractfile(members["index.json"]))
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        blobs = {layer["digest"]: blob(layer["digest"]) for layer in manifest["layers"]}
        return json.loads(blob(manifest["config"]["digest"])), manifest["layers"], blobs


def build(tool, name, doc, work):
    """(what it said, or None where it went well; the image)"""
    file, out = work / f"{name}.Dockerfile", work / f"{name}.{tool}.tar"
    file.write_text("\n".join(doc["text"]) + "\n")
    ignored = [value for key, value in doc["expect"] if key == "ignore"]
    if ignored:
        (work / f"{name}.Dockerfile.dockerignore").write_text("\n".join(ignored) + "\n")
    options = [word for key, value in doc["expect"] if key == "option" for word in shlex.split(value)]
    if tool == "coracle":
        commands = [["coracle", "build", "-q", "-o", f"type=oci,dest={out}", *options, "-f", str(file), str(work / "context")]]
    else:
        buildah = ["buildah", "--storage-driver", "vfs"]
        ignore = ["--ignorefile", f"{file}.dockerignore"] if ignored else []
        tag = f"localhost/t-{name}"
        commands = [[*buildah, "bud", "-q", "--isolation", "chroot", "--format", "docker", "--layers=false", "--network", "host",
                     "--pull-never", "-t", tag, *ignore, *options, "-f", str(file), str(work / "context")],
                    [*buildah, "push", "-q", "--format", "oci", "--disable-compression", tag, f"oci-archive:{out}"]]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            return done.stdout + done.stderr, None
    image = read_image(out)
    out.unlink()
    return None, image


def show(entry):
    kind, mode, owner, said, _ = entry
    return f"{kind} {mode:o} {owner}" + (f" -> {said}" if kind == "l" else f" {json.dumps(said)}" if kind == "f" else "")


def problems_of(name, doc, work):
    """What is not as it is written."""
    said, image = build("coracle", name, doc, work)
    errors = [value for key, value in doc["expect"] if key == "error"]
    if errors:
        return [f"lacks the error: {e}\n{said}" for e in errors if said is None or e not in said]
    if said is not None:
        return [said]
    config, layers, blobs = image
    tree, found = flatten(blobs, layers), []
    for key, value in doc["expect"]:
        if key == "config":
            field, wanted = value.split(" ", 1)
            got = config["config"].get(field)
            if got != json.loads(wanted):
                found.append(f"{field}: {json.dumps(got)}, not {wanted}")
        elif key == "author":
            if config.get("author") != value:
                found.append(f"author: {config.get('author')}, not {value}")
        elif key == "history":
            if not any(h.get("created_by") == value for h in config["history"]):
                found.append("history: " + "; ".join(h.get("created_by", "") for h in config["history"]))
        elif key == "layers":
            made = sum(1 for h in config["history"] if h.get("comment") == "buildkit.dockerfile.v0" and not h.get("empty_layer"))
            if made != int(value):
                found.append(f"layers: {made}")
        elif key == "absent":
            if value.strip("/") in tree:
                found.append(f"{value} is there")
        elif key == "tree":
            path, wanted = value.split(" ", 1)
            path = path.replace("\\u0020", " ")
            entry = tree.get(path.strip("/"))
            got = show(entry) if entry else "nothing"
            if got != wanted and not (entry and entry[0] == "f" and got.startswith(wanted + " ")):
                found.append(f"{path}: {got}, not {wanted}")
        elif key not in ("option", "ignore"):
            found.append(f"what is '> {key}'?")
    return found


def differences(name, doc, work):
    """How the two images are not alike."""
    ours, theirs = build("coracle", name, doc, work), build("buildah", name, doc, work)
    if ours[1] is None or theirs[1] is None:
        if (ours[1] is None) == (theirs[1] is None):
            return []
        return ["coracle refuses" if ours[1] is None else f"buildah refuses: {theirs[0].strip().splitlines()[-1]}"]
    found, configs = [], []
    for config, _, _ in (ours[1], theirs[1]):
        c = {field: config["config"].get(field) or None for field in FIELDS}
        c["Labels"] = {k: v for k, v in (c["Labels"] or {}).items() if k != "io.buildah.version"} or None
        c["WorkingDir"] = c["WorkingDir"] or "/"
        configs.append(c)
    for field in FIELDS:
        if configs[0][field] != configs[1][field]:
            found.append(f"{field}: {json.dumps(configs[0][field])} | {json.dumps(configs[1][field])}")
    trees = [flatten(blobs, layers) for _, layers, blobs in (ours[1], theirs[1])]
    for path in sorted(set(trees[0]) | set(trees[1])):
        a, b = (t.get(path) for t in trees)
        if a and b and a[:4] == b[:4] and (a[4] == b[4] or TIME not in (a[4], b[4]) or a[0] == "d"):
            continue
        texts = [f"{show(x)} @{x[4] if TIME in (a or x)[4:] + (b or x)[4:] else 0}" if x else "nothing" for x in (a, b)]
        found.append(f"/{path}: {texts[0]} | {texts[1]}")
    return found


def known_differences():
    """Of each name, and of "*", the regular expressions that a known difference begins with."""
    known, names = {}, []
    for line in (HERE / "differences.txt").read_text().split("\n"):
        if line.startswith("=== "):
            names = line[4:].split()
        elif line and not line.startswith("#"):
            for name in names:
                known.setdefault(name, []).append(re.compile(line))
    return known


def main():
    args, numbers = sys.argv[1:], {"-j": 3, "-n": 1}
    for option in numbers:
        if option in args:
            at = args.index(option)
            numbers[option] = int(args[at + 1])
            del args[at:at + 2]
    jobs = numbers["-j"]
    if not args or args[0] not in ("check", "compare"):
        sys.exit(__doc__)
    docs = {n: d for i, (n, d) in enumerate(documents().items())
            if n in args[1:] or (not args[1:] and i % numbers["-n"] == 0)}
    known = known_differences() if args[0] == "compare" else {}
    bad = 0
    with tempfile.TemporaryDirectory(prefix="dockerfiles") as tmp:
        work = pathlib.Path(tmp)
        (work / "context").mkdir()
        context(work / "context")
        judge = problems_of if args[0] == "check" else differences
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            results = {name: pool.submit(judge, name, doc, work) for name, doc in docs.items()}
            for name, result in results.items():
                expected = known.get(name, []) + known.get("*", [])
                found = [f for f in result.result() if not any(e.match(f) for e in expected)]
                bad += bool(found)
                if found:
                    print(f"=== {name}")
                    print("\n".join(found))
    print(f"{len(docs)} Dockerfiles, {bad} of them not as expected")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
