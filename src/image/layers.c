/*
 * layers: every missing layer is a small state machine of a download, an unpacker, or both joined by the file:
 *
 *     waiting ─▶ working ─▶ done          blob missing:   partial file + fetch (─bell─▶ unpack where the layer is
 * missing) ▲          │                     blob present:   unpack from the blob └──────────┘ once, from zero     both
 * present:   done at once
 *
 * One poll loop waits for the download helper's answers, the unpackers' descriptors and the user's interruption.
 */
#include "image/pull_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/manifest_int.h"
#include "image/registry_int.h"
#include "storage/store.h"

#define AT_ONCE_MAX 16
#define SAY_EVERY (100 * NSEC_PER_MSEC)

enum work_state { WORK_WAITING, WORK_RUNNING, WORK_DONE };

struct work {
    struct store_layer_ref *layer;
    char short_id[ID_SHORT_LEN + 1];
    enum work_state state;
    int partial;  /* the blob's partial file, -1: none */
    int64_t have; /* bytes of it that an earlier try had brought */
    bool fetching, from_zero;
    bool unpacked;         /* the unpacker has something to say: how it went */
    int64_t authorized_at; /* bytes that were there when the token was last renewed, -1: never */
    struct fetch_xfer xfer;
    struct store_unpack_job *job;
    int64_t said_bytes, said_at;
};

struct bringing {
    const struct layers *l;
    struct work *w;
    size_t n, running;
};

void progress_say(const struct image_progress_fn *p, const char *id, const char *status, int64_t current,
                  int64_t total) {
    const struct image_progress event = {.id = id, .status = status, .current = current, .total = total};
    if (p && p->fn)
        p->fn(p->ctx, &event);
}

static void say(const struct bringing *b, const struct work *w, const char *status, int64_t current) {
    progress_say(b->l->progress, w->short_id, status, current, w->layer->size);
}

size_t layers_at_once(const struct config *c) {
    int64_t n = c->max_concurrent_downloads;
    return n < 1 ? 1 : n > AT_ONCE_MAX ? AT_ONCE_MAX : (size_t)n;
}

struct err *unpack_ns_get(struct unpack_ns *ns) {
    if (ns->fd >= 0)
        return NULL;
    TRY(ns->get(ns->ctx, &ns->fd, &ns->ids));
    return NULL;
}

/* A layer without a chain id is a blob that is nowhere unpacked. */
static bool layer_there(const struct store *s, const struct store_layer_ref *l) {
    return !l->chain_id || store_layer_has(s, l->chain_id);
}

/* ---- starting ---- */

static struct err *start_unpack(const struct bringing *b, struct work *w, int input_fd, int bell_fd) {
    TRY(unpack_ns_get(b->l->ns));
    const struct store_unpack u = {
        .chain_id = w->layer->chain_id,
        .blob_digest = w->layer->blob,
        .blob_size = w->layer->size,
        .diff_id = w->layer->diff_id,
        .input_fd = input_fd,
        .bell_fd = bell_fd,
        .copy_fd = -1,
        .userns_fd = b->l->ns->fd,
        .ids = b->l->ns->ids,
        .refer = b->l->refer,
        .known = b->l->known,
    };
    return store_unpack_start(b->l->store, &u, &w->job);
}

/* A descriptor with an offset of its own: the one of the partial file moves while it is written. */
static struct err *reopen(int fd, int *ret_fd) {
    char path[32];
    return fd_open_at(AT_FDCWD, path_of_fd(fd, path), O_RDONLY, 0, ret_fd);
}

static struct err *start_fetch(struct bringing *b, struct work *w, int bell_fd) {
    if (!b->l->registry)
        return err_new(ERR_CORRUPT, "blob %s is missing", w->layer->blob);
    const struct registry_blob blob = {
        .digest = w->layer->blob, .size = w->layer->size, .offset = w->have, .file = w->partial, .bell = bell_fd};
    TRY(registry_blob_start(b->l->registry, &blob, &w->xfer));
    w->fetching = true;
    return NULL;
}

/* The partial may be longer than the blob can be: then it is not of this blob at all. */
static struct err *open_partial(const struct bringing *b, struct work *w) {
    TRY(store_partial_open(b->l->store, w->layer->blob, &w->partial, &w->have));
    if (w->partial < 0 || w->have <= w->layer->size)
        return NULL;
    if (ftruncate(w->partial, 0) < 0 || lseek(w->partial, 0, SEEK_SET) < 0)
        return err_sys(errno, "empty the partial blob %s", w->layer->blob);
    w->have = 0;
    return NULL;
}

