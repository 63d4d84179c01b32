/*
 * logs: what containers have written, of one or of several. Those of several are read by a child process for each,
 * whose lines this one prints, with the container's name before them, as they come: whole lines, never parts of two.
 */
#include "engine/engine_int.h"

#include "spec/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Whether the container's directory has what can be read; *ret_local: in the format of the driver local. */
static struct err *log_readable(const struct engine_container *c, bool *ret_local) {
    const char *driver = json_str_value(json_get(c->summary, "LogDriver"));
    autostrmap struct strmap opts = {.n = 0};
    struct spec_log o;
    TRY(json_get_strmap_opt(c->summary, "LogOpts", &opts));
    TRY(spec_log_parse(driver, &opts, &o));
    *ret_local = o.kind == SPEC_LOG_LOCAL || o.copy;
    if (o.kind == SPEC_LOG_JSON_FILE || *ret_local)
        return NULL;
    struct err *e = err_new(ERR_UNSUPPORTED, "configured logging driver does not support reading");
    if (o.kind == SPEC_LOG_JOURNALD)
        return err_hint(e, "run 'journalctl CONTAINER_NAME=%s', or leave out --log-opt cache-disabled",
                        engine_container_name(c));
    return e;
}

struct err *engine_container_logs(struct engine *e, const char *name, const struct monitor_log_read *read) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    struct monitor_log_read r = *read;
    TRY(log_readable(&c, &r.local));
    autofd int lock = -1;
    if (r.follow) {
        TRY(fd_open_at(c.dirfd, "lock", O_RDWR, 0, &lock));
        r.lock_fd = lock;
    }
    return monitor_log_print(c.dirfd, &r);
}

/* ---- several ---- */

enum { LINE_MAX_KEPT = 1 << 20, BLOCK = 64 << 10 };

struct stream {
    int from; /* -1: at its end */
    int to;
    struct str line; /* its last one has no end yet */
};
struct source {
    char *prefix;
    pid_t pid;
    struct stream streams[2];
};

static void source_done(struct source *s) {
    free(s->prefix);
    for (size_t i = 0; i < ARRAY_LEN(s->streams); i++) {
        fd_close(s->streams[i].from);
        str_done(&s->streams[i].line);
    }
}

static struct err *print_lines(const struct source *s, struct stream *t, bool end) {
    autostr struct str out = STR_INIT;
    const char *at = t->line.ptr, *stop = at + t->line.len, *nl;
    while (at < stop && ((nl = memchr(at, '\n', (size_t)(stop - at))) || end || stop - at > LINE_MAX_KEPT)) {
        size_t n = nl ? (size_t)(nl - at) + 1 : (size_t)(stop - at);
        str_append(&out, s->prefix);
        str_append_n(&out, at, n);
        if (!nl) /* the next line is another container's */
            str_append_c(&out, '\n');
        at += n;
    }
    if (!out.len)
        return NULL;
    autofree char *rest = mem_dupn(at, (size_t)(stop - at));
    size_t n = (size_t)(stop - at);
    str_clear(&t->line);
    str_append_n(&t->line, rest, n);
    return io_write_all(t->to, str_c(&out), out.len);
}

static struct err *stream_read(const struct source *s, struct stream *t) {
    char *to = str_reserve(&t->line, BLOCK);
    ssize_t n = read(t->from, to, BLOCK);
    if (n < 0 && errno == EINTR)
        return NULL;
    if (n <= 0) {
        fd_replace(&t->from, -1);
        return print_lines(s, t, true);
    }
    t->line.len += (size_t)n;
    t->line.ptr[t->line.len] = '\0';
    return print_lines(s, t, false);
}

/* In the child: it ends with us. */
static void read_one(struct engine *e, const char *id, const struct monitor_log_read *r, pid_t parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
    autoerr bad = engine_container_logs(e, id, r);
    if (!bad || err_errno(bad) == EPIPE)
        _exit(0);
    autostr struct str text = STR_INIT;
    err_format(bad, &text);
    str_append_c(&text, '\n');
    err_free(io_write_all(r->err, text.ptr, text.len));
    _exit(1);
}

