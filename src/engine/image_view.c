/* What images look like: the list, and one of them: inspect, history, content. See images.h. */
#include "engine/engine_int.h"
#include "storage/shared.h"

#include <string.h>

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
    if (store_image_shared(s, img->id))
        json_set_bool(row, "ReadOnly", true);
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
    TRY(store_shared_image_ids(s, &ids));
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

/* ---- one of them: inspect ---- */

/* What the image says about its containers; only what was set is there. */
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

/* Where the layers lie, under docker's names: the topmost one is the upper directory, the others follow below it. What
 * docker would mount for a look at the image is not there: nothing is mounted for images. */
static void inspect_driver(struct json *out, struct engine *e, const struct store_image *img) {
    struct json *driver = json_object(), *data = json_object();
    autostr struct str lower = STR_INIT;
    for (size_t i = img->n_layers; i-- > 0;) {
        const char *hex = digest_hex(img->layers[i].chain_id);
        autofree char *dir = mem_printf("%s/layers/%s/diff", store_root(e->store), hex);
        if (i + 1 == img->n_layers)
            json_set_str(data, "UpperDir", dir);
        else
            str_appendf(&lower, "%s%s", lower.len ? ":" : "", dir);
    }
    if (lower.len)
        json_set_str(data, "LowerDir", str_c(&lower));
    json_set(driver, "Data", data);
    json_set_str(driver, "Name", engine_driver_name(e));
    json_set(out, "GraphDriver", driver);
}

/* When the newest of its names was given. */
static void inspect_metadata(struct json *out, const struct store *s, const struct strmap *refs, const char *id) {
    struct json *metadata = json_object();
    autostr struct str at = STR_INIT;
    int64_t last = 0;
    for (size_t i = 0; i < refs->n; i++) {
        int64_t t = str_eq(refs->e[i].value, id) ? store_ref_time(s, refs->e[i].key) : 0;
        last = t > last ? t : last;
    }
    clock_format_rfc3339(last, &at);
    json_set_str(metadata, "LastTagTime", str_c(&at));
    json_set(out, "Metadata", metadata);
}

static void inspect_descriptor(struct json *out, const struct store *s, const struct store_image *img) {
    autofd int fd = -1;
    int64_t size = 0;
    autoerr gone = img->manifest ? store_blob_open(s, img->manifest, &fd, &size) : NULL;
    if (gone || !img->manifest)
        return;
    struct json *d = json_object();
    json_set_str(d, "mediaType", img->manifest_type);
    json_set_str(d, "digest", img->manifest);
    json_set_int(d, "size", size);
    json_set(out, "Descriptor", d);
}

static void inspect_platform(struct json *out, const struct store_image *img, const struct json *config) {
    json_set_str(out, "Architecture", img->arch);
    if (img->variant && *img->variant)
        json_set_str(out, "Variant", img->variant);
    json_set_str(out, "Os", img->os);
    if (*json_text(config, "os.version"))
        json_set_str(out, "OsVersion", json_text(config, "os.version"));
}

static struct err *inspect_image(struct engine *e, const struct store_image *img, struct json **ret) {
    struct store *s = e->store;
    autostrmap struct strmap refs = {.n = 0};
    autojson config = NULL;
    autostr struct str created = STR_INIT;
    TRY(store_refs(s, &refs));
    TRY(image_config(s, img, &config));
    struct json *o = json_object(), *tags = json_array(), *digests = json_array();
    names_of(&refs, img->id, tags, digests);
    clock_format_rfc3339(img->created, &created);
    json_set(o, "Id", digest_json(img->id));
    json_set(o, "RepoTags", tags);
    json_set(o, "RepoDigests", digests);
    json_set_str(o, "Parent", "");
    json_set_str(o, "Comment", json_text(config, "comment"));
    json_set_str(o, "Created", str_c(&created));
    json_set_str(o, "DockerVersion", json_text(config, "docker_version"));
    json_set_str(o, "Author", json_text(config, "author"));
    inspect_config(o, config);
    inspect_platform(o, img, config);
    json_set_int(o, "Size", img->size);
    inspect_driver(o, e, img);
    inspect_layers(o, img);
    inspect_metadata(o, s, &refs, img->id);
    inspect_descriptor(o, s, img);
    *ret = o;
    return NULL;
}

/* An image is stored for one platform: another one that is asked for is not there. */
struct err *engine_image_platform_check(const struct engine *e, const char *name, const struct store_image *img,
                                        const char *platform) {
    struct image_platform p = {.os = NULL};
    if (!platform || !*platform)
        return NULL;
    TRY(image_platform_parse(e->host, platform, &p));
    bool same = image_platform_suits(&p, img->os, img->arch, img->variant);
    image_platform_done(&p);
    if (same)
        return NULL;
    return err_hint(
        err_new(ERR_NOT_FOUND,
                "image with reference %s was found but its platform (%s/%s%s%s) does not match the specified platform "
                "(%s)",
                name, img->os, img->arch, img->variant && *img->variant ? "/" : "", img->variant ? img->variant : "",
                platform),
        "run 'coracle pull --platform %s %s'", platform, name);
}

