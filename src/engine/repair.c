/*
 * repair: what is to be done about each finding. The order counts: blobs are brought before layers are unpacked from
 * them, and records made before what they name is asked for. Nothing waits: what is in use is left as it is, with the
 * reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "engine/check_int.h"
#include "engine/engine_int.h"

struct repair {
    struct engine *e;
    struct store *s;
    struct store_findings *found;
};

/* ---- bringing an image again ---- */

/* A name of the image that says where it came from: by digest if there is one. Owned, or NULL. */
static char *origin_of(const struct repair *r, const char *id) {
    autostrmap struct strmap refs = {.n = 0};
    char *best = NULL;
    autoerr unread = store_refs(r->s, &refs);
    for (size_t i = 0; !unread && i < refs.n; i++) {
        bool by_digest = strchr(refs.e[i].key, '@') != NULL;
        if (!str_eq(refs.e[i].value, id) || (best && !by_digest))
            continue;
        free(best);
        best = mem_dup(refs.e[i].key);
    }
    return best;
}

static struct err *pull_again(const struct repair *r, const char *id) {
    autofree char *origin = origin_of(r, id);
    struct store_image *img = NULL;
    struct image_pulled pulled = {.reference = NULL};
    if (!origin || !strchr(origin, '@'))
        return err_new(ERR_NOT_FOUND, "image %.12s came from no registry", id);
    autoerr unread = store_image_get(r->s, id, &img);
    autofree char *platform =
        unread ? NULL
               : mem_printf("%s/%s%s%s", img->os, img->arch, img->variant && *img->variant ? "/" : "",
                            img->variant ? img->variant : "");
    store_image_free(img);
    const struct engine_pull pull = {.reference = origin, .platform = platform};
    TRY(engine_image_pull(r->e, &pull, &pulled));
    free(pulled.reference);
    return str_eq(pulled.id, id) ? NULL : err_new(ERR_NOT_FOUND, "the registry has another image as %s by now", origin);
}

static bool names_blob(const struct store_image *img, const char *digest) {
    bool named = str_eq(img->config, digest) || str_eq(img->manifest, digest) || strv_has(&img->extra, digest);
    for (size_t i = 0; !named && i < img->n_layers; i++)
        named = str_eq(img->layers[i].blob, digest);
    return named;
}

/* Calls fn for each image that has the blob or the layer, until one succeeds. */
static struct err *for_each_user(const struct repair *r, const char *blob, const char *chain_id,
                                 struct err *(*fn)(const struct repair *r, const struct store_image *img,
                                                   const char *what)) {
    autostrv struct strv ids = {.n = 0};
    struct err *last = err_new(ERR_NOT_FOUND, "no image that can be read has it");
    autoerr unread = store_image_ids(r->s, &ids);
    for (size_t i = 0; !unread && last && i < ids.n; i++) {
        struct store_image *img = NULL;
        autoerr bad = store_image_get(r->s, ids.v[i], &img);
        if (bad)
            continue;
        bool uses = blob && names_blob(img, blob);
        for (size_t k = 0; chain_id && !uses && k < img->n_layers; k++)
            uses = str_eq(img->layers[k].chain_id, chain_id);
        if (uses) {
            err_free(last);
            last = fn(r, img, blob ? blob : chain_id);
        }
        store_image_free(img);
    }
    return last;
}

/* ---- blobs ---- */

static struct err *bring_blob(const struct repair *r, const struct store_image *img, const char *digest) {
    TRY(pull_again(r, img->id));
    return store_blob_has(r->s, digest) ? NULL : err_new(ERR_NOT_FOUND, "the registry does not have it");
}

static struct err *repair_blob(const struct repair *r, struct store_finding *f) {
    if (!digest_ok(f->name))
        return err_new(ERR_NOT_FOUND, "it has no digest");
    bool damaged = store_blob_has(r->s, f->name);
    if (damaged)
        TRY(store_quarantine(r->s, "blobs/sha256", digest_hex(f->name), f->problem));
    struct err *e = for_each_user(r, f->name, NULL, bring_blob);
    if (e)
        return damaged ? err_wrap(e, "it was moved to quarantine, and cannot be brought again") : e;
    f->repaired = mem_dup("pulled again");
    return NULL;
}

