/* The OCI runtime config (runtime-spec 1.1). */
#include "spec/spec_int.h"

static struct json *capabilities(const struct spec_ctx *x) {
    /* Inheritable and ambient stay empty (CVE-2022-24769). */
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    struct json *caps = json_object();
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        struct json *list = json_array();
        for (int c = 0; spec_cap_name(c); c++)
            if (x->caps & (UINT64_C(1) << c))
                json_push_str(list, spec_cap_name(c));
        json_set(caps, sets[i], list);
    }
    return caps;
}

static struct json *rlimits(const struct spec_ctx *x) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_rlimits; i++) {
        struct json *r = json_object();
        json_set_str(r, "type", x->rlimits[i].name);
        json_set(r, "hard", json_uint(x->rlimits[i].hard));
        json_set(r, "soft", json_uint(x->rlimits[i].soft));
        json_push(list, r);
    }
    return list;
}

static struct json *process(const struct spec_ctx *x) {
    struct json *p = json_object(), *user = json_object();
    json_set_bool(p, "terminal", x->o->tty);
    /* A placeholder: who it is stands in the container's own passwd, which is read at start (SPEC_ANN_USER). */
    json_set_int(user, "uid", 0);
    json_set_int(user, "gid", 0);
    if (x->umask >= 0)
        json_set_int(user, "umask", x->umask);
    json_set(p, "user", user);
    json_set_strv(p, "args", &x->args);
    json_set_strv(p, "env", &x->env);
    json_set_str(p, "cwd", *x->workdir ? x->workdir : "/");
    json_set(p, "capabilities", capabilities(x));
    if (x->n_rlimits)
        json_set(p, "rlimits", rlimits(x));
    json_set_bool(p, "noNewPrivileges", x->no_new_privs);
    if (x->apparmor)
        json_set_str(p, "apparmorProfile", x->apparmor);
    if (x->label.process)
        json_set_str(p, "selinuxLabel", x->label.process);
    /* Written only when asked for: putting back 0 where the session runs at 200 would need privileges. */
    if (x->o->oom_score_adj)
        json_set_int(p, "oomScoreAdj", x->o->oom_score_adj);
    return p;
}

/* All that are not the host's: exec joins what stands here. Of those, the ones shared with another container are joined
 * instead of made (SPEC_ANN_SHARE). The user namespace is the caller's, unless it has a map of its own. */
static struct json *namespaces(const struct spec_ctx *x) {
    const struct {
        const char *type;
        enum spec_ns_mode mode;
    } all[] = {{"mount", SPEC_NS_PRIVATE},
               {"network", x->net.mode},
               {"uts", x->uts.mode},
               {"pid", x->pid.mode},
               {"ipc", x->ipc.mode},
               {"cgroup", x->cgroup.mode},
               {"user", x->in->map ? SPEC_NS_PRIVATE : SPEC_NS_HOST}};
    struct json *list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i].mode == SPEC_NS_HOST)
            continue;
        struct json *ns = json_object();
        json_set_str(ns, "type", all[i].type);
        json_push(list, ns);
    }
    return list;
}

