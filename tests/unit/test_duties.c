/* The pure parts of a monitor's duties: the set of deadlines, restart policies and their pauses, verdicts on health. */
#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/deadlines_int.h"
#include "monitor/health_int.h"
#include "monitor/restart_int.h"

#define SECONDS(n) ((n)*NSEC_PER_SEC)

/* ---- deadlines ---- */

static void test_deadlines_empty(void) {
    struct deadlines d = {.at = {0}};
    CHECK_INT(deadlines_next(&d), 0);
    CHECK_INT(deadlines_due(&d, INT64_MAX), DEADLINES);
}

static void test_deadlines_order(void) {
    struct deadlines d = {.at = {0}};
    deadlines_set(&d, DEADLINE_STOP, 30);
    deadlines_set(&d, DEADLINE_HEALTH, 10);
    deadlines_set(&d, DEADLINE_RESTART, 20);
    CHECK_INT(deadlines_next(&d), 10);
    CHECK_INT(deadlines_due(&d, 9), DEADLINES);
    CHECK_INT(deadlines_due(&d, 25), DEADLINE_HEALTH);
    CHECK_INT(deadlines_due(&d, 25), DEADLINE_RESTART);
    CHECK_INT(deadlines_due(&d, 25), DEADLINES);
    CHECK_INT(deadlines_next(&d), 30);
}

static void test_deadlines_replaced(void) {
    struct deadlines d = {.at = {0}};
    deadlines_set(&d, DEADLINE_CHECK, 10);
    deadlines_set(&d, DEADLINE_CHECK, 40);
    deadlines_set(&d, DEADLINE_LOOK, 40);
    CHECK_INT(deadlines_next(&d), 40);
    CHECK_INT(deadlines_due(&d, 40), DEADLINE_LOOK); /* of two the kind that comes first */
    deadlines_set(&d, DEADLINE_CHECK, 0);
    CHECK_INT(deadlines_next(&d), 0);
}

/* ---- restart policies ---- */

static struct restart policy(const char *name, int max) {
    struct restart r = {.count = 0};
    CHECK(monitor_restart_named(name, max, &r.policy));
    return r;
}

static void test_restart_names(void) {
    struct monitor_restart p;
    CHECK(!monitor_restart_named("sometimes", 0, &p) && !monitor_restart_named("", 0, &p));
    CHECK(!monitor_restart_named(NULL, 0, &p));
    CHECK(monitor_restart_named("on-failure", 4, &p) && p.kind == MONITOR_RESTART_ON_FAILURE && p.max == 4);
}

static void test_restart_decision(void) {
    static const struct {
        const char *name;
        int max, count, code;
        bool wanted;
    } cases[] = {
        {"no", 0, 0, 1, false},         {"always", 0, 0, 0, true},
        {"always", 0, 1000, 137, true}, {"unless-stopped", 0, 0, 0, true},
        {"on-failure", 0, 0, 0, false}, {"on-failure", 0, 0, 1, true},
        {"on-failure", 0, 99, 1, true}, {"on-failure", 3, 2, 1, true},
        {"on-failure", 3, 3, 1, false}, {"on-failure", 3, 0, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct restart r = policy(cases[i].name, cases[i].max);
        int64_t delay = -1;
        r.count = cases[i].count;
        bool wanted = restart_wanted(&r, cases[i].code, SECONDS(1), &delay);
        if (wanted != cases[i].wanted)
            fprintf(stderr, "%s:%d, count %d, code %d\n", cases[i].name, cases[i].max, cases[i].count, cases[i].code);
        CHECK(wanted == cases[i].wanted);
        CHECK_INT(r.count, cases[i].count + wanted);
        CHECK_INT(delay, wanted ? 100 * NSEC_PER_MSEC : -1);
    }
}

static void test_restart_pauses(void) {
    static const int64_t ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000};
    struct restart r = policy("always", 0);
    int64_t delay = 0;
    for (size_t i = 0; i < ARRAY_LEN(ms); i++) {
        CHECK(restart_wanted(&r, 0, SECONDS(9), &delay));
        CHECK_INT(delay / NSEC_PER_MSEC, ms[i]);
    }
    CHECK(restart_wanted(&r, 0, SECONDS(10), &delay)); /* it ran well */
    CHECK_INT(delay / NSEC_PER_MSEC, 100);
    CHECK(restart_wanted(&r, 0, 0, &delay));
    CHECK_INT(delay / NSEC_PER_MSEC, 200);
}

