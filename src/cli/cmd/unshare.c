#include "cli/cli_int.h"

#include "engine/files.h"

static const struct cli_flag no_flags[] = {{.name = NULL}};

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const char *shell = host_env(c->host, "SHELL");
    autofree char *fallback = mem_dup(shell && *shell ? shell : "/bin/sh");
    char *const own[] = {fallback, NULL};
    return engine_unshare(c->engine, c->n_args ? c->args : own);
}

const struct cmd cmd_unshare = {
    .name = "unshare",
    .top_level = true,
    .summary = "Run a command in the user namespace of the containers",
    .description =
        "Runs a command, or the user's shell, as root of the user namespace that containers live in: there the "
        "files that belong to their users can be looked at, changed and removed. Mounts that it makes are "
        "its own. podman's command of the same name.",
    .examples = "coracle unshare cat /proc/self/uid_map\ncoracle unshare rm -r ./left-behind-by-a-container",
    .usage = "[COMMAND [ARG...]]",
    .min_args = 0,
    .max_args = -1,
    .stop_at_positional = true,
    .usage_exit = 125,
    .flags = no_flags,
    .run = run,
};
