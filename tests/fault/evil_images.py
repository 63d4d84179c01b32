#!/usr/bin/env python3
"""Whole images that lie, against the built coracle: pulled from a registry, or loaded from an archive.

    evil_images.py layers      every layer of evil_layers.py and evil_streams.py as an image, pulled
    evil_images.py loads       the same, loaded from a docker archive
    evil_images.py manifests   manifests, indexes and configs that are not what they say
    evil_images.py archives    archives whose members or names lie
    (further words: only these cases)

Each is refused with the words that are expected, or harmless. After every case: no image, no name, no layer of it, and a directory
beside the store as it was; at the end: no debris, and a sound image can be pulled and run. Exit status 0 when all is well.
HOME says where the store is.
"""
import bz2, gzip, hashlib, io, json, lzma, os, subprocess, sys, tarfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib"), HERE]
import chunkedimage  # noqa: E402
import layercase  # noqa: E402
import rawtar  # noqa: E402
import staticregistry  # noqa: E402
import evil_layers  # noqa: E402,F401
import evil_streams  # noqa: E402,F401

STORE = os.path.join(os.environ["HOME"], ".local/share/coracle")
CANARY = os.path.join(layercase.WORK, "canary")
OCI = "application/vnd.oci.image."
GIANT = "gzip_bomb_of_zeros_takes_little_space"  # three gigabytes to hash here; layers.bats has it


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def unpacked(data):
    """What the layer is without compression; for a broken stream, anything."""
    try:
        if data[:2] == b"\x1f\x8b":
            return gzip.decompress(data)
        if data[:4] == b"\x28\xb5\x2f\xfd":
            return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20).stdout
        if data[:3] == b"\xfd7z":
            return lzma.decompress(data)
        if data[:3] == b"BZh":
            return bz2.decompress(data)
    except (OSError, EOFError, ValueError, lzma.LZMAError, subprocess.TimeoutExpired, gzip.zlib.error):
        pass
    return data


def suffix(data):
    return "+gzip" if data[:2] == b"\x1f\x8b" else "+zstd" if data[:4] == b"\x28\xb5\x2f\xfd" else ""


class Image:
    """An image as blobs; the cases change it before it is served."""

    def __init__(self, layers, arch="amd64"):
        self.blobs = {}
        self.diffs = [sha(unpacked(x)) for x in layers]
        self.config = {"architecture": arch, "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                       "rootfs": {"type": "layers", "diff_ids": self.diffs}}
        self.manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": None,
                         "layers": [dict(self.put(x), mediaType=OCI + "layer.v1.tar" + suffix(x)) for x in layers]}

    def put(self, data):
        self.blobs[sha(data)] = data
        return {"digest": sha(data), "size": len(data)}

    def finish(self):
        if self.manifest.get("config", 1) is None:
            self.manifest["config"] = dict(self.put(json.dumps(self.config).encode()), mediaType=OCI + "config.v1+json")
        return json.dumps(self.manifest).encode()

    def chain(self):
        top = self.diffs[0]
        for d in self.diffs[1:]:
            top = sha((top + " " + d).encode())
        return top[7:]


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


class Registry:
    def __init__(self):
        self.dir = os.path.join(layercase.WORK, "registry")
        os.makedirs(self.dir)
        server = staticregistry.serve(self.dir)
        self.addr = "localhost:%d" % server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def publish(self, repo, image, manifest=None, headers=None, more=()):
        top = os.path.join(self.dir, repo)
        text = manifest if manifest is not None else image.finish()
        write(os.path.join(top, "manifests", "1"), text)
        write(os.path.join(top, "manifests", sha(text)), text)
        for digest, data in list(image.blobs.items()) + list(more):
            write(os.path.join(top, "blobs", digest), data)
        for digest, data in more:
            write(os.path.join(top, "manifests", digest), data)
        if headers:
            write(os.path.join(top, "headers.json"), json.dumps(headers).encode())
        return "%s/%s:1" % (self.addr, repo)


def coracle(*argv, stdin=None):
    p = subprocess.run(["coracle", *argv], input=stdin, capture_output=True, timeout=120)
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")


def names_in(which):
    try:
        return sorted(os.listdir(os.path.join(STORE, which)))
    except FileNotFoundError:
        return []


