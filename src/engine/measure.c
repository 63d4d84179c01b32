/*
 * measure: how large things are that lie in the store. Their directories may be closed to all but users of containers:
 * then the same is measured once more by a process in the user namespace, which sends its figures over a pipe.
 */
#include "engine/engine_int.h"

#include <string.h>

#include "storage/dedup.h"
#include "storage/rootfs.h"
#include "storage/volumes.h"

struct measuring {
    engine_measure_fn fn;
    const struct store *store;
    const char *name;
    int pipe;
};

static struct err *measure_inside(void *ctx) {
    const struct measuring *m = ctx;
    struct engine_size size = {.bytes = 0};
    TRY(m->fn(m->store, m->name, &size));
    return io_write_all(m->pipe, &size, sizeof size);
}

struct err *engine_measure(struct engine *e, engine_measure_fn fn, const char *name, struct engine_size *ret) {
    int pair[2], userns;
    autostr struct str answer = STR_INIT;
    struct err *denied = fn(e->store, name, ret);
    if (!denied || err_kind(denied) != ERR_DENIED)
        return denied;
    err_free(denied);
    TRY(engine_userns(e, &userns, NULL));
    TRY(fd_pipe(0, pair));
    autofd int in = pair[0];
    autofd int out = pair[1];
    struct measuring m = {fn, e->store, name, out};
    TRY(runtime_userns_call(userns, measure_inside, &m));
    fd_replace(&out, -1);
    TRY(io_read_all(in, sizeof *ret, "a size", &answer));
    if (answer.len == sizeof *ret)
        memcpy(ret, answer.ptr, sizeof *ret);
    return NULL;
}

struct err *engine_measure_container(const struct store *s, const char *id, struct engine_size *ret) {
    return store_container_size(s, id, &ret->bytes);
}

struct err *engine_measure_volume(const struct store *s, const char *name, struct engine_size *ret) {
    return store_volume_size(s, name, &ret->bytes);
}

struct err *engine_measure_idmaps(const struct store *s, const char *unused, struct engine_size *ret) {
    (void)unused;
    return store_shifted_size(s, &ret->bytes, &ret->unused);
}

struct err *engine_measure_deduped(const struct store *s, const char *unused, struct engine_size *ret) {
    (void)unused;
    return store_dedup_size(s, &ret->bytes);
}
