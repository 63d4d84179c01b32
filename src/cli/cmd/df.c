/* system df: what images, containers and volumes take up, and what of it prune would give back. */
#include "build/build.h"
#include "cli/cli_int.h"
#include "engine/observe.h"

#include <stddef.h>
#include <string.h>

struct opts {
    bool verbose;
    char *format;
};
#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "verbose",
     .letter = 'v',
     .type = CLI_BOOL,
     .offset = AT(verbose),
     .help = "Show detailed information on space usage"},
    {.name = NULL},
};

static void set_bytes(struct json *row, const char *key, int64_t bytes) {
    autostr struct str s = STR_INIT;
    cli_human_size(bytes, 4, &s);
    json_set_str(row, key, str_c(&s));
}

static void set_count(struct json *row, const char *key, int64_t n) {
    autostr struct str s = STR_INIT;
    str_appendf(&s, "%lld", (long long)n);
    json_set_str(row, key, str_c(&s));
}

/* ---- the summary ---- */

struct kind {
    const char *type;
    int64_t total, active, size, reclaimable;
    bool share; /* say the reclaimable part in per cent, too */
};

static struct json *kind_row(const struct kind *k) {
    struct json *row = json_object();
    autostr struct str reclaimable = STR_INIT;
    cli_human_size(k->reclaimable, 4, &reclaimable);
    if (k->share && k->size > 0)
        str_appendf(&reclaimable, " (%lld%%)", (long long)(k->reclaimable * 100 / k->size));
    set_count(row, "Active", k->active);
    json_set_str(row, "Reclaimable", str_c(&reclaimable));
    set_bytes(row, "Size", k->size);
    set_count(row, "TotalCount", k->total);
    json_set_str(row, "Type", k->type);
    return row;
}

static struct kind images_kind(struct engine *e, const struct json *usage) {
    struct kind k = {.type = "Images", .size = json_int_value(json_get(usage, "LayersSize"), 0), .share = true};
    int64_t used = 0, idmaps, unused;
    JSON_EACH(i, json_get(usage, "Images")) {
        k.total++;
        if (json_int_value(json_get(i, "Containers"), 0) == 0)
            continue;
        k.active++;
        used += json_int_value(json_get(i, "Size"), 0) - json_int_value(json_get(i, "SharedSize"), 0);
    }
    engine_idmaps_usage(e, &idmaps, &unused);
    k.reclaimable = (k.size > used ? k.size - used : 0) + unused; /* the size may have been brought below by dedup */
    k.size += idmaps;
    return k;
}

static struct kind containers_kind(const struct engine_rows *rows) {
    struct kind k = {.type = "Containers", .total = (int64_t)rows->n, .share = true};
    for (size_t i = 0; i < rows->n; i++) {
        k.active += rows->v[i]->alive;
        k.size += rows->v[i]->size_rw;
        k.reclaimable += rows->v[i]->alive ? 0 : rows->v[i]->size_rw;
    }
    return k;
}

static struct kind volumes_kind(const struct json *volumes) {
    struct kind k = {.type = "Local Volumes", .total = (int64_t)json_count(volumes), .share = true};
    JSON_EACH(v, volumes) {
        int64_t size = json_int_value(json_path(v, "UsageData.Size"), 0);
        bool used = json_int_value(json_path(v, "UsageData.RefCount"), 0) > 0;
        k.active += used;
        k.size += size;
        k.reclaimable += used ? 0 : size;
    }
    return k;
}

/* A layer that an image has, too, is counted there. */
static struct kind cache_kind(const struct json *cache) {
    struct kind k = {.type = "Build Cache", .total = (int64_t)json_count(cache)};
    JSON_EACH(it, cache) {
        bool shared = json_bool_value(json_get(it, "Shared"), false);
        bool in_use = json_bool_value(json_get(it, "InUse"), false);
        int64_t size = shared ? 0 : json_int_value(json_get(it, "Size"), 0);
        k.active += shared || in_use;
        k.size += size;
        k.reclaimable += in_use ? 0 : size;
    }
    return k;
}

