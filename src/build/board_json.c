/* board_json: BuildKit's status objects (--progress rawjson), one a line. */
#include "build/board_int.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"

static void put_time(struct json *j, const char *key, int64_t when) {
    autostr struct str text = STR_INIT;
    clock_format_rfc3339(when, &text);
    json_set_str(j, key, str_c(&text));
}

/* A vertex is known by a digest; ours is that of its number and name. */
static void put_digest(struct json *j, const char *key, const struct vertex *v) {
    char digest[DIGEST_LEN + 1] = "";
    autostr struct str text = STR_INIT;
    str_appendf(&text, "%u %s", v->number, v->name);
    err_free(digest_of(text.ptr, text.len, digest));
    json_set_str(j, key, digest);
}

static void say(const struct board *b, const char *list, struct json *take_entry) {
    autojson j = json_object();
    autostr struct str text = STR_INIT;
    struct json *entries = json_array();
    json_push(entries, take_entry);
    json_set(j, list, entries);
    json_render(j, JSON_COMPACT, &text);
    str_append_c(&text, '\n');
    board_write(b, str_c(&text));
}

static void say_vertex(const struct board *b, const struct vertex *v, const char *error) {
    struct json *j = json_object();
    put_digest(j, "digest", v);
    json_set_str(j, "name", v->name);
    put_time(j, "started", v->start);
    if (v->end)
        put_time(j, "completed", v->end);
    if (v->cached)
        json_set_bool(j, "cached", true);
    if (v->end && (error || v->canceled))
        json_set_str(j, "error", error ? error : "context canceled");
    say(b, "vertexes", j);
}

static void on_begun(struct board *b, const struct vertex *v) { say_vertex(b, v, NULL); }

static void on_line(struct board *b, const struct vertex *v, const char *text) {
    struct json *j = json_object();
    autostr struct str data = STR_INIT, coded = STR_INIT;
    str_appendf(&data, "%s\n", text);
    base64_encode(data.ptr, data.len, &coded);
    put_digest(j, "vertex", v);
    json_set_int(j, "stream", 1);
    json_set_str(j, "data", str_c(&coded));
    put_time(j, "timestamp", clock_now());
    say(b, "logs", j);
}

static void on_ended(struct board *b, const struct vertex *v, const char *error) { say_vertex(b, v, error); }

static void on_text(struct board *b, const char *t) {
    struct json *j = json_object();
    autostr struct str coded = STR_INIT;
    base64_encode(t, strlen(t), &coded);
    json_set_str(j, "short", str_c(&coded));
    json_set_int(j, "level", 1);
    say(b, "warnings", j);
}

const struct board_form board_json = {.begun = on_begun, .line = on_line, .ended = on_ended, .text = on_text};