/* Blob to be fetched (perhaps only its rest), layer to be unpacked while it comes. */
static struct err *start_both(struct bringing *b, struct work *w) {
    autofd int file = -1;
    TRY(reopen(w->partial, &file));
    if (w->have == w->layer->size)
        return start_unpack(b, w, file, -1);
    int ends[2];
    TRY(fd_pipe(0, ends));
    autofd int heard = ends[0], bell = ends[1];
    TRY(start_unpack(b, w, file, heard));
    return start_fetch(b, w, bell);
}

static struct err *start_work(struct bringing *b, struct work *w) {
    struct store *s = b->l->store;
    /* Before the partial is locked: making a namespace may fork, and a child must not inherit that lock. */
    if (!layer_there(s, w->layer))
        TRY(unpack_ns_get(b->l->ns));
    bool layer = layer_there(s, w->layer), blob = store_blob_has(s, w->layer->blob);
    if (!blob) {
        TRY(open_partial(b, w));
        blob = w->partial < 0; /* somebody else has brought it while we waited for the lock */
        layer = layer_there(s, w->layer);
    }
    if (layer && blob) {
        w->state = WORK_DONE;
        return NULL;
    }
    w->state = WORK_RUNNING;
    b->running++;
    if (!blob)
        return layer ? (w->have < w->layer->size ? start_fetch(b, w, -1) : NULL) : start_both(b, w);
    autofd int fd = -1;
    TRY(store_blob_open(s, w->layer->blob, &fd, NULL));
    say(b, w, "Extracting", 0);
    return start_unpack(b, w, fd, -1);
}

/* ---- choosing what to start ---- */

/* Another work item of this image is already on the same blob or the same layer. */
static bool twin_running(const struct bringing *b, const struct work *w) {
    for (size_t i = 0; i < b->n; i++) {
        const struct work *o = &b->w[i];
        if (o != w && o->state == WORK_RUNNING &&
            (str_eq(o->layer->blob, w->layer->blob) || str_eq(o->layer->chain_id, w->layer->chain_id)))
            return true;
    }
    return false;
}

/*
 * Another process is bringing this blob. To wait for it while we hold partials that it may want would be a deadlock, so
 * such a layer is started only when nothing else of ours runs: then store_partial_open() may block as long as it likes.
 */
