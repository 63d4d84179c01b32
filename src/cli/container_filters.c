/*
 * container_filters: docker's conditions on containers (ps --filter), with podman's restart-policy and
 * should-start-on-boot, for every command that picks containers by them.
 */
#include "cli/cli_int.h"

#include <regex.h>
#include <string.h>
#include <strings.h>

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

static void find_ancestors(struct cli_ctx *c, struct cli_containers *q) {
    autostrv struct strv each = {.n = 0};
    cli_filter_values(&q->filters, "ancestor", &each);
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
    if (str_eq(json_str_value(json_get(m, "Name")), wanted) || str_eq(json_str_value(json_get(m, "Source")), wanted) ||
        str_eq(json_str_value(json_get(m, "Destination")), wanted))
        return true;
    return false;
}

/* What the monitor does for it; and nothing is one of swarm's tasks, or has an isolation of Windows'. */
static bool duty_matches(const struct engine_row *r, const char *key, const char *value) {
    if (!strcmp(key, "health"))
        return !strcmp(*r->health ? r->health : "none", value);
    if (!strcmp(key, "restart-policy"))
        return !strcmp(engine_row_restart(r), value);
    if (!strcmp(key, "should-start-on-boot"))
        return engine_row_on_boot(r) == !strcmp(value, "true");
    if (!strcmp(key, "isolation"))
        return !strcmp(value, "default");
    bool task = true;
    return !strcmp(key, "is-task") && str_to_truth(value, &task) && !task;
}

static bool network_matches(const struct cli_containers *q, const struct engine_row *r, const char *wanted) {
    autostrv struct strv names = {.n = 0};
    engine_row_networks(q->engine, r, &names);
    return strv_has(&names, wanted);
}

/* ---- ports ---- */

/* "80", "80/udp", "8000-8010/tcp", as publish and expose take them. */
struct port_range {
    int64_t first, last;
    const char *proto; /* in the text that was parsed */
};

static bool parse_ports(const char *text, struct port_range *ret) {
    autofree char *numbers = mem_dupn(text, strcspn(text, "/"));
    char *dash = strchr(numbers, '-');
    const char *slash = strchr(text, '/');
    if (dash)
        *dash++ = '\0';
    ret->proto = slash && slash[1] ? slash + 1 : "tcp";
    return str_to_i64(numbers, 0, UINT16_MAX, &ret->first) &&
           str_to_i64(dash ? dash : numbers, ret->first, UINT16_MAX, &ret->last);
}

static bool in_ranges(const char *ranges, int64_t port, const char *proto) {
    autostrv struct strv each = {.n = 0};
    if (!ranges || port <= 0)
        return false;
    strv_split(&each, ranges, '\n');
    for (size_t i = 0; i < each.n; i++) {
        struct port_range p;
        if (parse_ports(each.v[i], &p) && port >= p.first && port <= p.last && !strcasecmp(p.proto, proto))
            return true;
    }
    return false;
}

/* docker's rule: one port that fulfils either condition is enough. */
static bool ports_match(const struct cli_containers *q, const struct engine_row *r) {
    const char *published = strmap_get(&q->filters, "publish"), *exposed = strmap_get(&q->filters, "expose");
    if (!published && !exposed)
        return true;
    autojson ports = engine_row_ports(q->engine, r);
    JSON_EACH(p, ports)
    if (in_ranges(published, json_int_value(json_get(p, "PublicPort"), 0), json_text(p, "Type")) ||
        in_ranges(exposed, json_int_value(json_get(p, "PrivatePort"), 0), json_text(p, "Type")))
        return true;
    return false;
}

static struct err *check_ports(const struct strmap *filters, const char *key) {
    autostrv struct strv values = {.n = 0};
    struct port_range p;
    cli_filter_values(filters, key, &values);
    for (size_t i = 0; i < values.n; i++) {
        if (strchr(values.v[i], ':'))
            return err_new(ERR_USAGE, "filter for '%s' should not contain ':': %s", key, values.v[i]);
        if (!parse_ports(values.v[i], &p))
            return err_new(ERR_USAGE, "error while looking up for %s %s: invalid port", key, values.v[i]);
    }
    return NULL;
}

/* ---- one condition ---- */

/* A container that is held against the conditions. */
struct candidate {
    const struct cli_containers *q;
    const struct engine_row *r;
};