def soon(condition):
    """Waits for what the collector does, which a command leaves behind when it ends."""
    for _ in range(6000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def forget_all():
    """Removes every image; true when there was one. Records are files, and reading them is cheaper than a command."""
    ids = [n[:64] for n in names_in("images")]
    return bool(ids) and coracle("rmi", "-f", *ids)[0] == 0


def aftermath(chain, before):
    """What must hold after a refusal, or once the image is gone."""
    if names_in("images") or names_in("refs"):
        forget_all()
        return "records were left"
    if chain and not soon(lambda: chain not in names_in("layers")):
        return "the layer was left"
    if layercase.snapshot(CANARY) != before:
        return "wrote outside of the store"
    return None


def judge(name, expect, check, chain, command, stdin=None):
    before, began = layercase.snapshot(CANARY), layercase.cpu_time()
    code, out, err = coracle(*command, stdin=stdin)
    if expect == "ok":
        problem = None
        if code:
            problem = "refused: " + err
        elif check and not check(os.path.join(STORE, "layers", chain, "diff")):
            problem = "unpacked to something else"
        if not forget_all():
            problem = problem or "has no record, or cannot be removed"
    elif code != 1 or expect[1] not in err:
        problem = "expected the words %r, got exit status %d and: %s%s" % (expect[1], code, out, err)
    elif any(ord(c) < 32 and c not in "\n\t\r" for c in out + err):
        problem = "raw control characters in: %r" % (out + err)
    else:
        problem = None
    problem = problem or aftermath(chain, before)
    if not problem and layercase.cpu_time() - began > 30:
        problem = "took %d s of processor time" % (layercase.cpu_time() - began)
    print("%s %s%s" % ("not ok" if problem else "ok", name, ": " + problem if problem else ""), flush=True)
    return problem is None


# ---- layers ----------------------------------------------------------------------------------------------------------

def layer_cases():
    for name, make, expect, check, end in layercase.CASES:
        if name == "sparse_1_eib":
            continue  # a tmpfs takes such a file, ext4 does not
        if expect != "ok":
            expect = expect[0], expect[1].split(", but only 65536")[0]  # the map here has one id more
        if name != GIANT:
            yield name, make() + (rawtar.END if end else b""), expect, check


def run_layers(registry, chosen):
    good = []
    for name, data, expect, check in layer_cases():
        if not chosen or name in chosen:
            image = Image([data])
            ref = registry.publish(name, image)
            good.append(judge(name, expect, check, image.chain(), ["pull", ref]))
    return good


def docker_archive(layer, tags=("evil:1",)):
    image = Image([layer])
    config = json.dumps(image.config).encode()
    return image, tar_of([("c.json", config), ("l/layer.tar", layer),
                          ("manifest.json", json.dumps([{"Config": "c.json", "RepoTags": list(tags), "Layers": ["l/layer.tar"]}]).encode())])


def tar_of(members):
    """Members are (name, data) or TarInfo objects without data."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for m in members:
            if isinstance(m, tarfile.TarInfo):
                t.addfile(m)
                continue
            i = tarfile.TarInfo(m[0])
            i.size = len(m[1])
            t.addfile(i, io.BytesIO(m[1]))
    return out.getvalue()


def run_loads(registry, chosen):
    good = []
    for name, data, expect, check in layer_cases():
        if not chosen or name in chosen:
            image, archive = docker_archive(data)
            good.append(judge(name, expect, check, image.chain(), ["load", "-q"], archive))
    return good


# ---- manifests -------------------------------------------------------------------------------------------------------

def sound_layer():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        i = tarfile.TarInfo("bin/sh")
        with open("/bin/busybox", "rb") as f:
            data = f.read()
        i.size, i.mode = len(data), 0o755
        t.addfile(i, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1)


LIES = []


def lie(words, check=None):
    """Decorator: the function gets an image and returns publish()'s further arguments. `words`: of the error, or "ok", with a look
    at the layer's files (`check`)."""
    def add(fn):
        LIES.append((fn.__name__, fn, words, check))
        return fn
    return add


@lie("layer")
def layer_with_a_damaged_byte(i):
    d = i.manifest["layers"][0]["digest"]
    i.blobs[d] = i.blobs[d][:-9] + bytes([i.blobs[d][-9] ^ 255]) + i.blobs[d][-8:]


@lie("sha256:")
def layer_of_another_content(i):
    plain = gzip.decompress(sound_layer())
    i.manifest["layers"] = [dict(i.put(plain), mediaType=OCI + "layer.v1.tar")]
    i.blobs[sha(plain)] = plain[:1024] + bytes([plain[1024] ^ 1]) + plain[1025:]


@lie("bytes")
def layer_longer_than_said(i):
    d = i.manifest["layers"][0]["digest"]
    i.blobs[d] += b"more"


@lie("less of it than")
def layer_shorter_than_said(i):
    d = i.manifest["layers"][0]["digest"]
    i.blobs[d] = i.blobs[d][:-1000]


@lie("")
def layer_size_too_small(i):
    i.manifest["layers"][0]["size"] -= 100


@lie("")
def layer_size_too_large(i):
    i.manifest["layers"][0]["size"] += 100


@lie("impossible size")
def layer_size_negative(i):
    i.manifest["layers"][0]["size"] = -1


@lie("impossible size")
def layer_size_huge(i):
    i.manifest["layers"][0]["size"] = 1 << 62


@lie("size")
def layer_size_is_a_fraction(i):
    i.manifest["layers"][0]["size"] = 1.5


@lie("size")
def layer_size_is_text(i):
    i.manifest["layers"][0]["size"] = "12"


@lie("unusable digest")
def layer_digest_is_a_path(i):
    i.manifest["layers"][0]["digest"] = "sha256:../../../../../../../../tmp/evil"


@lie("unusable digest")
def layer_digest_of_another_kind(i):
    i.manifest["layers"][0]["digest"] = "md5:" + "0" * 32


@lie("unusable digest")
def layer_digest_in_capitals(i):
    i.manifest["layers"][0]["digest"] = i.manifest["layers"][0]["digest"].upper().replace("SHA", "sha")


@lie("but the image's config says sha256:1111")
def diff_id_of_another_content(i):
    i.diffs[0] = "sha256:" + "1" * 64


def chunked(i, told=None):
    """A layer for pulls in chunks instead (zstd:chunked), whose table of contents may tell of other files than it has."""
    pieces = [(name, rawtar.file(name, data)) for name, data in (("bin/sh", b"shell"), ("notes", b"what the layer has"))]
    blob, annotations = chunkedimage.zstd_chunked(pieces, told)
    i.manifest["layers"] = [dict(i.put(blob), mediaType=OCI + "layer.v1.tar+zstd", annotations=annotations)]
    i.diffs[0] = sha(b"".join(p for _, p in pieces) + chunkedimage.blocks)
    return i.manifest["layers"][0]["digest"]


@lie("ok", lambda r: layercase.text(r, "notes") == b"what the layer has" and not os.path.exists(os.path.join(r, "more")))
def table_of_contents_of_other_files(i):
    chunked(i, {"notes": b"what the table has", "more": b"x"})


@lie("sha256:")
def table_of_contents_is_right_and_the_layer_is_not(i):
    d = chunked(i)
    frame = len(chunkedimage.zstd(rawtar.file("bin/sh", b"shell")))
    i.blobs[d] = chunkedimage.zstd(rawtar.file("bin/sh", b"SHELL"))[:frame].ljust(frame, b"\0") + i.blobs[d][frame:]


@lie("but the image's config says sha256:7777")
def table_of_contents_is_right_and_the_diff_id_is_not(i):
    chunked(i)
    i.diffs[0] = "sha256:" + "7" * 64


@lie("layers")
def more_diff_ids_than_layers(i):
    i.diffs.append("sha256:" + "2" * 64)


@lie("layers")
def more_layers_than_diff_ids(i):
    i.config["rootfs"]["diff_ids"] = []


@lie("unusable diff_id")
def diff_id_is_a_path(i):
    i.diffs[0] = "sha256:../../../../x"


@lie("root file system of type")
def rootfs_of_another_type(i):
    i.config["rootfs"]["type"] = "layers+base"


@lie("operating system")
def windows(i):
    i.config["os"] = "windows"


@lie("image config")
def config_of_another_content(i):
    i.finish()
    i.blobs[i.manifest["config"]["digest"]] = b"{}".ljust(i.manifest["config"]["size"])


@lie("")
def config_of_another_size(i):
    i.finish()
    i.manifest["config"]["size"] += 5


@lie("")
def config_is_a_list(i):
    i.manifest["config"] = dict(i.put(b"[]"), mediaType=OCI + "config.v1+json")


@lie("")
def config_is_no_json(i):
    i.manifest["config"] = dict(i.put(b"\x7fELF"), mediaType=OCI + "config.v1+json")


@lie("larger than")
def config_of_a_terabyte(i):
    i.finish()
    i.manifest["config"]["size"] = 1 << 40


@lie("appears twice")
def config_with_duplicate_keys(i):
    text = json.dumps(i.config).replace('"os": "linux"', '"os": "linux", "os": "linux"').encode()
    i.manifest["config"] = dict(i.put(text), mediaType=OCI + "config.v1+json")


@lie("not an image")
def a_chart(i):
    i.finish()
    i.manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"


@lie("media type")
def layer_of_an_unknown_type(i):
    i.manifest["layers"][0]["mediaType"] = "application/x-evil\u001b[31m"


@lie("manifest media type")
def manifest_of_an_unknown_type(i):
    i.manifest["mediaType"] = "application/vnd.evil"


@lie("schema 1")
def schema_1(i):
    i.manifest = {"schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": []}


@lie("schema version 3")
def schema_3(i):
    i.manifest["schemaVersion"] = 3


@lie("at once")
def index_and_image_in_one(i):
    i.manifest["manifests"] = []


@lie("")
def index_called_an_image(i):
    i.manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "manifests": []}


