/* state: containers/<id>/state.json, what is remembered of a container's runs. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "monitor/monitor.h"

static const char file[] = "state.json";

struct json *monitor_state_json(const struct monitor_state *s) {
    struct json *j = json_object();
    json_set_str(j, "status", s->status);
    json_set_int(j, "pid", s->pid);
    json_set(j, "pid_start", json_uint(s->pid_start));
    json_set_int(j, "monitor_pid", s->monitor_pid);
    json_set_str(j, "boot_id", s->boot_id);
    json_set_int(j, "started", s->started);
    json_set_int(j, "finished", s->finished);
    json_set_int(j, "exit_code", s->exit_code);
    json_set_bool(j, "oom_killed", s->oom_killed);
    json_set_int(j, "restart_count", s->restart_count);
    json_set_str(j, "error", s->error);
    return j;
}

static struct err *get_int(const struct json *j, const char *key, int *ret) {
    int64_t v;
    TRY(json_get_i64_opt(j, key, 0, &v));
    if (v < INT32_MIN || v > INT32_MAX)
        return err_new(ERR_CORRUPT, "%s: %s is out of range", file, key);
    *ret = (int)v;
    return NULL;
}

static struct err *get_text(const struct json *j, const char *key, char *ret, size_t size) {
    const char *v;
    TRY(json_get_str_opt(j, key, "", &v));
    snprintf(ret, size, "%s", v);
    return NULL;
}

static struct err *parse(const struct json *j, struct monitor_state *s) {
    TRY(get_text(j, "status", s->status, sizeof s->status));
    TRY(get_text(j, "boot_id", s->boot_id, sizeof s->boot_id));
    TRY(get_text(j, "error", s->error, sizeof s->error));
    TRY(get_int(j, "pid", &s->pid));
    TRY(json_get_u64_opt(j, "pid_start", 0, &s->pid_start));
    TRY(get_int(j, "monitor_pid", &s->monitor_pid));
    TRY(json_get_i64_opt(j, "started", 0, &s->started));
    TRY(json_get_i64_opt(j, "finished", 0, &s->finished));
    TRY(get_int(j, "exit_code", &s->exit_code));
    TRY(json_get_bool_opt(j, "oom_killed", false, &s->oom_killed));
    return get_int(j, "restart_count", &s->restart_count);
}

struct err *monitor_state_read(int dirfd, struct monitor_state *ret) {
    autojson j = NULL;
    struct monitor_state s = {0};
    TRY(json_read_file(dirfd, file, &j));
    TRY_CTX(parse(j, &s), "%s", file);
    *ret = s;
    return NULL;
}

struct err *monitor_state_write(int dirfd, const struct monitor_state *s) {
    autojson j = monitor_state_json(s);
    return json_write_file(dirfd, file, j, 0600, 0);
}
