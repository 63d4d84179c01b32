#!/usr/bin/env python3
"""Malicious layers against coracle-unpack: names, links, whiteouts, owners, attributes, sizes. See tests/lib/layercase.py."""
import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import layercase  # noqa: E402
from layercase import WORK, case, text  # noqa: E402
from rawtar import directory, file, hardlink, header, longname, pad, pax, symlink  # noqa: E402


# ---- names -----------------------------------------------------------------------------------------------------------

@case("ok", lambda r: text(r, "etc/passwd") == b"evil")
def absolute_is_made_relative():
    return file("/etc/passwd", b"evil")


@case(("corrupt", '".."'))
def dotdot():
    return file("../canary/x", b"evil")


@case(("corrupt", '".."'))
def dotdot_inside():
    return directory("a") + file("a/../../canary/x", b"evil")


@case(("corrupt", '".."'))
def dotdot_in_pax_path():
    return pax([("path", "../canary/x")], file("innocent"))


@case(("corrupt", '".."'))
def dotdot_in_longname():
    return longname("a/" * 100 + "../../x", file("innocent"))


@case(("corrupt", '".."'))
def dotdot_last():
    return directory("a") + directory("a/..")


@case("ok", lambda r: text(r, "a/b") == b"x")
def dots_and_slashes():
    return file(".//a/.//./b")


@case(("corrupt", "not a directory"))
def root_is_a_file():
    return file("./")[:0] + header(".", b"0")


@case(("corrupt", "not a directory"))
def root_is_a_symlink():
    return symlink("./", "/canary")


@case(("corrupt", "file name of"))
def component_too_long():
    return longname("n" * 256, file("x"))


@case(("corrupt", "path of more than"))
def path_too_long():
    return longname("/".join(["d" * 250] * 17), file("x"))


@case(("corrupt", "directories deep"))
def three_thousand_deep():
    return longname("/".join(["d"] * 1900), file("x"))


@case("ok")
def thousand_deep():
    return longname("/".join(["d"] * 1000), file("x")) + longname("/".join(["d"] * 999) + "/y", file("x"))


@case(("corrupt", ""))
def longname_of_256_mib():
    return header("././@LongLink", b"L", size=256 << 20) + b"A" * (1 << 20)


@case(("corrupt", ""))
def longname_that_never_ends():
    return header("././@LongLink", b"L", size=1 << 40) + b"A" * 4096


@case(("corrupt", ""))
def nested_longnames():
    return longname("a", b"") * 2000 + file("x")


@case("ok", lambda r: sorted(os.listdir(os.fsencode(r))) == [b"e\xcc\x81", b"\xc3\xa9", b"\xe9"])
def names_are_bytes():
    return file(b"\xe9") + pax([("path", b"e\xcc\x81")], file("x")) + pax([("path", b"\xc3\xa9")], file("x"))


@case("ok", lambda r: text(r, "a\nb\x1b[31m") == b"x")
def control_characters():
    return file("a\nb\x1b[31m")


# ---- links -----------------------------------------------------------------------------------------------------------

@case(("corrupt", "symlink to nowhere"))
def symlink_out_then_write():
    return symlink("a", "../canary") + file("a/x", b"evil")


@case(("corrupt", "symlink to nowhere"))
def absolute_symlink_out_then_write():
    return symlink("a", os.path.join(WORK, "canary")) + file("a/x", b"evil")


@case("ok", lambda r: text(r, "real/x") == b"x" and os.path.islink(r + "/a"))
def symlink_inside_is_followed():
    return directory("real") + symlink("a", "/real") + file("a/x")


@case("ok", lambda r: text(r, "x") == b"x")
def symlink_up_stays_in_root():
    return directory("d") + symlink("d/a", "../../../..") + file("d/a/x")


@case("ok", lambda r: text(r, "f") == b"new" and not os.path.islink(r + "/f"))
def symlink_is_replaced_not_followed():
    return symlink("f", os.path.join(WORK, "canary", "secret")) + file("f", b"new")


@case("ok", lambda r: os.path.isdir(r + "/d") and not os.path.islink(r + "/d") and text(r, "d/x") == b"x")
def directory_over_symlink():
    return symlink("d", os.path.join(WORK, "canary")) + directory("d") + file("d/x")


@case(("corrupt", "symlink to nowhere"))
def symlink_loop():
    return symlink("a", "b") + symlink("b", "a") + file("a/x")


@case(("corrupt", ""))
def symlink_with_empty_target():
    return symlink("a", "")


@case(("corrupt", "hard link"))
def hardlink_out():
    return hardlink("a", os.path.join(WORK, "canary", "secret"))


@case(("corrupt", '".."'))
def hardlink_dotdot():
    return hardlink("a", "../canary/secret")


