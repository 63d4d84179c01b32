/*
 * Creating a container: image by policy, spec, record. Nothing is mounted and no process is made; after this the
 * container is a directory with a reserved name, whole or absent.
 */
#include "engine/cdi.h"
#include "engine/engine_int.h"
#include "engine/idmaps.h"
#include "engine/labels_int.h"
#include "engine/secrets_int.h"
#include "engine/shared.h"
#include "engine/volumes_int.h"
#include "image/location.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct creation {
    struct engine *engine;
    const struct engine_create *args;
    struct store *store;
    char image_id[65];
    char *rootfs; /* --rootfs: the directory */
    bool rootfs_overlay;
    struct json *image_config;
    struct strv layers;
    char id[65];
    struct spec *spec;
    struct strv warnings; /* about limits */
    struct strv volume_names;
    struct json *volumes_from;
    struct json *volume_mounts;
    struct json *mount_images;
    struct json *secrets;
    struct json *cdi;
    struct labels *labels; /* NULL: it has no label */
    struct idmaps ids;
    int volumes_lock;   /* while there are volumes that no record tells of yet */
    int dirfd, lock_fd; /* of the new container, when it is to be started */
};

static void creation_done(struct creation *c) {
    json_free(c->image_config);
    free(c->rootfs);
    strv_done(&c->layers);
    spec_free(c->spec);
    strv_done(&c->warnings);
    strv_done(&c->volume_names);
    json_free(c->volumes_from);
    json_free(c->volume_mounts);
    json_free(c->mount_images);
    json_free(c->secrets);
    json_free(c->cdi);
    labels_free(c->labels);
    idmaps_done(&c->ids);
    fd_close(c->volumes_lock);
    fd_close(c->dirfd);
    fd_close(c->lock_fd);
}

static struct err *check_options(struct creation *c);

static struct err *pull_image(struct creation *c, enum engine_pull_policy policy) {
    const struct container_options *o = c->args->options;
    const struct engine_pull pull = {
        .reference = o->image,
        .platform = o->platform,
        .policy = policy,
        .progress = c->args->progress,
        .interrupted_fd = c->args->interrupted_fd,
    };
    struct image_pulled got = {.up_to_date = false};
    TRY(engine_image_pull(c->engine, &pull, &got));
    free(got.reference);
    memcpy(c->image_id, got.id, sizeof c->image_id);
    return NULL;
}

/* docker's words for --pull never. */
static struct err *no_such_image(const char *image) {
    return err_hint(err_new(ERR_NOT_FOUND, "No such image: %s", image),
                    "run 'coracle pull %s', or leave out --pull never", image);
}

static struct err *resolve_image(struct creation *c) {
    const struct container_options *o = c->args->options;
    struct image_platform wanted = {.os = NULL};
    if (o->platform)
        TRY(image_platform_parse(c->engine->host, o->platform, &wanted));
    image_platform_done(&wanted);
    enum engine_pull_policy policy = PULL_MISSING;
    TRY(engine_pull_policy_parse(o->pull ? o->pull : "missing", &policy));
    autolocation from = {.path = NULL};
    TRY(image_location_parse(o->image, &from));
    if (policy == PULL_ALWAYS || policy == PULL_NEWER || from.transport != IMAGE_REGISTRY) {
        TRY(check_options(c));
        return pull_image(c, policy);
    }
    struct err *e = engine_image_find(c->engine, from.reference, c->image_id, NULL);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    TRY(check_options(c));
    if (policy == PULL_NEVER)
        return no_such_image(o->image);
    struct image_ref ref = {.domain = NULL};
    TRY(engine_ref_parse(c->engine, from.reference, &ref));
    autofree char *canonical = image_ref_canonical(&ref);
    image_ref_done(&ref);
    autofree char *familiar = image_ref_familiar(canonical);
    if (c->args->missing)
        c->args->missing(c->args->missing_ctx, familiar);
    return pull_image(c, PULL_ALWAYS);
}

