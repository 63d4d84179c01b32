/*
 * upload: one blob into a repository (distribution-spec 1.1, "Pushing blobs"), one request after another:
 *
 *     CHECK ─ 200 ─▶ done: exists
 *       │ 404
 *     OPEN ── 201 ─▶ done: mounted from another repository
 *       │ 202, a place
 *     SEND ── 201 ─▶ done: pushed          the whole blob by one PUT; or a chunk by PATCH, and again
 *       │ broken off, 416, 429, 5xx
 *     STATUS ─ a range ─▶ SEND the rest    404: the registry has forgotten it; from CHECK again, with a new place
 *
 * What a registry says of how much it has is believed as far as it is possible: the digest of all of it is checked by
 * the registry in the end. A try that got further begins the count of tries anew.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "image/push_int.h"
#include "image/registry_int.h"
#include "storage/store.h"

#define TRIES 6
#define PAUSE_FIRST (200 * NSEC_PER_MSEC)
#define PAUSE_LAST (10 * NSEC_PER_SEC)
#define RETRY_AFTER_MAX 60
#define PROGRESS_WORTH (256 << 10)
#define CHUNK_FIRST ((int64_t)64 << 20) /* for registries that refuse a whole blob as too large */
#define CHUNK_LAST ((int64_t)1 << 20)

int64_t upload_range_end(const char *range) {
    int64_t first, last;
    if (!range)
        return -1;
    if (str_starts(range, "bytes"))
        range += strcspn(range, "0123456789");
    const char *dash = strchr(range, '-');
    autofree char *begin = mem_dupn(range, dash ? (size_t)(dash - range) : 0);
    if (!dash || !str_to_i64(begin, 0, 0, &first) || !str_to_i64(dash + 1, 0, INT64_MAX - 1, &last))
        return -1;
    return last + 1;
}

static char *what_of(const struct registry *r, const struct upload *u) {
    return mem_printf("blob %s of %s/%s", u->digest, r->name, r->repo);
}

static struct err *refused(const struct registry *r, const struct upload *u) {
    autofree char *what = what_of(r, u);
    return registry_failure(r, &u->xfer, what);
}

/* ---- one step ---- */

static struct err *open_blob(struct store *s, struct upload *u) {
    if (u->file >= 0)
        return NULL;
    struct err *e = store_blob_open(s, u->digest, &u->file, NULL);
    if (e && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        return err_hint(
            err_new(ERR_NOT_FOUND, "the registry lacks layer %s, and its blob has been dropped here", u->digest),
            "pull the image again; what is unpacked does not give the same bytes");
    }
    return e;
}

/* The place with the digest, which says that the blob is whole then. */
static char *final_url(const struct upload *u) {
    return mem_printf("%s%sdigest=%s", u->place, strchr(u->place, '?') ? "&" : "?", u->digest);
}

static struct err *start_send(struct registry *r, struct store *s, struct upload *u, int64_t delay) {
    TRY(open_blob(s, u));
    bool whole = u->taken == 0 && (u->chunk == 0 || u->chunk >= u->size), rest = u->taken < u->size;
    int64_t length = u->size - u->taken;
    if (!whole && u->chunk && length > u->chunk)
        length = u->chunk;
    u->until = u->taken + length;
    autofree char *last = final_url(u);
    autofree char *range = mem_printf("%lld-%lld", (long long)u->taken, (long long)u->until - 1);
    u->closing = whole || !rest;
    const struct registry_step step = {
        .method = u->closing ? "PUT" : "PATCH",
        .url = u->closing ? last : u->place,
        .elsewhere = u->elsewhere,
        .range = u->closing ? NULL : range,
        .file = whole || rest ? u->file : -1,
        .from = u->taken,
        .length = length,
        .delay = delay,
    };
    return registry_step_start(r, &step, &u->xfer);
}

static struct err *start_open(struct registry *r, struct upload *u, int64_t delay) {
    autofree char *mount = u->mounting ? mem_printf("blobs/uploads/?mount=%s&from=%s", u->digest, u->mount_from) : NULL;
    const struct registry_step step = {
        .method = "POST", .path = mount ? mount : "blobs/uploads/", .file = -1, .delay = delay};
    return registry_step_start(r, &step, &u->xfer);
}

