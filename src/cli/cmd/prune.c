/* prune: containers, images, networks, volumes, and all of them with the cache of builds. docker asks first, and says
 * what was freed. */
#include "cli/cli_int.h"
#include "engine/observe.h"

#include <stddef.h>
#include <string.h>

#include "build/build.h"

struct opts {
    bool all, force, volumes;
    struct strv filter;
};
#define AT(m) offsetof(struct opts, m)

#define FLAG_FILTER                                                                                                    \
    {                                                                                                                  \
        .name = "filter", .type = CLI_FILTER, .offset = AT(filter),                                                    \
        .help = "Provide filter values (e.g. \"until=<timestamp>\", \"label=<key>=<value>\")"                          \
    }
#define FLAG_FORCE                                                                                                     \
    { .name = "force", .letter = 'f', .type = CLI_BOOL, .offset = AT(force), .help = "Do not prompt for confirmation" }

static const struct cli_flag plain_flags[] = {FLAG_FILTER, FLAG_FORCE, {.name = NULL}};
static const struct cli_flag image_flags[] = {
    {.name = "all",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(all),
     .help = "Remove all unused images, not just dangling ones"},
    FLAG_FILTER,
    FLAG_FORCE,
    {.name = NULL},
};
static const struct cli_flag volume_flags[] = {
    {.name = "all",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(all),
     .help = "Remove all unused volumes, not just anonymous ones"},
    {.name = "filter",
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "Provide filter values (e.g. \"label=<label>\")"},
    FLAG_FORCE,
    {.name = NULL},
};
static const struct cli_flag system_flags[] = {
    {.name = "all",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(all),
     .help = "Remove all unused images not just dangling ones"},
    FLAG_FILTER,
    FLAG_FORCE,
    {.name = "volumes", .type = CLI_BOOL, .offset = AT(volumes), .help = "Prune anonymous volumes"},
    {.name = NULL},
};

/* ---- what is wanted ---- */

struct prune {
    struct cli_ctx *c;
    bool all, all_volumes;
    struct strmap filters;
    int64_t until;
    int64_t freed;
    struct str report; /* of one kind of objects; printed with a blank line behind it */
};

static void prune_done(struct prune *p) {
    strmap_done(&p->filters);
    str_done(&p->report);
}
#define autoprune __attribute__((cleanup(prune_done))) struct prune

static struct err *prune_init(struct cli_ctx *c, const char *const *keys, struct prune *p) {
    static const char *const common[] = {"label", "label!", "until", NULL};
    const struct opts *o = c->opts;
    *p = (struct prune){.c = c, .all = o->all, .until = INT64_MAX};
    TRY(cli_filters_parse(&o->filter, keys ? keys : common, &p->filters));
    const char *until = strmap_get(&p->filters, "until");
    if (until && strchr(until, '\n'))
        return err_new(ERR_USAGE, "more than one until filter specified");
    return until ? clock_parse_since(until, clock_now(), &p->until) : NULL;
}

/* "label!=x" keeps what has one of those labels. */
static bool wanted(const struct prune *p, const struct json *labels, int64_t created) {
    autostrv struct strv kept = {.n = 0};
    cli_filter_values(&p->filters, "label!", &kept);
    for (size_t i = 0; i < kept.n; i++)
        if (cli_labels_match(labels, kept.v[i]))
            return false;
    return created < p->until && cli_labels_match(labels, strmap_get(&p->filters, "label"));
}

static bool confirmed(struct cli_ctx *c, const char *warning) {
    const struct opts *o = c->opts;
    return o->force || cli_confirm(c, warning);
}

static void print_report(struct prune *p) {
    if (p->report.len)
        fprintf(p->c->out, "%s\n", str_c(&p->report));
    str_clear(&p->report);
}

/* The last of a prune: what killed commands have left goes as well, and what was only kept by what is gone now. */
static void print_total(const struct prune *p) {
    autostr struct str size = STR_INIT;
    engine_sweep(p->c->engine);
    cli_human_size(p->freed, 4, &size);
    fprintf(p->c->out, "Total reclaimed space: %s\n", str_c(&size));
}

/* ---- kinds of objects ---- */

/* Of a removal: what somebody has taken, named, started or removed since it was listed is not for us, and stays in
 * *e for the caller to see. Anything else is an error. */
static struct err *unless_changed(struct err **e) {
    enum err_kind kind = *e ? err_kind(*e) : ERR_IN_USE;
    bool changed = kind == ERR_IN_USE || kind == ERR_CONFLICT || kind == ERR_NOT_FOUND;
    return changed ? NULL : take_ptr(e);
}

