/* volume: create and rm; podman's export and import. */
#include "cli/cli_int.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* ---- create ---- */

struct create_opts {
    char *driver;
    struct strv labels, options;
};
#define AT(m) offsetof(struct create_opts, m)

#define FLAG_CLUSTER(n, t, text)                                                                                       \
    { .name = (n), .type = (t), .standing = CLI_REFUSED, .reason = "there is no swarm", .help = (text) }

static const struct cli_flag create_flags[] = {
    FLAG_CLUSTER("availability", CLI_STRING, "Availability of a cluster volume"),
    {.name = "driver",
     .letter = 'd',
     .type = CLI_STRING,
     .offset = AT(driver),
     .def = "local",
     .complete = CLI_COMPLETE_WORDS,
     .words = "local",
     .help = "Driver of the volume"},
    FLAG_CLUSTER("group", CLI_STRING, "Group of cluster volumes"),
    {.name = "label", .type = CLI_LABEL, .offset = AT(labels), .help = "Set metadata for a volume"},
    FLAG_CLUSTER("limit-bytes", CLI_BYTES, "Minimum size of a cluster volume"),
    {.name = "opt",
     .letter = 'o',
     .type = CLI_LIST,
     .offset = AT(options),
     .metavar = "map",
     .help = "Set options of the driver (type=none, o=bind, device=PATH)"},
    FLAG_CLUSTER("required-bytes", CLI_BYTES, "Maximum size of a cluster volume"),
    FLAG_CLUSTER("scope", CLI_STRING, "Access scope of a cluster volume"),
    FLAG_CLUSTER("secret", CLI_LIST, "Secrets of a cluster volume"),
    FLAG_CLUSTER("sharing", CLI_STRING, "Access sharing of a cluster volume"),
    FLAG_CLUSTER("topology-preferred", CLI_LIST, "Topology that a cluster volume would like"),
    FLAG_CLUSTER("topology-required", CLI_LIST, "Topology that a cluster volume needs"),
    FLAG_CLUSTER("type", CLI_STRING, "Access type of a cluster volume"),
    {.name = NULL},
};

static struct err *run_create(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct create_opts *o = c->opts;
    const struct engine_volume_new n = {
        .name = c->n_args ? c->args[0] : NULL, .driver = o->driver, .labels = o->labels, .options = o->options};
    autofree char *name = NULL;
    TRY(engine_volume_create(c->engine, &n, &name));
    fprintf(c->out, "%s\n", name);
    return NULL;
}

const struct cmd cmd_volume_create = {
    .name = "create",
    .group = "volume",
    .summary = "Create a volume",
    .description = "Without a name the volume is an anonymous one: its name is random, and prune removes it once no "
                   "container has it. A volume that is there already is left as it is.",
    .usage = "[OPTIONS] [VOLUME]",
    .max_args = 1,
    .usage_exit = 1,
    .flags = create_flags,
    .opts_size = sizeof(struct create_opts),
    .run = run_create,
};
#undef AT

/* ---- rm ---- */

struct rm_opts {
    bool force;
};

static const struct cli_flag rm_flags[] = {
    {.name = "force",
     .letter = 'f',
     .type = CLI_BOOL,
     .offset = offsetof(struct rm_opts, force),
     .help = "Do not error if the volume does not exist"},
    {.name = NULL},
};

static struct err *remove_one(struct cli_ctx *c, const char *name) {
    const struct rm_opts *o = c->opts;
    struct err *e = engine_volume_remove(c->engine, name);
    if (e && o->force && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        e = NULL;
    }
    if (!e)
        fprintf(c->out, "%s\n", name);
    return e;
}

static struct err *run_rm(struct cli_ctx *c, int *ret_code) { return cli_each(c, remove_one, ret_code); }

const struct cmd cmd_volume_rm = {
    .name = "rm",
    .group = "volume",
    .aliases = "remove",
    .summary = "Remove one or more volumes",
    .description = "A volume that a container has, running or not, cannot be removed.",
    .usage = "[OPTIONS] VOLUME [VOLUME...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_VOLUMES,
    .complete_rest = CLI_COMPLETE_VOLUMES,
    .flags = rm_flags,
    .opts_size = sizeof(struct rm_opts),
    .run = run_rm,
};

/* ---- export, import ---- */

struct export_opts {
    char *output;
};

static const struct cli_flag export_flags[] = {
    {.name = "output",
     .letter = 'o',
     .type = CLI_STRING,
     .offset = offsetof(struct export_opts, output),
     .complete = CLI_COMPLETE_FILES,
     .help = "Write to a file, instead of STDOUT"},
    {.name = NULL},
};

static struct err *export_to(void *ctx, int fd) {
    const struct cli_ctx *c = ctx;
    return engine_volume_export(c->engine, c->args[0], fd);
}

static struct err *run_export(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct export_opts *o = c->opts;
    return cli_to_file(c, o->output, export_to, c);
}

const struct cmd cmd_volume_export = {
    .name = "export",
    .group = "volume",
    .summary = "Export a volume's content as a tar archive",
    .description = "Owners are the containers', by number.",
    .usage = "[OPTIONS] VOLUME",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_VOLUMES,
    .flags = export_flags,
    .opts_size = sizeof(struct export_opts),
    .run = run_export,
};

static struct err *run_import(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const char *source = c->n_args > 1 ? c->args[1] : "-";
    autofd int file = -1;
    if (strcmp(source, "-") != 0)
        TRY(fd_open_at(AT_FDCWD, source, O_RDONLY, 0, &file));
    return engine_volume_import(c->engine, c->args[0], file >= 0 ? file : STDIN_FILENO);
}

const struct cmd cmd_volume_import = {
    .name = "import",
    .group = "volume",
    .summary = "Put the content of a tar archive into a volume",
    .description = "The volume must exist; what it has besides stays. Owners are the containers', by number.",
    .usage = "VOLUME [FILE|-]",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_VOLUMES,
    .complete_rest = CLI_COMPLETE_FILES,
    .run = run_import,
};
