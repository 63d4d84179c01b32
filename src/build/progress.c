/* progress: see progress_int.h. */
#include "build/progress_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys/sys.h"

enum { KEPT = 20, LINE_MAX_BYTES = 4096 };

void progress_text(const struct progress *p, const char *text) {
    if (p->fd >= 0)
        err_free(io_write_all(p->fd, text, strlen(text))); /* who does not listen misses it */
}

static double elapsed(const struct progress *p) { return (double)(clock_now() - p->start) / NSEC_PER_SEC; }

__attribute__((format(printf, 2, 0))) static void say(struct progress *p, const char *fmt, va_list ap) {
    autostr struct str line = STR_INIT, text = STR_INIT;
    str_append_v(&text, fmt, ap);
    str_appendf(&line, "#%u ", p->n);
    str_append_visible(&line, str_c(&text));
    str_append_c(&line, '\n');
    progress_text(p, str_c(&line));
    str_done(&text);
}

void progress_vertex(struct progress *p, const char *fmt, ...) {
    va_list ap;
    p->n++;
    p->start = clock_now();
    va_start(ap, fmt);
    say(p, fmt, ap);
    va_end(ap);
}

void progress_line(struct progress *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(p, fmt, ap);
    va_end(ap);
}

void progress_done(struct progress *p) {
    progress_line(p, "DONE %.1fs", elapsed(p));
    progress_text(p, "\n");
}

void progress_cached(struct progress *p) {
    progress_line(p, "CACHED");
    progress_text(p, "\n");
}

void progress_failed(struct progress *p, const struct err *e) {
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    progress_line(p, "ERROR: %s", str_c(&text));
}

/* ---- the output of a command ---- */

struct reader {
    const struct progress *p;
    struct str line;
    char *last[KEPT];
    size_t n;
};

static void end_line(struct reader *r) {
    autostr struct str shown = STR_INIT, visible = STR_INIT;
    str_append_visible(&visible, str_c(&r->line));
    str_appendf(&shown, "%.3f %s", elapsed(r->p), str_c(&visible));
    free(r->last[r->n % KEPT]);
    r->last[r->n++ % KEPT] = mem_dup(str_c(&shown));
    autofree char *numbered = mem_printf("#%u %s\n", r->p->n, str_c(&shown));
    progress_text(r->p, numbered);
    str_clear(&r->line);
    str_done(&visible);
}

static void take_bytes(struct reader *r, const char *data, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            if (r->line.len && r->line.ptr[r->line.len - 1] == '\r')
                r->line.ptr[--r->line.len] = 0;
            end_line(r);
            continue;
        }
        str_append_c(&r->line, data[i] ? data[i] : ' ');
        if (r->line.len == LINE_MAX_BYTES)
            end_line(r);
    }
}

static void read_all(const struct progress *p, int from, int kept) {
    struct reader r = {.p = p};
    char data[8192];
    for (;;) {
        ssize_t n = read(from, data, sizeof data);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        take_bytes(&r, data, (size_t)n);
    }
    if (r.line.len)
        end_line(&r);
    for (size_t i = r.n > KEPT ? r.n - KEPT : 0; i < r.n; i++) {
        autofree char *line = mem_printf("%s\n", r.last[i % KEPT]);
        err_free(io_write_all(kept, line, strlen(line)));
    }
}

struct err *progress_tail_start(const struct progress *p, struct progress_tail *ret) {
    int pair[2];
    TRY(fd_pipe(0, pair));
    autofd int out = pair[0];
    autofd int in = pair[1];
    autofd int kept = sys_memfd("output", MFD_CLOEXEC);
    if (kept < 0)
        return err_sys(errno, "make a memory file");
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(errno, "fork");
    if (pid == 0) {
        const int keep[] = {out, kept, p->fd >= 0 ? p->fd : out, 2};
        fd_close_all_but(keep, ARRAY_LEN(keep));
        setpgid(0, 0); /* what the user types to stop the command is not for who shows its last words */
        read_all(p, out, kept);
        _exit(0);
    }
    *ret = (struct progress_tail){.in = take_fd(&in), .kept = take_fd(&kept), .pid = pid};
    return NULL;
}

void progress_tail_end(struct progress_tail *t, struct str *out) {
    int status;
    fd_replace(&t->in, -1);
    while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (lseek(t->kept, 0, SEEK_SET) == 0)
        err_free(io_read_all(t->kept, (size_t)1 << 20, "the command's output", out));
    fd_replace(&t->kept, -1);
}
