/* What is relabelled at each start of a container that has a label: the image's files, its own, its volumes, and what
 * :z and :Z name.
 * Volumes are shared, as docker has it, unless :Z says otherwise. */
#include "spec/spec_int.h"

struct relabels {
    const struct spec_ctx *x;
    char *shared;
    struct json *list;
};

static struct json *add(struct relabels *r, const char *source, bool private) {
    struct json *one = json_object();
    json_set_str(one, "Source", source);
    json_set_str(one, "Label", private ? r->x->label.file : r->shared);
    json_push(r->list, one);
    return one;
}

static void add_layers(struct relabels *r) {
    struct json *one = json_object();
    json_set_str(one, "Layers", r->x->label.layers);
    json_push(r->list, one);
}

static void add_secret(void *ctx, const char *target, const char *source) {
    (void)target;
    if (source)
        add(ctx, source, true);
}

static void add_own(struct relabels *r) {
    static const char *const files[] = {"resolv.conf", "hostname", "hosts", SPEC_OWN_INIT};
    const struct config *c = r->x->in->config;
    size_t n = ARRAY_LEN(files) - !(r->x->o->init || (c && c->init));
    for (size_t i = 0; i < n; i++) {
        autofree char *source = spec_own_file(r->x, files[i]);
        add(r, source, true);
    }
    spec_emit_secrets(r->x, add_secret, r);
}

static void add_mount(struct relabels *r, const struct spec_mount *m) {
    bool private = strv_has(&m->options, "Z"), volume = m->type == SPEC_MOUNT_VOLUME;
    if (m->overlay || (!volume && m->type != SPEC_MOUNT_BIND) || spec_volume_words(r->x, m))
        return; /* a mount of the container's own has the label from the start */
    if (!volume && !private && !strv_has(&m->options, "z"))
        return;
    autofree char *source = volume ? spec_volume_source(r->x, m) : mem_dup(m->source);
    struct json *one = add(r, source, private);
    if (spec_mount_option(m, "volume-subpath"))
        json_set_str(one, "Subpath", spec_mount_option(m, "volume-subpath"));
    if (volume && !private && !strv_has(&m->options, "z"))
        json_set_bool(one, "Lazy", true);
}

struct json *spec_emit_relabels(const struct spec_ctx *x) {
    if (!x->label.file)
        return NULL;
    autofree char *shared = selinux_shared(x->label.file);
    struct relabels r = {x, shared, json_array()};
    add_layers(&r);
    add_own(&r);
    for (size_t i = 0; i < x->n_mounts; i++)
        add_mount(&r, &x->mounts[i].m);
    return r.list;
}