/* Another platform's may be in an index that the name stands for. */
static struct err *find_platform(struct creation *c, struct store_image **img) {
    const struct container_options *o = c->args->options;
    struct err *e = engine_image_platform_check(c->engine, o->image, *img, o->platform);
    if (!e)
        return NULL;
    autoerr none = engine_image_member(c->engine, o->image, o->platform, c->image_id);
    if (none)
        return e;
    err_free(e);
    store_image_free(take_ptr(img));
    return store_image_get(c->store, c->image_id, img);
}

static struct err *load_image(struct creation *c) {
    struct store_image *img = NULL;
    TRY(store_image_get(c->store, c->image_id, &img));
    struct err *e = find_platform(c, &img);
    if (!e)
        e = engine_layers_make(c->engine, img);
    if (!e)
        e = image_config(c->store, img, &c->image_config);
    for (size_t i = 0; !e && i < img->n_layers; i++)
        strv_push(&c->layers, img->layers[i].chain_id);
    store_image_free(img);
    return e;
}

/* A small file of the host, as the user's tools would read it: symlinks followed, absent is empty. */
static struct err *read_host_file(const char *path, struct str *out) {
    autofd int fd = -1;
    autoerr missing = fd_open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &fd);
    return missing ? NULL : io_read_all(fd, 65536, path, out);
}

/* The devices that --privileged hands over beyond the default ones: those that are there. */
static void privileged_devices(struct strv *out) {
    static const char *const candidates[] = {"/dev/fuse", "/dev/net/tun", "/dev/kvm"};
    for (size_t i = 0; i < ARRAY_LEN(candidates); i++)
        if (faccessat(AT_FDCWD, candidates[i], F_OK, AT_EACCESS) == 0)
            strv_push(out, candidates[i]);
}

/* The profile that the configuration names, as text; NULL where it names none or one of docker's words. */
static struct err *configured_seccomp(const struct config *config, struct str *out) {
    const char *path = config->seccomp_profile;
    if (!path || !strcmp(path, "unconfined") || !strcmp(path, "builtin"))
        return NULL;
    autofd int fd = -1;
    TRY_CTX(fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd), "seccomp-profile of config.json");
    return io_read_all(fd, (size_t)1 << 20, path, out);
}

/* Looked at where somebody asks for a profile only. */
static bool has_apparmor(const struct container_options *o) {
    autostr struct str on = STR_INIT;
    if (!o->security_opt.n)
        return false;
    autoerr none = io_read_file(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 8, &on);
    return !none && *str_c(&on) == 'Y';
}

/* A network that is not there is an error now, not at the start. */
static struct err *check_networks(const struct creation *c) {
    JSON_EACH(it, json_get(c->spec->network, "networks")) {
        autonetdef d = NULL;
        TRY(engine_network_def(c->engine->host, "", it, &d));
    }
    return NULL;
}

