/* docker's HostConfig and Mounts objects: what inspect shows. Names and order are those of docker 28. */
#include "spec/spec_int.h"

static const char *text_or_empty(const char *s) { return s ? s : ""; }

/* -v as typed, with the source made absolute. */
static struct json *binds(const struct spec_ctx *x) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_mounts; i++) {
        const struct spec_user_mount *u = &x->mounts[i];
        if (u->from != SPEC_FROM_VOLUME)
            continue;
        const char *rest = strchr(u->text, ':');
        autofree char *text = mem_printf("%s%s", u->m.source, rest ? rest : "");
        json_push_str(list, text);
    }
    if (json_count(list))
        return list;
    json_free(list);
    return json_null();
}

static struct json *log_config(const struct spec_ctx *x) {
    struct json *l = json_object();
    json_set_str(l, "Type", x->log_driver);
    json_set_strmap(l, "Config", &x->log_opts);
    return l;
}

static struct json *port_bindings(const struct spec_ctx *x) {
    struct json *all = json_object();
    for (size_t i = 0; i < x->n_ports; i++) {
        const struct spec_port *p = &x->ports[i];
        if (!p->host_port)
            continue;
        struct json *list = json_get(all, p->key), *b = json_object();
        if (!list) {
            json_set(all, p->key, json_array());
            list = json_get(all, p->key);
        }
        json_set_str(b, "HostIp", p->host_ip);
        json_set_str(b, "HostPort", p->host_port);
        json_push(list, b);
    }
    return all;
}

static struct json *devices(const struct spec_ctx *x) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_devices; i++) {
        struct json *d = json_object();
        json_set_str(d, "PathOnHost", x->devices[i].host);
        json_set_str(d, "PathInContainer", x->devices[i].container);
        json_set_str(d, "CgroupPermissions", x->devices[i].perms);
        json_push(list, d);
    }
    return list;
}

static struct json *device_requests(const struct spec_ctx *x) {
    const struct json *requests = json_get(x->in->cdi, "Requests");
    return requests ? json_copy(requests) : json_null();
}

static int64_t limit(uint64_t v) { return v == UINT64_MAX ? -1 : (int64_t)v; }

/* As docker names them: "nofile", not RLIMIT_NOFILE. */
static struct json *ulimits(const struct spec_ctx *x) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_rlimits; i++) {
        struct json *u = json_object();
        autofree char *name = mem_dup(x->rlimits[i].name + strlen("RLIMIT_"));
        for (char *c = name; *c; c++)
            *c = (char)(*c + ('a' - 'A')); /* all are capital letters */
        json_set_str(u, "Name", name);
        json_set_int(u, "Hard", limit(x->rlimits[i].hard));
        json_set_int(u, "Soft", limit(x->rlimits[i].soft));
        json_push(list, u);
    }
    return list;
}

static void bind_options(struct json *mount, const struct spec_mount *m) {
    bool flat = strv_has(&m->options, "bind-recursive=disabled");
    if (!m->propagation && !flat)
        return;
    struct json *b = json_object();
    if (m->propagation)
        json_set_str(b, "Propagation", m->propagation);
    if (flat)
        json_set_bool(b, "NonRecursive", true);
    json_set(mount, "BindOptions", b);
}

static const char *type_of(const struct spec_mount *m) {
    static const char *const names[] = {[SPEC_MOUNT_BIND] = "bind",
                                        [SPEC_MOUNT_VOLUME] = "volume",
                                        [SPEC_MOUNT_TMPFS] = "tmpfs",
                                        [SPEC_MOUNT_IMAGE] = "image"};
    return names[m->type];
}

/* {"key": "value"} of the "volume-label=key=value" among the options; NULL: there are none. */
static struct json *option_pairs(const struct spec_mount *m, const char *prefix) {
    autostrmap struct strmap pairs = {.n = 0};
    for (size_t i = 0; i < m->options.n; i++)
        if (str_starts(m->options.v[i], prefix))
            strmap_set_pair(&pairs, m->options.v[i] + strlen(prefix));
    return pairs.n ? json_of_strmap(&pairs) : NULL;
}

static void volume_options(struct json *mount, const struct spec_mount *m) {
    autojson v = json_object();
    const char *subpath = spec_mount_option(m, "volume-subpath"), *driver = spec_mount_option(m, "volume-driver");
    struct json *labels = option_pairs(m, "volume-label="), *options = option_pairs(m, "volume-opt=");
    if (m->no_copy)
        json_set_bool(v, "NoCopy", true);
    if (labels)
        json_set(v, "Labels", labels);
    if (subpath)
        json_set_str(v, "Subpath", subpath);
    if (driver || options) {
        struct json *d = json_object();
        if (driver)
            json_set_str(d, "Name", driver);
        if (options)
            json_set(d, "Options", options);
        json_set(v, "DriverConfig", d);
    }
    if (json_count(v) && m->type == SPEC_MOUNT_VOLUME)
        json_set(mount, "VolumeOptions", take_ptr(&v));
}

