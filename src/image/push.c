/*
 * push: an image of the store to a registry, with the digests that it has here. Blobs are kept as they came, so nothing
 * is compressed again and nothing is digested again: the registry does that.
 *
 *     HEAD manifest by tag    the digest is ours: all is there (one request)
 *     blobs side by side      config and layers, each looked for, taken over from another repository, or sent
 * (upload.c) PUT manifest            when the registry has all that it names
 *
 * A repository to take a blob over from is known by the names that images have: name@digest says that the registry has
 * the image, whether we have pulled it from there or pushed it.
 */
#include "image/image.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "image/bundle_int.h"
#include "image/manifest_int.h"
#include "image/pull_int.h"
#include "image/push_int.h"
#include "image/registry_int.h"
#include "storage/store.h"

#define MOUNTS_MAX 4 /* repositories that a token is asked for beside our own */
#define SAY_EVERY (100 * NSEC_PER_MSEC)

struct item {
    struct upload up;
    char id[ID_SHORT_LEN + 1]; /* of a layer; "" for the config, of which nobody wants to hear */
    int64_t said_at;
};

struct pushing {
    const struct image_push *p;
    struct store_image *img;
    struct fetch_client *client;
    struct registry *registry;
    struct str manifest;
    const char *target; /* that it is put under: the tag, or of a member of an index its digest */
    struct item *items;
    size_t n, running;
};

static void say(const struct pushing *ps, const struct item *it, const char *status, int64_t current) {
    if (*it->id)
        progress_say(&ps->p->progress, it->id, status, current, it->up.size);
}

/* ---- what the name means ---- */

/* docker's words for a name that is not there: is it the tag, or all of it? */
static struct err *no_such_tag(const struct image_push *p, const char *canonical) {
    struct strmap refs = {0};
    autofree char *familiar = image_ref_familiar(canonical);
    autofree char *name = image_ref_familiar_name(p->ref);
    autofree char *all = mem_printf("%.*s", (int)(strlen(canonical) - strlen(p->ref->tag)), canonical);
    bool other = false;
    TRY(store_refs(p->store, &refs));
    for (size_t i = 0; i < refs.n; i++)
        other = other || str_starts(refs.e[i].key, all);
    strmap_done(&refs);
    if (other)
        return err_new(ERR_NOT_FOUND, "tag does not exist: %s", familiar);
    return err_new(ERR_NOT_FOUND, "An image does not exist locally with the tag: %s", name);
}

static struct err *check_platform(const struct image_push *p, const struct store_image *img, const char *canonical) {
    struct image_platform want = {0};
    if (!p->platform)
        return NULL;
    TRY(image_platform_parse(p->host, p->platform, &want));
    bool fits = platform_score(&want, img->os, img->arch, img->variant) > 0;
    image_platform_done(&want);
    autofree char *name = image_ref_familiar(canonical);
    return fits ? NULL
                : err_new(ERR_NOT_FOUND,
                          "image with reference %s was found but does not provide the specified platform "
                          "(%s)",
                          name, p->platform);
}

static struct err *find_image(struct pushing *ps, const char *canonical) {
    struct store_ref found = {.image = ""};
    if (ps->p->content) {
        ps->img = ps->p->content;
        return NULL;
    }
    autoerr absent = ps->p->id ? NULL : store_ref_get(ps->p->store, canonical, &found);
    if (absent && err_kind(absent) == ERR_NOT_FOUND)
        TRY(no_such_tag(ps->p, canonical));
    TRY(take_ptr(&absent));
    TRY(image_get(ps->p->store, ps->p->id ? ps->p->id : found.image, ps->p->id ? ps->p->source : canonical, &ps->img));
    TRY(check_platform(ps->p, ps->img, canonical));
    return push_compress(ps->p->store, ps->img, ps->p->compression ? ps->p->compression : "gzip");
}

/* ---- where blobs can be taken over from ---- */

/* "repo" of "domain/repo@digest" where it is another repository of our registry; else NULL. Owned. */
static char *other_repository(const struct image_ref *ours, const char *name) {
    const char *at = strchr(name, '@');
    size_t n = strlen(ours->domain);
    if (!at || strncmp(name, ours->domain, n) != 0 || name[n] != '/')
        return NULL;
    char *repo = mem_dupn(name + n + 1, (size_t)(at - name) - n - 1);
    if (!str_eq(repo, ours->path))
        return repo;
    free(repo);
    return NULL;
}

static void offer_mounts(struct pushing *ps, const struct store_image *other, const char *repo) {
    for (size_t i = 0; i < ps->n; i++) {
        struct upload *up = &ps->items[i].up;
        for (size_t k = 0; k < other->n_layers && !up->mount_from; k++) {
            if (!str_eq(other->layers[k].blob, up->digest))
                continue;
            struct strv *mounts = &ps->registry->mounts;
            strv_add(mounts, repo);
            for (size_t m = 0; m < mounts->n; m++)
                if (str_eq(mounts->v[m], repo))
                    up->mount_from = mounts->v[m];
        }
    }
}

