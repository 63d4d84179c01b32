/* cdi: see cdi.h. */
#include "engine/cdi.h"

#include "base/path.h"
#include "base/yaml.h"
#include "engine/engine_int.h"
#include "spec/cdi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct file {
    struct json *content;
    char *path;
    size_t dir; /* a higher one goes first */
    bool used;  /* what it wants for all its devices has been taken */
};

struct cdi {
    struct strv dirs;
    struct file *files;
    size_t n;
    struct strv unread; /* files that could not be used, and why */
    struct json *requests, *edits;
};

static void cdi_done(struct cdi *c) {
    for (size_t i = 0; i < c->n; i++) {
        json_free(c->files[i].content);
        free(c->files[i].path);
    }
    free(c->files);
    strv_done(&c->dirs);
    strv_done(&c->unread);
    json_free(c->requests);
    json_free(c->edits);
}

/* ---- the files ---- */

static void find_dirs(const struct host *h, const struct config *config, struct strv *dirs) {
    const char *runtime = host_env(h, "XDG_RUNTIME_DIR");
    if (config->cdi_spec_dirs.n) {
        strv_extend(dirs, &config->cdi_spec_dirs);
        return;
    }
    autofree char *beside = path_join(h->config_dir, "../cdi");
    strv_push(dirs, "/etc/cdi");
    strv_push(dirs, "/var/run/cdi");
    strv_push_take(dirs, path_clean(beside));
    if (runtime && *runtime == '/')
        strv_push_take(dirs, path_join(runtime, "cdi"));
}

struct reading {
    struct cdi *c;
    size_t dir;
    int fd;
};

static struct err *parse_file(int dir, const char *name, struct json **ret) {
    autojson j = NULL;
    TRY(str_ends(name, ".json") ? json_read_file(dir, name, &j) : yaml_read_file(dir, name, spec_cdi_numbers, &j));
    TRY(spec_cdi_check(j));
    *ret = take_ptr(&j);
    return NULL;
}

/* One that is wrong is in nobody's way who does not ask for its devices. */
static struct err *read_one(void *ctx, const char *name, unsigned char d_type) {
    const struct reading *r = ctx;
    struct cdi *c = r->c;
    struct json *content = NULL;
    (void)d_type;
    if (!str_ends(name, ".json") && !str_ends(name, ".yaml") && !str_ends(name, ".yml"))
        return NULL;
    autofree char *path = path_join(c->dirs.v[r->dir], name);
    autoerr bad = parse_file(r->fd, name, &content);
    if (bad) {
        autostr struct str why = STR_INIT;
        err_format(bad, &why);
        strv_pushf(&c->unread, "%s: %s", path, str_c(&why));
        return NULL;
    }
    c->files = mem_resize(c->files, c->n + 1, sizeof *c->files);
    c->files[c->n++] = (struct file){.content = content, .path = take_ptr(&path), .dir = r->dir};
    return NULL;
}

static struct err *read_dirs(struct cdi *c) {
    for (size_t i = 0; i < c->dirs.n; i++) {
        autofd int fd = -1;
        autoerr missing = fd_open_dir(AT_FDCWD, c->dirs.v[i], &fd);
        if (missing && err_errno(missing) != ENOENT)
            strv_pushf(&c->unread, "%s cannot be read", c->dirs.v[i]);
        struct reading r = {c, i, fd};
        if (!missing)
            TRY(io_each_entry(fd, read_one, &r));
    }
    return NULL;
}

/* ---- devices ---- */

static bool is_of(const struct file *f, const char *kind, size_t n) {
    const char *own = json_text(f->content, "kind");
    return strlen(own) == n && !strncmp(own, kind, n);
}

static const struct json *device_of(const struct file *f, const char *name) {
    JSON_EACH(it, json_get(f->content, "devices"))
    if (!strcmp(json_text(it, "name"), name))
        return it;
    return NULL;
}

static struct err *unresolvable(const struct cdi *c, const char *name) {
    autofree char *dirs = strv_join(&c->dirs, ", "), *unread = strv_join(&c->unread, "; ");
    struct err *e = err_new(ERR_NOT_FOUND, "CDI device injection failed: unresolvable CDI devices %s", name);
    return err_hint(e, "no file in %s has it%s%s", dirs, *unread ? "; not used: " : "", unread);
}

static void take_edits(struct cdi *c, const struct json *from) {
    if (json_count(json_get(from, "containerEdits")))
        json_push(c->edits, json_copy(json_get(from, "containerEdits")));
}