static void tmpfs_options(struct json *mount, const struct spec_mount *m) {
    if (m->tmpfs_size < 0 && m->tmpfs_mode < 0)
        return;
    struct json *t = json_object();
    if (m->tmpfs_size >= 0)
        json_set_int(t, "SizeBytes", m->tmpfs_size);
    if (m->tmpfs_mode >= 0)
        json_set_int(t, "Mode", m->tmpfs_mode);
    json_set(mount, "TmpfsOptions", t);
}

static void image_options(struct json *mount, const struct spec_mount *m) {
    const char *subpath = spec_mount_option(m, "image-subpath");
    struct json *o = json_object();
    if (m->type != SPEC_MOUNT_IMAGE) {
        json_free(o);
        return;
    }
    if (subpath)
        json_set_str(o, "Subpath", subpath);
    json_set(mount, "ImageOptions", o);
}

/* --mount, in docker's mount.Mount form. */
static struct json *mounts(const struct spec_ctx *x) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_mounts; i++) {
        const struct spec_mount *m = &x->mounts[i].m;
        if (x->mounts[i].from != SPEC_FROM_MOUNT)
            continue;
        struct json *j = json_object();
        json_set_str(j, "Type", type_of(m));
        if (m->source && !x->mounts[i].anonymous)
            json_set_str(j, "Source", m->source);
        json_set_str(j, "Target", m->target);
        if (m->read_only)
            json_set_bool(j, "ReadOnly", true);
        if (m->consistency)
            json_set_str(j, "Consistency", m->consistency);
        bind_options(j, m);
        volume_options(j, m);
        tmpfs_options(j, m);
        image_options(j, m);
        json_push(list, j);
    }
    return list;
}

/* --tmpfs: path → options as typed. */
static struct json *tmpfs(const struct spec_ctx *x) {
    struct json *map = json_object();
    for (size_t i = 0; i < x->n_mounts; i++) {
        if (x->mounts[i].from != SPEC_FROM_TMPFS)
            continue;
        const char *colon = strchr(x->mounts[i].text, ':');
        json_set_str(map, x->mounts[i].m.target, colon ? colon + 1 : "");
    }
    return map;
}

/* docker's Mode of a mount point. */
static const char *mode_of(const struct spec_user_mount *u) {
    const char *colon = u->from == SPEC_FROM_VOLUME ? strchr(u->text, ':') : NULL;
    const char *mode = colon ? strchr(colon + 1, ':') : NULL;
    if (u->from == SPEC_FROM_CONTAINER)
        return u->text;
    if (mode)
        return mode + 1;
    return u->m.type == SPEC_MOUNT_VOLUME && u->from != SPEC_FROM_PATH ? "z" : "";
}

/* docker's inspect: binds by -v and all of --mount; what --tmpfs makes stands in HostConfig.Tmpfs only. */
struct json *spec_emit_mount_points(const struct spec_ctx *x) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_mounts; i++) {
        const struct spec_mount *m = &x->mounts[i].m;
        if (x->mounts[i].from == SPEC_FROM_TMPFS)
            continue;
        struct json *j = json_object();
        bool bind = m->type == SPEC_MOUNT_BIND, volume = m->type == SPEC_MOUNT_VOLUME;
        autofree char *path = volume ? spec_volume_source(x, m) : NULL;
        json_set_str(j, "Type", type_of(m));
        if (volume)
            json_set_str(j, "Name", m->source);
        json_set_str(j, "Source", volume ? path : text_or_empty(m->source));
        json_set_str(j, "Destination", m->target);
        if (volume)
            json_set_str(j, "Driver", "local");
        json_set_str(j, "Mode", mode_of(&x->mounts[i]));
        json_set_bool(j, "RW", !m->read_only);
        json_set_str(j, "Propagation", !bind ? "" : m->propagation ? m->propagation : "rprivate");
        json_push(list, j);
    }
    return list;
}

/* Adds a member unless it is empty, as Go's omitempty does. */
static void set_unless_empty(struct json *obj, const char *key, struct json *take_child) {
    if (json_count(take_child))
        json_set(obj, key, take_child);
    else
        json_free(take_child);
}

static void storage_part(const struct spec_ctx *x, struct json *h) {
    struct json *console = json_array();
    json_set(h, "Binds", binds(x));
    json_set_str(h, "ContainerIDFile", "");
    json_set(h, "LogConfig", log_config(x));
    json_set_str(h, "NetworkMode", x->net_name);
    json_set(h, "PortBindings", port_bindings(x));
    json_set(h, "RestartPolicy", spec_restart_json(x->restart, x->restart_max));
    json_set_bool(h, "AutoRemove", x->o->rm);
    json_set_str(h, "VolumeDriver", text_or_empty(x->o->volume_driver));
    spec_set_list(h, "VolumesFrom", &x->o->volumes_from);
    json_push(console, json_int(0));
    json_push(console, json_int(0));
    json_set(h, "ConsoleSize", console);
    if (x->annotations.n)
        json_set_strmap(h, "Annotations", &x->annotations);
}

