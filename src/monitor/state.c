/* state: containers/<id>/state.json, what is remembered of a container's runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/str.h"
#include "monitor/monitor.h"

static const char file[] = "state.json";

static struct json *state_json(const struct monitor_state *s) {
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
    json_set_bool(j, "stopped_by_user", s->stopped_by_user);
    json_set_str(j, "health", s->health);
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
    TRY(json_get_bool_opt(j, "stopped_by_user", false, &s->stopped_by_user));
    TRY(get_text(j, "health", s->health, sizeof s->health));
    return get_int(j, "restart_count", &s->restart_count);
}

/* ---- the text as we write it ---------------------------------------------------------------------------------------
 *
 * A list of a thousand containers reads a thousand of these files, so the text that json_render() makes of
 * state_json() is read without building a tree. Whatever differs from that, in as little as a blank, goes the
 * general way.
 */

struct cursor {
    const char *p; /* NUL-terminated; NULL: something differed */
};

static void expect(struct cursor *c, const char *literal) {
    size_t n = strlen(literal);
    c->p = c->p && strncmp(c->p, literal, n) == 0 ? c->p + n : NULL;
}

static int64_t number(struct cursor *c, const char *before) {
    expect(c, before);
    if (!c->p)
        return 0;
    bool negative = *c->p == '-';
    const char *p = c->p + negative, *start = p;
    uint64_t v = 0;
    while (*p >= '0' && *p <= '9' && p - start < 19) /* which an unsigned number holds */
        v = v * 10 + (uint64_t)(*p++ - '0');
    bool padded = *start == '0' && p > start + 1;
    c->p = p > start && !padded && (*p < '0' || *p > '9') && v <= INT64_MAX ? p : NULL;
    return negative ? -(int64_t)v : (int64_t)v;
}

static int small_number(struct cursor *c, const char *before) {
    int64_t v = number(c, before);
    if (v < INT32_MIN || v > INT32_MAX)
        c->p = NULL;
    return c->p ? (int)v : 0;
}

static bool truth(struct cursor *c, const char *before) {
    expect(c, before);
    bool v = c->p && *c->p == 't';
    expect(c, v ? "true" : "false");
    return v;
}

/* A string without escapes that fits; ends behind its closing quote. */
static void words(struct cursor *c, const char *before, char *ret, size_t size) {
    expect(c, before);
    if (!c->p)
        return;
    const char *p = c->p;
    while (*p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    size_t n = (size_t)(p - c->p);
    c->p = *p == '"' && n < size ? c->p : NULL;
    if (!c->p)
        return;
    memcpy(ret, c->p, n);
    ret[n] = '\0';
    c->p = p + 1;
}

static bool parse_own(const struct str *text, struct monitor_state *s) {
    struct cursor c = {str_c(text)};
    words(&c, "{\"status\":\"", s->status, sizeof s->status);
    s->pid = small_number(&c, ",\"pid\":");
    s->pid_start = (uint64_t)number(&c, ",\"pid_start\":");
    s->monitor_pid = small_number(&c, ",\"monitor_pid\":");
    words(&c, ",\"boot_id\":\"", s->boot_id, sizeof s->boot_id);
    s->started = number(&c, ",\"started\":");
    s->finished = number(&c, ",\"finished\":");
    s->exit_code = small_number(&c, ",\"exit_code\":");
    s->oom_killed = truth(&c, ",\"oom_killed\":");
    s->restart_count = small_number(&c, ",\"restart_count\":");
    s->stopped_by_user = truth(&c, ",\"stopped_by_user\":");
    words(&c, ",\"health\":\"", s->health, sizeof s->health);
    words(&c, ",\"error\":\"", s->error, sizeof s->error);
    expect(&c, "}");
    return c.p == str_c(text) + text->len && (int64_t)s->pid_start >= 0 && str_utf8_ok(text->ptr, text->len);
}

/*
 * A power cut may have torn it, as changes of the state are not synced. It says what a cut leaves most often: that the
 * container ran, in a boot that is over; so whoever finds nobody to hold the lock puts it right.
 */
static struct monitor_state lost_state(void) { return (struct monitor_state){.status = "running"}; }

struct err *monitor_state_parse(const struct str *text, struct monitor_state *ret) {
    autojson j = NULL;
    struct monitor_state s = {0};
    if (!parse_own(text, &s)) {
        s = (struct monitor_state){0};
        autoerr bad = json_parse(str_c(text), text->len, file, 0, &j);
        if (!bad)
            bad = parse(j, &s);
        if (bad)
            s = lost_state();
    }
    *ret = s;
    return NULL;
}

struct err *monitor_state_read(int dirfd, struct monitor_state *ret) {
    autostr struct str text = STR_INIT;
    bool there;
    TRY(io_read_record(dirfd, file, JSON_SIZE_MAX, &text, &there));
    if (there)
        return monitor_state_parse(&text, ret);
    *ret = MONITOR_STATE_CREATED;
    return NULL;
}

/* Over what is there, which has its room on the disk. Should we die in the middle, it is read as a lost one. */
static struct err *write_in_place(int dirfd, const struct json *j) {
    autostr struct str text = STR_INIT;
    autofd int fd = -1;
    json_render(j, JSON_COMPACT, &text);
    TRY(fd_open_at(dirfd, file, O_WRONLY | O_NOFOLLOW, 0, &fd));
    TRY(io_write_all(fd, text.ptr, text.len));
    return ftruncate(fd, (off_t)text.len) < 0 ? err_sys(errno, "write %s", file) : NULL;
}

struct err *monitor_state_write(int dirfd, const struct monitor_state *s) {
    autojson j = state_json(s);
    struct err *e = json_write_file(dirfd, file, j, 0600, 0);
    if (!e)
        return NULL;
    struct err *again = write_in_place(dirfd, j); /* how a container ended is known on a full disk, too */
    if (again) {
        err_free(again);
        return e;
    }
    err_free(e);
    return NULL;
}
