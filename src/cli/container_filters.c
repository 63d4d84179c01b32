/*
 * container_filters: docker's conditions on containers (ps --filter), with podman's restart-policy and
 * should-start-on-boot, for every command that picks containers by them.
 */
#include "cli/cli_int.h"

#include <regex.h>
#include <string.h>

struct json *cli_row_json(const char *text) {
    struct json *j = NULL;
    autoerr bad = json_parse(text, strlen(text), "a container's record", 0, &j);
    return bad ? NULL : j;
}

void cli_containers_done(struct cli_containers *q) {
    for (size_t i = 0; i < q->n_ancestors; i++)
        engine_ancestor_done(&q->ancestors[i]);
    free(q->ancestors);
    strmap_done(&q->filters);
    engine_rows_done(&q->rows);
}

static void find_ancestors(struct cli_ctx *c, const char *names, struct cli_containers *q) {
    autostrv struct strv each = {.n = 0};
    if (!names)
        return;
    strv_split(&each, names, '\n');
    q->ancestors = mem_array(each.n, sizeof *q->ancestors);
    for (; q->n_ancestors < each.n; q->n_ancestors++)
        engine_ancestor_find(c->engine, each.v[q->n_ancestors], &q->ancestors[q->n_ancestors]);
}

static bool ancestor_matches(const struct cli_containers *q, const struct engine_row *r, const char *wanted) {
    for (size_t i = 0; i < q->n_ancestors; i++)
        if (!strcmp(q->ancestors[i].name, wanted))
            return engine_row_descends(r, &q->ancestors[i]);
    return false;
}