@lie(" as ")
def sent_as_another_type(i):
    return {"headers": {"Content-Type": OCI + "index.v1+json"}}


@lie("digest")
def header_names_another_digest(i):
    return {"headers": {"Docker-Content-Digest": "sha256:" + "3" * 64}}


@lie("ok")
def header_names_no_digest(i):
    return {"headers": {"Docker-Content-Digest": None}}


@lie("ok")
def header_names_nonsense(i):
    return {"headers": {"Docker-Content-Digest": "../../evil"}}


@lie("")
def manifest_is_empty(i):
    return {"manifest": b""}


@lie("")
def manifest_is_a_page(i):
    return {"manifest": b"<html><body>Sign in to the hotel's network</body></html>"}


@lie("not a JSON object")
def manifest_is_a_list(i):
    return {"manifest": b"[]"}


@lie("appears twice")
def manifest_with_duplicate_keys(i):
    return {"manifest": i.finish().replace(b'"layers":', b'"layers": [], "layers":')}


@lie("")
def manifest_nested_deep(i):
    return {"manifest": b'{"a":' * 200000 + b"1" + b"}" * 200000}


@lie("bytes")
def manifest_of_20_megabytes(i):
    return {"manifest": i.finish() + b" " * (20 << 20)}


@lie("")
def manifest_with_zero_bytes(i):
    return {"manifest": i.finish().replace(b"sha256", b"sha\0256")}