static struct err *find_mounts(struct pushing *ps) {
    struct strmap refs = {0};
    TRY(store_refs(ps->p->store, &refs));
    for (size_t i = 0; i < refs.n && ps->registry->mounts.n < MOUNTS_MAX; i++) {
        autofree char *repo = other_repository(ps->p->ref, refs.e[i].key);
        struct store_image *other = NULL;
        if (!repo)
            continue;
        autoerr gone = store_image_get(ps->p->store, refs.e[i].value, &other);
        if (!gone)
            offer_mounts(ps, other, repo);
        store_image_free(other);
    }
    strmap_done(&refs);
    return NULL;
}

/* ---- the plan ---- */

static bool planned(const struct pushing *ps, const char *digest) {
    for (size_t i = 0; i < ps->n; i++)
        if (str_eq(ps->items[i].up.digest, digest))
            return true;
    return false;
}

static struct item *add_item(struct pushing *ps, const char *digest, int64_t size) {
    struct item *it = &ps->items[ps->n++];
    *it = (struct item){.up = {.digest = digest, .size = size, .file = -1}};
    it->up.chunk = ps->p->config->upload_chunk_size;
    return it;
}

static struct err *make_plan(struct pushing *ps) {
    const struct store_image *img = ps->img;
    ps->items = mem_array(img->n_layers + 1, sizeof *ps->items);
    for (size_t i = 0; i < img->n_layers; i++) {
        const struct store_layer_ref *l = &img->layers[i];
        if (!l->blob)
            return err_new(ERR_NOT_FOUND, "the blob of layer %s is not known any more", l->diff_id);
        if (planned(ps, l->blob))
            continue;
        struct item *it = add_item(ps, l->blob, l->size);
        memcpy(it->id, digest_hex(l->diff_id), ID_SHORT_LEN);
    }
    autofd int fd = -1;
    int64_t size = 0;
    TRY(store_blob_open(ps->p->store, img->config, &fd, &size));
    if (!planned(ps, img->config))
        add_item(ps, img->config, size);
    return NULL;
}

/* ---- the loop ---- */

static void say_end(const struct pushing *ps, const struct item *it) {
    if (!str_eq(it->up.outcome, "Mounted"))
        return say(ps, it, it->up.outcome, 0);
    autofree char *from = mem_printf("Mounted from %s", it->up.mount_from);
    say(ps, it, from, 0);
}

static struct err *start_some(struct pushing *ps) {
    size_t most = (size_t)ps->p->config->max_concurrent_uploads;
    for (size_t i = 0; i < ps->n && ps->running < most; i++) {
        if (ps->items[i].up.state != UPLOAD_WAITING)
            continue;
        ps->running++;
        TRY(upload_start(ps->registry, ps->p->store, &ps->items[i].up));
    }
    return NULL;
}

static struct err *advance(struct pushing *ps) {
    int64_t now = clock_boot();
    for (size_t i = 0; i < ps->n; i++) {
        struct item *it = &ps->items[i];
        if (it->up.state != UPLOAD_RUNNING)
            continue;
        if (it->up.xfer.done)
            TRY(upload_advance(ps->registry, ps->p->store, &it->up));
        else if (it->up.step == UPLOAD_SEND && now - it->said_at >= SAY_EVERY) {
            it->said_at = now;
            say(ps, it, "Pushing", it->up.xfer.bytes);
        }
        if (it->up.state == UPLOAD_DONE) {
            ps->running--;
            say_end(ps, it);
        }
    }
    return NULL;
}

/* Something is done already: a call in between has waited, and taken in others' answers. */
static bool ready(const struct pushing *ps) {
    for (size_t i = 0; i < ps->n; i++)
        if (ps->items[i].up.state == UPLOAD_RUNNING && ps->items[i].up.xfer.done)
            return true;
    return false;
}

static struct err *wait_for_answer(struct pushing *ps) {
    struct pollfd p[2] = {{.fd = fetch_client_fd(ps->client), .events = POLLIN},
                          {.fd = ps->p->interrupted_fd ? *ps->p->interrupted_fd : -1, .events = POLLIN}};
    if (ready(ps))
        return NULL;
    if (!fetch_client_pending(ps->client) && poll(p, 2, -1) < 0 && errno != EINTR)
        return err_sys(errno, "wait for uploads");
    if (p[1].revents & POLLIN)
        return err_new(ERR_INTERRUPTED, "interrupted");
    return fetch_client_pending(ps->client) || p[0].revents ? fetch_client_receive(ps->client) : NULL;
}

static struct err *send_blobs(struct pushing *ps) {
    TRY(start_some(ps));
    while (ps->running > 0) {
        TRY(wait_for_answer(ps));
        TRY(advance(ps));
        TRY(start_some(ps));
    }
    return NULL;
}

/* ---- from start to end ---- */