/* ---- health ---- */

static struct health plan(const char *text) {
    struct health h;
    autojson j = NULL;
    CHECK_OK(json_parse(text, strlen(text), "plan", 0, &j));
    health_read(j, &h);
    return h;
}

static void test_health_plan(void) {
    struct health h = plan("{}");
    CHECK(h.interval == SECONDS(30) && h.timeout == SECONDS(30) && h.start_interval == SECONDS(5));
    CHECK(h.retries == 3 && h.start_period == 0 && h.action == HEALTH_NONE && h.status == HEALTH_STARTING);
    h = plan("{\"Interval\":7,\"Retries\":1,\"OnFailure\":\"restart\"}");
    CHECK(h.interval == 7 && h.retries == 1 && h.action == HEALTH_RESTART);
    CHECK_STR(health_name(NULL), "");
    CHECK_STR(health_name(&h), "starting");
}

static void test_health_verdicts(void) {
    struct health h = plan("{\"Retries\":2}");
    CHECK(!health_judge(&h, 1, 0) && h.streak == 1 && h.status == HEALTH_STARTING);
    CHECK(health_judge(&h, -1, 0) && h.streak == 2 && h.status == HEALTH_UNHEALTHY);
    CHECK(!health_judge(&h, 1, 0) && h.streak == 3);
    CHECK(health_judge(&h, 0, 0) && h.streak == 0 && h.status == HEALTH_HEALTHY);
    CHECK(!health_judge(&h, 0, 0));
    CHECK(!health_judge(&h, 2, 0) && h.status == HEALTH_HEALTHY);
    CHECK(health_judge(&h, 2, 0) && h.status == HEALTH_UNHEALTHY);
}

/* Failures do not count before the period is over, unless it was healthy once; checks come more often. */
static void test_health_start_period(void) {
    struct health h = plan("{\"Retries\":1,\"StartPeriod\":1000,\"StartInterval\":5,\"Interval\":50}");
    CHECK(!health_judge(&h, 1, 999) && h.streak == 0);
    CHECK_INT(health_pause(&h, 999), 5);
    CHECK_INT(health_pause(&h, 1000), 50);
    CHECK(health_judge(&h, 0, 999) && h.status == HEALTH_HEALTHY);
    CHECK_INT(health_pause(&h, 999), 50);
    CHECK(health_judge(&h, 1, 999) && h.status == HEALTH_UNHEALTHY);
    h = plan("{\"Retries\":1,\"StartPeriod\":1000}");
    CHECK(health_judge(&h, 1, 1000) && h.status == HEALTH_UNHEALTHY);
}

static void test_health_output(void) {
    static const char bytes[] = "a\xc3\xa4\xff\0z\xe2\x82";
    autojson log = json_array();
    const struct health_result r = {.start = 1, .code = 3, .output = bytes, .n = sizeof bytes - 1, .truncated = true};
    health_log_add(log, &r);
    const struct json *e = json_first(log);
    CHECK_STR(json_text(e, "Output"), "a\xc3\xa4\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd...");
    CHECK_INT(json_int_value(json_get(e, "ExitCode"), 0), 3);
    CHECK_STR(json_text(e, "End"), "0001-01-01T00:00:00Z");
}

UNIT_MAIN({"deadlines: none", test_deadlines_empty}, {"deadlines: order", test_deadlines_order},
          {"deadlines: replaced", test_deadlines_replaced}, {"restart: names", test_restart_names},
          {"restart: decision", test_restart_decision}, {"restart: pauses", test_restart_pauses},
          {"health: plan", test_health_plan}, {"health: verdicts", test_health_verdicts},
          {"health: start period", test_health_start_period}, {"health: output", test_health_output})
