/*
 * image scp: an image from one user or machine to another, over ssh: `save` here or there, `load` there or here, and a
 * pipe between them. ssh is the user's own, with their keys, agent and configuration; what it reaches needs nothing but
 * coracle, podman or docker in its PATH.
 */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/proc.h"

struct opts {
    bool quiet;
};

static const struct cli_flag flags[] = {{.name = "quiet",
                                         .letter = 'q',
                                         .type = CLI_BOOL,
                                         .offset = offsetof(struct opts, quiet),
                                         .help = "Suppress the output"},
                                        {.name = NULL}};

/* Whichever tool the other side has; all of them speak docker's save and load. */
#define REMOTE                                                                                                         \
    "sh -c 'for p in coracle podman docker; do if command -v $p >/dev/null 2>&1; then exec $p %s; fi; done; "          \
    "echo \"coracle, podman or docker is not in PATH\" >&2; exit 127'"

struct end {
    char *host;  /* "[user@]host"; NULL: here */
    char *port;  /* or NULL */
    char *image; /* or NULL */
};

static void end_done(struct end *e) {
    free(e->host);
    free(e->port);
    free(e->image);
}
#define autoend __attribute__((cleanup(end_done))) struct end

static bool only(const char *s, const char *also) {
    for (; *s; s++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *s) && !strchr(also, *s))
            return false;
    return true;
}

/* "[USER@]HOST[:PORT]", an IPv6 address in brackets. What becomes part of a command has no character that a shell
 * knows.
 */
static struct err *parse_host(const char *text, struct end *ret) {
    const char *at = strchr(text, '@'), *bare = at ? at + 1 : text;
    const char *close = *bare == '[' ? strchr(bare, ']') : NULL, *colon = strchr(close ? close : bare, ':');
    int64_t port = 0;
    if (close)
        ret->host = mem_printf("%.*s%.*s", (int)(bare - text), text, (int)(close - bare - 1), bare + 1);
    else
        ret->host = mem_dupn(text, strcspn(text, ":"));
    ret->port = colon ? mem_dup(colon + 1) : NULL;
    bool good = *ret->host && *ret->host != '-' && only(ret->host, close ? "@:" : "@");
    if (good && (!ret->port || str_to_i64(ret->port, 1, 65535, &port)))
        return NULL;
    return err_new(ERR_USAGE, "invalid host: expected [USER@]HOST[:PORT]::, not \"%s\"", text);
}

/* "[USER@]HOST[:PORT]::[IMAGE]", or IMAGE. */
static struct err *parse_end(const char *text, struct end *ret) {
    const char *sep = NULL;
    for (const char *p = text; (p = strstr(p, "::")); p += 2)
        sep = p;
    const char *image = sep ? sep + 2 : text;
    ret->image = *image ? mem_dup(image) : NULL;
    if (ret->image && (!only(image, "/:@") || *image == '-'))
        return err_new(ERR_USAGE, "invalid reference format: %s", image);
    if (!sep)
        return NULL;
    text += str_starts(text, "ssh://") ? strlen("ssh://") : 0;
    autofree char *host = mem_dupn(text, (size_t)(sep - text));
    return parse_host(host, ret);
}

struct ssh {
    const char *host;
    pid_t pid;
    int pidfd;
};

/* Runs a command of the image tool there. */
static struct err *start_ssh(struct cli_ctx *c, const struct end *end, const char *command, const int stdio[2],
                             struct ssh *ret) {
    autofree char *path = NULL;
    TRY(host_find_program(c->host, "ssh", "openssh-client", &path));
    autofree char *remote = mem_printf(REMOTE, command);
    char name[] = "ssh", p[] = "-p", dashes[] = "--";
    char *with_port[] = {name, p, end->port, dashes, end->host, remote, NULL};
    char *without[] = {name, dashes, end->host, remote, NULL};
    const struct proc_spawn spawn = {.path = path,
                                     .argv = end->port ? with_port : without,
                                     .envp = c->host->environ,
                                     .stdio = {stdio[0], stdio[1], STDERR_FILENO},
                                     .die_with_parent = true};
    *ret = (struct ssh){.host = end->host};
    return proc_spawn(&spawn, &ret->pid, &ret->pidfd);
}

