/*
 * serving: what a helper waits for that comes after another.
 *
 * <run_root>/net/serving holds how many containers this user's helper serves, for which monitors, and which process
 * its loop is.
 *
 * The listener closes with the warden, and the loop dies a moment later: until then its ports are busy and its taps are
 * there. So its successor begins when it is gone.
 *
 * An orderly end leaves 0 containers; a helper that finds more comes after one that was killed, and those of the
 * monitors that still live are about to ask it for a restore. Until each of them has, or has ended (containers may die
 * with the helper), everybody else waits: a new container would have the helper make another namespace, or get an
 * address that one of them holds, and a list would leave them out. One of the monitors itself may ask for a list before
 * its restore (a container with links): that waits for the others, but for those who do the same. A machine that is
 * busy may well keep a monitor from a processor for some seconds; one that does not come at all, because somebody has
 * stopped it, is given up.
 *
 * The file only ever makes somebody wait, so it does not matter what a crash of the machine leaves in it; and it says
 * more rather than less, for it is written before an answer and after an end.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/helper/warden_int.h"

enum { NEXT_WITHIN_MS = 10000, LOOP_ENDS_WITHIN_MS = 30000, WIDTH = 48 };

/*
 * ---- the file: lines of one width. The first is of the loop, the others are of the containers' monitors: "N pid start
 * ", where N is how many lines follow ----
 */

struct served {
    int64_t following, pid;
    uint64_t start; /* proc_start_time() */
};

static struct served read_line(int fd, int64_t i) {
    char text[WIDTH + 1] = "", *rest = text;
    struct served s = {0};
    if (pread(fd, text, WIDTH, i * WIDTH) <= 0)
        return s;
    const char *following = strsep(&rest, " "), *pid = strsep(&rest, " "), *start = strsep(&rest, " ");
    if (!start || !str_to_i64(following, 0, LEASES_MAX, &s.following) || !str_to_i64(pid, 1, INT32_MAX, &s.pid) ||
        !str_to_u64(start, 10, UINT64_MAX, &s.start))
        return (struct served){0};
    return s;
}

static void append_line(struct str *text, struct served s) {
    autofree char *line = mem_printf("%lld %lld %" PRIu64 " ", (long long)s.following, (long long)s.pid, s.start);
    str_appendf(text, "%-*s\n", WIDTH - 1, line);
}

static void append_loop(const struct warden *w, struct str *text, size_t containers) {
    append_line(text, (struct served){.following = (int64_t)containers, .pid = w->loop_pid, .start = w->loop_start});
}

static void write_text(const struct warden *w, const struct str *text) {
    if (w->serving >= 0 && pwrite(w->serving, text->ptr, text->len, 0) < 0)
        return; /* a full disk: the next helper waits for nobody */
}

static void append_monitor(struct str *text, struct lease *l, size_t following) {
    if (l->pid && !l->pid_start)
        err_free(proc_start_time(l->pid, &l->pid_start));
    append_line(text, (struct served){.following = (int64_t)following, .pid = l->pid, .start = l->pid_start});
}

static void write_served(const struct warden *w) {
    autostr struct str text = STR_INIT;
    size_t left = w->n_attached;
    append_loop(w, &text, left);
    for (struct lease *l = w->leases; l; l = l->next)
        if (l->attached)
            append_monitor(&text, l, --left);
    write_text(w, &text);
}

/* ---- waiting ---- */

/* A monitor that held a lease of the last helper. It is not freed before all events of a round have been dealt with. */
struct awaited {
    struct source source; /* first: its pidfd, which is ready when it has ended; -1: nobody waits for it any more */
    struct awaited *next;
    pid_t pid;
    bool has_asked; /* for a list, and for nothing else yet */
};

static void wait_on(struct warden *w) { w->await_until = loop_now() + NEXT_WITHIN_MS * NSEC_PER_MSEC; }

static void await_no_more(struct warden *w, struct awaited *a) {
    if (a->source.fd < 0)
        return;
    fd_replace(&a->source.fd, -1); /* takes it out of the table */
    w->n_awaited--;
}

static void awaited_ended(struct warden *w, struct source *s) { await_no_more(w, (struct awaited *)s); }

