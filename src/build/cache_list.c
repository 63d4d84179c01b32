/*
 * cache_list: what the cache of builds holds, for who looks at it and who empties it: cached steps, whose layers images
 * may have, too, and the directories of cache mounts.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "build/exec_int.h"
#include "engine/observe.h"
#include "storage/builds.h"

struct listing {
    struct store *store;
    struct strv in_use, contents; /* chain ids and diff ids of images' layers */
    struct json *rows;
    struct strv notes; /* keys of records that are about no layer */
};

static void listing_done(struct listing *l) {
    strv_done(&l->in_use);
    strv_done(&l->contents);
    strv_done(&l->notes);
    json_free(l->rows);
}

/* ---- cached steps ---- */

static struct err *images_layers(struct listing *l) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_image_ids(l->store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        struct store_image *img = NULL;
        autoerr gone = store_image_get(l->store, ids.v[i], &img);
        for (size_t k = 0; !gone && k < img->n_layers; k++) {
            strv_push(&l->in_use, img->layers[k].chain_id);
            strv_push(&l->contents, img->layers[k].diff_id);
        }
        store_image_free(img);
    }
    return NULL;
}

/* Of COPY --link the files are an image's, too, where they lie on something else. */
static bool is_shared(const struct listing *l, const struct json *record) {
    const struct json *layer = json_get(record, "Layer");
    return strv_has(&l->in_use, json_text(layer, "ChainId")) ||
           (json_bool_value(json_get(record, "Link"), false) && strv_has(&l->contents, json_text(layer, "DiffId")));
}

static struct err *list_step(void *ctx, const struct store_build *b) {
    struct listing *l = ctx;
    const struct json *layer = json_get(b->record, "Layer");
    if (!layer) {
        strv_push(&l->notes, b->key);
        return NULL;
    }
    struct json *row = json_object();
    json_set_str(row, "ID", digest_hex(b->key));
    json_set_str(row, "Type", "regular");
    json_set_str(row, "Step", json_text(b->record, "Step"));
    json_set_int(row, "Size", json_int_value(json_get(layer, "DiffSize"), 0));
    json_set_int(row, "Created", json_int_value(json_get(b->record, "Created"), 0));
    json_set_int(row, "LastUsed", b->used);
    json_set_bool(row, "Shared", is_shared(l, b->record));
    json_set_bool(row, "InUse", false);
    json_push(l->rows, row);
    return NULL;
}

/* ---- cache mounts ---- */

struct looking {
    const struct store *store;
    struct json *rows;
    int out;
};

static struct err *list_mount(void *ctx, const struct store_build_mount *m) {
    const struct looking *k = ctx;
    autofree char *step = mem_printf("mount %s", m->id);
    struct json *row = json_object();
    json_set_str(row, "ID", m->name);
    json_set_str(row, "Type", "exec.cachemount");
    json_set_str(row, "Step", step);
    json_set_int(row, "Size", m->bytes);
    json_set_int(row, "Created", m->created);
    json_set_int(row, "LastUsed", m->used);
    json_set_bool(row, "Shared", false);
    json_set_bool(row, "InUse", m->in_use);
    json_push(k->rows, row);
    return NULL;
}

/* In the user namespace, where all of their files can be seen: a child's, which hands the rows back as a text. */
static struct err *look_at_mounts(void *ctx) {
    struct looking *k = ctx;
    autojson rows = json_array();
    autostr struct str text = STR_INIT;
    k->rows = rows;
    TRY(store_build_mounts_each(k->store, list_mount, k));
    json_render(rows, JSON_COMPACT, &text);
    return io_write_all(k->out, text.ptr, text.len);
}

static struct err *list_mounts(struct engine *e, struct listing *l) {
    autostr struct str text = STR_INIT;
    autojson rows = NULL;
    autofd int fd = -1;
    if (faccessat(store_dirfd(l->store, "builds"), "mounts", F_OK, 0) < 0)
        return NULL;
    fd = sys_memfd("mounts", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "make a memory file");
    struct looking k = {.store = l->store, .out = fd};
    TRY(engine_build_call(e, look_at_mounts, &k));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a memory file");
    TRY(io_read_all(fd, JSON_SIZE_MAX, "the list of cache mounts", &text));
    TRY(json_parse(str_c(&text), text.len, "cache mounts", 0, &rows));
    JSON_EACH(row, rows) { json_push(l->rows, json_copy(row)); }
    return NULL;
}

/* ---- list ---- */

static struct err *list_all(struct engine *e, struct listing *l) {
    l->rows = json_array();
    TRY(images_layers(l));
    TRY(store_builds_each(l->store, list_step, l));
    return list_mounts(e, l);
}

