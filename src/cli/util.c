/* Small things that commands share: files that options name, several names in a row, interrupts, sizes. */
#include "cli/cli_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/registries.h"

struct err *cli_read_text(const char *path, char **ret) {
    autofd int fd = -1;
    autostr struct str text = STR_INIT;
    TRY(fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd));
    TRY(io_read_all(fd, (size_t)1 << 20, path, &text));
    *ret = str_take(&text);
    return NULL;
}

struct err *cli_to_file(const struct cli_ctx *c, const char *path, struct err *(*fn)(void *ctx, int fd), void *ctx) {
    struct stat st;
    autofd int fd = -1;
    if (!path && c->host->stdout_tty)
        return err_new(ERR_USAGE, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    if (!path)
        return fn(ctx, STDOUT_FILENO);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        TRY(fd_open_at(AT_FDCWD, path, O_WRONLY, 0, &fd));
        return fn(ctx, fd);
    }
    autofree char *part = mem_printf("%s.part-%d", path, (int)getpid());
    TRY(fd_open_at(AT_FDCWD, part, O_WRONLY | O_CREAT | O_EXCL, 0666, &fd));
    struct err *e = fn(ctx, fd);
    if (!e && rename(part, path) < 0)
        e = err_sys(errno, "rename %s to %s", part, path);
    if (e)
        unlink(part);
    return e;
}

void cli_add_proxies(struct cli_ctx *c, struct strv *env) {
    autoerr e = engine_proxies(c->engine, env);
    autostr struct str why = STR_INIT;
    if (!e)
        return;
    err_format(e, &why);
    fprintf(stderr, "WARNING: Error loading config file: %s\n", str_c(&why));
}

struct err *cli_each(struct cli_ctx *c, struct err *(*fn)(struct cli_ctx *c, const char *name), int *ret_code) {
    for (int i = 0; i < c->n_args; i++) {
        autoerr e = fn(c, c->args[i]);
        if (!e)
            continue;
        fflush(c->out);
        cli_error(c, e);
        *ret_code = 1;
    }
    return NULL;
}

struct err *cli_io_end(const struct monitor_io_result *r, int *ret_code) {
    if (r->ended)
        *ret_code = r->code;
    if (r->out_error == EPIPE)
        *ret_code = *ret_code ? *ret_code : 128 + SIGPIPE;
    else if (r->out_error)
        return err_sys(r->out_error, "write to standard output");
    return NULL;
}

struct err *cli_interrupt_fd(int *ret_fd) {
    static int fd = -1; /* of the process, as the signals are */
    sigset_t set;
    if (fd >= 0) {
        *ret_fd = fd;
        return NULL;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_sys(errno, "block signals");
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "make a signal descriptor");
    *ret_fd = fd;
    return NULL;
}

int cli_interrupt_code(void) {
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT};
    sigset_t set;
    if (sigpending(&set) == 0)
        for (size_t i = 0; i < ARRAY_LEN(signals); i++)
            if (sigismember(&set, signals[i]) == 1)
                return 128 + signals[i];
    return 128 + SIGINT;
}

const char *cli_tag_of(const char *name) {
    const char *slash = strrchr(name, '/');
    return strrchr(slash ? slash : name, ':');
}

void cli_print_loaded(FILE *out, const struct strv *references, const struct strv *ids) {
    for (size_t i = 0; i < references->n; i++) {
        autofree char *name = engine_reference_familiar(references->v[i]);
        fprintf(out, "Loaded image: %s\n", name);
    }
    for (size_t i = 0; i < ids->n; i++)
        fprintf(out, "Loaded image ID: sha256:%s\n", ids->v[i]);
}

void cli_ellipsis(const char *text, size_t max, struct str *out) {
    size_t runes = 0, cut = 0, n = 0;
    for (; text[n]; n++) {
        if (((unsigned char)text[n] & 0xc0) == 0x80)
            continue;
        if (++runes == max)
            cut = n;
    }
    str_append_n(out, text, runes > max ? cut : n);
    if (runes > max)
        str_append(out, "…");
}

/* docker's units.HumanSize: `precision` significant digits, powers of 1000. */
void cli_human_size(int64_t bytes, int precision, struct str *out) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double size = (double)bytes;
    size_t i = 0;
    while (size >= 1000.0 && i + 1 < ARRAY_LEN(units)) {
        size /= 1000.0;
        i++;
    }
    str_appendf(out, "%.*g%s", precision, size, units[i]);
}

void cli_created_at(int64_t created, struct str *out) {
    autostr struct str at = STR_INIT;
    clock_format_rfc3339(created - created % NSEC_PER_SEC, &at);
    str_appendf(out, "%.10s %.8s +0000 UTC", str_c(&at), at.len >= 19 ? str_c(&at) + 11 : "");
}

bool cli_confirm(struct cli_ctx *c, const char *warning) {
    char answer[16];
    fprintf(c->out, "%sAre you sure you want to continue? [y/N] ", warning);
    (void)fflush(c->out);
    ssize_t n = read(STDIN_FILENO, answer, sizeof answer);
    return n > 0 && (answer[0] == 'y' || answer[0] == 'Y') && (n == 1 || answer[1] == '\n' || answer[1] == '\r');
}