static bool held_elsewhere(const struct bringing *b, const struct work *w) {
    int root = store_dirfd(b->l->store, "");
    autofree char *path = mem_printf("blobs/partial/%s", digest_hex(w->layer->blob));
    autofd int fd = openat(root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    bool held = false;
    if (fd < 0)
        return false;
    autoerr e = io_lock_held(fd, &held);
    return !e && held;
}

static struct err *start_some(struct bringing *b) {
    for (size_t i = 0; i < b->n && b->running < b->l->parallel; i++) {
        struct work *w = &b->w[i];
        if (w->state != WORK_WAITING || twin_running(b, w) || (b->running > 0 && held_elsewhere(b, w)))
            continue;
        TRY(start_work(b, w));
    }
    return NULL;
}

/* ---- ending ---- */

static void drop_work(const struct bringing *b, struct work *w) {
    if (b->l->client)
        fetch_xfer_done(b->l->client, &w->xfer);
    if (w->job)
        store_unpack_cancel(b->l->store, take_ptr(&w->job));
    fd_replace(&w->partial, -1);
    w->fetching = w->unpacked = false;
}

/* Is what has arrived the blob? Asked where no unpacker has digested it. */
static struct err *verify_partial(const struct work *w) {
    autofd int fd = -1;
    char digest[DIGEST_LEN + 1];
    long long size = 0;
    TRY(reopen(w->partial, &fd));
    TRY(digest_of_fd(fd, digest, &size));
    if (!str_eq(digest, w->layer->blob) || size != w->layer->size)
        return err_new(ERR_CORRUPT, "blob %s arrived with the digest %s", w->layer->blob, digest);
    return NULL;
}

static struct err *finish_unpack(const struct bringing *b, struct work *w) {
    struct store_unpacked u = {0};
    TRY_CTX(store_unpack_finish(b->l->store, take_ptr(&w->job), &u), "layer %s", w->short_id);
    w->layer->diff_size = u.diff_size;
    return NULL;
}

static struct err *complete(const struct bringing *b, struct work *w) {
    if (w->job)
        TRY(finish_unpack(b, w));
    else if (w->partial >= 0)
        TRY(verify_partial(w));
    if (w->partial >= 0)
        TRY(store_partial_commit(b->l->store, w->layer->blob, w->partial));
    return NULL;
}

/*
 * A blob that proved wrong is dropped. When part of it was from an earlier try, that part may have been the wrong one:
 * once more, from zero.
 */
static struct err *after_corruption(struct bringing *b, struct work *w, struct err *take_err) {
    struct err *cause = take_err;
    if (err_kind(cause) != ERR_CORRUPT || w->partial < 0)
        return cause;
    struct err *e = store_partial_drop(b->l->store, w->layer->blob);
    drop_work(b, w);
    if (w->have == 0 || w->from_zero || e) {
        err_free(e);
        return cause;
    }
    err_free(cause);
    w->from_zero = true;
    w->have = 0;
    w->state = WORK_WAITING;
    b->running--;
    return NULL;
}

static struct err *finish_work(struct bringing *b, struct work *w) {
    struct err *e = complete(b, w);
    if (e)
        return after_corruption(b, w, e);
    drop_work(b, w);
    w->state = WORK_DONE;
    b->running--;
    say(b, w, b->l->registry ? "Pull complete" : "Load complete", w->layer->size);
    return NULL;
}

/* The token ran out: begin this layer again; what has arrived counts. */
static struct err *restart_work(struct bringing *b, struct work *w) {
    w->authorized_at = w->xfer.bytes;
    drop_work(b, w);
    w->state = WORK_WAITING;
    b->running--;
    return NULL;
}

static struct err *fetch_ended(struct bringing *b, struct work *w) {
    w->fetching = false;
    if (w->xfer.err) {
        struct err *e = take_ptr(&w->xfer.err);
        /* The bell broke because the unpacker gave up; its reason is the one worth telling. */
        struct err *why = w->job && err_errno(e) == EPIPE ? finish_unpack(b, w) : NULL;
        if (why) {
            err_free(e);
            e = why;
        }
        return after_corruption(b, w, e);
    }
    bool again = false;
    TRY(registry_blob_done(b->l->registry, w->layer->blob, &w->xfer, &again));
    if (again && w->xfer.bytes <= w->authorized_at)
        return registry_failure(b->l->registry, &w->xfer, w->layer->blob);
    if (again)
        return restart_work(b, w);
    if (w->xfer.bytes != w->layer->size)
        return err_new(ERR_NETWORK, "blob %s: %lld of %lld bytes arrived", w->layer->blob, (long long)w->xfer.bytes,
                       (long long)w->layer->size);
    say(b, w, w->job ? "Extracting" : "Download complete", w->layer->size);
    return NULL;
}

/* ---- the loop ---- */

static void say_progress(const struct bringing *b, struct work *w, int64_t now) {
    if (w->xfer.bytes == w->said_bytes || now - w->said_at < SAY_EVERY)
        return;
    w->said_bytes = w->xfer.bytes;
    w->said_at = now;
    say(b, w, "Downloading", w->xfer.bytes);
}

/*
 * Both are through. An unpacker that ends before its download has an error to tell, and so may the download: that it
 * broke off is why the unpacker got too little. It ends at once, as nobody reads it any more, and fetch_ended() picks
 * the error that says more.
 */
static bool ended(const struct work *w) { return w->state == WORK_RUNNING && !w->fetching && (!w->job || w->unpacked); }

/* After events: moves every running item on as far as it goes. */
static struct err *advance(struct bringing *b, const struct pollfd *p, const size_t *owner, size_t n_poll) {
    int64_t now = clock_boot();
    for (size_t i = 0; i < b->n; i++) {
        struct work *w = &b->w[i];
        if (w->state != WORK_RUNNING)
            continue;
        if (w->fetching && w->xfer.done)
            TRY(fetch_ended(b, w));
        else if (w->fetching)
            say_progress(b, w, now);
    }
    for (size_t i = 0; i < n_poll; i++)
        b->w[owner[i]].unpacked |= p[i].revents != 0;
    for (size_t i = 0; i < b->n; i++)
        if (ended(&b->w[i]))
            TRY(finish_work(b, &b->w[i]));
    return NULL;
}

/* True when an item can go on without any event. */
static bool ready(const struct work *w) {
    return ended(w) || (w->state == WORK_RUNNING && w->fetching && w->xfer.done);
}

/* The unpackers' descriptors, whose they are, and whether somebody need not wait. */
static size_t collect_polls(const struct bringing *b, struct pollfd *p, size_t *owner, bool *ret_ready) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct work *w = &b->w[i];
        *ret_ready = *ret_ready || ready(w);
        if (w->state != WORK_RUNNING || !w->job || w->unpacked)
            continue;
        p[n] = (struct pollfd){.fd = store_unpack_fd(w->job), .events = POLLIN};
        owner[n++] = i;
    }
    return n;
}

