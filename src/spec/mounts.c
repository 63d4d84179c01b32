/*
 * Mounts: what the options ask for, and the OCI list: docker's default set in docker's order, then everything else with
 * parents before children. A user's mount on a default's place replaces the default.
 */
#include "spec/spec_int.h"

#include "base/path.h"
#include "spec/cdi.h"

/* ---- resolve ---- */

const struct spec_user_mount *spec_mount_at(const struct spec_ctx *x, const char *target) {
    for (size_t i = 0; i < x->n_mounts; i++)
        if (str_eq(x->mounts[i].m.target, target))
            return &x->mounts[i];
    return NULL;
}

static bool user_has(const struct spec_ctx *x, const char *target) { return spec_mount_at(x, target) != NULL; }

static struct err *absolute_source(const struct spec_ctx *x, struct spec_mount *m) {
    if (!m->source || *m->source != '.')
        return NULL;
    if (!x->o->cwd)
        return err_new(ERR_USAGE, "the relative path '%s' has nothing to be relative to: use an absolute path",
                       m->source);
    autofree char *joined = path_join(x->o->cwd, m->source), *clean = path_clean(joined);
    mem_set(&m->source, clean);
    return NULL;
}

static struct err *check_image(const struct spec_ctx *x, const struct spec_mount *m) {
    if (!json_get(x->in->mount_images, m->source))
        return err_hint(spec_mount_err("image", err_new(ERR_NOT_FOUND, "no such image: %s", m->source)),
                        "run 'coracle pull %s'", m->source);
    return spec_check_subpath("image", spec_mount_option(m, "image-subpath"));
}

/* A relative source of --mount becomes absolute here. */
struct err *spec_add_mount(struct spec_ctx *x, struct spec_user_mount take) {
    struct err *e = NULL;
    if (spec_mount_at(x, take.m.target))
        e = err_new(ERR_USAGE, "duplicate mount point: %s", take.m.target);
    if (!e)
        e = take.m.type == SPEC_MOUNT_VOLUME  ? spec_name_volume(x, &take)
            : take.m.type == SPEC_MOUNT_IMAGE ? check_image(x, &take.m)
                                              : absolute_source(x, &take.m);
    if (e) {
        spec_mount_done(&take.m);
        return e;
    }
    x->mounts = mem_resize(x->mounts, x->n_mounts + 1, sizeof *x->mounts);
    x->mounts[x->n_mounts++] = take;
    return NULL;
}

static struct err *add_device(struct spec_ctx *x, const char *text) {
    struct spec_user_device d = {0};
    TRY(spec_parse_device(text, &d.host, &d.container, &d.perms));
    if (strlen(d.perms) < 3)
        strv_pushf(x->warnings, "--device %s: the permissions have no effect without a device cgroup", text);
    x->devices = mem_resize(x->devices, x->n_devices + 1, sizeof *x->devices);
    x->devices[x->n_devices++] = d;
    return NULL;
}

static struct err *resolve_shm(struct spec_ctx *x) {
    int64_t asked = x->o->shm_size, configured = x->in->config ? x->in->config->shm_size : 0;
    if (asked < 0)
        return err_new(ERR_USAGE, "SHM size can not be less than 0");
    if (asked && (x->ipc.mode == SPEC_NS_HOST || x->ipc_none || user_has(x, "/dev/shm")))
        strv_push(x->warnings, "--shm-size has no effect: the container has no /dev/shm of its own");
    x->shm_size = asked ? asked : configured > 0 ? configured : SPEC_SHM_DEFAULT;
    return NULL;
}

struct err *spec_resolve_mounts(struct spec_ctx *x) {
    const struct container_options *o = x->o;
    for (size_t i = 0; i < o->volumes.n; i++) {
        struct spec_user_mount u = {.from = SPEC_FROM_VOLUME, .text = o->volumes.v[i]};
        if (!strchr(u.text, ':') && *u.text) /* an anonymous volume: what others put there comes before */
            continue;
        TRY(spec_parse_volume(u.text, x->o->cwd, &u.m));
        TRY(spec_add_mount(x, u));
    }
    for (size_t i = 0; i < o->mounts.n; i++) {
        struct spec_user_mount u = {.from = SPEC_FROM_MOUNT, .text = o->mounts.v[i]};
        TRY(spec_invalid("--mount", u.text, spec_parse_mount(u.text, &u.m)));
        TRY(spec_add_mount(x, u));
    }
    for (size_t i = 0; i < o->tmpfs.n; i++) {
        struct spec_user_mount u = {.from = SPEC_FROM_TMPFS, .text = o->tmpfs.v[i]};
        TRY(spec_parse_tmpfs(u.text, &u.m));
        TRY(spec_add_mount(x, u));
    }
    TRY(spec_resolve_volumes(x));
    for (size_t i = 0; i < o->device.n; i++)
        if (!spec_cdi_is_name(o->device.v[i]))
            TRY(add_device(x, o->device.v[i]));
    return resolve_shm(x);
}

