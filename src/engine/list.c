/*
 * ps: a row per container, made from state.json and container.json alone, each read by an open, a read and a close and
 * without a tree, so that a thousand of them cost milliseconds.
 */
#include "engine/engine_int.h"
#include "storage/check.h"

#include <string.h>

/* Bytes of the upper directory; 0 of a container that is being removed. */
static int64_t size_of(struct engine *e, const char *id) {
    struct engine_size size = {.bytes = 0};
    autoerr gone = engine_measure(e, engine_measure_container, id, &size);
    return gone ? 0 : size.bytes;
}

/* What the container wrote, and with its image, as docker counts. */
static void set_sizes(struct engine *e, struct engine_row *r) {
    struct store_image *img = NULL;
    r->size_rw = size_of(e, r->id);
    err_free(store_image_get(e->store, r->image_id, &img)); /* one that is gone counts nothing */
    r->size_rootfs = r->size_rw + (img ? img->size : 0);
    store_image_free(img);
}

void engine_row_status(const struct engine_row *r, int64_t now, struct str *out) {
    if (!strcmp(r->status, "created")) {
        str_append(out, "Created");
    } else if (!strcmp(r->status, "restarting")) {
        str_appendf(out, "Restarting (%d) ", r->exit_code);
        clock_format_ago(r->finished, now, out);
    } else if (r->alive) {
        str_append(out, "Up ");
        clock_format_human(now - r->started, out);
        if (!strcmp(r->status, "paused"))
            str_append(out, " (Paused)");
        else if (*r->health)
            str_appendf(out, strcmp(r->health, "starting") != 0 ? " (%s)" : " (health: %s)", r->health);
    } else {
        str_appendf(out, "%s (%d) ", !strcmp(r->status, "dead") ? "Dead" : "Exited", r->exit_code);
        clock_format_ago(r->finished, now, out);
    }
}

/* ---- images that containers descend from ---- */

void engine_ancestor_find(struct engine *e, const char *name, struct engine_ancestor *ret) {
    struct store *s;
    struct store_image *img = NULL;
    *ret = (struct engine_ancestor){.name = mem_dup(name)};
    autoerr no_store = engine_store(e, &s);
    autoerr gone = no_store ? NULL : engine_image_find(e, name, ret->id, NULL);
    if (no_store || gone) {
        ret->id[0] = '\0';
        return;
    }
    err_free(store_image_get(s, ret->id, &img));
    if (img && img->n_layers)
        ret->top = mem_dup(img->layers[img->n_layers - 1].chain_id);
    store_image_free(img);
}

void engine_ancestor_done(struct engine_ancestor *a) {
    free(a->name);
    free(a->top);
}

bool engine_row_descends(const struct engine_row *r, const struct engine_ancestor *a) {
    if (*a->id) /* a chain id stands for all of the layers below */
        return !strcmp(r->image_id, a->id) || (a->top && strstr(r->layers, a->top));
    const char *hex = str_starts(a->name, "sha256:") ? a->name + strlen("sha256:") : a->name;
    autofree char *latest = mem_printf("%s:latest", a->name);
    return !strcmp(r->image, a->name) || !strcmp(r->image, latest) ||
           (strlen(hex) >= 4 && str_starts(r->image_id, hex));
}

void engine_row_networks(const struct engine *e, const struct engine_row *r, struct strv *out) {
    autojson wanted = NULL;
    size_t before = out->n;
    err_free(store_container_read(e->store, r->id, NETWORK_FILE, &wanted)); /* none: no network of its own */
    JSON_EACH(n, json_get(wanted, "networks")) { strv_push(out, json_text(n, "network")); }
    if (out->n == before && !wanted && *r->network)
        strv_push(out, !strcmp(r->network, "default") ? "bridge" : r->network);
}

struct json *engine_row_ports(const struct engine *e, const struct engine_row *r) {
    autojson endpoints = NULL;
    autojson exposed = NULL;
    if (!r->alive)
        return json_array();
    err_free(store_container_read(e->store, r->id, ENDPOINTS_FILE, &endpoints)); /* one without a network has none */
    err_free(json_parse(r->exposed, strlen(r->exposed), "Exposed", 0, &exposed));
    return endpoints_ports(endpoints, exposed);
}

/* ---- one row ---- */

enum {
    NAME,
    IMAGE,
    IMAGE_NAME,
    COMMAND,
    NETWORK,
    LABELS,
    MOUNTS,
    LAYERS,
    EXPOSED,
    RESTART,
    N_TEXTS,
    CREATED = N_TEXTS,
    N_FIELDS
};

static void set_state(struct engine_row *r, const struct monitor_state *s) {
    memcpy(r->status, s->status, sizeof r->status);
    memcpy(r->health, s->health, sizeof r->health);
    r->stopped_by_user = s->stopped_by_user;
    r->alive = engine_state_alive(s);
    r->exit_code = s->exit_code;
    r->pid = s->pid;
    r->started = s->started;
    r->finished = s->finished;
}

