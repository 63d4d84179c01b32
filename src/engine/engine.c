#include "engine/engine_int.h"
#include "engine/observe.h"
#include "storage/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

struct engine *engine_new(const struct host *host, const struct config *config) {
    struct engine *e = mem_alloc(sizeof *e);
    *e = (struct engine){.host = host, .config = config, .userns_fd = -1};
    return e;
}

struct err *engine_protect_self(char *const *argv) {
    return runtime_protect_self(argv);
}

void engine_free(struct engine *e) {
    if (!e)
        return;
    if (e->due || e->due_sweep)
        engine_collect(e, e->due_sweep);
    store_free(e->store);
    fd_close(e->userns_fd);
    free(e);
}

/* A store of others that is not there, such as one on a network, does not stop work with one's own. */
static void add_shared(const struct engine *e) {
    for (size_t i = 0; i < e->config->image_stores.n; i++) {
        autoerr bad = store_shared_add(e->store, e->config->image_stores.v[i]);
        autostr struct str why = STR_INIT;
        if (!bad)
            continue;
        err_format(bad, &why);
        log_warn("%s", str_c(&why));
    }
}

struct err *engine_store(struct engine *e, struct store **ret) {
    if (!e->store) {
        TRY(store_open(e->host, &e->store));
        add_shared(e);
    }
    *ret = e->store;
    return NULL;
}

struct err *engine_userns(struct engine *e, int *ret_fd, uint32_t *ret_ids) {
    if (e->userns_fd < 0)
        TRY(runtime_userns_get(e->host, &e->userns_fd, &e->ids));
    *ret_fd = e->userns_fd;
    if (ret_ids)
        *ret_ids = e->ids;
    return NULL;
}

/* Under the same number: what the command has recorded of itself names the descriptor (runtime/userns.c). */
struct err *engine_userns_move(struct engine *e, int ns, pid_t inside) {
    uint32_t ids;
    if (!runtime_userns_is_ours(e->host, ns, inside, &ids))
        return err_new(ERR_CONFLICT, "containers have their networks in a user namespace that this one cannot be in");
    if (dup3(ns, e->userns_fd, O_CLOEXEC) < 0)
        return err_sys(errno, "keep the user namespace");
    e->ids = ids;
    return NULL;
}

struct err *engine_userns_cb(void *ctx, int *ret_fd, uint32_t *ret_ids) {
    return engine_userns(ctx, ret_fd, ret_ids);
}

static struct err *collect_call(void *ctx) { return store_collect(ctx); }

static struct err *sweep_call(void *ctx) {
    bool skipped = false;
    int64_t bytes = 0;
    TRY(store_sweep(ctx, true, &skipped, &bytes));
    return store_collect(ctx);
}

/* What the detached child does: first as the plain user, which is enough for most containers, then inside the
 * namespace. */
static void collect_child(struct engine *e, bool sweep) {
    autostrv struct strv known = {.n = 0};
    autoerr unread = store_container_ids(e->store, &known);
    if (!unread && store_apart_hold(e->store) < 0) /* that one does not know the others */
        engine_run_dirs_sweep(e, &known);
    if (!sweep)
        err_free(store_collect(e->store));
    if (!sweep && !store_has_debris(e->store))
        return;
    int fd = -1;
    autoerr bad = engine_userns(e, &fd, NULL);
    if (bad)
        return;
    autoerr r = runtime_userns_call(fd, sweep ? sweep_call : collect_call, e->store);
    if (r)
        log_debug("collecting debris failed");
}

void engine_collect(struct engine *e, bool sweep) {
    if (!e->store || (!sweep && !store_has_debris(e->store)))
        return;
    pid_t child = fork();
    if (child < 0)
        return;
    if (child > 0) {
        int status;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        return;
    }
    /* The grandchild belongs to nobody here and outlives the command; it must not keep the caller's pipes open. */
    if (fork() == 0) {
        setsid();
        fd_null_stdio();
        collect_child(e, sweep);
    }
    _exit(0);
}

void engine_collect_later(struct engine *e, bool sweep) {
    enum { DUE_MAX = 64 }; /* what lies in the trash takes up space */
    e->due_sweep |= sweep;
    if (++e->due < DUE_MAX)
        return;
    e->due = 0;
    engine_collect(e, false);
}

void engine_sweep(struct engine *e) { e->due_sweep = true; }

bool engine_process_ended(int pidfd, const struct err *e) {
    enum { DYING_S = 5 }; /* it has to run for that, too */
    bool ended = false;
    if (pidfd < 0)
        return err_kind(e) == ERR_NOT_FOUND;
    autoerr unknown = proc_wait_end(pidfd, err_kind(e) == ERR_DENIED ? DYING_S * NSEC_PER_SEC : 0, &ended);
    return !unknown && ended;
}

struct err *engine_err_not_running(const char *id) {
    return err_new(ERR_CONFLICT, "container %s is not running", id);
}
