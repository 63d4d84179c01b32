/* registries: see registries.h. */
#include "engine/registries.h"

#include <string.h>

#include "engine/engine_int.h"
#include "image/accounts.h"

static void tell_push(struct engine *e, const struct image_ref *ref, const char *id) {
    autofree char *canonical = image_ref_canonical(ref), *name = image_ref_familiar_name(ref);
    autofree char *familiar = image_ref_familiar(canonical);
    engine_image_tell(e, id, "push", familiar, name);
}

struct err *engine_image_push(struct engine *e, const struct engine_push *p, struct image_pushed *ret, char **ret_tag) {
    struct image_ref ref = {.domain = NULL};
    struct store *s = NULL;
    TRY(engine_ref_parse(e, p->reference, &ref));
    char id[65] = "";
    autofree char *source = NULL;
    struct err *r = engine_store(e, &s);
    if (!r && p->image)
        r = engine_image_find(e, p->image, id, &source);
    if (!r) {
        const struct image_push push = {.host = e->host,
                                        .config = e->config,
                                        .store = s,
                                        .ref = &ref,
                                        .id = p->image ? id : NULL,
                                        .source = source,
                                        .index = p->index,
                                        .platform = p->platform,
                                        .compression = p->compression,
                                        .progress = p->progress,
                                        .interrupted_fd = p->interrupted_fd};
        r = image_push(&push, ret);
    }
    if (!r) {
        tell_push(e, &ref, ret->id);
        *ret_tag = mem_dup(ref.tag);
    }
    image_ref_done(&ref);
    return r;
}

/* "domain/path:" of a name without tag and digest. */
static struct err *repository_of(const struct engine *e, const char *name, char **ret_prefix, char **ret_familiar) {
    struct image_ref ref = {.domain = NULL};
    const char *slash = strrchr(name, '/');
    TRY(engine_ref_parse(e, name, &ref));
    struct err *bad = NULL;
    if (strchr(slash ? slash : name, ':') || ref.digest) {
        bad = err_new(ERR_USAGE, "tag can't be used with --all-tags/-a");
    } else {
        *ret_prefix = mem_printf("%s/%s:", ref.domain, ref.path);
        *ret_familiar = image_ref_familiar_name(&ref);
    }
    image_ref_done(&ref);
    return bad;
}

struct err *engine_push_tags(struct engine *e, const char *name, struct strv *out) {
    struct store *s;
    struct strmap refs = {0};
    autofree char *prefix = NULL, *familiar = NULL;
    TRY(repository_of(e, name, &prefix, &familiar));
    TRY(engine_store(e, &s));
    TRY(store_refs(s, &refs));
    for (size_t i = 0; i < refs.n; i++)
        if (str_starts(refs.e[i].key, prefix))
            strv_push(out, refs.e[i].key);
    strmap_done(&refs);
    return out->n ? NULL : err_new(ERR_NOT_FOUND, "An image does not exist locally with the tag: %s", familiar);
}

struct err *engine_login(struct engine *e, const struct engine_login *l, char **ret_plain) {
    autofree char *registry = NULL, *key = NULL;
    TRY(image_login_server(l->server, &registry, &key));
    const struct image_login login = {.host = e->host,
                                      .config = e->config,
                                      .registry = registry,
                                      .user = l->user,
                                      .password = l->password,
                                      .interrupted_fd = l->interrupted_fd};
    return image_login(&login, ret_plain);
}

struct err *engine_login_user(struct engine *e, const char *server, char **ret_user) {
    autofree char *registry = NULL, *key = NULL;
    TRY(image_login_server(server, &registry, &key));
    return image_login_user(e->host, registry, ret_user);
}

struct err *engine_login_server(const char *server, char **ret_name) {
    autofree char *registry = NULL;
    return image_login_server(server, &registry, ret_name);
}

struct err *engine_logout(struct engine *e, const char *server) {
    autofree char *registry = NULL, *key = NULL;
    TRY(image_login_server(server, &registry, &key));
    return image_logout(e->host, registry);
}

struct err *engine_proxies(struct engine *e, struct strv *env) {
    return image_proxies(e->host, env);
}

struct err *engine_search(struct engine *e, const char *term, int64_t limit, const int *interrupted_fd,
                          struct json **ret) {
    const struct image_search s = {
        .host = e->host, .config = e->config, .term = term, .limit = limit, .interrupted_fd = interrupted_fd};
    autojson out = json_array();
    TRY(image_search(&s, out));
    *ret = take_ptr(&out);
    return NULL;
}
