/* images: one row a name; an image without a name is one row with <none>. */
#include "cli/cli_int.h"
#include "engine/observe.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

struct opts {
    bool all, digests, no_trunc, quiet, tree;
    char *format;
    struct strv filter;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "all",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(all),
     .help = "Show all images (there are no intermediate ones to hide)"},
    {.name = "digests", .type = CLI_BOOL, .offset = AT(digests), .help = "Show digests"},
    {.name = "filter",
     .letter = 'f',
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "Filter output based on conditions provided"},
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "no-trunc", .type = CLI_BOOL, .offset = AT(no_trunc), .help = "Don't truncate output"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Only show image IDs"},
    {.name = "tree",
     .type = CLI_BOOL,
     .offset = AT(tree),
     .help = "List images as a tree: names, then the platform that is stored"},
    {.name = NULL},
};

/* The first is podman's: docker's rows have it only for who asks. */
static const char *const headers[][2] = {
    {"ReadOnly", "R/O"},
    {"ID", "IMAGE ID"},
    {"Repository", "REPOSITORY"},
    {"Tag", "TAG"},
    {"Digest", "DIGEST"},
    {"CreatedSince", "CREATED"},
    {"CreatedAt", "CREATED AT"},
    {"Size", "SIZE"},
    {"Containers", "CONTAINERS"},
    {"SharedSize", "SHARED SIZE"},
    {"UniqueSize", "UNIQUE SIZE"},
    {"VirtualSize", "SIZE"},
    {NULL, NULL},
};

static void set_times(struct json *row, int64_t seconds, int64_t now) {
    autostr struct str at = STR_INIT;
    autostr struct str ago = STR_INIT;
    cli_created_at(seconds * NSEC_PER_SEC, &at);
    json_set_str(row, "CreatedAt", str_c(&at));
    if (seconds > 0)
        clock_format_ago(seconds * NSEC_PER_SEC, now, &ago);
    else
        str_append(&ago, "N/A");
    json_set_str(row, "CreatedSince", str_c(&ago));
}

static bool wants_read_only(const struct opts *o) { return o->format && strstr(o->format, "ReadOnly"); }

/* Whether the image is in an additional image store: read-only here. */
static bool is_read_only(const struct json *view) { return json_bool_value(json_get(view, "ReadOnly"), false); }

struct naming {
    const char *repository, *tag, *digest;
};

static struct json *row_of(const struct json *view, const struct naming *n, const struct opts *o, int64_t now) {
    struct json *row = json_object();
    const char *id = json_str_value(json_get(view, "Id"));
    autofree char *short_id = o->no_trunc ? mem_dup(id) : mem_dupn(id + strlen("sha256:"), ID_SHORT_LEN);
    autostr struct str size = STR_INIT;
    cli_human_size(json_int_value(json_get(view, "Size"), 0), 3, &size);
    json_set_str(row, "Containers", "N/A");
    set_times(row, json_int_value(json_get(view, "Created"), 0), now);
    json_set_str(row, "Digest", n->digest);
    json_set_str(row, "ID", short_id);
    if (wants_read_only(o))
        json_set_str(row, "ReadOnly", is_read_only(view) ? "true" : "false");
    json_set_str(row, "Repository", n->repository);
    json_set_str(row, "SharedSize", "N/A");
    json_set_str(row, "Size", str_c(&size));
    json_set_str(row, "Tag", n->tag);
    json_set_str(row, "UniqueSize", "N/A");
    json_set_str(row, "VirtualSize", str_c(&size));
    return row;
}

/* The digest under which `repository` knows the image, or <none>. Owned. */
static char *digest_in(const struct json *view, const char *repository) {
    JSON_EACH(d, json_get(view, "RepoDigests")) {
        const char *text = json_str_value(d), *at = text ? strchr(text, '@') : NULL;
        if (at && strlen(repository) == (size_t)(at - text) && !memcmp(text, repository, (size_t)(at - text)))
            return mem_dup(at + 1);
    }
    return mem_dup("<none>");
}

/* docker's pattern of a reference is met by the whole of it, and by its repository. */
static bool reference_matches(const char *pattern, const char *name) {
    const char *at = strchr(name, '@'), *end = at ? at : cli_tag_of(name);
    autofree char *repository = end ? mem_dupn(name, (size_t)(end - name)) : mem_dup(name);
    return fnmatch(pattern, name, FNM_PATHNAME) == 0 || fnmatch(pattern, repository, FNM_PATHNAME) == 0;
}

