/* exec_from: what a stage begins with: nothing, another stage, or an image. */
#include "build/exec_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/host.h"
#include "build/pack_int.h"
#include "image/cache.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static struct err *scratch(struct exec *x, const char *platform, struct state *ret) {
    struct image_platform p = {.os = NULL};
    TRY(image_platform_parse(x->o->host, platform, &p));
    struct json *config = json_object(), *run = json_object(), *env = json_array();
    json_set_str(config, "architecture", p.arch);
    json_set_str(config, "os", p.os);
    if (*p.variant)
        json_set_str(config, "variant", p.variant);
    image_platform_done(&p);
    json_push_str(env, DEFAULT_PATH);
    json_set(run, "Env", env);
    json_set_str(run, "WorkingDir", "/");
    json_set(config, "config", run);
    json_set(config, "history", json_array());
    *ret = (struct state){.config = config, .when = clock_now()};
    return digest_of("scratch", strlen("scratch"), ret->key);
}

/* What a name stands for, before another platform's image is pulled by it. */
struct named {
    char *name; /* NULL: there is no such image */
    char id[ID_LEN + 1];
    struct store_ref as;
};

static void name_find(const struct exec *x, const char *reference, struct named *ret) {
    err_free(engine_image_find(x->o->engine, reference, ret->id, &ret->name));
    ret->as = store_ref_of(x->store, ret->name, ret->id);
}

/* A build asks for a base; what the name means to the user stays. */
static struct err *name_keep(const struct exec *x, const struct named *old, const char *new_id) {
    struct store_image *was = NULL, *is = NULL;
    if (!old->name)
        return NULL;
    struct err *e = store_image_get(x->store, old->id, &was);
    if (!e)
        e = store_image_get(x->store, new_id, &is);
    bool other = !e && (!str_eq(was->arch, is->arch) || !str_eq(was->variant, is->variant));
    store_image_free(was);
    store_image_free(is);
    const struct store_target to = {.image = old->id, .manifest = old->as.manifest, .index = old->as.index};
    return other ? store_ref_set_to(x->store, old->name, &to) : e;
}

static struct err *pull(struct exec *x, const char *reference, const char *platform, char ret_id[65]) {
    const struct engine_pull p = {.reference = reference, .platform = platform, .interrupted_fd = x->o->interrupted_fd};
    struct image_pulled got = {.up_to_date = false};
    struct named old = {.name = NULL};
    name_find(x, reference, &old);
    progress_line(&x->progress, "resolve %s", reference);
    struct err *e = engine_image_pull(x->o->engine, &p, &got);
    free(got.reference);
    if (!e)
        e = name_keep(x, &old, got.id);
    free(old.name);
    memcpy(ret_id, got.id, sizeof got.id);
    return e;
}

/* The image that a name has for another platform: in the index that it stands for here, else in its registry. */
static struct err *other_image(struct exec *x, const char *reference, const char *platform, char ret_id[65]) {
    struct err *none = engine_image_member(x->o->engine, reference, platform, ret_id);
    if (!none || err_kind(none) != ERR_NOT_FOUND)
        return none;
    err_free(none);
    return pull(x, reference, platform, ret_id);
}

static struct err *find(struct exec *x, const char *reference, const char *platform, char ret_id[65]) {
    if (!x->o->pull && !str_starts(reference, "oci:")) {
        struct err *e = engine_image_find(x->o->engine, reference, ret_id, NULL);
        if (!e || err_kind(e) != ERR_NOT_FOUND)
            return e;
        err_free(e);
    }
    return pull(x, reference, platform, ret_id);
}

static bool other_platform(struct exec *x, const struct store_image *img, const char *platform) {
    struct image_platform p = {.os = NULL};
    autoerr e = image_platform_parse(x->o->host, platform, &p);
    bool other = !e && !image_platform_suits(&p, img->os, img->arch, img->variant);
    if (!e)
        image_platform_done(&p);
    return other;
}

static void take_layers(struct state *s, const struct store_image *img) {
    for (size_t i = 0; i < img->n_layers; i++) {
        struct store_layer_ref copy = image_layer_copy(&img->layers[i]);
        state_push(s, &copy);
    }
}