static struct err *start_step(struct registry *r, struct store *s, struct upload *u, int64_t delay) {
    fetch_xfer_done(r->client, &u->xfer);
    autofree char *path = mem_printf("blobs/%s", u->digest);
    const struct registry_step check = {.method = "HEAD", .path = path, .file = -1, .delay = delay};
    const struct registry_step status = {
        .method = "GET", .url = u->place, .elsewhere = u->elsewhere, .file = -1, .delay = delay};
    switch (u->step) {
    case UPLOAD_CHECK:
        return registry_step_start(r, &check, &u->xfer);
    case UPLOAD_OPEN:
        return start_open(r, u, delay);
    case UPLOAD_SEND:
        return start_send(r, s, u, delay);
    case UPLOAD_STATUS:
        return registry_step_start(r, &status, &u->xfer);
    }
    return NULL;
}

static struct err *go_on(struct registry *r, struct store *s, struct upload *u, enum upload_step step) {
    u->step = step;
    return start_step(r, s, u, 0);
}

static struct err *end(struct registry *r, struct upload *u, const char *outcome) {
    u->outcome = outcome;
    u->state = UPLOAD_DONE;
    fetch_xfer_done(r->client, &u->xfer);
    return NULL;
}

/* ---- failures ---- */

static int64_t pause_of(const struct upload *u) {
    int64_t after, pause = PAUSE_FIRST;
    const char *text = strmap_get(&u->xfer.headers, "retry-after");
    if (text && str_to_i64(text, 0, INT64_MAX / NSEC_PER_SEC, &after))
        return after * NSEC_PER_SEC;
    for (int i = 1; i < u->tries && pause < PAUSE_LAST; i++)
        pause *= 2;
    return pause;
}

/* After a pause with another step; or what went wrong, when it has been tried often enough. */
static struct err *try_again(struct registry *r, struct store *s, struct upload *u, enum upload_step step) {
    u->tries = u->taken - u->best >= PROGRESS_WORTH ? 1 : u->tries + 1;
    u->best = u->taken > u->best ? u->taken : u->best;
    int64_t pause = pause_of(u);
    if (u->tries >= TRIES || pause > RETRY_AFTER_MAX * NSEC_PER_SEC) {
        if (!u->xfer.err)
            return refused(r, u);
        return err_wrap(take_ptr(&u->xfer.err), "blob %s", u->digest);
    }
    u->step = step;
    return start_step(r, s, u, pause);
}

/* The place is gone or no good: everything from the beginning. */
static struct err *start_anew(struct registry *r, struct store *s, struct upload *u) {
    u->taken = 0;
    u->elsewhere = false;
    mem_set(&u->place, NULL);
    return try_again(r, s, u, UPLOAD_CHECK);
}

static bool passing(const struct fetch_xfer *x) {
    return x->status == 408 || x->status == 416 || x->status == 429 || x->status / 100 == 5;
}

/* Too large a request, says the registry or what is in front of it: in pieces, then. */
static struct err *smaller(struct registry *r, struct store *s, struct upload *u) {
    int64_t chunk = u->chunk ? u->chunk / 2 : CHUNK_FIRST;
    while (chunk >= u->size)
        chunk /= 2;
    if (chunk < CHUNK_LAST)
        return refused(r, u);
    u->chunk = chunk;
    return start_anew(r, s, u);
}

/* ---- answers ---- */

static struct err *take_place(const struct registry *r, struct upload *u) {
    const struct fetch_xfer *x = &u->xfer;
    if (x->location) {
        mem_set(&u->place, x->location);
        u->elsewhere = u->elsewhere || x->elsewhere;
        return NULL;
    }
    if (u->place && !x->misled)
        return NULL;
    return err_new(ERR_NETWORK, "%s names no place for an upload%s%s", r->name, x->misled ? ": " : "",
                   x->misled ? x->misled : "");
}

static struct err *checked(struct registry *r, struct store *s, struct upload *u) {
    if (u->xfer.status == 200)
        return end(r, u, u->tries ? "Pushed" : "Layer already exists"); /* an answer to what we sent was lost */
    if (u->xfer.status != 404 && u->xfer.status != 405)
        return refused(r, u);
    u->mounting = u->mount_from != NULL;
    return go_on(r, s, u, UPLOAD_OPEN);
}