@case(("corrupt", "hard link"))
def hardlink_through_symlink_out():
    return symlink("s", "../canary") + hardlink("a", "s/secret")


@case("ok", lambda r: os.readlink(r + "/a") == os.path.join(WORK, "canary", "secret") and text(r, "s") == b"new")
def hardlink_to_symlink_then_write():
    out = os.path.join(WORK, "canary", "secret")
    return symlink("s", out) + hardlink("a", "s") + file("s", b"new")


@case(("corrupt", "hard link"))
def hardlink_to_directory():
    return directory("d") + hardlink("a", "d")


@case("ok", lambda r: text(r, "a") == b"x")
def hardlink_to_itself():
    return file("a") + hardlink("a", "./a")


@case("ok", lambda r: text(r, "a") == b"x" and text(r, "b") == b"new")
def write_through_hardlink():
    return file("a") + hardlink("b", "a") + file("b", b"new")


@case(("corrupt", "not a directory"))
def file_as_parent():
    return file("a") + file("a/b")


@case("ok", lambda r: os.listdir(r) == ["x"] and os.path.isfile(r + "/x"))
def directory_removes_itself_through_link():
    return directory("x") + symlink("x/a", "..") + file("x/a/x", b"file") + file("x", b"again")


# ---- duplicates ------------------------------------------------------------------------------------------------------

@case("ok", lambda r: text(r, "a") == b"2" and stat.S_IMODE(os.stat(r + "/a").st_mode) == 0o600)
def last_file_wins():
    return file("a", b"1") + file("a", b"2", mode=0o600)


@case("ok", lambda r: text(r, "d") == b"x")
def file_over_tree():
    return directory("d") + directory("d/e") + file("d/e/f") + file("d")


@case("ok", lambda r: text(r, "d/f") == b"x" and stat.S_IMODE(os.stat(r + "/d").st_mode) == 0o700)
def directory_over_directory_keeps_children():
    return directory("d") + file("d/f") + directory("d", mode=0o700)


@case("ok", lambda r: os.listdir(r + "/f") == [])
def directory_over_file():
    return file("f") + directory("f")


# ---- whiteouts -------------------------------------------------------------------------------------------------------

