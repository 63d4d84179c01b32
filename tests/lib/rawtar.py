"""Tar archives put together block by block, so that they may lie."""

BLOCK = 512


def header(name, kind=b"0", size=0, link=b"", mode=0o644, uid=0, gid=0, mtime=1000000000, magic=b"ustar\x0000",
           rawsize=None, prefix=b"", dev=b"\0" * 16):
    """One tar header block, made by hand so that it may lie."""
    name, link = [x.encode() if isinstance(x, str) else x for x in (name, link)]

    def octal(value, width):
        if value < 0 or value >= 8 ** (width - 1):
            return (b"\x80" if value >= 0 else b"\xff") + (value % 256 ** (width - 1)).to_bytes(width - 1, "big")
        return b"%0*o\0" % (width - 1, value)

    h = (name[:100].ljust(100, b"\0") + octal(mode, 8) + octal(uid, 8) + octal(gid, 8) + (rawsize or octal(size, 12)) +
         octal(mtime, 12) + b" " * 8 + kind + link[:100].ljust(100, b"\0") + magic + b"root".ljust(32, b"\0") +
         b"root".ljust(32, b"\0") + dev + prefix.ljust(155, b"\0"))
    h = h.ljust(BLOCK, b"\0")
    return h[:148] + b"%06o\0 " % sum(h) + h[156:]


def pad(data):
    return data + b"\0" * (-len(data) % BLOCK)


def file(name, data=b"x", **kw):
    return header(name, size=len(data), **kw) + pad(data)


def directory(name, **kw):
    return header(name, b"5", mode=kw.pop("mode", 0o755), **kw)


def symlink(name, target):
    return header(name, b"2", link=target, mode=0o777)


def hardlink(name, target):
    return header(name, b"1", link=target)


def pax(records, then=b"", kind=b"x"):
    body = b""
    for key, value in records:
        key, value = [x.encode() if isinstance(x, str) else x for x in (key, value)]
        n = len(key) + len(value) + 3
        while len(b"%d" % n) + len(key) + len(value) + 3 != n:
            n = len(b"%d" % n) + len(key) + len(value) + 3
        body += b"%d %s=%s\n" % (n, key, value)
    return header("PaxHeaders/x", kind, size=len(body)) + pad(body) + then


def longname(name, then, kind=b"L"):
    name = name.encode() + b"\0"
    return header("././@LongLink", kind, size=len(name)) + pad(name) + then


END = b"\0" * 1024
