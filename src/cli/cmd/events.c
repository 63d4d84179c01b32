/* events: the journal through filters, as docker's line of text, JSON or a template. */
#include "engine/events.h"
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

struct opts {
    struct strv filter;
    char *format, *since, *until;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "filter",
     .letter = 'f',
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "Filter output based on conditions provided"},
    {.name = "format", .type = CLI_STRING, .offset = AT(format), .help = "Format output: json, or a Go TEMPLATE"},
    {.name = "since", .type = CLI_STRING, .offset = AT(since), .help = "Show all events created since timestamp"},
    {.name = "until", .type = CLI_STRING, .offset = AT(until), .help = "Stream events until this timestamp"},
    {.name = NULL},
};

/* ---- filters ---- */

struct listener {
    FILE *out;
    struct strmap filters;
    struct template *tpl; /* NULL: text, or JSON */
    bool as_json;
};

/* Whether one of the values of a key is `text`, or, with `prefix`, begins it. A key without values holds always. */
static bool any_value(const struct listener *l, const char *key, const char *text, bool prefix) {
    if (!strmap_get(&l->filters, key))
        return true;
    autostrv struct strv each = {.n = 0};
    cli_filter_values(&l->filters, key, &each);
    for (size_t i = 0; i < each.n; i++)
        if (prefix ? str_starts(text, each.v[i]) : !strcmp(text, each.v[i]))
            return true;
    return false;
}

/* docker takes "exec_start" for "exec_start: sh", and "health_status" for "health_status: healthy". */
static bool action_matches(const struct listener *l, const char *action) {
    static const char *const short_forms[] = {"exec_create", "exec_start", "health_status"};
    autostrv struct strv wanted = {.n = 0};
    bool prefix = false;
    cli_filter_values(&l->filters, "event", &wanted);
    for (size_t i = 0; i < ARRAY_LEN(short_forms); i++)
        prefix = prefix || strv_has(&wanted, short_forms[i]);
    return any_value(l, "event", action, prefix);
}

/* A filter on a kind of object holds for events of that kind whose id or name begins so. */
static bool object_matches(const struct listener *l, const struct json *ev, const char *kind) {
    if (!strmap_get(&l->filters, kind))
        return true;
    const struct json *actor = json_get(ev, "Actor");
    return str_eq(json_text(ev, "Type"), kind) &&
           (any_value(l, kind, json_text(actor, "ID"), true) ||
            any_value(l, kind, json_text(json_get(actor, "Attributes"), "name"), true));
}

/* By id or name, with or without the tag; of a container's events by the image it is made from. */
static bool image_matches(const struct listener *l, const struct json *ev) {
    const struct json *actor = json_get(ev, "Actor");
    bool image = str_eq(json_text(ev, "Type"), "image");
    const char *names[] = {json_text(actor, "ID"), json_text(json_get(actor, "Attributes"), image ? "name" : "image")};
    if (!strmap_get(&l->filters, "image"))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *colon = cli_tag_of(names[i]);
        autofree char *untagged = mem_dupn(names[i], colon ? (size_t)(colon - names[i]) : strlen(names[i]));
        if (*names[i] && (any_value(l, "image", names[i], false) || any_value(l, "image", untagged, false)))
            return true;
    }
    return false;
}

static bool matches(const struct listener *l, const struct json *ev) {
    static const char *const objects[] = {"container", "network", "plugin", "volume", "daemon",
                                          "service",   "node",    "secret", "config"};
    for (size_t i = 0; i < ARRAY_LEN(objects); i++)
        if (!object_matches(l, ev, objects[i]))
            return false;
    return action_matches(l, json_text(ev, "Action")) && any_value(l, "type", json_text(ev, "Type"), false) &&
           any_value(l, "scope", json_text(ev, "scope"), false) && image_matches(l, ev) &&
           cli_labels_match(json_path(ev, "Actor.Attributes"), strmap_get(&l->filters, "label"));
}

/* ---- forms ---- */

/* RFC 3339 in local time with nine decimals. */
static void append_time(int64_t ns, struct str *out) {
    const time_t seconds = (time_t)(ns / NSEC_PER_SEC);
    struct tm tm;
    char date[32], zone[8];
    if (!localtime_r(&seconds, &tm) || !strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) ||
        !strftime(zone, sizeof zone, "%z", &tm))
        return;
    str_appendf(out, "%s.%09lld", date, (long long)(ns % NSEC_PER_SEC));
    if (tm.tm_gmtoff == 0)
        str_append_c(out, 'Z');
    else
        str_appendf(out, "%.3s:%s", zone, zone + 3);
}

static void append_text(const struct json *ev, struct str *out) {
    const struct json *actor = json_get(ev, "Actor");
    autostr struct str raw = STR_INIT;
    append_time(json_int_value(json_get(ev, "timeNano"), 0), out);
    str_appendf(&raw, " %s %s %s", json_text(ev, "Type"), json_text(ev, "Action"), json_text(actor, "ID"));
    const char *before = " (";
    JSON_EACH(a, json_get(actor, "Attributes")) {
        str_appendf(&raw, "%s%s=%s", before, json_key(a), json_str_value(a));
        before = ", ";
    }
    str_append(&raw, *before == ',' ? ")" : "");
    str_append_visible(out, str_c(&raw));
}