/* One that cannot be opened has ended. */
static void await(struct warden *w, const struct served *s) {
    autofd int pidfd = -1;
    if (s->pid)
        err_free(proc_open((pid_t)s->pid, s->start, &pidfd));
    if (pidfd < 0)
        return;
    struct awaited *a = mem_alloc(sizeof *a);
    a->pid = (pid_t)s->pid;
    a->next = w->awaited;
    w->awaited = a;
    w->n_awaited++;
    warden_watch(w, &a->source, take_fd(&pidfd), awaited_ended);
}

/* By the pid of a monitor, NULL: it is not awaited. */
static struct awaited *awaited_find(const struct warden *w, pid_t pid) {
    struct awaited *a = w->awaited;
    while (a && (a->pid != pid || a->source.fd < 0))
        a = a->next;
    return a;
}

/* A monitor asks once by each of its connections: for a restore, or for a lease anew when its container has died as
 * well and is started again, or when the last helper could not answer. */
static void came(struct warden *w, struct awaited *a) {
    if (!a)
        return;
    await_no_more(w, a);
    wait_on(w);
}

/* One that does not die, because the kernel does not let go of it, costs its ports. */
static struct err *wait_for_end(const struct served *s) {
    autofd int pidfd = -1;
    bool ended;
    TRY(proc_open((pid_t)s->pid, s->start, &pidfd));
    return proc_wait_end(pidfd, LOOP_ENDS_WITHIN_MS * NSEC_PER_MSEC, &ended);
}

void serving_start(struct warden *w, const char *run_root, pid_t loop) {
    if (!run_root)
        return;
    autofree char *path = path_join(run_root, "net/serving");
    autoerr e = fd_open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &w->serving);
    struct served last = {0};
    if (!e)
        last = read_line(w->serving, 0);
    if (last.pid)
        err_free(wait_for_end(&last));
    err_free(proc_start_time(loop, &w->loop_start)); /* of one that is gone: and we with it, soon */
    w->loop_pid = loop;
    for (int64_t i = 1; i <= last.following; i++) {
        struct served s = read_line(w->serving, i);
        await(w, &s);
    }
    autostr struct str text = STR_INIT;
    append_loop(w, &text, (size_t)last.following); /* the lines of the others are right until all are back */
    write_text(w, &text);
    wait_on(w);
}

void serving_changed(struct warden *w) {
    if (!w->n_awaited)
        write_served(w);
}

void serving_by(struct lease *l, int fd) {
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0)
        l->pid = peer.pid;
}

int serving_timeout(const struct warden *w) {
    int64_t left = w->await_until - loop_now();
    return left > 0 ? (int)(left / NSEC_PER_MSEC) + 1 : 0;
}

static bool is(const struct json *request, const char *op) {
    return str_eq(json_str_value(json_get(request, "op")), op);
}

/* Whether a request has to wait. */
static bool waits(const struct warden *w, const struct lease *l, const struct json *request) {
    if (!w->n_awaited || !is(request, "list") || !awaited_find(w, l->pid))
        return w->n_awaited;
    const struct awaited *a = w->awaited;
    while (a && (a->source.fd < 0 || a->pid == l->pid || a->has_asked))
        a = a->next;
    return a;
}

bool serving_defers(struct warden *w, struct lease *l, const struct json *request, int *fds, size_t n_fds) {
    bool restores = is(request, "restore");
    struct awaited *a = awaited_find(w, l->pid);
    if (restores || is(request, "attach"))
        came(w, a);
    else if (a)
        a->has_asked |= is(request, "list");
    if (restores || !waits(w, l, request))
        return false;
    l->deferred = json_copy(request);
    if (n_fds)
        l->deferred_fd = take_fd(&fds[0]);
    return true;
}

void serving_forget(struct lease *l) {
    json_free(take_ptr(&l->deferred));
    fd_replace(&l->deferred_fd, -1);
}

/* Those who need not wait any more. */
static void serve_deferred(struct warden *w) {
    for (struct lease *l = w->leases; l; l = l->next) {
        if (!l->deferred || waits(w, l, l->deferred))
            continue;
        lease_request(w, l, l->deferred, &l->deferred_fd, l->deferred_fd >= 0);
        serving_forget(l);
    }
}

void serving_settle(struct warden *w, bool nobody) {
    if (w->settled)
        return;
    if (w->n_awaited && !(nobody && loop_now() >= w->await_until)) {
        serve_deferred(w);
        return;
    }
    while (w->awaited) {
        struct awaited *a = w->awaited;
        w->awaited = a->next;
        await_no_more(w, a);
        free(a);
    }
    w->settled = true;
    serving_changed(w);
    serve_deferred(w);
}
