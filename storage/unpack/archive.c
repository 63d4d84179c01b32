/* archive: a `docker save` tar or OCI archive, member by member, into a directory of files named by their digests. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/str.h"
#include "storage/unpack/extract_int.h"
#include "storage/unpack/inflate_int.h"
#include "storage/unpack/ops_int.h"
#include "storage/unpack/sandbox_int.h"
#include "storage/unpack/source_int.h"
#include "storage/unpack/tree_int.h"

#define MEMBERS_MAX 100000
#define INCOMING "incoming" /* no digest, so no member's name */

struct reader {
    struct op *op;
    struct inflate *inflate;
    struct archive *archive;
    struct err *feed_err;
    char *buf; /* SOURCE_CHUNK bytes */
    int dir;
    int64_t members;
};

static la_ssize_t feed_archive(struct archive *a, void *ctx, const void **ret) {
    (void)a;
    struct reader *r = ctx;
    size_t n = 0;
    r->feed_err = inflate_next(r->inflate, r->buf, SOURCE_CHUNK, ret, &n);
    return r->feed_err ? -1 : (la_ssize_t)n;
}

static struct err *archive_err(struct reader *r) {
    if (r->feed_err)
        return take_ptr(&r->feed_err);
    const char *text = archive_error_string(r->archive);
    return err_new(ERR_CORRUPT, "not a sound tar archive: %s", text ? text : "no reason given");
}

static struct err *copy_member(struct reader *r, int fd, struct digest_ctx *digest, int64_t size) {
    int64_t at = 0;
    for (;;) {
        const void *block;
        size_t n;
        la_int64_t offset;
        int code = archive_read_data_block(r->archive, &block, &n, &offset);
        if (code == ARCHIVE_EOF)
            break;
        if (code < ARCHIVE_WARN)
            return archive_err(r);
        if (offset != at)
            return err_new(ERR_UNSUPPORTED, "a sparse member");
        digest_update(digest, block, n);
        TRY(io_write_all(fd, block, n));
        at += (int64_t)n;
    }
    if (at != size)
        return err_new(ERR_CORRUPT, "its size is %lld bytes, not %lld", (long long)at, (long long)size);
    return NULL;
}

static struct err *take_file(struct reader *r, struct json *m, int64_t size) {
    char digest[DIGEST_LEN + 1];
    struct digest_ctx *ctx;
    autofd int fd = -1;
    TRY(fd_open_at(r->dir, INCOMING, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &fd));
    TRY(digest_new(&ctx));
    struct err *e = copy_member(r, fd, ctx, size);
    if (e) {
        digest_free(ctx);
        return e;
    }
    digest_final(ctx, digest);
    if (renameat(r->dir, INCOMING, r->dir, digest_hex(digest)) != 0)
        return err_sys(errno, "name a member by its digest");
    json_set_str(m, "digest", digest);
    json_set_int(m, "size", size);
    return NULL;
}

static struct err *one_member(struct reader *r, struct archive_entry *e, const char *path) {
    char name[TREE_PATH_MAX];
    size_t len, base;
    const char *hard = archive_entry_hardlink(e), *soft = archive_entry_symlink(e);
    if (!hard && !soft && archive_entry_filetype(e) != AE_IFREG)
        return NULL;
    if (++r->members > MEMBERS_MAX)
        return err_new(ERR_CORRUPT, "the archive has more than %d members", MEMBERS_MAX);
    TRY(tree_clean(path, name, &len, &base));
    const char *target = hard ? hard : soft;
    if (!str_utf8_ok(name, len) || (target && !str_utf8_ok(target, strlen(target))))
        return err_new(ERR_CORRUPT, "a name that is not UTF-8");
    autojson m = json_object();
    json_set_str(m, "member", name);
    if (target)
        json_set_str(m, hard ? "hardlink" : "symlink", target);
    else
        TRY(take_file(r, m, archive_entry_size(e)));
    return msg_send(r->op->chan, m, NULL, 0);
}

static struct err *all_members(struct reader *r) {
    if (archive_read_support_format_tar(r->archive) < ARCHIVE_WARN ||
        archive_read_open(r->archive, r, NULL, feed_archive, NULL) != ARCHIVE_OK)
        return archive_err(r);
    struct archive_entry *e;
    int code;
    while ((code = archive_read_next_header(r->archive, &e)) != ARCHIVE_EOF) {
        const char *path = code < ARCHIVE_WARN ? NULL : archive_entry_pathname(e);
        if (!path)
            return archive_err(r);
        TRY_CTX(one_member(r, e, path), "member \"%s\"", path);
    }
    return op_send_ok(r->op, json_object());
}

struct err *op_archive(struct op *op) {
    struct source source = {.fd = op->fds[0], .bell_fd = -1, .copy_fd = -1};
    struct reader r = {.op = op, .dir = -1};
    struct digest_ctx *warm; /* loads libcrypto while there are files to load it from */
    TRY(digest_new(&warm));
    digest_free(warm);
    extract_prepare();
    TRY(sandbox_confine(SANDBOX_ARCHIVE, take_fd(&op->fds[1]), &r.dir));
    struct err *e = sandbox_filter();
    if (!e)
        e = inflate_new(&source, &r.inflate);
    r.archive = archive_read_new();
    r.buf = mem_resize(NULL, SOURCE_CHUNK, 1);
    if (!e)
        e = r.archive ? all_members(&r) : err_new(ERR_SYSTEM, "cannot set up libarchive");
    archive_read_free(r.archive);
    inflate_free(r.inflate);
    err_free(r.feed_err);
    source_done(&source);
    fd_close(r.dir);
    free(r.buf);
    return e;
}
