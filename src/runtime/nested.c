/*
 * nested: what the middle process (create.c) does for a container that has a user namespace of its own, before it goes
 * into that.
 *
 * Root of such a container may be anybody to the store: with `auto` it has no id of the user's at all. So whatever
 * needs the host's paths is done here, as root of the namespace above, and handed down as descriptors: the root file
 * system and the sources of bind mounts as detached mounts, which any mount namespace below takes. What the container
 * is to own besides its files is given to its root: the pipes that are its stdio. The cgroup is entered here too, as
 * the new process might not be allowed to.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/idmap.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "runtime/runtime_int.h"

/* ---- mounts ---- */

static struct err *open_sources(struct init *in) {
    const struct json *mounts = json_get(in->c->config, "mounts");
    in->nested->sources = mem_array(json_count(mounts) + 1, sizeof *in->nested->sources);
    JSON_EACH(it, mounts) {
        int tree = -1;
        TRY_CTX(mounts_clone_source(in, it, &tree), "mount %s on %s", json_text(it, "source"),
                json_text(it, "destination"));
        if (tree >= 0)
            in->nested->sources[in->nested->n++] = tree;
    }
    return NULL;
}

struct err *nested_source(struct nested *n, int *ret_tree) {
    if (n->next == n->n)
        return err_new(ERR_CORRUPT, "a bind mount that was not foreseen");
    *ret_tree = n->sources[n->next++];
    return NULL;
}

/* ---- what else is the container's ---- */

/* Programs open /dev/stdout again: the pipe behind it must be one that the container's root may give on to a user. */
void nested_give(const int stdio[3], const struct id_map *m) {
    struct stat st;
    uint32_t uid, gid;
    if (!idmap_above(m->uid, m->n_uid, 0, &uid) || !idmap_above(m->gid, m->n_gid, 0, &gid))
        return;
    for (int i = 0; i < 3; i++)
        if (stdio[i] >= 0 && fstat(stdio[i], &st) == 0 && S_ISFIFO(st.st_mode) && fchown(stdio[i], uid, gid) < 0)
            log_debug("a pipe of the container's stays the user's");
}

/* By which the process that is made then is in it. Never without its limits. */
static struct err *enter_cgroup(const struct init *in) {
    autofd int procs = -1;
    if (!in->c->cgroup || in->c->cgroup->v2 < 0)
        return NULL;
    struct err *e = fd_open_at(in->c->cgroup->v2, "cgroup.procs", O_WRONLY, 0, &procs);
    if (!e && write(procs, "0", 1) != 1)
        e = err_sys(errno, "enter the container's cgroup");
    if (e && json_count(json_get(in->linux_, "resources")))
        return e;
    err_free(e);
    return NULL;
}

/* Those that are not the user namespace and do not take effect in children only. */
static struct err *join_others(const struct init *in) {
    for (int i = 0; i < in->c->n_join; i++) {
        unsigned flag = in->c->join[i].clone_flag;
        if (!(flag & (CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWNS)) && setns(in->c->join[i].fd, (int)flag) < 0)
            return err_sys(errno, "join a namespace of another container");
    }
    return NULL;
}

static struct err *enter_userns(const struct init *in) {
    autofd int made = -1;
    for (int i = 0; i < in->c->n_join; i++)
        if (in->c->join[i].clone_flag == CLONE_NEWUSER)
            return runtime_userns_enter(in->c->join[i].fd);
    TRY(userns_nest(in->c->map, &made));
    return runtime_userns_enter(made);
}

struct err *nested_enter(struct init *in) {
    in->nested = mem_alloc(sizeof *in->nested);
    *in->nested = (struct nested){.n = 0};
    TRY(rootfs_open(in->c->rootfs, &in->root));
    TRY(open_sources(in));
    middle_unmount(in->c->rootfs); /* the detached mounts must be the last, so that fuse-overlayfs ends with them */
    if (in->c->prepare)
        TRY(in->c->prepare(in->c->ctx, in->root));
    TRY(init_program_open(in));
    if (!in->c->terminal)
        nested_give(in->c->stdio, in->c->map);
    TRY(enter_cgroup(in));
    TRY(join_others(in));
    return enter_userns(in);
}