static struct err *summary(struct cli_ctx *c, const struct json *usage, const struct engine_rows *containers,
                           const struct json *volumes, const struct json *cache) {
    static const char *const headers[][2] = {{"Type", "TYPE"}, {"TotalCount", "TOTAL"},        {"Active", "ACTIVE"},
                                             {"Size", "SIZE"}, {"Reclaimable", "RECLAIMABLE"}, {NULL, NULL}};
    const struct cli_table table = {.default_format =
                                        "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
                                    .headers = headers};
    const struct opts *o = c->opts;
    const struct kind kinds[] = {images_kind(c->engine, usage), containers_kind(containers), volumes_kind(volumes),
                                 cache_kind(cache)};
    autojson rows = json_array();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        json_push(rows, kind_row(&kinds[i]));
    return cli_render_rows(c, &table, rows, o->format, false);
}

/* ---- in detail ---- */

static struct json *image_row(const struct json *image, const char *name, int64_t now) {
    struct json *row = json_object();
    const char *colon = cli_tag_of(name);
    autofree char *repository = mem_dupn(name, colon ? (size_t)(colon - name) : strlen(name));
    autofree char *id = mem_dupn(json_text(image, "Id") + strlen("sha256:"), ID_SHORT_LEN);
    autostr struct str ago = STR_INIT;
    int64_t size = json_int_value(json_get(image, "Size"), 0);
    int64_t shared = json_int_value(json_get(image, "SharedSize"), 0);
    clock_format_ago(json_int_value(json_get(image, "Created"), 0) * NSEC_PER_SEC, now, &ago);
    json_set_str(row, "Repository", repository);
    json_set_str(row, "Tag", colon ? colon + 1 : "<none>");
    json_set_str(row, "ID", id);
    json_set_str(row, "CreatedSince", str_c(&ago));
    set_bytes(row, "Size", size);
    set_bytes(row, "SharedSize", shared);
    set_bytes(row, "UniqueSize", size - shared);
    set_count(row, "Containers", json_int_value(json_get(image, "Containers"), 0));
    return row;
}

/* A row a name; one without a name is there too. */
static struct json *image_rows(const struct json *usage, int64_t now) {
    struct json *rows = json_array();
    JSON_EACH(image, json_get(usage, "Images")) {
        JSON_EACH(tag, json_get(image, "RepoTags")) { json_push(rows, image_row(image, json_str_value(tag), now)); }
        if (json_count(json_get(image, "RepoTags")) == 0)
            json_push(rows, image_row(image, "<none>", now));
    }
    return rows;
}

static struct json *container_rows(const struct engine_rows *containers, int64_t now) {
    struct json *rows = json_array();
    for (size_t i = 0; i < containers->n; i++) {
        struct json *row = cli_container_row(containers->v[i], now);
        set_bytes(row, "Size", containers->v[i]->size_rw);
        json_push(rows, row);
    }
    return rows;
}

static struct json *volume_rows(const struct json *volumes) {
    struct json *rows = json_array();
    JSON_EACH(v, volumes) {
        struct json *row = json_object();
        json_set_str(row, "Name", json_text(v, "Name"));
        set_count(row, "Links", json_int_value(json_path(v, "UsageData.RefCount"), 0));
        set_bytes(row, "Size", json_int_value(json_path(v, "UsageData.Size"), 0));
        json_push(rows, row);
    }
    return rows;
}

static const char *const image_headers[][2] = {{"Repository", "REPOSITORY"},
                                               {"Tag", "TAG"},
                                               {"ID", "IMAGE ID"},
                                               {"CreatedSince", "CREATED"},
                                               {"Size", "SIZE"},
                                               {"SharedSize", "SHARED SIZE"},
                                               {"UniqueSize", "UNIQUE SIZE"},
                                               {"Containers", "CONTAINERS"},
                                               {NULL, NULL}};
static const char *const container_headers[][2] = {{"ID", "CONTAINER ID"},
                                                   {"Image", "IMAGE"},
                                                   {"Command", "COMMAND"},
                                                   {"LocalVolumes", "LOCAL VOLUMES"},
                                                   {"Size", "SIZE"},
                                                   {"RunningFor", "CREATED"},
                                                   {"Status", "STATUS"},
                                                   {"Names", "NAMES"},
                                                   {NULL, NULL}};
static const char *const volume_headers[][2] = {
    {"Name", "VOLUME NAME"}, {"Links", "LINKS"}, {"Size", "SIZE"}, {NULL, NULL}};
