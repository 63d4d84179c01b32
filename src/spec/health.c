/*
 * health: --health-* over the image's HEALTHCHECK, member by member as docker merges them. Out come docker's
 * Config.Healthcheck, for inspect, and SPEC_ANN_HEALTH, in which defaults are filled in and the test is the list of
 * arguments to execute, for the monitor.
 */
#include "spec/spec_int.h"

#include "base/clock.h"

#define SHORTEST NSEC_PER_MSEC

struct setting {
    const char *key, *flag, *name; /* of docker's object, of the command line, in docker's errors */
    int64_t value;                 /* as given, 0: not */
    int64_t def;
    bool duration;
};

static void settings_of(const struct container_options *o, struct setting s[5]) {
    const struct setting all[5] = {
        {"Interval", "--health-interval", "interval", o->health_interval, 30 * NSEC_PER_SEC, true},
        {"Timeout", "--health-timeout", "timeout", o->health_timeout, 30 * NSEC_PER_SEC, true},
        {"StartPeriod", "--health-start-period", "start period", o->health_start_period, 0, true},
        {"StartInterval", "--health-start-interval", "start interval", o->health_start_interval, 5 * NSEC_PER_SEC,
         true},
        {"Retries", "--health-retries", "retries", o->health_retries, 3, false},
    };
    memcpy(s, all, sizeof all);
}

static struct err *check_given(const struct container_options *o, const struct setting s[5], bool *ret_given) {
    bool given = o->health_cmd && *o->health_cmd;
    for (int i = 0; i < 5; i++)
        given |= s[i].value != 0;
    *ret_given = given;
    if (o->no_healthcheck && given)
        return err_new(ERR_USAGE, "--no-healthcheck conflicts with --health-* options");
    for (int i = 0; i < 5; i++)
        if (s[i].value < 0)
            return err_new(ERR_USAGE, "%s cannot be negative", s[i].flag);
    return NULL;
}

/* What neither the user nor the image says stays out of the object, as in Go's omitempty. */
static struct err *merge(struct json *health, const struct json *image, const struct setting s[5]) {
    for (int i = 0; i < 5; i++) {
        int64_t v = s[i].value;
        if (!v)
            TRY_CTX(json_get_i64_opt(image, s[i].key, 0, &v), "image config: Healthcheck");
        if (v < 0)
            return err_new(ERR_USAGE, "%s in Healthcheck cannot be negative", s[i].name);
        if (s[i].duration && v && v < SHORTEST)
            return err_new(ERR_USAGE, "%s in Healthcheck cannot be less than 1ms", s[i].name);
        if (v)
            json_set_int(health, s[i].key, v);
    }
    return NULL;
}

static struct err *test_of(const struct spec_ctx *x, const struct json *image, struct strv *test) {
    if (x->o->no_healthcheck) {
        strv_push(test, "NONE");
    } else if (x->o->health_cmd && *x->o->health_cmd) {
        strv_push(test, "CMD-SHELL");
        strv_push(test, x->o->health_cmd);
    } else {
        TRY_CTX(json_get_strv_opt(image, "Test", test), "image config: Healthcheck");
    }
    return NULL;
}

/* What to execute; nothing for NONE and for kinds of tests that nobody knows. */
static struct err *set_args(const struct spec_ctx *x, const struct strv *test, struct strv *args) {
    bool shell = test->n > 1 && str_eq(test->v[0], "CMD-SHELL");
    if (shell) {
        TRY_CTX(json_get_strv_opt(x->img, "Shell", args), "image config");
        if (!args->n) {
            strv_push(args, "/bin/sh");
            strv_push(args, "-c");
        }
    }
    for (size_t i = 1; i < test->n && (shell || str_eq(test->v[0], "CMD")); i++)
        strv_push(args, test->v[i]);
    return NULL;
}

static struct err *on_failure(const struct spec_ctx *x, bool checked) {
    static const char *const known[] = {"none", "kill", "restart", "stop"};
    const char *action = x->o->health_on_failure;
    if (!action || !*action)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(action, known[i]))
            return checked || i == 0
                       ? NULL
                       : err_new(ERR_USAGE, "cannot set on-failure action to %s without a health check", action);
    return err_new(ERR_USAGE, "invalid on-failure action '%s' for health check: use none, kill, restart or stop",
                   action);
}

static void set_plan(struct spec_ctx *x, const struct strv *args, const struct setting s[5]) {
    if (!args->n)
        return;
    x->health_plan = json_object();
    json_set_strv(x->health_plan, "Args", args);
    for (int i = 0; i < 5; i++)
        json_set_int(x->health_plan, s[i].key, json_int_value(json_get(x->health, s[i].key), s[i].def));
    const char *action = x->o->health_on_failure;
    json_set_str(x->health_plan, "OnFailure", action && *action ? action : "none");
}

struct err *spec_resolve_health(struct spec_ctx *x) {
    const struct json *image = json_get(x->img, "Healthcheck");
    struct setting s[5];
    bool given;
    autostrv struct strv test = {.n = 0};
    autostrv struct strv args = {.n = 0};
    settings_of(x->o, s);
    TRY(check_given(x->o, s, &given));
    TRY(test_of(x, image, &test));
    if (!test.n && !given)
        return on_failure(x, false);
    x->health = json_object();
    if (test.n)
        json_set_strv(x->health, "Test", &test);
    if (!x->o->no_healthcheck)
        TRY(merge(x->health, image, s));
    TRY(set_args(x, &test, &args));
    set_plan(x, &args, s);
    return on_failure(x, args.n > 0);
}