/* The row of what was cut out of container.json, with copies of it. */
static struct engine_row *row_of(const char *id, const struct json_field *f, const struct monitor_state *state) {
    const char *texts[N_TEXTS];
    size_t size[N_TEXTS], total = 0;
    for (size_t i = 0; i < N_TEXTS; i++) {
        bool fits = f[i].text && f[i].string == (i < LABELS);
        texts[i] = fits ? f[i].text : i < LABELS ? "" : i == LABELS || i == RESTART ? "{}" : "[]";
        texts[i] += i == NAME && texts[i][0] == '/';
        size[i] = strlen(texts[i]) + 1;
        total += size[i];
    }
    struct engine_row *r = mem_alloc(sizeof *r + total);
    const char **members[N_TEXTS] = {&r->name,   &r->image_id, &r->image,  &r->command, &r->network,
                                     &r->labels, &r->mounts,   &r->layers, &r->exposed, &r->restart};
    char *to = r->text;
    for (size_t i = 0; i < N_TEXTS; i++) {
        *members[i] = memcpy(to, texts[i], size[i]);
        to += size[i];
    }
    memcpy(r->id, id, ID_LEN);
    if (!str_to_i64(f[CREATED].text, INT64_MIN, INT64_MAX, &r->created))
        r->created = 0;
    set_state(r, state);
    return r;
}

/* From the text of container.json, which ends in pieces. NULL when it is not as we write it. */
static struct engine_row *cut_row(const char *id, struct str *text, const struct monitor_state *state) {
    struct json_field f[N_FIELDS] = {
        [NAME] = {.key = "Name"},       [IMAGE] = {.key = "Image"},           [IMAGE_NAME] = {.key = "ImageName"},
        [COMMAND] = {.key = "Command"}, [CREATED] = {.key = "CreatedNs"},     [LABELS] = {.key = "Labels"},
        [MOUNTS] = {.key = "Mounts"},   [NETWORK] = {.key = "NetworkMode"},   [LAYERS] = {.key = "Layers"},
        [EXPOSED] = {.key = "Exposed"}, [RESTART] = {.key = "RestartPolicy"},
    };
    bool whole = text->len && json_cut(text->ptr, text->len, f, N_FIELDS);
    return whole && f[NAME].string ? row_of(id, f, state) : NULL;
}

/* The general way, which puts a stale state right, and says what is wrong with a record. */
static struct err *load_slowly(struct engine *e, const char *id, struct engine_row **ret) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    autostr struct str text = STR_INIT;
    TRY(engine_container_load_id(e, id, &c));
    json_render(c.summary, JSON_COMPACT, &text);
    struct engine_row *r = cut_row(id, &text, &c.state);
    if (!r)
        return err_new(ERR_CORRUPT, "the record of container %.12s is damaged", id);
    *ret = r;
    return NULL;
}

/*
 * The state first: where only live containers are asked for, the many that are not need no second look, and *ret stays
 * NULL. `text` is a buffer that all rows share.
 */
static struct err *load_row(struct engine *e, const char *id, bool all, struct str *text, struct engine_row **ret) {
    struct monitor_state state = MONITOR_STATE_CREATED;
    bool held = true, known, there;
    str_clear(text);
    TRY(store_container_text(e->store, id, "state.json", text, &known));
    if (known)
        TRY(monitor_state_parse(text, &state));
    bool alive = engine_state_alive(&state);
    if (!alive && !all)
        return NULL;
    if (alive)
        TRY(store_container_running(e->store, id, &held));
    str_clear(text);
    TRY(store_container_text(e->store, id, "container.json", text, &there));
    bool sure = held && (known || !store_container_unsynced(e->store, id));
    struct engine_row *r = there && sure ? cut_row(id, text, &state) : NULL;
    if (!r)
        return load_slowly(e, id, ret);
    *ret = r;
    return NULL;
}

/* ---- the list ---- */

static int newest_first(const void *a, const void *b) {
    return engine_newest_first((*(struct engine_row *const *)a)->created, (*(struct engine_row *const *)b)->created);
}

static void load_rows(struct engine *e, const struct strv *ids, const struct engine_list *l, struct engine_rows *rows) {
    autostr struct str text = STR_INIT;
    bool all = l->all || l->last >= 0;
    for (size_t i = 0; i < ids->n; i++) {
        struct engine_row *r = NULL;
        autoerr bad = load_row(e, ids->v[i], all, &text, &r);
        if (bad && err_kind(bad) != ERR_NOT_FOUND) /* one that was removed while we looked is no news */
            log_warn("container %.12s is damaged and was skipped", ids->v[i]);
        if (r && !all && !r->alive) { /* its monitor was lost */
            free(r);
            r = NULL;
        }
        if (r)
            rows->v[rows->n++] = r;
    }
}

struct err *engine_container_list(struct engine *e, const struct engine_list *l, struct engine_rows *ret) {
    struct store *s;
    TRY(engine_store(e, &s));
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(s, &ids));
    struct engine_rows rows = {.v = mem_array(ids.n + 1, sizeof(struct engine_row *))};
    load_rows(e, &ids, l, &rows);
    qsort(rows.v, rows.n, sizeof *rows.v, newest_first);
    while (l->last >= 0 && rows.n > (size_t)l->last)
        free(rows.v[--rows.n]);
    for (size_t i = 0; l->size && i < rows.n; i++)
        set_sizes(e, rows.v[i]);
    *ret = rows;
    return NULL;
}

void engine_rows_done(struct engine_rows *rows) {
    for (size_t i = 0; i < rows->n; i++)
        free(rows->v[i]);
    free(rows->v);
    *rows = (struct engine_rows){.n = 0};
}

void engine_complete_containers(struct engine *e, bool running_only, struct strv *out) {
    const struct engine_list l = {.all = !running_only, .last = -1};
    autorows list = {.n = 0};
    autoerr bad = engine_container_list(e, &l, &list);
    for (size_t i = 0; !bad && i < list.n; i++)
        strv_push(out, list.v[i]->name);
}
