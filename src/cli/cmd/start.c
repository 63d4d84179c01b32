#include "cli/cli_int.h"

#include <stddef.h>
#include <unistd.h>

struct opts {
    bool all, attach, interactive;
    char *detach_keys;
    struct strv filter;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "all", .type = CLI_BOOL, .offset = AT(all), .help = "Start all containers, or those that --filter picks"},
    {.name = "attach",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(attach),
     .help = "Attach STDOUT and STDERR and pass signals on"},
    {.name = "checkpoint",
     .type = CLI_STRING,
     .standing = CLI_REFUSED,
     .reason = "checkpoints need root",
     .help = "Restore from this checkpoint"},
    {.name = "checkpoint-dir",
     .type = CLI_STRING,
     .standing = CLI_REFUSED,
     .reason = "checkpoints need root",
     .help = "Use a custom checkpoint directory"},
    {.name = "detach-keys",
     .type = CLI_STRING,
     .offset = AT(detach_keys),
     .help = "Keys that detach from the container"},
    {.name = "filter",
     .letter = 'f',
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "With --all, those that fulfil conditions as of ps (restart-policy=always, should-start-on-boot=true, …)"},
    {.name = "interactive",
     .letter = 'i',
     .type = CLI_BOOL,
     .offset = AT(interactive),
     .help = "Attach the container's STDIN"},
    {.name = NULL},
};

static struct err *start_attached(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    struct engine_container_facts facts;
    TRY(engine_container_facts(c->engine, c->args[0], &facts));
    struct engine_start s = {
        .attach = true,
        .io =
            {
                .in = o->interactive && facts.open_stdin ? STDIN_FILENO : -1,
                .out = STDOUT_FILENO,
                .err = STDERR_FILENO,
                .tty = facts.tty,
                .detach_keys = o->detach_keys,
                .sig_proxy = true,
            },
    };
    if (facts.tty)
        engine_tty_size(STDIN_FILENO, &s.rows, &s.cols);
    struct monitor_io_result r = {.detached = false};
    TRY(engine_container_start(c->engine, c->args[0], &s, &r));
    return cli_io_end(&r, ret_code);
}

static struct err *start_one(struct cli_ctx *c, const char *name) {
    const struct engine_start s = {.attach = false};
    TRY(engine_container_start(c->engine, name, &s, NULL));
    fprintf(c->out, "%s\n", name);
    return NULL;
}

/* Going on where one fails, as with names. */
static struct err *start_all(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    const struct engine_list everything = {.all = true, .last = -1};
    autocli_containers found = {.before = 0};
    TRY(cli_containers_find(c, &everything, &o->filter, &found));
    for (size_t i = 0; i < found.rows.n; i++) {
        const struct engine_row *r = found.rows.v[i];
        if (r->alive || !cli_container_matches(&found, r))
            continue;
        autoerr failed = start_one(c, r->name);
        if (!failed)
            continue;
        fflush(c->out);
        cli_error(c, failed);
        *ret_code = 1;
    }
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    if (!o->all && o->filter.n)
        return err_new(ERR_USAGE, "--filter needs --all");
    if (o->all && (c->n_args || o->attach || o->interactive))
        return err_new(ERR_USAGE, "--all starts containers in the background and takes no names");
    if (o->all)
        return start_all(c, ret_code);
    if (!c->n_args)
        return err_new(ERR_USAGE, "'coracle %s' requires at least 1 argument", c->called_as);
    if (!o->attach && !o->interactive)
        return cli_each(c, start_one, ret_code);
    if (c->n_args > 1)
        return err_new(ERR_USAGE, "you cannot start and attach multiple containers at once");
    return start_attached(c, ret_code);
}

const struct cmd cmd_start = {
    .name = "start",
    .group = "container",
    .top_level = true,
    .summary = "Start one or more stopped containers",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .description =
        "With --all the containers come by conditions. The line for a start of the machine is\n"
        "coracle start --all --filter should-start-on-boot=true: containers with --restart always, and with\n"
        "--restart unless-stopped those that nobody has stopped.",
    .min_args = 0,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_STOPPED,
    .complete_rest = CLI_COMPLETE_STOPPED,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
    .enters_containers = true,
};
