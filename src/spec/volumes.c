/*
 * Volumes: which a container has, and which of them get the image's files.
 *
 * docker's precedence: what -v with a source, --mount and --tmpfs put at a place stands, and two of them at one are an
 * error; what --volumes-from brings comes next, the last one named first; an anonymous volume, by -v without a source
 * or by VOLUME of the image, is made only where nothing is yet.
 */
#include "spec/spec_int.h"

#include "base/path.h"

const char *spec_mount_option(const struct spec_mount *m, const char *key) {
    size_t n = strlen(key);
    for (size_t i = 0; i < m->options.n; i++)
        if (str_starts(m->options.v[i], key) && m->options.v[i][n] == '=')
            return m->options.v[i] + n + 1;
    return NULL;
}

static struct err *check_driver(const char *driver) {
    if (!driver || !*driver || str_eq(driver, "local"))
        return NULL;
    return err_hint(
        err_new(ERR_UNSUPPORTED, "error looking up volume plugin %s: plugin \"%s\" not found", driver, driver),
        "the one driver of volumes is local");
}

struct err *spec_check_subpath(const char *type, const char *subpath) {
    autofree char *clean = subpath ? mem_printf("/%s/", subpath) : NULL;
    if (subpath && (*subpath == '/' || strstr(clean, "/../")))
        return spec_mount_err(type, err_new(ERR_USAGE, "subpath must be a relative path within the %s", type));
    return NULL;
}

const struct json *spec_volume_words(const struct spec_ctx *x, const struct spec_mount *m) {
    return m->type == SPEC_MOUNT_VOLUME && m->source ? json_get(x->in->volume_mounts, m->source) : NULL;
}

struct err *spec_name_volume(struct spec_ctx *x, struct spec_user_mount *u) {
    const struct strv *fresh = x->in->volume_names;
    TRY(check_driver(spec_mount_option(&u->m, "volume-driver")));
    TRY(spec_check_subpath("volume", spec_mount_option(&u->m, "volume-subpath")));
    if (spec_volume_words(x, &u->m) && spec_mount_option(&u->m, "volume-subpath"))
        return spec_mount_err(
            "volume", err_new(ERR_USAGE, "volume %s is a tmpfs: there is nothing in it for a subpath", u->m.source));
    if (u->m.source)
        return NULL;
    if (!fresh || x->n_volume_names >= fresh->n)
        return err_new(ERR_SYSTEM, "there is no name for a volume at %s", u->m.target);
    u->anonymous = true;
    u->m.source = mem_dup(fresh->v[x->n_volume_names++]);
    return NULL;
}

/* ---- --volumes-from ---- */

struct err *spec_parse_volumes_from(const char *text, char **ret_name, bool *ret_read_only) {
    size_t n = strcspn(text, ":");
    const char *mode = text[n] ? text + n + 1 : "";
    autostrv struct strv words = {0};
    if (!n)
        return err_new(ERR_USAGE, "invalid volumes-from specification: '%s'", text);
    strv_split(&words, mode, ',');
    *ret_read_only = false;
    for (size_t i = 0; *mode && i < words.n; i++) {
        static const char *const known[] = {"ro", "rw", "z", "Z"};
        bool ok = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            ok |= str_eq(words.v[i], known[k]);
        if (!ok)
            return err_new(ERR_USAGE, "invalid mode for volumes-from: %s", mode);
        *ret_read_only |= str_eq(words.v[i], "ro");
    }
    *ret_name = mem_dupn(text, n);
    return NULL;
}

/* A mount of another container, from its record; it has what the image had for it already. */
static struct err *add_other(struct spec_ctx *x, const struct json *point, const char *relabel, bool read_only) {
    const char *type = json_text(point, "Type"), *target = json_text(point, "Destination");
    bool volume = str_eq(type, "volume"), tmpfs = str_eq(type, "tmpfs");
    struct spec_user_mount u = {.from = SPEC_FROM_CONTAINER,
                                .text = json_text(point, "Mode"),
                                .anonymous = json_bool_value(json_get(point, "Anonymous"), false),
                                .m = {.type = volume  ? SPEC_MOUNT_VOLUME
                                              : tmpfs ? SPEC_MOUNT_TMPFS
                                                      : SPEC_MOUNT_BIND,
                                      .no_copy = true,
                                      .read_only = read_only || !json_bool_value(json_get(point, "RW"), true),
                                      .tmpfs_size = -1,
                                      .tmpfs_mode = -1}};
    if (*target != '/' || spec_mount_at(x, target))
        return NULL;
    u.m.target = mem_dup(target);
    if (!tmpfs)
        u.m.source = mem_dup(json_text(point, volume ? "Name" : "Source"));
    if (!volume && !tmpfs && *json_text(point, "Propagation"))
        u.m.propagation = mem_dup(json_text(point, "Propagation"));
    if (relabel)
        strv_push(&u.m.options, relabel);
    return spec_add_mount(x, u);
}

