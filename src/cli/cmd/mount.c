/* mount, umount, init: podman's commands for a container's root file system. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#include "engine/files.h"

struct opts {
    bool all, force, latest, no_trunc;
    char *format;
};

#define AT(m) offsetof(struct opts, m)
#define LATEST                                                                                                         \
    { .name = "latest", .letter = 'l', .type = CLI_BOOL, .offset = AT(latest), .help = "The latest created container" }

static const struct cli_flag mount_flags[] = {
    {.name = "all", .letter = 'a', .type = CLI_BOOL, .offset = AT(all), .help = "Mount all containers"},
    {.name = "format", .type = CLI_STRING, .offset = AT(format), .help = "Format output: json"},
    LATEST,
    {.name = "notruncate",
     .alias = "no-trunc",
     .type = CLI_BOOL,
     .offset = AT(no_trunc),
     .help = "Do not truncate ids"},
    {.name = NULL},
};

static const struct cli_flag umount_flags[] = {
    {.name = "all", .letter = 'a', .type = CLI_BOOL, .offset = AT(all), .help = "Unmount all containers"},
    {.name = "force", .letter = 'f', .type = CLI_BOOL, .offset = AT(force), .help = "Unmount what is in use, too"},
    LATEST,
    {.name = NULL},
};

static const struct cli_flag init_flags[] = {
    {.name = "all", .letter = 'a', .type = CLI_BOOL, .offset = AT(all), .help = "Initialize all created containers"},
    LATEST,
    {.name = NULL},
};

static struct err *check_arguments(const struct cli_ctx *c, bool needed) {
    const struct opts *o = c->opts;
    if (c->n_args && (o->all || o->latest))
        return err_new(ERR_USAGE, "containers cannot be named together with --all or --latest");
    if (needed && !c->n_args && !o->all && !o->latest)
        return err_new(ERR_USAGE, "'coracle %s' requires at least 1 argument", c->called_as);
    return NULL;
}

/* Which are meant: those named, the latest one, or each for which `wanted` holds. */
static struct err *chosen(struct cli_ctx *c, bool (*wanted)(struct cli_ctx *c, const struct engine_row *r),
                          struct strv *ret) {
    const struct opts *o = c->opts;
    const struct engine_list wish = {.all = true, .last = o->latest ? 1 : -1};
    autorows rows = {.n = 0};
    for (int i = 0; i < c->n_args; i++)
        strv_push(ret, c->args[i]);
    if (c->n_args)
        return NULL;
    TRY(engine_container_list(c->engine, &wish, &rows));
    for (size_t i = 0; i < rows.n; i++)
        if (o->latest || wanted(c, rows.v[i]))
            strv_push(ret, rows.v[i]->id);
    return NULL;
}

/* Goes on where one fails, as with names. */
static struct err *each_chosen(struct cli_ctx *c, bool (*wanted)(struct cli_ctx *c, const struct engine_row *r),
                               struct err *(*fn)(struct cli_ctx *c, const char *name), int *ret_code) {
    autostrv struct strv names = {.n = 0};
    TRY(chosen(c, wanted, &names));
    for (size_t i = 0; i < names.n; i++) {
        autoerr e = fn(c, names.v[i]);
        if (!e)
            continue;
        fflush(c->out);
        cli_error(c, e);
        *ret_code = 125;
    }
    return NULL;
}

static bool any(struct cli_ctx *c, const struct engine_row *r) {
    (void)c;
    (void)r;
    return true;
}

static bool is_mounted(struct cli_ctx *c, const struct engine_row *r) {
    autofree char *at = engine_container_mountpoint(c->engine, r->id);
    return at != NULL;
}

static bool is_created(struct cli_ctx *c, const struct engine_row *r) {
    (void)c;
    return !strcmp(r->status, "created");
}

/* ---- mount ---- */

