/* builder prune: the cache of builds. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#include "build/build.h"

struct prune_opts {
    bool all, force;
    struct strv filter;
    int64_t keep;
};

static const struct cli_flag prune_flags[] = {
    {.name = "all",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = offsetof(struct prune_opts, all),
     .help = "Remove all unused build cache, not just dangling ones"},
    {.name = "filter",
     .type = CLI_FILTER,
     .offset = offsetof(struct prune_opts, filter),
     .help = "Provide filter values (e.g. \"until=24h\")"},
    {.name = "force",
     .letter = 'f',
     .type = CLI_BOOL,
     .offset = offsetof(struct prune_opts, force),
     .help = "Do not prompt for confirmation"},
    {.name = "keep-storage",
     .type = CLI_BYTES,
     .offset = offsetof(struct prune_opts, keep),
     .help = "Amount of disk space to keep for cache"},
    {.name = "max-used-space",
     .type = CLI_BYTES,
     .offset = offsetof(struct prune_opts, keep),
     .help = "Maximum amount of disk space allowed to keep for cache"},
    {.name = NULL},
};

/* BuildKit's filters, of those that mean something here. */
static struct err *prune_filters(const struct prune_opts *o, struct build_prune *p) {
    for (size_t i = 0; i < o->filter.n; i++) {
        const char *text = o->filter.v[i], *value = strchr(text, '=');
        autofree char *name = mem_dupn(text, strcspn(text, "="));
        int64_t ago = 0;
        if (!value)
            return err_new(ERR_USAGE, "invalid filter '%s': it must be name=value", text);
        value++;
        if (str_eq(name, "type")) {
            strv_push(&p->types, value);
        } else if (str_eq(name, "id")) {
            strv_push(&p->ids, value);
        } else if (str_eq(name, "until") || str_eq(name, "unused-for")) {
            TRY(clock_parse_duration(value, &ago));
            p->until = clock_now() - ago;
        } else {
            return err_hint(err_new(ERR_USAGE, "invalid filter '%s'", name), "use until, unused-for, type or id");
        }
    }
    return NULL;
}

static struct err *prune_confirmed(struct cli_ctx *c, const struct build_prune *p) {
    autostrv struct strv ids = {.n = 0};
    autostr struct str size = STR_INIT;
    int64_t bytes = 0;
    TRY(build_prune(c->engine, p, &ids, &bytes));
    if (ids.n)
        fprintf(c->out, "Deleted build cache objects:\n");
    for (size_t i = 0; i < ids.n; i++)
        fprintf(c->out, "%s\n", ids.v[i]);
    cli_human_size(bytes, 4, &size);
    fprintf(c->out, "%sTotal reclaimed space: %s\n", ids.n ? "\n" : "", str_c(&size));
    return NULL;
}

static struct err *prune_run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct prune_opts *o = c->opts;
    struct build_prune p = {.all = o->all, .keep = o->keep};
    struct err *e = prune_filters(o, &p);
    if (!e && (o->force || cli_confirm(c, o->all ? "WARNING! This will remove all build cache."
                                                 : "WARNING! This will remove all dangling build cache.")))
        e = prune_confirmed(c, &p);
    strv_done(&p.types);
    strv_done(&p.ids);
    return e;
}

#define PRUNE(group_)                                                                                                  \
    {                                                                                                                  \
        .name = "prune", .group = (group_), .summary = "Remove build cache", .usage = "", .max_args = 0,               \
        .usage_exit = 1, .flags = prune_flags, .opts_size = sizeof(struct prune_opts), .run = prune_run,               \
    }

const struct cmd cmd_builder_prune = PRUNE("builder");
const struct cmd cmd_buildx_prune = PRUNE("buildx");
