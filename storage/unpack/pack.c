/* pack: files that the parent names and opens, as a tar. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/str.h"
#include "storage/unpack/ops_int.h"
#include "storage/unpack/sandbox_int.h"
#include "storage/unpack/tree_int.h"

#define CHUNK ((size_t)256 << 10)

struct packer {
    struct archive *archive;
    struct archive_entry *entry;
    int out;
    struct err *write_err; /* why writing failed, while libarchive only knows that it did */
    struct strv dirs;      /* written so far */
    char *buf;
};

static la_ssize_t write_out(struct archive *a, void *ctx, const void *data, size_t n) {
    struct packer *p = ctx;
    p->write_err = io_write_all(p->out, data, n);
    if (!p->write_err)
        return (la_ssize_t)n;
    archive_set_error(a, EIO, "write failed");
    return -1;
}

static struct err *packed(struct packer *p, int code) {
    if (p->write_err)
        return take_ptr(&p->write_err);
    if (code >= ARCHIVE_WARN)
        return NULL;
    return err_new(ERR_SYSTEM, "write the archive: %s", archive_error_string(p->archive));
}

static struct err *header(struct packer *p, const char *name, unsigned type, int64_t size) {
    archive_entry_clear(p->entry);
    archive_entry_set_pathname(p->entry, name);
    archive_entry_set_filetype(p->entry, type);
    archive_entry_set_perm(p->entry, type == AE_IFDIR ? 0755 : 0644);
    archive_entry_set_size(p->entry, size);
    archive_entry_set_mtime(p->entry, 0, 0);
    return packed(p, archive_write_header(p->archive, p->entry));
}

/* The directories above `name` that have not been written yet. */
static struct err *parents(struct packer *p, const char *name) {
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        autofree char *dir = mem_dupn(name, (size_t)(slash - name) + 1);
        if (strv_has(&p->dirs, dir))
            continue;
        TRY(header(p, dir, AE_IFDIR, 0));
        strv_push(&p->dirs, dir);
    }
    return NULL;
}

static struct err *file(struct packer *p, const char *name, int64_t size, int fd) {
    char clean[TREE_PATH_MAX];
    size_t len, base;
    TRY(tree_clean(name, clean, &len, &base));
    TRY(parents(p, clean));
    TRY(header(p, clean, AE_IFREG, size));
    for (int64_t at = 0; at < size;) {
        ssize_t n = pread(fd, p->buf, size - at < (int64_t)CHUNK ? (size_t)(size - at) : CHUNK, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(errno, "read \"%s\"", clean);
        if (n == 0)
            return err_new(ERR_CORRUPT, "\"%s\" has %lld bytes, not %lld", clean, (long long)at, (long long)size);
        TRY(packed(p, archive_write_data(p->archive, p->buf, (size_t)n) < 0 ? ARCHIVE_FATAL : ARCHIVE_OK));
        at += n;
    }
    return NULL;
}

/* One message; *ret_end when it was the last. */
static struct err *step(struct packer *p, struct op *op, bool *ret_end) {
    autojson m = NULL;
    int fds[MSG_FDS];
    size_t n = ARRAY_LEN(fds);
    TRY(msg_recv(op->chan, &m, fds, &n));
    *ret_end = json_bool_value(json_get(m, "end"), false);
    if (*ret_end || !m)
        return m ? NULL : err_new(ERR_INTERRUPTED, "the archive's list of files ended early");
    const char *name;
    int64_t size;
    struct err *e = json_get_str(m, "file", &name);
    if (!e)
        e = json_get_i64(m, "size", &size);
    if (!e)
        e = n == 1 && size >= 0 ? file(p, name, size, fds[0]) : err_new(ERR_USAGE, "a file needs one descriptor");
    for (size_t i = 0; i < n; i++)
        fd_close(fds[i]);
    return e;
}

static struct err *pack(struct packer *p, struct op *op) {
    archive_write_set_format_pax_restricted(p->archive);
    archive_write_set_bytes_per_block(p->archive, (int)CHUNK);
    archive_write_set_bytes_in_last_block(p->archive, 512);
    TRY(packed(p, archive_write_open(p->archive, p, NULL, write_out, NULL)));
    for (bool end = false; !end;)
        TRY(step(p, op, &end));
    TRY(packed(p, archive_write_close(p->archive)));
    return op_send_ok(op, json_object());
}

struct err *op_pack(struct op *op) {
    int none = -1;
    TRY(sandbox_confine(SANDBOX_STREAM, -1, &none));
    TRY(sandbox_filter());
    struct packer p = {.archive = archive_write_new(), .entry = archive_entry_new(), .out = op->fds[0]};
    p.buf = mem_resize(NULL, CHUNK, 1);
    struct err *e = p.archive && p.entry ? pack(&p, op) : err_new(ERR_SYSTEM, "cannot set up libarchive");
    archive_write_fail(p.archive);
    archive_write_free(p.archive);
    archive_entry_free(p.entry);
    err_free(p.write_err);
    strv_done(&p.dirs);
    free(p.buf);
    return e;
}