/* What is mounted here. */
static struct err *list(struct cli_ctx *c) {
    const struct opts *o = c->opts;
    const struct engine_list everything = {.all = true, .last = -1};
    autorows rows = {.n = 0};
    autojson all = json_array();
    TRY(engine_container_list(c->engine, &everything, &rows));
    for (size_t i = 0; i < rows.n; i++) {
        autofree char *at = engine_container_mountpoint(c->engine, rows.v[i]->id);
        struct json *row = at ? json_object() : NULL, *names = at ? json_array() : NULL;
        if (!row)
            continue;
        json_set_str(row, "id", rows.v[i]->id);
        json_push_str(names, rows.v[i]->name);
        json_set(row, "Names", names);
        json_set_str(row, "mountpoint", at);
        json_push(all, row);
        if (!o->format)
            fprintf(c->out, "%.*s  %s\n", o->no_trunc ? ID_LEN : ID_SHORT_LEN, rows.v[i]->id, at);
    }
    return o->format ? cli_render_objects(c, all, NULL) : NULL;
}

static struct err *mount_one(struct cli_ctx *c, const char *name) {
    autofree char *at = NULL;
    TRY(engine_container_mount(c->engine, name, &at));
    if (c->n_args == 1)
        fprintf(c->out, "%s\n", at);
    return NULL;
}

static struct err *run_mount(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    if (o->format && strcmp(o->format, "json") != 0)
        return err_new(ERR_USAGE, "unknown --format argument: \"%s\": it is \"json\" or nothing", o->format);
    TRY(check_arguments(c, false));
    if (!c->n_args && !o->all && !o->latest)
        return list(c);
    TRY(each_chosen(c, any, mount_one, ret_code));
    return c->n_args == 1 ? NULL : list(c);
}

/* ---- umount, init ---- */

static struct err *unmount_one(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    TRY(engine_container_unmount(c->engine, name, o->force));
    fprintf(c->out, "%s\n", name);
    return NULL;
}

static struct err *run_umount(struct cli_ctx *c, int *ret_code) {
    TRY(check_arguments(c, true));
    return each_chosen(c, is_mounted, unmount_one, ret_code);
}

static struct err *init_one(struct cli_ctx *c, const char *name) {
    TRY(engine_container_init(c->engine, name));
    fprintf(c->out, "%s\n", name);
    return NULL;
}

static struct err *run_init(struct cli_ctx *c, int *ret_code) {
    TRY(check_arguments(c, true));
    return each_chosen(c, is_created, init_one, ret_code);
}

#define CONTAINERS                                                                                                     \
    .max_args = -1, .usage_exit = 125, .complete = CLI_COMPLETE_CONTAINERS, .complete_rest = CLI_COMPLETE_CONTAINERS,  \
    .opts_size = sizeof(struct opts)

const struct cmd cmd_mount = {
    .name = "mount",
    .group = "container",
    .top_level = true,
    .summary = "Mount a container's root filesystem, within 'coracle unshare'",
    .description =
        "Mounts the root file system of containers, running or not, where it can be looked at and changed, and prints "
        "the directory; without arguments lists what is mounted. Works in the shell of 'coracle unshare' only, whose "
        "mounts go with it. podman's command of the same name.",
    .examples = "coracle unshare sh -c 'cat \"$(coracle mount web)\"/etc/passwd'",
    .usage = "[OPTIONS] [CONTAINER...]",
    .flags = mount_flags,
    .run = run_mount,
    CONTAINERS,
};

/* The alias is a word of its own at the top level, where aliases are not looked for. */
#define UMOUNT                                                                                                         \
    .top_level = true, .summary = "Unmount a container's root filesystem, within 'coracle unshare'",                   \
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]", .flags = umount_flags, .run = run_umount, CONTAINERS

const struct cmd cmd_umount = {.name = "umount", .group = "container", .aliases = "unmount", UMOUNT};
const struct cmd cmd_unmount = {.name = "unmount", UMOUNT};

const struct cmd cmd_init = {
    .name = "init",
    .group = "container",
    .top_level = true,
    .summary = "Put a container together once, without a process, to see that it can be started",
    .description = "Does all that a start does before there is a process: the root file system and the mounts are put "
                   "together, limits are looked at, and what is wrong is said. The container stays as it was, and is "
                   "started by 'coracle start'. podman's command of the same name.",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .flags = init_flags,
    .run = run_init,
    CONTAINERS,
};
