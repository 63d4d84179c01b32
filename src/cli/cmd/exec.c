#include "cli/cli_int.h"

#include <stddef.h>
#include <unistd.h>

struct opts {
    bool detach, interactive, privileged, tty;
    char *detach_keys, *user, *workdir;
    struct strv env, env_file;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "detach",
     .letter = 'd',
     .type = CLI_BOOL,
     .offset = AT(detach),
     .help = "Run the command in the background"},
    {.name = "detach-keys", .type = CLI_STRING, .offset = AT(detach_keys), .help = "Keys that detach from the command"},
    {.name = "env", .letter = 'e', .type = CLI_ENV, .offset = AT(env), .help = "Set environment variables"},
    {.name = "env-file",
     .type = CLI_LIST,
     .offset = AT(env_file),
     .complete = CLI_COMPLETE_FILES,
     .help = "Read environment variables from a file"},
    {.name = "interactive",
     .letter = 'i',
     .type = CLI_BOOL,
     .offset = AT(interactive),
     .help = "Keep STDIN open even if not attached"},
    {.name = "privileged",
     .type = CLI_BOOL,
     .offset = AT(privileged),
     .help = "Give the command all rights of the container's root"},
    {.name = "tty", .letter = 't', .type = CLI_BOOL, .offset = AT(tty), .help = "Allocate a pseudo-TTY"},
    {.name = "user",
     .letter = 'u',
     .type = CLI_STRING,
     .offset = AT(user),
     .help = "User or uid (name|uid[:group|gid])"},
    {.name = "workdir",
     .letter = 'w',
     .type = CLI_STRING,
     .offset = AT(workdir),
     .complete = CLI_COMPLETE_DIRS,
     .help = "Working directory in the container"},
    {.name = NULL},
};

static struct err *exec_with(struct cli_ctx *c, struct engine_exec *x, int *ret_code) {
    const struct opts *o = c->opts;
    for (int i = 1; i < c->n_args; i++)
        strv_push(&x->command, c->args[i]);
    for (size_t i = 0; i < o->env_file.n; i++) {
        char *text = NULL;
        TRY(cli_read_text(o->env_file.v[i], &text));
        strv_push_take(&x->env_files, text);
    }
    if (o->tty)
        engine_tty_size(STDIN_FILENO, &x->rows, &x->cols);
    struct monitor_io_result r = {.detached = false};
    TRY(engine_container_exec(c->engine, c->args[0], x, &r));
    return cli_io_end(&r, ret_code);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    if (o->tty && o->interactive && !o->detach && !c->host->stdin_tty)
        return err_hint(err_new(ERR_DENIED, "the input device is not a TTY"),
                        "leave out -t when standard input is not a terminal");
    struct engine_exec x = {
        .user = o->user,
        .workdir = o->workdir,
        .tty = o->tty,
        .interactive = o->interactive,
        .detach = o->detach,
        .privileged = o->privileged,
        .io = {.in = o->interactive ? STDIN_FILENO : -1,
               .out = STDOUT_FILENO,
               .err = STDERR_FILENO,
               .detach_keys = o->detach_keys},
    };
    strv_extend(&x.env, &o->env);
    struct err *e = exec_with(c, &x, ret_code);
    strv_done(&x.command);
    strv_done(&x.env);
    strv_done(&x.env_files);
    return e;
}

const struct cmd cmd_exec = {
    .name = "exec",
    .group = "container",
    .top_level = true,
    .summary = "Execute a command in a running container",
    .usage = "[OPTIONS] CONTAINER COMMAND [ARG...]",
    .min_args = 2,
    .max_args = -1,
    .stop_at_positional = true,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
    .enters_containers = true,
};