static struct err *prune_containers(struct prune *p) {
    const struct engine_list every = {.all = true, .last = -1, .size = true};
    autorows rows = {.n = 0};
    int64_t freed = 0;
    TRY(engine_container_list(p->c->engine, &every, &rows));
    for (size_t i = 0; i < rows.n; i++) {
        const struct engine_row *r = rows.v[i];
        autojson labels = NULL;
        autoerr unread = json_parse(r->labels, strlen(r->labels), "labels", 0, &labels);
        if (r->alive || unread || !wanted(p, labels, r->created))
            continue;
        autoerr busy = engine_container_remove(p->c->engine, r->id, false, false);
        TRY(unless_changed(&busy));
        if (busy)
            continue;
        freed += r->size_rw;
        str_appendf(&p->report, "%s%s\n", p->report.len ? "" : "Deleted Containers:\n", r->id);
    }
    engine_prune_tell(p->c->engine, "container", freed);
    p->freed += freed;
    return NULL;
}

static struct err *prune_networks(struct prune *p) {
    autostrv struct strv unused = {.n = 0};
    autojson list = NULL;
    TRY(engine_network_unused(p->c->engine, &unused));
    TRY(engine_network_list(p->c->engine, &list));
    JSON_EACH(network, list) {
        const char *name = json_text(network, "Name");
        int64_t created = json_int_value(json_get(network, "CreatedNs"), 0);
        if (!strv_has(&unused, name) || !wanted(p, json_get(network, "Labels"), created))
            continue;
        autoerr busy = engine_network_remove(p->c->engine, name);
        TRY(unless_changed(&busy));
        if (busy)
            continue;
        str_appendf(&p->report, "%s%s\n", p->report.len ? "" : "Deleted Networks:\n", name);
    }
    engine_prune_tell(p->c->engine, "network", 0);
    return NULL;
}

/* docker's "all" of volumes stands among its filters, too. */
static bool prunes_named(const struct prune *p) {
    const char *all = strmap_get(&p->filters, "all");
    return p->all_volumes || (all && (str_eq(all, "1") || str_eq(all, "true")));
}

static struct err *prune_volumes(struct prune *p) {
    autojson list = NULL;
    int64_t freed = 0;
    TRY(engine_volume_list(p->c->engine, true, &list));
    JSON_EACH(v, list) {
        const char *name = json_text(v, "Name");
        bool anonymous = json_bool_value(json_get(v, "Anonymous"), false);
        if (json_count(json_get(v, "Users")) || (!anonymous && !prunes_named(p)) ||
            !wanted(p, json_get(v, "Labels"), INT64_MIN))
            continue;
        autoerr busy = engine_volume_remove(p->c->engine, name);
        TRY(unless_changed(&busy));
        if (busy)
            continue;
        freed += json_int_value(json_path(v, "UsageData.Size"), 0);
        str_appendf(&p->report, "%s%s\n", p->report.len ? "" : "Deleted Volumes:\n", name);
    }
    engine_prune_tell(p->c->engine, "volume", freed);
    p->freed += freed;
    return NULL;
}

static void report_removed(struct prune *p, const struct json *removed) {
    JSON_EACH(line, removed) {
        const char *untagged = json_text(line, "Untagged"), *deleted = json_text(line, "Deleted");
        str_appendf(&p->report, "%s%s: %s\n", p->report.len ? "" : "Deleted Images:\n",
                    *untagged ? "untagged" : "deleted", *untagged ? untagged : deleted);
    }
}

/* Images that no container uses, running or not; without names, or all. */
static struct err *prune_images(struct prune *p) {
    autojson before = NULL;
    autojson after = NULL;
    const char *dangling = strmap_get(&p->filters, "dangling");
    bool truth = true;
    bool all = p->all || (dangling && str_to_truth(dangling, &truth) && !truth);
    enum engine_image_names names = all ? ENGINE_IMAGE_TAGS : ENGINE_IMAGE_DIGESTS;
    TRY(engine_image_usage(p->c->engine, &before));
    JSON_EACH(image, json_get(before, "Images")) {
        int64_t created = json_int_value(json_get(image, "Created"), 0) * NSEC_PER_SEC;
        if (json_int_value(json_get(image, "Containers"), 0) > 0 ||
            (!all && json_count(json_get(image, "RepoTags")) > 0) || !wanted(p, json_get(image, "Labels"), created))
            continue;
        autojson removed = NULL;
        autoerr busy = engine_image_prune(p->c->engine, json_text(image, "Id"), names, &removed);
        TRY(unless_changed(&busy));
        report_removed(p, removed);
    }
    TRY(engine_image_usage(p->c->engine, &after));
    int64_t freed =
        json_int_value(json_get(before, "LayersSize"), 0) - json_int_value(json_get(after, "LayersSize"), 0);
    freed = freed > 0 ? freed : 0; /* another command may have brought more than we took */
    engine_prune_tell(p->c->engine, "image", freed);
    p->freed += freed;
    return NULL;
}

