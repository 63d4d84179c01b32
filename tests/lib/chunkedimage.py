#!/usr/bin/env python3
"""chunkedimage.py TAR DIR: an image as staticregistry.py serves it (DIR/manifests/1, DIR/blobs/…), of layers as tools make them that pull in chunks.

The first layer is zstd:chunked: a zstd frame for each file, then a table of contents, tar-split's data and a footer in skippable frames
(github.com/containers/storage, docs/containers-storage-zstd-chunked.md). The second is eStargz: a gzip member for each file, stargz.index.json as
the last file of the tar, and a footer that is an empty member with the table's offset (github.com/containerd/stargz-snapshotter, docs/estargz.md).
"""
import hashlib, io, json, os, struct, subprocess, sys, tarfile, zlib

blocks = b"\0" * 1024


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def gz(data, extra=b""):
    c = zlib.compressobj(6, zlib.DEFLATED, -15)
    head = b"\x1f\x8b\x08" + (b"\x04" if extra else b"\0") + b"\0" * 4 + b"\0\xff"
    head += struct.pack("<H", len(extra)) + extra if extra else b""
    body = c.compress(data) + c.flush() if data else b"\x01\0\0\xff\xff"
    return head + body + struct.pack("<II", zlib.crc32(data), len(data))


def entry(name, data, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), mode, 1700000000
    return info.tobuf(tarfile.PAX_FORMAT) + data + b"\0" * (-len(data) % 512)


def skippable(data):
    return struct.pack("<II", 0x184D2A50, len(data)) + data


def zstd_chunked(pieces, told=None):
    """The blob and its annotations. `told`: what the table of contents says of files by their names, if not the truth."""
    blob, toc, told = b"", [], dict(told or {})
    for name, piece in pieces:
        frame = zstd(piece)
        toc.append({"type": "reg", "name": name, "digest": sha(told.pop(name, piece)), "offset": len(blob), "endOffset": len(blob) + len(frame)})
        blob += frame
    toc += [dict(toc[0], name=name, digest=sha(data)) for name, data in told.items()]
    blob += zstd(blocks)
    plain = json.dumps({"version": 1, "entries": toc}).encode()
    table, split = zstd(plain), zstd(b"tar-split")
    at = len(blob) + 8
    blob += skippable(table)
    split_at = len(blob) + 8
    blob += skippable(split)
    blob += skippable(struct.pack("<7Q", at, len(table), len(plain), 1, split_at, len(split), 9) + b"GNUlInUx")
    mark = "io.github.containers.zstd-chunked.manifest-"
    return blob, {mark + "checksum": sha(table), mark + "position": "%d:%d:%d:1" % (at, len(table), len(plain))}


def estargz(pieces):
    blob, plain, toc = b"", b"", []
    for name, piece in pieces:
        toc.append({"name": name, "type": "reg", "offset": len(blob), "digest": sha(piece)})
        blob, plain = blob + gz(piece), plain + piece
    at, table = len(blob), json.dumps({"version": 1, "entries": toc}).encode()
    last = entry("stargz.index.json", table) + blocks
    blob += gz(last) + gz(b"", b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % at)
    return blob, plain + last, {"containerd.io/snapshot/stargz/toc.digest": sha(table)}


def put(top, data, media, annotations=None):
    with open(os.path.join(top, "blobs", sha(data)), "wb") as f:
        f.write(data)
    d = {"mediaType": "application/vnd.oci.image." + media, "digest": sha(data), "size": len(data)}
    return dict(d, annotations=annotations) if annotations else d


def main(tar, top):
    for sub in "manifests", "blobs":
        os.makedirs(os.path.join(top, sub), exist_ok=True)
    pieces, whole = [], open(tar, "rb").read()
    members = [m for m in tarfile.open(tar)]
    for m, after in zip(members, members[1:] + [None]):
        end = after.offset if after else m.offset_data + (m.size + 511) // 512 * 512
        pieces.append((m.name, whole[m.offset:end]))
    extra = [(".no.prefetch.landmark", entry(".no.prefetch.landmark", b"\x0f"))]
    extra += [("star/%d" % i, entry("star/%d" % i, b"%d\n" % i * 3000)) for i in range(20)]
    first, chunked = zstd_chunked(pieces)
    second, plain, star = estargz(extra)
    diffs = [sha(b"".join(p for _, p in pieces) + blocks), sha(plain)]
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = put(top, json.dumps({"architecture": arch, "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                                  "rootfs": {"type": "layers", "diff_ids": diffs}}).encode(), "config.v1+json")
    layers = [put(top, first, "layer.v1.tar+zstd", chunked), put(top, second, "layer.v1.tar+gzip", star)]
    with open(os.path.join(top, "manifests", "1"), "w") as f:
        json.dump({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers}, f)


if __name__ == "__main__":
    main(*sys.argv[1:])
