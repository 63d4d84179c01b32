/* Images: pull, list, inspect, tag, load, save, import. Removing is in image_remove.c. */
#include "engine/engine_int.h"

#include <string.h>

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
        autoerr gone = image_find(e->store, names->v[i], id, NULL);
        if (!gone)
            engine_image_tell(e, id, action, NULL, NULL);
    }
}

static void tell_pull(struct engine *e, const struct image_ref *ref, const struct image_pulled *p) {
    autofree char *familiar = image_ref_familiar(p->reference), *name = image_ref_familiar_name(ref);
    engine_image_tell(e, p->id, "pull", familiar, name);
}

struct err *engine_image_pull(struct engine *e, const struct engine_pull *p, struct image_pulled *ret) {
    struct image_ref ref = {.domain = NULL};
    TRY(image_ref_parse(p->reference, &ref));
    struct store *s = NULL;
    struct err *r = engine_store(e, &s);
    if (!r) {
        const struct image_pull pull = {
            .host = e->host,
            .config = e->config,
            .store = s,
            .ref = &ref,
            .platform = p->platform,
            .userns = engine_userns_cb,
            .userns_ctx = e,
            .progress = p->progress,
            .interrupted_fd = p->interrupted_fd,
        };
        r = image_pull(&pull, ret);
        if (!r)
            tell_pull(e, &ref, ret);
        engine_collect(e, false);
    }
    image_ref_done(&ref);
    return r;
}

struct err *engine_image_tag(struct engine *e, const char *source, const char *target) {
    struct store *s;
    TRY(engine_store(e, &s));
    struct image_ref ref = {.domain = NULL};
    TRY_CTX(image_ref_parse(target, &ref), "Error parsing reference: \"%s\" is not a valid repository/tag", target);
    autofree char *canonical = image_ref_canonical(&ref);
    bool by_digest = ref.digest != NULL;
    image_ref_done(&ref);
    if (by_digest)
        return err_new(ERR_USAGE, "refusing to create a tag with a digest reference");
    autofd int hold = -1;
    TRY(store_hold(s, &hold));
    char id[65] = "";
    TRY(image_find(s, source, id, NULL));
    TRY(store_ref_set(s, canonical, id));
    autofree char *familiar = image_ref_familiar(canonical);
    engine_image_tell(e, id, "tag", NULL, familiar);
    return NULL;
}

struct err *engine_image_load(struct engine *e, int fd, const char *platform, struct image_progress_fn progress,
                              struct strv *ret_references, struct strv *ret_ids) {
    struct store *s;
    TRY(engine_store(e, &s));
    const struct image_load load = {
        .store = s,
        .fd = fd,
        .platform = platform,
        .userns = engine_userns_cb,
        .userns_ctx = e,
        .progress = progress,
    };
    struct err *r = image_load(&load, ret_references, ret_ids);
    for (size_t i = 0; !r && i < ret_ids->n; i++)
        engine_image_tell(e, ret_ids->v[i], "load", NULL, NULL);
    if (!r)
        tell_named(e, ret_references, "load");
    engine_collect(e, false);
    return r;
}

struct err *engine_image_save(struct engine *e, const struct strv *names, int fd) {
    struct store *s;
    TRY(engine_store(e, &s));
    TRY(image_save(s, names, fd));
    tell_named(e, names, "save");
    return NULL;
}

struct err *engine_image_import(struct engine *e, const struct engine_import *i, char ret_id[65]) {
    struct store *s;
    TRY(engine_store(e, &s));
    struct image_ref ref = {.domain = NULL};
    if (i->reference)
        TRY(image_ref_parse(i->reference, &ref));
    const struct image_import import = {
        .store = s,
        .host = e->host,
        .fd = i->fd,
        .ref = i->reference ? &ref : NULL,
        .message = i->message,
        .platform = i->platform,
        .changes = i->changes,
        .userns = engine_userns_cb,
        .userns_ctx = e,
    };
    struct err *r = image_import(&import, ret_id);
    if (!r)
        engine_image_tell(e, ret_id, "import", NULL, NULL);
    image_ref_done(&ref);
    engine_collect(e, false);
    return r;
}

/* Splits an image's references into docker's RepoTags and RepoDigests. */
static void names_of(const struct strmap *refs, const char *id, struct json *tags, struct json *digests) {
    for (size_t i = 0; i < refs->n; i++) {
        if (strcmp(refs->e[i].value, id) != 0)
            continue;
        autofree char *familiar = image_ref_familiar(refs->e[i].key);
        json_push_str(strchr(refs->e[i].key, '@') ? digests : tags, familiar);
    }
}

static struct json *digest_json(const char *hex) {
    autofree char *d = mem_printf("sha256:%s", hex);
    return json_string(d);
}

struct image_row {
    int64_t created;
    struct json *row; /* owned until pushed */
};

