/* Images: pull, tag, load, save, import. Their views are in image_view.c, removing is in image_remove.c. */
#include "engine/dedup.h"
#include "engine/engine_int.h"
#include "image/bundle.h"
#include "image/location.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- names, as the user's aliases would have them ---- */

/* What a bare name stands for, with the tag or digest that follows it; NULL: for itself. Owned. */
static char *expand_alias(const struct engine *e, const char *text) {
    const struct strmap *aliases = &e->config->aliases;
    if (!aliases->n || strchr(text, '/'))
        return NULL;
    size_t n = strcspn(text, ":@");
    autofree char *name = mem_dupn(text, n);
    const char *repository = strmap_get(aliases, name);
    return repository ? mem_printf("%s%s", repository, text + n) : NULL;
}

struct err *engine_ref_parse(const struct engine *e, const char *text, struct image_ref *ret) {
    autofree char *whole = expand_alias(e, text);
    return image_ref_parse(whole ? whole : text, ret);
}

struct err *engine_image_find(struct engine *e, const char *text, char ret_id[65], char **ret_reference) {
    struct store *s;
    autofree char *whole = expand_alias(e, text);
    TRY(engine_store(e, &s));
    return image_find(s, whole ? whole : text, ret_id, ret_reference);
}

void engine_image_tell(struct engine *e, const char *id, const char *action, const char *actor, const char *name) {
    struct store_image *img = NULL;
    autojson config = NULL;
    autoerr gone = store_image_get(e->store, id, &img);
    autoerr unread = gone ? NULL : image_config(e->store, img, &config);
    autofree char *digest = mem_printf("sha256:%s", id);
    const char *const attributes[] = {"name", name ? name : digest, NULL};
    const struct event ev = {.type = "image",
                             .action = action,
                             .id = actor ? actor : digest,
                             .attributes = attributes,
                             .labels = unread ? NULL : json_path(config, "config.Labels")};
    events_tell(e->host, &ev);
    store_image_free(img);
}

/* The same of images by what the user or an archive calls them. */
static void tell_named(struct engine *e, const struct strv *names, const char *action) {
    for (size_t i = 0; i < names->n; i++) {
        char id[65] = "";
        autoerr gone = engine_image_find(e, names->v[i], id, NULL);
        if (!gone)
            engine_image_tell(e, id, action, NULL, NULL);
    }
}

static void tell_pull(struct engine *e, const struct image_ref *ref, const struct image_pulled *p) {
    autofree char *familiar = image_ref_familiar(p->reference), *name = image_ref_familiar_name(ref);
    engine_image_tell(e, p->id, "pull", familiar, name);
}

struct err *engine_pull_policy_parse(const char *text, enum engine_pull_policy *ret) {
    static const char *const words[] = {
        [PULL_ALWAYS] = "always", [PULL_MISSING] = "missing", [PULL_NEVER] = "never", [PULL_NEWER] = "newer"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(text, words[i])) {
            *ret = (enum engine_pull_policy)i;
            return NULL;
        }
    return err_new(ERR_USAGE, "invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", text);
}

/* engine_dedup_images() of one. */
static void dedup_image(struct engine *e, const char *id) {
    autostrv struct strv ids = {.n = 0};
    strv_push(&ids, id);
    engine_dedup_images(e, &ids);
}

/* The same of images that came under these names, or without. */
static void dedup_loaded(struct engine *e, const struct strv *references, const struct strv *ids) {
    autostrv struct strv all = {.n = 0};
    if (!e->config->dedup)
        return;
    strv_extend(&all, ids);
    for (size_t i = 0; i < references->n; i++) {
        struct store_ref now;
        autoerr gone = store_ref_get(e->store, references->v[i], &now);
        if (!gone)
            strv_push(&all, now.image);
    }
    engine_dedup_images(e, &all);
}

