/*
 * place: a tar's entries below a directory, as cp wants them. The directory is a container's, which may move things
 * about meanwhile, or the user's, who is given what a container had. Every parent is open before anything is made in
 * it, and inside a container we live in its root directory, so no link of its making leads anywhere else.
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "storage/unpack/extract_int.h"
#include "storage/unpack/inflate_int.h"
#include "storage/unpack/ops_int.h"
#include "storage/unpack/sandbox_int.h"
#include "storage/unpack/source_int.h"

#define CHUNK ((size_t)256 << 10)

struct placing {
    struct inflate *inflate;
    char *buf;
};

static struct err *next_piece(void *ctx, const void **ret, size_t *ret_n) {
    struct placing *p = ctx;
    *ret = p->buf;
    return inflate_read(p->inflate, p->buf, CHUNK, ret_n);
}

static struct err *confine(struct op *op, int *ret_dir) {
    int none = -1;
    if (op->n_fds > 2) {
        if (setns(op->fds[2], CLONE_NEWNS) < 0) /* its root directory is ours now, and its mounts are in use to us */
            return err_sys(errno, "enter the container's mounts");
        *ret_dir = take_fd(&op->fds[1]);
        return sandbox_confine(SANDBOX_FILES, -1, &none);
    }
    /* Owners can be given in the user namespace that we are in only: a volume. */
    bool own = json_bool_value(json_get(op->msg, "own"), false);
    return sandbox_confine(own ? SANDBOX_FILES : SANDBOX_PLACE, take_fd(&op->fds[1]), ret_dir);
}

static struct err *place(struct op *op, const struct extract_place *how, uint32_t ids, int dir) {
    struct source source = {.fd = op->fds[0], .bell_fd = -1, .copy_fd = -1};
    struct placing p = {.buf = mem_resize(NULL, CHUNK, 1)};
    const struct extract_feed feed = {.next = next_piece, .ctx = &p};
    struct extract_result x = {.entries = 0};
    struct err *e = inflate_new(&source, &p.inflate);
    if (!e)
        e = extract_place(dir, ids, how, &feed, &x);
    inflate_free(p.inflate);
    source_done(&source);
    free(p.buf);
    TRY(e);
    struct json *r = json_object();
    json_set_int(r, "entries", x.entries);
    return op_send_ok(op, r);
}

struct err *op_place(struct op *op) {
    struct extract_place how;
    autofd int dir = -1;
    int64_t ids;
    TRY(json_get_i64(op->msg, "ids", &ids));
    TRY(json_get_bool_opt(op->msg, "own", false, &how.own));
    TRY(json_get_bool_opt(op->msg, "as_root", false, &how.as_root));
    TRY(json_get_bool_opt(op->msg, "follow", false, &how.follow));
    if (ids < 1 || ids > UINT32_MAX)
        return err_new(ERR_USAGE, "a copy needs a number of ids");
    extract_prepare();
    TRY(confine(op, &dir));
    TRY(sandbox_filter());
    return place(op, &how, (uint32_t)ids, dir);
}
