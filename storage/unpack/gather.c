/*
 * gather: a tree as a tar: for cp and export, and, from a list of changes, for the layer of a commit.
 *
 * The tree may belong to a container that runs meanwhile. Every entry is opened by its name in a directory that is open
 * already, never through a link, and what is written is what the open file is; what disappears or turns into something
 * else between two looks is left out.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "base/walk.h"
#include "storage/unpack/extract_int.h"
#include "storage/unpack/node_int.h"
#include "storage/unpack/ops_int.h"
#include "storage/unpack/sandbox_int.h"

#define CHUNK ((size_t)256 << 10)
#define LIST_MAX ((size_t)1 << 30)
#define XATTR_MAX ((size_t)64 << 10)
#define TELL_EACH ((int64_t)8 << 20)   /* bytes between two messages of how far it is */
#define HOLES_MIN ((int64_t)256 << 10) /* a file with less of them is not worth a map */

struct gather {
    struct archive *archive;
    struct archive_entry *entry;
    int out;
    int64_t bytes, told;
    struct msg_chan *listener; /* wants to hear of progress; NULL: nobody */
    struct err *write_err;     /* why writing failed, while libarchive only knows that it did */
    struct str path;           /* of the directory being read: "" or "a/b/" */
    const char *as; /* the name of the tree's top in the archive; "": its entries stand at the archive's top */
    size_t depth;
    struct walk_inodes linked;
    bool as_root, sparse;
    int64_t latest;            /* later times become this one (s) */
    struct digest_ctx *digest; /* of what is written, or NULL */
    char *buf;
};

/* ---- the archive ---- */

static struct err *tell_progress(struct gather *g) {
    if (!g->listener || g->bytes - g->told < TELL_EACH)
        return NULL;
    autojson m = json_object();
    json_set_int(m, "progress", g->bytes);
    g->told = g->bytes;
    return msg_send(g->listener, m, NULL, 0);
}

static la_ssize_t write_out(struct archive *a, void *ctx, const void *data, size_t n) {
    struct gather *g = ctx;
    g->write_err = io_write_all(g->out, data, n);
    if (!g->write_err) {
        if (g->digest)
            digest_update(g->digest, data, n);
        g->bytes += (int64_t)n;
        g->write_err = tell_progress(g);
    }
    if (!g->write_err)
        return (la_ssize_t)n;
    archive_set_error(a, EIO, "write failed");
    return -1;
}

static struct err *written(struct gather *g, la_ssize_t code) {
    if (g->write_err)
        return take_ptr(&g->write_err);
    if (code >= ARCHIVE_WARN)
        return NULL;
    return err_new(ERR_SYSTEM, "write the archive: %s", archive_error_string(g->archive));
}

static void set_name(struct gather *g, const char *name, bool directory) {
    size_t len = g->path.len;
    str_append(&g->path, name);
    if (directory && !str_ends(name, "/"))
        str_append_c(&g->path, '/');
    archive_entry_set_pathname(g->entry, str_c(&g->path));
    g->path.len = len;
    g->path.ptr[len] = '\0';
}

static void begin(struct gather *g, const char *name, const struct stat *st) {
    archive_entry_clear(g->entry);
    set_name(g, name, S_ISDIR(st->st_mode));
    archive_entry_set_mode(g->entry, st->st_mode);
    archive_entry_set_uid(g->entry, g->as_root ? 0 : st->st_uid);
    archive_entry_set_gid(g->entry, g->as_root ? 0 : st->st_gid);
    archive_entry_set_mtime(g->entry, st->st_mtime < g->latest ? st->st_mtime : g->latest, 0);
    archive_entry_set_size(g->entry, S_ISREG(st->st_mode) ? st->st_size : 0);
    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
        archive_entry_set_rdev(g->entry, st->st_rdev);
}

static struct err *header(struct gather *g) { return written(g, archive_write_header(g->archive, g->entry)); }

static struct err *add_xattr(struct gather *g, int fd, const char *name) {
    autofree char *value = mem_alloc(XATTR_MAX);
    ssize_t n = fgetxattr(fd, name, value, XATTR_MAX);
    if (n >= 0)
        archive_entry_xattr_add_entry(g->entry, name, value, (size_t)n);
    return n >= 0 || errno == ENODATA ? NULL : err_sys(errno, "read the attribute %s", name);
}

static struct err *add_xattrs(struct gather *g, int fd) {
    if (flistxattr(fd, NULL, 0) <= 0) /* nearly always */
        return NULL;
    autofree char *list = mem_alloc(XATTR_MAX);
    ssize_t n = flistxattr(fd, list, XATTR_MAX);
    for (const char *name = list; name < list + n; name += strlen(name) + 1)
        if (xattr_keep(name))
            TRY(add_xattr(g, fd, name));
    return NULL;
}

/* ---- regular files ---- */