static struct err *wait_for_events(struct bringing *b, struct pollfd *p, size_t n, bool dont_wait) {
    struct fetch_client *c = b->l->client;
    bool pending = c && fetch_client_pending(c);
    p[n] = (struct pollfd){.fd = c ? fetch_client_fd(c) : -1, .events = POLLIN};
    p[n + 1] = (struct pollfd){.fd = b->l->interrupted_fd, .events = POLLIN};
    if (poll(p, n + 2, pending || dont_wait ? 0 : -1) < 0 && errno != EINTR)
        return err_sys(errno, "wait for layers");
    if (p[n + 1].revents & POLLIN)
        return err_new(ERR_INTERRUPTED, "interrupted");
    return pending || p[n].revents ? fetch_client_receive(c) : NULL;
}

static struct err *wait_and_advance(struct bringing *b) {
    struct pollfd *p = mem_array(b->n + 2, sizeof *p);
    size_t *owner = mem_array(b->n, sizeof *owner);
    bool dont_wait = false;
    size_t n = collect_polls(b, p, owner, &dont_wait);
    struct err *e = wait_for_events(b, p, n, dont_wait);
    if (!e)
        e = advance(b, p, owner, n);
    free(p);
    free(owner);
    return e;
}

static bool all_done(const struct bringing *b) {
    for (size_t i = 0; i < b->n; i++)
        if (b->w[i].state != WORK_DONE)
            return false;
    return true;
}

/* The size of a layer that was there already, as recorded when it was unpacked. */
static int64_t recorded_size(const struct store *s, const char *chain_id) {
    autofree char *path = mem_printf("%s/info.json", digest_hex(chain_id));
    autojson j = NULL;
    autoerr e = json_read_file(store_dirfd(s, "layers"), path, &j);
    return e ? 0 : json_int_value(json_get(j, "diff_size"), 0);
}

static void fill_sizes(const struct bringing *b, struct store_image *img) {
    img->size = 0;
    for (size_t i = 0; i < img->n_layers; i++) {
        struct store_layer_ref *layer = &img->layers[i];
        if (layer->diff_size == 0 && layer->chain_id)
            layer->diff_size = recorded_size(b->l->store, layer->chain_id);
        img->size += layer->diff_size;
    }
}

/* What there is to do; what is there already is said at once. */
static size_t make_plan(struct bringing *b, struct store_image *img) {
    size_t missing = 0;
    b->n = img->n_layers;
    b->w = mem_array(b->n, sizeof *b->w);
    for (size_t i = 0; i < b->n; i++) {
        struct work *w = &b->w[i];
        *w = (struct work){.layer = &img->layers[i], .partial = -1, .authorized_at = -1};
        memcpy(w->short_id, digest_hex(w->layer->blob), ID_SHORT_LEN);
        bool there = layer_there(b->l->store, w->layer) && store_blob_has(b->l->store, w->layer->blob);
        w->state = there ? WORK_DONE : WORK_WAITING;
        missing += !there;
        say(b, w, there ? "Already exists" : b->l->registry ? "Pulling fs layer" : "Loading layer", 0);
    }
    return missing;
}

struct err *layers_bring_in(const struct layers *l, struct store_image *img, size_t *ret_fetched) {
    struct bringing b = {.l = l};
    *ret_fetched = make_plan(&b, img);
    struct err *e = NULL;
    while (!e && !all_done(&b)) {
        e = start_some(&b);
        if (!e && b.running > 0)
            e = wait_and_advance(&b);
    }
    for (size_t i = 0; i < b.n; i++)
        drop_work(&b, &b.w[i]);
    if (!e)
        fill_sizes(&b, img);
    free(b.w);
    return e;
}