/* Waits for its end. Its exit status is told with the error that there is already: either may be the other's cause. */
static struct err *end_ssh(struct ssh *s, struct err *take_err) {
    int code = 0;
    if (!s->host)
        return take_err;
    fd_close(s->pidfd);
    struct err *e = proc_reap(s->pid, &code);
    if (!e && code)
        e = err_new(ERR_NETWORK, "ssh %s: exit status %d", s->host, code);
    if (!take_err)
        return e;
    err_free(e);
    return code ? err_wrap(take_err, "ssh %s: exit status %d", s->host, code) : take_err;
}

static struct err *load(struct cli_ctx *c, int fd) {
    const struct opts *o = c->opts;
    autostrv struct strv names = {.n = 0};
    autostrv struct strv ids = {.n = 0};
    const struct image_progress_fn silent = {.fn = NULL};
    TRY(engine_image_load(c->engine, fd, NULL, silent, &names, &ids));
    if (!o->quiet)
        cli_print_loaded(c->out, &names, &ids);
    return NULL;
}

static struct err *save(struct cli_ctx *c, const char *image, int fd) {
    autostrv struct strv names = {.n = 0};
    strv_push(&names, image);
    return engine_image_save(c->engine, &names, IMAGE_SAVE_DOCKER, fd);
}

struct copy {
    const struct end *from, *to;
    struct ssh source, target;
};

/* The far ends first: what is done here waits for them. Each end of the pipe is closed by whoever has handed it on. */
static struct err *run_copy(struct cli_ctx *c, struct copy *copy) {
    const struct opts *o = c->opts;
    int ends[2];
    TRY(fd_pipe(0, ends));
    autofd int in = ends[0], out = ends[1];
    if (copy->to->host) {
        (void)fflush(c->out);
        const int stdio[] = {in, o->quiet ? -1 : STDOUT_FILENO};
        TRY(start_ssh(c, copy->to, "load", stdio, &copy->target));
        fd_replace(&in, -1);
    }
    if (!copy->from->host)
        return save(c, copy->from->image, out);
    autofree char *command = mem_printf("save %s", copy->from->image);
    const int stdio[] = {-1, out};
    TRY(start_ssh(c, copy->from, command, stdio, &copy->source));
    fd_replace(&out, -1);
    return copy->to->host ? NULL : load(c, in);
}

static struct err *copy_image(struct cli_ctx *c, const struct end *from, const struct end *to) {
    struct copy copy = {.from = from, .to = to};
    struct err *e = run_copy(c, &copy);
    e = end_ssh(&copy.source, e);
    return end_ssh(&copy.target, e);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    autoend from = {.host = NULL};
    autoend to = {.host = NULL};
    TRY(parse_end(c->args[0], &from));
    if (c->n_args > 1)
        TRY(parse_end(c->args[1], &to));
    if (!from.image)
        return err_new(ERR_USAGE, "%s names no image: expected [USER@]HOST::IMAGE", c->args[0]);
    if (to.image)
        return err_hint(err_new(ERR_USAGE, "the destination %s has more than a host", c->args[1]),
                        "the image keeps its name: expected [USER@]HOST::");
    if (!from.host && !to.host)
        return err_new(ERR_USAGE,
                       "neither side is another host or user: expected [USER@]HOST::IMAGE, or [USER@]HOST::");
    if (!from.host) { /* before anybody is asked for a password */
        char id[65] = "";
        TRY(engine_image_find(c->engine, from.image, id, NULL));
    }
    return copy_image(c, &from, &to);
}

const struct cmd cmd_image_scp = {
    .name = "scp",
    .group = "image",
    .summary = "Copy an image to or from another host or user, over ssh",
    .description = "Copies an image: from here with [USER@]HOST:: as destination, to here from [USER@]HOST::IMAGE, or "
                   "from one host to another by way of this one. ssh is run with your keys and configuration; on the "
                   "other side coracle, podman or docker saves or loads. Another user of this machine is "
                   "USER@localhost",
    .usage = "[OPTIONS] [[USER@]HOST[:PORT]::]IMAGE [[USER@]HOST[:PORT]::]",
    .examples = "coracle image scp app:1 build@example.org::\ncoracle image scp alice@localhost::app:1\n",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
