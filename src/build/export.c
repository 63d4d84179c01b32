/* export: see export_int.h. */
#include "build/export_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/host.h"
#include "build/exec_int.h"

bool export_wants_index(const struct exec *x) {
    return x->platforms.n > 1 || x->o->attest->provenance || x->o->attest->sbom;
}

/* ---- one image ---- */

static void add_labels(struct exec *x) {
    struct json *config = exec_config(x);
    if (x->o->labels->n && json_type(json_get(config, "Labels")) != JSON_OBJECT)
        json_set(config, "Labels", json_object());
    for (size_t i = 0; i < x->o->labels->n; i++) {
        const char *label = x->o->labels->v[i], *eq = strchr(label, '=');
        autofree char *key = mem_dupn(label, strcspn(label, "="));
        json_set_str(json_get(config, "Labels"), key, eq ? eq + 1 : "");
    }
}

/* The target stage becomes what the image is made of. */
static struct err *finish(struct exec *x) {
    autostr struct str when = STR_INIT;
    add_labels(x);
    exec_time(x, &when);
    json_set_str(exec_state(x)->config, "created", str_c(&when));
    if (x->o->squash)
        TRY(squash(x));
    return caches_inline(x);
}

static void tell_names(struct exec *x, const struct strv *names) {
    for (size_t i = 0; i < names->n; i++)
        progress_line(&x->progress, "naming to %s done", names->v[i]);
}

static struct image_parts parts_of(const struct exec *x, const struct strv *names) {
    const struct state *s = &x->state[x->at];
    return (struct image_parts){s->config, s->layers, s->n, names, x->annotations.manifest};
}

/* Of an image without a name: whether there was none such before, and it goes when it is written; or it stays. */
static struct err *note(const struct build_result *r, const struct strv *before, const char *id, bool stays) {
    return stays || !strv_has(before, id) ? engine_passing_note(r->passing, id, stays) : NULL;
}

struct err *export_image(struct exec *x, const struct strv *names, struct build_result *ret) {
    autostrv struct strv before = {.n = 0};
    TRY(finish(x));
    progress_vertex(&x->progress, "exporting to image");
    TRY(engine_passing_begin(x->o->engine, &ret->passing));
    TRY(store_image_ids(x->store, &before));
    const struct image_parts parts = parts_of(x, names);
    TRY(engine_build_image(x->o->engine, &parts, ret->id));
    if (!names->n)
        TRY(note(ret, &before, ret->id, !x->o->passing));
    progress_line(&x->progress, "writing image sha256:%s done", ret->id);
    tell_names(x, names);
    progress_done(&x->progress);
    return NULL;
}

/* ---- an index of several ---- */

static char *platform_name(const struct exec *x) {
    const struct json *config = x->state[x->at].config;
    const char *variant = json_text(config, "variant");
    return mem_printf("%s/%s%s%s", json_text(config, "os"), json_text(config, "architecture"), *variant ? "/" : "",
                      variant);
}

struct err *export_member(struct exec *x, struct export_index *index, const struct strv *names) {
    static const struct strv none = {.n = 0};
    TRY(finish(x));
    if (x->platform)
        strv_push(&index->platforms, x->platform);
    else
        strv_push_take(&index->platforms, platform_name(x));
    progress_vertex(&x->progress, "exporting layers of %s", index->platforms.v[index->platforms.n - 1]);
    const struct image_parts parts = parts_of(x, &none);
    TRY(image_bundle_add(&index->bundle, &parts, x->annotations.descriptor));
    progress_line(&x->progress, "exporting manifest %s done",
                  image_bundle_manifest(&index->bundle, index->bundle.n - 1));
    progress_done(&x->progress);
    return attest(x, index, names);
}

/* Who writes files wants each as an image of the store. */
static struct err *record_each(struct exec *x, const struct export_index *index, const struct image_bundled *made,
                               const struct strv *before, struct build_result *ret) {
    for (size_t i = 0; x->o->want_each && i < index->bundle.n; i++) {
        struct build_member *m = &ret->members[ret->n_members];
        if (i == made->number)
            memcpy(m->id, made->id, sizeof m->id);
        else
            TRY(image_bundle_record_one(&index->bundle, i, m->id));
        if (!str_eq(m->id, ret->id))
            TRY(note(ret, before, m->id, false));
        m->platform = mem_dup(index->platforms.v[i]);
        ret->n_members++;
    }
    return NULL;
}

struct err *export_all(struct exec *x, struct export_index *index, const struct strv *names, struct build_result *ret) {
    autostrv struct strv before = {.n = 0};
    struct image_bundled made = {.size = 0};
    progress_vertex(&x->progress, "exporting manifest list");
    TRY(engine_passing_begin(x->o->engine, &ret->passing));
    TRY(store_image_ids(x->store, &before));
    TRY(engine_build_index(x->o->engine, &index->bundle, names, x->annotations.index, &made));
    memcpy(ret->id, made.id, sizeof ret->id);
    memcpy(ret->index, made.digest, sizeof ret->index);
    ret->index_size = made.size;
    if (!names->n)
        TRY(note(ret, &before, ret->id, !x->o->passing));
    ret->members = mem_array(index->bundle.n, sizeof *ret->members);
    TRY(record_each(x, index, &made, &before, ret));
    progress_line(&x->progress, "exporting manifest list %s done", made.digest);
    tell_names(x, names);
    progress_done(&x->progress);
    return NULL;
}

void export_index_done(struct export_index *index) {
    image_bundle_done(&index->bundle);
    strv_done(&index->platforms);
}
