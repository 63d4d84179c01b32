/*
 * layer: blob → files. Three threads with rings of buffers between them: one reads, digests the compressed bytes and
 * inflates; the next digests the tar and makes the files; the last fills the small ones.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "storage/unpack/extract_int.h"
#include "storage/unpack/inflate_int.h"
#include "storage/unpack/ops_int.h"
#include "storage/unpack/ring_int.h"
#include "storage/unpack/sandbox_int.h"
#include "storage/unpack/shared_int.h"
#include "storage/unpack/source_int.h"
#include "storage/unpack/writer_int.h"

#define SLOTS 4
#define SLOT_SIZE ((size_t)256 << 10)

struct layer {
    struct source source; /* the reading thread's, until it is joined */
    struct ring *ring;
    pthread_mutex_t gate; /* held until the sandbox is complete */
    struct digest_ctx *diff;
    int64_t diff_size;
    uint32_t ids;
    struct shared shared;
    bool refer;
};

static struct err *read_all(struct layer *l, struct inflate *z) {
    for (;;) {
        void *slot = ring_reserve(l->ring);
        size_t n;
        if (!slot)
            return NULL;
        TRY(inflate_read(z, slot, SLOT_SIZE, &n));
        if (n == 0)
            return inflate_finish(z);
        ring_commit(l->ring, n);
    }
}

static void *reader(void *arg) {
    struct layer *l = arg;
    pthread_mutex_lock(&l->gate);
    pthread_mutex_unlock(&l->gate);
    struct inflate *z = NULL;
    struct err *e = inflate_new(&l->source, &z);
    if (!e)
        e = read_all(l, z);
    inflate_free(z);
    ring_end(l->ring, e);
    return NULL;
}

static struct err *next_piece(void *ctx, const void **ret, size_t *ret_n) {
    struct layer *l = ctx;
    TRY(ring_next(l->ring, ret, ret_n));
    digest_update(l->diff, *ret, *ret_n);
    l->diff_size += (int64_t)*ret_n;
    return NULL;
}

/* The directory may have inherited a group, a setgid bit or ACLs from the user's own directories. */
static struct err *plain_root(int root) {
    if (fchown(root, 0, 0) != 0 || fchmod(root, 0755) != 0)
        return err_sys(errno, "set owner and mode of the layer directory");
    fremovexattr(root, "system.posix_acl_default");
    fremovexattr(root, "system.posix_acl_access");
    return NULL;
}

static struct json *result_of(struct layer *l, const struct extract_result *x) {
    char diff[DIGEST_LEN + 1];
    struct json *r = json_object();
    if (l->source.digest) {
        char blob[DIGEST_LEN + 1];
        digest_final(take_ptr(&l->source.digest), blob);
        json_set_str(r, "blob_digest", blob);
    }
    digest_final(take_ptr(&l->diff), diff);
    json_set_int(r, "blob_size", l->source.at);
    json_set_str(r, "diff_id", diff);
    json_set_int(r, "diff_size", l->diff_size);
    json_set_int(r, "entries", x->entries);
    json_set_int(r, "skipped_devices", x->skipped_devices);
    json_set_int(r, "skipped_xattrs", x->skipped_xattrs);
    return r;
}

static struct err *run(struct op *op, struct layer *l, int dirfd) {
    autofd int root = -1;
    extract_prepare();
    TRY(sandbox_confine(SANDBOX_LAYER, dirfd, &root));
    TRY(plain_root(root));
    pthread_t thread;
    struct writer *writer;
    TRY(writer_new(&writer)); /* waits for files, so for the sandbox too */
    pthread_mutex_lock(&l->gate);
    int code = pthread_create(&thread, NULL, reader, l);
    if (code != 0)
        return err_sys(code, "start a thread");
    TRY(sandbox_filter());
    pthread_mutex_unlock(&l->gate);
    struct extract_result x;
    const struct extract_feed feed = {.next = next_piece, .ctx = l, .shared = l->refer ? &l->shared : NULL};
    TRY(extract_layer(root, l->ids, &feed, writer, &x));
    TRY(writer_finish(writer));
    pthread_join(thread, NULL);
    return op_send_ok(op, result_of(l, &x));
}

struct err *op_layer(struct op *op) {
    int64_t ids;
    bool bell, copy, refer, known;
    TRY(json_get_i64(op->msg, "ids", &ids));
    TRY(json_get_bool_opt(op->msg, "bell", false, &bell));
    TRY(json_get_bool_opt(op->msg, "copy", false, &copy));
    TRY(json_get_bool_opt(op->msg, "refer", false, &refer));
    TRY(json_get_bool_opt(op->msg, "known", false, &known));
    size_t wanted = 2U + (bell ? 1U : 0U) + (copy ? 1U : 0U);
    size_t shared = wanted;
    wanted += refer;
    if (op->n_fds != wanted || ids < 1 || ids > UINT32_MAX)
        return err_new(ERR_USAGE, "a layer needs %zu descriptors and a number of ids", wanted);
    /* On failure the process ends at once, while the other thread may still use this. */
    static struct layer l = {.gate = PTHREAD_MUTEX_INITIALIZER};
    l.source = (struct source){.fd = op->fds[0],
                               .bell_fd = bell ? op->fds[2] : -1,
                               .growing = bell,
                               .copy_fd = copy ? op->fds[shared - 1] : -1};
    l.ids = (uint32_t)ids;
    l.refer = refer;
    if (refer)
        TRY(shared_open(op->fds[shared], &l.shared));
    l.ring = ring_new(SLOTS, SLOT_SIZE);
    if (!known)
        TRY(digest_new(&l.source.digest));
    TRY(digest_new(&l.diff));
    TRY(run(op, &l, take_fd(&op->fds[1])));
    if (refer)
        shared_done(&l.shared);
    source_done(&l.source);
    ring_free(l.ring);
    return NULL;
}
