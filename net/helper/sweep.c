/*
 * sweep: links of containers that have ended are deleted beside the warden, for the kernel takes 40 ms to be sure that
 * nobody uses one any more, and the next container shall not wait for that. A thread of its own reads names from a
 * pipe; it shares nothing with the warden but the pipe and a socket that only it uses. A name is random and never used
 * again, so it does not matter when its link goes.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/helper/warden_int.h"

struct sweeper {
    int pipe;
    struct rtnl *rtnl;
};

static void *sweeper_main(void *ctx) {
    struct sweeper *s = ctx;
    char name[LINK_NAME_MAX];
    while (read(s->pipe, name, sizeof name) == (ssize_t)sizeof name)
        err_free(rtnl_delete(s->rtnl, name));
    fd_close(s->pipe);
    rtnl_free(s->rtnl);
    free(s);
    return NULL;
}

struct err *sweep_start(struct warden *w) {
    struct rtnl *r = NULL;
    int ends[2];
    pthread_t thread;
    if (w->sweep >= 0)
        return NULL;
    TRY(rtnl_open(&r));
    struct err *e = fd_pipe(0, ends);
    if (e) {
        rtnl_free(r);
        return e;
    }
    struct sweeper *s = mem_alloc(sizeof *s);
    *s = (struct sweeper){.pipe = ends[0], .rtnl = r};
    w->sweep = ends[1];
    int failed = pthread_create(&thread, NULL, sweeper_main, s);
    if (!failed)
        pthread_detach(thread);
    return failed ? err_sys(failed, "start the sweeper") : NULL;
}

void sweep(struct warden *w, const char *link) {
    char name[LINK_NAME_MAX] = "";
    memcpy(name, link, strnlen(link, sizeof name - 1));
    if (write(w->sweep, name, sizeof name) != (ssize_t)sizeof name)
        warden_die(err_sys(errno, "tell the sweeper"));
}