static struct json *devices(void) {
    static const struct {
        const char *path;
        int major, minor;
    } nodes[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                 {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
    struct json *list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
        struct json *d = json_object();
        json_set_str(d, "path", nodes[i].path);
        json_set_str(d, "type", "c");
        json_set_int(d, "major", nodes[i].major);
        json_set_int(d, "minor", nodes[i].minor);
        json_set_int(d, "fileMode", 0666);
        json_set_int(d, "uid", 0);
        json_set_int(d, "gid", 0);
        json_push(list, d);
    }
    return list;
}

/*
 * docker's default in a network namespace of the container's own: any program may bind ports below 1024.
 * net.ipv4.ping_group_range is left alone, as docker leaves it in a user namespace: its bounds must be mapped ids, and
 * how many there are is known only at start.
 */
static struct json *sysctls(const struct spec_ctx *x) {
    struct json *s = json_object();
    if (x->net.mode == SPEC_NS_PRIVATE)
        json_set_str(s, "net.ipv4.ip_unprivileged_port_start", "0");
    for (size_t i = 0; i < x->sysctls.n; i++)
        json_set_str(s, x->sysctls.e[i].key, x->sysctls.e[i].value);
    return s;
}

/* Nothing for the many that are not limited. */
static void limits(const struct spec_ctx *x, struct json *l) {
    const struct strmap none = {.n = 0};
    const char *parent = json_str_value(json_get(x->limits, "CgroupParent"));
    struct json *resources = spec_resources_oci(x->limits, x->in->block_devices ? x->in->block_devices : &none);
    if (json_count(resources))
        json_set(l, "resources", resources);
    else
        json_free(resources);
    if (!parent)
        return;
    autofree char *path = mem_printf("%s/coracle-%.12s", parent, x->in->id);
    json_set_str(l, "cgroupsPath", path);
}

static struct json *linux_section(const struct spec_ctx *x) {
    struct json *l = json_object();
    json_set(l, "namespaces", namespaces(x));
    json_set(l, "devices", devices());
    json_set(l, "sysctl", sysctls(x));
    if (x->in->map)
        idmap_to_json(x->in->map, l);
    limits(x, l);
    if (x->label.file)
        json_set_str(l, "mountLabel", x->label.file);
    json_set_strv(l, "maskedPaths", &x->masked);
    json_set_strv(l, "readonlyPaths", &x->readonly);
    return l;
}

static void share_one(struct json *share, const char *type, const struct spec_ns *ns) {
    if (ns->mode != SPEC_NS_CONTAINER && ns->mode != SPEC_NS_PATH)
        return;
    autofree char *value = mem_printf("%s:%s", ns->mode == SPEC_NS_PATH ? "ns" : "container", ns->of);
    json_set_str(share, type, value);
}

/* Renders a JSON value, if any, as an annotation's text. */
static void set_rendered(struct json *obj, const char *key, struct json *take_value) {
    autojson value = take_value;
    autostr struct str s = STR_INIT;
    if (!value)
        return;
    json_render(value, JSON_COMPACT, &s);
    json_set_str(obj, key, str_c(&s));
}

static void shared_namespaces(const struct spec_ctx *x, struct json *annotations) {
    autojson share = json_object();
    share_one(share, "user", &x->user_ns); /* first: whether others can be joined depends on it */
    share_one(share, "pid", &x->pid);
    share_one(share, "ipc", &x->ipc);
    share_one(share, "network", &x->net);
    if (json_count(share))
        set_rendered(annotations, SPEC_ANN_SHARE, take_ptr(&share));
}

static void account(const struct spec_ctx *x, struct json *annotations) {
    if (!x->passwd_line)
        return;
    json_set_str(annotations, SPEC_ANN_PASSWD, x->passwd_line);
    json_set_str(annotations, SPEC_ANN_GROUP, x->group_line);
}

static struct json *annotations(const struct spec_ctx *x) {
    const struct config *c = x->in->config;
    struct json *a = json_object();
    for (size_t i = 0; i < x->annotations.n; i++)
        json_set_str(a, x->annotations.e[i].key, x->annotations.e[i].value);
    json_set_str(a, SPEC_ANN_USER, x->user);
    account(x, a);
    struct json *groups = json_array();
    for (size_t i = 0; i < x->o->group_add.n; i++)
        json_push_str(groups, x->o->group_add.v[i]);
    spec_emit_cdi_groups(x, groups);
    if (json_count(groups))
        set_rendered(a, SPEC_ANN_GROUPS, groups);
    else
        json_free(groups);
    json_set_str(a, SPEC_ANN_SECCOMP, x->seccomp);
    if (x->o->init || (c && c->init))
        json_set_str(a, SPEC_ANN_INIT, "true");
    if (x->o->privileged)
        json_set_str(a, SPEC_ANN_PRIVILEGED, "true");
    json_set_str(a, SPEC_ANN_HOSTS, x->hosts_text);
    if (x->resolv_text)
        json_set_str(a, SPEC_ANN_RESOLV, x->resolv_text);
    set_rendered(a, SPEC_ANN_HEALTH, json_copy(x->health_plan));
    if (x->o->timeout)
        set_rendered(a, SPEC_ANN_TIMEOUT, json_int(x->o->timeout));
    if (x->pidfile)
        json_set_str(a, SPEC_ANN_PIDFILE, x->pidfile);
    if (*x->stop_signal)
        json_set_str(a, SPEC_ANN_STOP_SIGNAL, x->stop_signal);
    set_rendered(a, SPEC_ANN_VOLUMES, spec_emit_volume_fills(x));
    set_rendered(a, SPEC_ANN_CHOWN, spec_emit_chowns(x));
    set_rendered(a, SPEC_ANN_RELABEL, spec_emit_relabels(x));
    shared_namespaces(x, a);
    return a;
}

struct json *spec_emit_oci(const struct spec_ctx *x) {
    struct json *c = json_object(), *root = json_object(), *hooks = spec_emit_cdi_hooks(x);
    json_set_str(c, "ociVersion", "1.1.0");
    json_set(c, "process", process(x));
    json_set_str(root, "path", hooks ? "root" : "rootfs"); /* hooks find it there; rootfs may be a copy of layers */
    json_set_bool(root, "readonly", x->o->read_only);
    json_set(c, "root", root);
    if (x->uts.mode == SPEC_NS_PRIVATE) {
        json_set_str(c, "hostname", x->hostname);
        if (x->o->domainname && *x->o->domainname)
            json_set_str(c, "domainname", x->o->domainname);
    }
    json_set(c, "mounts", spec_emit_mounts(x));
    if (hooks)
        json_set(c, "hooks", hooks);
    json_set(c, "linux", linux_section(x));
    json_set(c, "annotations", annotations(x));
    return c;
}