static const char *const cache_headers[][2] = {{"ID", "CACHE ID"},
                                               {"CacheType", "CACHE TYPE"},
                                               {"Size", "SIZE"},
                                               {"CreatedSince", "CREATED"},
                                               {"LastUsedSince", "LAST USED"},
                                               {"UsageCount", "USAGE"},
                                               {"Shared", "SHARED"},
                                               {NULL, NULL}};

static struct json *cache_rows(const struct json *cache, int64_t now) {
    struct json *rows = json_array();
    JSON_EACH(it, cache) {
        struct json *row = json_object();
        autostr struct str size = STR_INIT, created = STR_INIT, used = STR_INIT;
        autofree char *id = mem_dupn(json_text(it, "ID"), ID_SHORT_LEN);
        cli_human_size(json_int_value(json_get(it, "Size"), 0), 3, &size);
        clock_format_ago(json_int_value(json_get(it, "Created"), 0), now, &created);
        clock_format_ago(json_int_value(json_get(it, "LastUsed"), 0), now, &used);
        json_set_str(row, "ID", id);
        json_set_str(row, "CacheType", json_text(it, "Type"));
        json_set_str(row, "Description", json_text(it, "Step"));
        json_set_str(row, "Size", str_c(&size));
        json_set_str(row, "CreatedSince", str_c(&created));
        json_set_str(row, "LastUsedSince", str_c(&used));
        json_set_str(row, "UsageCount", "1");
        json_set_str(row, "Shared", json_bool_value(json_get(it, "Shared"), false) ? "true" : "false");
        json_push(rows, row);
    }
    return rows;
}

static const struct part {
    const char *key, *title;
    struct cli_table table;
} parts[] = {
    {"Images",
     "Images space usage:\n\n",
     {.default_format = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t"
                        "{{.UniqueSize}}\t{{.Containers}}",
      .headers = image_headers}},
    {"Containers",
     "\nContainers space usage:\n\n",
     {.default_format = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t"
                        "{{.Status}}\t{{.Names}}",
      .headers = container_headers}},
    {"Volumes",
     "\nLocal Volumes space usage:\n\n",
     {.default_format = "table {{.Name}}\t{{.Links}}\t{{.Size}}", .headers = volume_headers}},
    {"BuildCache",
     "\nBuild cache usage: %s\n\n",
     {.default_format = "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t"
                        "{{.UsageCount}}\t{{.Shared}}",
      .headers = cache_headers}},
};

/* With a format everything is one object for it. */
static struct err *detail(struct cli_ctx *c, const struct json *usage, const struct engine_rows *containers,
                          const struct json *volumes, const struct json *cache) {
    const struct opts *o = c->opts;
    int64_t now = clock_now();
    const struct kind cached = cache_kind(cache);
    autostr struct str cache_size = STR_INIT;
    autojson all = json_object();
    json_set(all, "Images", image_rows(usage, now));
    json_set(all, "Containers", container_rows(containers, now));
    json_set(all, "Volumes", volume_rows(volumes));
    json_set(all, "BuildCache", cache_rows(cache, now));
    if (o->format && *o->format && strcmp(o->format, "table") != 0)
        return cli_render_object(c, all, o->format);
    cli_human_size(cached.size, 4, &cache_size);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *title = parts[i].title, *size = strstr(title, "%s");
        fprintf(c->out, "%.*s%s%s", (int)(size ? (size_t)(size - title) : strlen(title)), title,
                size ? str_c(&cache_size) : "", size ? size + 2 : "");
        TRY(cli_render_rows(c, &parts[i].table, json_get(all, parts[i].key), NULL, false));
    }
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const struct engine_list every = {.all = true, .last = -1, .size = true};
    autojson usage = NULL;
    autojson volumes = NULL;
    autojson cache = NULL;
    autorows containers = {.n = 0};
    TRY(engine_image_usage(c->engine, &usage));
    TRY(engine_container_list(c->engine, &every, &containers));
    TRY(engine_volume_list(c->engine, true, &volumes));
    TRY(build_cache_list(c->engine, &cache));
    return o->verbose ? detail(c, usage, &containers, volumes, cache) : summary(c, usage, &containers, volumes, cache);
}

const struct cmd cmd_system_df = {
    .name = "df",
    .group = "system",
    .summary = "Show disk usage",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