/* docker's name filter is a regular expression, held against "/name" and "name". One that is none matches nothing. */
static bool name_matches(const struct engine_row *r, const char *wanted) {
    regex_t re;
    if (regcomp(&re, wanted, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    autofree char *slashed = mem_printf("/%s", r->name);
    bool hit = regexec(&re, slashed, 0, NULL, 0) == 0 || regexec(&re, r->name, 0, NULL, 0) == 0;
    regfree(&re);
    return hit;
}

static bool labels_match(const struct engine_row *r, const char *wanted) {
    autojson labels = wanted ? cli_row_json(r->labels) : NULL;
    return cli_labels_match(labels, wanted);
}

static bool mount_matches(const struct engine_row *r, const char *wanted) {
    autojson mounts = cli_row_json(r->mounts);
    JSON_EACH(m, mounts)
    if (str_eq(json_str_value(json_get(m, "Source")), wanted) ||
        str_eq(json_str_value(json_get(m, "Destination")), wanted))
        return true;
    return false;
}

/* What the monitor does for it; and nothing is one of swarm's tasks. */
static bool duty_matches(const struct engine_row *r, const char *key, const char *value) {
    if (!strcmp(key, "health"))
        return !strcmp(*r->health ? r->health : "none", value);
    if (!strcmp(key, "restart-policy"))
        return !strcmp(engine_row_restart(r), value);
    if (!strcmp(key, "should-start-on-boot"))
        return engine_row_on_boot(r) == !strcmp(value, "true");
    return !strcmp(key, "is-task") && !strcmp(value, "false");
}

static bool one_matches(const struct cli_containers *q, const struct engine_row *r, const char *key,
                        const char *value) {
    int64_t code = 0;
    if (!strcmp(key, "id"))
        return str_starts(r->id, value);
    if (!strcmp(key, "name"))
        return name_matches(r, value);
    if (!strcmp(key, "status"))
        return !strcmp(r->status, value);
    if (!strcmp(key, "exited"))
        return !strcmp(r->status, "exited") && str_to_i64(value, 0, 255, &code) && r->exit_code == code;
    if (!strcmp(key, "ancestor"))
        return ancestor_matches(q, r, value);
    if (!strcmp(key, "volume"))
        return mount_matches(r, value);
    if (!strcmp(key, "network"))
        return str_eq(r->network, value);
    if (!strcmp(key, "before"))
        return r->created < q->before;
    if (!strcmp(key, "since"))
        return r->created > q->since;
    return duty_matches(r, key, value);
}

/* Values of one key are alternatives, but labels must all match; different keys must all match. */
bool cli_container_matches(const struct cli_containers *q, const struct engine_row *r) {
    const struct strmap *filters = &q->filters;
    for (size_t i = 0; i < filters->n; i++) {
        autostrv struct strv values = {.n = 0};
        strv_split(&values, filters->e[i].value, '\n');
        size_t hits = 0;
        for (size_t k = 0; k < values.n; k++)
            hits += one_matches(q, r, filters->e[i].key, values.v[k]);
        if (hits == 0 && strcmp(filters->e[i].key, "label") != 0)
            return false;
    }
    return labels_match(r, strmap_get(filters, "label"));
}

static struct err *created_of(const struct cli_containers *q, const char *name, int64_t *ret) {
    for (size_t i = 0; i < q->rows.n; i++) {
        const struct engine_row *r = q->rows.v[i];
        if (!strcmp(r->name, name) || str_starts(r->id, name)) {
            *ret = r->created;
            return NULL;
        }
    }
    return err_new(ERR_NOT_FOUND, "no such container: %s", name);
}

static const char *const filter_keys[] = {"ancestor", "before",  "exited",
                                          "expose",   "health",  "id",
                                          "is-task",  "label",   "name",
                                          "network",  "publish", "restart-policy",
                                          "since",    "status",  "should-start-on-boot",
                                          "volume",   NULL};

static struct err *check_health(const struct strmap *filters) {
    autostrv struct strv values = {.n = 0};
    if (strmap_get(filters, "health"))
        strv_split(&values, strmap_get(filters, "health"), '\n');
    for (size_t i = 0; i < values.n; i++) {
        const char *v = values.v[i];
        if (strcmp(v, "starting") != 0 && strcmp(v, "healthy") != 0 && strcmp(v, "unhealthy") != 0 &&
            strcmp(v, "none") != 0)
            return err_new(ERR_USAGE, "unrecognised filter value for health: %s", v);
    }
    return NULL;
}

static struct err *check_status(const struct strmap *filters) {
    static const char *const known[] = {"created", "restarting", "running", "removing", "paused", "exited", "dead"};
    const char *value = strmap_get(filters, "status");
    for (size_t i = 0; value && i < ARRAY_LEN(known); i++)
        if (!strncmp(value, known[i], strlen(known[i])))
            return NULL;
    return value ? err_new(ERR_USAGE, "invalid filter 'status=%s'", value) : NULL;
}

static struct err *check_exited(const struct strmap *filters) {
    autostrv struct strv codes = {.n = 0};
    if (strmap_get(filters, "exited"))
        strv_split(&codes, strmap_get(filters, "exited"), '\n');
    for (size_t i = 0; i < codes.n; i++) {
        int64_t code;
        if (!str_to_i64(codes.v[i], INT32_MIN, INT32_MAX, &code))
            return err_new(ERR_USAGE, "invalid filter 'exited=%s'", codes.v[i]);
    }
    return NULL;
}

struct err *cli_containers_find(struct cli_ctx *c, const struct engine_list *wanted, const struct strv *filters,
                                struct cli_containers *ret) {
    struct strmap *f = &ret->filters;
    struct engine_list l = *wanted;
    TRY(cli_filters_parse(filters, filter_keys, f));
    TRY(check_status(f));
    TRY(check_exited(f));
    TRY(check_health(f));
    l.all |= strmap_get(f, "status") || strmap_get(f, "exited");
    if (f->n) /* of those that match, then */
        l.last = -1;
    TRY(engine_container_list(c->engine, &l, &ret->rows));
    find_ancestors(c, strmap_get(f, "ancestor"), ret);
    if (strmap_get(f, "before"))
        TRY(created_of(ret, strmap_get(f, "before"), &ret->before));
    if (strmap_get(f, "since"))
        TRY(created_of(ret, strmap_get(f, "since"), &ret->since));
    return NULL;
}
