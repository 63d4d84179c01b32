/* The journal's lines: what is told is read back the same, whatever the texts are, and rubbish is no event. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/events.h"
#include "unit.h"

#include <string.h>

/* The one event of a batch, read back. */
static struct json *again(const struct event *ev) {
    autostr struct str batch = STR_INIT;
    events_add(&batch, ev);
    CHECK(batch.len >= 2 && batch.ptr[0] == '\n' && batch.ptr[batch.len - 1] == '\n');
    CHECK(memchr(batch.ptr + 1, '\n', batch.len - 2) == NULL);
    return events_parse(batch.ptr + 1, batch.len - 2);
}

static void test_round_trip(void) {
    const char *const attributes[] = {"name", "a \"quoted\"\nname", "exitCode", "3", NULL};
    autojson labels = json_object();
    json_set_str(labels, "b", "2");
    json_set_str(labels, "name", "a label of that name");
    json_set_str(labels, "a", "");
    const struct event ev = {
        .type = "container", .action = "die", .id = "abc", .attributes = attributes, .labels = labels};
    autojson j = again(&ev);
    autostr struct str text = STR_INIT;
    json_render(json_path(j, "Actor"), JSON_COMPACT, &text);
    CHECK_STR(str_c(&text), "{\"ID\":\"abc\",\"Attributes\":{\"a\":\"\",\"b\":\"2\",\"exitCode\":\"3\","
                            "\"name\":\"a \\\"quoted\\\"\\nname\"}}");
    CHECK_STR(json_text(j, "Type"), "container");
    CHECK_STR(json_text(j, "Action"), "die");
    CHECK(json_int_value(json_get(j, "time"), 0) > 0);
}

static void test_bounds(void) {
    autofree char *long_text = mem_alloc(20001);
    memset(long_text, 'x', 20000);
    autojson labels = json_object();
    json_set_str(labels, "huge", long_text);
    json_set_str(labels, "small", "kept");
    const struct event ev = {.type = "container", .action = long_text, .id = "abc", .labels = labels};
    autostr struct str batch = STR_INIT;
    events_add(&batch, &ev);
    CHECK(batch.len <= EVENT_MAX);
    autojson j = events_parse(batch.ptr + 1, batch.len - 2);
    CHECK_STR(json_text(json_path(j, "Actor.Attributes"), "small"), "kept");
    CHECK(json_get(json_path(j, "Actor.Attributes"), "huge") == NULL);
    CHECK(strlen(json_text(j, "Action")) == 1024);
}

/* A character that the limit would cut in two is left out. */
static void test_cut_character(void) {
    char action[1026];
    memset(action, 'x', sizeof action);
    memcpy(action + 1023, "\xc3\xa4", 3);
    const struct event ev = {.type = "container", .action = action, .id = "abc"};
    autojson j = again(&ev);
    CHECK(strlen(json_text(j, "Action")) == 1023);
}

static void test_rubbish(void) {
    static const char *const lines[] = {
        "",
        "{",
        "{}",
        "[]",
        "null",
        "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"x\",\"Attributes\":{}}}",
        "{\"Type\":1,\"Action\":\"die\",\"Actor\":{\"ID\":\"x\",\"Attributes\":{}},\"timeNano\":1}",
        "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"x\",\"Attributes\":{\"a\":1}},\"timeNano\":1}",
        "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":[],\"timeNano\":1}",
        "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"x\",\"Attributes\":{}},\"timeNano\":1}x",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        autojson j = events_parse(lines[i], strlen(lines[i]));
        CHECK(j == NULL);
    }
}

UNIT_MAIN({"round_trip", test_round_trip}, {"bounds", test_bounds}, {"cut_character", test_cut_character},
          {"rubbish", test_rubbish})