static struct err *build_spec(struct creation *c, const char *name) {
    const struct container_options *o = c->args->options;
    autostr struct str resolv = STR_INIT_MAX(65536);
    autostr struct str hosts = STR_INIT_MAX(65536);
    autostr struct str seccomp = STR_INIT;
    autostrv struct strv devices = {.n = 0};
    volumes_fresh_names(o, c->image_config, &c->volume_names);
    TRY(read_host_file("/etc/resolv.conf", &resolv));
    if (str_eq(spec_network_mode(o), "host"))
        TRY(read_host_file("/etc/hosts", &hosts));
    if (o->privileged)
        privileged_devices(&devices);
    TRY(configured_seccomp(c->engine->config, &seccomp));
    automachine machine = {.cpus = {.ptr = NULL}};
    TRY(engine_machine_options(&o->resources, &machine));
    const struct spec_machine online = {str_c(&machine.cpus), str_c(&machine.mems)};
    const struct spec_input in = {
        .options = o,
        .image_config = c->image_config,
        .image_id = c->image_id,
        .rootfs = c->rootfs,
        .rootfs_overlay = c->rootfs_overlay,
        .image_name = o->image,
        .layers = &c->layers,
        .host = c->engine->host,
        .config = c->engine->config,
        .id = c->id,
        .containers_root = store_containers_root(c->store),
        .name = name,
        .created = clock_now(),
        .host_resolv = str_c(&resolv),
        .host_hosts = hosts.len ? str_c(&hosts) : NULL,
        .seccomp_text = seccomp.len ? str_c(&seccomp) : NULL,
        .host_devices = &devices,
        .expand = c->args->expand,
        .machine = machine.cpus.len ? &online : NULL,
        .block_devices = &machine.devices,
        .volume_names = &c->volume_names,
        .volumes_from = c->volumes_from,
        .volume_mounts = c->volume_mounts,
        .mount_images = c->mount_images,
        .secrets = c->secrets,
        .cdi = c->cdi,
        .map = c->ids.mapped ? &c->ids.map : NULL,
        .apparmor = has_apparmor(o),
        .selinux = labels_machine(c->labels),
        .map_auto = c->ids.mode.kind == SPEC_USERNS_AUTO,
        .map_user = *c->ids.user ? c->ids.user : NULL,
        .account = c->ids.account.name ? &c->ids.account : NULL,
    };
    spec_free(c->spec);
    c->spec = NULL;
    TRY(spec_build(&in, &c->spec));
    return check_networks(c);
}

/* A command line that is wrong is said to be so before an image is fetched for it. */
static struct err *check_options(struct creation *c) {
    static const char any_image[] = "{\"config\":{\"Cmd\":[\"true\"]}}";
    memset(c->image_id, '0', sizeof c->image_id - 1);
    id_random(c->id);
    TRY(json_parse(any_image, strlen(any_image), "image", 0, &c->image_config));
    struct err *e = build_spec(c, "unnamed");
    json_free(take_ptr(&c->image_config));
    return e;
}

/* Missing sources of -v are made, as docker does; those of --mount are an error, before anything is recorded. */
static struct err *prepare_bind(const struct spec_mount *m) {
    if (m->type != SPEC_MOUNT_BIND || faccessat(AT_FDCWD, m->source, F_OK, AT_EACCESS) == 0)
        return NULL;
    if (errno != ENOENT)
        return NULL; /* the runtime will say why it cannot be mounted, and may be able to */
    if (!m->create_source)
        return err_new(ERR_USAGE, "invalid mount config for type \"bind\": bind source path does not exist: %s",
                       m->source);
    struct err *e = io_mkdirs(AT_FDCWD, m->source, 0755);
    if (e && str_ends(m->source, "/docker.sock"))
        e = err_hint(e, "there is no daemon, and so no socket of one that a container could be given");
    return e ? err_wrap(e, "bind source path does not exist: %s", m->source) : NULL;
}

static struct err *prepare_binds(const struct creation *c) {
    const struct container_options *o = c->args->options;
    for (size_t i = 0; i < o->volumes.n + o->mounts.n; i++) {
        struct spec_mount m = {.source = NULL};
        if (i < o->volumes.n)
            TRY(spec_parse_volume(o->volumes.v[i], o->cwd, &m));
        else
            TRY(spec_parse_mount(o->mounts.v[i - o->volumes.n], &m));
        struct err *e = prepare_bind(&m);
        spec_mount_done(&m);
        TRY(e);
    }
    return NULL;
}

static struct err *check_timezone(const struct creation *c) {
    const char *tz = c->args->options->tz;
    autofree char *file = NULL;
    struct stat st;
    if (!tz)
        return NULL;
    TRY(spec_timezone_file(c->engine->host, tz, &file));
    if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
        return NULL;
    return err_hint(err_new(ERR_USAGE, "unknown or invalid time zone %s: there is no file %s", tz, file),
                    "the host has no such zone: its package tzdata may be missing; -e TZ=… needs none");
}