/* No pattern at all is met by everything. */
static bool any_matches(const struct strv *patterns, const char *name) {
    for (size_t i = 0; i < patterns->n; i++)
        if (reference_matches(patterns->v[i], name))
            return true;
    return patterns->n == 0;
}

static void add_digest_rows(struct json *rows, const struct json *view, const struct strv *wanted, const struct opts *o,
                            int64_t now) {
    size_t before = json_count(rows);
    JSON_EACH(d, json_get(view, "RepoDigests")) {
        const char *text = json_str_value(d), *at = text ? strchr(text, '@') : NULL;
        if (!at || !any_matches(wanted, text))
            continue;
        autofree char *repository = mem_dupn(text, (size_t)(at - text));
        const struct naming n = {repository, "<none>", at + 1};
        json_push(rows, row_of(view, &n, o, now));
    }
    const struct naming none = {"<none>", "<none>", "<none>"};
    if (json_count(rows) == before && !wanted->n)
        json_push(rows, row_of(view, &none, o, now));
}

struct query {
    struct strmap filters;
    struct strv references; /* patterns: one of them is to be met */
    int64_t before, since;  /* seconds, 0: unset */
    int dangling;           /* -1: both */
    int read_only;          /* -1: both */
};

static void query_done(struct query *q) {
    strmap_done(&q->filters);
    strv_done(&q->references);
}
#define autoquery __attribute__((cleanup(query_done))) struct query

static bool image_matches(const struct query *q, const struct json *view) {
    int64_t created = json_int_value(json_get(view, "Created"), 0);
    bool is_dangling = json_count(json_get(view, "RepoTags")) == 0;
    if (q->dangling >= 0 && is_dangling != (q->dangling > 0))
        return false;
    if (q->read_only >= 0 && is_read_only(view) != (q->read_only > 0))
        return false;
    return cli_labels_match(json_get(view, "Labels"), strmap_get(&q->filters, "label")) &&
           (!q->before || created < q->before) && (!q->since || created > q->since);
}

static void add_rows(struct json *rows, const struct json *view, const struct query *q, const struct opts *o,
                     int64_t now) {
    size_t tags = 0;
    JSON_EACH(t, json_get(view, "RepoTags")) {
        const char *name = json_str_value(t), *colon = cli_tag_of(name);
        tags++;
        if (!colon || !any_matches(&q->references, name))
            continue;
        autofree char *repository = mem_dupn(name, (size_t)(colon - name));
        autofree char *digest = digest_in(view, repository);
        const struct naming n = {repository, colon + 1, digest};
        json_push(rows, row_of(view, &n, o, now));
    }
    if (!tags)
        add_digest_rows(rows, view, &q->references, o, now);
}

static struct err *created_of(struct cli_ctx *c, const char *name, int64_t *ret) {
    autojson image = NULL;
    TRY(engine_image_inspect(c->engine, name, NULL, &image));
    int64_t ns = 0;
    TRY(clock_parse_rfc3339(json_str_value(json_get(image, "Created")), &ns));
    *ret = ns / NSEC_PER_SEC;
    return NULL;
}

static const char *const filter_keys[] = {"before",    "dangling", "label", "readonly",
                                          "reference", "since",    "until", NULL};

static struct err *parse_truth(const char *key, const char *text, int *ret) {
    bool truth = false;
    if (!str_to_truth(text, &truth))
        return err_new(ERR_USAGE, "invalid filter '%s=%s'", key, text);
    *ret = truth;
    return NULL;
}

static struct err *prepare(struct cli_ctx *c, struct query *q) {
    const struct opts *o = c->opts;
    TRY(cli_filters_parse(&o->filter, filter_keys, &q->filters));
    const char *before = strmap_get(&q->filters, "before"), *since = strmap_get(&q->filters, "since"),
               *until = strmap_get(&q->filters, "until"), *dangling = strmap_get(&q->filters, "dangling");
    const char *read_only = strmap_get(&q->filters, "readonly");
    cli_filter_values(&q->filters, "reference", &q->references);
    if (c->n_args)
        strv_push(&q->references, c->args[0]);
    if (dangling)
        TRY(parse_truth("dangling", dangling, &q->dangling));
    if (read_only)
        TRY(parse_truth("readonly", read_only, &q->read_only));
    if (before)
        TRY(created_of(c, before, &q->before));
    if (since)
        TRY(created_of(c, since, &q->since));
    if (until) {
        int64_t ns = 0;
        TRY(clock_parse_since(until, clock_now(), &ns));
        q->before = !q->before || ns / NSEC_PER_SEC < q->before ? ns / NSEC_PER_SEC : q->before;
    }
    return NULL;
}

