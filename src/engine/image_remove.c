/*
 * rmi with docker's rules. A reference is only a name: removing it untags, and the image goes with its last tag. An id
 * removes the image with all its names, if they all belong to one repository or with force. A running container
 * protects its image always, a stopped one unless forced (its layers stay in the store as long as the container is
 * there, whatever happens to the image).
 */
#include "engine/engine_int.h"
#include "engine/podman.h"
#include "storage/shared.h"

#include <string.h>

struct removal {
    struct engine *engine;
    struct store *store;
    char id[65];
    char *reference; /* what the user named, or NULL for an id */
    bool force;
    struct strv tags, digests; /* canonical references of the image */
    struct json *report;
};

static void report(struct removal *r, const char *what, const char *value) {
    struct json *o = json_object();
    json_set_str(o, what, value);
    json_push(r->report, o);
}

static struct err *untag(struct removal *r, const char *reference) {
    TRY(store_ref_remove(r->store, reference));
    engine_image_tell(r->engine, r->id, "untag", NULL, NULL);
    autofree char *familiar = image_ref_familiar(reference);
    report(r, "Untagged", familiar);
    return NULL;
}

/* The name part of a canonical reference: up to '@', or to the ':' of the tag. Owned. */
static char *repository_of(const char *reference) {
    const char *end = strchr(reference, '@');
    if (!end) {
        const char *slash = strrchr(reference, '/');
        end = strchr(slash ? slash : reference, ':');
    }
    return end ? mem_dupn(reference, (size_t)(end - reference)) : mem_dup(reference);
}

static bool same_repository(const char *a, const char *b) {
    autofree char *x = repository_of(a), *y = repository_of(b);
    return !strcmp(x, y);
}

static bool uses_image(const struct json *summary, const char *id) {
    bool uses = str_eq(json_str_value(json_get(summary, "Image")), id);
    JSON_EACH(t, json_get(summary, "Trees"))
    uses |= str_eq(json_str_value(json_get(t, "Image")), id);
    return uses;
}

/* The first container that uses the image, as its own or as a mount; `running` asks for a live one. */
static struct err *find_user(struct removal *r, bool running, char ret_id[65], bool *ret_found) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(r->store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autocontainer c = ENGINE_CONTAINER_INIT;
        autoerr bad = engine_container_load_id(r->engine, ids.v[i], &c);
        if (bad || !uses_image(c.summary, r->id) || engine_state_alive(&c.state) != running)
            continue;
        memcpy(ret_id, c.id, sizeof c.id);
        *ret_found = true;
        return NULL;
    }
    return NULL;
}

static struct err *check_users(struct removal *r) {
    char user[65] = "";
    bool found = false;
    TRY(find_user(r, true, user, &found));
    if (found && r->reference && !r->force)
        return err_new(ERR_CONFLICT,
                       "conflict: unable to remove repository reference \"%s\" (must force) - container %.12s is using "
                       "its referenced image %.12s",
                       r->reference, user, r->id);
    if (found && !r->reference)
        return err_new(
            ERR_CONFLICT,
            "conflict: unable to delete %.12s (cannot be forced) - image is being used by running container %.12s",
            r->id, user);
    if (found || r->force)
        return NULL;
    TRY(find_user(r, false, user, &found));
    if (found && r->reference)
        return err_new(ERR_CONFLICT,
                       "conflict: unable to remove repository reference \"%s\" (must force) - container %.12s is using "
                       "its referenced image %.12s",
                       r->reference, user, r->id);
    if (found)
        return err_new(
            ERR_CONFLICT,
            "conflict: unable to delete %.12s (must be forced) - image is being used by stopped container %.12s", r->id,
            user);
    return NULL;
}

/* The image keeps existing (untagged) while a running container needs its record. */
static struct err *delete_image(struct removal *r) {
    char user[65] = "";
    bool used = false;
    TRY(find_user(r, true, user, &used));
    if (used)
        return NULL;
    TRY(store_image_remove(r->store, r->id));
    engine_image_tell(r->engine, r->id, "delete", NULL, NULL);
    autofree char *digest = mem_printf("sha256:%s", r->id);
    report(r, "Deleted", digest);
    return NULL;
}

static struct err *remove_reference(struct removal *r) {
    bool digest_ref = strchr(r->reference, '@') != NULL;
    size_t others = 0, same_repo = 0;
    for (size_t i = 0; i < r->tags.n; i++) {
        bool itself = !strcmp(r->tags.v[i], r->reference);
        others += !itself;
        same_repo += !itself && same_repository(r->tags.v[i], r->reference);
    }
    bool last = others == 0 && (!digest_ref || r->tags.n == 0);
    if (last)
        TRY(check_users(r));
    TRY(untag(r, r->reference));
    for (size_t i = 0; i < r->digests.n; i++) {
        bool itself = !strcmp(r->digests.v[i], r->reference);
        if (!itself && (last || (same_repo == 0 && same_repository(r->digests.v[i], r->reference))))
            TRY(untag(r, r->digests.v[i]));
    }
    return last ? delete_image(r) : NULL;
}

