/* exec_state: what a stage has become, and how it gets from the process that built it to the one that goes on. */
#include "build/exec_int.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/sys/sys.h"

const char *state_top(const struct state *s) { return s->n ? s->layers[s->n - 1].chain_id : NULL; }

void state_layers(const struct state *s, struct strv *out) {
    for (size_t i = 0; i < s->n; i++)
        strv_push(out, s->layers[i].chain_id);
}

struct err *exec_layer(struct exec *x, struct engine_work *w, const struct state *below, struct store_layer_ref *ret) {
    return engine_work_layer(w, below ? state_top(below) : NULL, x->latest, ret);
}

void exec_add_latest(const struct exec *x, char **recipe) {
    if (x->latest == INT64_MAX)
        return;
    char *more = mem_printf("%s\ntimes until %lld", *recipe, (long long)x->latest);
    free(*recipe);
    *recipe = more;
}

void state_push(struct state *s, const struct store_layer_ref *take_layer) {
    s->layers = mem_resize(s->layers, s->n + 1, sizeof *s->layers);
    s->layers[s->n++] = *take_layer;
}

void state_used(struct state *s, const char *key) { strv_add(&s->records, key); }

void state_done(struct state *s) {
    json_free(s->config);
    for (size_t i = 0; i < s->n; i++)
        image_layer_done(&s->layers[i]);
    free(s->layers);
    strv_done(&s->args);
    strv_done(&s->declared);
    strv_done(&s->records);
    json_free(s->pending);
    json_free(s->mounts);
    *s = (struct state){.n = 0};
}

void state_copy(const struct state *s, struct state *ret) {
    *ret = (struct state){.config = json_copy(s->config), .base = s->base};
    for (size_t i = 0; i < s->n; i++) {
        struct store_layer_ref l = image_layer_copy(&s->layers[i]);
        state_push(ret, &l);
    }
    memcpy(ret->key, s->key, sizeof ret->key);
    strv_extend(&ret->args, &s->args);
    strv_extend(&ret->declared, &s->declared);
    ret->pending = s->pending ? json_copy(s->pending) : NULL;
    ret->when = s->when;
}

/* ---- as JSON ---- */

struct json *layer_to_json(const struct store_layer_ref *l) {
    struct json *j = json_object();
    json_set_str(j, "Blob", l->blob);
    json_set_str(j, "Type", l->media_type);
    json_set_str(j, "DiffId", l->diff_id);
    json_set_str(j, "ChainId", l->chain_id);
    json_set_int(j, "Size", l->size);
    json_set_int(j, "DiffSize", l->diff_size);
    return j;
}

void layer_from_json(const struct json *j, struct store_layer_ref *ret) {
    *ret = (struct store_layer_ref){.blob = mem_dup(json_text(j, "Blob")),
                                    .media_type = mem_dup(json_text(j, "Type")),
                                    .diff_id = mem_dup(json_text(j, "DiffId")),
                                    .chain_id = mem_dup(json_text(j, "ChainId")),
                                    .size = json_int_value(json_get(j, "Size"), 0),
                                    .diff_size = json_int_value(json_get(j, "DiffSize"), 0)};
}

static struct json *state_to_json(const struct exec *x) {
    const struct state *s = &x->state[x->at];
    struct json *j = json_object(), *layers = json_array();
    for (size_t i = 0; i < s->n; i++)
        json_push(layers, layer_to_json(&s->layers[i]));
    json_set(j, "Config", json_copy(s->config));
    json_set(j, "Layers", layers);
    json_set_str(j, "Key", s->key);
    json_set_strv(j, "Args", &s->args);
    json_set_strv(j, "Declared", &s->declared);
    json_set_strv(j, "Used", &x->used);
    if (x->materials)
        json_set(j, "Materials", json_copy(x->materials));
    json_set_int(j, "BaseLayers", (int64_t)s->base.layers);
    json_set_int(j, "BaseHistory", (int64_t)s->base.history);
    json_set_str(j, "BaseId", s->base.id);
    json_set_int(j, "When", s->when);
    json_set_strv(j, "Records", &s->records);
    json_set(j, "Pending", s->pending ? json_copy(s->pending) : json_object());
    json_set(j, "Mounts", s->mounts ? json_copy(s->mounts) : json_object());
    return j;
}

static void state_from_json(struct exec *x, const struct json *j, struct state *ret) {
    struct state s = {.config = json_copy(json_get(j, "Config")),
                      .base = {.layers = (size_t)json_int_value(json_get(j, "BaseLayers"), 0),
                               .history = (size_t)json_int_value(json_get(j, "BaseHistory"), 0)},
                      .when = json_int_value(json_get(j, "When"), 0),
                      .pending = json_copy(json_get(j, "Pending")),
                      .mounts = json_copy(json_get(j, "Mounts"))};
    JSON_EACH(l, json_get(j, "Layers")) {
        struct store_layer_ref layer;
        layer_from_json(l, &layer);
        state_push(&s, &layer);
    }
    const char *key = json_text(j, "Key"), *base = json_text(j, "BaseId");
    memcpy(s.base.id, base, strnlen(base, sizeof s.base.id - 1));
    memcpy(s.key, key, strnlen(key, DIGEST_LEN));
    JSON_EACH(arg, json_get(j, "Args")) { strv_push(&s.args, json_str_value(arg)); }
    JSON_EACH(name, json_get(j, "Declared")) { strv_push(&s.declared, json_str_value(name)); }
    JSON_EACH(record, json_get(j, "Records")) { strv_push(&s.records, json_str_value(record)); }
    attest_take(x, json_get(j, "Materials"));
    JSON_EACH(name, json_get(j, "Used")) { strv_add(&x->used, json_str_value(name)); }
    *ret = s;
}

/* In a memory file, as a config may be larger than a message. */
struct err *state_pack(const struct exec *x, int *ret_fd) {
    autojson j = state_to_json(x);
    autostr struct str text = STR_INIT;
    autofd int fd = sys_memfd("stage", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "make a memory file");
    json_render(j, JSON_COMPACT, &text);
    TRY(io_write_all(fd, text.ptr, text.len));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a memory file");
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *state_unpack(struct exec *x, int fd, struct state *ret) {
    autostr struct str text = STR_INIT;
    autojson j = NULL;
    TRY(io_read_all(fd, JSON_SIZE_MAX, "what a stage has become", &text));
    TRY(json_parse(str_c(&text), text.len, "a stage", 0, &j));
    state_from_json(x, j, ret);
    return NULL;
}
