/* ps: a view per container, made from container.json and state.json alone, so that a thousand of them cost
 * milliseconds. */
#include "engine/engine_int.h"

#include <string.h>

/* Bytes of the upper directory; what only the container's own users can read is left out of the sum. */
static int64_t size_of(const struct engine *e, const char *id) {
    int64_t bytes = 0;
    autoerr denied = store_container_size(e->store, id, &bytes);
    return denied ? 0 : bytes;
}

static const char *text(const struct json *o, const char *key) {
    const char *s = json_str_value(json_get(o, key));
    return s ? s : "";
}

static struct json *view_of(const struct engine_container *c, int64_t now) {
    const struct json *sum = c->summary;
    struct json *v = json_object(), *names = json_array();
    autofree char *slash_name = mem_printf("/%s", engine_container_name(c));
    autofree char *image_id = mem_printf("sha256:%s", text(sum, "Image"));
    int64_t created = json_int_value(json_get(sum, "CreatedNs"), 0);
    autostr struct str status = STR_INIT;
    engine_container_status(&c->state, now, &status);
    json_set_str(v, "Id", c->id);
    json_push_str(names, slash_name);
    json_set(v, "Names", names);
    json_set_str(v, "Image", text(sum, "ImageName"));
    json_set_str(v, "ImageID", image_id);
    json_set_str(v, "Command", text(sum, "Command"));
    json_set_int(v, "Created", created / NSEC_PER_SEC);
    json_set(v, "Ports", json_array());
    struct json *labels = json_copy(json_get(sum, "Labels"));
    json_set(v, "Labels", labels ? labels : json_object());
    json_set_str(v, "State", c->state.status);
    json_set_str(v, "Status", str_c(&status));
    struct json *host_config = json_object();
    json_set_str(host_config, "NetworkMode", text(sum, "NetworkMode"));
    json_set(v, "HostConfig", host_config);
    struct json *mounts = json_copy(json_get(sum, "Mounts"));
    json_set(v, "Mounts", mounts ? mounts : json_array());
    json_set_int(v, "CreatedNs", created);
    json_set_int(v, "StartedNs", c->state.started);
    json_set_int(v, "FinishedNs", c->state.finished);
    json_set_int(v, "ExitCode", c->state.exit_code);
    return v;
}

/* What the container wrote, and with its image, as docker counts. */
static void set_sizes(const struct engine *e, const struct engine_container *c, struct json *view) {
    struct store_image *img = NULL;
    int64_t own = size_of(e, c->id);
    err_free(store_image_get(e->store, text(c->summary, "Image"), &img)); /* one that is gone counts nothing */
    json_set_int(view, "SizeRw", own);
    json_set_int(view, "SizeRootFs", own + (img ? img->size : 0));
    store_image_free(img);
}

struct row {
    int64_t created;
    bool alive;
    struct json *view;
};

static int newest_first(const void *a, const void *b) {
    int64_t x = ((const struct row *)a)->created, y = ((const struct row *)b)->created;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Whether the list has a place for it, as far as its state alone tells: where only live containers are asked for, the
 * many that are not need no second look. */
static bool may_be_listed(const struct store *s, const char *id, const struct engine_list *l) {
    struct monitor_state state = {.pid = 0};
    autofd int dir = -1;
    if (l->all || l->last >= 0)
        return true;
    autoerr gone = store_container_open(s, id, &dir);
    autoerr bad = gone ? NULL : monitor_state_read(dir, &state);
    return gone || bad || engine_state_alive(&state);
}

static size_t load_rows(struct engine *e, const struct strv *ids, const struct engine_list *l, struct row *rows) {
    int64_t now = clock_now();
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++) {
        autocontainer c = ENGINE_CONTAINER_INIT;
        if (!may_be_listed(e->store, ids->v[i], l))
            continue;
        autoerr bad = engine_container_load_id(e, ids->v[i], &c);
        if (bad) {
            if (err_kind(bad) != ERR_NOT_FOUND) /* one that was removed while we looked is no news */
                log_warn("container %.12s is damaged and was skipped", ids->v[i]);
            continue;
        }
        bool alive = engine_state_alive(&c.state);
        if (!alive && !l->all && l->last < 0)
            continue;
        struct json *view = view_of(&c, now);
        if (l->size)
            set_sizes(e, &c, view);
        rows[n++] = (struct row){json_int_value(json_get(view, "CreatedNs"), 0), alive, view};
    }
    return n;
}

struct err *engine_container_list(struct engine *e, const struct engine_list *l, struct json **ret) {
    struct store *s;
    TRY(engine_store(e, &s));
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(s, &ids));
    struct row *rows = mem_array(ids.n + 1, sizeof *rows);
    size_t n = load_rows(e, &ids, l, rows);
    qsort(rows, n, sizeof *rows, newest_first);
    struct json *list = json_array();
    for (size_t i = 0; i < n; i++) {
        if (l->last >= 0 && i >= (size_t)l->last)
            json_free(rows[i].view);
        else
            json_push(list, rows[i].view);
    }
    free(rows);
    *ret = list;
    return NULL;
}

void engine_complete_containers(struct engine *e, bool running_only, struct strv *out) {
    const struct engine_list l = {.all = !running_only, .last = -1};
    autojson list = NULL;
    autoerr bad = engine_container_list(e, &l, &list);
    if (bad)
        return;
    JSON_EACH(v, list) {
        const char *name = json_str_value(json_first(json_get(v, "Names")));
        if (name)
            strv_push(out, name + 1);
    }
}
