#include "cli/cli_int.h"

#include <stddef.h>
#include <unistd.h>

struct opts {
    bool no_stdin, sig_proxy;
    char *detach_keys;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "detach-keys",
     .type = CLI_STRING,
     .offset = AT(detach_keys),
     .help = "Keys that detach from the container"},
    {.name = "no-stdin", .type = CLI_BOOL, .offset = AT(no_stdin), .help = "Do not attach STDIN"},
    {.name = "sig-proxy",
     .type = CLI_BOOL,
     .offset = AT(sig_proxy),
     .def = "true",
     .help = "Pass signals on to the process"},
    {.name = NULL},
};

static struct err *run(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    struct engine_container_facts facts;
    TRY(engine_container_facts(c->engine, c->args[0], &facts));
    bool input = facts.open_stdin && !o->no_stdin;
    if (facts.running && facts.tty && input && !c->host->stdin_tty)
        return err_new(ERR_DENIED, "the input device is not a TTY");
    const struct monitor_io io = {
        .in = input ? STDIN_FILENO : -1,
        .out = STDOUT_FILENO,
        .err = STDERR_FILENO,
        .tty = facts.tty,
        .detach_keys = o->detach_keys,
        .sig_proxy = o->sig_proxy,
    };
    struct monitor_io_result r = {.detached = false};
    TRY(engine_container_attach(c->engine, c->args[0], &io, &r));
    return cli_io_end(&r, ret_code);
}

const struct cmd cmd_attach = {
    .name = "attach",
    .group = "container",
    .top_level = true,
    .summary = "Attach local standard input, output, and error streams to a running container",
    .usage = "[OPTIONS] CONTAINER",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
