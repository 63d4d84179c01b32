/* images: one row a name; an image without a name is one row with <none>. */
#include "cli/cli_int.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

struct opts {
    bool all, digests, no_trunc, quiet;
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
     .standing = CLI_REFUSED,
     .reason = "it arrives with a later release",
     .help = "List multi-platform images as a tree"},
    {.name = NULL},
};

static const char *const headers[][2] = {
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

/* Where the tag of "host:5000/name:tag" begins, or NULL. */
static const char *tag_of(const char *name) {
    const char *slash = strrchr(name, '/');
    return strrchr(slash ? slash : name, ':');
}

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

static void add_digest_rows(struct json *rows, const struct json *view, const struct opts *o, int64_t now) {
    size_t before = json_count(rows);
    JSON_EACH(d, json_get(view, "RepoDigests")) {
        const char *text = json_str_value(d), *at = text ? strchr(text, '@') : NULL;
        if (!at)
            continue;
        autofree char *repository = mem_dupn(text, (size_t)(at - text));
        const struct naming n = {repository, "<none>", at + 1};
        json_push(rows, row_of(view, &n, o, now));
    }
    const struct naming none = {"<none>", "<none>", "<none>"};
    if (json_count(rows) == before)
        json_push(rows, row_of(view, &none, o, now));
}

static bool reference_matches(const char *pattern, const char *name) {
    const char *colon = tag_of(name);
    autofree char *repository = colon ? mem_dupn(name, (size_t)(colon - name)) : mem_dup(name);
    return fnmatch(pattern, name, FNM_PATHNAME) == 0 || fnmatch(pattern, repository, FNM_PATHNAME) == 0;
}

struct query {
    struct strmap filters;
    int64_t before, since; /* seconds, 0: unset */
};

static bool image_matches(const struct query *q, const struct json *view) {
    const char *dangling = strmap_get(&q->filters, "dangling"), *labels = strmap_get(&q->filters, "label");
    int64_t created = json_int_value(json_get(view, "Created"), 0);
    bool is_dangling = json_count(json_get(view, "RepoTags")) == 0;
    if (dangling && is_dangling != (!strcmp(dangling, "true") || !strcmp(dangling, "1")))
        return false;
    return cli_labels_match(json_get(view, "Labels"), labels) && (!q->before || created < q->before) &&
           (!q->since || created > q->since);
}

static void add_rows(struct json *rows, const struct json *view, const struct query *q, const struct opts *o,
                     int64_t now) {
    autostrv struct strv wanted = {.n = 0};
    size_t tags = 0;
    cli_filter_values(&q->filters, "reference", &wanted);
    JSON_EACH(t, json_get(view, "RepoTags")) {
        const char *name = json_str_value(t), *colon = tag_of(name);
        size_t hits = 0;
        for (size_t i = 0; i < wanted.n; i++)
            hits += reference_matches(wanted.v[i], name);
        tags++;
        if (!colon || (wanted.n && !hits))
            continue;
        autofree char *repository = mem_dupn(name, (size_t)(colon - name));
        autofree char *digest = digest_in(view, repository);
        const struct naming n = {repository, colon + 1, digest};
        json_push(rows, row_of(view, &n, o, now));
    }
    if (!tags && !wanted.n)
        add_digest_rows(rows, view, o, now);
}

static struct err *created_of(struct cli_ctx *c, const char *name, int64_t *ret) {
    autojson image = NULL;
    TRY(engine_image_inspect(c->engine, name, &image));
    int64_t ns = 0;
    TRY(clock_parse_rfc3339(json_str_value(json_get(image, "Created")), &ns));
    *ret = ns / NSEC_PER_SEC;
    return NULL;
}

static const char *const filter_keys[] = {"before", "dangling", "label", "reference", "since", "until", NULL};

static struct err *prepare(struct cli_ctx *c, struct query *q) {
    const struct opts *o = c->opts;
    TRY(cli_filters_parse(&o->filter, filter_keys, &q->filters));
    if (c->n_args)
        strmap_set(&q->filters, "reference", c->args[0]);
    const char *before = strmap_get(&q->filters, "before"), *since = strmap_get(&q->filters, "since"),
               *until = strmap_get(&q->filters, "until");
    if (before)
        TRY(created_of(c, before, &q->before));
    if (since)
        TRY(created_of(c, since, &q->since));
    if (until) {
        int64_t ns = 0;
        TRY(clock_parse_since(until, clock_now(), &ns));
        q->before = ns / NSEC_PER_SEC;
    }
    return NULL;
}

static struct err *collect(struct cli_ctx *c, struct json *rows) {
    struct query q = {.before = 0};
    autojson list = NULL;
    struct err *e = prepare(c, &q);
    if (!e)
        e = engine_image_list(c->engine, &list);
    int64_t now = clock_now();
    JSON_EACH(v, e ? NULL : list)
    if (image_matches(&q, v))
        add_rows(rows, v, &q, c->opts, now);
    strmap_done(&q.filters);
    return e;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const struct cli_table table = {
        .default_format = o->digests
                              ? "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
                              : "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
        .headers = headers,
        .quiet_is_id = true,
    };
    autojson rows = json_array();
    TRY(collect(c, rows));
    return cli_render_rows(c, &table, rows, o->format, o->quiet);
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
