/*
 * passing: images that are in the store only until their build has written them to where they were wanted.
 *
 * Two builds may come to the same image at once, and what is not to stay for one of them may be about to be written, to
 * get a name, or to be kept by the other. So builds/passing has a line for each such image, "-ID" or, where a build
 * leaves it there without a name, "+ID"; whoever makes an image holds a shared lock on the file meanwhile; and the last
 * of them, who gets it for itself, removes what is to go and empties it. A build that was killed leaves its lines to
 * the next.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "engine/build.h"
#include "engine/engine_int.h"
#include "storage/builds.h"

enum { MOST = 16 << 20 /* bytes of lines */ };

struct err *engine_passing_begin(struct engine *e, int *ret_fd) {
    struct store *s;
    autofd int fd = -1;
    TRY(engine_store(e, &s));
    TRY(store_builds_passing(s, &fd));
    TRY(io_lock(fd, IO_LOCK_SHARED));
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *engine_passing_note(int fd, const char *id, bool stays) {
    autofree char *line = mem_printf("%c%s\n", stays ? '+' : '-', id);
    return io_write_all(fd, line, strlen(line));
}

/* Nobody else makes an image: what is there has the names that it is to have. */
static struct err *remove_all(struct engine *e, int fd) {
    autostr struct str text = STR_INIT;
    autostrv struct strv lines = {.n = 0};
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "read builds/passing");
    TRY(io_read_all(fd, MOST, "builds/passing", &text));
    strv_split(&lines, str_c(&text), '\n');
    for (size_t i = 0; i < lines.n; i++) {
        autofree char *stays = mem_printf("+%s", *lines.v[i] ? lines.v[i] + 1 : "");
        if (*lines.v[i] != '-' || strv_has(&lines, stays))
            continue;
        autojson removed = NULL;
        /* one that a container has by now stays */
        err_free(engine_image_prune(e, lines.v[i] + 1, ENGINE_IMAGE_UNNAMED, &removed));
    }
    return text.len && ftruncate(fd, 0) < 0 ? err_sys(errno, "empty builds/passing") : NULL;
}

void engine_passing_end(struct engine *e, int fd) {
    bool alone = false;
    if (fd < 0)
        return;
    struct err *bad = io_unlock(fd); /* two who ask for it with the lock that both have would both be refused */
    if (!bad)
        bad = io_try_lock(fd, IO_LOCK_EXCLUSIVE, &alone);
    if (!bad)
        bad = alone ? remove_all(e, fd) : io_lock(fd, IO_LOCK_SHARED); /* the other may be removing ours */
    if (bad) {
        autostr struct str why = STR_INIT;
        err_format(bad, &why);
        log_warn("images that were only to be written are in the store still: %s", str_c(&why));
        err_free(bad);
    }
    err_free(io_unlock(fd)); /* a process that was forked meanwhile may have the descriptor, too */
    close(fd);
}
