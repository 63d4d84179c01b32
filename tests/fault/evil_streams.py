#!/usr/bin/env python3
"""Damaged, truncated and exploding streams against coracle-unpack. See tests/lib/layercase.py."""
import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import layercase  # noqa: E402
from layercase import case, text  # noqa: E402
from rawtar import END, file, header  # noqa: E402


# ---- streams -----------------------------------------------------------------------------------------------------------

@case("ok", lambda r: os.listdir(r) == [], raw=True)
def no_bytes_at_all():
    return b""


@case("ok", lambda r: os.listdir(r) == [], raw=True)
def empty_gzip():
    return gzip.compress(b"")


@case("ok", lambda r: os.listdir(r) == [])
def only_the_end():
    return b""


@case("ok", lambda r: text(r, "a") == b"x")
def padding_after_the_end():
    return file("a") + END + b"padding, hashed but not read" * 1000


@case(("corrupt", "not a sound tar"), raw=True)
def not_a_tar():
    return b"#mtree\n./x contents=/etc/passwd type=file\n" * 50


@case(("corrupt", "not a sound tar"), raw=True)
def a_cpio():
    return b"070701" + b"00000001" * 13 + b"/etc/passwd\0" + b"\0" * 1000


@case(("corrupt", "truncated"), raw=True)
def gzip_truncated():
    return gzip.compress(file("a", os.urandom(100000)) + END)[:50000]


@case(("corrupt", "truncated"), raw=True)
def gzip_without_trailer():
    return gzip.compress(file("a") + END)[:-4]


@case(("corrupt", "gzip"), raw=True)
def gzip_trailing_garbage():
    return gzip.compress(file("a") + END) + b"garbage"


@case("ok", lambda r: text(r, "a") == b"x" and text(r, "b") == b"x", raw=True)
def gzip_of_two_members():
    return gzip.compress(file("a")) + gzip.compress(b"") + gzip.compress(file("b") + END)


@case(("corrupt", "checksum"), raw=True)
def gzip_bad_crc():
    z = bytearray(gzip.compress(file("a") + END))
    z[-6] ^= 1
    return bytes(z)


@case(("corrupt", "gzip"), raw=True)
def gzip_flipped_bit():
    z = bytearray(gzip.compress(file("a", os.urandom(30000)) + END, compresslevel=1))
    z[12] ^= 0xff
    return bytes(z)


@case("ok", lambda r: os.stat(r + "/zeros").st_blocks < 200000 and os.stat(r + "/zeros").st_size == 3 << 30, raw=True)
def gzip_bomb_of_zeros_takes_little_space():
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as z:
        z.write(header("zeros", size=3 << 30))
        for _ in range(3 << 6):
            z.write(b"\0" * (1 << 24))
        z.write(END)
    return out.getvalue()


def zstd(data, *options):
    return subprocess.run(["zstd", "-c", "-q", *options], input=data, capture_output=True, check=True).stdout


@case(("corrupt", "bomb"), raw=True)
def zstd_bomb():
    # one frame of 64 blocks, each a run of 128 KiB in four bytes
    blocks = b"".join(((131072 << 3) | (1 << 1) | (1 if i == 63 else 0)).to_bytes(3, "little") + b"x" for i in range(64))
    frame = b"\x28\xb5\x2f\xfd" + b"\x00\x58" + blocks
    return zstd(header("a", size=1 << 40)) + frame * 200


@case("ok", lambda r: text(r, "a") == b"x", raw=True)
def zstd_two_frames_and_a_skippable_one():
    return zstd(file("a")) + b"\x50\x2a\x4d\x18" + b"\x04\0\0\0" + b"meta" + zstd(END)


@case(("corrupt", "truncated"), raw=True)
def zstd_truncated():
    return zstd(file("a", os.urandom(100000)) + END)[:-100]


@case(("corrupt", "zstd"), raw=True)
def zstd_trailing_garbage():
    return zstd(file("a") + END) + b"garbage"


@case(("corrupt", "zstd"), raw=True)
def zstd_window_of_2_gib():
    return b"\x28\xb5\x2f\xfd" + b"\x00\xa8" + b"\x01\0\0"


@case("ok", lambda r: text(r, "a") == b"x", raw=True)
def xz():
    return lzma.compress(file("a") + END)


@case(("corrupt", ""), raw=True)
def xz_truncated():
    return lzma.compress(file("a", os.urandom(100000)) + END)[:-100]


@case("ok", lambda r: text(r, "a") == b"x", raw=True)
def bzip2():
    return bz2.compress(file("a") + END)


@case(("corrupt", ""), raw=True)
def bzip2_truncated():
    return bz2.compress(file("a", os.urandom(100000)) + END)[:-100]


@case(("corrupt", ""), raw=True)
def random_bytes():
    return b"\x1f\x8b" + os.urandom(10000)


if __name__ == "__main__":
    layercase.main()