/* Tells libarchive where the file has data, which then writes those alone. */
static void add_holes(struct gather *g, int fd, const struct stat *st) {
    int64_t data, hole = 0;
    if (!g->sparse || st->st_size - (int64_t)st->st_blocks * 512 < HOLES_MIN)
        return;
    while (hole < st->st_size && (data = lseek(fd, hole, SEEK_DATA)) >= 0 && data < st->st_size) {
        hole = lseek(fd, data, SEEK_HOLE);
        if (hole < 0 || hole > st->st_size)
            hole = st->st_size;
        archive_entry_sparse_add_entry(g->entry, data, hole - data);
    }
    if (archive_entry_sparse_count(g->entry) == 0) /* nothing but a hole */
        archive_entry_sparse_add_entry(g->entry, st->st_size, 0);
}

/* Exactly as many bytes as the header says: what is missing by now is zeros, what came later is left out. */
static struct err *copy_data(struct gather *g, int fd, const char *name, int64_t size) {
    for (int64_t at = 0; at < size;) {
        ssize_t n = pread(fd, g->buf, size - at < (int64_t)CHUNK ? (size_t)(size - at) : CHUNK, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(errno, "read %s", name);
        if (n == 0)
            return NULL;
        TRY(written(g, archive_write_data(g->archive, g->buf, (size_t)n) < 0 ? ARCHIVE_FATAL : ARCHIVE_OK));
        at += n;
    }
    return NULL;
}

/* Files that are made as they are read (/proc) say that they are empty: what they hold is read first. */
static ssize_t read_unsized(struct gather *g, int fd, const struct stat *st) {
    if (st->st_size || st->st_blocks)
        return 0;
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n<CHUNK; n += got> 0 ? (size_t)got : 0)
        got = read(fd, g->buf + n, CHUNK - n);
    return (ssize_t)n;
}

static bool seen_before(struct gather *g, const char *name, const struct stat *st) {
    if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
        return false;
    autofree char *path = mem_printf("%s%s", str_c(&g->path), name);
    const char *first = walk_inodes_put(&g->linked, st, path);
    if (!first)
        return false;
    archive_entry_set_hardlink(g->entry, first);
    archive_entry_set_size(g->entry, 0);
    return true;
}

static struct err *put_regular(struct gather *g, int at, const char *name, const char *as) {
    struct stat st;
    autofd int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? NULL : err_sys(errno, "open %s", as);
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s", as);
    if (!S_ISREG(st.st_mode))
        return NULL;
    ssize_t unsized = read_unsized(g, fd, &st);
    if (unsized > 0)
        st.st_size = unsized;
    begin(g, as, &st);
    if (seen_before(g, as, &st))
        return header(g);
    TRY(add_xattrs(g, fd));
    add_holes(g, fd, &st);
    TRY(header(g));
    if (unsized > 0)
        return written(g, archive_write_data(g->archive, g->buf, (size_t)unsized) < 0 ? ARCHIVE_FATAL : ARCHIVE_OK);
    return copy_data(g, fd, as, st.st_size);
}

/* ---- other entries ---- */

static struct err *put_symlink(struct gather *g, int at, const char *name) {
    char target[4096];
    ssize_t n = readlinkat(at, name, target, sizeof target - 1);
    if (n < 0)
        return errno == ENOENT || errno == EINVAL ? NULL : err_sys(errno, "read the link %s", name);
    target[n] = '\0';
    archive_entry_set_symlink(g->entry, target);
    return header(g);
}

/* Anything but a directory. Sockets mean nothing without their server, and no tar can hold them. */
static struct err *put_file(struct gather *g, int at, const char *name, const struct stat *st, const char *as) {
    if (S_ISREG(st->st_mode))
        return put_regular(g, at, name, as);
    if (S_ISSOCK(st->st_mode))
        return NULL;
    begin(g, as, st);
    if (seen_before(g, as, st))
        return header(g);
    return S_ISLNK(st->st_mode) ? put_symlink(g, at, name) : header(g);
}

static struct err *put_dir(struct gather *g, int dir, const char *as, const struct stat *st) {
    begin(g, as, st);
    TRY(add_xattrs(g, dir));
    return header(g);
}

/* ---- a whole tree ---- */

static struct err *tree_file(void *ctx, int at, const char *name, const struct stat *st) {
    return put_file(ctx, at, name, st, name);
}

static struct err *tree_enter_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct gather *g = ctx;
    const char *as = g->depth++ ? name : g->as;
    if (!*as) /* the root of an export, which has no name */
        return NULL;
    TRY(put_dir(g, dir, as, st));
    str_append(&g->path, as);
    str_append_c(&g->path, '/');
    return NULL;
}

static struct err *tree_leave_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    (void)dir;
    (void)st;
    struct gather *g = ctx;
    const char *as = --g->depth ? name : g->as;
    if (*as)
        g->path.len -= strlen(as) + 1;
    return NULL;
}

static struct err *gather_tree(struct gather *g, int dir, const char *name) {
    const struct walk_ops ops = {.file = tree_file, .enter = tree_enter_dir, .leave = tree_leave_dir, .ctx = g};
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "stat %s", g->as);
    return S_ISDIR(st.st_mode) ? walk_tree(dir, name, &ops) : put_file(g, dir, name, &st, g->as);
}

/* ---- a list of changes ---- */

static struct err *put_whiteout(struct gather *g, const char *name) {
    const struct stat st = {.st_mode = S_IFREG};
    autofree char *as = mem_printf(".wh.%s", name);
    begin(g, as, &st);
    return header(g);
}

