/*
 * serving: what a helper waits for that comes after another.
 *
 * <run_root>/net/serving holds how many containers this user's helper serves, and which process its loop is.
 *
 * The listener closes with the warden, and the loop dies a moment later: until then its ports are busy and its taps are
 * there. So its successor begins when it is gone.
 *
 * An orderly end leaves 0 containers; a helper that finds more comes after one that was killed, and that many monitors
 * are about to ask it for a restore. Until they have, or none of them has come for a while (containers may have died
 * with the helper), everybody else waits: a new container would have the helper make another namespace, or get an
 * address that one of them holds, and a list would leave them out.
 *
 * The file only ever makes somebody wait, so it does not matter what a crash of the machine leaves in it; and it says
 * more rather than less, for it is written before an answer and after an end.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/helper/warden_int.h"

#define NS_IN_MS INT64_C(1000000)

enum { NEXT_WITHIN_MS = 1000, LOOP_ENDS_WITHIN_MS = 30000, WIDTH = 48 };

/* ---- the file: the number, the loop's pid and its start time, and blanks up to one width ---- */

struct served {
    int64_t containers, loop;
    uint64_t loop_start;
};

static struct served read_served(int fd) {
    char text[WIDTH + 1] = "", *rest = text;
    struct served s = {0};
    if (pread(fd, text, WIDTH, 0) <= 0)
        return s;
    const char *containers = strsep(&rest, " "), *loop = strsep(&rest, " "), *start = strsep(&rest, " ");
    if (!start || !str_to_i64(containers, 0, LEASES_MAX, &s.containers) || !str_to_i64(loop, 1, INT32_MAX, &s.loop) ||
        !str_to_u64(start, 10, UINT64_MAX, &s.loop_start))
        return (struct served){0};
    return s;
}

static void write_served(const struct warden *w, size_t containers) {
    autofree char *text = mem_printf("%zu %d %" PRIu64 " ", containers, (int)w->loop_pid, w->loop_start);
    autofree char *padded = mem_printf("%-*s\n", WIDTH - 1, text);
    if (w->serving >= 0 && pwrite(w->serving, padded, WIDTH, 0) < 0)
        return; /* a full disk: the next helper waits for nobody */
}

/* ---- waiting ---- */

static void wait_on(struct warden *w) { w->await_until = loop_now() + NEXT_WITHIN_MS * NS_IN_MS; }

/* One that does not die, because the kernel does not let go of it, costs its ports. */
static struct err *wait_for_end(const struct served *s) {
    autofd int pidfd = -1;
    bool ended;
    TRY(proc_open((pid_t)s->loop, s->loop_start, &pidfd));
    return proc_wait_end(pidfd, LOOP_ENDS_WITHIN_MS * NS_IN_MS, &ended);
}

void serving_start(struct warden *w, const char *run_root, pid_t loop) {
    if (!run_root)
        return;
    autofree char *path = path_join(run_root, "net/serving");
    autoerr e = fd_open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &w->serving);
    struct served last = {0};
    if (!e)
        last = read_served(w->serving);
    if (last.loop)
        err_free(wait_for_end(&last));
    err_free(proc_start_time(loop, &w->loop_start)); /* of one that is gone: and we with it, soon */
    w->loop_pid = loop;
    w->awaited = (size_t)last.containers;
    write_served(w, w->awaited);
    wait_on(w);
}

void serving_changed(struct warden *w) {
    if (w->awaited)
        wait_on(w);
    else
        write_served(w, w->n_attached);
}

int serving_timeout(const struct warden *w) {
    int64_t left = w->await_until - loop_now();
    return left > 0 ? (int)(left / NS_IN_MS) + 1 : 0;
}

bool serving_defers(const struct warden *w, struct lease *l, const struct json *request, int *fds, size_t n_fds) {
    if (!w->awaited || str_eq(json_str_value(json_get(request, "op")), "restore"))
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

void serving_settle(struct warden *w) {
    if (!w->awaited || (w->n_attached < w->awaited && loop_now() < w->await_until))
        return;
    w->awaited = 0;
    serving_changed(w);
    for (struct lease *l = w->leases; l; l = l->next) {
        if (!l->deferred)
            continue;
        lease_request(w, l, l->deferred, &l->deferred_fd, l->deferred_fd >= 0);
        serving_forget(l);
    }
}