/* ---- layers ---- */

static bool has_layer(const struct json *summary, const char *chain_id) {
    JSON_EACH(l, json_get(summary, "Layers"))
    if (str_eq(json_str_value(l), chain_id))
        return true;
    return false;
}

/* A running container's mounts have the files that would go. */
static struct err *check_unused(const struct repair *r, const char *chain_id) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(r->s, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autocontainer c = ENGINE_CONTAINER_INIT;
        autoerr bad = engine_container_load_id(r->e, ids.v[i], &c);
        if (!bad && engine_state_alive(&c.state) && has_layer(c.summary, chain_id))
            return err_hint(err_new(ERR_IN_USE, "the running container %s uses it", engine_container_name(&c)),
                            "Stop the container and repair again.");
    }
    return NULL;
}

static struct err *rebuild_layer(const struct repair *r, const struct store_image *img, const char *chain_id) {
    const struct store_inside inside = engine_inside(r->e);
    for (size_t i = 0; i < img->n_layers; i++)
        if (str_eq(img->layers[i].chain_id, chain_id) && img->layers[i].blob)
            return store_layer_rebuild(r->s, &inside, &img->layers[i]);
    return err_new(ERR_NOT_FOUND, "its blob is not in the store");
}

static struct err *bring_layer(const struct repair *r, const struct store_image *img, const char *chain_id) {
    TRY(pull_again(r, img->id));
    return store_layer_has(r->s, chain_id) ? NULL : err_new(ERR_NOT_FOUND, "the registry does not have it");
}

static struct err *repair_layer(const struct repair *r, struct store_finding *f) {
    TRY(check_unused(r, f->name));
    autoerr failed = for_each_user(r, NULL, f->name, rebuild_layer);
    if (!failed) {
        f->repaired = mem_dup("unpacked again from its blob");
        return NULL;
    }
    if (store_layer_has(r->s, f->name))
        return take_ptr(&failed);
    autoerr unreachable = for_each_user(r, NULL, f->name, bring_layer);
    if (unreachable)
        return take_ptr(&failed);
    f->repaired = mem_dup("pulled again");
    return NULL;
}

/* ---- images ---- */

/* The record goes to quarantine when another can take its place, or when it says nothing. */
static struct err *repair_image(const struct repair *r, struct store_finding *f) {
    autofree char *file = mem_printf("%s.json", f->name);
    autofree char *origin = origin_of(r, f->name);
    const struct image_rebuild again = {.store = r->s, .id = f->name, .userns = engine_userns_cb, .userns_ctx = r->e};
    TRY(store_quarantine(r->s, "images", file, f->problem));
    autoerr failed = image_rebuild(&again);
    if (!failed) {
        f->repaired = mem_dup("its record was made again from its manifest");
        return NULL;
    }
    const struct engine_pull pull = {.reference = origin};
    struct image_pulled pulled = {.reference = NULL};
    autoerr unreachable = origin ? engine_image_pull(r->e, &pull, &pulled) : err_new(ERR_NOT_FOUND, "no name");
    free(pulled.reference);
    if (!unreachable && str_eq(pulled.id, f->name))
        f->repaired = mem_dup("pulled again");
    else
        f->repaired = mem_dup("it could not be made again; its record was moved to quarantine");
    return NULL;
}

/* A name without its image is what a killed pull leaves; but should the record have been lost, here it comes back. */
static void record_named(const struct repair *r) {
    autostrmap struct strmap refs = {.n = 0};
    autoerr unread = store_refs_dangling(r->s, &refs);
    for (size_t i = 0; !unread && i < refs.n; i++) {
        const struct image_rebuild again = {
            .store = r->s, .id = refs.e[i].value, .userns = engine_userns_cb, .userns_ctx = r->e};
        autoerr gone = image_rebuild(&again);
        if (gone)
            continue;
        store_findings_add(r->found, STORE_REMEDY_NONE, "image", refs.e[i].value, "its record was missing");
        r->found->v[r->found->n - 1].repaired = mem_dup("it was made again from its manifest");
    }
}

