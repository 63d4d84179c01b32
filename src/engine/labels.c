/* labels: see labels_int.h. Here what is asked and planned; labels_put.c relabels. */
#include "engine/labels_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "engine/engine_int.h"
#include "spec/selinux.h"

enum { CONTEXTS_MAX = 65536 };

struct labels {
    struct selinux_machine machine;
    struct selinux_labels policy;
    char *level, *same;
};

void labels_free(struct labels *l) {
    if (!l)
        return;
    selinux_labels_done(&l->policy);
    free(l->level);
    free(l->same);
    free(l);
}

static void labels_freep(struct labels **l) { labels_free(*l); }

const struct selinux_machine *labels_machine(const struct labels *l) { return l ? &l->machine : NULL; }

/* ---- the policy ---- */

/* Where the loaded policy's own file would be, owned. */
static char *policy_file(void) {
    autostr struct str text = STR_INIT_MAX(CONTEXTS_MAX);
    autoerr none = io_read_file(AT_FDCWD, "/etc/selinux/config", CONTEXTS_MAX, &text);
    autofree char *name = none ? NULL : selinux_policy_name(str_c(&text));
    return mem_printf("/etc/selinux/%s/contexts/lxc_contexts", name ? name : "targeted");
}

static struct err *read_policy(struct selinux_labels *ret) {
    autofree char *own = policy_file();
    const char *const paths[] = {"/usr/share/containers/selinux/contexts", own};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        autostr struct str text = STR_INIT_MAX(CONTEXTS_MAX);
        struct err *e = io_read_file(AT_FDCWD, paths[i], CONTEXTS_MAX, &text);
        if (!e)
            return (e = selinux_contexts_parse(str_c(&text), ret)) ? err_wrap(e, "%s", paths[i]) : NULL;
        if (err_errno(e) != ENOENT)
            return e;
        err_free(e);
    }
    return err_hint(err_new(ERR_NOT_FOUND,
                            "a label for the container: the SELinux policy of this machine names none, "
                            "there is neither %s nor %s",
                            paths[0], paths[1]),
                    "install the policy for containers (package container-selinux), or --security-opt label=disable");
}

/* ---- a level of its own ---- */

/* Of the labels that containers have, the levels. Two that are created in one moment do not see each other: that both
 * choose the same pair of half a million is what docker's users live with, too. */
static struct err *taken_levels(struct engine *e, struct strv *out) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(e->store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autojson summary = NULL;
        autoerr removed = store_container_read(e->store, ids.v[i], "container.json", &summary);
        const char *label = removed ? NULL : json_str_value(json_get(summary, "MountLabel"));
        if (label)
            strv_push(out, selinux_level_of(label));
    }
    return NULL;
}

static struct err *choose_level(struct engine *e, char **ret) {
    autostrv struct strv taken = {.n = 0};
    TRY(taken_levels(e, &taken));
    uint64_t first = id_random_u64();
    for (uint32_t i = 0; i < SELINUX_LEVELS; i++) {
        autofree char *level = selinux_level((uint32_t)((first + i) % SELINUX_LEVELS));
        if (strv_has(&taken, level))
            continue;
        *ret = take_ptr(&level);
        return NULL;
    }
    return err_new(ERR_CONFLICT, "there is no pair of categories that no other container has");
}

/* ---- the label of another container ---- */

static struct err *label_of(struct engine *e, const char *mode, const char *flag, char **ret) {
    autocontainer other = ENGINE_CONTAINER_INIT;
    if (!mode || !str_starts(mode, "container:"))
        return NULL;
    TRY_CTX(engine_container_load(e, mode + strlen("container:"), &other), "%s", flag);
    mem_set(ret, json_str_value(json_get(other.summary, "ProcessLabel")));
    return NULL;
}

static struct err *shared_label(struct engine *e, const struct container_options *o, char **ret) {
    autofree char *pid = NULL;
    autofree char *ipc = NULL;
    TRY(label_of(e, o->pid, "--pid", &pid));
    TRY(label_of(e, o->ipc, "--ipc", &ipc));
    if (pid && ipc && strcmp(pid, ipc) != 0)
        return err_new(ERR_USAGE, "--ipc and --pid containers SELinux labels aren't the same");
    *ret = pid ? take_ptr(&pid) : take_ptr(&ipc);
    return NULL;
}

struct err *labels_find(struct engine *e, const struct container_options *o, struct labels **ret) {
    *ret = NULL;
    if (!selinux_wanted(o, e->config) || !host_has_selinux())
        return NULL;
    __attribute__((cleanup(labels_freep))) struct labels *l = mem_alloc(sizeof *l);
    TRY(read_policy(&l->policy));
    TRY(choose_level(e, &l->level));
    TRY(shared_label(e, o, &l->same));
    l->machine = (struct selinux_machine){&l->policy, l->level, l->same};
    *ret = take_ptr(&l);
    return NULL;
}

/* ---- the plan of a start ---- */

/* A single layer becomes an overlay by an empty directory below it: it is mounted for others, too. Of the trees that
 * are mounted as they are, those of the container's own are relabelled. */
static struct err *plan_one(const struct engine_container *c, const char *own, const char *label,
                            struct rootfs_plan *p) {
    if (p->driver == ROOTFS_OVERLAY ||
        ((p->driver == ROOTFS_COPY || p->driver == ROOTFS_DIR) && path_is_below(p->base_dir, own)))
        mem_set(&p->context, label);
    if (p->driver != ROOTFS_OVERLAY || p->upper || p->lowers.n != 1 || p->data.n)
        return NULL;
    if (mkdirat(c->dirfd, "empty", 0755) < 0 && errno != EEXIST)
        return err_sys(errno, "make %s/empty", own);
    strv_pushf(&p->lowers, "%s/empty", own);
    return NULL;
}

struct err *labels_plan(const struct engine *e, const struct engine_container *c, const struct json *config,
                        struct rootfs_plan *p) {
    const char *label = json_str_value(json_path(config, "linux.mountLabel"));
    if (!label)
        return NULL;
    autofree char *own = mem_printf("%s/containers/%s", store_containers_root(e->store), c->id);
    TRY(plan_one(c, own, label, p));
    for (size_t i = 0; i < p->n_trees; i++)
        TRY(plan_one(c, own, label, &p->trees[i].plan));
    return NULL;
}

/* It is executed as a file of the container's, which its policy lets it do; the installed one may not be. */
struct err *labels_init(const struct engine *e, const struct engine_container *c, const struct json *config, bool again,
                        char **ret) {
    autofd int from = -1;
    autofd int to = -1;
    const char *init = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_INIT));
    *ret = NULL;
    if (!str_eq(init, "true") || !json_path(config, "linux.mountLabel"))
        return NULL;
    *ret = mem_printf("%s/containers/%s/" SPEC_OWN_INIT, store_containers_root(e->store), c->id);
    if (again && faccessat(c->dirfd, SPEC_OWN_INIT, F_OK, 0) == 0)
        return NULL;
    autofree char *program = mem_printf("%s/coracle-init", e->host->libexec_dir);
    TRY(fd_open_at(AT_FDCWD, program, O_RDONLY, 0, &from));
    if (unlinkat(c->dirfd, SPEC_OWN_INIT, 0) < 0 && errno != ENOENT)
        return err_sys(errno, "replace %s", *ret);
    TRY(fd_open_at(c->dirfd, SPEC_OWN_INIT, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0755, &to));
    if (fchmod(to, 0755) < 0)
        return err_sys(errno, "set the mode of %s", *ret);
    return io_copy(from, to, UINT64_MAX, NULL);
}