/* podman's: "0:1:2000", in ids of the user's own map. */
static struct json *map_lines(const struct id_range *r, size_t n) {
    struct json *list = json_array();
    for (size_t i = 0; i < n; i++) {
        autofree char *line = mem_printf("%u:%u:%u", r[i].inside, r[i].outside, r[i].count);
        json_push_str(list, line);
    }
    return list;
}

static struct json *id_mappings(const struct id_map *m) {
    struct json *o = json_object();
    json_set(o, "UidMap", map_lines(m->uid, m->n_uid));
    json_set(o, "GidMap", map_lines(m->gid, m->n_gid));
    return o;
}

static const char *ipc_mode(const struct spec_ctx *x) { return x->o->ipc && *x->o->ipc ? x->o->ipc : "private"; }

static void isolation_part(const struct spec_ctx *x, struct json *h) {
    const struct container_options *o = x->o;
    spec_set_list(h, "CapAdd", &o->cap_add);
    spec_set_list(h, "CapDrop", &o->cap_drop);
    json_set_str(h, "CgroupnsMode", x->cgroup.mode == SPEC_NS_HOST ? "host" : "private");
    json_set_strv(h, "Dns", &o->dns);
    json_set_strv(h, "DnsOptions", &o->dns_option);
    json_set_strv(h, "DnsSearch", &o->dns_search);
    spec_set_list(h, "ExtraHosts", &x->extra_hosts);
    spec_set_list(h, "GroupAdd", &o->group_add);
    json_set_str(h, "IpcMode", ipc_mode(x));
    json_set_str(h, "Cgroup", "");
    spec_set_list(h, "Links", &x->o->links);
    json_set_int(h, "OomScoreAdj", o->oom_score_adj);
    json_set_str(h, "PidMode", text_or_empty(o->pid));
    json_set_bool(h, "Privileged", o->privileged);
    json_set_bool(h, "PublishAllPorts", o->publish_all);
    json_set_bool(h, "ReadonlyRootfs", o->read_only);
    spec_set_list(h, "SecurityOpt", &o->security_opt);
    set_unless_empty(h, "Tmpfs", tmpfs(x));
    json_set_str(h, "UTSMode", text_or_empty(o->uts));
    json_set_str(h, "UsernsMode", text_or_empty(o->userns));
    if (x->in->map)
        json_set(h, "IDMappings", id_mappings(x->in->map));
    json_set_int(h, "ShmSize", x->shm_size);
    if (x->sysctls.n)
        json_set_strmap(h, "Sysctls", &x->sysctls);
    json_set_str(h, "Runtime", "coracle");
    json_set_str(h, "Isolation", "");
}

/* What is not limited has docker's values for "none". */
static void resource_part(const struct spec_ctx *x, struct json *h) {
    static const struct {
        const char *key;
        char kind; /* 0: 0, s: "", a: [], n: null, d: devices, r: requests of devices, u: ulimits */
    } members[] = {
        {"CpuShares", '0'},
        {"Memory", '0'},
        {"NanoCpus", '0'},
        {"CgroupParent", 's'},
        {"BlkioWeight", '0'},
        {"BlkioWeightDevice", 'a'},
        {"BlkioDeviceReadBps", 'a'},
        {"BlkioDeviceWriteBps", 'a'},
        {"BlkioDeviceReadIOps", 'a'},
        {"BlkioDeviceWriteIOps", 'a'},
        {"CpuPeriod", '0'},
        {"CpuQuota", '0'},
        {"CpuRealtimePeriod", '0'},
        {"CpuRealtimeRuntime", '0'},
        {"CpusetCpus", 's'},
        {"CpusetMems", 's'},
        {"Devices", 'd'},
        {"DeviceCgroupRules", 'n'},
        {"DeviceRequests", 'r'},
        {"MemoryReservation", '0'},
        {"MemorySwap", '0'},
        {"MemorySwappiness", 'n'},
        {"OomKillDisable", 'n'},
        {"PidsLimit", 'n'},
        {"Ulimits", 'u'},
        {"CpuCount", '0'},
        {"CpuPercent", '0'},
        {"IOMaximumIOps", '0'},
        {"IOMaximumBandwidth", '0'},
    };
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        char kind = members[i].kind;
        const struct json *set = json_get(x->limits, members[i].key);
        struct json *v = set           ? json_copy(set)
                         : kind == '0' ? json_int(0)
                         : kind == 's' ? json_string("")
                         : kind == 'a' ? json_array()
                         : kind == 'd' ? devices(x)
                         : kind == 'r' ? device_requests(x)
                         : kind == 'u' ? ulimits(x)
                                       : json_null();
        json_set(h, members[i].key, v);
    }
}

struct json *spec_emit_host_config(const struct spec_ctx *x) {
    struct json *h = json_object();
    storage_part(x, h);
    isolation_part(x, h);
    resource_part(x, h);
    set_unless_empty(h, "Mounts", mounts(x));
    json_set_strv(h, "MaskedPaths", &x->masked);
    json_set_strv(h, "ReadonlyPaths", &x->readonly);
    if (x->o->init)
        json_set_bool(h, "Init", true);
    return h;
}