static struct err *remove_id(struct removal *r) {
    for (size_t i = 1; i < r->tags.n; i++)
        if (!r->force && !same_repository(r->tags.v[0], r->tags.v[i]))
            return err_hint(
                err_new(
                    ERR_CONFLICT,
                    "conflict: unable to delete %.12s (must be forced) - image is referenced in multiple repositories",
                    r->id),
                "use -f, or remove its names one by one");
    TRY(check_users(r));
    for (size_t i = 0; i < r->tags.n; i++)
        TRY(untag(r, r->tags.v[i]));
    for (size_t i = 0; i < r->digests.n; i++)
        TRY(untag(r, r->digests.v[i]));
    return delete_image(r);
}

static struct err *collect_names(struct removal *r) {
    autostrmap struct strmap refs = {.n = 0};
    TRY(store_refs(r->store, &refs));
    for (size_t i = 0; i < refs.n; i++)
        if (!strcmp(refs.e[i].value, r->id))
            strv_push(strchr(refs.e[i].key, '@') ? &r->digests : &r->tags, refs.e[i].key);
    return NULL;
}

/* One that others share: a name of ours that it has got can go. */
static struct err *remove_shared(struct removal *r) {
    struct err *e = r->reference ? untag(r, r->reference) : store_image_remove(r->store, r->id);
    if (!e || !r->reference || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    return store_image_remove(r->store, r->id);
}

static struct err *removal_begin(struct removal *r, const char *name) {
    TRY(engine_store(r->engine, &r->store));
    TRY(engine_image_find(r->engine, name, r->id, &r->reference));
    return collect_names(r);
}

static void removal_done(struct removal *r) {
    free(r->reference);
    strv_done(&r->tags);
    strv_done(&r->digests);
    json_free(r->report);
}

struct err *engine_image_remove(struct engine *e, const char *name, bool force, struct json **ret) {
    struct removal r = {.engine = e, .force = force, .report = json_array()};
    struct err *bad = removal_begin(&r, name);
    if (!bad)
        bad = store_image_shared(r.store, r.id) ? remove_shared(&r)
              : r.reference                     ? remove_reference(&r)
                                                : remove_id(&r);
    if (!bad) {
        engine_collect_later(e, true);
        *ret = take_ptr(&r.report);
    }
    removal_done(&r);
    return bad;
}

/* What it is found by may have come since it was listed. */
static struct err *prune(struct removal *r, enum engine_image_names names) {
    bool has_more = names < ENGINE_IMAGE_TAGS && r->tags.n;
    has_more |= names < ENGINE_IMAGE_DIGESTS && r->digests.n;
    if (has_more || store_image_shared(r->store, r->id))
        return NULL;
    TRY(check_users(r));
    r->force = true; /* of names in several repositories */
    TRY(remove_id(r));
    engine_collect_later(r->engine, true);
    return NULL;
}

struct err *engine_image_prune(struct engine *e, const char *id, enum engine_image_names names, struct json **ret) {
    struct removal r = {.engine = e, .report = json_array()};
    struct err *bad = removal_begin(&r, id);
    if (!bad)
        bad = prune(&r, names);
    if (!bad)
        *ret = take_ptr(&r.report);
    removal_done(&r);
    return bad;
}

/* ---- untag ---- */

static struct err *untag_named(struct removal *r, const char *name) {
    char id[65] = "";
    autofree char *reference = NULL;
    TRY(engine_image_find(r->engine, name, id, &reference));
    if (!reference || strcmp(id, r->id) != 0)
        return err_new(ERR_NOT_FOUND, "%s: tag not known", name);
    return untag(r, reference);
}

static struct err *untag_all(struct removal *r) {
    TRY(collect_names(r));
    for (size_t i = 0; i < r->tags.n; i++)
        TRY(untag(r, r->tags.v[i]));
    for (size_t i = 0; i < r->digests.n; i++)
        TRY(untag(r, r->digests.v[i]));
    return NULL;
}

struct err *engine_image_untag(struct engine *e, const char *image, const struct strv *names) {
    struct removal r = {.engine = e, .report = json_array()};
    struct err *bad = engine_store(e, &r.store);
    if (!bad)
        bad = engine_image_find(e, image, r.id, NULL);
    if (!bad && !names->n)
        bad = untag_all(&r);
    for (size_t i = 0; !bad && i < names->n; i++)
        bad = untag_named(&r, names->v[i]);
    removal_done(&r);
    return bad;
}