static struct json *nth(const struct json *list, size_t n) {
    struct json *it = json_first(list);
    while (it && n--)
        it = json_next(it);
    return it;
}

static struct err *add_others(struct spec_ctx *x) {
    for (size_t i = x->o->volumes_from.n; i-- > 0;) {
        autofree char *name = NULL;
        bool read_only;
        TRY(spec_parse_volumes_from(x->o->volumes_from.v[i], &name, &read_only));
        const char *mode = x->o->volumes_from.v[i] + strlen(name), *relabel = strpbrk(mode, "zZ");
        JSON_EACH(point, nth(x->in->volumes_from, i))
        TRY(add_other(x, point, !relabel ? NULL : *relabel == 'z' ? "z" : "Z", read_only));
    }
    return NULL;
}

/* ---- anonymous ones ---- */

static struct err *add_anonymous(struct spec_ctx *x, const char *path) {
    struct spec_user_mount u = {
        .from = SPEC_FROM_PATH, .text = path, .m = {.type = SPEC_MOUNT_VOLUME, .tmpfs_size = -1, .tmpfs_mode = -1}};
    struct err *e = spec_check_target(path, &u.m.target);
    if (e)
        return spec_mount_err("volume", e);
    if (spec_mount_at(x, u.m.target)) {
        spec_mount_done(&u.m);
        return NULL;
    }
    return spec_add_mount(x, u);
}

struct err *spec_resolve_volumes(struct spec_ctx *x) {
    const struct strv *typed = &x->o->volumes;
    TRY(check_driver(x->o->volume_driver));
    TRY(add_others(x));
    for (size_t i = 0; i < typed->n; i++)
        if (!strchr(typed->v[i], ':'))
            TRY_CTX(add_anonymous(x, typed->v[i]), "invalid volume specification: '%s'", typed->v[i]);
    JSON_EACH(it, json_get(x->img, "Volumes"))
    if (json_key(it))
        TRY_CTX(add_anonymous(x, json_key(it)), "VOLUME of the image");
    return NULL;
}

/* ---- emit ---- */

char *spec_volume_source(const struct spec_ctx *x, const struct spec_mount *m) {
    return mem_printf("%s/volumes/%s/_data", x->in->host->data_root, m->source);
}

/* The values of --mount's "volume-label=…" and the like, as typed. */
static struct json *values(const struct spec_mount *m, const char *prefix) {
    struct json *list = json_array();
    for (size_t i = 0; i < m->options.n; i++)
        if (str_starts(m->options.v[i], prefix))
            json_push_str(list, m->options.v[i] + strlen(prefix));
    return list;
}

struct json *spec_emit_volumes(const struct spec_ctx *x) {
    struct json *list = NULL;
    for (size_t i = 0; i < x->n_mounts; i++) {
        const struct spec_user_mount *u = &x->mounts[i];
        if (u->m.type != SPEC_MOUNT_VOLUME)
            continue;
        struct json *v = json_object();
        json_set_str(v, "Name", u->m.source);
        json_set_bool(v, "Anonymous", u->anonymous);
        json_set(v, "Labels", values(&u->m, "volume-label="));
        json_set(v, "Options", values(&u->m, "volume-opt="));
        list = list ? list : json_array();
        json_push(list, v);
    }
    return list;
}

struct json *spec_emit_volume_fills(const struct spec_ctx *x) {
    struct json *fills = NULL;
    for (size_t i = 0; i < x->n_mounts; i++) {
        const struct spec_mount *m = &x->mounts[i].m;
        if (m->type != SPEC_MOUNT_VOLUME || m->no_copy || spec_mount_option(m, "volume-subpath") ||
            spec_volume_words(x, m))
            continue;
        fills = fills ? fills : json_object();
        json_set_str(fills, m->target, m->source);
    }
    return fills;
}

/* A tmpfs has no owner before it is mounted: the runtime gives it one. */
struct json *spec_emit_chowns(const struct spec_ctx *x) {
    struct json *list = NULL;
    for (size_t i = 0; i < x->n_mounts; i++) {
        const struct spec_mount *m = &x->mounts[i].m;
        if ((m->type != SPEC_MOUNT_BIND && m->type != SPEC_MOUNT_VOLUME) || spec_volume_words(x, m) ||
            !strv_has(&m->options, SPEC_OPTION_CHOWN))
            continue;
        struct json *one = json_object();
        autofree char *volume = m->type == SPEC_MOUNT_VOLUME ? spec_volume_source(x, m) : NULL;
        json_set_str(one, "Source", volume ? volume : m->source);
        if (spec_mount_option(m, "volume-subpath"))
            json_set_str(one, "Subpath", spec_mount_option(m, "volume-subpath"));
        list = list ? list : json_array();
        json_push(list, one);
    }
    return list;
}