static struct err *print_list(struct cli_ctx *c, const struct query *q) {
    const struct opts *o = c->opts;
    const struct cli_table table = {
        .default_format = o->digests
                              ? "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
                              : "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
        .headers = wants_read_only(o) ? headers : headers + 1,
        .quiet_is_id = true,
    };
    autojson list = NULL;
    autojson rows = json_array();
    int64_t now = clock_now();
    TRY(engine_image_list(c->engine, &list));
    JSON_EACH(v, list)
    if (image_matches(q, v))
        add_rows(rows, v, q, o, now);
    return cli_render_rows(c, &table, rows, o->format, o->quiet);
}

/* ---- --tree ---- */

static struct err *tree_options(const struct opts *o) {
    const char *other = o->quiet      ? "quiet"
                        : o->no_trunc ? "no-trunc"
                        : o->digests  ? "show-digest"
                        : o->format   ? "format"
                                      : NULL;
    return other ? err_new(ERR_USAGE, "--%s is not yet supported with --tree", other) : NULL;
}

/* Its names as far as they were asked for; none: it is not to be shown. */
static void tree_names(const struct json *view, const struct query *q, struct strv *names) {
    JSON_EACH(t, json_get(view, "RepoTags"))
    if (any_matches(&q->references, json_str_value(t)))
        strv_push(names, json_str_value(t));
    if (!names->n && !json_count(json_get(view, "RepoTags")) && !q->references.n)
        strv_push(names, "<untagged>");
}

/* Names one below the other, the first one with the figures; then the platform that is stored, with its manifest. */
static struct err *add_tree(struct cli_ctx *c, struct json *rows, const struct json *view, const struct query *q) {
    autojson content = NULL;
    autostrv struct strv names = {.n = 0};
    autostr struct str disk = STR_INIT, blobs = STR_INIT;
    const char *id = json_text(view, "Id");
    bool used = json_int_value(json_get(view, "Containers"), 0) > 0;
    tree_names(view, q, &names);
    if (!names.n)
        return NULL;
    struct err *gone = engine_image_content(c->engine, id, &content);
    if (gone && err_kind(gone) == ERR_NOT_FOUND) { /* removed since it was listed */
        err_free(gone);
        return NULL;
    }
    TRY(gone);
    const char *manifest = json_text(content, "Manifest");
    cli_human_size(json_int_value(json_get(view, "Size"), 0), 3, &disk);
    cli_human_size(json_int_value(json_get(content, "ContentSize"), 0), 3, &blobs);
    strv_pushf(&names, "└─ %s", json_text(content, "Platform"));
    for (size_t i = 0; i < names.n; i++) {
        struct json *row = json_object();
        bool figures = i == 0 || i + 1 == names.n;
        autofree char *shown =
            mem_dupn((i && *manifest ? manifest : id) + strlen("sha256:"), figures ? ID_SHORT_LEN : 0);
        json_set_str(row, "Image", names.v[i]);
        json_set_str(row, "ID", shown);
        json_set_str(row, "DiskUsage", figures ? str_c(&disk) : "");
        json_set_str(row, "ContentSize", figures ? str_c(&blobs) : "");
        json_set_str(row, "Extra", figures && used ? "U" : "");
        json_push(rows, row);
    }
    return NULL;
}

static struct err *print_tree(struct cli_ctx *c, const struct query *q) {
    static const char *const columns[][2] = {{"Image", "IMAGE"},          {"ID", "ID"},
                                             {"DiskUsage", "DISK USAGE"}, {"ContentSize", "CONTENT SIZE"},
                                             {"Extra", "EXTRA"},          {NULL, NULL}};
    const struct cli_table table = {.default_format =
                                        "table {{.Image}}\t{{.ID}}\t{{.DiskUsage}}\t{{.ContentSize}}\t{{.Extra}}",
                                    .headers = columns};
    autojson usage = NULL;
    autojson rows = json_array();
    TRY(engine_image_usage(c->engine, &usage));
    JSON_EACH(v, json_get(usage, "Images"))
    if (image_matches(q, v))
        TRY(add_tree(c, rows, v, q));
    return cli_render_rows(c, &table, rows, NULL, false);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autoquery q = {.dangling = -1, .read_only = -1};
    if (o->tree)
        TRY(tree_options(o));
    TRY(prepare(c, &q));
    return o->tree ? print_tree(c, &q) : print_list(c, &q);
}

const struct cmd cmd_images = {
    .name = "images",
    .group = "image",
    .group_name = "ls",
    .aliases = "list",
    .top_level = true,
    .summary = "List images",
    .usage = "[OPTIONS] [REPOSITORY[:TAG]]",
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