/* docker's older members, of containers and images; `keys` are their names in JSON or in templates. */
static void set_older(struct json *o, const struct json *ev, const char *const keys[3]) {
    const struct json *actor = json_get(ev, "Actor");
    bool container = str_eq(json_text(ev, "Type"), "container");
    bool has = container || str_eq(json_text(ev, "Type"), "image");
    json_set_str(o, keys[0], has ? json_text(ev, "Action") : "");
    json_set_str(o, keys[1], has ? json_text(actor, "ID") : "");
    json_set_str(o, keys[2], container ? json_text(json_get(actor, "Attributes"), "image") : "");
}

static void append_json(const struct json *ev, struct str *out) {
    static const char *const older[] = {"status", "id", "from"};
    autojson o = json_object();
    set_older(o, ev, older);
    for (size_t i = 0; i < ARRAY_LEN(older); i++)
        if (!*json_text(o, older[i]))
            json_remove(o, older[i]);
    JSON_EACH(m, ev) { json_set(o, json_key(m), json_copy(m)); }
    json_render(o, JSON_COMPACT, out);
}

/* The names that a template uses are those of Go's struct. */
static struct err *append_templated(const struct listener *l, const struct json *ev, struct str *out) {
    static const char *const older[] = {"Status", "ID", "From"};
    autojson o = json_object();
    set_older(o, ev, older);
    json_set_str(o, "Type", json_text(ev, "Type"));
    json_set_str(o, "Action", json_text(ev, "Action"));
    json_set(o, "Actor", json_copy(json_get(ev, "Actor")));
    json_set_str(o, "Scope", json_text(ev, "scope"));
    json_set_int(o, "Time", json_int_value(json_get(ev, "time"), 0));
    json_set_int(o, "TimeNano", json_int_value(json_get(ev, "timeNano"), 0));
    return template_execute_with(l->tpl, o, TEMPLATE_INSPECT, out);
}

/* Each line goes out at once: who reads a pipe waits for it. */
static struct err *show(void *ctx, const struct json *ev) {
    struct listener *l = ctx;
    autostr struct str line = STR_INIT;
    if (!matches(l, ev))
        return NULL;
    if (l->tpl)
        TRY(append_templated(l, ev, &line));
    else if (l->as_json)
        append_json(ev, &line);
    else
        append_text(ev, &line);
    fprintf(l->out, "%s\n", str_c(&line));
    return fflush(l->out) == 0 ? NULL : err_new(ERR_SYSTEM, "write to standard output");
}

/* ---- the command ---- */

static struct err *times(const struct opts *o, struct events_query *q) {
    int64_t now = clock_now();
    if (o->since)
        TRY(clock_parse_since(o->since, now, &q->since));
    if (o->until)
        TRY(clock_parse_since(o->until, now, &q->until));
    if (q->since && q->until && q->since > q->until)
        return err_new(ERR_USAGE, "`since` time (%s) cannot be after `until` time (%s)", o->since, o->until);
    return NULL;
}

static struct err *listen_to(struct cli_ctx *c, struct listener *l, int *ret_code) {
    static const char *const keys[] = {"config", "container", "daemon", "event",   "image", "label",  "network", "node",
                                       "plugin", "scope",     "secret", "service", "type",  "volume", NULL};
    const struct opts *o = c->opts;
    struct events_query q = {.interrupt_fd = -1};
    TRY(cli_filters_parse(&o->filter, keys, &l->filters));
    TRY(times(o, &q));
    l->as_json = o->format && (!strcmp(o->format, "json") || !strcmp(o->format, "{{json .}}"));
    if (o->format && *o->format && !l->as_json) {
        struct err *bad = template_parse(o->format, &l->tpl);
        if (bad) {
            *ret_code = 64;
            return err_wrap(bad, "Error parsing format");
        }
    }
    TRY(cli_interrupt_fd(&q.interrupt_fd));
    return engine_events(c->engine, &q, show, l);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    struct listener l = {.out = c->out};
    struct err *e = listen_to(c, &l, ret_code);
    template_free(l.tpl);
    strmap_done(&l.filters);
    return e;
}

const struct cmd cmd_events = {
    .name = "events",
    .group = "system",
    .top_level = true,
    .summary = "Get real time events from the engine",
    .usage = "[OPTIONS]",
    .description = "Shows what happens to containers, images, networks and volumes, from now on or, with --since and "
                   "--until, from a journal of some thousands of events in the store",
    .examples = "coracle events --since 1h --filter type=container --filter event=die\n"
                "coracle events --format '{{.Time}} {{.Action}} {{.Actor.Attributes.name}}'\n",
    .max_args = 0,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
