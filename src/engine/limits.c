/*
 * Limits of a container that exists: pausing and unpausing, which is the monitor's work, with docker's words for when
 * there is nothing to do; and update, which rewrites the container's records and has the monitor put them into force.
 */
#include "engine/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "engine/engine_int.h"

/* ---- what the machine has ---- */

static void read_online(const char *file, const char *fallback, struct str *out) {
    autostr struct str text = STR_INIT;
    autoerr unread = io_read_file(AT_FDCWD, file, 4096, &text);
    const char *s = unread ? fallback : str_c(&text);
    str_append_n(out, s, strcspn(s, "\n"));
}

static struct err *number_device(const char *path, struct strmap *out) {
    struct stat st;
    if (stat(path, &st) < 0)
        return err_sys(errno, "look at the device %s", path);
    if (!S_ISBLK(st.st_mode))
        return err_new(ERR_USAGE, "%s is not a block device", path);
    autofree char *pair = mem_printf("%u:%u", major(st.st_rdev), minor(st.st_rdev));
    strmap_set(out, path, pair);
    return NULL;
}

struct err *engine_machine(const struct json *host_config, struct machine *ret) {
    autostrv struct strv devices = {.n = 0};
    read_online("/sys/devices/system/cpu/online", "", &ret->cpus);
    read_online("/sys/devices/system/node/online", "0", &ret->mems);
    spec_resources_devices(host_config, &devices);
    for (size_t i = 0; i < devices.n; i++)
        TRY(number_device(devices.v[i], &ret->devices));
    return NULL;
}

struct err *engine_machine_options(const struct spec_resources *r, struct machine *ret) {
    autojson typed = json_object();
    TRY(spec_resources_patch(r, typed));
    return json_count(typed) ? engine_machine(typed, ret) : NULL;
}

void engine_machine_done(struct machine *m) {
    str_done(&m->cpus);
    str_done(&m->mems);
    strmap_done(&m->devices);
}

/* ---- pause ---- */

/* Who asks a monitor that has ended meanwhile hears that the container does not run. */
static struct err *ended(struct err *take_err, const char *id) {
    if (!take_err || err_kind(take_err) != ERR_NOT_FOUND)
        return take_err;
    err_free(take_err);
    return engine_err_not_running(id);
}

struct err *engine_container_pause(struct engine *e, const char *name) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    if (!engine_state_alive(&c.state))
        return engine_err_not_running(c.id);
    if (!strcmp(c.state.status, "restarting"))
        return err_new(ERR_CONFLICT, "container %s is restarting, wait until the container is running", c.id);
    return ended(monitor_pause(e->host, c.id), c.id);
}

struct err *engine_container_unpause(struct engine *e, const char *name) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    if (strcmp(c.state.status, "paused") != 0)
        return err_new(ERR_CONFLICT, "container %s is not paused", c.id);
    return ended(monitor_unpause(e->host, c.id), c.id);
}

/* ---- update ---- */

/* The records of one container that an update changes. */
struct update {
    struct engine *engine;
    struct engine_container c;
    struct json *options, *config;
    struct json *before; /* linux.resources, for when the new ones are refused */
};

static void update_done(struct update *u) {
    engine_container_done(&u->c);
    json_free(u->options);
    json_free(u->config);
    json_free(u->before);
}

static struct err *conflict(const char *what, const char *with) {
    return err_new(ERR_CONFLICT, "Conflicting options: %s cannot be updated as %s has already been set", what, with);
}

/* docker's rules for what may follow what. */
static struct err *check_sequence(const struct json *h, const struct spec_resources *r) {
    int64_t nano = json_int_value(json_get(h, "NanoCpus"), 0), swap = json_int_value(json_get(h, "MemorySwap"), 0);
    if (r->nano_cpus > 0 && json_int_value(json_get(h, "CpuPeriod"), 0) > 0)
        return conflict("Nano CPUs", "CPU Period");
    if (r->nano_cpus > 0 && json_int_value(json_get(h, "CpuQuota"), 0) > 0)
        return conflict("Nano CPUs", "CPU Quota");
    if (r->cpu_period > 0 && nano > 0)
        return conflict("CPU Period", "NanoCPUs");
    if (r->cpu_quota > 0 && nano > 0)
        return conflict("CPU Quota", "NanoCPUs");
    if (r->memory > 0 && swap > 0 && r->memory > swap && !r->memory_swap)
        return err_new(ERR_CONFLICT, "Memory limit should be smaller than already set memoryswap limit, update the "
                                     "memoryswap at the same time");
    return NULL;
}

