#!/usr/bin/env python3
"""twins.py BASE.tar A.tar B.tar: two images on the files of a third, which have most of their other files in common.

Both have common/000 … common/139, equal in everything; files of the one and the other alone; and pairs that look equal, but are not:
their content, owner, mode, time, attributes or links differ. In copies/ an image has a file twice.
"""
import io, random, sys, tarfile

base, *outs = sys.argv[1:]
SIZE, WHEN = 20000, 1600000000


def content(seed, size=SIZE):
    return random.Random(seed).randbytes(size)


def add(t, name, data=None, link=None, **facts):
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = WHEN, 0o644
    if data is None and link is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif link:
        info.type, info.linkname = tarfile.LNKTYPE, link
    else:
        info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    t.addfile(info, io.BytesIO(data) if data else None)


def differing(t, which):
    other = which == 1
    add(t, "differ/content", content("c%d" % which))
    add(t, "differ/owner", content("o"), uid=7 if other else 8)
    add(t, "differ/mode", content("m"), mode=0o755 if other else 0o4755)
    add(t, "differ/time", content("t"), mtime=WHEN + which)
    add(t, "differ/fraction", content("f"), pax_headers={"mtime": "%d.%d" % (WHEN, 5 + which)})
    add(t, "differ/attribute", content("a"), pax_headers={"SCHILY.xattr.user.who": "%d" % which})
    add(t, "differ/small", content("s", 4000))
    add(t, "differ/linked", content("l"))
    if other:
        add(t, "differ/linked-again", link="differ/linked")
    else:
        add(t, "differ/linked-again", content("l2"))


for which, out in enumerate(outs):
    with tarfile.open(base) as source, tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as t:
        for m in source:
            t.addfile(m, source.extractfile(m) if m.isreg() else None)
        for d in "common", "differ", "copies", "closed":
            add(t, d, mode=0o555 if d == "closed" else 0o755)
        for i in range(140):
            add(t, "common/%03d" % i, content("common%d" % i), mode=0o640 if i % 2 else 0o644, uid=i % 3)
        add(t, "common/attribute", content("x"), pax_headers={"SCHILY.xattr.user.same": "yes"})
        add(t, "closed/file", content("closed"), mode=0o400)
        add(t, "copies/one", content("copies"))
        add(t, "copies/two", content("copies"))
        for i in range(60):
            add(t, "own/%d" % i, content("own%d-%d" % (which, i)))
        differing(t, which)