static struct err *source_start(struct engine *e, const char *id, const struct monitor_log_read *r, struct source *s) {
    int out[2], err[2];
    TRY(fd_pipe(0, out));
    s->streams[0] = (struct stream){.from = out[0], .to = r->out, .line = STR_INIT};
    autofd int out_end = out[1];
    TRY(fd_pipe(0, err));
    s->streams[1] = (struct stream){.from = err[0], .to = r->err, .line = STR_INIT};
    autofd int err_end = err[1];
    pid_t self = getpid();
    s->pid = fork();
    if (s->pid < 0)
        return err_sys(errno, "fork");
    if (s->pid == 0) {
        struct monitor_log_read theirs = *r;
        theirs.out = out_end;
        theirs.err = err_end;
        read_one(e, id, &theirs, self);
    }
    return NULL;
}

/* Prints what comes until all of them are at their end. */
static struct err *pump(struct source *sources, size_t n) {
    autofree struct pollfd *p = mem_array(2 * n, sizeof *p);
    for (;;) {
        bool open = false;
        for (size_t i = 0; i < 2 * n; i++) {
            p[i] = (struct pollfd){.fd = sources[i / 2].streams[i % 2].from, .events = POLLIN};
            open = open || p[i].fd >= 0;
        }
        if (!open)
            return NULL;
        if (poll(p, 2 * n, -1) < 0 && errno != EINTR)
            return err_sys(errno, "wait for logs");
        for (size_t i = 0; i < 2 * n; i++)
            if (p[i].revents)
                TRY(stream_read(&sources[i / 2], &sources[i / 2].streams[i % 2]));
    }
}

static struct err *sources_end(struct source *sources, size_t n) {
    bool failed = false;
    for (size_t i = 0; i < n; i++) {
        int code = 0;
        source_done(&sources[i]);
        if (sources[i].pid <= 0)
            continue;
        TRY(proc_reap(sources[i].pid, &code));
        failed = failed || code != 0;
    }
    return failed ? err_new(ERR_SYSTEM, "not every log could be read") : NULL;
}

static char *prefix_of(const struct engine_container *c, const struct engine_logs *l, size_t i) {
    static const int colours[] = {33, 36, 35, 32, 34, 31};
    autofree char *text = l->by_name ? mem_dup(engine_container_name(c)) : mem_dupn(c->id, ID_SHORT_LEN);
    if (!l->colour)
        return mem_printf("%s ", text);
    return mem_printf("\033[%dm%s\033[0m ", colours[i % ARRAY_LEN(colours)], text);
}

/* Those that are followed are so at once; others one after the other, whole. */
static struct err *print_all(struct engine *e, const struct engine_logs *l, struct strv *ids, struct source *sources) {
    for (size_t i = 0; i < ids->n; i++) {
        TRY(source_start(e, ids->v[i], &l->read, &sources[i]));
        if (!l->read.follow)
            TRY(pump(&sources[i], 1));
    }
    return pump(sources, ids->n);
}

struct err *engine_containers_logs(struct engine *e, const struct engine_logs *l) {
    autostrv struct strv ids = {.n = 0};
    autofree struct source *sources = mem_array(l->n, sizeof *sources);
    struct err *bad = NULL;
    for (size_t i = 0; i < l->n; i++)
        sources[i] = (struct source){.streams = {{.from = -1}, {.from = -1}}};
    for (size_t i = 0; i < l->n && !bad; i++) {
        autocontainer c = ENGINE_CONTAINER_INIT;
        bad = engine_container_load(e, l->names[i], &c);
        if (bad)
            break;
        strv_push(&ids, c.id);
        sources[i].prefix = prefix_of(&c, l, i);
    }
    if (!bad)
        bad = print_all(e, l, &ids, sources);
    return err_first(bad, sources_end(sources, l->n));
}