static bool one_matches(const void *candidate, const char *key, const char *value) {
    const struct cli_containers *q = ((const struct candidate *)candidate)->q;
    const struct engine_row *r = ((const struct candidate *)candidate)->r;
    int64_t code = 0;
    if (!strcmp(key, "publish") || !strcmp(key, "expose")) /* looked at whole: ports_match */
        return true;
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
        return network_matches(q, r, value);
    if (!strcmp(key, "before"))
        return r->created < q->before;
    if (!strcmp(key, "since"))
        return r->created > q->since;
    return duty_matches(r, key, value);
}

bool cli_container_matches(const struct cli_containers *q, const struct engine_row *r) {
    const struct candidate it = {.q = q, .r = r};
    return (r->alive || !q->only_alive) && cli_filters_match(&q->filters, one_matches, &it) &&
           labels_match(r, strmap_get(&q->filters, "label")) && ports_match(q, r);
}

static struct err *created_of(const struct cli_containers *q, const char *name, int64_t *ret) {
    for (size_t i = 0; i < q->rows.n; i++) {
        const struct engine_row *r = q->rows.v[i];
        if (!strcmp(r->name, name) || str_starts(r->id, name)) {
            *ret = r->created;
            return NULL;
        }
    }
    return err_new(ERR_NOT_FOUND, "No such container: %s", name);
}

static const char *const filter_keys[] = {
    "ancestor", "before", "exited",  "expose",  "health",         "id",    "is-task", "isolation",
    "label",    "name",   "network", "publish", "restart-policy", "since", "status",  "should-start-on-boot",
    "volume",   NULL};

static struct err *check_health(const struct strmap *filters) {
    autostrv struct strv values = {.n = 0};
    cli_filter_values(filters, "health", &values);
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
    autostrv struct strv values = {.n = 0};
    cli_filter_values(filters, "status", &values);
    for (size_t i = 0; i < values.n; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(known) && strcmp(values.v[i], known[k]) != 0)
            k++;
        if (k == ARRAY_LEN(known))
            return err_new(ERR_USAGE, "invalid filter 'status=%s'", values.v[i]);
    }
    return NULL;
}

static struct err *check_exited(const struct strmap *filters) {
    autostrv struct strv codes = {.n = 0};
    cli_filter_values(filters, "exited", &codes);
    for (size_t i = 0; i < codes.n; i++) {
        int64_t code;
        if (!str_to_i64(codes.v[i], INT32_MIN, INT32_MAX, &code))
            return err_new(ERR_USAGE, "invalid filter 'exited=%s'", codes.v[i]);
    }
    return NULL;
}

/* Networks may be named by their ids; records have their names. */
static struct err *resolve_networks(struct cli_ctx *c, struct strmap *filters) {
    autojson networks = NULL;
    autostrv struct strv values = {.n = 0};
    if (!strmap_get(filters, "network"))
        return NULL;
    cli_filter_values(filters, "network", &values);
    TRY(engine_network_list(c->engine, &networks));
    for (size_t i = 0; i < values.n; i++)
        JSON_EACH(n, networks)
    if (strlen(values.v[i]) >= ID_SHORT_LEN && str_starts(json_text(n, "Id"), values.v[i]))
        mem_set(&values.v[i], json_text(n, "Name"));
    autofree char *joined = strv_join(&values, "\n");
    strmap_set(filters, "network", joined);
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
    TRY(check_ports(f, "publish"));
    TRY(check_ports(f, "expose"));
    TRY(resolve_networks(c, f));
    ret->engine = c->engine;
    l.all |= strmap_get(f, "status") || strmap_get(f, "exited");
    if (strmap_get(f, "before") || strmap_get(f, "since")) { /* of any container, running or not */
        ret->only_alive = !l.all && l.last < 0;
        l.all = true;
    }
    if (f->n) /* of those that match, then */
        l.last = -1;
    TRY(engine_container_list(c->engine, &l, &ret->rows));
    find_ancestors(c, ret);
    if (strmap_get(f, "before"))
        TRY(created_of(ret, strmap_get(f, "before"), &ret->before));
    if (strmap_get(f, "since"))
        TRY(created_of(ret, strmap_get(f, "since"), &ret->since));
    return NULL;
}
