/* health_log: what a check's outcome means, and the file that remembers it. */
#include "monitor/health_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

void health_read(const struct json *plan, struct health *ret) {
    static const char actions[][8] = {"none", "kill", "restart", "stop"};
    const char *action = json_text(plan, "OnFailure");
    *ret = (struct health){
        .interval = json_int_value(json_get(plan, "Interval"), 30 * NSEC_PER_SEC),
        .timeout = json_int_value(json_get(plan, "Timeout"), 30 * NSEC_PER_SEC),
        .start_period = json_int_value(json_get(plan, "StartPeriod"), 0),
        .start_interval = json_int_value(json_get(plan, "StartInterval"), 5 * NSEC_PER_SEC),
        .retries = (int)json_int_value(json_get(plan, "Retries"), 3),
        .pidfd = -1,
        .out_fd = -1,
    };
    for (unsigned i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(action, actions[i]) == 0)
            ret->action = (enum health_action)i;
}

const char *health_name(const struct health *h) {
    if (!h)
        return "";
    return h->status == HEALTH_STARTING ? "starting" : h->status == HEALTH_HEALTHY ? "healthy" : "unhealthy";
}

bool health_judge(struct health *h, int code, int64_t age) {
    enum health_status before = h->status;
    if (code == 0) {
        h->streak = 0;
        h->status = HEALTH_HEALTHY;
    } else if (h->status != HEALTH_STARTING || age >= h->start_period) {
        h->streak++;
        if (h->streak >= h->retries)
            h->status = HEALTH_UNHEALTHY;
    }
    return h->status != before;
}

int64_t health_pause(const struct health *h, int64_t age) {
    return h->status == HEALTH_STARTING && age < h->start_period ? h->start_interval : h->interval;
}

static void set_time(struct json *o, const char *key, int64_t t) {
    autostr struct str s = STR_INIT;
    clock_format_rfc3339(t, &s);
    json_set_str(o, key, str_c(&s));
}

/* Text for JSON: what is not UTF-8 becomes the replacement character, NUL too. */
static void append_text(struct str *out, const char *p, size_t n) {
    while (n) {
        size_t k = 1;
        while (k < 4 && k < n && !(*p && str_utf8_ok(p, k)))
            k++;
        if (*p && str_utf8_ok(p, k)) {
            str_append_n(out, p, k);
        } else {
            str_append(out, "\xef\xbf\xbd");
            k = 1;
        }
        p += k;
        n -= k;
    }
}

void health_log_add(struct json *log, const struct health_result *r) {
    autostr struct str text = STR_INIT;
    struct json *entry = json_object();
    append_text(&text, r->output, r->n);
    if (r->truncated)
        str_append(&text, "...");
    set_time(entry, "Start", r->start);
    set_time(entry, "End", r->end);
    json_set_int(entry, "ExitCode", r->code);
    json_set_str(entry, "Output", str_c(&text));
    json_push(log, entry);
}

static struct json *last_results(const struct json *log) {
    struct json *kept = json_array();
    size_t skip = json_count(log) > HEALTH_LOG_MAX ? json_count(log) - HEALTH_LOG_MAX : 0;
    JSON_EACH(it, log) {
        if (skip)
            skip--;
        else
            json_push(kept, json_copy(it));
    }
    return kept;
}

struct err *health_record(int dir_fd, int streak, const struct health_result *r) {
    autojson old = NULL;
    autojson log = NULL;
    autojson all = json_object();
    autoerr none = json_read_file(dir_fd, HEALTH_FILE, &old); /* missing or damaged: from here on */
    if (!none)
        log = json_copy(json_get(old, "Log"));
    if (json_type(log) != JSON_ARRAY) {
        json_free(log);
        log = json_array();
    }
    if (r)
        health_log_add(log, r);
    json_set_int(all, "FailingStreak", streak);
    json_set(all, "Log", last_results(log));
    return json_write_file(dir_fd, HEALTH_FILE, all, 0600, 0);
}