/* ---- emit: pieces ---- */

/* `options` is one comma-separated text. */
static struct json *oci_mount(const char *target, const char *type, const char *source, const char *options) {
    struct json *m = json_object();
    autostrv struct strv o = {0};
    strv_split(&o, options, ',');
    json_set_str(m, "destination", target);
    json_set_str(m, "type", type);
    json_set_str(m, "source", source);
    json_set_strv(m, "options", &o);
    return m;
}

/*
 * A default mount, unless the user put something in its place (a mount on /dev takes all below with it, as in docker).
 */
static void push_default(const struct spec_ctx *x, struct json *out, struct json *take_mount) {
    const char *target = json_str_value(json_get(take_mount, "destination"));
    if (user_has(x, target) || (str_starts(target, "/dev/") && user_has(x, "/dev")))
        json_free(take_mount);
    else
        json_push(out, take_mount);
}

/*
 * Always the kind that docker mounts. Where the kernel refuses a user namespace an instance of its own, because the
 * namespace behind it is the host's, the runtime puts a copy of the host's mount in its place.
 */
static void push_kernel(const struct spec_ctx *x, struct json *out) {
    bool rw = x->o->privileged, cgroup_rw = rw || x->writable_cgroups;
    push_default(x, out, oci_mount("/proc", "proc", "proc", "nosuid,noexec,nodev"));
    push_default(x, out, oci_mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"));
    push_default(x, out,
                 oci_mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"));
    push_default(x, out, oci_mount("/sys", "sysfs", "sysfs", rw ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro"));
    push_default(
        x, out,
        oci_mount("/sys/fs/cgroup", "cgroup", "cgroup", cgroup_rw ? "nosuid,noexec,nodev" : "ro,nosuid,noexec,nodev"));
}

/*
 * The host's message queues cannot be mounted anew by a user namespace, and many hosts have no mount of them to copy:
 * with --ipc host there is none; mq_open(3) works without it.
 */
static void push_ipc(const struct spec_ctx *x, struct json *out) {
    autofree char *options = mem_printf("nosuid,noexec,nodev,mode=1777,size=%lld", (long long)x->shm_size);
    if (x->ipc.mode == SPEC_NS_HOST) {
        push_default(x, out, oci_mount("/dev/shm", "bind", "/dev/shm", "rbind,rprivate,nosuid,noexec,nodev"));
        return;
    }
    push_default(x, out, oci_mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"));
    if (!x->ipc_none)
        push_default(x, out, oci_mount("/dev/shm", "tmpfs", "shm", options));
}

/* What two tmpfs options must not share: the last one of a class wins. */
static char *option_class(const char *option) {
    size_t eq = strcspn(option, "=");
    if (option[eq])
        return mem_dupn(option, eq + 1);
    if (str_eq(option, "ro") || str_eq(option, "rw"))
        return mem_dup("rw");
    if (str_eq(option, "sync") || str_eq(option, "async"))
        return mem_dup("sync");
    return mem_dup(str_starts(option, "no") ? option + 2 : option);
}

static struct json *tmpfs_at(const char *target, const struct strv *all) {
    autostrv struct strv kept = {0};
    for (size_t i = 0; i < all->n; i++) {
        bool later = false;
        autofree char *class = option_class(all->v[i]);
        for (size_t j = i + 1; j < all->n && !later; j++) {
            autofree char *other = option_class(all->v[j]);
            later = str_eq(class, other);
        }
        if (!later)
            strv_push(&kept, all->v[i]);
    }
    autofree char *options = strv_join(&kept, ",");
    return oci_mount(target, "tmpfs", "tmpfs", options);
}

static struct json *tmpfs_mount(const struct spec_mount *m) {
    autostrv struct strv all = {0};
    strv_split(&all, "noexec,nosuid,nodev", ',');
    strv_extend(&all, &m->options);
    if (m->read_only && !strv_has(&m->options, "ro"))
        strv_push(&all, "ro");
    if (m->tmpfs_size >= 0)
        strv_pushf(&all, "size=%lld", (long long)m->tmpfs_size);
    if (m->tmpfs_mode >= 0)
        strv_pushf(&all, "mode=%llo", (unsigned long long)m->tmpfs_mode);
    return tmpfs_at(m->target, &all);
}

/* The words of -v and --mount that are a mount's attributes. */
static void push_attributes(const struct spec_mount *m, struct strv *out) {
    static const char *const words[] = {"exec", "noexec", "suid", "nosuid", "dev", "nodev"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strv_has(&m->options, words[i]))
            strv_push(out, words[i]);
}

static struct json *bind_mount(const struct spec_mount *m) {
    autostrv struct strv o = {0};
    strv_push(&o, strv_has(&m->options, "bind-recursive=disabled") ? "bind" : "rbind");
    if (m->read_only)
        strv_push(&o, strv_has(&m->options, "bind-recursive=readonly") ? "rro" : "ro");
    strv_push(&o, m->propagation ? m->propagation : "rprivate");
    push_attributes(m, &o);
    autofree char *options = strv_join(&o, ",");
    return oci_mount(m->target, "bind", m->source, options);
}

/* What it is made of is planned at each start (spec_emit_trees()). */
static struct json *tree_mount(const struct spec_mount *m) {
    autostrv struct strv o = {0};
    const char *subpath = spec_mount_option(m, m->type == SPEC_MOUNT_IMAGE ? "image-subpath" : "volume-subpath");
    strv_push(&o, m->read_only ? "ro" : "rw");
    strv_push(&o, "rprivate");
    push_attributes(m, &o);
    if (subpath)
        strv_pushf(&o, "subpath=%s", subpath);
    struct json *mount = oci_mount(m->target, "overlay", "overlay", "");
    json_set_strv(mount, "options", &o);
    return mount;
}

/* A volume that is a tmpfs, with what it was created with. */
static struct json *tmpfs_volume_mount(const struct spec_mount *m, const struct json *words) {
    autostrv struct strv all = {0};
    JSON_EACH(w, words)
    strv_push(&all, json_str_value(w));
    push_attributes(m, &all);
    if (m->read_only)
        strv_push(&all, "ro");
    if (strv_has(&m->options, SPEC_OPTION_CHOWN))
        strv_push(&all, SPEC_OPTION_CHOWN);
    return tmpfs_at(m->target, &all);
}

static struct json *volume_mount(const struct spec_ctx *x, const struct spec_mount *m) {
    const struct json *words = spec_volume_words(x, m);
    if (words)
        return tmpfs_volume_mount(m, words);
    autofree char *source = spec_volume_source(x, m);
    const char *subpath = spec_mount_option(m, "volume-subpath");
    autostrv struct strv o = {0};
    strv_push(&o, "rbind");
    if (m->read_only)
        strv_push(&o, "ro");
    strv_push(&o, "rprivate");
    push_attributes(m, &o);
    if (subpath) /* may hold commas */
        strv_pushf(&o, "subpath=%s", subpath);
    struct json *mount = oci_mount(m->target, "bind", source, "");
    json_set_strv(mount, "options", &o);
    return mount;
}

static struct json *user_mount(const struct spec_ctx *x, const struct spec_mount *m) {
    if (m->overlay || m->type == SPEC_MOUNT_IMAGE)
        return tree_mount(m);
    if (m->type == SPEC_MOUNT_VOLUME)
        return volume_mount(x, m);
    return m->type == SPEC_MOUNT_TMPFS ? tmpfs_mount(m) : bind_mount(m);
}

static size_t depth(const struct json *mount) {
    size_t n = 0;
    for (const char *s = json_str_value(json_get(mount, "destination")); *s; s++)
        n += *s == '/';
    return n;
}

struct mount_list {
    struct mount_entry {
        struct json *mount;
        size_t depth;
    } * v;
    size_t n;
};

/* Keeps the list sorted by depth; equals stay in the order they came in. */
static void insert(struct mount_list *l, struct json *take_mount) {
    struct mount_entry new = {take_mount, depth(take_mount)};
    l->v = mem_resize(l->v, l->n + 1, sizeof *l->v);
    size_t at = l->n++;
    for (; at > 0 && l->v[at - 1].depth > new.depth; at--)
        l->v[at] = l->v[at - 1];
    l->v[at] = new;
}

char *spec_own_file(const struct spec_ctx *x, const char *name) {
    return mem_printf("%s/containers/%s/%s", x->in->containers_root, x->in->id, name);
}

/* /etc/hosts and its siblings are files beside the container's record. */
static void insert_netfiles(const struct spec_ctx *x, struct mount_list *l) {
    static const char *const files[] = {"resolv.conf", "hostname", "hosts"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        autofree char *target = mem_printf("/etc/%s", files[i]);
        autofree char *source = spec_own_file(x, files[i]);
        if (!user_has(x, target))
            insert(l, oci_mount(target, "bind", source, x->o->read_only ? "rbind,ro,rprivate" : "rbind,rprivate"));
    }
    if (x->timezone && !user_has(x, "/etc/localtime"))
        insert(l, oci_mount("/etc/localtime", "bind", x->timezone, "bind,ro,rprivate,nosuid,nodev,noexec"));
}

/* Nodes cannot be made in a user namespace: they are bound from the host. */
static void insert_devices(const struct spec_ctx *x, struct mount_list *l) {
    const struct strv *all = x->o->privileged ? x->in->host_devices : NULL;
    for (size_t i = 0; i < x->n_devices; i++)
        insert(l, oci_mount(x->devices[i].container, "bind", x->devices[i].host, "rbind,rprivate,nosuid,noexec"));
    for (size_t i = 0; all && i < all->n; i++)
        if (!user_has(x, all->v[i]))
            insert(l, oci_mount(all->v[i], "bind", all->v[i], "bind,rprivate,nosuid,noexec"));
}

static void insert_mount(void *ctx, struct json *take_mount) { insert(ctx, take_mount); }

static void insert_secret(void *ctx, const char *target, const char *source) {
    insert(ctx, source ? oci_mount(target, "bind", source, "bind,ro,rprivate,nosuid,nodev,noexec")
                       : oci_mount(target, "tmpfs", "tmpfs", "nosuid,nodev,noexec,mode=755,size=65536"));
}

/* One of container.json's "Trees". */
static struct json *tree_of(const struct spec_ctx *x, const struct spec_mount *m) {
    struct json *t = json_object();
    const struct json *image = json_get(x->in->mount_images, m->source);
    autofree char *volume = m->type == SPEC_MOUNT_VOLUME ? spec_volume_source(x, m) : NULL;
    json_set_str(t, "Destination", m->target);
    json_set_bool(t, "Writable", !m->read_only);
    if (m->type == SPEC_MOUNT_IMAGE) {
        json_set_str(t, "Image", json_text(image, "Id"));
        json_set(t, "Layers", json_copy(json_get(image, "Layers")));
        return t;
    }
    json_set_str(t, "Directory", volume ? volume : m->source);
    if (spec_mount_option(m, "upperdir")) {
        json_set_str(t, "Upper", spec_mount_option(m, "upperdir"));
        json_set_str(t, "Work", spec_mount_option(m, "workdir"));
    }
    return t;
}

struct json *spec_emit_trees(const struct spec_ctx *x) {
    struct json *list = NULL;
    for (size_t i = 0; i < x->n_mounts; i++) {
        if (!x->mounts[i].m.overlay && x->mounts[i].m.type != SPEC_MOUNT_IMAGE)
            continue;
        list = list ? list : json_array();
        json_push(list, tree_of(x, &x->mounts[i].m));
    }
    return list;
}

struct json *spec_emit_mounts(const struct spec_ctx *x) {
    struct json *out = json_array();
    push_kernel(x, out);
    push_ipc(x, out);
    struct mount_list l = {0};
    insert_netfiles(x, &l);
    for (size_t i = 0; i < x->n_mounts; i++)
        insert(&l, user_mount(x, &x->mounts[i].m));
    insert_devices(x, &l);
    spec_emit_cdi_mounts(x, insert_mount, &l);
    spec_emit_secrets(x, insert_secret, &l);
    for (size_t i = 0; i < l.n; i++)
        json_push(out, l.v[i].mount);
    free(l.v);
    return out;
}
