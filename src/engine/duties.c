/* duties: restart policies and health checks as the commands see them; the monitor carries them out. */
#include "engine/engine_int.h"

#include <string.h>

/* ---- restart policies ---- */

static struct err *rewrite(const struct engine_container *c, const char *name, int max) {
    autojson options = NULL;
    autojson summary = NULL;
    autofd int lock = -1;
    TRY(store_container_lock_records(c->dirfd, &lock));
    TRY(json_read_file(c->dirfd, "options.json", &options));
    TRY(json_read_file(c->dirfd, "container.json", &summary));
    struct json *host = json_get(options, "HostConfig");
    if (host)
        json_set(host, "RestartPolicy", spec_restart_json(name, max));
    if (!strcmp(name, "no"))
        json_remove(summary, "RestartPolicy");
    else
        json_set(summary, "RestartPolicy", spec_restart_json(name, max));
    TRY(json_write_file(c->dirfd, "options.json", options, 0600, IO_DURABLE));
    return json_write_file(c->dirfd, "container.json", summary, 0600, IO_DURABLE);
}

struct err *engine_container_set_restart(struct engine *e, const char *name, const char *policy) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    const char *kind;
    int max;
    TRY(spec_parse_restart(policy, &kind, &max));
    TRY(engine_container_load(e, name, &c));
    if (strcmp(kind, "no") != 0 && json_bool_value(json_get(c.summary, "AutoRemove"), false))
        return err_new(ERR_USAGE, "restart policy cannot be updated because AutoRemove is enabled for the container");
    TRY(engine_container_unless_gone(e, &c, rewrite(&c, kind, max)));
    struct err *r = engine_state_alive(&c.state) ? monitor_set_restart(e->host, c.id, kind, max) : NULL;
    if (r && err_kind(r) == ERR_NOT_FOUND) { /* it ended meanwhile */
        err_free(r);
        r = NULL;
    }
    return r;
}

const char *engine_row_restart(const struct engine_row *r) {
    static const char *const names[] = {"always", "unless-stopped", "on-failure"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        autofree char *quoted = mem_printf("\"Name\":\"%s\"", names[i]);
        if (strstr(r->restart, quoted))
            return names[i];
    }
    return "no";
}

bool engine_row_on_boot(const struct engine_row *r) {
    const char *policy = engine_row_restart(r);
    return !strcmp(policy, "always") || (!strcmp(policy, "unless-stopped") && !r->stopped_by_user);
}

/* ---- health checks ---- */

struct err *engine_container_healthcheck(struct engine *e, const char *name, int *ret_code) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    if (!engine_state_alive(&c.state))
        return engine_err_not_running(c.id);
    return monitor_health(e->host, c.id, ret_code);
}