/* What no build is at work on. It has no labels. */
static struct err *prune_builds(struct prune *p) {
    const struct build_prune what = {.all = p->all, .until = p->until == INT64_MAX ? 0 : p->until};
    autostrv struct strv ids = {.n = 0};
    int64_t freed = 0;
    if (!wanted(p, NULL, INT64_MIN))
        return NULL;
    TRY(build_prune(p->c->engine, &what, &ids, &freed));
    for (size_t i = 0; i < ids.n; i++)
        str_appendf(&p->report, "%s%s\n", i ? "" : "Deleted build cache objects:\n", ids.v[i]);
    p->freed += freed;
    return NULL;
}

/* ---- the commands ---- */

static struct err *run_container(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    autoprune p = {.c = c};
    TRY(prune_init(c, NULL, &p));
    if (!confirmed(c, "WARNING! This will remove all stopped containers.\n"))
        return NULL;
    TRY(prune_containers(&p));
    print_report(&p);
    print_total(&p);
    return NULL;
}

static struct err *run_image(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    static const char *const keys[] = {"dangling", "label", "label!", "until", NULL};
    const struct opts *o = c->opts;
    autoprune p = {.c = c};
    TRY(prune_init(c, keys, &p));
    if (!confirmed(c, o->all ? "WARNING! This will remove all images without at least one container associated to "
                               "them.\n"
                             : "WARNING! This will remove all dangling images.\n"))
        return NULL;
    TRY(prune_images(&p));
    print_report(&p);
    print_total(&p);
    return NULL;
}

static struct err *run_network(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    autoprune p = {.c = c};
    TRY(prune_init(c, NULL, &p));
    if (!confirmed(c, "WARNING! This will remove all custom networks not used by at least one container.\n"))
        return NULL;
    TRY(prune_networks(&p));
    print_report(&p);
    return NULL;
}

static struct err *run_volume(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    static const char *const keys[] = {"all", "label", "label!", NULL};
    const struct opts *o = c->opts;
    autoprune p = {.c = c};
    TRY(prune_init(c, keys, &p));
    p.all_volumes = o->all;
    if (!confirmed(c, prunes_named(&p) ? "WARNING! This will remove all local volumes not used by at least one "
                                         "container.\n"
                                       : "WARNING! This will remove anonymous local volumes not used by at least one "
                                         "container.\n"))
        return NULL;
    TRY(prune_volumes(&p));
    print_report(&p);
    print_total(&p);
    return NULL;
}

static char *system_warning(const struct opts *o) {
    autostr struct str s = STR_INIT;
    autostrv struct strv filters = {.n = 0};
    str_append(&s, "WARNING! This will remove:\n"
                   "  - all stopped containers\n"
                   "  - all networks not used by at least one container\n");
    if (o->volumes)
        str_append(&s, "  - all anonymous volumes not used by at least one container\n");
    str_append(&s, o->all ? "  - all images without at least one container associated to them\n"
                          : "  - all dangling images\n");
    str_append(&s, o->all ? "  - all build cache\n" : "  - unused build cache\n");
    strv_extend(&filters, &o->filter);
    strv_sort(&filters);
    if (filters.n)
        str_append(&s, "\n  Items to be pruned will be filtered with:\n");
    for (size_t i = 0; i < filters.n; i++)
        str_appendf(&s, "  - %s\n", filters.v[i]);
    str_append_c(&s, '\n');
    return str_take(&s);
}

/* Containers first: what they use is free then. */
static struct err *run_system(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    static struct err *(*const kinds[])(struct prune * p) = {prune_containers, prune_networks, prune_volumes,
                                                             prune_images, prune_builds};
    const struct opts *o = c->opts;
    autoprune p = {.c = c};
    TRY(prune_init(c, NULL, &p));
    if (o->volumes && strmap_get(&p.filters, "until"))
        return err_new(ERR_USAGE, "ERROR: The \"until\" filter is not supported with \"--volumes\"");
    autofree char *warning = system_warning(o);
    if (!confirmed(c, warning))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i] == prune_volumes && !o->volumes)
            continue;
        TRY(kinds[i](&p));
        print_report(&p);
    }
    print_total(&p);
    return NULL;
}

#define PRUNE(g, text, table, fn)                                                                                      \
    {                                                                                                                  \
        .name = "prune", .group = (g), .summary = (text), .usage = "[OPTIONS]", .max_args = 0, .usage_exit = 1,        \
        .flags = (table), .opts_size = sizeof(struct opts), .run = (fn)                                                \
    }

const struct cmd cmd_container_prune = PRUNE("container", "Remove all stopped containers", plain_flags, run_container);
const struct cmd cmd_image_prune = PRUNE("image", "Remove unused images", image_flags, run_image);
const struct cmd cmd_network_prune = PRUNE("network", "Remove all unused networks", plain_flags, run_network);
const struct cmd cmd_system_prune = PRUNE("system", "Remove unused data", system_flags, run_system);
const struct cmd cmd_volume_prune = PRUNE("volume", "Remove unused local volumes", volume_flags, run_volume);