struct err *build_cache_list(struct engine *e, struct json **ret) {
    struct listing l = {.rows = NULL};
    TRY(engine_build_hold(e, &l.store, NULL));
    struct err *bad = list_all(e, &l);
    if (!bad)
        *ret = take_ptr(&l.rows);
    listing_done(&l);
    return bad;
}

/* ---- prune ---- */

static bool named(const struct strv *wanted, const char *text, bool prefix) {
    for (size_t i = 0; i < wanted->n; i++)
        if (prefix ? str_starts(text, wanted->v[i]) : str_eq(text, wanted->v[i]))
            return true;
    return !wanted->n;
}

/* A mount is what somebody has collected: it goes with everything, or when it is meant. */
static bool may_go(const struct build_prune *p, const struct json *row) {
    const char *type = json_text(row, "Type");
    bool mount = str_eq(type, "exec.cachemount"), meant = p->all || p->types.n || p->ids.n;
    bool kept = mount ? !meant || json_bool_value(json_get(row, "InUse"), false)
                      : json_bool_value(json_get(row, "Shared"), false) && !p->all;
    return !kept && named(&p->types, type, false) && named(&p->ids, json_text(row, "ID"), true) &&
           (!p->until || json_int_value(json_get(row, "LastUsed"), 0) < p->until);
}

static int longest_unused(const void *a, const void *b) {
    int64_t x = json_int_value(json_get(*(struct json *const *)a, "LastUsed"), 0);
    int64_t y = json_int_value(json_get(*(struct json *const *)b, "LastUsed"), 0);
    return (x > y) - (x < y);
}

/* What a row holds that no image has. */
static int64_t own_size(const struct json *row) {
    return json_bool_value(json_get(row, "Shared"), false) ? 0 : json_int_value(json_get(row, "Size"), 0);
}

struct removal {
    struct store *store;
    struct strv mounts;
};

static struct err *remove_mounts(void *ctx) {
    const struct removal *r = ctx;
    return store_build_mounts_remove(r->store, &r->mounts);
}

static struct err *forget(struct engine *e, const struct listing *l, struct json **rows, size_t n,
                          struct strv *ret_ids) {
    struct removal r = {.store = l->store};
    struct err *bad = NULL;
    for (size_t i = 0; !bad && i < n; i++) {
        const char *id = json_text(rows[i], "ID");
        autofree char *key = mem_printf("sha256:%s", id);
        if (str_eq(json_text(rows[i], "Type"), "exec.cachemount"))
            strv_push(&r.mounts, id);
        else
            bad = store_build_remove(l->store, key);
        strv_push(ret_ids, id);
    }
    if (!bad && r.mounts.n)
        bad = engine_build_call(e, remove_mounts, &r);
    strv_done(&r.mounts);
    return bad;
}

/* Those that have not been used for the longest time first, until no more than is to be kept is left. */
static struct err *prune(struct engine *e, const struct build_prune *p, struct listing *l, struct strv *ret_ids,
                         int64_t *ret_bytes) {
    TRY(list_all(e, l));
    autofree struct json **going = mem_array(json_count(l->rows) + 1, sizeof(struct json *));
    size_t n = 0, k = 0;
    int64_t total = 0;
    JSON_EACH(row, l->rows) {
        total += own_size(row);
        if (may_go(p, row))
            going[n++] = row;
    }
    if (n)
        qsort(going, n, sizeof *going, longest_unused);
    while (k < n && (!p->keep || total > p->keep)) {
        total -= own_size(going[k]);
        *ret_bytes += own_size(going[k++]);
    }
    bool everything = !p->types.n && !p->ids.n && !p->until && !p->keep;
    for (size_t i = 0; everything && i < l->notes.n; i++)
        TRY(store_build_remove(l->store, l->notes.v[i]));
    if (everything)
        TRY(io_remove_tree(store_dirfd(l->store, "builds"), path_base(STORE_BUILD_STATS)));
    return forget(e, l, going, k, ret_ids);
}

struct err *build_prune(struct engine *e, const struct build_prune *p, struct strv *ret_ids, int64_t *ret_bytes) {
    struct listing l = {.rows = NULL};
    autofd int hold = -1;
    *ret_bytes = 0;
    TRY(engine_build_hold(e, &l.store, &hold));
    struct err *bad = prune(e, p, &l, ret_ids, ret_bytes);
    listing_done(&l);
    fd_replace(&hold, -1);
    engine_build_sweep(e);
    if (!bad)
        engine_prune_tell(e, "builder", *ret_bytes);
    return bad;
}
