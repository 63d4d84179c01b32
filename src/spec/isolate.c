/* Namespaces, and the sysctls that each of them allows. */
#include "spec/spec_int.h"

/* "container:X" with an X. */
static bool container_ref(const char *value, struct spec_ns *ret) {
    static const char prefix[] = "container:";
    if (!str_starts(value, prefix) || !value[sizeof prefix - 1])
        return false;
    ret->mode = SPEC_NS_CONTAINER;
    ret->of = value + sizeof prefix - 1;
    return true;
}

static bool is_private(const char *value) { return !value || !*value || str_eq(value, "private"); }

static struct err *host_or_private(const char *value, const char *flag, const char *word, struct spec_ns *ret) {
    if (is_private(value))
        return NULL;
    if (!str_eq(value, "host"))
        return err_new(ERR_USAGE, "%s: invalid %s mode", flag, word);
    ret->mode = SPEC_NS_HOST;
    return NULL;
}

static struct err *pid_mode(struct spec_ctx *x) {
    if (x->o->pid && container_ref(x->o->pid, &x->pid))
        return NULL;
    return host_or_private(x->o->pid, "--pid", "PID", &x->pid);
}

static struct err *ipc_mode(struct spec_ctx *x) {
    const char *v = x->o->ipc;
    if (v && container_ref(v, &x->ipc)) {
        strv_pushf(x->warnings, "--ipc %s shares System V IPC and message queues; /dev/shm stays the container's own",
                   v);
        return NULL;
    }
    x->ipc_none = str_eq(v, "none");
    if (x->ipc_none || str_eq(v, "shareable"))
        return NULL;
    return host_or_private(v, "--ipc", "IPC", &x->ipc);
}

/* Which ids it has was settled before: the map is part of the input. */
static struct err *userns_mode(struct spec_ctx *x) {
    struct spec_userns u;
    TRY(spec_parse_userns(x->o, &u));
    if (u.kind == SPEC_USERNS_CONTAINER && x->in->map)
        x->user_ns = (struct spec_ns){SPEC_NS_CONTAINER, u.of};
    return NULL;
}

/* What docker refuses together: the other side has decided these already. */
static struct err *conflicts(const struct spec_ctx *x) {
    const struct container_options *o = x->o;
    if (o->hostname && *o->hostname && x->uts.mode == SPEC_NS_HOST)
        return err_new(ERR_USAGE, "conflicting options: hostname and the UTS mode");
    if (x->net.mode != SPEC_NS_CONTAINER)
        return NULL;
    if (o->hostname && *o->hostname)
        return err_new(ERR_USAGE, "conflicting options: hostname and the network mode");
    if (o->dns.n)
        return err_new(ERR_USAGE, "conflicting options: dns and the network mode");
    if (o->add_host.n)
        return err_new(ERR_USAGE, "conflicting options: custom host-to-IP mapping and the network mode");
    if (o->publish.n || o->publish_all)
        return err_new(ERR_USAGE, "conflicting options: port publishing and the container type network mode");
    if (o->expose.n)
        return err_new(ERR_USAGE, "conflicting options: port exposing and the container type network mode");
    return NULL;
}

struct err *spec_resolve_namespaces(struct spec_ctx *x) {
    TRY(pid_mode(x));
    TRY(ipc_mode(x));
    TRY(host_or_private(x->o->uts, "--uts", "UTS", &x->uts));
    TRY(userns_mode(x));
    TRY(host_or_private(x->o->cgroupns, "--cgroupns", "CGROUP", &x->cgroup));
    /* Without cgroup v2 docker shares the host's view. */
    if ((!x->o->cgroupns || !*x->o->cgroupns) && x->in->host->cgroup != CGROUP_V2)
        x->cgroup.mode = SPEC_NS_HOST;
    TRY(spec_resolve_network(x));
    return conflicts(x);
}

/* The namespace a sysctl belongs to, NULL for one that no namespace has. */
static const struct spec_ns *sysctl_ns(const struct spec_ctx *x, const char *key) {
    static const char *const ipc[] = {"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
                                      "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
    for (size_t i = 0; i < ARRAY_LEN(ipc); i++)
        if (str_eq(key, ipc[i]))
            return &x->ipc;
    if (str_starts(key, "fs.mqueue."))
        return &x->ipc;
    return str_starts(key, "net.") ? &x->net : NULL;
}

/* The name becomes a path below /proc/sys, with every dot a slash: no way up, nothing empty. */
static bool sysctl_name_ok(const char *key) {
    static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-:@.";
    if (key[strspn(key, set)] || strstr(key, ".."))
        return false;
    size_t n = strlen(key);
    return n > 0 && n < 256 && key[n - 1] != '.';
}

static struct err *add_sysctl(struct spec_ctx *x, const char *text) {
    size_t len = strcspn(text, "=");
    autofree char *key = mem_dupn(text, len);
    const struct spec_ns *ns = sysctl_ns(x, key);
    if (!text[len] || !ns || !sysctl_name_ok(key))
        return err_new(ERR_USAGE, "sysctl '%s' is not allowed", text);
    if (ns->mode == SPEC_NS_HOST)
        return err_new(ERR_USAGE, "sysctl '%s' is not allowed with --%s host", text, ns == &x->net ? "network" : "ipc");
    strmap_set(&x->sysctls, key, text + len + 1);
    return NULL;
}

struct err *spec_resolve_sysctls(struct spec_ctx *x) {
    for (size_t i = 0; i < x->o->sysctl.n; i++)
        TRY(spec_invalid("--sysctl", x->o->sysctl.v[i], add_sysctl(x, x->o->sysctl.v[i])));
    spec_sort_map(&x->sysctls);
    return NULL;
}