static struct err *put_change(struct gather *g, int at, const char *name) {
    struct stat st;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "stat %s", name);
    if (!S_ISDIR(st.st_mode))
        return put_file(g, at, name, &st, name);
    autofd int dir = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? NULL : err_sys(errno, "open %s", name);
    return put_dir(g, dir, name, &st);
}

/* Opens the directory of the next change, unless it is that of the last one. -1: it is gone. */
static struct err *change_dir(struct gather *g, int top, const char *path, size_t len, int *dir) {
    const struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    if (*dir >= 0 && g->path.len == len && (len == 0 || memcmp(g->path.ptr, path, len) == 0))
        return NULL;
    str_clear(&g->path);
    str_append_n(&g->path, path, len);
    fd_replace(dir, sys_openat2(top, len ? str_c(&g->path) : ".", &how));
    return *dir >= 0 || errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? NULL : err_sys(errno, "open %s", path);
}

/* Each is a letter (A, C, D) and an absolute path, ended by a NUL; siblings follow each other. */
static struct err *gather_changes(struct gather *g, int top, const struct str *list) {
    autofd int dir = -1;
    for (size_t at = 0; at < list->len;) {
        const char *path = list->ptr + at + 2, *name = path_base(path);
        if (!path_is_component(name) || path[-1] != '/')
            return err_new(ERR_CORRUPT, "a list of changes is damaged");
        TRY(change_dir(g, top, path, (size_t)(name - path), &dir));
        if (dir >= 0)
            TRY(path[-2] == 'D' ? put_whiteout(g, name) : put_change(g, dir, name));
        at += 2 + strlen(path) + 1;
    }
    return NULL;
}

/* ---- the operation ---- */

static struct err *open_archive(struct gather *g) {
    archive_write_set_format_pax_restricted(g->archive);
    archive_write_set_bytes_per_block(g->archive, (int)CHUNK);
    archive_write_set_bytes_in_last_block(g->archive, 512);
    return written(g, archive_write_open(g->archive, g, NULL, write_out, NULL));
}

static struct err *finish(struct gather *g, struct op *op) {
    TRY(written(g, archive_write_close(g->archive)));
    struct json *r = json_object();
    json_set_int(r, "bytes", g->bytes);
    if (g->digest) {
        char digest[DIGEST_LEN + 1];
        digest_final(take_ptr(&g->digest), digest);
        json_set_str(r, "digest", digest);
    }
    return op_send_ok(op, r);
}

/* `text` is the list of changes, or two strings: the tree's name in the directory, and its name in the archive. */
static struct err *gather(struct gather *g, struct op *op, bool changes, const struct str *text) {
    int dir = op->fds[1];
    size_t n = strlen(str_c(text));
    if (text->len && text->ptr[text->len - 1])
        return err_new(ERR_USAGE, "names without an end");
    TRY(open_archive(g));
    if (changes) {
        TRY(gather_changes(g, dir, text));
        return finish(g, op);
    }
    if (text->len < n + 2)
        return err_new(ERR_USAGE, "a tree needs two names");
    g->as = str_c(text) + n + 1;
    str_append(&g->path, "");
    TRY(gather_tree(g, dir, str_c(text)));
    return finish(g, op);
}

struct err *op_gather(struct op *op) {
    autostr struct str text = STR_INIT_MAX(LIST_MAX);
    bool changes, progress, digest;
    int none = -1;
    struct gather g = {.out = op->fds[0]};
    TRY(json_get_bool_opt(op->msg, "changes", false, &changes));
    TRY(json_get_bool_opt(op->msg, "as_root", false, &g.as_root));
    TRY(json_get_bool_opt(op->msg, "sparse", false, &g.sparse));
    g.latest = json_int_value(json_get(op->msg, "latest"), INT64_MAX);
    TRY(json_get_bool_opt(op->msg, "progress", false, &progress));
    TRY(json_get_bool_opt(op->msg, "digest", false, &digest));
    if (digest)
        TRY(digest_new(&g.digest));
    g.listener = progress ? op->chan : NULL;
    TRY(io_read_all(op->fds[2], LIST_MAX, "the list of files", &text));
    /* Names that are UTF-8 are then said to be it; any other is kept byte for byte, with a note that few readers know.
     */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    extract_prepare();
    TRY(sandbox_confine(SANDBOX_FILES, op->n_fds > 3 ? take_fd(&op->fds[3]) : -1, &none));
    TRY(sandbox_filter());
    g.archive = archive_write_new();
    g.entry = archive_entry_new();
    g.buf = mem_resize(NULL, CHUNK, 1);
    struct err *e =
        g.archive && g.entry ? gather(&g, op, changes, &text) : err_new(ERR_SYSTEM, "cannot set up libarchive");
    archive_write_fail(g.archive);
    archive_write_free(g.archive);
    archive_entry_free(g.entry);
    err_free(g.write_err);
    digest_free(g.digest);
    walk_inodes_done(&g.linked);
    str_done(&g.path);
    free(g.buf);
    fd_close(none);
    return e;
}
