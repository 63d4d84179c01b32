/*
 * credhelper: docker's credential helpers, programs "docker-credential-X" that are told get, store or erase as their
 * argument and the rest on stdin, and answer with JSON or with words. A secret is never in their argv.
 */
#include "image/auth_int.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#define HELPER_SECONDS 30

/* Reads the helper's answer until EOF, but not for ever. */
static struct err *read_answer(int fd, int pidfd, const char *program, struct str *out) {
    int64_t deadline = clock_boot() + HELPER_SECONDS * NSEC_PER_SEC;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = (deadline - clock_boot()) / NSEC_PER_MSEC;
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err_free(proc_signal(pidfd, SIGKILL));
            return err_new(ERR_TIMEOUT, "%s does not answer within %d seconds", program, HELPER_SECONDS);
        }
        char buf[4096];
        ssize_t got = read(fd, buf, sizeof buf);
        if (got == 0)
            return NULL;
        if (got < 0 && errno != EINTR)
            return err_sys(errno, "read from %s", program);
        if (got > 0)
            str_append_n(out, buf, (size_t)got);
        if (!str_ok(out)) {
            err_free(proc_signal(pidfd, SIGKILL));
            return err_new(ERR_CORRUPT, "%s answers too much", program);
        }
    }
}

struct helper {
    const char *path, *verb, *input;
};

static struct err *run_helper(const struct host *h, const struct helper *p, struct str *out, int *ret_code) {
    int to[2], from[2];
    TRY(fd_pipe(0, to));
    autofd int to_read = to[0], to_write = to[1];
    TRY(fd_pipe(0, from));
    autofd int from_read = from[0], from_write = from[1];
    /* Before there is a reader: one that ends without reading would be our end by SIGPIPE. A pipe holds that much. */
    TRY(io_write_all(to_write, p->input, strlen(p->input)));
    fd_replace(&to_write, -1);
    autofree char *name = mem_dup(p->path), *verb = mem_dup(p->verb);
    char *argv[] = {name, verb, NULL};
    const struct proc_spawn spawn = {
        .path = p->path, .argv = argv, .envp = h->environ, .stdio = {to_read, from_write, 2}, .die_with_parent = true};
    pid_t pid = -1;
    autofd int pidfd = -1;
    TRY(proc_spawn(&spawn, &pid, &pidfd));
    fd_replace(&from_write, -1);
    fd_replace(&to_read, -1);
    struct err *e = read_answer(from_read, pidfd, path_base(p->path), out);
    return err_first(e, proc_reap(pid, ret_code));
}

struct err *creds_helper_run(const struct host *h, const char *helper, const char *verb, const char *input,
                             struct str *out, bool *ret_found) {
    autofree char *program = mem_printf("docker-credential-%s", helper);
    if (!path_is_component(program))
        return err_new(ERR_USAGE, "docker's config.json names an unusable credential helper \"%s\"", helper);
    if (strlen(input) > CREDS_INPUT_MAX)
        return err_new(ERR_USAGE, "credentials of more than %zu bytes", CREDS_INPUT_MAX);
    autofree char *path = NULL;
    TRY_CTX(host_find_program(h, program, program, &path), "credential helper of docker's config.json");
    const struct helper p = {.path = path, .verb = verb, .input = input};
    int code = 0;
    TRY(run_helper(h, &p, out, &code));
    *ret_found = code == 0;
    if (code == 0 || strstr(str_c(out), "credentials not found"))
        return NULL;
    autostr struct str why = STR_INIT_MAX(512);
    str_append_visible(&why, str_c(out));
    return err_new(ERR_AUTH, "%s failed with exit code %d: %s", program, code, str_c(&why));
}