static void note_image(struct exec *x, const char *reference, const struct store_image *img) {
    const char *variant = img->variant ? img->variant : "";
    autofree char *platform = mem_printf("%s/%s%s%s", img->os, img->arch, *variant ? "/" : "", variant);
    attest_image(x, reference, platform, img->manifest);
}

struct err *exec_image(struct exec *x, const char *reference, const char *platform, struct state *ret) {
    char id[65];
    struct store_image *img = NULL;
    struct state s = {.n = 0};
    TRY_CTX(find(x, reference, platform, id), "%s", reference);
    TRY(store_image_get(x->store, id, &img));
    if (platform && other_platform(x, img, platform)) {
        store_image_free(take_ptr(&img));
        TRY_CTX(other_image(x, reference, platform, id), "%s", reference);
        TRY(store_image_get(x->store, id, &img));
    }
    struct err *e = image_config(x->store, img, &s.config);
    if (!e) {
        note_image(x, reference, img);
        take_layers(&s, img);
        s.base.layers = s.n;
        s.base.history = json_count(json_get(s.config, "history"));
        memcpy(s.base.id, id, sizeof s.base.id);
        s.when = img->created;
        e = digest_of(id, strlen(id), s.key);
    }
    store_image_free(img);
    if (e) {
        state_done(&s);
        return e;
    }
    if (json_type(json_get(s.config, "config")) != JSON_OBJECT)
        json_set(s.config, "config", json_object());
    if (json_type(json_get(s.config, "history")) != JSON_ARRAY)
        json_set(s.config, "history", json_array());
    json_remove(s.config, "container");
    json_remove(s.config, "container_config");
    json_remove(s.config, IMAGE_CACHE_KEY);
    *ret = s;
    return NULL;
}

/* A base that is a build context of files: they are its only layer. */
static struct err *from_files(struct exec *x, const struct plan_stage *p, const char *platform, struct state *ret) {
    autosource s = SOURCE_INIT;
    struct pack all;
    struct store_layer_ref layer;
    char content[DIGEST_LEN + 1];
    TRY(scratch(x, platform, ret));
    TRY(source_find(x, p->base, &s));
    source_pack(&s, NULL, &all);
    struct err *e = source_digest(&s, &all, "all", content);
    if (!e)
        e = source_snapshot(&s, &all, content, &layer);
    strv_done(&all.sources);
    TRY(e);
    state_push(ret, &layer);
    memcpy(ret->key, content, sizeof ret->key);
    return NULL;
}

/* There is always a PATH, also where the image has none. */
static struct err *ensure_path(struct json *config) {
    autostrv struct strv env = {.n = 0};
    TRY(json_get_strv_opt(config, "Env", &env));
    if (!strv_env_get(&env, "PATH"))
        strv_push(&env, DEFAULT_PATH);
    json_set_strv(config, "Env", &env);
    return NULL;
}

/* Layers whose times were clamped are others. */
static struct err *times_in_key(const struct exec *x, struct state *s) {
    if (x->latest == INT64_MAX)
        return NULL;
    autofree char *recipe = mem_dup(s->key);
    exec_add_latest(x, &recipe);
    return digest_of(recipe, strlen(recipe), s->key);
}

struct err *exec_from(struct exec *x) {
    const struct plan_stage *p = &x->plan.stage[x->at];
    struct state *s = exec_state(x);
    const char *platform = p->platform ? p->platform : x->platform, *named = source_named(x, p->base);
    autofree char *image = NULL;
    bool is_image = named && source_is_image(named, &image);
    exec_vertex(x, p->from);
    if (named && !is_image)
        TRY(from_files(x, p, platform, s));
    else if (p->base_stage != PLAN_NONE)
        state_copy(&x->state[p->base_stage], s);
    else if (str_eq(p->base, "scratch") && !named)
        TRY(scratch(x, platform, s));
    else
        TRY(exec_image(x, image ? image : p->base, platform, s));
    TRY(ensure_path(exec_config(x)));
    TRY(times_in_key(x, s));
    s->no_cache = x->o->no_cache || strv_has(x->o->no_cache_filter, p->name);
    progress_done(&x->progress);
    return NULL;
}
