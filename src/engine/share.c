/* share: the namespaces that a container takes from others, or from a path, for its monitor to join. */
#include "engine/engine_int.h"

#include "base/sys/sys.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

struct sharing {
    struct engine *engine;
    struct json *config;
    bool again;        /* in the monitor, which is inside of the containers' user namespace */
    struct monitor *m; /* gets what is to be joined */
    int *neighbour;    /* directory of the container whose network it shares */
};

static const struct {
    const char *kind, *file;
    unsigned flag;
} namespaces[] = {
    {"pid", "pid", CLONE_NEWPID}, {"ipc", "ipc", CLONE_NEWIPC},          {"network", "net", CLONE_NEWNET},
    {"uts", "uts", CLONE_NEWUTS}, {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"user", "user", CLONE_NEWUSER},
};

static bool is_own_network(int ns) { return fd_is_at(ns, AT_FDCWD, "/proc/self/ns/net", 0); }

/* The host's own network namespace is not to be joined, but to be left out of those that are made. */
static struct err *join_one(const struct sharing *s, int *take_ns, unsigned flag) {
    if (s->m->n_join == (int)ARRAY_LEN(s->m->join))
        return err_new(ERR_USAGE, "too many namespaces to join");
    if (flag == CLONE_NEWNET && is_own_network(*take_ns)) {
        engine_config_host_network(s->config);
        return NULL;
    }
    s->m->join[s->m->n_join].fd = take_fd(take_ns);
    s->m->join[s->m->n_join++].clone_flag = flag;
    return NULL;
}

/*
 * A container with a user namespace of its own can have the network of another; processes and queues only of one that
 * has the same ids: its root could not mount what shows them. Who is in the namespace above is root of all that.
 */
static struct err *check_ids(const struct sharing *s, const struct engine_container *other, unsigned flag) {
    char link[64];
    autofd int ns = -1;
    if (!s->m->map || !(flag & (CLONE_NEWPID | CLONE_NEWIPC)))
        return NULL;
    (void)snprintf(link, sizeof link, "/proc/%d/ns/user", (int)other->state.pid);
    TRY(fd_open_at(AT_FDCWD, link, O_RDONLY, 0, &ns));
    for (int i = 0; i < s->m->n_join; i++)
        if (s->m->join[i].clone_flag == CLONE_NEWUSER && fd_same_file(s->m->join[i].fd, ns))
            return NULL;
    return err_hint(err_new(ERR_CONFLICT, "cannot join the %s namespace of %s: it is in another user namespace",
                            flag == CLONE_NEWPID ? "pid" : "ipc", engine_container_name(other)),
                    "with --userns container:%s both have the same", engine_container_name(other));
}

/* Of a container that runs, or has done so a moment ago. */
static struct err *share_with(const struct sharing *s, const struct engine_container *other, size_t k) {
    TRY(check_ids(s, other, namespaces[k].flag));
    if (s->m->userns_fd < 0) { /* only inside the owner's user namespace may its other namespaces be joined */
        TRY(runtime_userns_shared_by(other->state.pid, &s->m->userns_fd));
    }
    autofree char *path = mem_printf("/proc/%d/ns/%s", (int)other->state.pid, namespaces[k].file);
    autofd int ns = -1;
    struct err *none = fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &ns);
    if (none && err_kind(none) == ERR_NOT_FOUND) /* who is dying has given them back already */
        return err_with_kind(none, ERR_DENIED);
    TRY(none);
    TRY(join_one(s, &ns, namespaces[k].flag));
    return namespaces[k].flag == CLONE_NEWNET ? fd_dup(other->dirfd, s->neighbour) : NULL;
}

static struct err *not_joinable(const struct engine_container *other, const char *kind, const char *status) {
    return err_new(ERR_CONFLICT, "cannot join the %s namespace of a non running container: %s is %s", kind,
                   engine_container_name(other), status);
}

static struct err *share_one(const struct sharing *s, const char *kind, const char *owner) {
    size_t k = 0;
    while (k < ARRAY_LEN(namespaces) && strcmp(namespaces[k].kind, kind) != 0)
        k++;
    if (k == ARRAY_LEN(namespaces))
        return err_new(ERR_USAGE, "cannot share the %s namespace", kind);
    autocontainer other = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(s->engine, owner, &other));
    if (!engine_state_alive(&other.state))
        return not_joinable(&other, kind, other.state.status);
    autofd int pidfd = -1;
    struct err *e = proc_open(other.state.pid, other.state.pid_start, &pidfd);
    if (!e)
        e = share_with(s, &other, k);
    if (!e || !engine_process_ended(pidfd, e))
        return e;
    err_free(e);
    return not_joinable(&other, kind, "exited");
}

/*
 * Who may join a network namespace is root of the user namespace that owns it, which containers are of one only. A
 * later start is made from inside of that, and what was found out at the first one holds.
 */
static struct err *check_reach(const struct sharing *s, int ns, const char *path) {
    int ours;
    if (s->again || is_own_network(ns))
        return NULL;
    TRY(engine_userns(s->engine, &ours, NULL));
    autofd int owner = sys_ns_userns(ns);
    if (fd_same_file(owner, ours))
        return NULL;
    return err_hint(
        err_new(ERR_DENIED, "network namespace %s is not of the user namespace that containers are in", path),
        "one that is: nsenter -U --preserve-credentials -t PID unshare -n, PID being a container's");
}

static struct err *share_path(const struct sharing *s, const char *path) {
    autofd int ns = -1;
    TRY_CTX(fd_open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &ns), "network namespace %s", path);
    if (sys_ns_type(ns) != CLONE_NEWNET)
        return err_new(ERR_USAGE, "%s is not a network namespace", path);
    TRY(check_reach(s, ns, path));
    return join_one(s, &ns, CLONE_NEWNET);
}

struct err *share_namespaces(struct engine *e, struct json *config, bool again, struct monitor *m, int *ret_neighbour) {
    const struct sharing s = {.engine = e, .config = config, .again = again, .m = m, .neighbour = ret_neighbour};
    const char *text = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_SHARE));
    if (!text)
        return NULL;
    autojson share = NULL;
    TRY(json_parse(text, strlen(text), SPEC_ANN_SHARE, 0, &share));
    JSON_EACH(entry, share) {
        const char *value = json_str_value(entry);
        if (value && str_starts(value, "container:"))
            TRY(share_one(&s, json_key(entry), value + strlen("container:")));
        else if (value && str_starts(value, "ns:"))
            TRY(share_path(&s, value + strlen("ns:")));
    }
    return NULL;
}