static struct json *summary_of(const struct store *s, const struct store_image *img, const struct strmap *refs) {
    struct json *row = json_object(), *tags = json_array(), *digests = json_array();
    names_of(refs, img->id, tags, digests);
    json_set_int(row, "Containers", -1);
    json_set_int(row, "Created", img->created / NSEC_PER_SEC);
    json_set(row, "Id", digest_json(img->id));
    autojson config = NULL;
    autoerr bad = image_config(s, img, &config);
    struct json *labels = bad ? NULL : json_copy(json_path(config, "config.Labels"));
    json_set(row, "Labels", labels ? labels : json_null());
    json_set_str(row, "ParentId", "");
    json_set(row, "RepoDigests", digests);
    json_set(row, "RepoTags", tags);
    json_set_int(row, "SharedSize", -1);
    json_set_int(row, "Size", img->size);
    return row;
}

static int newest_first(const void *a, const void *b) {
    return engine_newest_first(((const struct image_row *)a)->created, ((const struct image_row *)b)->created);
}

struct err *engine_image_list(struct engine *e, struct json **ret) {
    struct store *s;
    TRY(engine_store(e, &s));
    autostrv struct strv ids = {.n = 0};
    autostrmap struct strmap refs = {.n = 0};
    TRY(store_image_ids(s, &ids));
    TRY(store_refs(s, &refs));
    struct image_row *rows = mem_array(ids.n + 1, sizeof *rows);
    size_t n = 0;
    for (size_t i = 0; i < ids.n; i++) {
        struct store_image *img = NULL;
        autoerr bad = store_image_get(s, ids.v[i], &img);
        if (bad) {
            log_warn("image %.12s is damaged and was skipped", ids.v[i]);
            continue;
        }
        rows[n++] = (struct image_row){.created = img->created, .row = summary_of(s, img, &refs)};
        store_image_free(img);
    }
    qsort(rows, n, sizeof *rows, newest_first);
    struct json *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_push(list, rows[i].row);
    free(rows);
    *ret = list;
    return NULL;
}

/* docker's Config object has every member; an image's config has only those that were set. */
static void inspect_config(struct json *out, const struct json *config) {
    static const char *const keep[] = {
        "Hostname",   "Domainname", "User",    "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty",
        "OpenStdin",  "StdinOnce",  "Env",     "Cmd",         "Healthcheck",  "ArgsEscaped",  "Image",        "Volumes",
        "WorkingDir", "Entrypoint", "OnBuild", "Labels",      "StopSignal",   "Shell"};
    struct json *c = json_object();
    for (size_t i = 0; i < ARRAY_LEN(keep); i++) {
        struct json *v = json_get(json_get(config, "config"), keep[i]);
        if (v)
            json_set(c, keep[i], json_copy(v));
    }
    json_set(out, "Config", c);
}

static void inspect_layers(struct json *out, const struct store_image *img) {
    struct json *root = json_object(), *layers = json_array();
    json_set_str(root, "Type", "layers");
    for (size_t i = 0; i < img->n_layers; i++)
        json_push_str(layers, img->layers[i].diff_id);
    json_set(root, "Layers", layers);
    json_set(out, "RootFS", root);
}

static struct err *inspect_image(struct store *s, const struct store_image *img, struct json **ret) {
    autostrmap struct strmap refs = {.n = 0};
    TRY(store_refs(s, &refs));
    autojson config = NULL;
    TRY(image_config(s, img, &config));
    struct json *o = json_object(), *tags = json_array(), *digests = json_array();
    names_of(&refs, img->id, tags, digests);
    json_set(o, "Id", digest_json(img->id));
    json_set(o, "RepoTags", tags);
    json_set(o, "RepoDigests", digests);
    json_set_str(o, "Parent", "");
    const char *comment = json_str_value(json_get(config, "comment"));
    json_set_str(o, "Comment", comment ? comment : "");
    autostr struct str created = STR_INIT;
    clock_format_rfc3339(img->created, &created);
    json_set_str(o, "Created", str_c(&created));
    json_set_str(o, "DockerVersion", "");
    const char *author = json_str_value(json_get(config, "author"));
    json_set_str(o, "Author", author ? author : "");
    inspect_config(o, config);
    json_set_str(o, "Architecture", img->arch);
    if (img->variant && *img->variant)
        json_set_str(o, "Variant", img->variant);
    json_set_str(o, "Os", img->os);
    json_set_int(o, "Size", img->size);
    struct json *driver = json_object();
    json_set_str(driver, "Name", "overlay2");
    json_set(driver, "Data", json_object());
    json_set(o, "GraphDriver", driver);
    inspect_layers(o, img);
    json_set(o, "Metadata", json_object());
    *ret = o;
    return NULL;
}

struct err *engine_image_inspect(struct engine *e, const char *name, struct json **ret) {
    struct store *s;
    TRY(engine_store(e, &s));
    char id[65] = "";
    TRY(image_find(s, name, id, NULL));
    struct store_image *img = NULL;
    TRY(store_image_get(s, id, &img));
    struct err *r = inspect_image(s, img, ret);
    store_image_free(img);
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