@lie("more than")
def ten_thousand_layers(i):
    i.manifest["layers"] *= 10000


def index_of(i, entry, **kw):
    child = i.finish()
    d = dict({"digest": sha(child), "size": len(child), "mediaType": OCI + "manifest.v1+json",
              "platform": {"os": "linux", "architecture": "amd64"}}, **entry)
    text = json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [d]}).encode()
    return dict({"manifest": text, "more": [(d["digest"], child)] if "/" not in d["digest"] else []}, **kw)


@lie("ok")
def a_sound_index(i):
    return index_of(i, {})


@lie("its index says")
def child_of_another_size(i):
    return index_of(i, {"size": 10})


@lie("digest")
def child_of_another_content(i):
    return index_of(i, {"digest": "sha256:" + "4" * 64})


@lie("unusable digest")
def child_digest_is_a_path(i):
    return index_of(i, {"digest": "sha256:../../../x"})


@lie("no matching manifest")
def only_another_platform(i):
    return index_of(i, {"platform": {"os": "linux", "architecture": "mips64le\u001b[2J"}})


@lie("no matching manifest")
def an_empty_index(i):
    return {"manifest": json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": []}).encode()}


@lie("index")
def an_index_in_an_index(i):
    inner = index_of(i, {})
    i.manifest = json.loads(inner["manifest"])
    return index_of(i, {})


@lie("ok")
def foreign_urls_are_not_asked(i):
    i.manifest["layers"][0]["urls"] = ["http://127.0.0.1:1/evil", "file:///etc/passwd"]
    i.manifest["layers"][0]["mediaType"] = OCI + "layer.nondistributable.v1.tar+gzip"


@lie("ok")
def labels_with_escapes(i):
    i.config["config"]["Labels"] = {"a\u001b[31m": "\u001b]0;title\u0007", "../../x": "run.oci.hooks=/bin/sh"}
    i.config["author"] = "\u001b[2J"


def run_manifests(registry, chosen):
    good, layer = [], sound_layer()
    for name, change, words, check in LIES:
        if chosen and name not in chosen:
            continue
        image = Image([layer])
        more = change(image) or {}
        ref = registry.publish(name, image, **more)
        good.append(judge(name, words if words == "ok" else ("", words), check, image.chain() if check else None, ["pull", ref]))
    return good


# ---- archives --------------------------------------------------------------------------------------------------------

def link(name, target, kind=tarfile.SYMTYPE):
    i = tarfile.TarInfo(name)
    i.type, i.linkname = kind, target
    return i


def other_layout():
    """A layer of its own, so that no earlier case can have brought it."""
    image = Image([layercase.CASES[0][1]() + rawtar.END])
    m, d = image.finish(), image.manifest["layers"][0]["digest"]
    image.blobs[d] = b"other"
    entry = {"digest": sha(m), "size": len(m), "mediaType": OCI + "manifest.v1+json"}
    return tar_of([("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
                   ("index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()), ("blobs/sha256/" + sha(m)[7:], m)] +
                  [("blobs/sha256/" + k[7:], v) for k, v in image.blobs.items()])


def archive_cases():
    layer = gzip.decompress(sound_layer())
    image = Image([layer])
    config = json.dumps(image.config).encode()
    entry = {"Config": "c.json", "RepoTags": ["evil:1"], "Layers": ["l.tar"]}

    def docker(change=None, members=None, also=()):
        return tar_of((members if members is not None else [("c.json", config), ("l.tar", layer)]) + list(also) +
                      [("manifest.json", json.dumps([dict(entry, **(change or {}))]).encode())])

    def layout(index=None, blobs=None, also=()):
        m = image.finish()
        d = {"digest": sha(m), "size": len(m), "mediaType": OCI + "manifest.v1+json",
             "annotations": {"org.opencontainers.image.ref.name": "evil:1"}}
        have = {sha(m): m, **image.blobs}
        have.update(blobs or {})
        return tar_of([("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
                       ("index.json", json.dumps({"schemaVersion": 2, "manifests": [dict(d, **(index or {}))]}).encode())] +
                      [("blobs/sha256/" + k[7:], v) for k, v in have.items()] + list(also))

    secret = os.path.join(CANARY, "secret")
    good = docker()
    yield "a_sound_docker_archive", good, "ok"
    yield "a_sound_layout", layout(), "ok"
    yield "empty_input", b"", "archive"
    yield "not_a_tar", b"junk" * 1000, "archive"
    yield "cut_off", good[:len(good) // 2], "archive"
    yield "cut_off_in_gzip", gzip.compress(good, 1)[:-5000], "archive"
    yield "nothing_in_it", tar_of([("readme", b"x")]), "holds no image"
    yield "a_root_file_system", layer, "import"
    yield "before_docker_1_10", tar_of([("repositories", b"{}"), ("x/layer.tar", layer)]), "older than 1.10"
    yield "layer_is_a_symlink_out", docker(members=[("c.json", config), link("l.tar", secret)]), "no layer"
    yield "layer_is_a_symlink_up", docker(members=[("c.json", config), link("l.tar", "../" * 20 + secret[1:])]), "no layer"
    yield "layer_is_a_hardlink_out", docker(members=[("c.json", config), link("l.tar", secret, tarfile.LNKTYPE)]), ""
    yield "config_is_a_symlink_out", docker(members=[link("c.json", secret), ("l.tar", layer)]), "no image config"
    yield "layer_name_is_a_path", docker({"Layers": [secret]}), "no layer"
    yield "layer_name_goes_up", docker({"Layers": ["../../../../../../etc/passwd"]}), "no layer"
    yield "config_name_is_a_path", docker({"Config": "/etc/passwd"}), "no image config"
    yield "links_in_a_circle", docker(members=[("c.json", config), link("l.tar", "m.tar"), link("m.tar", "l.tar")]), "no layer"
    yield "a_layer_linked_inside_is_fine", docker(members=[("c.json", config), ("real.tar", layer), link("l.tar", "real.tar")]), "ok"
    yield "members_that_go_up_change_nothing", docker(also=[("../../../../../.." + CANARY + "/new", b"evil"), (CANARY + "/new", b"evil")]), None
    yield "devices_and_fifos_change_nothing", docker(also=[link("fifo", "", tarfile.FIFOTYPE), link("sda", "", tarfile.BLKTYPE)]), None
    yield "name_with_dots", docker({"RepoTags": ["../../etc/passwd:1"]}), "invalid reference"
    yield "name_with_escapes", docker({"RepoTags": ["evil\u001b[31m:1"]}), "invalid reference"
    yield "name_is_a_number", docker({"RepoTags": [5]}), ""
    yield "manifest_is_an_object", tar_of([("manifest.json", b"{}")]), "not a list"
    yield "manifest_is_no_json", tar_of([("manifest.json", b"]")]), ""
    yield "config_of_other_layers", docker(members=[("c.json", config.replace(image.diffs[0].encode(), b"sha256:" + b"5" * 64)), ("l.tar", layer)]), "but the image's config says sha256:5555"
    yield "index_names_a_missing_blob", layout({"digest": "sha256:" + "6" * 64}), "no blob"
    yield "index_names_a_path", layout({"digest": "sha256:../../../x"}), "unusable digest"
    yield "manifest_blob_is_not_what_its_name_says", layout(blobs={sha(image.finish()): b"{}"}), "has the digest"
    yield "layer_blob_is_not_what_its_name_says", other_layout(), "blob"
    yield "index_json_nested_deep", tar_of([("oci-layout", b"{}"), ("index.json", b"[" * 100000)]), ""
    yield "layout_name_with_dots", layout({"annotations": {"org.opencontainers.image.ref.name": "../x:1"}}), "invalid reference"


def run_archives(registry, chosen):
    good = []
    for name, data, words in archive_cases():
        if chosen and name not in chosen:
            continue
        if words is None:  # refused or not: harmless is what counts
            before = layercase.snapshot(CANARY)
            coracle("load", "-q", stdin=data)
            forget_all()
            problem = aftermath(None, before)
            print("%s %s%s" % ("not ok" if problem else "ok", name, ": " + problem if problem else ""), flush=True)
            good.append(problem is None)
        else:
            good.append(judge(name, words if words == "ok" else ("", words), None, None, ["load", "-q"], data))
    return good


# ---- afterwards ------------------------------------------------------------------------------------------------------

def leftovers():
    """A sound image still works; once it is gone, the store holds nothing at all, and nothing is half-done."""
    registry = Registry.instance
    image = Image([sound_layer()])
    ref = registry.publish("sound", image)
    code, out, err = coracle("pull", "-q", ref)
    if code:
        return "a sound image cannot be pulled: " + err
    code, out, err = coracle("run", "--rm", "--network", "none", ref, "sh", "-c", "echo works")
    if out != "works\n":
        return "a sound image does not run: " + out + err
    if coracle("images", "-q")[1].count("\n") != 1:
        return "more images are listed than the sound one"
    coracle("rmi", "-f", ref)
    if not soon(lambda: not any(names_in(w) for w in ("tmp", "layers", "blobs/sha256"))):
        return "left in the store: %s" % [names_in(w) for w in ("tmp", "layers", "blobs/sha256")]
    for n in names_in("blobs/partial"):
        if len(n) != 64 or set(n) - set("0123456789abcdef"):
            return "a partial blob is called " + n
    return None


def main():
    os.makedirs(CANARY)
    write(os.path.join(CANARY, "secret"), b"secret")
    Registry.instance = Registry()
    what = {"layers": run_layers, "loads": run_loads, "manifests": run_manifests, "archives": run_archives}[sys.argv[1]]
    good = what(Registry.instance, sys.argv[2:])
    problem = leftovers()
    print("%s afterwards%s" % ("not ok" if problem else "ok", ": " + problem if problem else ""))
    print("%d cases, %d failed" % (len(good), good.count(False)))
    return 0 if good and all(good) and not problem else 1


if __name__ == "__main__":
    sys.exit(main())
