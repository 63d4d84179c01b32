/*
 * serving: what a killed helper's successor waits for.
 *
 * <run_root>/net/serving holds how many containers this user's helper serves. An orderly end leaves 0 there; a helper
 * that finds more comes after one that was killed, and that many monitors are about to ask it for a restore. Until they
 * have, or none of them has come for a while (containers may have died with the helper), everybody else waits: a new
 * container would have the helper make another namespace, or get an address that one of them holds, and a list would
 * leave them out. The file only ever makes somebody wait, so it does not matter what a crash of the machine leaves in
 * it; and it says more rather than less, for it is written before an answer and after an end.
 */
#include <fcntl.h>
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
#include "base/str.h"
#include "net/helper/warden_int.h"

enum { NEXT_WITHIN_MS = 1000, NS_IN_MS = 1000000, DIGITS = 8 };

/* ---- the file: a number and blanks, always of one size ---- */

static size_t read_count(int fd) {
    char text[DIGITS + 1] = "";
    int64_t n = 0;
    if (pread(fd, text, DIGITS, 0) <= 0)
        return 0;
    text[strcspn(text, " \n")] = '\0';
    return str_to_i64(text, 0, LEASES_MAX, &n) ? (size_t)n : 0;
}

static void write_count(int fd, size_t n) {
    autofree char *text = mem_printf("%-*zu\n", DIGITS - 1, n);
    if (fd >= 0 && pwrite(fd, text, DIGITS, 0) < 0)
        return; /* a full disk: the next helper waits for nobody */
}

/* ---- waiting ---- */

static void wait_on(struct warden *w) { w->await_until = loop_now() + (int64_t)NEXT_WITHIN_MS * NS_IN_MS; }

void serving_start(struct warden *w, const char *run_root) {
    if (!run_root)
        return;
    autofree char *path = path_join(run_root, "net/serving");
    autoerr e = fd_open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &w->serving);
    w->awaited = e ? 0 : read_count(w->serving);
    wait_on(w);
}

void serving_changed(struct warden *w) {
    if (w->awaited)
        wait_on(w);
    else
        write_count(w->serving, w->n_attached);
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