/* The tag is what we are about to write already. The first request: it settles scheme and credentials. */
static struct err *already_there(struct pushing *ps, bool *ret) {
    struct registry_answer a = {0};
    autoerr e = registry_manifest(ps->registry, ps->target, true, &a);
    *ret = !e && str_eq(a.digest, ps->img->manifest);
    registry_answer_done(&a);
    return e && err_kind(e) != ERR_NOT_FOUND && err_kind(e) != ERR_UNSUPPORTED ? take_ptr(&e) : NULL;
}

static struct err *send_image(struct pushing *ps) {
    bool there = false;
    for (size_t i = 0; i < ps->n; i++)
        say(ps, &ps->items[i], "Preparing", 0);
    TRY(find_mounts(ps));
    TRY(already_there(ps, &there));
    if (there) {
        for (size_t i = 0; i < ps->n; i++)
            say(ps, &ps->items[i], "Layer already exists", 0);
        return NULL;
    }
    TRY(send_blobs(ps));
    const struct registry_manifest m = {
        .tag = ps->target, .digest = ps->img->manifest, .media_type = ps->img->manifest_type, .text = &ps->manifest};
    return registry_manifest_put(ps->registry, &m);
}

/* The image has the name that the registry has given it now. */
static struct err *record(struct pushing *ps, const char *index, struct image_pushed *ret) {
    const struct store_target to = {.image = ps->img->id, .manifest = ps->img->manifest, .index = index};
    const char *digest = index ? index : ps->img->manifest;
    autostrv struct strv names = {.n = 0};
    bool changed;
    strv_push_take(&names, image_ref_with_digest(ps->p->ref, digest));
    if (!ps->p->id)
        strv_push_take(&names, image_ref_canonical(ps->p->ref));
    TRY(store_refs_set(ps->p->store, &names, &to, &changed));
    memcpy(ret->id, ps->img->id, sizeof ret->id);
    memcpy(ret->digest, digest, sizeof ret->digest);
    ret->size = (int64_t)ps->manifest.len;
    return NULL;
}

static void forget_items(struct pushing *ps) {
    for (size_t i = 0; i < ps->n && ps->registry; i++)
        upload_done(ps->registry, &ps->items[i].up);
    free(ps->items);
    ps->items = NULL;
    ps->n = 0;
}

/* ps->img under ps->target. */
static struct err *send_content(struct pushing *ps) {
    str_clear(&ps->manifest);
    TRY(store_blob_read(ps->p->store, ps->img->manifest, MANIFEST_MAX, &ps->manifest));
    TRY(make_plan(ps));
    return send_image(ps);
}

static struct err *send_member(void *ctx, struct store_image *content) {
    struct pushing *ps = ctx;
    struct store_image *image = ps->img;
    ps->img = content;
    ps->target = content->manifest;
    struct err *e = send_content(ps);
    forget_items(ps);
    ps->img = image;
    return e;
}

/* All that the index lists, and then the index. */
static struct err *send_index(struct pushing *ps, const char *index) {
    struct manifest m = {.json = NULL};
    TRY_CTX(bundle_each(ps->p->store, index, send_member, ps), "index %s", index);
    str_clear(&ps->manifest);
    TRY(store_blob_read(ps->p->store, index, MANIFEST_MAX, &ps->manifest));
    TRY(manifest_parse(&ps->manifest, NULL, &m));
    const struct registry_manifest put = {
        .tag = ps->p->ref->tag, .digest = index, .media_type = m.media_type, .text = &ps->manifest};
    struct err *e = registry_manifest_put(ps->registry, &put);
    manifest_done(&m);
    return e;
}

static struct err *push_held(struct pushing *ps, const char *canonical, struct image_pushed *ret) {
    const struct image_push *p = ps->p;
    autofd int hold = -1;
    TRY(store_hold(p->store, &hold));
    TRY(find_image(ps, canonical));
    const char *index = p->content || p->platform ? NULL : p->index ? p->index : ps->img->index;
    autofree char *to = mem_printf("The push refers to repository [%s/%s]", p->ref->domain, p->ref->path);
    TRY(fetch_client_new(p->host, p->interrupted_fd, &ps->client));
    TRY(registry_new(p->host, p->config, ps->client, p->ref->domain, p->ref->path, NULL, &ps->registry));
    ps->registry->push = true;
    progress_say(&p->progress, NULL, to, 0, 0);
    ps->target = p->ref->tag;
    TRY(index ? send_index(ps, index) : send_content(ps));
    return p->content ? NULL : record(ps, index, ret);
}

struct err *image_push(const struct image_push *p, struct image_pushed *ret) {
    if (p->ref->digest)
        return err_new(ERR_USAGE, "cannot push a digest reference");
    struct pushing ps = {.p = p, .manifest = STR_INIT_MAX(MANIFEST_MAX)};
    autofree char *canonical = image_ref_canonical(p->ref);
    struct err *e = push_held(&ps, canonical, ret);
    forget_items(&ps);
    registry_free(ps.registry);
    fetch_client_free(ps.client);
    if (!p->content)
        store_image_free(ps.img);
    str_done(&ps.manifest);
    return e;
}