static struct err *opened(struct registry *r, struct store *s, struct upload *u) {
    if (u->mounting && u->xfer.status == 201)
        return end(r, u, "Mounted");
    bool without = u->mounting && u->xfer.status / 100 == 4;
    u->mounting = false;
    if (without) /* a registry that mounts nothing, or not this; without it then */
        return go_on(r, s, u, UPLOAD_OPEN);
    if (u->xfer.status != 202)
        return refused(r, u);
    TRY(take_place(r, u));
    int64_t least;
    const char *text = strmap_get(&u->xfer.headers, "oci-chunk-min-length");
    if (text && u->chunk && str_to_i64(text, 0, INT64_MAX, &least) && least > u->chunk)
        u->chunk = least;
    u->taken = 0;
    return go_on(r, s, u, UPLOAD_SEND);
}

/* How much there is of it, by an answer to a chunk or to a question; refused where that cannot be. */
static struct err *take_range(const struct registry *r, struct upload *u, int64_t most, int64_t otherwise) {
    int64_t have = upload_range_end(strmap_get(&u->xfer.headers, "range"));
    if (have == 1 && most != 1) /* "0-0" is what many say for nothing */
        have = 0;
    if (have > most)
        return err_new(ERR_CORRUPT, "%s says that it has %lld bytes of blob %s, of which there can be %lld", r->name,
                       (long long)have, u->digest, (long long)most);
    u->taken = have < 0 ? otherwise : have;
    return NULL;
}

static struct err *sent(struct registry *r, struct store *s, struct upload *u) {
    const struct fetch_xfer *x = &u->xfer;
    if (x->status / 100 == 2 && u->closing)
        return end(r, u, "Pushed");
    if (x->status / 100 == 2) {
        int64_t before = u->taken;
        TRY(take_place(r, u));
        TRY(take_range(r, u, u->until, u->until));
        return u->taken > before ? go_on(r, s, u, UPLOAD_SEND) : try_again(r, s, u, UPLOAD_SEND);
    }
    if (x->status == 413)
        return smaller(r, s, u);
    if (x->status == 404)
        return start_anew(r, s, u);
    return passing(x) ? try_again(r, s, u, UPLOAD_STATUS) : refused(r, u);
}

static struct err *told(struct registry *r, struct store *s, struct upload *u) {
    if (u->xfer.status / 100 != 2)
        return start_anew(r, s, u);
    if (u->xfer.location)
        TRY(take_place(r, u));
    TRY(take_range(r, u, u->size, 0));
    return go_on(r, s, u, UPLOAD_SEND);
}

/* A token that has run out: once a new one, until something has been taken. */
static struct err *renew(struct registry *r, struct store *s, struct upload *u) {
    if (u->authorized || u->elsewhere)
        return refused(r, u);
    TRY(registry_authorize(r, &u->xfer));
    u->authorized = true;
    return go_on(r, s, u, u->step == UPLOAD_SEND ? UPLOAD_STATUS : u->step);
}

struct err *upload_advance(struct registry *r, struct store *s, struct upload *u) {
    static struct err *(*const judges[])(struct registry *, struct store *, struct upload *) = {
        [UPLOAD_CHECK] = checked, [UPLOAD_OPEN] = opened, [UPLOAD_SEND] = sent, [UPLOAD_STATUS] = told};
    /* curl: the transfer broke; without, it was ended by us, for what the registry said. */
    bool broken = u->xfer.err && u->xfer.curl && err_kind(u->xfer.err) != ERR_CORRUPT;
    if (broken && err_kind(u->xfer.err) != ERR_SYSTEM && u->step == UPLOAD_SEND)
        return try_again(r, s, u, UPLOAD_STATUS);
    if (u->xfer.err)
        return err_wrap(take_ptr(&u->xfer.err), "blob %s", u->digest);
    if (u->xfer.status == 401)
        return renew(r, s, u);
    u->authorized = false;
    return judges[u->step](r, s, u);
}

struct err *upload_start(struct registry *r, struct store *s, struct upload *u) {
    u->state = UPLOAD_RUNNING;
    u->file = -1;
    return go_on(r, s, u, UPLOAD_CHECK);
}

void upload_done(struct registry *r, struct upload *u) {
    fetch_xfer_done(r->client, &u->xfer);
    if (u->state != UPLOAD_WAITING)
        fd_replace(&u->file, -1);
    mem_set(&u->place, NULL);
}