static struct err *pull_from_registry(struct engine *e, const struct engine_pull *p, const struct image_ref *ref,
                                      struct image_pulled *ret) {
    const struct image_pull pull = {
        .host = e->host,
        .config = e->config,
        .store = e->store,
        .ref = ref,
        .platform = p->platform,
        .userns = engine_userns_cb,
        .userns_ctx = e,
        .progress = p->progress,
        .interrupted_fd = p->interrupted_fd,
    };
    struct err *r = image_pull(&pull, ret);
    if (!r)
        tell_pull(e, ref, ret);
    if (!r && !ret->up_to_date)
        dedup_image(e, ret->id);
    engine_collect(e, false);
    return r;
}

/* The stored image of that name, for that platform. */
static struct err *pulled_before(struct engine *e, const struct engine_pull *p, const struct image_ref *ref,
                                 struct image_pulled *ret) {
    struct store_image *img = NULL;
    autofree char *canonical = image_ref_canonical(ref);
    struct image_pulled found = {.up_to_date = true};
    struct store_ref now;
    TRY(store_ref_get(e->store, canonical, &now));
    memcpy(found.id, now.image, sizeof found.id);
    TRY(store_image_get(e->store, found.id, &img));
    struct err *other = engine_image_platform_check(e, p->reference, img, p->platform);
    (void)snprintf(found.digest, sizeof found.digest, "%s", img->manifest ? img->manifest : img->config);
    store_image_free(img);
    TRY(other);
    found.reference = take_ptr(&canonical);
    *ret = found;
    return NULL;
}

/* A registry that cannot be reached, has not got it or does not let us in. */
static bool stored_will_do(const struct err *e) {
    enum err_kind kind = err_kind(e);
    return kind == ERR_NETWORK || kind == ERR_TIMEOUT || kind == ERR_NOT_FOUND || kind == ERR_AUTH ||
           kind == ERR_DENIED;
}

static struct err *pull_by_policy(struct engine *e, const struct engine_pull *p, const struct image_ref *ref,
                                  struct image_pulled *ret) {
    if (p->policy == PULL_ALWAYS)
        return pull_from_registry(e, p, ref, ret);
    struct err *missing = pulled_before(e, p, ref, ret);
    if (missing && err_kind(missing) != ERR_NOT_FOUND)
        return missing;
    if (p->policy == PULL_NEVER && missing)
        return err_hint(err_with_kind(err_wrap(missing, "No such image: %s", p->reference), ERR_NOT_FOUND),
                        "leave out --policy never to have it pulled");
    if (missing) {
        err_free(missing);
        return pull_from_registry(e, p, ref, ret);
    }
    if (p->policy != PULL_NEWER)
        return NULL;
    struct image_pulled newer = {.up_to_date = false};
    struct err *failed = pull_from_registry(e, p, ref, &newer);
    if (failed && !stored_will_do(failed)) {
        free(ret->reference);
        ret->reference = NULL;
        return failed;
    }
    if (failed) {
        err_free(failed);
        return NULL;
    }
    free(ret->reference);
    *ret = newer;
    return NULL;
}

static struct err *load_located(struct engine *e, const struct image_load *l, struct strv *references,
                                struct strv *ids) {
    struct err *r = image_load(l, references, ids);
    for (size_t i = 0; !r && i < ids->n; i++)
        engine_image_tell(e, ids->v[i], "load", NULL, NULL);
    if (!r) {
        tell_named(e, references, "load");
        dedup_loaded(e, references, ids);
    }
    engine_collect(e, false);
    return r;
}

/* The last of the images, where the file has several, is the one that is told. */
static struct err *pull_from_file(struct engine *e, const struct engine_pull *p, const struct image_location *from,
                                  struct image_pulled *ret) {
    autofd int fd = -1;
    autostrv struct strv references = {.n = 0};
    autostrv struct strv ids = {.n = 0};
    struct store_image *img = NULL;
    struct image_pulled got = {.up_to_date = false};
    TRY(fd_open_at(AT_FDCWD, from->path, O_RDONLY, 0, &fd));
    const struct image_load load = {.host = e->host,
                                    .store = e->store,
                                    .fd = fd,
                                    .from = from,
                                    .platform = p->platform,
                                    .userns = engine_userns_cb,
                                    .userns_ctx = e,
                                    .progress = p->progress};
    TRY_CTX(load_located(e, &load, &references, &ids), "%s", from->path);
    if (!references.n && !ids.n)
        return err_new(ERR_NOT_FOUND, "%s holds no image", from->path);
    const char *name = references.n ? references.v[references.n - 1] : ids.v[ids.n - 1];
    TRY(engine_image_find(e, name, got.id, NULL));
    TRY(store_image_get(e->store, got.id, &img));
    (void)snprintf(got.digest, sizeof got.digest, "%s", img->manifest ? img->manifest : img->config);
    store_image_free(img);
    got.reference = references.n ? mem_dup(name) : NULL;
    *ret = got;
    return NULL;
}