static struct err *add_device(struct cdi *c, const char *name) {
    const char *equals = strchr(name, '=');
    struct file *best = NULL;
    bool twice = false;
    for (size_t i = 0; i < c->n; i++) {
        struct file *f = &c->files[i];
        if (!is_of(f, name, (size_t)(equals - name)) || !device_of(f, equals + 1))
            continue;
        twice = best && f->dir == best->dir; /* they come in the order of their directories */
        best = f;
    }
    if (!best)
        return unresolvable(c, name);
    if (twice)
        return err_new(ERR_CONFLICT, "CDI device injection failed: two files of %s have the device %s",
                       c->dirs.v[best->dir], name);
    if (!best->used)
        take_edits(c, best->content);
    best->used = true;
    take_edits(c, device_of(best, equals + 1));
    return NULL;
}

/* ---- --gpus ---- */

static bool has_kind(const struct cdi *c, const char *kind) {
    for (size_t i = 0; i < c->n; i++)
        if (is_of(&c->files[i], kind, strlen(kind)))
            return true;
    return false;
}

/* The vendor that the driver names, else the first that this machine has a file of. */
static const char *gpu_kind(const struct cdi *c, const char *driver) {
    static const char *const kinds[] = {"nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t vendor = strcspn(kinds[i], ".");
        bool wanted = !*driver || (strlen(driver) == vendor && !strncmp(driver, kinds[i], vendor));
        if (wanted && has_kind(c, kinds[i]))
            return kinds[i];
    }
    return NULL;
}

static struct err *no_driver(const struct cdi *c, const struct json *request) {
    autostr struct str capabilities = STR_INIT;
    JSON_EACH(it, json_first(json_get(request, "Capabilities")))
    str_appendf(&capabilities, "%s%s", capabilities.len ? " " : "", json_str_value(it));
    autofree char *dirs = strv_join(&c->dirs, ", "), *unread = strv_join(&c->unread, "; ");
    struct err *e = err_new(ERR_NOT_FOUND, "could not select device driver \"%s\" with capabilities: [[%s]]",
                            json_text(request, "Driver"), str_c(&capabilities));
    return err_hint(e, "GPUs are found by CDI files, and there is none for one in %s%s%s", dirs,
                    *unread ? "; not used: " : "", unread);
}

static struct err *add_gpu(struct cdi *c, const char *kind, const char *name) {
    autofree char *whole = mem_printf("%s=%s", kind, name);
    return add_device(c, whole);
}

/* "all" is a device that vendors' files have for it. */
static struct err *add_gpus(struct cdi *c, const char *text) {
    struct json *request = NULL;
    TRY(spec_cdi_gpus(text, &request));
    json_push(c->requests, request);
    const char *kind = gpu_kind(c, json_text(request, "Driver"));
    int64_t count = json_int_value(json_get(request, "Count"), 0);
    if (!kind)
        return no_driver(c, request);
    JSON_EACH(it, json_get(request, "DeviceIDs"))
    TRY(add_gpu(c, kind, json_str_value(it)));
    if (count < 0)
        return add_gpu(c, kind, "all");
    for (int64_t i = 0; i < count; i++) {
        autofree char *number = mem_printf("%lld", (long long)i);
        TRY(add_gpu(c, kind, number));
    }
    return NULL;
}

/* ---- all ---- */

static struct err *add_named(struct cdi *c, const struct container_options *o) {
    struct json *request = json_object(), *ids = json_array();
    json_push(c->requests, request);
    json_set_str(request, "Driver", "cdi");
    json_set_int(request, "Count", 0);
    json_set(request, "DeviceIDs", ids);
    json_set(request, "Capabilities", json_null());
    json_set(request, "Options", json_null());
    for (size_t i = 0; i < o->device.n; i++)
        if (spec_cdi_is_name(o->device.v[i])) {
            json_push_str(ids, o->device.v[i]);
            TRY(add_device(c, o->device.v[i]));
        }
    return NULL;
}

static struct err *resolve(struct cdi *c, const struct container_options *o, bool named, struct json **ret) {
    c->requests = json_array();
    c->edits = json_array();
    TRY(read_dirs(c));
    if (named)
        TRY(add_named(c, o));
    for (size_t i = 0; i < o->gpus.n; i++)
        TRY(add_gpus(c, o->gpus.v[i]));
    *ret = json_object();
    json_set(*ret, "Requests", take_ptr(&c->requests));
    json_set(*ret, "Edits", take_ptr(&c->edits));
    return NULL;
}

struct err *cdi_resolve(const struct host *h, const struct config *config, const struct container_options *o,
                        struct json **ret) {
    struct cdi c = {.n = 0};
    bool named = false;
    for (size_t i = 0; i < o->device.n; i++)
        named |= spec_cdi_is_name(o->device.v[i]);
    if (!named && !o->gpus.n)
        return NULL;
    find_dirs(h, config, &c.dirs);
    struct err *e = resolve(&c, o, named, ret);
    cdi_done(&c);
    return e;
}