static struct err *new_resources(const struct json *h, struct strv *warnings, struct json **ret) {
    automachine machine = {.cpus = {.ptr = NULL}};
    TRY(engine_machine(h, &machine));
    const struct spec_machine online = {str_c(&machine.cpus), str_c(&machine.mems)};
    TRY(spec_resources_check(h, &online, warnings));
    *ret = spec_resources_oci(h, &machine.devices);
    return NULL;
}

/* A limit of both comes with the first one of memory, as at create. */
static void default_swap(struct json *h, const struct spec_resources *r) {
    if (r->memory > 0 && json_int_value(json_get(h, "MemorySwap"), 0) == 0)
        json_set_int(h, "MemorySwap", 2 * r->memory);
}

/* linux.resources is taken out when it is empty, as create leaves it out. */
static void set_resources(struct json *config, struct json *take_resources) {
    struct json *linux_ = json_get(config, "linux");
    json_remove(linux_, "resources");
    if (json_count(take_resources))
        json_set(linux_, "resources", take_resources);
    else
        json_free(take_resources);
}

static struct err *write_config(const struct update *u) {
    return json_write_file(u->c.dirfd, "config.json", u->config, 0600, IO_DURABLE);
}

/* Into force: by the monitor, which says whether it can be; of one that does not run, by a look at what a start would
 * find. */
static struct err *enforce(struct update *u, struct strv *warnings) {
    if (!engine_state_alive(&u->c.state))
        return runtime_limits_probe(u->engine->host, u->c.id, u->config, warnings);
    autocgroup g = RUNTIME_CGROUP_NONE;
    runtime_cgroup_open(u->c.state.pid, &g);
    TRY(runtime_limits_plan(u->config, &g, NULL, warnings));
    TRY(write_config(u));
    struct err *e = monitor_update(u->engine->host, u->c.id);
    if (!e || err_kind(e) == ERR_NOT_FOUND) { /* it has ended meanwhile: the next start will see them */
        err_free(e);
        return NULL;
    }
    set_resources(u->config, take_ptr(&u->before));
    autoerr stuck = write_config(u);
    autoerr still = stuck ? NULL : monitor_update(u->engine->host, u->c.id);
    if (stuck || still)
        log_debug("container %s: its former limits could not be put back", u->c.id);
    return e;
}

static struct err *update(struct update *u, const struct spec_resources *r, struct strv *warnings) {
    autofd int lock = -1; /* until the limits are in force, too: what is written last is what holds */
    TRY(store_container_lock_records(u->c.dirfd, &lock));
    TRY(json_read_file(u->c.dirfd, "options.json", &u->options));
    TRY(json_read_file(u->c.dirfd, "config.json", &u->config));
    struct json *h = json_get(u->options, "HostConfig"), *resources = NULL;
    if (!h || !json_get(u->config, "linux"))
        return err_new(ERR_CORRUPT, "the record of container %.12s is damaged", u->c.id);
    TRY(check_sequence(h, r));
    TRY(spec_resources_patch(r, h));
    default_swap(h, r);
    TRY(new_resources(h, warnings, &resources));
    struct json *before = json_copy(json_path(u->config, "linux.resources"));
    u->before = before ? before : json_object();
    set_resources(u->config, resources);
    TRY(enforce(u, warnings));
    TRY(write_config(u));
    return json_write_file(u->c.dirfd, "options.json", u->options, 0600, IO_DURABLE);
}

struct err *engine_container_update(struct engine *e, const char *name, const struct spec_resources *r,
                                    struct strv *ret_warnings) {
    struct update u = {.engine = e, .c = ENGINE_CONTAINER_INIT};
    TRY(engine_container_load(e, name, &u.c));
    struct err *bad = engine_container_unless_gone(e, &u.c, update(&u, r, ret_warnings));
    if (bad)
        bad = err_wrap(bad, "cannot update container %s", u.c.id);
    update_done(&u);
    return bad;
}