/* podman's --replace. What only has an id like that is not meant. */
static struct err *replace(const struct creation *c, const char *name) {
    char id[65] = "";
    {
        autocontainer old = ENGINE_CONTAINER_INIT;
        struct err *e = engine_container_load(c->engine, name, &old);
        if (e && err_kind(e) == ERR_NOT_FOUND) {
            err_free(e);
            return NULL;
        }
        TRY(e);
        if (!str_eq(engine_container_name(&old), name))
            return NULL;
        memcpy(id, old.id, sizeof id);
    }
    return engine_container_remove(c->engine, id, true, true); /* its anonymous volumes, too */
}

/* What must be right on this machine before anything is recorded, or removed to make room. */
static struct err *check_machine(struct creation *c) {
    TRY(runtime_limits_probe(c->engine->host, c->id, c->spec->config, &c->warnings));
    TRY(check_timezone(c));
    return prepare_binds(c);
}

static struct err *record(struct creation *c, const char *name) {
    const struct store_container_new new = {
        .id = c->id,
        .name = name,
        .config = c->spec->config,
        .options = c->spec->options,
        .summary = c->spec->summary,
        .network = c->spec->network,
        .durable = !c->spec->rm && !c->args->to_start,
    };
    TRY(store_container_create(c->store, &new, c->args->to_start ? &c->dirfd : NULL, &c->lock_fd));
    struct err *e = secrets_place(c->engine, c->id, c->args->options);
    if (e)
        err_free(store_container_remove(c->store, c->id));
    return e;
}

