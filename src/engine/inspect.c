/* inspect: docker's container object, from container.json, state.json and options.json (docker's view of what was asked
 * at create). */
#include "engine/engine_int.h"
#include "storage/rootfs.h"

#include <string.h>

static void set_time(struct json *o, const char *key, int64_t t) {
    autostr struct str s = STR_INIT;
    clock_format_rfc3339(t, &s);
    json_set_str(o, key, str_c(&s));
}

/* docker's Health: the status from the state, the rest from what the monitor remembers of the checks. */
static struct json *health_view(const struct engine_container *c) {
    autojson kept = NULL;
    struct json *h = json_object(), *log;
    err_free(json_read_file(c->dirfd, "health.json", &kept)); /* none yet */
    log = json_copy(json_get(kept, "Log"));
    json_set_str(h, "Status", c->state.health);
    json_set_int(h, "FailingStreak", json_int_value(json_get(kept, "FailingStreak"), 0));
    json_set(h, "Log", log ? log : json_array());
    return h;
}

static struct json *state_view(const struct engine_container *c) {
    const struct monitor_state *s = &c->state;
    struct json *o = json_object();
    json_set_str(o, "Status", s->status);
    json_set_bool(o, "Running", engine_state_alive(s));
    json_set_bool(o, "Paused", !strcmp(s->status, "paused"));
    json_set_bool(o, "Restarting", !strcmp(s->status, "restarting"));
    json_set_bool(o, "OOMKilled", s->oom_killed);
    json_set_bool(o, "Dead", !strcmp(s->status, "dead"));
    json_set_int(o, "Pid", s->pid);
    json_set_int(o, "ExitCode", s->exit_code);
    json_set_str(o, "Error", s->error);
    set_time(o, "StartedAt", s->started);
    set_time(o, "FinishedAt", s->finished);
    if (*s->health)
        json_set(o, "Health", health_view(c));
    return o;
}

static void set_copy(struct json *o, const char *key, const struct json *v, struct json *(*fallback)(void)) {
    struct json *copy = json_copy(v);
    json_set(o, key, copy ? copy : fallback());
}

static void set_path(struct json *o, const char *key, const struct engine *e, const struct engine_container *c,
                     const char *file) {
    autofree char *path = mem_printf("%s/containers/%s/%s", store_containers_root(e->store), c->id, file);
    json_set_str(o, key, path);
}

static void inspect_head(struct json *o, const struct engine *e, const struct engine_container *c, const char *driver) {
    const struct json *sum = c->summary;
    const char *id = json_str_value(json_get(sum, "Image")), *rootfs = json_str_value(json_get(sum, "Rootfs"));
    autofree char *image = mem_printf("%s%s", id && *id ? "sha256:" : "", id ? id : "");
    autofree char *name = mem_printf("/%s", engine_container_name(c));
    json_set_str(o, "Id", c->id);
    set_copy(o, "Created", json_get(sum, "Created"), json_null);
    set_copy(o, "Path", json_get(sum, "Path"), json_null);
    set_copy(o, "Args", json_get(sum, "Args"), json_array);
    json_set(o, "State", state_view(c));
    json_set_str(o, "Image", image);
    if (rootfs)
        json_set_str(o, "Rootfs", rootfs);
    set_path(o, "ResolvConfPath", e, c, "resolv.conf");
    set_path(o, "HostnamePath", e, c, "hostname");
    set_path(o, "HostsPath", e, c, "hosts");
    if (c->state.started && str_eq(json_str_value(json_get(sum, "LogDriver")), "json-file")) /* docker's rule */
        set_path(o, "LogPath", e, c, "log");
    else
        json_set_str(o, "LogPath", "");
    json_set_str(o, "Name", name);
    json_set_int(o, "RestartCount", c->state.restart_count);
    json_set_str(o, "Driver", driver);
    json_set_str(o, "Platform", "linux");
    json_set_str(o, "MountLabel", json_text(sum, "MountLabel"));
    json_set_str(o, "ProcessLabel", json_text(sum, "ProcessLabel"));
    json_set_str(o, "AppArmorProfile", "");
    json_set(o, "ExecIDs", json_null());
}

static struct json *driver_view(const struct engine *e, const struct engine_container *c, const char *name) {
    struct json *o = json_object(), *data = json_object();
    if (str_eq(name, "vfs")) {
        set_path(data, "MergedDir", e, c, "rootfs");
    } else {
        set_path(data, "UpperDir", e, c, "upper");
        set_path(data, "WorkDir", e, c, "work");
    }
    json_set(o, "Data", data);
    json_set_str(o, "Name", name);
    return o;
}

struct err *engine_container_inspect(struct engine *e, const char *name, bool size, struct json **ret) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    autojson options = NULL;
    TRY(engine_container_record(e, &c, "options.json", &options));
    struct json *o = json_object();
    const char *driver = store_has_copy(c.dirfd) ? "vfs" : engine_driver_name(e);
    inspect_head(o, e, &c, driver);
    set_copy(o, "HostConfig", json_get(options, "HostConfig"), json_object);
    json_set(o, "GraphDriver", driver_view(e, &c, driver));
    if (size) {
        struct engine_size size_rw = {.bytes = 0};
        TRY(engine_measure(e, engine_measure_container, c.id, &size_rw));
        json_set_int(o, "SizeRw", size_rw.bytes);
    }
    set_copy(o, "Mounts", json_get(options, "Mounts"), json_array);
    set_copy(o, "Config", json_get(options, "Config"), json_object);
    json_set(o, "NetworkSettings", endpoints_settings(&c));
    *ret = o;
    return NULL;
}