static struct err *pull_from_registry_name(struct engine *e, const struct engine_pull *p, const char *name,
                                           struct image_pulled *ret) {
    struct image_ref ref = {.domain = NULL};
    struct engine_pull named = *p;
    named.reference = name;
    TRY(engine_ref_parse(e, name, &ref));
    struct err *r = pull_by_policy(e, &named, &ref, ret);
    image_ref_done(&ref);
    return r;
}

struct err *engine_image_pull(struct engine *e, const struct engine_pull *p, struct image_pulled *ret) {
    struct store *s = NULL;
    autolocation from = {.path = NULL};
    TRY(image_location_parse(p->reference, &from));
    TRY(engine_store(e, &s));
    return from.transport == IMAGE_REGISTRY ? pull_from_registry_name(e, p, from.reference, ret)
                                            : pull_from_file(e, p, &from, ret);
}

struct err *engine_image_tags(struct engine *e, const char *reference, const int *interrupted_fd, struct strv *out) {
    struct image_ref ref = {.domain = NULL};
    TRY(engine_ref_parse(e, reference, &ref));
    const struct image_pull p = {.host = e->host, .config = e->config, .ref = &ref, .interrupted_fd = interrupted_fd};
    struct err *r = image_tags(&p, out);
    image_ref_done(&ref);
    return r;
}

struct err *engine_image_tag(struct engine *e, const char *source, const char *target) {
    struct store *s;
    TRY(engine_store(e, &s));
    struct image_ref ref = {.domain = NULL};
    TRY_CTX(engine_ref_parse(e, target, &ref), "Error parsing reference: \"%s\" is not a valid repository/tag", target);
    autofree char *canonical = image_ref_canonical(&ref);
    bool by_digest = ref.digest != NULL;
    image_ref_done(&ref);
    if (by_digest)
        return err_new(ERR_USAGE, "refusing to create a tag with a digest reference");
    autofd int hold = -1;
    TRY(store_hold(s, &hold));
    char id[65] = "";
    autofree char *from = NULL;
    struct store_image *img = NULL;
    TRY(engine_image_find(e, source, id, &from));
    TRY(image_get(s, id, from, &img));
    const struct store_target to = {.image = id, .manifest = img->manifest, .index = img->index};
    struct err *bad = store_ref_set_to(s, canonical, &to);
    store_image_free(img);
    TRY(bad);
    autofree char *familiar = image_ref_familiar(canonical);
    engine_image_tell(e, id, "tag", NULL, familiar);
    return NULL;
}

struct err *engine_image_load(struct engine *e, int fd, const char *platform, struct image_progress_fn progress,
                              struct strv *ret_references, struct strv *ret_ids) {
    struct store *s;
    TRY(engine_store(e, &s));
    const struct image_load load = {
        .host = e->host,
        .store = s,
        .fd = fd,
        .platform = platform,
        .userns = engine_userns_cb,
        .userns_ctx = e,
        .progress = progress,
    };
    return load_located(e, &load, ret_references, ret_ids);
}

struct err *engine_image_save(struct engine *e, const struct strv *names, enum image_format format, int fd) {
    struct store *s;
    autostrv struct strv meant = {.n = 0};
    for (size_t i = 0; i < names->n; i++) {
        char *whole = expand_alias(e, names->v[i]);
        strv_push_take(&meant, whole ? whole : mem_dup(names->v[i]));
    }
    TRY(engine_store(e, &s));
    const struct image_save save = {.store = s, .names = &meant, .format = format, .fd = fd};
    TRY(image_save(&save));
    tell_named(e, names, "save");
    return NULL;
}