/* ---- the rest ---- */

static struct err *repair_mode(const struct repair *r, struct store_finding *f) {
    struct stat st;
    int root = store_dirfd(r->s, "");
    if (fstatat(root, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(root, f->name, st.st_mode & (S_ISDIR(st.st_mode) ? 0700 : 0600), 0) < 0)
        return err_sys(errno, "close it to others");
    f->repaired = mem_dup("closed to others");
    return NULL;
}

static struct err *quarantine(const struct repair *r, struct store_finding *f, const char *which) {
    TRY(store_quarantine(r->s, which, f->name, f->problem));
    f->repaired = mem_dup("moved to quarantine");
    return NULL;
}

static struct err *repair_container(const struct repair *r, struct store_finding *f) {
    autofd int lock = -1;
    TRY(store_container_lock(r->s, f->name, false, &lock));
    return quarantine(r, f, "containers");
}

static struct err *relink(const struct repair *r, struct store_finding *f) {
    TRY(store_name_relink(r->s, f->name));
    f->repaired = mem_dup("its name was linked again");
    return NULL;
}

static struct err *repair_volume(const struct repair *r, struct store_finding *f) {
    TRY(store_volume_record(r->s, f->name, f->problem));
    f->repaired = mem_dup("its record was made anew, without labels and options; its data is as it was");
    return NULL;
}

static struct err *repair_ref(const struct repair *r, struct store_finding *f) { return quarantine(r, f, "refs"); }

static struct err *repair_secret(const struct repair *r, struct store_finding *f) {
    return quarantine(r, f, "secrets");
}

static struct err *repair_network(const struct repair *r, struct store_finding *f) {
    return quarantine(r, f, "networks");
}

static struct err *repair_manifests(const struct repair *r, struct store_finding *f) {
    return quarantine(r, f, "manifests");
}

static struct err *repair_idmap(const struct repair *r, struct store_finding *f) {
    TRY(quarantine(r, f, "idmaps"));
    free(f->repaired);
    f->repaired = mem_dup("moved to quarantine; the next start of a container that needs it makes it again");
    return NULL;
}

static struct err *by_hand(const struct repair *r, struct store_finding *f) {
    (void)r;
    (void)f;
    return err_new(ERR_UNSUPPORTED, "nothing can be made of it");
}

void engine_repair(struct engine *e, struct store_findings *found) {
    static const struct {
        enum store_remedy remedy;
        struct err *(*fn)(const struct repair *r, struct store_finding *f);
    } steps[] = {{STORE_REMEDY_MODE, repair_mode},
                 {STORE_REMEDY_REF, repair_ref},
                 {STORE_REMEDY_IMAGE, repair_image},
                 {STORE_REMEDY_BLOB, repair_blob},
                 {STORE_REMEDY_LAYER, repair_layer},
                 {STORE_REMEDY_NAME, relink},
                 {STORE_REMEDY_CONTAINER, repair_container},
                 {STORE_REMEDY_VOLUME, repair_volume},
                 {STORE_REMEDY_NETWORK, repair_network},
                 {STORE_REMEDY_SECRET, repair_secret},
                 {STORE_REMEDY_MANIFESTS, repair_manifests},
                 {STORE_REMEDY_IDMAP, repair_idmap},
                 {STORE_REMEDY_NONE, by_hand}};
    const struct repair r = {.e = e, .s = e->store, .found = found};
    size_t n = found->n;
    record_named(&r);
    for (size_t k = 0; k < ARRAY_LEN(steps); k++)
        for (size_t i = 0; i < n; i++) {
            struct store_finding *f = &found->v[i];
            if (f->remedy != steps[k].remedy || f->repaired || f->failed)
                continue;
            autoerr bad = steps[k].fn(&r, f);
            if (!bad)
                continue;
            autostr struct str why = STR_INIT;
            err_format(bad, &why);
            f->failed = str_take(&why);
        }
}
