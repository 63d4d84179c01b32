#include "cli/cli_int.h"

#include <stddef.h>

struct opts {
    struct spec_resources r;
    char *restart;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "blkio-weight",
     .type = CLI_UINT16,
     .offset = AT(r.blkio_weight),
     .help = "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"},
    {.name = "cpu-period", .type = CLI_INT, .offset = AT(r.cpu_period), .help = "Period of the CPU scheduler's quota"},
    {.name = "cpu-quota", .type = CLI_INT, .offset = AT(r.cpu_quota), .help = "CPU time for each period"},
    {.name = "cpu-rt-period",
     .type = CLI_INT,
     .standing = CLI_REFUSED,
     .reason = "the kernel allows it to root only",
     .help = "Real-time period in microseconds"},
    {.name = "cpu-rt-runtime",
     .type = CLI_INT,
     .standing = CLI_REFUSED,
     .reason = "the kernel allows it to root only",
     .help = "Real-time runtime in microseconds"},
    {.name = "cpu-shares",
     .letter = 'c',
     .type = CLI_INT,
     .offset = AT(r.cpu_shares),
     .help = "CPU shares (relative weight)"},
    {.name = "cpus", .type = CLI_DECIMAL, .offset = AT(r.nano_cpus), .help = "Number of CPUs"},
    {.name = "cpuset-cpus",
     .type = CLI_STRING,
     .offset = AT(r.cpuset_cpus),
     .help = "CPUs that may be used (0-3, 0,1)"},
    {.name = "cpuset-mems",
     .type = CLI_STRING,
     .offset = AT(r.cpuset_mems),
     .help = "Memory nodes that may be used (0-3, 0,1)"},
    {.name = "memory", .letter = 'm', .type = CLI_BYTES, .offset = AT(r.memory), .help = "Memory limit"},
    {.name = "memory-reservation", .type = CLI_BYTES, .offset = AT(r.memory_reservation), .help = "Memory soft limit"},
    {.name = "memory-swap",
     .type = CLI_SWAP,
     .offset = AT(r.memory_swap),
     .help = "Limit of memory plus swap (-1: none)"},
    {.name = "pids-limit",
     .type = CLI_INT,
     .offset = AT(r.pids_limit),
     .set_offset = AT(r.pids_limit_set),
     .help = "Limit of processes (-1: none)"},
    {.name = "restart",
     .type = CLI_STRING,
     .offset = AT(restart),
     .help = "Restart policy to apply when a container exits"},
    {.name = NULL},
};

/* docker's, which counts flags: those that stand at their zero are as good as absent. */
static bool anything(const struct spec_resources *r) {
    return r->blkio_weight || r->cpu_period || r->cpu_quota || r->cpu_shares || r->nano_cpus || r->cpuset_cpus ||
           r->cpuset_mems || r->memory || r->memory_reservation || r->memory_swap || r->pids_limit_set;
}

static struct err *update_one(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    autostrv struct strv warnings = {.n = 0};
    struct err *e = anything(&o->r) ? engine_container_update(c->engine, name, &o->r, &warnings) : NULL;
    if (!e && o->restart)
        e = engine_container_set_restart(c->engine, name, o->restart);
    cli_warnings(&warnings);
    if (!e)
        fprintf(c->out, "%s\n", name);
    return e;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    if (!anything(&o->r) && !o->restart)
        return err_new(ERR_USAGE, "you must provide one or more flags when using this command");
    return cli_each(c, update_one, ret_code);
}

const struct cmd cmd_update = {
    .name = "update",
    .group = "container",
    .top_level = true,
    .summary = "Update configuration of one or more containers",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .description = "Changes the resource limits of containers, at once where they run. What is not given stays. A "
                   "limit that this machine cannot hold for the user is refused, and changes nothing.",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .complete_rest = CLI_COMPLETE_CONTAINERS,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
