/* secrets: see secrets.h. */
#include "engine/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine_int.h"
#include "engine/secrets_int.h"
#include "spec/secret.h"
#include "storage/secrets.h"

static void tell(const struct engine *e, const struct store_secret *x, const char *action) {
    const char *const attributes[] = {"name", x->name, NULL};
    const struct event ev = {.type = "secret", .action = action, .id = x->id, .attributes = attributes};
    events_tell(e->host, &ev);
}

struct err *engine_secret_create(struct engine *e, const struct engine_secret_new *n, char **ret_id) {
    struct store *s;
    char id[ID_LEN + 1];
    autosecret x = {.name = mem_dup(n->name), .created = clock_now()};
    autosecret before = {.name = NULL};
    TRY(engine_store(e, &s));
    x.updated = x.created;
    id_random(id);
    memcpy(x.id, id, STORE_SECRET_ID_LEN);
    for (size_t i = 0; i < n->labels.n; i++)
        strmap_set_pair(&x.labels, n->labels.v[i]);
    autoerr fresh = n->replace ? store_secret_read(s, n->name, &before, NULL) : NULL;
    if (!fresh && n->replace) {
        memcpy(x.id, before.id, sizeof x.id);
        x.created = before.created;
    }
    TRY(store_secret_write(s, &x, &n->data, n->replace));
    tell(e, &x, "create");
    *ret_id = mem_dup(x.id);
    return NULL;
}

static struct json *object_of(const struct store_secret *x) {
    struct json *o = json_object(), *spec = json_object(), *driver = json_object();
    autostr struct str created = STR_INIT, updated = STR_INIT;
    clock_format_rfc3339(x->created, &created);
    clock_format_rfc3339(x->updated, &updated);
    json_set_str(o, "ID", x->id);
    json_set_str(o, "CreatedAt", str_c(&created));
    json_set_str(o, "UpdatedAt", str_c(&updated));
    json_set_str(spec, "Name", x->name);
    json_set_str(driver, "Name", "file");
    json_set(driver, "Options", json_object());
    json_set(spec, "Driver", driver);
    json_set_strmap(spec, "Labels", &x->labels);
    json_set(o, "Spec", spec);
    return o;
}

void engine_complete_secrets(struct engine *e, struct strv *out) {
    struct store *s;
    autoerr bad = engine_store(e, &s);
    autoerr unread = bad ? NULL : store_secret_names(s, out);
    if (unread)
        log_debug("the secrets cannot be listed");
}

struct err *engine_secret_list(struct engine *e, struct json **ret) {
    struct store *s;
    autostrv struct strv names = {.n = 0};
    autojson all = json_array();
    TRY(engine_store(e, &s));
    TRY(store_secret_names(s, &names));
    for (size_t i = 0; i < names.n; i++) {
        autosecret x = {.name = NULL};
        autoerr bad = store_secret_read(s, names.v[i], &x, NULL);
        if (bad && err_kind(bad) != ERR_NOT_FOUND)
            log_warn("secret %s is damaged and was skipped", names.v[i]);
        if (bad)
            continue;
        struct json *o = object_of(&x);
        json_set_int(o, "CreatedNs", x.created);
        json_set_int(o, "UpdatedNs", x.updated);
        json_push(all, o);
    }
    *ret = take_ptr(&all);
    return NULL;
}

/* A name, or the beginning of an id that only one has; *ret is owned. */
static struct err *find(struct engine *e, const char *name, char **ret) {
    autojson all = NULL;
    const char *found = NULL;
    TRY(engine_secret_list(e, &all));
    JSON_EACH(o, all) {
        const char *own = json_text(json_get(o, "Spec"), "Name");
        if (!strcmp(own, name)) {
            *ret = mem_dup(own);
            return NULL;
        }
        if (!*name || !str_starts(json_text(o, "ID"), name))
            continue;
        if (found)
            return err_new(ERR_CONFLICT, "more than one secret has an id that begins with \"%s\"", name);
        found = own;
    }
    if (!found)
        return err_new(ERR_NOT_FOUND, "no secret with name or id \"%s\": no such secret", name);
    *ret = mem_dup(found);
    return NULL;
}