/* The image of that name; freed by the caller. */
static struct err *find_image(struct engine *e, const char *name, const char *platform, struct store_image **ret) {
    struct store *s;
    struct store_image *img = NULL;
    char id[65] = "";
    autofree char *reference = NULL;
    TRY(engine_store(e, &s));
    TRY(engine_image_find(e, name, id, &reference));
    TRY(image_get(s, id, reference, &img));
    struct err *bad = engine_image_platform_check(e, name, img, platform);
    if (bad) {
        store_image_free(img);
        return bad;
    }
    *ret = img;
    return NULL;
}

struct err *engine_image_inspect(struct engine *e, const char *name, const char *platform, struct json **ret) {
    struct store_image *img = NULL;
    TRY(find_image(e, name, platform, &img));
    struct err *bad = inspect_image(e, img, ret);
    store_image_free(img);
    return bad;
}

struct err *engine_image_manifest(struct engine *e, const char *name, const char *platform, struct str *out) {
    struct store_image *img = NULL;
    TRY(find_image(e, name, platform, &img));
    struct err *bad = img->manifest ? store_blob_read(e->store, img->manifest, JSON_SIZE_MAX, out)
                                    : err_hint(err_new(ERR_NOT_FOUND, "image %s has no manifest", name),
                                               "it gets one when it is pushed or saved");
    store_image_free(img);
    return bad;
}

/* ---- one of them: history, content ---- */

static struct json *history_entry(const struct json *h, int64_t size) {
    struct json *o = json_object();
    int64_t created = 0;
    err_free(clock_parse_rfc3339(json_text(h, "created"), &created)); /* undated: docker's zero time */
    json_set_str(o, "Id", "<missing>");
    json_set_int(o, "Created", created / NSEC_PER_SEC);
    json_set_str(o, "CreatedBy", json_text(h, "created_by"));
    json_set(o, "Tags", json_null());
    json_set_int(o, "Size", size);
    json_set_str(o, "Comment", json_text(h, "comment"));
    return o;
}

/* The config's entries, oldest first, each with the layer that it made. Images whose makers left out entries have
 * layers that nothing is known of: they are listed, too, so that the sizes add up. */
static size_t history_rows(const struct json *config, const struct store_image *img, struct json **rows) {
    size_t n = 0, layer = 0;
    JSON_EACH(h, json_get(config, "history")) {
        bool empty = json_bool_value(json_get(h, "empty_layer"), false) || layer >= img->n_layers;
        rows[n++] = history_entry(h, empty ? 0 : img->layers[layer++].diff_size);
    }
    for (; layer < img->n_layers; layer++)
        rows[n++] = history_entry(NULL, img->layers[layer].diff_size);
    return n;
}

static struct err *history_of(struct store *s, const struct store_image *img, struct json **ret) {
    autojson config = NULL;
    autostrmap struct strmap refs = {.n = 0};
    TRY(image_config(s, img, &config));
    TRY(store_refs(s, &refs));
    struct json *list = json_array(), *tags = json_array(), *digests = json_array();
    struct json **rows = mem_array(json_count(json_get(config, "history")) + img->n_layers + 1, sizeof(struct json *));
    names_of(&refs, img->id, tags, digests);
    json_free(digests);
    size_t n = history_rows(config, img, rows);
    if (n)
        json_set(rows[n - 1], "Id", digest_json(img->id));
    if (n && json_count(tags))
        json_set(rows[n - 1], "Tags", json_copy(tags));
    json_free(tags);
    while (n > 0)
        json_push(list, rows[--n]);
    free(rows);
    *ret = list;
    return NULL;
}

struct err *engine_image_history(struct engine *e, const char *name, const char *platform, struct json **ret) {
    struct store_image *img = NULL;
    TRY(find_image(e, name, platform, &img));
    struct err *bad = history_of(e->store, img, ret);
    store_image_free(img);
    return bad;
}

struct err *engine_image_content(struct engine *e, const char *name, struct json **ret) {
    struct store_image *img = NULL;
    TRY(find_image(e, name, NULL, &img));
    struct json *o = json_object();
    int64_t size = 0;
    for (size_t i = 0; i < img->n_layers; i++)
        size += img->layers[i].size;
    const char *const small[] = {img->config, img->manifest};
    for (size_t i = 0; i < ARRAY_LEN(small); i++) {
        autofd int fd = -1;
        int64_t bytes = 0;
        autoerr gone = small[i] ? store_blob_open(e->store, small[i], &fd, &bytes) : NULL;
        size += gone ? 0 : bytes;
    }
    json_set_int(o, "ContentSize", size);
    autofree char *platform = mem_printf("%s/%s%s%s", img->os, img->arch, img->variant && *img->variant ? "/" : "",
                                         img->variant ? img->variant : "");
    json_set_str(o, "Platform", platform);
    if (img->manifest)
        json_set_str(o, "Manifest", img->manifest);
    store_image_free(img);
    *ret = o;
    return NULL;
}
