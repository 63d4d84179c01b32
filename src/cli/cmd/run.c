#include "cli/cmd/container_flags_int.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/images.h"

static struct err *check_terminal(const struct cli_ctx *c, const struct container_options *o) {
    if (!o->tty || !o->attach_stdin || c->host->stdin_tty)
        return NULL;
    return err_hint(err_new(ERR_DENIED, "the input device is not a TTY"),
                    "leave out -t when standard input is not a terminal");
}

/* What coracle has opened itself closes on exec; what was handed to it does not. */
static struct err *check_preserved(int64_t n) {
    if (n < 0 || n > ENGINE_PRESERVE_MAX)
        return err_new(ERR_USAGE, "invalid value %lld for --preserve-fds: it is a number from 0 to %d", (long long)n,
                       ENGINE_PRESERVE_MAX);
    for (int fd = 3; fd < 3 + (int)n; fd++) {
        struct stat st;
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || flags & FD_CLOEXEC)
            return err_new(ERR_USAGE, "file descriptor %d is not available: --preserve-fds %lld needs 3 to %d open", fd,
                           (long long)n, 2 + (int)n);
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
            return err_hint(
                err_new(ERR_DENIED, "file descriptor %d is a directory, by which a container leaves its root", fd),
                "-v gives it a directory");
    }
    return NULL;
}

static struct engine_start start_of(const struct cli_ctx *c, const struct container_flags *f) {
    const struct container_options *o = &f->o;
    struct engine_start s = {
        .attach = !o->detach,
        .preserve_fds = (int)f->preserve_fds,
        .io =
            {
                .in = o->attach_stdin ? STDIN_FILENO : -1,
                .out = o->attach_stdout ? STDOUT_FILENO : -1,
                .err = o->attach_stderr ? STDERR_FILENO : -1,
                .tty = o->tty,
                .detach_keys = f->detach_keys,
                .sig_proxy = f->sig_proxy,
            },
    };
    (void)c;
    if (o->tty)
        engine_tty_size(STDIN_FILENO, &s.rows, &s.cols);
    return s;
}

/* podman's --rmi. Who is detached is not there any more when the container ends. */
static struct err *check_rmi(struct container_flags *f) {
    if (f->rmi && f->o.detach)
        return err_hint(err_new(ERR_USAGE, "conflicting options: --rmi and --detach"),
                        "'coracle wait' and then 'coracle rmi' remove the image when the container has ended");
    f->o.rm |= f->rmi;
    return NULL;
}

/* One that others use stays, as podman has it. */
static void remove_image(struct cli_ctx *c, const char *image, bool ended) {
    autojson report = NULL;
    autoerr kept = ended ? engine_image_remove(c->engine, image, false, &report) : NULL;
    if (!ended)
        log_warn("image %s stays: the container goes on", image);
    else if (kept && err_kind(kept) != ERR_CONFLICT && err_kind(kept) != ERR_IN_USE)
        cli_error(c, kept);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    struct container_flags *f = c->opts;
    autocreated created = ENGINE_CREATED_INIT;
    TRY(check_preserved(f->preserve_fds));
    TRY(check_rmi(f));
    TRY(container_flags_finish(c, f));
    autoerr no_terminal = check_terminal(c, &f->o);
    if (no_terminal) { /* the one error before a start for which docker's run gives 1, not 125 */
        cli_error(c, no_terminal);
        *ret_code = 1;
        return NULL;
    }
    TRY(container_flags_create(c, f, true, &created));
    const struct engine_start start = start_of(c, f);
    struct monitor_io_result result = {.detached = false};
    TRY(engine_container_start_created(c->engine, &created, &start, &result));
    if (f->rmi)
        remove_image(c, f->o.image, result.ended);
    if (!f->o.detach)
        return cli_io_end(&result, ret_code);
    fprintf(c->out, "%s\n", created.id);
    return NULL;
}

const struct cmd cmd_run = {
    .name = "run",
    .group = "container",
    .top_level = true,
    .summary = "Create and run a new container from an image",
    .usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    .description = "Creates a container from an image, pulling the image when it is missing, and runs a command in it. "
                   "In the foreground the "
                   "command's output and exit code become coracle's own.",
    .examples = "coracle run --rm -it debian:12 bash\ncoracle run -d --name web -v \"$PWD\":/srv:ro -w /srv debian:12 "
                "sleep 1000\n",
    .min_args = 1,
    .max_args = -1,
    .stop_at_positional = true,
    .usage_exit = 125,
    .complete = CLI_COMPLETE_IMAGES,
    .flags = cli_container_flags,
    .opts_size = sizeof(struct container_flags),
    .opts_done = container_flags_done,
    .run = run,
    .enters_containers = true,
};