struct err *engine_secret_inspect(struct engine *e, const char *name, bool show, struct json **ret) {
    autofree char *own = NULL;
    autosecret x = {.name = NULL};
    autostr struct str data = STR_INIT;
    TRY(find(e, name, &own));
    TRY(store_secret_read(e->store, own, &x, &data));
    if (show && !str_utf8_ok(str_c(&data), data.len))
        return err_new(ERR_UNSUPPORTED, "secret %s is no text and cannot be shown", own);
    struct json *o = object_of(&x);
    if (show)
        json_set_str(o, "SecretData", str_c(&data));
    *ret = o;
    return NULL;
}

struct err *engine_secret_remove(struct engine *e, const char *name, char **ret_id) {
    autofree char *own = NULL;
    autosecret x = {.name = NULL};
    TRY(find(e, name, &own));
    TRY(store_secret_read(e->store, own, &x, NULL));
    TRY(store_secret_remove(e->store, own));
    tell(e, &x, "remove");
    *ret_id = mem_dup(x.id);
    return NULL;
}

/* ---- of a new container ---- */

struct err *secrets_load(struct engine *e, const struct container_options *o, struct json **ret) {
    autojson all = o->secrets.n ? json_object() : NULL;
    for (size_t i = 0; i < o->secrets.n; i++) {
        __attribute__((cleanup(spec_secret_done))) struct spec_secret typed = {.name = NULL};
        autosecret x = {.name = NULL};
        autofree char *own = NULL;
        autostr struct str data = STR_INIT;
        autoerr wrong = spec_parse_secret(o->secrets.v[i], &typed); /* an error of spec_build(), as every bad option */
        autoerr none = wrong ? NULL : find(e, typed.name, &own);
        if (wrong || none)
            continue;
        TRY(store_secret_read(e->store, own, &x, &data));
        bool text = str_utf8_ok(str_c(&data), data.len) && strlen(str_c(&data)) == data.len;
        json_set(all, typed.name, typed.env && text ? json_string(str_c(&data)) : json_bool(true));
    }
    *ret = take_ptr(&all);
    return NULL;
}

struct owned {
    int dir;
    const char *name;
    const struct spec_secret *typed;
};

static struct err *give_away(void *ctx) {
    const struct owned *w = ctx;
    if (fchownat(w->dir, w->name, w->typed->uid, w->typed->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_hint(err_sys(errno, "give secret %s to %u:%u", w->typed->name, w->typed->uid, w->typed->gid),
                        "it must be one of the ids that the container has");
    return NULL;
}

static struct err *place_one(struct engine *e, int dir, size_t n, const struct spec_secret *typed) {
    autosecret x = {.name = NULL};
    autofree char *own = NULL;
    autofree char *name = mem_printf("%zu", n);
    autostr struct str data = STR_INIT;
    TRY(find(e, typed->name, &own));
    TRY(store_secret_read(e->store, own, &x, &data));
    TRY(io_write_file(dir, name, data.ptr, data.len, 0600, 0));
    if (fchmodat(dir, name, typed->mode, 0) < 0)
        return err_sys(errno, "set the mode of secret %s", typed->name);
    if (!typed->uid && !typed->gid)
        return NULL;
    int userns;
    struct owned w = {dir, name, typed};
    TRY(engine_userns(e, &userns, NULL));
    return runtime_userns_call(userns, give_away, &w);
}

struct err *secrets_place(struct engine *e, const char *id, const struct container_options *o) {
    autofd int container = -1;
    autofd int dir = -1;
    if (!o->secrets.n)
        return NULL;
    TRY(store_container_open(e->store, id, &container));
    TRY(io_mkdirs(container, SPEC_SECRETS_DIR, 0700));
    TRY(fd_open_dir(container, SPEC_SECRETS_DIR, &dir));
    for (size_t i = 0; i < o->secrets.n; i++) {
        __attribute__((cleanup(spec_secret_done))) struct spec_secret typed = {.name = NULL};
        TRY(spec_parse_secret(o->secrets.v[i], &typed));
        if (!typed.env)
            TRY(place_one(e, dir, i, &typed));
    }
    return NULL;
}