def is_whiteout(path):
    st = os.lstat(path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def is_opaque(path):
    try:
        return os.getxattr(path, "user.overlay.opaque") == b"y"
    except OSError:
        return False


@case("ok", lambda r: is_whiteout(r + "/d/gone") and os.listdir(r + "/d") == ["gone"])
def whiteout():
    return file("d/.wh.gone", b"")


@case("ok", lambda r: is_opaque(r + "/d") and os.listdir(r + "/d") == ["f"])
def opaque():
    return directory("d") + file("d/.wh..wh..opq", b"") + file("d/f")


@case(("corrupt", "whiteout of nothing"))
def whiteout_of_nothing():
    return file(".wh.", b"")


@case(("corrupt", "whiteout of nothing"))
def whiteout_of_dot():
    return file("d/.wh..", b"")


@case(("corrupt", "whiteout of nothing"))
def whiteout_of_dotdot():
    return file("d/.wh...", b"")


@case(("corrupt", "whiteout"))
def whiteout_as_directory():
    return file(".wh.x/../../canary/secret", b"")


@case(("corrupt", "symlink to nowhere"))
def whiteout_through_symlink_out():
    return symlink("a", os.path.join(WORK, "canary")) + file("a/.wh.secret", b"")


@case("ok", lambda r: text(r, "f") == b"x")
def whiteout_spares_this_layer():
    return file("f") + file(".wh.f", b"")


@case("ok", lambda r: is_opaque(r + "/d") and text(r, "d/f") == b"x")
def directory_replaces_whiteout():
    return file(".wh.d", b"") + directory("d") + file("d/f")


@case("ok", lambda r: is_opaque(r + "/d") and text(r, "d/f") == b"x")
def implied_directory_replaces_whiteout():
    return file(".wh.d", b"") + file("d/f")


@case("ok", lambda r: os.listdir(r) == ["a"])
def aufs_metadata_is_skipped():
    return directory(".wh..wh.plnk") + file(".wh..wh.plnk/12.34") + file(".wh..wh.aufs", b"") + file("a")


# ---- devices, owners, attributes ---------------------------------------------------------------------------------------

@case("ok", lambda r: sorted(os.listdir(r)) == ["fifo", "x"] and stat.S_ISFIFO(os.lstat(r + "/fifo").st_mode))
def devices_are_skipped():
    return (header("sda", b"4", dev=b"0000010\0" + b"0000000\0") + header("null", b"3", dev=b"0000001\0" + b"0000003\0") +
            header("fifo", b"6") + header("zero", b"3", dev=b"0000000\0" * 2) + hardlink("sda2", "sda") + file("x"))


@case(("unsupported", "belongs to uid 70000, but only 65536 ids are mapped"))
def uid_beyond_the_map():
    return file("a", uid=70000)


@case(("unsupported", "belongs to gid 4294967295"))
def gid_minus_one():
    return file("a", gid=0xffffffff)


@case(("corrupt", "out of range"))
def uid_that_wraps():
    return file("a", uid=1 << 32)


@case(("corrupt", "out of range"))
def uid_negative():
    return file("a", uid=-1)


def xattrs(path):
    return sorted(x for x in os.listxattr(path, follow_symlinks=False) if not x.startswith("security.selinux"))


@case("ok", lambda r: xattrs(r + "/d") == ["user.fine"] and xattrs(r + "/f") == ["user.fine"])
def steering_xattrs_are_dropped():
    bad = [("SCHILY.xattr." + n, v) for n, v in (
        ("user.overlay.redirect", "/etc"), ("user.overlay.metacopy", ""), ("user.overlay.opaque", "y"),
        ("user.overlay.whiteout", "y"), ("user.overlay.overlay.opaque", "y"), ("trusted.overlay.opaque", "y"),
        ("user.fuseoverlayfs.opaque", "y"), ("user.fuseoverlayfs.override_stat", "0:0:4755"),
        ("user.containers.override_stat", "0:0:4755"), ("security.selinux", "x"), ("security.ima", "x"),
        ("trusted.x", "y"), ("user.fine", "1"))] + [("LIBARCHIVE.xattr.user.overlay.origin", "eA==")]
    return pax(bad, directory("d")) + pax(bad, file("f"))


@case("ok", lambda r: os.path.exists(r + "/f"))
def xattr_of_70_kb():
    return pax([("SCHILY.xattr.user.big", b"v" * 70000)], file("f"))


@case("ok", lambda r: os.path.exists(r + "/f"))
def xattr_junk():
    return pax([("SCHILY.xattr.", "x"), ("SCHILY.xattr." + "n" * 5000, "x"), ("LIBARCHIVE.xattr.%00%", "!!"),
                ("SCHILY.acl.access", "garbage:::::"), ("SCHILY.xattr.security.capability", b"\xff" * 7)], file("f"))


@case("ok", lambda r: stat.S_IMODE(os.stat(r + "/s").st_mode) == 0o6755 and
      stat.S_IMODE(os.stat(r + "/d").st_mode) == 0o2775 and stat.S_IMODE(os.stat(r + "/d/f").st_mode) == 0o644)
def setuid_bits():
    return file("s", mode=0o6755) + directory("d", mode=0o2775, gid=5) + file("d/f")


# ---- sizes -------------------------------------------------------------------------------------------------------------

@case(("corrupt", ""))
def size_of_8_eib():
    return header("a", size=1 << 63)


@case(("corrupt", ""))
def size_of_1_eib():
    return header("a", size=1 << 60) + b"x" * 512


@case(("corrupt", ""))
def size_negative():
    return header("a", rawsize=b"\xff" * 12)


@case(("corrupt", ""))
def size_negative_in_pax():
    return pax([("size", "-1")], file("a"))


@case(("corrupt", ""))
def size_overflow_in_pax():
    return pax([("size", "99999999999999999999999")], file("a"))


def has_room_for(size):
    """Whether a file may be that long here: on a tmpfs it may."""
    path = os.path.join(WORK, "long")
    try:
        with open(path, "wb") as f:
            f.truncate(size)
        return True
    except OSError:
        return False
    finally:
        os.unlink(path)


@case("ok" if has_room_for(1 << 62) else ("unsupported", "too large"))
def sparse_1_eib():
    return pax([("GNU.sparse.name", "s"), ("GNU.sparse.numblocks", "2"), ("GNU.sparse.size", str(1 << 62)), ("GNU.sparse.map", "0,1,%d,1" % ((1 << 62) - 1))], file("a", b"xx"))


@case(("corrupt", ""))
def sparse_beyond_its_size():
    return pax([("GNU.sparse.name", "s"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.size", "10"), ("GNU.sparse.map", "1000000,2")], file("a", b"xx"))


@case(("corrupt", ""), end=False)
def truncated_file():
    return header("a", size=100000) + b"x" * 5000


@case(("corrupt", ""), end=False)
def truncated_header():
    return file("a") + header("b")[:300]


@case(("corrupt", ""))
def bad_checksum():
    return file("a") + b"junk" * 128


@case(("corrupt", "Special header"), end=False)
def pax_of_1_gib():
    return header("p", b"x", size=1 << 30) + b"9" * 4096


@case(("corrupt", ""))
def pax_without_structure():
    return header("p", b"x", size=10) + pad(b"\xff" * 10) + file("f")


if __name__ == "__main__":
    layercase.main()