struct err *engine_location_parse(const char *text, struct image_location *ret) {
    return image_location_parse(text, ret);
}

void engine_location_done(struct image_location *l) { image_location_done(l); }

static struct err *write_located(struct engine *e, const char *name, const char *index, const struct image_location *to,
                                 int fd) {
    static const enum image_format formats[] = {[IMAGE_DOCKER_ARCHIVE] = IMAGE_SAVE_DOCKER,
                                                [IMAGE_OCI_ARCHIVE] = IMAGE_SAVE_OCI,
                                                [IMAGE_OCI] = IMAGE_SAVE_OCI_DIR,
                                                [IMAGE_DIR] = IMAGE_SAVE_DIR};
    struct store *s;
    char id[65] = "";
    autostrv struct strv names = {.n = 0};
    autofree char *reference = NULL;
    TRY(engine_store(e, &s));
    TRY(engine_image_find(e, name, id, &reference));
    strv_push(&names, reference ? reference : id);
    const struct image_save save = {.store = s,
                                    .names = &names,
                                    .index = index,
                                    .format = formats[to->transport],
                                    .as = to->reference,
                                    .add = to->transport == IMAGE_OCI,
                                    .fd = fd};
    TRY(image_save(&save));
    engine_image_tell(e, id, "save", NULL, NULL);
    return NULL;
}

struct err *engine_image_write(struct engine *e, const char *name, const struct image_location *to, int fd) {
    return write_located(e, name, NULL, to, fd);
}

struct err *engine_index_write(struct engine *e, const char *id, const char *index, const struct image_location *to,
                               int fd) {
    return write_located(e, id, index, to, fd);
}

struct err *engine_image_member(struct engine *e, const char *reference, const char *platform, char ret_id[65]) {
    struct image_ref ref = {.domain = NULL};
    struct store *s;
    TRY(engine_store(e, &s));
    TRY(engine_ref_parse(e, reference, &ref));
    autofree char *canonical = image_ref_canonical(&ref);
    image_ref_done(&ref);
    const struct image_member m = {.store = s,
                                   .host = e->host,
                                   .reference = canonical,
                                   .platform = platform,
                                   .userns = engine_userns_cb,
                                   .userns_ctx = e};
    return image_member_get(&m, ret_id);
}

/* Into a file that nobody else sees and that goes with us. */
static struct err *download(struct engine *e, const struct engine_import *i, int *ret_fd) {
    autofd int fd = -1;
    TRY(fd_open_at(store_dirfd(e->store, "tmp"), ".", O_TMPFILE | O_RDWR, 0600, &fd));
    TRY(image_download(e->host, i->url, i->interrupted_fd, fd, NULL));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a download");
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *engine_image_import(struct engine *e, const struct engine_import *i, char ret_id[65]) {
    struct store *s;
    autofd int fetched = -1;
    TRY(engine_store(e, &s));
    if (i->url)
        TRY(download(e, i, &fetched));
    struct image_ref ref = {.domain = NULL};
    if (i->reference)
        TRY(engine_ref_parse(e, i->reference, &ref));
    const struct image_import import = {
        .store = s,
        .host = e->host,
        .fd = i->url ? fetched : i->fd,
        .source = i->url,
        .ref = i->reference ? &ref : NULL,
        .message = i->message,
        .platform = i->platform,
        .changes = i->changes,
        .userns = engine_userns_cb,
        .userns_ctx = e,
    };
    struct err *r = image_import(&import, ret_id);
    if (!r) {
        engine_image_tell(e, ret_id, "import", NULL, NULL);
        dedup_image(e, ret_id);
    }
    image_ref_done(&ref);
    engine_collect(e, false);
    return r;
}

void engine_complete_images(struct engine *e, struct strv *out) {
    autostrmap struct strmap refs = {.n = 0};
    struct store *s;
    autoerr bad = engine_store(e, &s);
    if (bad)
        return;
    autoerr unread = store_refs(s, &refs);
    for (size_t i = 0; !unread && i < refs.n; i++)
        if (!strchr(refs.e[i].key, '@'))
            strv_push_take(out, image_ref_familiar(refs.e[i].key));
}