/* *ret: without docker's "/", borrowed; NULL where none was given. */
static struct err *given_name(const struct container_options *o, const char **ret) {
    const char *given = o->name;
    if (given && *given == '/')
        given++;
    if (given && !id_name_ok(given))
        return err_new(ERR_USAGE, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", given);
    if (!given && o->replace)
        return err_new(ERR_USAGE, "cannot replace container without --name being set");
    *ret = given;
    return NULL;
}

/* What volumes are is known when they are there: then the spec may have to say more of how they are mounted. */
static struct err *mount_volumes(struct creation *c, const char *name) {
    TRY(volumes_mounts(c->engine, c->spec, &c->volume_mounts));
    return c->volume_mounts ? build_spec(c, name) : NULL;
}

/* A given name is taken or free; a random one is tried again until it is free. */
static struct err *record_named(struct creation *c) {
    const char *given = NULL;
    TRY(given_name(c->args->options, &given));
    for (int attempt = 0;; attempt++) {
        autofree char *random = given ? NULL : id_random_name(attempt);
        const char *name = given ? given : random;
        TRY(build_spec(c, name));
        if (c->args->base)
            json_set_bool(c->spec->summary, ENGINE_UNSEEN, true);
        if (attempt == 0)
            TRY(check_machine(c));
        if (c->args->options->replace)
            TRY(replace(c, name));
        if (attempt == 0) { /* after a removal, which may want the lock for itself */
            TRY(volumes_ensure(c->engine, c->spec, &c->volumes_lock));
            TRY(mount_volumes(c, name));
        }
        struct err *e = record(c, name);
        if (!e || given || err_kind(e) != ERR_CONFLICT || attempt == 100)
            return e;
        err_free(e);
    }
}

/* --rootfs, in podman's form: DIR, or DIR:O. */
static struct err *resolve_rootfs(struct creation *c) {
    const struct container_options *o = c->args->options;
    const char *colon = strrchr(o->image, ':');
    autofd int dir = -1;
    c->rootfs_overlay = colon && !strcmp(colon, ":O");
    if (colon && (!strcmp(colon, ":idmap") || str_starts(colon, ":idmap=")))
        return err_new(ERR_UNSUPPORTED, "--rootfs %s: directories of a user cannot be mounted with other owners",
                       o->image);
    autofree char *typed = c->rootfs_overlay ? mem_dupn(o->image, (size_t)(colon - o->image)) : mem_dup(o->image);
    if (!*typed)
        return err_new(ERR_USAGE, "--rootfs needs a directory");
    autofree char *absolute = *typed == '/' ? mem_dup(typed) : path_join(o->cwd ? o->cwd : "/", typed);
    c->rootfs = path_clean(absolute);
    TRY_CTX(fd_open_dir(AT_FDCWD, c->rootfs, &dir), "--rootfs");
    if (faccessat(dir, ".", X_OK | (c->rootfs_overlay ? 0 : W_OK), AT_EACCESS) == 0)
        return NULL;
    return err_hint(err_sys(errno, "--rootfs %s", c->rootfs),
                    "a container's root is you: the directory must be yours, or :O put behind it; what belongs to "
                    "others is nobody's there, 'coracle unshare chown' gives it to your subordinate ids");
}

/* Layers of a build: no image has them yet. */
static struct err *take_base(struct creation *c) {
    memset(c->image_id, '0', sizeof c->image_id - 1);
    c->image_config = json_copy(c->args->base->image_config);
    strv_extend(&c->layers, c->args->base->layers);
    return NULL;
}

/* Everything up to, and not including, the record. */
static struct err *prepare(struct creation *c) {
    if (!c->args->options->image || !*c->args->options->image)
        return err_new(ERR_USAGE, "invalid reference format");
    TRY(engine_store(c->engine, &c->store));
    TRY(volumes_from(c->engine, c->args->options, &c->volumes_from));
    if (c->args->base && c->args->base->trees)
        c->mount_images = json_copy(c->args->base->trees);
    else
        TRY(volumes_images(c->engine, c->args->options, &c->mount_images));
    TRY(secrets_load(c->engine, c->args->options, &c->secrets));
    TRY(cdi_resolve(c->engine->host, c->engine->config, c->args->options, &c->cdi));
    TRY(labels_find(c->engine, c->args->options, &c->labels));
    id_random(c->id);
    if (c->args->base) {
        TRY(take_base(c));
    } else if (c->args->options->rootfs) {
        TRY(resolve_rootfs(c));
    } else {
        TRY(resolve_image(c));
        TRY(load_image(c));
    }
    return idmaps_resolve(c->engine, c->args->options, c->image_config, &c->layers, &c->ids);
}

#define CREATION_INIT(e, a)                                                                                            \
    { .engine = (e), .args = (a), .dirfd = -1, .lock_fd = -1, .volumes_lock = -1, .ids = IDMAPS_INIT }

struct err *engine_container_create(struct engine *e, const struct engine_create *args, struct engine_created *ret,
                                    struct strv *ret_warnings) {
    struct creation c = CREATION_INIT(e, args);
    struct err *r = prepare(&c);
    if (!r)
        r = record_named(&c);
    fd_replace(&c.ids.lock_fd, -1); /* its ids are recorded, or not wanted any more */
    if (c.volumes_lock >= 0) {
        fd_replace(&c.volumes_lock, -1);
        if (r && c.spec)
            volumes_drop(e, c.spec->summary);
    }
    if (!r) {
        events_tell_container(e->host, c.spec->summary, "create", NULL);
        memcpy(ret->id, c.id, sizeof c.id);
        strv_extend(ret_warnings, &c.spec->warnings);
        strv_extend(ret_warnings, &c.warnings);
        ret->dirfd = take_fd(&c.dirfd);
        ret->lock_fd = take_fd(&c.lock_fd);
        ret->spec = take_ptr(&c.spec);
    }
    creation_done(&c);
    return r;
}

void engine_created_done(struct engine_created *c) {
    fd_close(c->dirfd);
    fd_close(c->lock_fd);
    spec_free(c->spec);
    *c = (struct engine_created)ENGINE_CREATED_INIT;
}

struct err *engine_container_spec(struct engine *e, const struct engine_create *args, struct json **ret) {
    struct creation c = CREATION_INIT(e, args);
    struct err *r = prepare(&c);
    const char *name = args->options->name ? args->options->name : "unnamed";
    if (!r)
        r = build_spec(&c, name);
    if (!r)
        r = mount_volumes(&c, name);
    if (!r)
        *ret = json_copy(c.spec->config);
    creation_done(&c);
    return r;
}
